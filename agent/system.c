#include "agent/system.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((format(printf, 3, 0))) static bool path_of(char path[PATH_MAX], const char *root, const char *format,
							  va_list args)
{
	int used = snprintf(path, PATH_MAX, "%s", root);
	if (used < 0 || used >= PATH_MAX)
		return false;
	int more = vsnprintf(path + used, (size_t)(PATH_MAX - used), format, args);
	return more >= 0 && used + more < PATH_MAX;
}

static char *read_path(const char *path)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return NULL;
	// These files say their size is 0, or 4096: read until the end.
	char *text auto_free = NULL;
	size_t len_bytes = 0;
	size_t room = 1024;
	for (;;) {
		char *grown = realloc(text, room + 1);
		if (!grown)
			abort();
		text = grown;
		ssize_t got = read(fd, text + len_bytes, room - len_bytes);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return NULL;
		len_bytes += (size_t)got;
		if (got == 0 || len_bytes == SYSTEM_FILE_MAX_BYTES)
			break;
		if (len_bytes == room)
			room *= 2;
	}
	while (len_bytes > 0 && isspace((unsigned char)text[len_bytes - 1]))
		len_bytes--;
	text[len_bytes] = '\0';
	return steal(text);
}

char *system_read(const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	va_start(args, format);
	bool fits = path_of(path, root, format, args);
	va_end(args);
	return fits ? read_path(path) : NULL;
}

bool system_read_int(int64_t *out, const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	va_start(args, format);
	bool fits = path_of(path, root, format, args);
	va_end(args);

	char *text auto_free = fits ? read_path(path) : NULL;
	if (!text || !*text)
		return false;
	char *end = NULL;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (errno != 0 || *end)
		return false;
	*out = value;
	return true;
}

bool system_exists(const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	va_start(args, format);
	bool fits = path_of(path, root, format, args);
	va_end(args);
	return fits && access(path, F_OK) == 0;
}

char *system_link(const char *root, const char *format, ...)
{
	char path[PATH_MAX];
	va_list args;
	va_start(args, format);
	bool fits = path_of(path, root, format, args);
	va_end(args);

	char target[PATH_MAX];
	ssize_t len_bytes = fits ? readlink(path, target, sizeof(target)) : -1;
	return len_bytes < 0 ? NULL : strndup(target, (size_t)len_bytes);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

char **system_list(const char *root, const char *folder, size_t max)
{
	char **names = calloc(max + 1, sizeof(*names));
	if (!names)
		abort();
	char path[PATH_MAX];
	if (snprintf(path, sizeof(path), "%s%s", root, folder) >= (int)sizeof(path))
		return names;
	DIR *dir = opendir(path);
	if (!dir)
		return names;

	size_t count = 0;
	struct dirent *entry;
	while (count < max && (entry = readdir(dir))) { // NOLINT(concurrency-mt-unsafe): one thread
		if (entry->d_name[0] == '.')
			continue;
		names[count] = strdup(entry->d_name);
		if (!names[count++])
			abort();
	}
	(void)closedir(dir);
	qsort(names, count, sizeof(*names), by_name);
	return names;
}

void system_list_free(char **names)
{
	for (char **name = names; name && *name; name++)
		free(*name);
	free(names);
}

char *system_field(const char *text, const char *name, char separator)
{
	size_t name_bytes = strlen(name);
	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, name_bytes) != 0)
			continue;
		const char *value = line + name_bytes;
		value += strspn(value, " \t");
		if (*value != separator)
			continue;
		value += 1 + strspn(value + 1, " \t");
		size_t value_bytes = strcspn(value, "\n");
		if (value_bytes >= 2 && (*value == '"' || *value == '\'') && value[value_bytes - 1] == *value) {
			value++;
			value_bytes -= 2;
		}
		return strndup(value, value_bytes);
	}
	return NULL;
}
