#include "agent/fingerprint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_all_four),
		cmocka_unit_test(takes_what_there_is),
		cmocka_unit_test(says_when_there_is_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
