#include "commander/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct request good(void)
{
	return (struct request){"kiosk-7", true, true, "ping", NULL, 60000};
}

static void takes_a_good_request(void **state)
{
	struct request request = good();
	struct refusal refusal;

	assert_true(request_check(&request, &refusal));
	request.ttl_ms = 30LL * 86400 * 1000;
	assert_true(request_check(&request, &refusal));
}

static void says_what_why_and_what_next(void **state)
{
	struct refusal refusal;
	struct request unknown = good();
	struct request disabled = good();
	struct request action = good();
	struct request params = good();
	struct request ttl = good();

	unknown.device_known = false;
	assert_false(request_check(&unknown, &refusal));
	assert_string_equal(refusal.what, "unknown device");
	assert_string_equal(refusal.detail, "no device \"kiosk-7\" is enrolled; muster device list shows all");
	disabled.device_enabled = false;
	assert_false(request_check(&disabled, &refusal));
	assert_string_equal(refusal.what, "device disabled");
	action.action = "explode";
	assert_false(request_check(&action, &refusal));
	assert_string_equal(refusal.what, "unknown action");
	assert_non_null(strstr(refusal.detail, "\"explode\""));
	params.action = "set_interval";
	assert_false(request_check(&params, &refusal));
	assert_string_equal(refusal.what, "bad parameters");
	assert_non_null(strstr(refusal.detail, "\"seconds\""));
	ttl.ttl_ms = 31LL * 86400 * 1000;
	assert_false(request_check(&ttl, &refusal));
	assert_string_equal(refusal.what, "bad time limit");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_good_request),
		cmocka_unit_test(says_what_why_and_what_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
