#include "commander/reply.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void tells_a_state(void **state)
{
	struct buf text;
	const struct reply_state reply = {
		.request = "my-1",
		.command = "0f8c2a10-0000-4000-8000-000000000001",
		.device = "kiosk-7",
		.action = "ping",
		.state = "succeeded",
		.at_ms = 1767225600123,
		.output = "{\"pong\": true}",
	};

	buf_init(&text, REPLY_MAX_BYTES);
	reply_state_json(&reply, &text);
	assert_string_equal(
		buf_str(&text),
		"{\"request\":\"my-1\",\"command\":\"0f8c2a10-0000-4000-8000-000000000001\",\"device\":\"kiosk-7\","
		"\"action\":\"ping\",\"state\":\"succeeded\",\"at\":\"2026-01-01T00:00:00.123Z\","
		"\"output\":{\"pong\": true}}");
	buf_done(&text);
}

static void leaves_out_what_there_is_not(void **state)
{
	struct buf text;
	const struct reply_state reply = {.request = "",
					  .command = "c",
					  .device = "d",
					  .action = "a",
					  .state = "failed",
					  .reason = "it's \"broken\""};

	buf_init(&text, REPLY_MAX_BYTES);
	reply_state_json(&reply, &text);
	assert_null(strstr(buf_str(&text), "request"));
	assert_null(strstr(buf_str(&text), "output"));
	assert_non_null(strstr(buf_str(&text), "\"reason\":\"it's \\\"broken\\\"\"}"));
	buf_clear(&text);
	reply_refusal_json(NULL, "unknown device", "no device", &text);
	assert_string_equal(buf_str(&text), "{\"error\":\"unknown device\",\"detail\":\"no device\"}");
	buf_done(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tells_a_state),
		cmocka_unit_test(leaves_out_what_there_is_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
