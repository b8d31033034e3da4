#include "common/command_request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NOW_MS 1767225600000 // 2026-01-01T00:00:00Z
#define DAY_MS 86400000LL

// ---- the form ----

static const char *const others[] = {"request", NULL};

static bool reads(const char *text, struct command_request *out, struct refusal *refusal)
{
	struct error error = {0};
	auto_json struct json *body = json_parse(text, strlen(text), &error);

	assert_non_null(body);
	return command_request_read(body, others, NOW_MS, out, refusal);
}

static void has_defaults(void **state)
{
	struct command_request request;
	struct refusal refusal;

	assert_true(reads("{\"device\":\"kiosk-7\",\"action\":\"ping\",\"request\":\"mine\"}", &request, &refusal));
	assert_string_equal(request.device, "kiosk-7");
	assert_string_equal(request.action, "ping");
	assert_string_equal(json_text(request.params), "{}");
	assert_int_equal(request.ttl_s, COMMAND_TTL_DEFAULT_S);
	assert_int_equal(request.begin_ms, 0);
	assert_int_equal(request.max_attempts, COMMAND_ATTEMPTS_DEFAULT);
	assert_false(request.confirmed || request.in_window);
	command_request_done(&request);
}

static void takes_all_members(void **state)
{
	struct command_request request;
	struct refusal refusal;

	assert_true(reads("{\"device\":\"k\",\"action\":\"reboot\",\"params\":{},\"ttl_s\":60,\"confirm\":true,"
			  "\"at\":\"2026-01-02T01:00:00+01:00\",\"in_window\":true,\"max_attempts\":3}",
			  &request, &refusal));
	assert_true(request.confirmed && request.in_window);
	assert_int_equal(request.begin_ms, NOW_MS + DAY_MS);
	assert_int_equal(request.ttl_s, 60);
	assert_int_equal(request.max_attempts, 3);
	command_request_done(&request);
	assert_true(reads("{\"device\":\"k\",\"action\":\"ping\",\"after_s\":90}", &request, &refusal));
	assert_int_equal(request.begin_ms, NOW_MS + 90000);
	command_request_done(&request);
	assert_true(reads("{\"device\":\"k\",\"action\":\"ping\",\"at\":1767225600001}", &request, &refusal));
	assert_int_equal(request.begin_ms, NOW_MS + 1);
	command_request_done(&request);
	assert_true(reads("{\"device\":\"k\",\"action\":\"ping\",\"in_window\":true}", &request, &refusal));
	assert_int_equal(request.ttl_s, COMMAND_WINDOW_TTL_S); // each weekday comes
	command_request_done(&request);
}

static void refuses_and_names_the_fault(void **state)
{
	static const struct {
		const char *members, *says;
	} cases[] = {
		{"\"at\":\"tomorrow\"", "\"at\""},
		{"\"at\":\"2027-01-02T00:00:00Z\"", "within a year"},
		{"\"at\":-1", "within a year"},
		{"\"at\":1767225700000,\"after_s\":5", "not both"},
		{"\"after_s\":0", "\"after_s\""},
		{"\"after_s\":31536001", "\"after_s\""},
		{"\"in_window\":1", "\"in_window\""},
		{"\"confirm\":\"yes\"", "\"confirm\""},
		{"\"max_attempts\":101", "\"max_attempts\""},
		{"\"max_attempts\":0", "\"max_attempts\""},
		{"\"ttl_s\":2592001", "\"ttl_s\""},
		{"\"params\":[]", "\"params\""},
		{"\"surprise\":1", "\"surprise\""},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		auto_buf struct buf text = {0};
		struct command_request request;
		struct refusal refusal;

		buf_init(&text, 1024);
		(void)buf_addf(&text, "{\"device\":\"k\",\"action\":\"ping\",%s}", cases[i].members);
		if (reads(buf_str(&text), &request, &refusal) || !strstr(refusal.detail, cases[i].says))
			fail_msg("%s: \"%s\"", cases[i].members, refusal.detail);
		command_request_done(&request);
	}
}

// ---- what is asked ----

static struct command_demand good(void)
{
	return (struct command_demand){
		.device = "kiosk-7",
		.device_known = true,
		.device_enabled = true,
		.action = "ping",
		.now_ms = NOW_MS,
		.expires_ms = NOW_MS + 60000,
	};
}

static void refused(const struct command_demand *demand, const char *what, const char *says)
{
	struct refusal refusal = {0};

	assert_false(command_demand_check(demand, &refusal));
	assert_string_equal(refusal.what, what);
	if (!strstr(refusal.detail, says))
		fail_msg("\"%s\" does not say \"%s\"", refusal.detail, says);
}

static void takes_a_good_request(void **state)
{
	struct command_demand demand = good();
	struct refusal refusal;

	assert_true(command_demand_check(&demand, &refusal));
	demand.expires_ms = NOW_MS + 30 * DAY_MS;
	assert_true(command_demand_check(&demand, &refusal));
	demand.begin_ms = NOW_MS + 300 * DAY_MS;
	demand.expires_ms = demand.begin_ms + 30 * DAY_MS;
	assert_true(command_demand_check(&demand, &refusal));
}

static void says_what_why_and_what_next(void **state)
{
	struct command_demand unknown = good(), disabled = good(), action = good(), params = good(), ttl = good(),
			      over = good();

	unknown.device_known = false;
	refused(&unknown, "unknown device", "no device \"kiosk-7\" is enrolled; muster device list shows all");
	disabled.device_enabled = false;
	refused(&disabled, "device disabled", "an administrator can enable it");
	action.action = "explode";
	refused(&action, "unknown action", "\"explode\"");
	params.action = "set_interval";
	refused(&params, "bad parameters", "\"seconds\"");
	ttl.expires_ms = NOW_MS + 31 * DAY_MS;
	refused(&ttl, "bad time limit", "30 days");
	over.over_limit = true;
	refused(&over, "too many requests", "in a minute");
}

static void what_costs_work_is_confirmed(void **state)
{
	struct command_demand demand = good();
	struct refusal refusal;

	demand.action = "reboot";
	refused(&demand, "not confirmed", "\"confirm\":true");
	demand.confirmed = true;
	assert_true(command_demand_check(&demand, &refusal));
}

static void nobody_asks_for_what_is_the_commanders_own(void **state)
{
	struct error error = {0};
	auto_json struct json *params =
		json_parse("{\"command\":\"0f8c2a10-0000-4000-8000-000000000001\"}", 50, &error);
	struct command_demand demand = good();
	struct refusal refusal;

	demand.action = "cancel";
	demand.params = params;
	refused(&demand, "unknown action", "\"cancel\"");
	demand.internal = true;
	assert_true(command_demand_check(&demand, &refusal));
}

static void begins_when_it_may(void **state)
{
	struct command_demand demand = good();

	assert_int_equal(command_demand_begin_ms(&demand), NOW_MS);
	demand.begin_ms = NOW_MS - 5;
	assert_int_equal(command_demand_begin_ms(&demand), NOW_MS);
	demand.begin_ms = NOW_MS + 90000;
	assert_int_equal(command_demand_begin_ms(&demand), NOW_MS + 90000);
	refused(&demand, "bad time limit", "before it may begin");
	demand.begin_ms = 0;
	demand.in_window = true;
	refused(&demand, "no maintenance window", "muster device set kiosk-7");
	demand.opens_ms = NOW_MS - 1000; // it is open
	assert_int_equal(command_demand_begin_ms(&demand), NOW_MS);
	demand.opens_ms = NOW_MS + 3600000;
	assert_int_equal(command_demand_begin_ms(&demand), NOW_MS + 3600000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(has_defaults),
		cmocka_unit_test(takes_all_members),
		cmocka_unit_test(refuses_and_names_the_fault),
		cmocka_unit_test(takes_a_good_request),
		cmocka_unit_test(says_what_why_and_what_next),
		cmocka_unit_test(what_costs_work_is_confirmed),
		cmocka_unit_test(nobody_asks_for_what_is_the_commanders_own),
		cmocka_unit_test(begins_when_it_may),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
