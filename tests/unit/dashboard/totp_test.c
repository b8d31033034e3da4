#include "dashboard/totp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const uint8_t rfc[TOTP_SECRET_BYTES + 1] = "12345678901234567890"; // RFC 6238, appendix B

static void codes_are_those_of_the_rfc(void **state)
{
	static const struct {
		int64_t at_s;
		const char *code; // the last six of its eight digits
	} vectors[] = {{59, "287082"},	       {1111111109, "081804"}, {1111111111, "050471"},
		       {1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"}};
	char code[TOTP_CODE_BYTES], text[TOTP_TEXT_BYTES];

	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		totp_code(rfc, vectors[i].at_s / TOTP_STEP_S, code);
		assert_string_equal(code, vectors[i].code);
	}
	totp_text(rfc, text);
	assert_string_equal(text, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
}

static void a_code_counts_near_its_time_and_once(void **state)
{
	char code[TOTP_CODE_BYTES];
	const int64_t now_s = 1111111111, step = now_s / TOTP_STEP_S;
	int64_t used = 0;

	for (int64_t at = step - 3; at <= step + 3; at++) {
		bool near = at >= step - TOTP_WINDOW && at <= step + TOTP_WINDOW;

		totp_code(rfc, at, code);
		assert_int_equal(totp_check(rfc, code, now_s, 0, &used), near);
		if (near)
			assert_int_equal(used, at);
	}
	totp_code(rfc, step, code);
	assert_true(totp_check(rfc, code, now_s, step - 1, &used));
	assert_false(totp_check(rfc, code, now_s, step, &used));
	assert_false(totp_check(rfc, code, now_s, step + 1, &used)); // nor one before the last used
	static const char *const bad[] = {"", "12345", "1234567", "05047a", "000000"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(totp_check(rfc, bad[i], now_s, 0, &used));
}

static void recovery_codes_are_read_as_people_type_them(void **state)
{
	char code[RECOVERY_CODE_BYTES], other[RECOVERY_CODE_BYTES], read[RECOVERY_CODE_BYTES];

	recovery_code(code);
	recovery_code(other);
	assert_int_equal(strlen(code), RECOVERY_CODE_BYTES - 1);
	assert_string_not_equal(code, other);
	assert_true(recovery_normalize(code, read));
	assert_string_equal(read, code);
	assert_true(recovery_normalize(" ABCDE fgh0o-ILm12 ", read));
	assert_string_equal(read, "abcde-fgh00-11m12");
	static const char *const bad[] = {"",
					  "abcde",
					  "abcde-fgh00-11m1",
					  "abcde-fgh00-11m123",
					  "abcde-fgh00-11m1!",
					  "abcde-fgh00-11m12-aaaaa-aaaaa"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(recovery_normalize(bad[i], read));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_are_those_of_the_rfc),
		cmocka_unit_test(a_code_counts_near_its_time_and_once),
		cmocka_unit_test(recovery_codes_are_read_as_people_type_them),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
