#include "ingest/flat.h"

#include "tests/unit/scratch.h"

static struct flat flat;
static struct flat_member member;

static enum flat_step begin(const char *text)
{
	flat = (struct flat){.at = text, .end = text + strlen(text)};
	return flat_next(&flat, &member);
}

static void test_members(void **state)
{
	assert_int_equal(begin("{\"a\":-12 , \"bc\" : 0.25,\"\":true,\"d\":\"x y\"}"), FLAT_MEMBER);
	assert_memory_equal(member.name, "a", member.name_bytes);
	assert_int_equal(member.value.type, SCALAR_INTEGER);
	assert_int_equal(member.value.integer, -12);
	assert_true(member.value.real == -12);
	assert_int_equal(flat_next(&flat, &member), FLAT_MEMBER);
	assert_int_equal(member.name_bytes, 2);
	assert_int_equal(member.value.type, SCALAR_REAL);
	assert_true(member.value.real == 0.25);
	assert_int_equal(flat_next(&flat, &member), FLAT_MEMBER);
	assert_int_equal(member.name_bytes, 0);
	assert_int_equal(member.value.type, SCALAR_BOOLEAN);
	assert_true(member.value.boolean);
	assert_int_equal(flat_next(&flat, &member), FLAT_MEMBER);
	assert_int_equal(member.value.type, SCALAR_TEXT);
	assert_int_equal(member.value.text_bytes, 3);
	assert_memory_equal(member.value.text, "x y", 3);
	assert_int_equal(flat_next(&flat, &member), FLAT_END);
}

// Every real must be the one that strtod finds.
static void test_reals(void **state)
{
	unsigned random = 1;
	for (int i = 0; i < 20000; i++) {
		char number[32];
		char text[64];
		random = random * 1103515245U + 12345U;
		(void)snprintf(number, sizeof(number), "%s%u.%0*u", random & 1 ? "-" : "", random >> 8,
			       (int)(random >> 4) % 6 + 1, (random >> 3) % 10);
		(void)snprintf(text, sizeof(text), "{\"a\":%s}", number);
		assert_int_equal(begin(text), FLAT_MEMBER);
		if (member.value.real != strtod(number, NULL))
			fail_msg("%s is read as %.17g", number, member.value.real);
	}
}

static void test_anything_else_is_left_alone(void **state)
{
	static const char *const texts[] = {"", "{", "{}", " {\"a\":1}", "[1]", "{\"a\"", "{\"a\":", "{\"a\":null}",
					    "{\"a\":[1]}", "{\"a\":{}}", "{\"a\":01}", "{\"a\":-}", "{\"a\":1.}",
					    "{\"a\":.5}", "{\"a\":NaN}", "{\"\\u0061\":1}", "{\"a\":\"\\n\"}",
					    "{\"a\":\"\xc3\xa4\"}", "{\"a\":1234567890123456789}",
					    "{\"a\":0.1234567890123456}", "{a:1}", "{\"a\" \"b\"}"};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (begin(texts[i]) != FLAT_OTHER)
			fail_msg("%s", texts[i]);
	static const char *const tails[] = {"{\"a\":1",	  "{\"a\":1e5}", "{\"a\":1}}",	 "{\"a\":1} ",
					    "{\"a\":1,}", "{\"a\":1 2}", "{\"a\":truex}"};
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++)
		if (begin(tails[i]) != FLAT_MEMBER || flat_next(&flat, &member) != FLAT_OTHER)
			fail_msg("%s", tails[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_reals),
		cmocka_unit_test(test_anything_else_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
