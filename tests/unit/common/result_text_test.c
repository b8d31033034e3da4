#include "common/result_text.h"

#include "common/key.h"
#include "common/signature.h"
#include "tests/unit/support/certificate.h"

static void assert_text(const char *message, const char *expected)
{
	struct error error = {0};
	struct json *json auto_json = json_parse(message, strlen(message), &error);
	struct buf out auto_buf = {0};
	assert_non_null(json);
	buf_init(&out, RESULT_TEXT_MAX_BYTES);
	assert_int_equal(result_text("kiosk-7", json, &out), expected != NULL);
	if (expected)
		assert_string_equal(buf_str(&out), expected);
}

static void leaves_out_what_changes_when_it_is_sent_again(void **state)
{
	assert_text(
		"{\"epoch\":\"e\",\"seq\":4,\"ts\":1,\"command\":\"c\",\"state\":\"accepted\",\"sig\":\"x\"}",
		"{\"typ\":\"muster-result\",\"device\":\"kiosk-7\",\"ts\":1,\"command\":\"c\",\"state\":\"accepted\"}");
	assert_text(
		"{\"ts\":1,\"command\":\"c\",\"state\":\"accepted\"}",
		"{\"typ\":\"muster-result\",\"device\":\"kiosk-7\",\"ts\":1,\"command\":\"c\",\"state\":\"accepted\"}");
}

static void keeps_order_numbers_and_texts(void **state)
{
	assert_text("{ \"state\" : \"succeeded\", \"output\": {\"b\": 0.5, \"a\": [1, null], \"t\": \"Zo\\u00eb "
		    "\\\"/\\n\"} }",
		    "{\"typ\":\"muster-result\",\"device\":\"kiosk-7\",\"state\":\"succeeded\",\"output\":{\"b\":0.5,"
		    "\"a\":[1,null],"
		    "\"t\":\"Zo\u00eb \\\"/\\n\"}}");
}

// What it says of itself must not stand beside what the message says.
static void refuses_members_of_its_own(void **state)
{
	assert_text("{\"typ\":\"x\",\"state\":\"succeeded\"}", NULL);
	assert_text("{\"device\":\"kiosk-8\",\"state\":\"succeeded\"}", NULL);
	assert_text("[]", NULL);
}

static void signs_what_is_read_from_the_message(void **state)
{
	struct error error = {0};
	struct buf message auto_buf = {0};
	struct buf text auto_buf = {0};
	const char *sig = NULL;
	char *pem auto_free = pki_key_new(&error);
	struct evp_pkey_st *key cleanup(key_free_cleanup) = key_parse(pem, "the key", &error);
	char *certificate auto_free = certificate_issue(state, "kiosk-7", pem, NULL);
	struct signature_checker *checker cleanup(signature_checker_free_cleanup) = signature_checker_new(&error);
	buf_init(&message, 4096);
	buf_init(&text, RESULT_TEXT_MAX_BYTES);
	buf_add_str(&message, "{\"epoch\":\"e\",\"seq\":4,\"command\":\"c\",\"output\":{\"b\":0.5}");
	assert_true(result_text_sign(key, "kiosk-7", &message, &error));
	buf_add_str(&message, "}");
	struct json *json auto_json = json_parse(buf_str(&message), message.len_bytes, &error);
	assert_true(json_member_string(json, "sig", &sig));
	assert_true(result_text("kiosk-7", json, &text));
	assert_true(signature_check(checker, certificate, buf_str(&text), text.len_bytes, sig, NULL, &error));
	buf_clear(&text);
	assert_true(result_text("kiosk-8", json, &text));
	assert_false(signature_check(checker, certificate, buf_str(&text), text.len_bytes, sig, NULL, &error));
}

static void does_not_sign_what_is_no_message(void **state)
{
	struct error error = {0};
	struct buf message auto_buf = {0};
	char *pem auto_free = pki_key_new(&error);
	struct evp_pkey_st *key cleanup(key_free_cleanup) = key_parse(pem, "the key", &error);
	buf_init(&message, 64);
	buf_add_str(&message, "{\"device\":\"kiosk-8\"");
	assert_false(result_text_sign(key, "kiosk-7", &message, &error));
	buf_clear(&message);
	buf_add_str(&message, "{\"state\":");
	assert_false(result_text_sign(key, "kiosk-7", &message, &error));
	buf_clear(&message);
	buf_add_str(&message, "{\"state\":\"succeeded\"");
	assert_false(result_text_sign(key, "kiosk-7", &message, &error)); // no room
	assert_int_equal(error.kind, ERROR_LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(leaves_out_what_changes_when_it_is_sent_again),
		cmocka_unit_test(keeps_order_numbers_and_texts),
		cmocka_unit_test(refuses_members_of_its_own),
		cmocka_unit_test_setup_teardown(signs_what_is_read_from_the_message, scratch_setup, scratch_teardown),
		cmocka_unit_test(does_not_sign_what_is_no_message),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
