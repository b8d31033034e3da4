#include "dashboard/audience.h"

#include "dashboard/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct feed_row table[] = {
	{.key = "3", .device = "kiosk-9", .tenant = "west", .groups = "shelf,shop", .json = "{\"c\":3}", .changed_us = 300, .fresh = true},
	{.key = "2", .device = "kiosk-7", .tenant = "east", .json = "{\"c\":2}", .changed_us = 200, .fresh = true},
	{.key = "1", .device = "kiosk-7", .tenant = "east", .json = "{\"c\":1}", .changed_us = 100, .fresh = false},
};
static const struct feed_rows rows = {.rows = table, .count = 3};

// tenant: or "tenant/groups".
static struct audience *made(const char *tenant, const char *topics, const char *devices)
{
	struct scope scope = {0};
	struct interest interest auto_interest = {0};
	struct error error = {0};

	(void)snprintf(scope.tenant, sizeof(scope.tenant), "%.*s", (int)strcspn(tenant, "/"), tenant);
	(void)snprintf(scope.groups, sizeof(scope.groups), "%s", strchr(tenant, '/') ? strchr(tenant, '/') + 1 : "");
	assert_true(interest_add_lists(&interest, topics, devices, ROLE_VIEWER, &error) &&
		    interest_finish(&interest, &error));
	struct audience *audience = audience_new(&scope, "ada", &interest);

	assert_non_null(audience);
	return audience;
}

static void expect(const char *tenant, const char *devices, bool fresh_only, int64_t since_us, const char *data)
{
	struct audience *audience = made(tenant, "devices", devices);
	auto_buf struct buf out;

	buf_init(&out, 4096);
	assert_true(audience_add(audience, FEED_DEVICES, &rows, fresh_only, since_us, 7, &out));
	assert_string_equal(buf_str(&out), data);
	audience_free(audience);
}

#define EVENT(data) "id: 7\nevent: devices\ndata: [" data "]\n\n"

static void the_oldest_come_first_and_old_ones_once(void **state)
{
	expect("*", NULL, true, 0, EVENT("{\"c\":2},{\"c\":3}"));
	expect("*", NULL, false, 0, EVENT("{\"c\":1},{\"c\":2},{\"c\":3}"));
	expect("*", NULL, false, 200, EVENT("{\"c\":3}"));
	expect("*", NULL, false, 300, "");
}

static void only_devices_on_screen(void **state)
{
	expect("*", "kiosk-7", true, 0, EVENT("{\"c\":2}"));
	expect("*", "kiosk-8", true, 0, "");
}

static void rows_of_another_tenant_do_not_exist(void **state)
{
	expect("west", NULL, false, 0, EVENT("{\"c\":3}"));
	expect("west", "kiosk-7", false, 0, "");
	expect("north", NULL, false, 0, "");
	expect("", NULL, false, 0, ""); // nobody's
	expect("west/shop", NULL, false, 0, EVENT("{\"c\":3}"));
	expect("west/office", NULL, false, 0, "");
	expect("east/shop", NULL, false, 0, "");
}

static void what_was_not_asked_for_is_not_sent(void **state)
{
	struct audience *audience = made("*", "commands", NULL);

	assert_false(audience_wants(audience, FEED_DEVICES, &table[0]));
	assert_true(audience_wants(audience, FEED_COMMANDS, &table[0]));
	audience_free(audience);
}

static void what_is_somebodys_own_is_theirs_alone(void **state)
{
	struct audience *own = made("*", "exports", "kiosk-7"), *shared = made("*", "devices", NULL);
	const struct feed_row hers = {.device = "ada"}, his = {.device = "bo"}, nobodys = {0};

	assert_true(audience_wants(own, FEED_EXPORTS, &hers));
	assert_false(audience_wants(own, FEED_EXPORTS, &his));
	assert_false(audience_wants(own, FEED_EXPORTS, &nobodys));
	assert_false(audience_is(own, &own->scope, "bo", &own->interest));
	assert_true(audience_is(own, &own->scope, "ada", &own->interest));
	// Everybody who sees the same has the same devices: one audience.
	assert_true(audience_is(shared, &shared->scope, "bo", &shared->interest));
	audience_free(own);
	audience_free(shared);
}

static void too_much_is_seen(void **state)
{
	struct audience *audience = made("*", "devices", NULL);
	auto_buf struct buf out;
	char *large = calloc(1, HTTP_STREAM_UNSENT_MAX);
	struct feed_row row = {.key = "1", .device = "kiosk-7", .json = large, .changed_us = 1, .fresh = true};
	const struct feed_rows one = {.rows = &row, .count = 1};

	memset(large, ' ', HTTP_STREAM_UNSENT_MAX - 1);
	buf_init(&out, HTTP_STREAM_UNSENT_MAX);
	assert_false(audience_add(audience, FEED_DEVICES, &one, true, 0, 7, &out));
	assert_int_equal(out.len_bytes, 0);
	free(large);
	audience_free(audience);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_oldest_come_first_and_old_ones_once),
		cmocka_unit_test(only_devices_on_screen),
		cmocka_unit_test(rows_of_another_tenant_do_not_exist),
		cmocka_unit_test(what_was_not_asked_for_is_not_sent),
		cmocka_unit_test(what_is_somebodys_own_is_theirs_alone),
		cmocka_unit_test(too_much_is_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
