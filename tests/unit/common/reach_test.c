#include "common/reach.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool allows(enum reach reach, const char *text)
{
	struct sockaddr_in six4 = {.sin_family = AF_INET};
	struct sockaddr_in6 six6 = {.sin6_family = AF_INET6};

	if (inet_pton(AF_INET, text, &six4.sin_addr) == 1)
		return reach_allows(reach, (const struct sockaddr *)&six4);
	assert_int_equal(inet_pton(AF_INET6, text, &six6.sin6_addr), 1);
	return reach_allows(reach, (const struct sockaddr *)&six6);
}

static void this_machine_and_its_link_only_when_any(void **state)
{
	static const char *const near[] = {"127.0.0.1",
					   "127.9.9.9",
					   "0.0.0.0",
					   "169.254.169.254",
					   "224.0.0.1",
					   "255.255.255.255",
					   "::1",
					   "::",
					   "fe80::1",
					   "ff02::1",
					   "::ffff:127.0.0.1",
					   "::ffff:169.254.169.254",
					   "64:ff9b::7f00:1",
					   "::127.0.0.1",
					   "2002:7f00:1::"};

	for (size_t i = 0; i < sizeof(near) / sizeof(near[0]); i++) {
		assert_true(allows(REACH_ANY, near[i]));
		assert_false(allows(REACH_PRIVATE, near[i]));
		assert_false(allows(REACH_PUBLIC, near[i]));
	}
}

static void networks_of_ones_own_unless_public(void **state)
{
	static const char *const own[] = {"10.1.2.3",	"172.16.0.1", "172.31.255.255", "192.168.1.1",
					  "100.64.0.1", "fd00::1",    "::ffff:10.0.0.1"};

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
		assert_true(allows(REACH_PRIVATE, own[i]));
		assert_false(allows(REACH_PUBLIC, own[i]));
	}
}

static void the_internet_always(void **state)
{
	static const char *const far[] = {"8.8.8.8", "172.32.0.1", "192.169.0.1", "11.0.0.1", "2001:4860::8888"};

	for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++)
		assert_true(allows(REACH_PUBLIC, far[i]));
}

static void has_three_names(void **state)
{
	enum reach reach = REACH_ANY;

	assert_true(reach_parse("public", &reach));
	assert_int_equal(reach, REACH_PUBLIC);
	assert_false(reach_parse("everything", &reach));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(this_machine_and_its_link_only_when_any),
		cmocka_unit_test(networks_of_ones_own_unless_public),
		cmocka_unit_test(the_internet_always),
		cmocka_unit_test(has_three_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
