#include "dashboard/routes.h"

#include "dashboard/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool is_api(const struct http_route *route)
{
	return strncmp(route->pattern, "/api/v1/", 8) == 0;
}

static bool begins(const struct http_route *route, const char *prefix)
{
	return strncmp(route->pattern, prefix, strlen(prefix)) == 0;
}

// What everybody may change: what is their own.
static bool is_own(const struct http_route *route)
{
	return begins(route, "/api/v1/session") || begins(route, "/api/v1/account") ||
	       begins(route, "/api/v1/api-keys") || begins(route, "/api/v1/password-reset") ||
	       begins(route, "/api/v1/exports"); // which only read
}

// What is asked for by POST and changes nothing but what its asker is told.
static bool only_asks(const struct http_route *route)
{
	return strcmp(route->pattern, "/api/v1/stream/{id}") == 0 || strcmp(route->pattern, "/api/v1/console") == 0;
}

// Whoever adds a route has to say who may use it.
static void only_logging_in_is_open(void **state)
{
	for (size_t i = 0; i < routes_count; i++) {
		bool login = (strcmp(routes[i].pattern, "/api/v1/session") == 0 ||
			      begins(&routes[i], "/api/v1/password-reset")) &&
			     strcmp(routes[i].method, "POST") == 0;

		if (is_api(&routes[i]))
			assert_int_equal(routes[i].tag == ACCESS_PUBLIC, login);
	}
}

static void changing_takes_more_than_reading(void **state)
{
	for (size_t i = 0; i < routes_count; i++) {
		bool reads = strcmp(routes[i].method, "GET") == 0;

		if (!reads && !is_own(&routes[i]) && !only_asks(&routes[i])) {
			assert_int_equal(routes[i].tag & (ROLE_VIEWER | ROLE_AUDITOR), 0);
			assert_int_not_equal(routes[i].tag, ACCESS_PUBLIC);
		}
	}
}

static void metrics_stay_on_this_machine(void **state)
{
	for (size_t i = 0; i < routes_count; i++) {
		if (strcmp(routes[i].pattern, "/metrics") == 0)
			assert_int_equal(routes[i].tag, ACCESS_LOOPBACK);
	}
}

static void no_route_hides_another(void **state)
{
	for (size_t i = 0; i < routes_count; i++) {
		for (size_t k = 0; k < i; k++)
			assert_false(strcmp(routes[i].method, routes[k].method) == 0 &&
				     strcmp(routes[i].pattern, routes[k].pattern) == 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_logging_in_is_open),
		cmocka_unit_test(changing_takes_more_than_reading),
		cmocka_unit_test(metrics_stay_on_this_machine),
		cmocka_unit_test(no_route_hides_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
