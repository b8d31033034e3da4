#include "dashboard/targets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void targets_cleanup(struct targets *targets)
{
	targets_done(targets);
}

static void becomes(const char *text, const char *query, const char *devices)
{
	auto_json struct json *body = json_parse(text, strlen(text), NULL);
	struct targets targets cleanup(targets_cleanup) = {.query = {0}};
	struct error error = {0};

	targets_init(&targets);
	if (!targets_read(body, &targets, &error))
		fail_msg("%s: %s", text, error.what);
	assert_string_equal(buf_str(&targets.query), query);
	assert_string_equal(buf_str(&targets.devices), devices);
}

static void each_kind_becomes_a_query_or_a_list(void **state)
{
	becomes("{\"target\":{\"device\":\"kiosk-7\"}}", "device:\"kiosk-7\"", "");
	becomes("{\"target\":{\"tag\":\"front \\\"desk\\\\\"}}", "tag:\"front \\\"desk\\\\\"", "");
	becomes("{\"target\":{\"group\":\"wired\"}}", "group:\"wired\"", "");
	becomes("{\"target\":{\"filter\":\"weak\"}}", "filter:\"weak\"", "");
	becomes("{\"target\":{\"query\":\"tag:a battery<20\"}}", "tag:a battery<20", "");
	becomes("{\"target\":{\"all\":true}}", "", "");
	becomes("{\"target\":{\"devices\":[\"a\",\"b-2\"]}}", "", "{a,b-2}");
}

static void refused(const char *text, const char *says)
{
	auto_json struct json *body = json_parse(text, strlen(text), NULL);
	struct targets targets cleanup(targets_cleanup) = {.query = {0}};
	struct error error = {0};

	targets_init(&targets);
	if (targets_read(body, &targets, &error))
		fail_msg("%s was taken", text);
	if (!strstr(error.what, says))
		fail_msg("%s: %s", text, error.what);
}

static void nothing_is_everything_by_mistake(void **state)
{
	refused("{}", "exactly one");
	refused("{\"target\":[]}", "exactly one");
	refused("{\"target\":{}}", "exactly one");
	refused("{\"target\":{\"tag\":\"a\",\"all\":true}}", "exactly one");
	refused("{\"target\":{\"all\":false}}", "only be true");
	refused("{\"target\":{\"query\":\"\"}}", "empty");
	refused("{\"target\":{\"query\":\"  \"}}", "empty");
	refused("{\"target\":{\"tag\":\"\"}}", "must be a text");
	refused("{\"target\":{\"tag\":7}}", "must be a text");
	refused("{\"target\":{\"devices\":[]}}", "1 to 5000");
	refused("{\"target\":{\"devices\":[\"a\",\"B}\"]}}", "\"B}\" is no device id");
	refused("{\"target\":{\"who\":\"a\"}}", "no member \"who\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_kind_becomes_a_query_or_a_list),
		cmocka_unit_test(nothing_is_everything_by_mistake),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
