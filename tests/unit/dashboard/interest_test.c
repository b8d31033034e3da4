#include "dashboard/interest.h"

#include "dashboard/auth.h"
#include "dashboard/feed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define BIT(kind) (1U << (kind))

static bool parse(const char *topics, const char *devices, int roles, struct interest *out, struct error *error)
{
	*out = (struct interest){0};
	return interest_add_lists(out, topics, devices, roles, error) && interest_finish(out, error);
}

static void without_words_it_is_the_fleet(void **state)
{
	struct interest interest auto_interest = {0};
	struct error error = {0};

	assert_true(parse(NULL, NULL, ROLE_VIEWER, &interest, &error));
	assert_int_equal(interest.all, BIT(FEED_DEVICES) | BIT(FEED_COMMANDS));
	assert_int_equal(interest.named, 0);
}

static void devices_bound_what_belongs_to_devices(void **state)
{
	struct interest interest auto_interest = {0};
	struct error error = {0};

	assert_true(parse("devices,commands*,campaigns,events", "b-2,a-1,b-2", ROLE_VIEWER, &interest, &error));
	assert_int_equal(interest.named, BIT(FEED_DEVICES) | BIT(FEED_EVENTS));
	assert_int_equal(interest.all, BIT(FEED_COMMANDS) | BIT(FEED_CAMPAIGNS));
	assert_int_equal(interest.device_count, 2);
	assert_string_equal(interest.devices[0], "a-1");
	assert_true(interest_has_device(&interest, "b-2"));
	assert_false(interest_has_device(&interest, "b-"));
	assert_false(interest_has_device(&interest, "c-3"));
}

static void the_same_in_another_order_is_the_same(void **state)
{
	struct interest one auto_interest = {0}, other auto_interest = {0}, third auto_interest = {0};
	struct error error = {0};

	assert_true(parse("devices,events", "a,b", ROLE_VIEWER, &one, &error));
	assert_true(parse("events,devices", "b,a,a", ROLE_VIEWER, &other, &error));
	assert_true(parse("events,devices", "b", ROLE_VIEWER, &third, &error));
	assert_true(interest_equal(&one, &other));
	assert_false(interest_equal(&one, &third));
}

static void what_cannot_be_is_refused(void **state)
{
	static const struct {
		const char *topics, *devices, *word;
		enum error_kind kind;
	} cases[] = {
		{"device", NULL, "is no topic; there are: devices, commands,", ERROR_INVALID},
		{"devices,,commands", NULL, "\"\" is no topic", ERROR_INVALID},
		{"*", NULL, "\"*\" is no topic", ERROR_INVALID},
		{"audit", NULL, "may not read audit", ERROR_DENIED},
		{"events", NULL, "Name the devices whose events", ERROR_INVALID},
		{"events*", NULL, "Name the devices whose events", ERROR_INVALID},
		{"devices", "a,B", "\"B\" is no device id", ERROR_INVALID},
		{"devices", "a'); drop table device; --", "is no device id", ERROR_INVALID},
	};
	struct interest interest auto_interest = {0};
	struct error error = {0};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_false(parse(cases[i].topics, cases[i].devices, ROLE_OPERATOR, &interest, &error));
		assert_int_equal(error.kind, cases[i].kind);
		assert_non_null(strstr(error.what, cases[i].word));
		interest_done(&interest);
	}
	assert_true(parse("audit", NULL, ROLE_AUDITOR, &interest, &error));
}

static void no_more_devices_than_fit_a_screen(void **state)
{
	struct interest interest auto_interest = {0};
	struct error error = {0};
	char name[24];

	for (int i = 0; i < INTEREST_DEVICES_MAX; i++) {
		(void)snprintf(name, sizeof(name), "d-%d", i);
		assert_true(interest_add_device(&interest, name, &error));
	}
	assert_false(interest_add_device(&interest, "one-more", &error));
	assert_int_equal(error.kind, ERROR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_words_it_is_the_fleet),
		cmocka_unit_test(devices_bound_what_belongs_to_devices),
		cmocka_unit_test(the_same_in_another_order_is_the_same),
		cmocka_unit_test(what_cannot_be_is_refused),
		cmocka_unit_test(no_more_devices_than_fit_a_screen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
