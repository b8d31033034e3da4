#include "common/key.h"

#include "common/file.h"
#include "tests/unit/scratch.h"

#include <openssl/evp.h>
#include <openssl/pem.h>

static void what_is_stored_is_loaded(void **state)
{
	char *path auto_free = scratch_path(state, "made.key");
	struct error error = {0};
	struct stat status;
	EVP_PKEY *key = EVP_EC_gen("P-256");

	assert_true(key_store(key, path, &error));
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	EVP_PKEY *back = key_load(path, &error);
	assert_non_null(back);
	assert_int_equal(EVP_PKEY_eq(key, back), 1);
	assert_false(key_store(key, path, &error));
	assert_int_equal(error.kind, ERROR_EXISTS);
	EVP_PKEY_free(back);
	EVP_PKEY_free(key);
}

static void others_must_not_read_it(void **state)
{
	char *path auto_free = scratch_path(state, "open.key");
	struct error error = {0};
	EVP_PKEY *key = EVP_EC_gen("P-256");

	assert_true(key_store(key, path, &error));
	assert_int_equal(chmod(path, 0640), 0);
	assert_null(key_load(path, &error));
	EVP_PKEY_free(key);
}

static void an_encrypted_key_is_refused_without_asking(void **state)
{
	char *path auto_free = scratch_path(state, "encrypted.key");
	struct error error = {0};
	EVP_PKEY *key = EVP_EC_gen("P-256");
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(PEM_write_PKCS8PrivateKey(file, key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL), 1);
	assert_int_equal(fclose(file), 0);
	assert_null(key_load(path, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	EVP_PKEY_free(key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_stored_is_loaded, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(others_must_not_read_it, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(an_encrypted_key_is_refused_without_asking, scratch_setup,
						scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
