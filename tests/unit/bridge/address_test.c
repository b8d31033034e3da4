#include "bridge/address.h"

#include "tests/unit/scratch.h"

static bool same(const char *a, const char *b)
{
	struct address_key x = address_key(a);
	struct address_key y = address_key(b);
	return memcmp(&x, &y, sizeof(x)) == 0;
}

static void hosts_are_told_apart(void **state)
{
	assert_true(same("192.0.2.1", "192.0.2.1"));
	assert_true(same("192.0.2.1", "::ffff:192.0.2.1"));
	assert_false(same("192.0.2.1", "192.0.2.2"));
	assert_true(same("2001:db8:1:2::1", "2001:db8:1:2:ffff::2"));
	assert_false(same("2001:db8:1:2::1", "2001:db8:1:3::1"));
	assert_true(same("kiosk-1", "kiosk-1"));
	assert_false(same("kiosk-1", "kiosk-2"));
	assert_false(same("unknown", ""));
	assert_false(same("unknown", "0.0.0.0"));
}

static void keys_spread(void **state)
{
	enum { SLOTS = 64 };
	size_t used[SLOTS] = {0};
	char text[32];
	for (int i = 0; i < 6400; i++) {
		(void)snprintf(text, sizeof(text), "10.0.%d.%d", i / 250, i % 250);
		struct address_key key = address_key(text);
		used[address_hash(&key) % SLOTS]++;
	}
	for (size_t i = 0; i < SLOTS; i++)
		assert_in_range(used[i], 40, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(hosts_are_told_apart), cmocka_unit_test(keys_spread)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
