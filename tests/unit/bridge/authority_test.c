#include "bridge/authority.h"

#include "tests/unit/scratch.h"

static void what_changes_is_taken_over(void **state)
{
	auto_free char *cert = scratch_path(state, "ca.crt");
	auto_free char *key = scratch_path(state, "ca.key");
	auto_free char *next_cert = scratch_path(state, "next.crt");
	auto_free char *next_key = scratch_path(state, "next.key");
	auto_free char *trust = scratch_path(state, "trust.crt");
	const struct options options = {.ca_cert_file = cert, .ca_key_file = key, .trust_file = trust};
	struct authority authority;
	struct error error = {0};
	bool changed = true;

	assert_false(authority_open(&authority, &options, &error));
	assert_true(pki_ca_create(cert, key, "One", 30, &error) &&
		    pki_ca_create(next_cert, next_key, "Two", 30, &error));
	auto_free char *one = file_read(cert, 10000, NULL, &error);
	auto_free char *two = file_read(next_cert, 10000, NULL, &error);
	assert_true(file_write(trust, one, strlen(one), 0600, &error));
	assert_true(authority_open(&authority, &options, &error));
	assert_string_equal(authority.info.common_name, "One");
	assert_string_equal(authority.trust_pem, one);
	assert_true(authority_refresh(&authority, &changed, &error));
	assert_false(changed);

	// Another one is trusted as well: the issuing one stays.
	auto_free char *both = NULL;
	assert_true(asprintf(&both, "%s%s", one, two) > 0);
	assert_true(file_write(cert, both, strlen(both), 0600, &error));
	assert_true(authority_refresh(&authority, &changed, &error) && changed);
	assert_string_equal(authority.info.common_name, "One");
	// The key is what changes it. Whoever has the former one in hand can go on with it.
	const struct authority in_hand = authority;
	struct pki_certificate_info info;
	assert_int_equal(rename(next_key, key), 0);
	assert_true(authority_refresh(&authority, &changed, &error) && changed);
	assert_string_equal(authority.info.common_name, "Two");
	assert_true(pki_ca_info(in_hand.ca, &info, &error));
	assert_string_equal(info.common_name, "One");
	assert_string_equal(in_hand.trust_pem, one);
	authority_forget(&authority);
	assert_string_equal(authority.info.common_name, "Two");

	// What cannot be used changes nothing, and is looked at again.
	char before[SHA256_HEX_BYTES];
	(void)snprintf(before, sizeof(before), "%s", authority.trust_sha256);
	assert_true(file_write(trust, "nonsense", 8, 0600, &error));
	assert_false(authority_refresh(&authority, &changed, &error));
	assert_false(changed);
	assert_string_equal(authority.trust_sha256, before);
	assert_false(authority_refresh(&authority, &changed, &error));
	assert_true(file_write(trust, two, strlen(two), 0600, &error));
	assert_true(authority_refresh(&authority, &changed, &error) && changed);
	assert_string_equal(authority.trust_pem, two);
	assert_string_not_equal(authority.trust_sha256, before);
	authority_close(&authority);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_changes_is_taken_over, scratch_setup, scratch_teardown)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
