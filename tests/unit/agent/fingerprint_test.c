#include "agent/fingerprint.h"

#include "tests/unit/scratch.h"

#define FIXTURES MUSTER_SOURCE_DIR "/tests/fixtures/linux"

static void takes_all_four(void **state)
{
	// Lower case, and the wireless card's MAC: the USB adapter before it can be pulled out.
	static const char text[] = "machine-id=4c1a5e0f9d3b4b6e8a7c2d1e0f9a8b7c\n"
				   "product-uuid=4c4c4544-0042-3510-8052-b4c04f4a5731\n"
				   "board-serial=/8b5rjw1/cncmk0011a002b/\n"
				   "mac=a0:51:0b:12:34:56\n";
	char expected[SHA256_HEX_BYTES];
	char read[SHA256_HEX_BYTES];
	bool hidden = true;
	crypto_sha256_hex(text, strlen(text), expected);
	assert_true(fingerprint_read(FIXTURES "/laptop", read, &hidden));
	assert_string_equal(read, expected);
	assert_false(hidden);
}

static void takes_what_there_is(void **state)
{
	static const char text[] = "machine-id=\nproduct-uuid=\nboard-serial=00000000d5a1c0de\nmac=\n";
	char expected[SHA256_HEX_BYTES];
	char read[SHA256_HEX_BYTES];
	crypto_sha256_hex(text, strlen(text), expected);
	assert_true(fingerprint_read(FIXTURES "/modem-board", read, NULL));
	assert_string_equal(read, expected);
}

static void says_when_there_is_nothing(void **state)
{
	char read[SHA256_HEX_BYTES] = "untouched";
	assert_false(fingerprint_read(FIXTURES "/bare", read, NULL));
	assert_string_equal(read, "untouched");
}

static void read_changed(void **state, const char *script, char out[SHA256_HEX_BYTES])
{
	struct scratch *scratch = *state;
	char command[1200];
	char root[96];
	(void)snprintf(root, sizeof(root), "%s/machine", scratch->folder);
	(void)snprintf(command, sizeof(command), "rm -rf %s && cp -a %s/laptop %s && cd %s && %s", root, FIXTURES, root,
		       root, script);
	assert_int_equal(system(command), 0); // NOLINT(concurrency-mt-unsafe,cert-env33-c): a test
	assert_true(fingerprint_read(root, out, NULL));
}

static void what_comes_and_goes_does_not_count(void **state)
{
	static const char *const scripts[] = {
		// another USB adapter, whose name comes first
		"d=sys/devices/pci0000:00/usb1/1-2/net/aaa0 && mkdir -p $d/device && echo 02:00:00:00:00:01 > "
		"$d/address &&"
		" echo 0 > $d/addr_assign_type && ln -s ../../../$d sys/class/net/aaa0",
		// a bridge
		"d=sys/devices/virtual/net/aab0 && mkdir -p $d && echo 02:00:00:00:00:02 > $d/address && echo 0 >"
		" $d/addr_assign_type && ln -s ../../../$d sys/class/net/aab0",
		// a random address of the wireless card, and that of a bond
		"mkdir sys/class/net/wlp0s20f3/phy80211 && echo a0:51:0b:12:34:56 > "
		"sys/class/net/wlp0s20f3/phy80211/macaddress &&"
		" echo 3 > sys/class/net/wlp0s20f3/addr_assign_type && echo 02:00:00:00:00:03 > "
		"sys/class/net/wlp0s20f3/address",
		"mkdir sys/class/net/wlp0s20f3/bonding_slave && echo a0:51:0b:12:34:56 >"
		" sys/class/net/wlp0s20f3/bonding_slave/perm_hwaddr && echo 02:00:00:00:00:04 > "
		"sys/class/net/wlp0s20f3/address",
	};
	char plain[SHA256_HEX_BYTES];
	char changed[SHA256_HEX_BYTES];
	read_changed(state, "true", plain);
	for (size_t i = 0; i < sizeof(scripts) / sizeof(scripts[0]); i++) {
		read_changed(state, scripts[i], changed);
		if (strcmp(plain, changed) != 0)
			fail_msg("changed by: %s", scripts[i]);
	}
	read_changed(state, "echo a0:51:0b:12:34:57 > sys/class/net/wlp0s20f3/address", changed);
	assert_string_not_equal(plain, changed); // another built-in card
}

static void parts_can_be_chosen(void **state)
{
	char all[SHA256_HEX_BYTES];
	char some[SHA256_HEX_BYTES];
	unsigned parts = 0;
	assert_int_equal(fingerprint_of(FIXTURES "/laptop", &parts, all), 0);
	assert_int_equal(parts, 15);
	assert_true(fingerprint_read(FIXTURES "/laptop", some, NULL));
	assert_string_equal(all, some);
	parts = FINGERPRINT_BOARD;
	assert_int_equal(fingerprint_of(FIXTURES "/laptop", &parts, some), 0);
	assert_string_not_equal(all, some);
	parts = FINGERPRINT_BOARD | FINGERPRINT_PRODUCT;
	assert_int_equal(fingerprint_of(FIXTURES "/modem-board", &parts, some), FINGERPRINT_PRODUCT);
	assert_string_equal(fingerprint_part_name(FINGERPRINT_PRODUCT), "product UUID");
	parts = 0;
	assert_int_equal(fingerprint_of(FIXTURES "/bare", &parts, some), 0);
	assert_int_equal(parts, 0);
	assert_string_equal(some, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_all_four),
		cmocka_unit_test(takes_what_there_is),
		cmocka_unit_test(says_when_there_is_nothing),
		cmocka_unit_test_setup_teardown(what_comes_and_goes_does_not_count, scratch_setup, scratch_teardown),
		cmocka_unit_test(parts_can_be_chosen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
