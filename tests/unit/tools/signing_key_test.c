#include "tools/signing_key.h"

#include "tests/unit/scratch.h"

static void stack_at(void **state, struct stack *stack)
{
	struct scratch *scratch = *state;
	struct error error = {0};
	*stack = (struct stack){0};
	(void)snprintf(stack->root, sizeof(stack->root), "%s", scratch->folder);
	assert_true(file_mkdirs(stack_path(stack, "keys").text, 0700, &error));
	assert_true(jws_signer_create(stack_path(stack, "keys/command.pem").text, &error));
}

static struct signing_keys load(const struct stack *stack)
{
	struct signing_keys keys;
	struct error error = {0};
	if (!signing_keys_load(stack, &keys, &error))
		fail_msg("%s", error.what);
	return keys;
}

static size_t announcements(const struct stack *stack)
{
	char *text auto_free = file_read(stack_path(stack, "keys/command.pem.signers").text, 1 << 20, NULL, NULL);
	size_t count = 0;
	for (const char *at = text; at && (at = strchr(at, '\n')); at++)
		count++;
	return count;
}

static void one_takes_the_place_of_another(void **state)
{
	struct stack stack;
	struct error error = {0};
	const struct signers none = {0};
	stack_at(state, &stack);
	const struct jws_key first = load(&stack).keys[SIGNING_KEY_CURRENT];
	assert_false(signing_key_switch(&stack, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);

	assert_true(signing_key_add(&stack, &none, &error));
	struct signing_keys keys = load(&stack);
	assert_int_equal(keys.announced.count, 2);
	assert_non_null(signers_find(&keys.announced, first.kid));
	assert_non_null(signers_find(&keys.announced, keys.keys[SIGNING_KEY_NEXT].kid));
	assert_false(signing_key_add(&stack, &none, &error));
	assert_int_equal(error.kind, ERROR_EXISTS);
	const struct jws_key second = keys.keys[SIGNING_KEY_NEXT];
	int64_t version = keys.announced.version;

	assert_true(signing_key_switch(&stack, &error));
	keys = load(&stack);
	assert_string_equal(keys.keys[SIGNING_KEY_CURRENT].kid, second.kid);
	assert_string_equal(keys.keys[SIGNING_KEY_OLD].kid, first.kid);
	assert_false(keys.present[SIGNING_KEY_NEXT]);
	assert_int_equal(keys.announced.version, version); // devices have both already

	assert_false(signing_key_withdraw(&stack, &none, second.kid, &error));
	assert_true(signing_key_withdraw(&stack, &none, first.kid, &error));
	keys = load(&stack);
	assert_int_equal(keys.announced.count, 1);
	assert_true(keys.announced.version > version);
	assert_false(keys.present[SIGNING_KEY_OLD]);
	assert_false(signing_key_withdraw(&stack, &none, first.kid, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	assert_int_equal(announcements(&stack), 2);
}

// A crash between making the key and announcing it.
static void an_unannounced_next_key_is_announced(void **state)
{
	struct stack stack;
	struct error error = {0};
	const struct signers none = {0};
	stack_at(state, &stack);
	assert_true(jws_signer_create(stack_path(&stack, "keys/command-next.pem").text, &error));
	assert_true(signing_key_add(&stack, &none, &error));
	assert_int_equal(load(&stack).announced.count, 2);
}

// Whom devices trust from enrolment, other commanders' keys, stays trusted; and no set is larger than devices take.
static void keeps_whom_devices_trust(void **state)
{
	struct stack stack;
	struct error error = {0};
	struct signers trusted = {.count = SIGNERS_MAX - 2};
	stack_at(state, &stack);
	for (size_t i = 0; i < trusted.count; i++) {
		uint8_t bytes[JWS_KEY_BYTES] = {(uint8_t)(i + 1)};
		jws_key_from_public(&trusted.keys[i], bytes);
	}
	assert_true(signing_key_add(&stack, &trusted, &error));
	struct signing_keys keys = load(&stack);
	assert_int_equal(keys.announced.count, SIGNERS_MAX);
	assert_non_null(signers_find(&keys.announced, trusted.keys[0].kid));
	assert_true(signing_key_switch(&stack, &error));
	assert_false(signing_key_add(&stack, &trusted, &error));
	assert_int_equal(error.kind, ERROR_LIMIT);
	assert_true(signing_key_withdraw(&stack, &trusted, trusted.keys[0].kid, &error));
	assert_true(signing_key_add(&stack, &trusted, &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_takes_the_place_of_another, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(an_unannounced_next_key_is_announced, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(keeps_whom_devices_trust, scratch_setup, scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
