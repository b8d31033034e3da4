#include "agent/settings.h"

#include "common/file.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#define FILE_MAX_BYTES 65536

static void path_of(const char *state_dir, char path[PATH_MAX])
{
	(void)snprintf(path, PATH_MAX, "%s/settings.json", state_dir);
}

static bool set_one(struct agent_options *options, const char *name, const struct json *value, struct error *error)
{
	const char *text = NULL;
	char number[24];
	int64_t integer;
	bool flag;
	if (json_as_string(value, &text)) {
		// as it is
	} else if (json_as_int(value, &integer)) {
		(void)snprintf(number, sizeof(number), "%" PRId64, integer);
		text = number;
	} else if (json_as_bool(value, &flag)) {
		text = flag ? "true" : "false";
	} else {
		return error_set(error, ERROR_INVALID, "\"%.64s\" must be a string, an integer, true or false", name);
	}
	return config_set(&agent_options_table, options, name, text, error);
}

// Over options where they are given.
static bool apply(const struct json *config, struct agent_options *options, struct error *error)
{
	for (struct json_iterator it = json_begin(config); json_next(&it);) {
		if (!agent_options_settable(it.name, NULL))
			return error_set(error, ERROR_DENIED,
					 "\"%.64s\" is no option that can be set from afar; those are: %s", it.name,
					 AGENT_OPTIONS_SETTABLE);
		if (json_type(it.value) != JSON_NULL && !set_one(options, it.name, it.value, error))
			return false;
	}
	return true;
}

static void options_cleanup(struct agent_options *options)
{
	config_done(&agent_options_table, options);
}

bool settings_check(const struct json *config, struct error *error)
{
	struct agent_options scratch cleanup(options_cleanup) = {0};
	return apply(config, &scratch, error);
}

static struct json *read_settings(const char *state_dir, struct error *error)
{
	char path[PATH_MAX];
	size_t len_bytes = 0;
	path_of(state_dir, path);
	if (!file_exists(path))
		return json_new_object();
	char *text auto_free = file_read(path, FILE_MAX_BYTES, &len_bytes, error);
	struct json *settings = text ? json_parse(text, len_bytes, error) : NULL;
	if (settings && json_type(settings) == JSON_OBJECT)
		return settings;
	if (settings)
		(void)error_set(error, ERROR_INVALID, "it is no JSON object");
	json_free(settings);
	(void)error_prefix(error, "%s", path);
	return NULL;
}

bool settings_store(const char *state_dir, const struct json *config, struct json *later, struct error *error)
{
	char path[PATH_MAX];
	struct json *merged auto_json = json_new_object();
	struct json *former auto_json = read_settings(state_dir, NULL); // a damaged one is replaced
	path_of(state_dir, path);
	for (struct json_iterator it = json_begin(former); former && json_next(&it);) {
		if (!json_member(config, it.name))
			json_set(merged, it.name, json_copy(it.value));
	}
	for (struct json_iterator it = json_begin(config); json_next(&it);) {
		bool at_once = false;
		bool back = json_type(it.value) == JSON_NULL;
		if (!back)
			json_set(merged, it.name, json_copy(it.value));
		if (agent_options_settable(it.name, &at_once) && (back || !at_once))
			json_append_string(later, it.name);
	}
	const char *text = json_text(merged);
	return file_write(path, text, strlen(text), 0600, error);
}

bool settings_load(struct agent_options *options, struct error *error)
{
	struct json *settings auto_json = read_settings(options->state_dir, error);
	return settings && settings_check(settings, error) && apply(settings, options, error);
}
