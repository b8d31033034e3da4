#include "common/config.h"

#include "common/buf.h"
#include "common/file.h"
#include "common/limits.h"

#include <ctype.h>
#include <errno.h>
#include <libconfig.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_ITEMS_MAX = 256, PATH_MAX_BYTES = 128, CONFIG_OPTIONS_MAX = 128 };

struct load {
	const struct config_table *table;
	void *config;
	bool *given; // per option: by a default, the file or the environment
	const char *path;
	struct error *error;
};

static void *member_of(const struct config_option *option, void *config)
{
	return (char *)config + option->offset;
}

static void list_free(char **list)
{
	for (char **item = list; item && *item; item++)
		free(*item);
	free(list);
}

static void clear_member(const struct config_option *option, void *config)
{
	void *member = member_of(option, config);
	switch (option->type) {
	case CONFIG_STRING:
	case CONFIG_CHOICE:
		free(*(char **)member);
		*(char **)member = NULL;
		break;
	case CONFIG_INT:
		*(long *)member = 0;
		break;
	case CONFIG_BOOL:
		*(bool *)member = false;
		break;
	case CONFIG_LIST:
		list_free(*(char ***)member);
		*(char ***)member = NULL;
		break;
	}
}

void config_done(const struct config_table *table, void *config)
{
	for (size_t i = 0; i < table->count; i++)
		clear_member(&table->options[i], config);
}

static bool refuse(struct load *load, const char *where, const char *name, const char *why)
{
	(void)error_set(load->error, ERROR_INVALID, "%s: option %s %s", where, name, why);
	if (load->error)
		(void)snprintf(load->error->where, sizeof(load->error->where), "%s", where);
	return false;
}

static bool refuse_at(struct load *load, const char *file, unsigned line, const char *why)
{
	(void)error_set(load->error, ERROR_INVALID, "%s:%u: %s", file, line, why);
	if (load->error)
		(void)snprintf(load->error->where, sizeof(load->error->where), "%s:%u", file, line);
	return false;
}

static bool refuse_range(struct load *load, const char *where, const struct config_option *option)
{
	char why[96];
	(void)snprintf(why, sizeof(why), "must be within %ld and %ld", option->min, option->max);
	return refuse(load, where, option->name, why);
}

// ---- Setting members; where says in errors from where the value comes ----

static bool set_string(struct load *load, const struct config_option *option, const char *text, const char *where)
{
	if (option->max > 0 && strlen(text) > (size_t)option->max)
		return refuse(load, where, option->name, "is too long");
	if (!*text && option->default_text)
		return refuse(load, where, option->name, "must not be empty; without it the default holds");
	clear_member(option, load->config);
	if (!*text)
		return true;
	char *copy = strdup(text);
	if (!copy)
		return error_errno(load->error, ENOMEM, "loading the configuration");
	*(char **)member_of(option, load->config) = copy;
	return true;
}

static size_t first_choice_bytes(const char *choices)
{
	return strcspn(choices, "|");
}

static bool is_choice(const char *choices, const char *text)
{
	for (;;) {
		size_t len = strcspn(choices, "|");
		if (strlen(text) == len && strncmp(choices, text, len) == 0)
			return true;
		if (!choices[len])
			return false;
		choices += len + 1;
	}
}

static bool set_choice(struct load *load, const struct config_option *option, const char *text, const char *where)
{
	char why[PATH_MAX_BYTES];
	if (is_choice(option->default_text, text))
		return set_string(load, option, text, where);
	(void)snprintf(why, sizeof(why), "must be one of %s", option->default_text);
	return refuse(load, where, option->name, why);
}

static bool set_int(struct load *load, const struct config_option *option, long long value, const char *where)
{
	if (value < option->min || value > option->max)
		return refuse_range(load, where, option);
	*(long *)member_of(option, load->config) = (long)value;
	return true;
}

// Copies count strings.
static bool set_list(struct load *load, const struct config_option *option, const char *const *items, size_t count)
{
	char **list = calloc(count + 1, sizeof(*list));
	for (size_t i = 0; list && i < count; i++) {
		list[i] = strdup(items[i]);
		if (!list[i]) {
			list_free(list);
			list = NULL;
		}
	}
	if (!list)
		return error_errno(load->error, ENOMEM, "loading the configuration");
	clear_member(option, load->config);
	*(char ***)member_of(option, load->config) = list;
	return true;
}

static char *trim(char *text)
{
	while (isspace((unsigned char)*text))
		text++;
	size_t len = strlen(text);
	while (len > 0 && isspace((unsigned char)text[len - 1]))
		text[--len] = '\0';
	return text;
}

static bool set_list_text(struct load *load, const struct config_option *option, const char *text, const char *where)
{
	char *copy auto_free = strdup(text);
	if (!copy)
		return error_errno(load->error, ENOMEM, "loading the configuration");
	const char *items[LIST_ITEMS_MAX];
	size_t count = 0;
	char *rest = NULL;
	for (char *item = strtok_r(copy, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
		item = trim(item);
		if (!*item)
			continue;
		if (count == LIST_ITEMS_MAX)
			return refuse(load, where, option->name, "has too many items");
		items[count++] = item;
	}
	return set_list(load, option, items, count);
}

static bool set_int_text(struct load *load, const struct config_option *option, const char *text, const char *where)
{
	char *end;
	errno = 0;
	long long value = strtoll(text, &end, 10);
	if (end == text || *end)
		return refuse(load, where, option->name, "must be a whole number");
	if (errno == ERANGE)
		return refuse_range(load, where, option);
	return set_int(load, option, value, where);
}

static bool set_bool_text(struct load *load, const struct config_option *option, const char *text, const char *where)
{
	bool yes = strcmp(text, "true") == 0;
	if (!yes && strcmp(text, "false") != 0)
		return refuse(load, where, option->name, "must be true or false");
	*(bool *)member_of(option, load->config) = yes;
	return true;
}

static bool set_text(struct load *load, size_t index, const char *text, const char *where)
{
	const struct config_option *option = &load->table->options[index];
	load->given[index] = true;
	switch (option->type) {
	case CONFIG_STRING:
		return set_string(load, option, text, where);
	case CONFIG_CHOICE:
		return set_choice(load, option, text, where);
	case CONFIG_INT:
		return set_int_text(load, option, text, where);
	case CONFIG_BOOL:
		return set_bool_text(load, option, text, where);
	case CONFIG_LIST:
		return set_list_text(load, option, text, where);
	}
	return false;
}

// ---- The file ----

static bool set_list_setting(struct load *load, const struct config_option *option, const config_setting_t *setting,
			     const char *where)
{
	const char *items[LIST_ITEMS_MAX];
	int count = config_setting_length(setting);
	if (count > LIST_ITEMS_MAX)
		return refuse(load, where, option->name, "has too many items");
	for (int i = 0; i < count; i++) {
		items[i] = config_setting_get_string_elem(setting, i);
		if (!items[i])
			return refuse(load, where, option->name, "must be a list of strings");
	}
	return set_list(load, option, items, (size_t)count);
}

static bool set_setting(struct load *load, size_t index, const config_setting_t *setting, const char *where)
{
	const struct config_option *option = &load->table->options[index];
	int type = config_setting_type(setting);
	load->given[index] = true;
	switch (option->type) {
	case CONFIG_STRING:
	case CONFIG_CHOICE:
		if (type != CONFIG_TYPE_STRING)
			return refuse(load, where, option->name, "must be a string in quotes");
		return set_text(load, index, config_setting_get_string(setting), where);
	case CONFIG_INT:
		if (type != CONFIG_TYPE_INT && type != CONFIG_TYPE_INT64)
			return refuse(load, where, option->name, "must be a whole number");
		return set_int(load, option, config_setting_get_int64(setting), where);
	case CONFIG_BOOL:
		if (type != CONFIG_TYPE_BOOL)
			return refuse(load, where, option->name, "must be true or false");
		*(bool *)member_of(option, load->config) = config_setting_get_bool(setting) == CONFIG_TRUE;
		return true;
	case CONFIG_LIST:
		if (type != CONFIG_TYPE_ARRAY && type != CONFIG_TYPE_LIST)
			return refuse(load, where, option->name, "must be a list of strings");
		return set_list_setting(load, option, setting, where);
	}
	return false;
}

static bool is_group_of_table(const struct config_table *table, const char *path)
{
	size_t len = strlen(path);
	for (size_t i = 0; i < table->count; i++)
		if (strncmp(table->options[i].name, path, len) == 0 && table->options[i].name[len] == '.')
			return true;
	return false;
}

static bool read_group(struct load *load, const config_setting_t *group, const char *prefix);

static bool read_setting(struct load *load, const config_setting_t *setting, const char *prefix)
{
	char where[sizeof(load->error->where)];
	const char *file = config_setting_source_file(setting);
	(void)snprintf(where, sizeof(where), "%s:%u", file ? file : load->path,
		       (unsigned)config_setting_source_line(setting));
	char path[PATH_MAX_BYTES];
	int len = snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", config_setting_name(setting));
	if (len < 0 || (size_t)len >= sizeof(path))
		return refuse(load, where, config_setting_name(setting), "is unknown");

	for (size_t i = 0; i < load->table->count; i++)
		if (strcmp(load->table->options[i].name, path) == 0)
			return set_setting(load, i, setting, where);
	if (!is_group_of_table(load->table, path))
		return refuse(load, where, path, "is unknown");
	if (!config_setting_is_group(setting))
		return refuse(load, where, path, "must be a group: { ... }");
	return read_group(load, setting, path);
}

// As deep as the option names have dots: groups outside the table are refused, not entered.
static bool read_group(struct load *load, const config_setting_t *group, const char *prefix)
{
	for (int i = 0; i < config_setting_length(group); i++)
		if (!read_setting(load, config_setting_get_elem(group, (unsigned)i), prefix))
			return false;
	return true;
}

// Past a comment or string at text; text itself if there is none.
static const char *skip_comment_or_string(const char *text)
{
	if (text[0] == '#' || (text[0] == '/' && text[1] == '/'))
		return text + strcspn(text, "\n");
	if (text[0] == '/' && text[1] == '*') {
		const char *end = strstr(text + 2, "*/");
		return end ? end + 2 : text + strlen(text);
	}
	if (text[0] != '"')
		return text;
	for (text++; *text && *text != '"'; text++)
		if (text[0] == '\\' && text[1])
			text++;
	return *text ? text + 1 : text;
}

// Past the number at text; *fits is false for an integer that libconfig would cut to 32 bits.
static const char *skip_number(const char *text, bool *fits)
{
	char *end;
	bool hexadecimal = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
	errno = 0;
	unsigned long long value = strtoull(text, &end, hexadecimal ? 16 : 10);
	bool real = !hexadecimal && *end && strchr(".eE", *end);
	bool wide = *end == 'L' || *end == 'l';
	if (!real && !wide)
		*fits = errno == 0 && value <= INT32_MAX;
	return text + strspn(text, "0123456789abcdefABCDEFxXlL.");
}

static bool refuse_in_text(struct load *load, const char *text, const char *at, const char *why)
{
	unsigned line = 1;
	for (const char *c = text; c < at; c++)
		line += *c == '\n';
	return refuse_at(load, load->path, line, why);
}

// What libconfig would let through: version 1.5 reads 4294967297 as 1 unless it ends in L, and an included file would
// escape this check.
static bool check_text(struct load *load, const char *text)
{
	static const char name_chars[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_*-";
	bool fits = true;
	const char *at = text;
	while (*at) {
		const char *start = at;
		if (isdigit((unsigned char)*at))
			at = skip_number(at, &fits);
		else if (isalpha((unsigned char)*at) || *at == '*')
			at += strspn(at, name_chars);
		else
			at = skip_comment_or_string(at);
		if (!fits)
			return refuse_in_text(load, text, start, "a number beyond 32 bits must end in L");
		if (*start == '@')
			return refuse_in_text(load, text, start, "@include is not supported");
		if (at == start)
			at++;
	}
	return true;
}

static bool read_file(struct load *load)
{
	size_t len;
	char *text auto_free = file_read(load->path, CONFIG_FILE_MAX_BYTES, &len, load->error);
	if (!text)
		return false;
	if (strlen(text) != len)
		return error_set(load->error, ERROR_INVALID, "%s holds a NUL byte", load->path);

	if (!check_text(load, text))
		return false;
	config_t parsed cleanup(config_destroy);
	config_init(&parsed);
	if (config_read_string(&parsed, text) != CONFIG_TRUE) {
		const char *file = config_error_file(&parsed);
		return refuse_at(load, file ? file : load->path, (unsigned)config_error_line(&parsed),
				 config_error_text(&parsed));
	}
	return read_group(load, config_root_setting(&parsed), "");
}

// ---- Defaults, environment, what is missing ----

static void environment_name(const struct config_table *table, const struct config_option *option,
			     char out[PATH_MAX_BYTES])
{
	(void)snprintf(out, PATH_MAX_BYTES, "MUSTER_%s_%s", table->program, option->name);
	for (char *c = out; *c; c++)
		*c = (char)(*c == '.' || *c == '-' ? '_' : toupper((unsigned char)*c));
}

static bool set_defaults(struct load *load)
{
	for (size_t i = 0; i < load->table->count; i++) {
		const struct config_option *option = &load->table->options[i];
		const char *text = option->default_text;
		char word[PATH_MAX_BYTES];
		if (text && option->type == CONFIG_CHOICE) {
			(void)snprintf(word, sizeof(word), "%.*s", (int)first_choice_bytes(option->default_text), text);
			text = word;
		}
		if (text && !set_text(load, i, text, "default"))
			return false;
	}
	return true;
}

static bool read_environment(struct load *load)
{
	for (size_t i = 0; i < load->table->count; i++) {
		char name[PATH_MAX_BYTES];
		environment_name(load->table, &load->table->options[i], name);
		const char *text = getenv(name);
		if (text && !set_text(load, i, text, name))
			return false;
	}
	return true;
}

static bool is_empty(const struct config_option *option, void *config)
{
	if (option->type == CONFIG_STRING || option->type == CONFIG_CHOICE)
		return !*(char **)member_of(option, config);
	if (option->type == CONFIG_LIST) {
		char **list = *(char ***)member_of(option, config);
		return !list || !*list;
	}
	return false;
}

static bool check_required(struct load *load)
{
	for (size_t i = 0; i < load->table->count; i++) {
		const struct config_option *option = &load->table->options[i];
		if (!option->required || (load->given[i] && !is_empty(option, load->config)))
			continue;
		char name[PATH_MAX_BYTES];
		environment_name(load->table, option, name);
		return refuse(load, load->path ? load->path : name, option->name, "is required and not set");
	}
	return true;
}

static bool load_all(struct load *load)
{
	if (!set_defaults(load) || (load->path && !read_file(load)) || !read_environment(load))
		return false;
	return check_required(load);
}

bool config_set(const struct config_table *table, void *config, const char *name, const char *text,
		struct error *error)
{
	bool given[CONFIG_OPTIONS_MAX] = {false};
	struct load load = {.table = table, .config = config, .given = given, .error = error};
	for (size_t i = 0; i < table->count && i < CONFIG_OPTIONS_MAX; i++) {
		if (strcmp(table->options[i].name, name) == 0)
			return set_text(&load, i, text, table->program);
	}
	return error_set(error, ERROR_NOT_FOUND, "there is no option \"%.64s\"", name);
}

const char *config_text(const struct config_table *table, const void *config, const char *name)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct config_option *option = &table->options[i];
		if (strcmp(option->name, name) == 0)
			return *(char *const *)((const char *)config + option->offset);
	}
	return NULL;
}

bool config_load(const struct config_table *table, const char *path, void *config, struct error *error)
{
	for (size_t i = 0; i < table->count; i++) {
		// Whatever the memory held before is not ours to free.
		const struct config_option *option = &table->options[i];
		if (option->type == CONFIG_STRING || option->type == CONFIG_CHOICE)
			*(char **)member_of(option, config) = NULL;
		else if (option->type == CONFIG_LIST)
			*(char ***)member_of(option, config) = NULL;
		else
			clear_member(option, config);
	}

	bool *given auto_free = calloc(table->count + 1, sizeof(*given));
	if (!given)
		return error_errno(error, ENOMEM, "loading the configuration");
	struct load load = {table, config, given, path, error};
	if (load_all(&load))
		return true;
	config_done(table, config);
	return false;
}

// ---- The sample ----

static void print_quoted(const char *text, size_t len, FILE *out)
{
	(void)fputc('"', out);
	for (const char *c = text; c < text + len; c++) {
		if (*c == '"' || *c == '\\')
			(void)fputc('\\', out);
		(void)fputc(*c, out);
	}
	(void)fputc('"', out);
}

static void print_list(const char *text, FILE *out)
{
	(void)fputs("[", out);
	const char *separator = "";
	while (*text) {
		char item[PATH_MAX_BYTES];
		size_t len = strcspn(text, ",");
		(void)snprintf(item, sizeof(item), "%.*s", (int)len, text);
		(void)fputs(separator, out);
		char *trimmed = trim(item);
		print_quoted(trimmed, strlen(trimmed), out);
		separator = ", ";
		text += len + (text[len] ? 1 : 0);
	}
	(void)fputs("]", out);
}

static void print_value(const struct config_option *option, FILE *out)
{
	const char *text = option->default_text ? option->default_text : "";
	switch (option->type) {
	case CONFIG_STRING:
		print_quoted(text, strlen(text), out);
		break;
	case CONFIG_CHOICE:
		print_quoted(text, first_choice_bytes(text), out);
		break;
	case CONFIG_INT:
		(void)fprintf(out, "%s", *text ? text : "0");
		break;
	case CONFIG_BOOL:
		(void)fprintf(out, "%s", *text ? text : "false");
		break;
	case CONFIG_LIST:
		print_list(text, out);
		break;
	}
}

static void print_option(const struct config_table *table, const struct config_option *option, const char *leaf,
			 int depth, FILE *out)
{
	char environment[PATH_MAX_BYTES];
	environment_name(table, option, environment);
	(void)fprintf(out, "%*s# %s", depth * 2, "", option->description);
	if (option->type == CONFIG_INT)
		(void)fprintf(out, " (%ld to %ld)", option->min, option->max);
	if (option->type == CONFIG_CHOICE)
		(void)fprintf(out, " (%s)", option->default_text);
	(void)fprintf(out, "%s [%s]\n", option->required ? "; required" : "", environment);
	(void)fprintf(out, "%*s%s%s = ", depth * 2, "", option->default_text ? "" : "# ", leaf);
	print_value(option, out);
	(void)fputs(";\n", out);
}

// Whether an option before this one stands in the same group, so that the group was printed with it.
static bool group_printed(const struct config_table *table, size_t index, size_t prefix_bytes)
{
	const char *name = table->options[index].name;
	for (size_t i = 0; i < index; i++)
		if (strncmp(table->options[i].name, name, prefix_bytes) == 0)
			return true;
	return false;
}

static void print_group(const struct config_table *table, const char *prefix, int depth, FILE *out)
{
	size_t prefix_bytes = strlen(prefix);
	for (size_t i = 0; i < table->count; i++) {
		const struct config_option *option = &table->options[i];
		if (strncmp(option->name, prefix, prefix_bytes) != 0)
			continue;
		const char *rest = option->name + prefix_bytes;
		const char *dot = strchr(rest, '.');
		if (!dot) {
			print_option(table, option, rest, depth, out);
			continue;
		}
		size_t group_bytes = (size_t)(dot + 1 - option->name);
		if (group_printed(table, i, group_bytes))
			continue;
		char group[PATH_MAX_BYTES];
		(void)snprintf(group, sizeof(group), "%.*s", (int)group_bytes, option->name);
		(void)fprintf(out, "%s%*s%.*s = {\n", depth == 0 ? "\n" : "", depth * 2, "", (int)(dot - rest), rest);
		print_group(table, group, depth + 1, out);
		(void)fprintf(out, "%*s};\n", depth * 2, "");
	}
}

void config_print_sample(const struct config_table *table, FILE *out)
{
	(void)fprintf(out,
		      "# Configuration of muster-%s: every option with its default. In brackets stands the\n"
		      "# environment variable that overrides it.\n",
		      table->program);
	print_group(table, "", 0, out);
}
