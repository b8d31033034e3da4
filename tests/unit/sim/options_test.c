#include "tools/sim/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WORDS_MAX 24

static struct error error;

static enum options_verdict parse(const char *line, struct options *out)
{
	static char copy[512];
	char *argv[WORDS_MAX + 1];
	int argc = 0;
	char *rest;

	strncpy(copy, line, sizeof(copy) - 1);
	for (char *word = strtok_r(copy, " ", &rest); word && argc < WORDS_MAX; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	argv[argc] = NULL;
	memset(&error, 0, sizeof(error));
	return options_parse(argc, argv, out, &error);
}

static void test_takes_all_forms(void **state)
{
	struct options options;

	assert_int_equal(parse("muster-sim run --state s --bridge https://b --ca c --token-file t --count 25"
			       " --interval-ms=250 --batch 3 --forget-on-puback --json --limit 7",
			       &options),
			 OPTIONS_GO);
	assert_string_equal(options.state_dir, "s");
	assert_string_equal(options.bridge_url, "https://b");
	assert_string_equal(options.prefix, "sim-");
	assert_int_equal(options.count, 25);
	assert_int_equal(options.interval_ms, 250);
	assert_int_equal(options.batch, 3);
	assert_int_equal(options.limit, 7);
	assert_int_equal(options.stall_s, 30);
	assert_true(options.forget_on_puback);
	assert_true(options.json);
	assert_int_equal(options.plain_port, 0);
}

static void test_plain_needs_no_enrolment(void **state)
{
	struct options options;

	assert_int_equal(parse("muster-sim run --plain-port 1883 --host localhost", &options), OPTIONS_GO);
	assert_int_equal(options.plain_port, 1883);
	assert_int_equal(parse("muster-sim run --plain-port 1883", &options), OPTIONS_BAD);
}

static void test_refuses(void **state)
{
	static const char *const lines[] = {
		"muster-sim",
		"muster-sim walk",
		"muster-sim run",
		"muster-sim run --state s --bridge b --ca c",
		"muster-sim run --plain-port 1883 --host h extra",
		"muster-sim run --plain-port 1883 --host h --bogus",
		"muster-sim run --plain-port 1883 --host h --count",
		"muster-sim run --plain-port 1883 --host h --count 0",
		"muster-sim run --plain-port 1883 --host h --count 7x",
		"muster-sim run --plain-port 1883 --host h --batch 101",
		"muster-sim run --plain-port 1883 --host h --json=1",
		"muster-sim run --plain-port 99999 --host h",
		"muster-sim run --plain-port 1883 --host h --sign",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct options options = {.count = -1};

		assert_int_equal(parse(lines[i], &options), OPTIONS_BAD);
		assert_int_equal(error.kind, ERROR_INVALID);
		assert_int_equal(options.count, -1);
	}
}

static void test_help_names_every_option(void **state)
{
	char *text = NULL;
	size_t len_bytes = 0;
	struct options options;
	FILE *out = open_memstream(&text, &len_bytes);

	assert_int_equal(parse("muster-sim run --help", &options), OPTIONS_HELP);
	assert_int_equal(parse("muster-sim --version", &options), OPTIONS_VERSION);
	assert_non_null(out);
	options_print_help(out);
	assert_int_equal(fclose(out), 0);
	assert_non_null(strstr(text, "--forget-on-puback"));
	assert_non_null(strstr(text, "--interval-ms N"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_takes_all_forms),
		cmocka_unit_test(test_plain_needs_no_enrolment),
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_help_names_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
