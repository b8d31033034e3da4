#include "agent/settings.h"

#include "tests/unit/scratch.h"

static struct json *object(const char *text)
{
	struct error error = {0};
	struct json *json = json_parse(text, strlen(text), &error);
	assert_non_null(json);
	return json;
}

static void refuses(const char *text, const char *says)
{
	struct error error = {0};
	struct json *config auto_json = object(text);
	if (settings_check(config, &error))
		fail_msg("%s: was accepted", text);
	if (!strstr(error.what, says))
		fail_msg("%s: \"%s\" does not say \"%s\"", text, error.what, says);
}

static void only_what_is_settable_and_sound(void **state)
{
	struct error error = {0};
	struct json *sound auto_json = object("{\"interval_s\":60,\"log_level\":\"debug\",\"watch.tries\":null}");
	assert_true(settings_check(sound, &error));
	refuses("{\"actions\":[\"run\"]}", "no option that can be set from afar");
	refuses("{\"run.user\":\"root\"}", "no option that can be set from afar");
	refuses("{\"state_dir\":\"/tmp\"}", "no option that can be set from afar");
	refuses("{\"interval_s\":0}", "must be within 1 and 86400");
	refuses("{\"interval_s\":\"soon\"}", "whole number");
	refuses("{\"interval_s\":{}}", "must be a string, an integer");
	refuses("{\"log_level\":\"loud\"}", "must be one of info|error|warn|debug");
}

static void store(const char *folder, const char *text, const char *expected_later)
{
	struct error error = {0};
	struct json *config auto_json = object(text);
	struct json *later auto_json = json_new_array();
	if (!settings_store(folder, config, later, &error))
		fail_msg("%s", error.what);
	assert_string_equal(json_text(later), expected_later);
}

static void what_was_set_counts_for_more_than_the_file(void **state)
{
	const char *folder = ((struct scratch *)*state)->folder;
	char *config auto_free = scratch_write(state, "agent.conf", "interval_s = 10;\nlog_level = \"warn\";\n", 0600);
	struct agent_options options;
	struct error error = {0};
	store(folder, "{\"interval_s\":60,\"commands.parallel\":2}", "[\"commands.parallel\"]");
	store(folder, "{\"log_level\":\"debug\"}", "[]");
	assert_true(config_load(&agent_options_table, config, &options, &error));
	free(options.state_dir);
	options.state_dir = strdup(folder);
	assert_true(settings_load(&options, &error));
	assert_int_equal(options.interval_s, 60);
	assert_int_equal(options.parallel, 2);
	assert_string_equal(options.log_level, "debug");
	config_done(&agent_options_table, &options);

	store(folder, "{\"interval_s\":null,\"log_level\":null}", "[\"interval_s\",\"log_level\"]");
	assert_true(config_load(&agent_options_table, config, &options, &error));
	free(options.state_dir);
	options.state_dir = strdup(folder);
	assert_true(settings_load(&options, &error));
	assert_int_equal(options.interval_s, 10);
	assert_string_equal(options.log_level, "warn");

	// A damaged file, or one of another version, changes nothing and is replaced by the next setting.
	free(scratch_write(state, "settings.json", "{\"interval_s\":60,\"root\":\"/x\"}", 0600));
	assert_false(settings_load(&options, &error));
	assert_int_equal(options.interval_s, 10);
	free(scratch_write(state, "settings.json", "{", 0600));
	assert_false(settings_load(&options, &error));
	store(folder, "{\"interval_s\":7}", "[]");
	assert_true(settings_load(&options, &error));
	assert_int_equal(options.interval_s, 7);
	config_done(&agent_options_table, &options);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_what_is_settable_and_sound),
		TEST(what_was_set_counts_for_more_than_the_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
