#include "common/alert_words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void every_kind_says_what_it_looks_for(void **state)
{
	static const struct {
		const char *kind, *params, *words;
	} cases[] = {
		{"offline", "{}", "offline for 30 min"},
		{"offline", "{\"for_s\":0,\"goodbye\":\"ignored\"}", "offline, unless it said goodbye"},
		{"offline", "{\"for_s\":5400}", "offline for 1 h 30 min"},
		{"offline", "{\"for_s\":86400}", "offline for 1 day"},
		{"battery", "{\"below\":20,\"for_s\":600,\"margin\":0}",
		 "battery below 20 % and not charging for 10 min"},
		{"battery", "{\"below\":20}", "battery below 20 % and not charging for 5 min (over again at 25 %)"},
		{"disk", "{}", "disk more than 90 % full for 10 min (over again at 88 %)"},
		{"metric", "{\"metric\":\"temperature_c\",\"value\":85,\"margin\":5}",
		 "temperature above 85 \xc2\xb0"
		 "C for 5 min (over again at 80 \xc2\xb0"
		 "C)"},
		{"metric",
		 "{\"metric\":\"disk_free\",\"when\":\"below\",\"value\":2500000000,\"margin\":5e8,\"for_s\":90}",
		 "free disk below 2.5 GB for 1 min 30 s (over again at 3 GB)"},
		{"metric", "{\"metric\":\"pressure {value}[x:\",\"value\":-0.5,\"for_s\":0}",
		 "pressure {value}[x: above -0.5"},
		{"metric", "{\"metric\":\"uptime_s\",\"value\":1209600,\"for_s\":0}", "uptime above 14 days"},
		{"fingerprint", "{}", "at least 1 connection with another fingerprint"},
		{"certificate", "{\"days\":1}", "certificate not renewed 1 day before it ends"},
		{"certificate", "{}", "certificate not renewed 14 days before it ends"},
		{"command", "{}", "at least 5 commands failed, expired or rejected within 1 h"},
		{"campaign", "{}", "stopped itself, or more than 50 % failed of at least 10 commands that ended"},
		{"quarantine", "{\"window_s\":172801}", "at least 100 messages not stored within 2 days 1 s"},
		{"ingest", "{}", "nothing taken in for 2 min"},
		{"push", "{\"for_s\":0}", "push service away"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		auto_json struct json *given = json_parse(cases[i].params, strlen(cases[i].params), NULL);
		auto_json struct json *params = NULL;
		struct error error = {0};
		auto_buf struct buf words;

		if (!alert_kind_check(alert_kind_find(cases[i].kind), given, &params, &error))
			fail_msg("%s: %s", cases[i].params, error.what);
		buf_init(&words, 400);
		alert_words(alert_kind_find(cases[i].kind), params, &words);
		assert_string_equal(buf_str(&words), cases[i].words);
	}
}

// Nothing of a parameter's name is left in any sentence, and none is empty, whatever is missing.
static void no_kind_shows_a_raw_name(void **state)
{
	size_t count = 0;
	const struct alert_kind *table = alert_kind_table(&count);
	auto_json struct json *nothing = json_new_object();

	for (size_t i = 0; i < count; i++) {
		auto_buf struct buf words;

		buf_init(&words, 400);
		alert_words(&table[i], nothing, &words);
		assert_true(words.len_bytes > 0);
		assert_null(strpbrk(buf_str(&words), "{}[]_"));
		for (size_t k = 0; k < table[i].param_count; k++)
			assert_null(strchr(table[i].params[k].label, '_'));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_says_what_it_looks_for),
		cmocka_unit_test(no_kind_shows_a_raw_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
