#include "common/signers.h"

#include "tests/unit/scratch.h"

static struct jws_signer *signer_new(void **state, const char *name)
{
	char *path auto_free = scratch_path(state, name);
	assert_true(jws_signer_create(path, NULL));
	struct jws_signer *signer = jws_signer_load(path, NULL);
	assert_non_null(signer);
	return signer;
}

static void what_is_announced_is_read_again(void **state)
{
	struct jws_signer *one cleanup(jws_signer_free_cleanup) = signer_new(state, "one.pem");
	struct jws_signer *two cleanup(jws_signer_free_cleanup) = signer_new(state, "two.pem");
	struct signers set = {
		.version = 7, .issued_s = 1000, .keys = {*jws_signer_key(one), *jws_signer_key(two)}, .count = 2};
	struct signers read = {0};
	struct error error = {0};
	char *jws auto_free = signers_sign(one, &set, &error);
	assert_non_null(jws);
	assert_true(jws_has_typ(jws, strlen(jws), SIGNERS_TYP));
	assert_true(signers_verify(jws, strlen(jws), jws_signer_key(one), 1, &read, &error));
	assert_int_equal(read.version, 7);
	assert_int_equal(read.issued_s, 1000);
	assert_int_equal(read.count, 2);
	assert_memory_equal(read.keys, set.keys, 2 * sizeof(set.keys[0]));
	assert_non_null(signers_find(&read, jws_signer_key(two)->kid));
	assert_true(signers_read(jws, strlen(jws), &read, &error));
	assert_false(signers_verify(jws, strlen(jws), jws_signer_key(two), 1, &read, &error)); // it did not sign
	for (size_t bit = 0; bit < 8 * strlen(jws); bit++) {
		jws[bit / 8] = (char)(jws[bit / 8] ^ 1 << bit % 8);
		assert_false(signers_verify(jws, strlen(jws), set.keys, 2, &read, NULL));
		jws[bit / 8] = (char)(jws[bit / 8] ^ 1 << bit % 8);
	}
}

static void the_signer_is_one_of_the_set(void **state)
{
	struct jws_signer *one cleanup(jws_signer_free_cleanup) = signer_new(state, "one.pem");
	struct jws_signer *two cleanup(jws_signer_free_cleanup) = signer_new(state, "two.pem");
	struct signers set = {.version = 7, .keys = {*jws_signer_key(two)}, .count = 1};
	struct error error = {0};
	assert_null(signers_sign(one, &set, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
}

static void refuses_other_forms(void **state)
{
	static const char *const wrong[] = {
		"{}",
		"[]",
		"{\"version\":0,\"iat\":1,\"keys\":[]}",
		"{\"version\":1,\"iat\":1,\"keys\":[]}",
		"{\"version\":1,\"iat\":1,\"keys\":[1]}",
		"{\"version\":1,\"iat\":1,\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}]}",
		"{\"version\":\"1\",\"iat\":1,\"keys\":[]}",
	};
	struct jws_signer *signer cleanup(jws_signer_free_cleanup) = signer_new(state, "one.pem");
	struct signers read;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct error error = {0};
		char *jws auto_free = jws_sign(signer, SIGNERS_TYP, wrong[i], strlen(wrong[i]), &error);
		assert_false(signers_verify(jws, strlen(jws), jws_signer_key(signer), 1, &read, &error));
		assert_int_equal(error.kind, ERROR_INVALID);
		assert_false(signers_read(jws, strlen(jws), &read, &error));
	}
	assert_false(signers_read("a.b", 3, &read, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_announced_is_read_again, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(the_signer_is_one_of_the_set, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(refuses_other_forms, scratch_setup, scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
