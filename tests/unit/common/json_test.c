#include "common/json.h"

#include "common/limits.h"
#include "tests/unit/scratch.h"

#include <locale.h>
#include <math.h>

static struct json *parse(const char *text)
{
	struct error error = {0};
	struct json *json = json_parse(text, strlen(text), &error);
	if (!json)
		fail_msg("%s: %s (%s)", text, error.what, error.where);
	return json;
}

static void accepts(void **state)
{
	(void)state;
	struct json *vectors auto_json = vectors_load("json.json");
	const struct json *cases = json_member(vectors, "accept");
	assert_true(json_array_length(cases) > 30);
	for (size_t i = 0; i < json_array_length(cases); i++) {
		const char *text, *written;
		assert_true(json_member_string(json_array_at(cases, i), "text", &text));
		assert_true(json_member_string(json_array_at(cases, i), "written", &written));
		struct json *json auto_json = parse(text);
		assert_string_equal(json_text(json), written);
	}
}

// Also for each prefix and for a copy without terminator, so that a read too far is seen by ASan.
static void must_refuse(const char *bytes, size_t len, const char *why)
{
	char *exact auto_free = malloc(len ? len : 1);
	assert_non_null(exact);
	memcpy(exact, bytes, len);
	struct error error = {0};
	struct json *json auto_json = json_parse(exact, len, &error);
	if (json)
		fail_msg("accepted (%s): %.*s", why, (int)len, bytes);
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_memory_equal(error.where, "byte ", 5);
	assert_true(strtoul(error.where + 5, NULL, 10) <= len);
}

static void refuses(void **state)
{
	(void)state;
	struct json *vectors auto_json = vectors_load("json.json");
	const struct json *cases = json_member(vectors, "reject");
	assert_true(json_array_length(cases) > 60);
	for (size_t i = 0; i < json_array_length(cases); i++) {
		const char *text, *why;
		assert_true(json_member_string(json_array_at(cases, i), "text", &text));
		assert_true(json_member_string(json_array_at(cases, i), "why", &why));
		must_refuse(text, strlen(text), why);
	}
}

static void refuses_bytes(void **state)
{
	(void)state;
	struct json *vectors auto_json = vectors_load("json.json");
	const struct json *cases = json_member(vectors, "reject_bytes");
	assert_true(json_array_length(cases) > 20);
	for (size_t i = 0; i < json_array_length(cases); i++) {
		const char *hex, *why;
		assert_true(json_member_string(json_array_at(cases, i), "hex", &hex));
		assert_true(json_member_string(json_array_at(cases, i), "why", &why));
		char bytes[64];
		size_t len = strlen(hex) / 2;
		assert_true(len <= sizeof(bytes));
		for (size_t j = 0; j < len; j++) {
			char digits[3] = {hex[2 * j], hex[2 * j + 1], '\0'};
			bytes[j] = (char)strtoul(digits, NULL, 16);
		}
		must_refuse(bytes, len, why);
	}
}

static void every_prefix_is_refused(void **state)
{
	(void)state;
	static const char text[] = "{\"a\\u00e9\\ud83d\\ude00\":[1.5e3,true,null,\"\xe2\x82\xac\"],\"b\":{}}";
	struct json *whole auto_json = parse(text);
	for (size_t len = 0; len < sizeof(text) - 1; len++)
		must_refuse(text, len, "a prefix");
}

static void the_error_says_where(void **state)
{
	(void)state;
	struct error error;
	static const char text[] = "{\"a\":1,\"a\":2}";
	assert_null(json_parse(text, strlen(text), &error));
	assert_non_null(strstr(error.what, "same name"));
	assert_string_equal(error.where, "byte 10");
	assert_null(json_parse("[1, x]", 6, &error));
	assert_string_equal(error.where, "byte 4");
}

static void members_are_limited(void **state)
{
	(void)state;
	struct buf text auto_buf = {0};
	buf_init(&text, 1 << 20);
	(void)buf_add_str(&text, "{");
	for (int i = 0; i < JSON_MEMBERS_MAX; i++)
		(void)buf_addf(&text, "%s\"k%d\":%d", i ? "," : "", i, i);
	size_t len = text.len_bytes;
	(void)buf_add_str(&text, "}");
	struct json *json auto_json = parse(text.data);
	int64_t last;
	assert_true(json_member_int(json, "k999", &last));
	assert_int_equal(last, 999);

	text.len_bytes = len;
	(void)buf_add_str(&text, ",\"k0\":1}"); // one too many, and twice
	must_refuse(text.data, text.len_bytes, "duplicate");
	text.len_bytes = len;
	(void)buf_add_str(&text, ",\"more\":1}");
	must_refuse(text.data, text.len_bytes, "members");
}

static void containers_are_limited(void **state)
{
	(void)state;
	struct buf text auto_buf = {0};
	buf_init(&text, 1 << 20);
	(void)buf_add_str(&text, "[{}");
	for (int i = 2; i < JSON_CONTAINERS_MAX; i++)
		(void)buf_add_str(&text, ",{}");
	size_t len = text.len_bytes;
	(void)buf_add_str(&text, "]");
	struct json *json auto_json = parse(text.data);
	assert_int_equal(json_array_length(json), JSON_CONTAINERS_MAX - 1);
	text.len_bytes = len;
	(void)buf_add_str(&text, ",{}]");
	must_refuse(text.data, text.len_bytes, "containers");
}

static void numbers_keep_their_type(void **state)
{
	(void)state;
	struct json *json auto_json =
		parse("[9223372036854775807,9223372036854775808,-9223372036854775809,5.0,5.5,1e300,-0.0,"
		      "9007199254740993.0,9007199254740992.0]");
	static const enum json_type types[] = {JSON_INT,    JSON_DOUBLE, JSON_DOUBLE, JSON_DOUBLE, JSON_DOUBLE,
					       JSON_DOUBLE, JSON_DOUBLE, JSON_DOUBLE, JSON_DOUBLE};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		assert_int_equal(json_type(json_array_at(json, i)), types[i]);

	int64_t value = 77;
	double real;
	assert_true(json_as_int(json_array_at(json, 0), &value));
	assert_true(value == INT64_MAX);
	value = 77;
	assert_false(json_as_int(json_array_at(json, 1), &value)); // 2^63 is not exact in a double's sense
	assert_int_equal(value, 77);
	assert_true(json_as_double(json_array_at(json, 1), &real));
	assert_true(real == 9223372036854775808.0);
	assert_true(json_as_int(json_array_at(json, 3), &value));
	assert_int_equal(value, 5);
	assert_false(json_as_int(json_array_at(json, 4), &value));
	assert_false(json_as_int(json_array_at(json, 5), &value));
	assert_true(json_as_int(json_array_at(json, 6), &value));
	assert_int_equal(value, 0);
	assert_true(json_as_int(json_array_at(json, 8), &value));
	assert_true(value == 9007199254740992);
}

static void accessors_refuse_other_types(void **state)
{
	(void)state;
	struct json *json auto_json = parse("{\"s\":\"x\",\"i\":1,\"d\":1.5,\"b\":true,\"n\":null,\"a\":[1],\"o\":{}}");
	const char *text = "untouched";
	int64_t integer = 77;
	double real = 77;
	bool yes = false;
	assert_false(json_member_string(json, "i", &text));
	assert_false(json_member_string(json, "n", &text));
	assert_false(json_member_string(json, "missing", &text));
	assert_string_equal(text, "untouched");
	assert_false(json_member_int(json, "s", &integer));
	assert_false(json_member_int(json, "b", &integer));
	assert_int_equal(integer, 77);
	assert_false(json_member_double(json, "s", &real));
	assert_true(json_member_double(json, "i", &real));
	assert_true(real == 1.0);
	assert_false(json_member_bool(json, "i", &yes));
	assert_true(json_member_bool(json, "b", &yes));
	assert_true(yes);

	// A null member is there; a missing one is not.
	assert_non_null(json_member(json, "n"));
	assert_int_equal(json_type(json_member(json, "n")), JSON_NULL);
	assert_null(json_member(json, "missing"));
	assert_null(json_member(json_member(json, "a"), "x"));
	assert_null(json_member(NULL, "x"));
	assert_int_equal(json_array_length(json_member(json, "o")), 0);
	assert_null(json_array_at(json_member(json, "a"), 1));
	assert_null(json_array_at(NULL, 0));
}

static void iterates_in_order(void **state)
{
	(void)state;
	struct json *json auto_json = parse("{\"z\":1,\"a\":null,\"m\":\"x\"}");
	char names[8] = "";
	for (struct json_iterator it = json_begin(json); json_next(&it);) {
		strcat(names, it.name);
		assert_ptr_equal(it.value, json_member(json, it.name));
	}
	assert_string_equal(names, "zam");
	struct json_iterator none = json_begin(json_member(json, "m"));
	assert_false(json_next(&none));
	struct json *empty auto_json = json_new_object();
	none = json_begin(empty);
	assert_false(json_next(&none));
}

static void builds(void **state)
{
	(void)state;
	struct json *object auto_json = json_new_object();
	json_set_string(object, "path", "/a/\"b\"\n");
	json_set_string(object, "none", NULL);
	json_set_int(object, "int", INT64_MIN);
	json_set_double(object, "double", 0.1);
	json_set_double(object, "whole", 5);
	json_set_double(object, "nan", NAN);
	json_set_double(object, "inf", -INFINITY);
	json_set_bool(object, "bool", true);
	struct json *array = json_new_array();
	json_append(array, json_new_object());
	json_append(array, NULL);
	json_set(object, "array", array);
	json_set_int(object, "int", 3); // replaces, and keeps its place
	assert_string_equal(json_text(object),
			    "{\"path\":\"/a/\\\"b\\\"\\n\",\"none\":null,\"int\":3,\"double\":0.1,\"whole\":5.0,"
			    "\"nan\":null,\"inf\":null,\"bool\":true,\"array\":[{},null]}");

	struct json *copy auto_json = json_copy(object);
	json_set_int(object, "int", 4);
	int64_t value;
	assert_true(json_member_int(copy, "int", &value));
	assert_int_equal(value, 3);
	assert_non_null(strstr(json_text(copy), "\"double\":0.1,"));

	struct json *null auto_json = json_copy(json_member(object, "none"));
	assert_string_equal(json_text(null), "null");
	json_free(NULL);
}

static void what_is_built_is_valid_whatever_the_bytes(void **state)
{
	(void)state;
	struct json *object auto_json = json_new_object();
	json_set_string(object, "a\xff", "x\xe2\x82y\xed\xa0\x80");
	const char *text = json_text(object);
	struct json *again auto_json = parse(text);
	const char *value;
	assert_true(json_member_string(again, "a\xef\xbf\xbd", &value));
	assert_string_equal(value, "x\xef\xbf\xbd\xef\xbf\xbdy\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
}

static void quotes(void **state)
{
	(void)state;
	static const struct {
		const char *text, *quoted;
	} cases[] = {
		{"", "\"\""},
		{"plain \xc3\xa9 \xf0\x9f\x98\x80", "\"plain \xc3\xa9 \xf0\x9f\x98\x80\""},
		{"a\"b\\c/d", "\"a\\\"b\\\\c/d\""},
		{"\n\t\x01\x1b[31m\x7f", "\"\\n\\u0009\\u0001\\u001b[31m\\u007f\""},
		{"\xc2\x9b"
		 "2J",
		 "\"\\u009b2J\""}, // CSI in one byte of Latin-1: a terminal may obey it
		{"bad\xff\xc3", "\"bad\\ufffd\\ufffd\""},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out auto_buf = {0};
		buf_init(&out, 1000);
		assert_true(json_quote(&out, cases[i].text));
		assert_string_equal(out.data, cases[i].quoted);
		struct json *again auto_json = parse(out.data);
	}
	struct buf small auto_buf = {0};
	buf_init(&small, 4);
	assert_false(json_quote(&small, "long"));
}

static void the_locale_does_not_matter(void **state)
{
	(void)state;
	if (!setlocale(LC_NUMERIC, "de_DE.UTF-8"))
		skip(); // not installed here
	struct json *json auto_json = parse("[21.5]");
	double value;
	assert_true(json_as_double(json_array_at(json, 0), &value));
	assert_true(value == 21.5);
	assert_string_equal(json_text(json), "[21.5]");
	(void)setlocale(LC_NUMERIC, "C");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts),
		cmocka_unit_test(refuses),
		cmocka_unit_test(refuses_bytes),
		cmocka_unit_test(every_prefix_is_refused),
		cmocka_unit_test(the_error_says_where),
		cmocka_unit_test(members_are_limited),
		cmocka_unit_test(containers_are_limited),
		cmocka_unit_test(numbers_keep_their_type),
		cmocka_unit_test(accessors_refuse_other_types),
		cmocka_unit_test(iterates_in_order),
		cmocka_unit_test(builds),
		cmocka_unit_test(what_is_built_is_valid_whatever_the_bytes),
		cmocka_unit_test(quotes),
		cmocka_unit_test(the_locale_does_not_matter),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
