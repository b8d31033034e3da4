#include "commander/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct digest_item item(enum digest_what what, const char *severity, const char *object)
{
	return (struct digest_item){.what = what,
				    .id = "7",
				    .severity = severity,
				    .rule = "Device offline",
				    .kind = "offline",
				    .object = object,
				    .device = object,
				    .title = "offline since noon",
				    .looks_for = "offline for 30 min",
				    .raised_at = "2026-01-01T12:00:00Z",
				    .cleared_at = what == DIGEST_CLEARED ? "2026-01-01T13:00:00Z" : NULL};
}

static struct digest digest_of(struct digest_item *items, size_t count)
{
	struct digest digest = {.id = "0b5b8a2e-0000-4000-8000-000000000000",
				.time = "2026-01-01T12:01:00Z",
				.public_url = "https://muster.example.org",
				.tenant = "default",
				.channel = "ops",
				.items = items,
				.count = count};

	for (size_t i = 0; i < count; i++) {
		digest.raised += items[i].what == DIGEST_RAISED;
		digest.cleared += items[i].what == DIGEST_CLEARED;
		digest.still += items[i].what == DIGEST_STILL;
		items[i].of_rule = 0;
		for (size_t k = 0; k < count; k++)
			items[i].of_rule += items[k].what == items[i].what &&
					    strcmp(items[k].rule, items[i].rule) == 0 &&
					    strcmp(items[k].severity, items[i].severity) == 0;
	}
	return digest;
}

static void the_subject_says_what_counts(void **state)
{
	struct digest_item items[] = {item(DIGEST_RAISED, "info", "kiosk-7"), item(DIGEST_STILL, "critical", "kiosk-8"),
				      item(DIGEST_CLEARED, "critical", "kiosk-9")};
	char subject[DIGEST_SUBJECT_BYTES];
	struct digest digest = digest_of(items, 1);

	digest_subject(&digest, subject);
	assert_string_equal(subject, "[Muster] info: kiosk-7: offline since noon");
	digest = digest_of(items, 3);
	digest_subject(&digest, subject);
	assert_string_equal(subject, "[Muster] critical: Device offline: 1 new, 1 still active, 1 cleared");
	digest = digest_of(items + 2, 1);
	digest_subject(&digest, subject);
	assert_string_equal(subject, "[Muster] cleared: kiosk-9: offline since noon");
	digest = digest_of(items, 1);
	digest.raised = 5000;
	digest_subject(&digest, subject);
	assert_string_equal(subject, "[Muster] info: alerts: 5,000 new"); // the others may be of another rule
	items[0].of_rule = 5000;
	digest_subject(&digest, subject);
	assert_string_equal(subject, "[Muster] info: Device offline: 5,000 new");
}

static void a_subject_is_one_line_of_whole_characters(void **state)
{
	struct digest_item one = item(DIGEST_RAISED, "info", "kiosk-7");
	char subject[DIGEST_SUBJECT_BYTES], title[400] = "a\r\nBcc: eve@example.net ";
	struct digest digest = digest_of(&one, 1);

	for (size_t i = strlen(title); i + 2 < sizeof(title); i += 2)
		(void)strcpy(title + i, "ü");
	one.title = title;
	digest_subject(&digest, subject);
	assert_null(strpbrk(subject, "\r\n"));
	assert_true(strlen(subject) < DIGEST_SUBJECT_BYTES);
	assert_int_equal((unsigned char)subject[strlen(subject) - 1], 0xbc); // the second half of an ü
}

static void thousands_are_one_message_of_bounded_length(void **state)
{
	static struct digest_item items[DIGEST_ITEMS_MAX];
	static char long_title[2000];
	auto_buf struct buf text;

	memset(long_title, 'x', sizeof(long_title) - 1);
	for (size_t i = 0; i < DIGEST_ITEMS_MAX; i++) {
		items[i] = item(DIGEST_RAISED, "warning", "kiosk-7");
		items[i].title = long_title;
	}
	struct digest digest = digest_of(items, DIGEST_ITEMS_MAX);

	digest.raised = 5000;
	buf_init(&text, 65536);
	digest_text(&digest, &text);
	assert_false(text.overflowed);
	assert_non_null(strstr(buf_str(&text), "New (5,000)"));
	assert_non_null(strstr(buf_str(&text), " more\n"));
}

// What somebody reads on a telephone at night: each rule once, its devices below it, and no page of links.
static void a_mail_says_each_rule_once(void **state)
{
	static struct digest_item items[DIGEST_ITEMS_MAX];
	auto_buf struct buf text;

	for (size_t i = 0; i < DIGEST_ITEMS_MAX; i++)
		items[i] = item(DIGEST_RAISED, "warning", "kiosk-7");
	items[20].rule = "Disk almost full";
	items[20].title = "the disk is 95 % full";
	items[99] = item(DIGEST_CLEARED, "warning", "kiosk-9");
	struct digest digest = digest_of(items, DIGEST_ITEMS_MAX);

	digest.raised = 5000;
	for (size_t i = 0; i < 99; i++)
		items[i].of_rule = i == 20 ? 1 : 4999;
	buf_init(&text, 65536);
	digest_text(&digest, &text);

	static const char *const expected[] = {
		"New (5,000)\n\n  warning: Device offline (offline for 30 min)\n    kiosk-7: offline since noon\n",
		"    and 4,979 more\n\n  warning: Disk almost full (offline for 30 min)\n    kiosk-7: the disk is 95 % "
		"full\n"
		"      https://muster.example.org/alerts/7\n\nCleared (1)\n",
		"    kiosk-9: offline since noon; over at 2026-01-01 13:00 UTC\n",
		"All alerts: https://muster.example.org/alerts\n",
	};
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		if (!strstr(buf_str(&text), expected[i]))
			fail_msg("%s\nis missing in\n%s", expected[i], buf_str(&text));
	}
	assert_true(text.len_bytes < 2000);
}

static void the_event_is_a_cloud_event(void **state)
{
	struct digest_item items[] = {item(DIGEST_RAISED, "warning", "kiosk-7"),
				      item(DIGEST_CLEARED, "info", "kiosk-8")};
	struct digest digest = digest_of(items, 2);
	auto_json struct json *event = digest_event(&digest);
	const struct json *data = json_member(event, "data");
	static const char *const required[] = {"specversion", "id", "source", "type", "time", "datacontenttype"};
	const char *text = "";
	bool truncated = true;

	for (size_t i = 0; i < sizeof(required) / sizeof(required[0]); i++)
		assert_true(json_member_string(event, required[i], &text) && text[0]);
	assert_true(json_member_string(event, "specversion", &text));
	assert_string_equal(text, "1.0");
	assert_true(json_member_bool(data, "truncated", &truncated));
	assert_false(truncated);
	const struct json *first = json_array_at(json_member(data, "alerts"), 0);

	assert_true(json_member_string(first, "url", &text));
	assert_string_equal(text, "https://muster.example.org/alerts/7");
	assert_true(json_member_string(first, "what", &text));
	assert_string_equal(text, "raised");
	assert_int_equal(json_type(json_member(first, "cleared_at")), JSON_NULL);
}

static void a_test_says_that_it_is_one(void **state)
{
	struct digest digest = digest_of(NULL, 0);
	char subject[DIGEST_SUBJECT_BYTES];
	auto_buf struct buf text;

	digest.test = true;
	buf_init(&text, 65536);
	digest_subject(&digest, subject);
	digest_text(&digest, &text);
	assert_string_equal(subject, "[Muster] Test of the channel ops");
	assert_non_null(strstr(buf_str(&text), "This is a test"));
	auto_json struct json *event = digest_event(&digest);
	const char *type = "";

	assert_true(json_member_string(event, "type", &type));
	assert_string_equal(type, "muster.alerts.test");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_subject_says_what_counts),
		cmocka_unit_test(a_subject_is_one_line_of_whole_characters),
		cmocka_unit_test(thousands_are_one_message_of_bounded_length),
		cmocka_unit_test(a_mail_says_each_rule_once),
		cmocka_unit_test(the_event_is_a_cloud_event),
		cmocka_unit_test(a_test_says_that_it_is_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
