#include "common/http_peer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void addresses_count_by_network(void **state)
{
	static const struct {
		const char *peer, *key;
	} cases[] = {{"192.0.2.7", "192.0.2.7"},
		     {"::ffff:192.0.2.7", "192.0.2.7"},
		     {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		     {"2001:db8:1:2::9", "2001:db8:1:2::"},
		     {"unknown", "unknown"},
		     {"", ""}};
	char key[HTTP_PEER_BYTES];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		http_peer_network(cases[i].peer, key);
		assert_string_equal(key, cases[i].key);
	}
}

static void networks_are_told_from_nonsense(void **state)
{
	static const char *const good[] = {"192.0.2.7", "192.0.2.0/24", "0.0.0.0/0", "::1", "2001:db8::/48", "::/128"};
	static const char *const bad[] = {"",	       "proxy",	       "192.0.2",	"192.0.2.0/33", "192.0.2.0/",
					  "10.0.0.1/a", "10.0.0.1/-8", "10.0.0.1/ 8",	"::/129",	"10.0.0.1/0008",
					  "/8",	       "10.0.0.1 ",    "10.0.0.1:443", "10.0.0.1/8/8"};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(http_peer_is_network(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(http_peer_is_network(bad[i]));
}

static char one[] = "192.0.2.7", ten[] = "10.0.0.0/9", six[] = "2001:db8::/33", nonsense[] = "nonsense";
static char *proxies[] = {one, ten, six, nonsense, NULL};

static void proxies_are_known(void **state)
{
	static const char *const known[] = {"192.0.2.7", "10.0.0.1", "10.127.255.255", "::ffff:10.1.2.3", "2001:db8:7fff::1"};
	static const char *const others[] = {"192.0.2.8", "10.128.0.0", "2001:db8:8000::1", "nonsense", "", "::a00:1"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		assert_true(http_peer_is_proxy(proxies, known[i]));
		assert_false(http_peer_is_proxy(NULL, known[i]));
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		assert_false(http_peer_is_proxy(proxies, others[i]));
}

// Whatever a client puts in front, what counts is what the outermost of our proxies heard.
static void the_last_that_is_no_proxy_counts(void **state)
{
	static const struct {
		const char *fields[3]; // of X-Forwarded-For, in their order
		const char *client;    // NULL: the proxy itself
	} cases[] = {
		{{"203.0.113.9"}, "203.0.113.9"},
		{{"127.0.0.1, 203.0.113.9"}, "203.0.113.9"},
		{{"127.0.0.1", "203.0.113.9"}, "203.0.113.9"}, // a line of the client, and one of the proxy
		{{"203.0.113.9, 10.0.0.1,192.0.2.7"}, "203.0.113.9"},
		{{"127.0.0.1,\t203.0.113.9 ", "10.0.0.1"}, "203.0.113.9"},
		{{"10.0.0.3, 10.0.0.4"}, "10.0.0.3"},
		{{"2001:db8:ffff::5"}, "2001:db8:ffff::5"},
		{{"::ffff:203.0.113.9"}, "203.0.113.9"},
		{{"203.0.113.9, unknown"}, NULL},
		{{"203.0.113.9, "}, NULL},
		{{"203.0.113.9, x, 10.0.0.1"}, "10.0.0.1"},
		{{"203.0.113.9:4711"}, NULL},
		{{""}, NULL},
		{{NULL}, NULL},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct http_head head = {0};
		char out[HTTP_PEER_BYTES] = "192.0.2.7";

		head.fields[head.field_count++] = (struct http_field){"Host", "198.51.100.1"};
		for (size_t k = 0; k < 3 && cases[i].fields[k]; k++)
			head.fields[head.field_count++] = (struct http_field){"x-forwarded-FOR", cases[i].fields[k]};
		assert_int_equal(http_peer_forwarded(proxies, &head, out), cases[i].client != NULL);
		assert_string_equal(out, cases[i].client ? cases[i].client : "192.0.2.7");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_count_by_network),
		cmocka_unit_test(networks_are_told_from_nonsense),
		cmocka_unit_test(proxies_are_known),
		cmocka_unit_test(the_last_that_is_no_proxy_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
