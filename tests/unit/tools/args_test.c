#include "tools/args.h"

#include "tests/unit/scratch.h"

static const struct args_option own[] = {{"count", "N", "a number"},
					 {"for", "TIME", "a time"},
					 {"wait", NULL, "a flag"},
					 {"arg", "A", "may be repeated"},
					 {0}};
static const struct args_option common[] = {{"json", NULL, "a flag"}, {0}};
static const struct args_option *const tables[] = {own, common};

static bool parse(struct args *args, struct error *error, const char *const *words)
{
	int count = 0;
	while (words[count])
		count++;
	return args_parse(args, tables, 2, count, (char **)words, error);
}
#define PARSE(args, error, ...) parse(args, error, (const char *const[]){__VA_ARGS__, NULL})

static void options_and_operands_mix(void **state)
{
	struct args args;
	assert_true(PARSE(&args, NULL, "dev-1", "--wait", "--count", "3", "ping", "--json", "--arg=a", "--arg", "--b"));
	assert_int_equal(args.operand_count, 2);
	assert_string_equal(args.operands[0], "dev-1");
	assert_string_equal(args.operands[1], "ping");
	assert_true(args_has(&args, "wait") && args_has(&args, "json") && !args_has(&args, "for"));
	assert_string_equal(args_value(&args, "count"), "3");
	size_t at = 0;
	assert_string_equal(args_next(&args, "arg", &at), "a");
	assert_string_equal(args_next(&args, "arg", &at), "--b");
	assert_null(args_next(&args, "arg", &at));
}

static void behind_two_dashes_there_are_only_operands(void **state)
{
	struct args args;
	assert_true(PARSE(&args, NULL, "--", "--wait", "-x"));
	assert_int_equal(args.operand_count, 2);
	assert_false(args_has(&args, "wait"));
}

static void misuse_is_named(void **state)
{
	static const struct {
		const char *words[3];
		const char *named;
	} cases[] = {{{"--fly", NULL}, "--fly"},
		     {{"--count", NULL}, "--count needs a value"},
		     {{"--wait=1", NULL}, "--wait takes no value"},
		     {{"--coun", "1", NULL}, "--coun"},
		     {{"-w", NULL}, "-w"}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct args args;
		struct error error = {0};
		assert_false(parse(&args, &error, cases[i].words));
		assert_int_equal(error.kind, ERROR_INVALID);
		assert_non_null(strstr(error.what, cases[i].named));
	}
}

static void too_many_are_refused(void **state)
{
	struct args args;
	struct error error = {0};
	const char *words[ARGS_OPERANDS_MAX + 2] = {NULL};
	for (size_t i = 0; i < ARGS_OPERANDS_MAX; i++)
		words[i] = "x";
	assert_true(parse(&args, &error, words));
	words[ARGS_OPERANDS_MAX] = "x";
	assert_false(parse(&args, &error, words));
	assert_int_equal(error.kind, ERROR_LIMIT);
}

static void numbers_have_their_range(void **state)
{
	struct args args;
	struct error error;
	long value = 0;
	assert_true(PARSE(&args, &error, "--count", "12"));
	assert_true(args_int(&args, "count", 1, 20, 5, &value, &error));
	assert_int_equal(value, 12);
	assert_false(args_int(&args, "count", 1, 11, 5, &value, &error));
	assert_int_equal(value, 12);
	static const char *const bad[] = {"", "1x", "x", "99999999999999999999", "1.5"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_true(PARSE(&args, &error, "--count", bad[i]));
		assert_false(args_int(&args, "count", 1, 20, 5, &value, &error));
	}
	assert_true(PARSE(&args, &error, "x"));
	assert_true(args_int(&args, "count", 1, 20, 5, &value, &error));
	assert_int_equal(value, 5);
}

static void times_have_units(void **state)
{
	static const struct {
		const char *text;
		long seconds; // 0: refused
	} cases[] = {{"90", 90}, {"90s", 90}, {"15m", 900}, {"12h", 43200}, {"7d", 604800},   {"0", 0},
		     {"-1h", 0}, {"h", 0},    {"1w", 0},    {"1hh", 0},	    {"999999999d", 0}};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct args args;
		struct error error;
		long seconds = 0;
		assert_true(PARSE(&args, &error, "--for", cases[i].text));
		assert_int_equal(args_duration(&args, "for", 1, &seconds, &error), cases[i].seconds != 0);
		assert_int_equal(seconds, cases[i].seconds);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_and_operands_mix), cmocka_unit_test(behind_two_dashes_there_are_only_operands),
		cmocka_unit_test(misuse_is_named),	    cmocka_unit_test(too_many_are_refused),
		cmocka_unit_test(numbers_have_their_range), cmocka_unit_test(times_have_units),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
