#include "common/command.h"

#include "tests/unit/scratch.h"

static const char *const verdict_names[] = {
	[COMMAND_OK] = "ok",
	[COMMAND_REPEATED] = "repeated",
	[COMMAND_BAD_FORM] = "bad_form",
	[COMMAND_NOT_MINE] = "not_mine",
	[COMMAND_EXPIRED] = "expired",
	[COMMAND_REPLAYED] = "replayed",
};

static struct jws_signer *signer_new(void **state, const char *name)
{
	char *path auto_free = scratch_path(state, name);
	assert_true(jws_signer_create(path, NULL));
	struct jws_signer *signer = jws_signer_load(path, NULL);
	assert_non_null(signer);
	return signer;
}

static bool was_seen(void *user, const char *jti)
{
	return user && strcmp(user, jti) == 0;
}

static void run_case(const struct jws_signer *signer, const struct json *row)
{
	const char *name, *verdict, *payload, *seen = NULL;
	struct command_context context = {
		.device = "device-1", .keys = jws_signer_key(signer), .key_count = 1, .seen = was_seen};
	assert_true(json_member_string(row, "name", &name));
	assert_true(json_member_string(row, "verdict", &verdict));
	assert_true(json_member_string(row, "payload", &payload));
	assert_true(json_member_int(row, "now", &context.now_s));
	assert_true(json_member_int(row, "high", &context.counter_high));
	(void)json_member_string(row, "seen", &seen);
	context.user = (void *)seen;

	char *jws auto_free = jws_sign(signer, COMMAND_TYP, payload, strlen(payload), NULL);
	assert_non_null(jws);
	struct command command = {0};
	struct error error = {0};
	enum command_verdict got = command_check(jws, strlen(jws), &context, &command, &error);
	if (strcmp(verdict_names[got], verdict) != 0)
		fail_msg("%s: %s (%s)", name, verdict_names[got], error.what);
	if (got == COMMAND_BAD_FORM) {
		assert_int_equal(error.kind, ERROR_INVALID);
		assert_null(command.params);
		return;
	}
	if (got != COMMAND_OK && got != COMMAND_REPEATED)
		assert_int_equal(error.kind, ERROR_INVALID);
	assert_int_equal(json_type(command.params), JSON_OBJECT);
	assert_string_not_equal(command.id, "");
	command_done(&command);
	assert_null(command.params);
}

static void vectors(void **state)
{
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = signer_new(state, "key.pem");
	struct json *file auto_json = vectors_load("command.json");
	const struct json *cases = json_member(file, "cases");
	assert_true(json_array_length(cases) > 40);
	for (size_t i = 0; i < json_array_length(cases); i++)
		run_case(signer, json_array_at(cases, i));
}

static struct command sample(void)
{
	return (struct command){.id = "0191d5a2-7b1e-4b44-8f0c-2f7d1c9a7e11",
				.device = "device-1",
				.issued_s = 1000,
				.expires_s = 2000,
				.counter = 7,
				.action = "app.launch"};
}

static void what_is_signed_is_read_again(void **state)
{
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = signer_new(state, "key.pem");
	struct json *params auto_json = json_new_object();
	json_set_string(params, "package", "org.example");
	struct command command = sample();
	command.params = params;
	struct error error = {0};
	char *jws auto_free = command_sign(signer, &command, &error);
	if (!jws)
		fail_msg("%s", error.what);

	struct command_context context = {
		.device = "device-1", .keys = jws_signer_key(signer), .key_count = 1, .now_s = 1500, .counter_high = 6};
	struct command read;
	assert_int_equal(command_check(jws, strlen(jws), &context, &read, &error), COMMAND_OK);
	assert_string_equal(read.id, command.id);
	assert_string_equal(read.device, command.device);
	assert_int_equal(read.issued_s, 1000);
	assert_int_equal(read.expires_s, 2000);
	assert_int_equal(read.counter, 7);
	assert_string_equal(read.action, "app.launch");
	assert_string_equal(json_text(read.params), "{\"package\":\"org.example\"}");
	command_done(&read);
}

// A history shows who asked, and that nothing is missing before it.
static void names_who_asked_and_what_was_signed_before(void **state)
{
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = signer_new(state, "key.pem");
	struct command first = sample();
	struct command second = sample();
	struct command read;
	struct error error = {0};
	char *first_jws auto_free = command_sign(signer, &first, &error);
	assert_non_null(first_jws);
	(void)snprintf(second.by, sizeof(second.by), "op.alice");
	command_chain(first_jws, strlen(first_jws), second.prev);
	char *second_jws auto_free = command_sign(signer, &second, &error);
	assert_non_null(second_jws);

	struct command_context context = {.device = "device-1", .keys = jws_signer_key(signer), .key_count = 1};
	assert_int_equal(command_check(first_jws, strlen(first_jws), &context, &read, &error), COMMAND_OK);
	assert_string_equal(read.by, "");
	assert_string_equal(read.prev, "");
	command_done(&read);
	assert_int_equal(command_check(second_jws, strlen(second_jws), &context, &read, &error), COMMAND_OK);
	assert_string_equal(read.by, "op.alice");
	assert_string_equal(read.prev, second.prev);
	assert_int_equal(strlen(read.prev), COMMAND_CHAIN_BYTES - 1);
	command_done(&read);
	static const char claims[] =
		"{\"jti\":\"a\",\"sub\":\"device-1\",\"iat\":1,\"exp\":2,\"n\":1,\"action\":\"ping\",\"by\":7}";
	char *odd auto_free = jws_sign(signer, COMMAND_TYP, claims, strlen(claims), NULL);
	assert_int_equal(command_check(odd, strlen(odd), &context, &read, &error), COMMAND_BAD_FORM);
}

static void another_signer_or_typ_is_bad_form(void **state)
{
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = signer_new(state, "key.pem");
	struct jws_signer *other cleanup(jws_signer_free_cleanup) = signer_new(state, "other.pem");
	struct command command = sample();
	char *jws auto_free = command_sign(other, &command, NULL);
	assert_non_null(jws);
	struct command_context context = {.device = "device-1", .keys = jws_signer_key(signer), .key_count = 1};
	struct command read;
	struct error error;
	assert_int_equal(command_check(jws, strlen(jws), &context, &read, &error), COMMAND_BAD_FORM);
	assert_non_null(strstr(error.what, "kid"));

	static const char claims[] =
		"{\"jti\":\"a\",\"sub\":\"device-1\",\"iat\":1,\"exp\":2,\"n\":1,\"action\":\"ping\"}";
	char *config auto_free = jws_sign(signer, "muster-config+jws", claims, strlen(claims), NULL);
	assert_int_equal(command_check(config, strlen(config), &context, &read, &error), COMMAND_BAD_FORM);
	assert_non_null(strstr(error.what, "typ"));
}

// security 14
static void every_flipped_bit_is_bad_form(void **state)
{
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = signer_new(state, "key.pem");
	struct command command = sample();
	(void)snprintf(command.by, sizeof(command.by), "op.alice");
	(void)snprintf(command.prev, sizeof(command.prev), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
	char *jws auto_free = command_sign(signer, &command, NULL);
	struct command_context context = {
		.device = "device-1", .keys = jws_signer_key(signer), .key_count = 1, .now_s = 1500};
	struct command read;
	for (size_t bit = 0; bit < 8 * strlen(jws); bit++) {
		jws[bit / 8] = (char)(jws[bit / 8] ^ 1 << bit % 8);
		assert_int_equal(command_check(jws, strlen(jws), &context, &read, NULL), COMMAND_BAD_FORM);
		jws[bit / 8] = (char)(jws[bit / 8] ^ 1 << bit % 8);
	}
	assert_int_equal(command_check(jws, strlen(jws), &context, &read, NULL), COMMAND_OK); // the control
	command_done(&read);
}

static void must_not_sign(const struct jws_signer *signer, struct command command)
{
	struct error error = {0};
	assert_null(command_sign(signer, &command, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
}

static void what_no_device_would_accept_is_not_signed(void **state)
{
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = signer_new(state, "key.pem");
	struct command command = sample();
	command.id[0] = '\0';
	must_not_sign(signer, command);
	command = sample();
	command.device[0] = 'D';
	must_not_sign(signer, command);
	command = sample();
	command.expires_s = command.issued_s;
	must_not_sign(signer, command);
	command = sample();
	command.counter = 0;
	must_not_sign(signer, command);
	command = sample();
	command.action[0] = '\0';
	must_not_sign(signer, command);

	struct json *array auto_json = json_new_array();
	command = sample();
	command.params = array;
	must_not_sign(signer, command);
	static const char nested[] = "{\"a\":[[[[[[1]]]]]]}";
	struct json *deep auto_json = json_parse(nested, strlen(nested), NULL);
	assert_non_null(deep); // seven deep: eight with the claims around it, and nine when wrapped once more
	struct json *deeper auto_json = json_new_object();
	json_set(deeper, "a", json_copy(deep));
	command.params = deeper;
	must_not_sign(signer, command);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(vectors, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_is_signed_is_read_again, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(names_who_asked_and_what_was_signed_before, scratch_setup,
						scratch_teardown),
		cmocka_unit_test_setup_teardown(another_signer_or_typ_is_bad_form, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(every_flipped_bit_is_bad_form, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_no_device_would_accept_is_not_signed, scratch_setup,
						scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
