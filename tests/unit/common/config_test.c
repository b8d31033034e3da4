#include "common/config.h"

#include "common/limits.h"
#include "tests/unit/scratch.h"

struct sample {
	char *name;
	char *host;
	long port;
	bool tls;
	char **topics;
	char *deep;
	long big;
	char *mode;
};

static const struct config_option options[] = {
	{"name", CONFIG_STRING, offsetof(struct sample, name), NULL, 0, 8, true, "Who this is"},
	{"broker.host", CONFIG_STRING, offsetof(struct sample, host), "localhost", 0, 0, false, "Broker's name"},
	{"broker.port", CONFIG_INT, offsetof(struct sample, port), "8883", 1, 65535, false, "Broker's port"},
	{"broker.tls", CONFIG_BOOL, offsetof(struct sample, tls), "true", 0, 0, false, "Whether to use TLS"},
	{"topics", CONFIG_LIST, offsetof(struct sample, topics), "a, b", 0, 0, false, "Topics"},
	{"broker.more.deep-one", CONFIG_STRING, offsetof(struct sample, deep), NULL, 0, 0, false, "A \"deep\" one"},
	{"big", CONFIG_INT, offsetof(struct sample, big), NULL, -1, 10000000000, false, "A big number"},
	{"mode", CONFIG_CHOICE, offsetof(struct sample, mode), "slow|fast", 0, 0, false, "One of two"},
};
static const struct config_table table = {"unit", options, sizeof(options) / sizeof(options[0])};

static void load_ok(const char *path, struct sample *sample)
{
	struct error error = {0};
	memset(sample, 0x5a, sizeof(*sample)); // what was there before must not matter
	if (!config_load(&table, path, sample, &error))
		fail_msg("%s", error.what);
}

static void defaults_alone(void **state)
{
	(void)state;
	struct sample sample;
	assert_int_equal(setenv("MUSTER_UNIT_NAME", "me", 1), 0);
	load_ok(NULL, &sample);
	assert_string_equal(sample.name, "me");
	assert_string_equal(sample.host, "localhost");
	assert_int_equal(sample.port, 8883);
	assert_true(sample.tls);
	assert_string_equal(sample.topics[0], "a");
	assert_string_equal(sample.topics[1], "b");
	assert_null(sample.topics[2]);
	assert_null(sample.deep);
	assert_int_equal(sample.big, 0);
	assert_string_equal(sample.mode, "slow");
	assert_string_equal(config_text(&table, &sample, "mode"), "slow");
	assert_null(config_text(&table, &sample, "modes"));
	config_done(&table, &sample);
	assert_null(sample.name);
	config_done(&table, &sample); // twice is fine
	assert_int_equal(unsetenv("MUSTER_UNIT_NAME"), 0);
}

static void the_file_overrides_defaults_and_the_environment_the_file(void **state)
{
	char *path auto_free =
		scratch_write(state, "unit.conf",
			      "# a comment\nname = \"file\";\nbroker: { host = \"b\"; port = 0x10; tls = false;\n"
			      "  more = { deep-one = \"x\"; } };\ntopics = [\"one\", \"two, 99999999999\"]; mode = \"fast\";\n"
			      "/* 99999999999 */ big = 9999999999L; // 99999999999\n",
			      0644);
	struct sample sample;
	load_ok(path, &sample);
	assert_string_equal(sample.name, "file");
	assert_string_equal(sample.host, "b");
	assert_int_equal(sample.port, 16);
	assert_false(sample.tls);
	assert_string_equal(sample.topics[0], "one");
	assert_string_equal(sample.topics[1], "two, 99999999999");
	assert_null(sample.topics[2]);
	assert_string_equal(sample.deep, "x");
	assert_int_equal(sample.big, 9999999999);
	assert_string_equal(sample.mode, "fast");
	config_done(&table, &sample);

	static const char *const environment[][2] = {{"MUSTER_UNIT_BROKER_HOST", "env"},
						     {"MUSTER_UNIT_BROKER_PORT", "99"},
						     {"MUSTER_UNIT_BROKER_TLS", "true"},
						     {"MUSTER_UNIT_TOPICS", " x ,,y"},
						     {"MUSTER_UNIT_BROKER_MORE_DEEP_ONE", ""}};
	for (size_t i = 0; i < sizeof(environment) / sizeof(environment[0]); i++)
		assert_int_equal(setenv(environment[i][0], environment[i][1], 1), 0);
	load_ok(path, &sample);
	assert_string_equal(sample.host, "env");
	assert_int_equal(sample.port, 99);
	assert_true(sample.tls);
	assert_string_equal(sample.topics[0], "x");
	assert_string_equal(sample.topics[1], "y");
	assert_null(sample.topics[2]);
	assert_null(sample.deep); // an empty string is none
	config_done(&table, &sample);
	for (size_t i = 0; i < sizeof(environment) / sizeof(environment[0]); i++)
		assert_int_equal(unsetenv(environment[i][0]), 0);
}

static void faults_name_file_and_line(void **state)
{
	static const struct {
		const char *text;
		int line; // 0: the file as a whole
		const char *what;
	} cases[] = {
		{"name = \"x\";\nhost = \"y\";\n", 2, "host is unknown"},
		{"name = \"x\";\nbroker = { host = \"a\";\n  porrt = 1; };\n", 3, "broker.porrt is unknown"},
		{"name = \"x\";\nbroker = { more = { deep-one = \"a\"; extra = 1; }; };\n", 2, "more.extra is unknown"},
		{"name = \"x\";\n\nother = { a = 1; };\n", 3, "other is unknown"},
		{"name = \"x\";\nbroker = 5;\n", 2, "must be a group"},
		{"name = \"x\";\ntopics = { a = \"b\"; };\n", 2, "must be a list"},
		{"name = { a = 1; };\n", 1, "must be a string"},
		{"name = 5;\n", 1, "must be a string"},
		{"name = \"x\";\nbroker = { port = \"1883\"; };\n", 2, "whole number"},
		{"name = \"x\";\nbroker = { port = 1.5; };\n", 2, "whole number"},
		{"name = \"x\";\nbroker = { port = 0; };\n", 2, "within 1 and 65535"},
		{"name = \"x\";\nbroker = { port = 65536; };\n", 2, "within 1 and 65535"},
		{"name = \"x\";\nbroker = { port = 4294967297L; };\n", 2, "within 1 and 65535"},
		{"name = \"x\";\nbroker = { port = 4294967297; };\n", 2, "must end in L"},
		{"name = \"\\\"x\";\nbroker = { port = 0x100000001; };\n", 2, "must end in L"},
		{"name = \"x\"; # 1\nbig = 99999999999999999999999;\n", 2, "must end in L"},
		{"name = \"x\";\nbroker = { tls = 1; };\n", 2, "true or false"},
		{"name = \"x\";\nbroker = { tls = \"true\"; };\n", 2, "true or false"},
		{"name = \"x\";\ntopics = [1, 2];\n", 2, "list of strings"},
		{"name = \"x\";\ntopics = \"a,b\";\n", 2, "list of strings"},
		{"name = \"123456789\";\n", 1, "too long"},
		{"name = \"x\";\nbroker = { host = \"\"; };\n", 2, "must not be empty"},
		{"name = \"x\";\nmode = \"fas\";\n", 2, "one of slow|fast"},
		{"name = \"x\";\nmode = \"slow|fast\";\n", 2, "one of slow|fast"},
		{"name = \"x\";\nmode = \"\";\n", 2, "one of slow|fast"},
		{"name = \"x\";\nmode = 1;\n", 2, "must be a string"},
		{"name = \"x\";\nname = \"y\";\n", 2, ""},
		{"name = \"x\";\nbroker = {\n", 3, ""},
		{"name = \"x\n", 0, ""},
		{"broker = { port = 1; };\n", 0, "name is required"},
		{"name = \"\";\n", 0, "name is required"},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *path auto_free = scratch_write(state, "unit.conf", cases[i].text, 0644);
		struct sample sample;
		struct error error = {0};
		if (config_load(&table, path, &sample, &error))
			fail_msg("accepted: %s", cases[i].text);
		assert_int_equal(error.kind, ERROR_INVALID);
		char where[PATH_MAX];
		(void)snprintf(where, sizeof(where), "%s:%d", path, cases[i].line);
		if (!strstr(error.what, cases[i].what) ||
		    (cases[i].line ? strcmp(error.where, where) != 0 : strncmp(error.where, path, strlen(path)) != 0))
			fail_msg("%s gave '%s' at '%s'", cases[i].text, error.what, error.where);
		assert_null(sample.name); // nothing is left to free
		assert_null(sample.topics);
	}
}

static void faults_of_the_environment_name_the_variable(void **state)
{
	static const char *const cases[][2] = {
		{"MUSTER_UNIT_BROKER_PORT", "x"},
		{"MUSTER_UNIT_BROKER_PORT", ""},
		{"MUSTER_UNIT_BROKER_PORT", "1 "},
		{"MUSTER_UNIT_BROKER_PORT", "70000"},
		{"MUSTER_UNIT_BROKER_PORT", "99999999999999999999"},
		{"MUSTER_UNIT_BROKER_TLS", "yes"},
		{"MUSTER_UNIT_NAME", "123456789"},
	};
	char *path auto_free = scratch_write(state, "unit.conf", "name = \"x\";\n", 0644);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(setenv(cases[i][0], cases[i][1], 1), 0);
		struct sample sample;
		struct error error = {0};
		if (config_load(&table, path, &sample, &error))
			fail_msg("accepted: %s=%s", cases[i][0], cases[i][1]);
		assert_string_equal(error.where, cases[i][0]);
		assert_int_equal(unsetenv(cases[i][0]), 0);
	}
}

static void files_that_are_none(void **state)
{
	char *included auto_free = scratch_write(state, "included.conf", "name = \"x\";\n", 0644);
	char *text auto_free = NULL;
	assert_true(asprintf(&text, "# @include\n@include \"%s\"\n", included) > 0);
	char *including auto_free = scratch_write(state, "including.conf", text, 0644);
	char *missing auto_free = scratch_path(state, "none.conf");
	struct sample sample;
	struct error error = {0};
	assert_false(config_load(&table, missing, &sample, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	assert_false(config_load(&table, including, &sample, &error));
	assert_non_null(strstr(error.what, "including.conf:2: @include"));

	char *huge auto_free = malloc(CONFIG_FILE_MAX_BYTES + 2);
	assert_non_null(huge);
	memset(huge, '#', CONFIG_FILE_MAX_BYTES + 1);
	huge[CONFIG_FILE_MAX_BYTES + 1] = '\0';
	char *path auto_free = scratch_write(state, "huge.conf", huge, 0644);
	assert_false(config_load(&table, path, &sample, &error));
	assert_int_equal(error.kind, ERROR_LIMIT);
}

static void the_sample_holds_every_option_and_loads(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	assert_non_null(out);
	config_print_sample(&table, out);
	(void)fclose(out);

	assert_non_null(strstr(text, "  # Broker's port (1 to 65535) [MUSTER_UNIT_BROKER_PORT]\n  port = 8883;\n"));
	assert_non_null(strstr(text, "# Who this is; required [MUSTER_UNIT_NAME]\n# name = \"\";\n"));
	assert_non_null(strstr(text, "topics = [\"a\", \"b\"];"));
	char *group = strstr(text, "broker = {");
	assert_non_null(group);
	assert_null(strstr(group + 1, "broker = {"));

	char *path auto_free = scratch_write(state, "sample.conf", text, 0644);
	assert_int_equal(setenv("MUSTER_UNIT_NAME", "me", 1), 0);
	struct sample sample;
	load_ok(path, &sample);
	assert_int_equal(sample.port, 8883);
	assert_string_equal(sample.topics[1], "b");
	config_done(&table, &sample);

	// And with every option uncommented.
	for (char *mark = strstr(text, "# "); mark; mark = strstr(mark + 1, "# "))
		if (strstr(mark, " = ") && strcspn(mark, "\n") > (size_t)(strstr(mark, " = ") - mark) &&
		    !strchr("ABTW", mark[2]))
			memcpy(mark, "  ", 2);
	char *whole auto_free = scratch_write(state, "whole.conf", text, 0644);
	load_ok(whole, &sample);
	assert_string_equal(sample.name, "me");
	config_done(&table, &sample);
	assert_int_equal(unsetenv("MUSTER_UNIT_NAME"), 0);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_alone),
		cmocka_unit_test_setup_teardown(the_file_overrides_defaults_and_the_environment_the_file, scratch_setup,
						scratch_teardown),
		cmocka_unit_test_setup_teardown(faults_name_file_and_line, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(faults_of_the_environment_name_the_variable, scratch_setup,
						scratch_teardown),
		cmocka_unit_test_setup_teardown(files_that_are_none, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(the_sample_holds_every_option_and_loads, scratch_setup,
						scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
