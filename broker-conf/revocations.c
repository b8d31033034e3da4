#include "broker-conf/revocations.h"

#include "common/buf.h"
#include "common/file.h"
#include "common/limits.h"
#include "common/topic.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ENTRY_MAX_BYTES 80 // "device " and an id of up to 63 bytes, or "serial " and 40 digits

struct revocations {
	char *path;
	bool open;	   // the list was read whole and understood
	struct stat known; // the file as it was then
	char *text;	   // as read: written back with its comments
	size_t text_bytes;
	char (*entries)[ENTRY_MAX_BYTES]; // normalised lines, sorted
	size_t count;
	// Revoked, but not stored yet (disk full, read-only): they hold until the broker stops, and go into the file
	// with the next change that can be written.
	char (*pending)[ENTRY_MAX_BYTES];
	size_t pending_count;
};

struct revocations *revocations_new(const char *path, struct error *error)
{
	struct revocations *revocations = calloc(1, sizeof(*revocations));

	if (revocations)
		revocations->path = strdup(path);
	if (!revocations || !revocations->path) {
		revocations_free(revocations);
		(void)error_errno(error, ENOMEM, "cannot hold the revocation list");
		return NULL;
	}
	return revocations;
}

static void forget(struct revocations *revocations)
{
	free(revocations->text);
	free(revocations->entries);
	revocations->text = NULL;
	revocations->entries = NULL;
	revocations->text_bytes = revocations->count = 0;
	revocations->open = false;
}

void revocations_free(struct revocations *revocations)
{
	if (!revocations)
		return;
	forget(revocations);
	free(revocations->pending);
	free(revocations->path);
	free(revocations);
}

bool revocations_serial(const char *text, char out[SERIAL_HEX_MAX + 1])
{
	size_t len_bytes = strlen(text);
	size_t i = 0;

	if (len_bytes == 0 || strspn(text, "0123456789abcdefABCDEF") != len_bytes)
		return false;
	while (*text == '0' && text[1] != '\0')
		text++;
	if (strlen(text) > SERIAL_HEX_MAX)
		return false;
	for (; text[i] != '\0'; i++)
		out[i] = (char)tolower((unsigned char)text[i]);
	out[i] = '\0';
	return true;
}

// One line of the file in its normal form.
static bool make_entry(enum revocation_kind kind, const char *name, char out[ENTRY_MAX_BYTES])
{
	char serial[SERIAL_HEX_MAX + 1];

	if (kind == REVOCATION_DEVICE) {
		if (!topic_is_device_id(name))
			return false;
		(void)snprintf(out, ENTRY_MAX_BYTES, "device %s", name);
		return true;
	}
	if (!revocations_serial(name, serial))
		return false;
	(void)snprintf(out, ENTRY_MAX_BYTES, "serial %s", serial);
	return true;
}

static bool parse_line(const char *line, size_t len_bytes, char out[ENTRY_MAX_BYTES])
{
	char copy[ENTRY_MAX_BYTES];

	if (len_bytes >= sizeof(copy) || memchr(line, '\0', len_bytes))
		return false;
	memcpy(copy, line, len_bytes);
	copy[len_bytes] = '\0';
	if (strncmp(copy, "device ", 7) == 0)
		return make_entry(REVOCATION_DEVICE, copy + 7, out);
	if (strncmp(copy, "serial ", 7) == 0)
		return make_entry(REVOCATION_SERIAL, copy + 7, out);
	return false;
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(a, b);
}

// Fills entries from text; leaves `open` to its caller.
static bool parse(struct revocations *revocations, struct error *error)
{
	const char *line = revocations->text;
	const char *end = revocations->text + revocations->text_bytes;
	size_t lines = 0;
	size_t number = 0;

	if (end > line && end[-1] != '\n')
		return error_set(error, ERROR_INVALID, "%s is torn: its last line has no end", revocations->path);
	for (const char *at = line; at < end; at++)
		lines += *at == '\n';
	revocations->entries = calloc(lines + 1, sizeof(revocations->entries[0]));
	if (!revocations->entries)
		return error_errno(error, ENOMEM, "cannot hold %zu revocations", lines);
	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));

		number++;
		if (*line != '#' &&
		    !parse_line(line, (size_t)(newline - line), revocations->entries[revocations->count++]))
			return error_set(error, ERROR_INVALID,
					 "%s:%zu: neither \"device <id>\", \"serial <hex>\" nor a "
					 "comment",
					 revocations->path, number);
		line = newline + 1;
	}
	qsort(revocations->entries, revocations->count, sizeof(revocations->entries[0]), compare_entries);
	return true;
}

static bool unchanged(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

bool revocations_refresh(struct revocations *revocations, struct error *error)
{
	// Opened each time: a list that can no longer be read counts as unreadable at once, cached or not.
	auto_close int fd = open(revocations->path, O_RDONLY | O_CLOEXEC);
	struct stat now;

	if (fd < 0 || fstat(fd, &now) != 0) {
		int code = errno;

		forget(revocations);
		return error_errno(error, code, "cannot read the revocation list %s", revocations->path);
	}
	if (revocations->open && unchanged(&now, &revocations->known))
		return true;
	forget(revocations);
	// The file may change between fstat and this read; then it differs from `known` at the next login and is read
	// again.
	revocations->text = file_read(revocations->path, REVOCATIONS_MAX_BYTES, &revocations->text_bytes, error);
	if (!revocations->text || !parse(revocations, error)) {
		forget(revocations);
		return false;
	}
	revocations->known = now;
	revocations->open = true;
	return true;
}

static size_t find_pending(const struct revocations *revocations, const char *entry)
{
	size_t i = 0;

	while (i < revocations->pending_count && strcmp(revocations->pending[i], entry) != 0)
		i++;
	return i;
}

bool revocations_has(const struct revocations *revocations, enum revocation_kind kind, const char *name)
{
	char entry[ENTRY_MAX_BYTES];

	if (!revocations->open || !make_entry(kind, name, entry))
		return true;
	return bsearch(entry, revocations->entries, revocations->count, sizeof(revocations->entries[0]),
		       compare_entries) ||
	       find_pending(revocations, entry) < revocations->pending_count;
}

// Writes kept, the lines to keep, and everything pending.
static bool store(struct revocations *revocations, struct buf *kept, struct error *error)
{
	for (size_t i = 0; i < revocations->pending_count; i++)
		(void)buf_addf(kept, "%s\n", revocations->pending[i]);
	if (kept->overflowed)
		return error_set(error, ERROR_LIMIT, "the revocation list %s is full", revocations->path);
	if (!file_write(revocations->path, buf_str(kept), kept->len_bytes, 0600, error))
		return error_prefix(error, "storing the revocation list");
	revocations->pending_count = 0;
	return revocations_refresh(revocations, error);
}

static bool add_pending(struct revocations *revocations, const char *entry, struct error *error)
{
	void *grown = NULL;

	if (find_pending(revocations, entry) < revocations->pending_count)
		return true;
	grown = realloc(revocations->pending, (revocations->pending_count + 1) * sizeof(revocations->pending[0]));
	if (!grown)
		return error_errno(error, ENOMEM, "cannot hold another revocation");
	revocations->pending = grown;
	memcpy(revocations->pending[revocations->pending_count++], entry, ENTRY_MAX_BYTES);
	return true;
}

static bool name_entry(enum revocation_kind kind, const char *name, char entry[ENTRY_MAX_BYTES], struct error *error)
{
	memset(entry, 0, ENTRY_MAX_BYTES);
	if (make_entry(kind, name, entry))
		return true;
	return error_set(error, ERROR_INVALID, "not a %s: \"%.80s\"",
			 kind == REVOCATION_DEVICE ? "device id" : "certificate serial in hex", name);
}

bool revocations_add(struct revocations *revocations, enum revocation_kind kind, const char *name, struct error *error)
{
	auto_buf struct buf text = {0};
	char entry[ENTRY_MAX_BYTES];

	buf_init(&text, REVOCATIONS_MAX_BYTES);
	if (!name_entry(kind, name, entry, error))
		return false;
	if (revocations_refresh(revocations, error) && revocations_has(revocations, kind, name) &&
	    revocations->pending_count == 0)
		return true;
	if (!add_pending(revocations, entry, error))
		return false;
	if (!revocations->open) // error was filled by the refresh
		return false;
	(void)buf_add(&text, revocations->text, revocations->text_bytes);
	return store(revocations, &text, error);
}

bool revocations_remove(struct revocations *revocations, enum revocation_kind kind, const char *name,
			struct error *error)
{
	auto_buf struct buf text = {0};
	char entry[ENTRY_MAX_BYTES];
	char other[ENTRY_MAX_BYTES];
	size_t at;

	buf_init(&text, REVOCATIONS_MAX_BYTES);
	if (!name_entry(kind, name, entry, error) || !revocations_refresh(revocations, error))
		return false;
	if (!revocations_has(revocations, kind, name))
		return true;
	at = find_pending(revocations, entry);
	if (at < revocations->pending_count)
		memcpy(revocations->pending[at], revocations->pending[--revocations->pending_count], ENTRY_MAX_BYTES);
	for (const char *line = revocations->text ? revocations->text : ""; *line != '\0';
	     line += strcspn(line, "\n") + 1) {
		size_t len_bytes = strcspn(line, "\n");

		if (!parse_line(line, len_bytes, other) || strcmp(other, entry) != 0)
			(void)buf_add(&text, line, len_bytes + 1);
	}
	return store(revocations, &text, error);
}
