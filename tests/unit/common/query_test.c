#include "common/query.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

// kiosks is a group by query, shelf one by list, round names itself, deep names filters five deep.
static bool find(void *user, enum query_kind kind, const char *name, char **out, struct error *error)
{
	static const struct {
		enum query_kind kind;
		const char *name, *query;
	} known[] = {
		{QUERY_GROUP, "kiosks", "tag:kiosk -status:never"},
		{QUERY_GROUP, "shelf", NULL},
		{QUERY_GROUP, "acme/shelf", NULL},
		{QUERY_FILTER, "weak", "battery<20"},
		{QUERY_FILTER, "round", "filter:round"},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (known[i].kind == kind && strcmp(known[i].name, name) == 0) {
			*out = known[i].query ? strdup(known[i].query) : NULL;
			return true;
		}
	}
	return error_set(error, ERROR_NOT_FOUND, "there is no \"%s\"", name);
}

static const struct query_options options = {.first_param = 3, .resolve = find};

static void a_query_becomes_a_condition_and_values(void **state)
{
	auto_query struct query query = {0};

	assert_true(query_compile("status:offline tag:kiosk battery<20 os:android", &options, &query, NULL));
	assert_int_equal(query.count, 4);
	assert_string_equal(query.params[0], "offline");
	assert_string_equal(query.params[1], "kiosk");
	assert_string_equal(query.params[2], "20");
	assert_string_equal(query.params[3], "android");
	assert_non_null(strstr(buf_str(&query.sql), "$3::text"));
	assert_non_null(strstr(buf_str(&query.sql), "s.battery_pct) < $5::float8"));
	assert_non_null(strstr(buf_str(&query.sql), "= $6::text"));
	assert_null(strstr(buf_str(&query.sql), "kiosk"));
}

static void the_roster_has_a_column_for_each_field(void **state)
{
	static const char text[] = "status:offline,revoked tag:kiosk battery<20 os:linux os:debian name:a* seen>1d group:shelf word"
				   " uptime<1h cell:1 charging:yes -agent:1.2.* enrolled>2w";
	const struct query_options on_roster = {.first_param = 1, .resolve = find, .roster = true};
	auto_query struct query query = {0};

	assert_true(query_compile(text, &on_roster, &query, NULL));
	assert_null(strstr(buf_str(&query.sql), " d."));
	assert_null(strstr(buf_str(&query.sql), " s."));
	assert_null(strstr(buf_str(&query.sql), "inventory"));
	assert_non_null(strstr(buf_str(&query.sql), "(not r.enabled)"));
	assert_non_null(strstr(buf_str(&query.sql), "(r.os <> 'android')"));
	assert_non_null(strstr(buf_str(&query.sql), "m.device = r.device"));
	assert_non_null(strstr(buf_str(&query.sql), "r.search like '%' || regexp_replace(lower($"));
}

static void nothing_means_everything(void **state)
{
	static const char *const empty[] = {"", "  ", "\t\n"};

	for (size_t i = 0; i < 3; i++) {
		auto_query struct query query = {0};

		assert_true(query_compile(empty[i], &options, &query, NULL));
		assert_string_equal(buf_str(&query.sql), "(true)");
		assert_int_equal(query.count, 0);
	}
}

static void check(const char *text, const char *expected_sql, size_t params, const char *last)
{
	auto_query struct query query = {0};
	struct error error = {0};

	if (!query_compile(text, &options, &query, &error))
		fail_msg("%s: %s", text, error.what);
	if (!strstr(buf_str(&query.sql), expected_sql))
		fail_msg("%s: %s", text, buf_str(&query.sql));
	assert_int_equal(query.count, params);
	if (last)
		assert_string_equal(query.params[params - 1], last);
}

static void each_kind_of_term(void **state)
{
	check("device:kiosk-7", "(coalesce(d.device, '') = lower($3::text))", 1, "kiosk-7");
	check("device:kiosk-*", "like lower($3::text)", 1, "kiosk-%");
	check("name:50%_*", "like lower($3::text)", 1, "50\\%\\_%");
	check("tag:a,b", "(d.tags @> array[$3::text]) or (d.tags @> array[$4::text])", 2, "b");
	check("-tag:a", "(not coalesce((d.tags @> array[$3::text]), false))", 1, "a");
	check("tag:\"front desk\"", "array[$3::text]", 1, "front desk");
	check("tag:\"a\\\"b\\\\\"", "array[$3::text]", 1, "a\"b\\");
	check("rssi<-70.5", "(s.rssi_dbm) < $3::float8", 1, "-70.5");
	check("memory>=90", ">= $3::float8", 1, "90");
	check("cell=2", "= $3::float8", 1, "2");
	check("seen>1d", ") < now() - interval '1 second' * $3::float8", 1, "86400");
	check("uptime<=15m", ") >= now() - interval '1 second' * $3::float8", 1, "900");
	check("status:revoked", "not d.enabled", 0, NULL);
	check("charging:yes", "= $3::text", 1, "yes");
	check("os:linux", "<> 'android'", 0, NULL);
	check("lobby", "position(lower($3::text) in", 1, "lobby");
	check("-lobby", "not coalesce((position(lower($3::text)", 1, "lobby");
	check("it's", "position(lower($3::text)", 1, "it's");
	check("group:shelf", "m.tenant = current_tenant() and m.group_name = $3::text", 1, "shelf");
	check("group:acme/shelf", "m.tenant = $3::text and m.group_name = $4::text", 2, "shelf");
	check("group:kiosks filter:weak", "((coalesce((d.tags @> array[$3::text])", 3, "20");
}

static void refused(const char *text, enum error_kind kind, const char *says)
{
	struct error error = {0};
	struct query query;

	if (query_compile(text, &options, &query, &error))
		fail_msg("\"%s\" was taken", text);
	assert_int_equal(error.kind, kind);
	if (!strstr(error.what, says))
		fail_msg("%s: %s", text, error.what);
}

static void what_is_wrong_is_told_with_its_place(void **state)
{
	refused("tag:a colour:red", ERROR_INVALID, "column 7: there is no field \"colour\"; there are status, device");
	refused("status:asleep", ERROR_INVALID, "\"status\" is one of online stale offline never revoked");
	refused("battery<lots", ERROR_INVALID, "a number such as 20");
	refused("battery<1e999", ERROR_INVALID, "a number");
	refused("battery<0x10", ERROR_INVALID, "a number");
	refused("battery<nan", ERROR_INVALID, "a number");
	refused("battery<1.2.3", ERROR_INVALID, "a number");
	refused("seen:1d", ERROR_INVALID, "< or >");
	refused("seen>1y", ERROR_INVALID, "90s, 15m");
	refused("tag<a", ERROR_INVALID, "with : only");
	refused("tag:", ERROR_INVALID, "stands a value");
	refused("tag:a,", ERROR_INVALID, "stands a value");
	refused("tag:\"a", ERROR_INVALID, "not closed");
	refused("tag:\"a\"b", ERROR_INVALID, "a blank or a comma");
	refused("tag:a\001", ERROR_INVALID, "control character");
	refused("-", ERROR_INVALID, "a term is missing");
	refused(",", ERROR_INVALID, "a term is missing");
	refused("filter:none", ERROR_NOT_FOUND, "there is no \"none\"");
	refused("filter:Bad!", ERROR_INVALID, "no name of a filter");
	refused("filter:round", ERROR_LIMIT, "in a circle");
}

static void there_are_ceilings(void **state)
{
	static char text[3 * QUERY_TEXT_MAX];
	size_t at = 0;

	for (int i = 0; i <= QUERY_TERMS_MAX; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, "a%d ", i);
	refused(text, ERROR_LIMIT, "more than 64 terms");
	memset(text, 'a', QUERY_VALUE_MAX + 1);
	text[QUERY_VALUE_MAX + 1] = '\0';
	refused(text, ERROR_LIMIT, "longer than 256 bytes");
	memset(text, ' ', QUERY_TEXT_MAX + 1);
	text[QUERY_TEXT_MAX + 1] = '\0';
	refused(text, ERROR_LIMIT, "at most 4096 bytes");
	at = (size_t)snprintf(text, sizeof(text), "tag:a");
	for (int i = 0; i < 32; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at, ",a%d", i);
	refused(text, ERROR_LIMIT, "more than 32 values");
}

static void without_a_resolver_nothing_is_named(void **state)
{
	struct query query;
	struct error error = {0};

	assert_false(query_compile("group:kiosks", &(struct query_options){0}, &query, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
}

static void names(void **state)
{
	assert_true(query_is_name("a"));
	assert_true(query_is_name("front-desk.2_x"));
	assert_false(query_is_name(""));
	assert_false(query_is_name("-a"));
	assert_false(query_is_name("A"));
	assert_false(query_is_name("a b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_query_becomes_a_condition_and_values),
		cmocka_unit_test(the_roster_has_a_column_for_each_field),
		cmocka_unit_test(nothing_means_everything),
		cmocka_unit_test(each_kind_of_term),
		cmocka_unit_test(what_is_wrong_is_told_with_its_place),
		cmocka_unit_test(there_are_ceilings),
		cmocka_unit_test(without_a_resolver_nothing_is_named),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
