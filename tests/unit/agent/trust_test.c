#include "agent/trust.h"

#include "tests/unit/scratch.h"

struct place {
	struct identity identity;
	struct jws_signer *signers[3];
};

static struct jws_signer *signer_new(void **state, const char *name)
{
	char *path auto_free = scratch_path(state, name);
	assert_true(jws_signer_create(path, NULL));
	struct jws_signer *signer = jws_signer_load(path, NULL);
	assert_non_null(signer);
	return signer;
}

static void place_init(void **state, struct place *place)
{
	char *folder auto_free = scratch_path(state, "");
	place->signers[0] = signer_new(state, "0.pem");
	place->signers[1] = signer_new(state, "1.pem");
	place->signers[2] = signer_new(state, "2.pem");
	identity_init(&place->identity, folder, NULL);
	(void)snprintf(place->identity.device, sizeof(place->identity.device), "kiosk-7");
	(void)snprintf(place->identity.broker_host, sizeof(place->identity.broker_host), "localhost");
	place->identity.broker_port = 8883;
	place->identity.command_keys[0] = *jws_signer_key(place->signers[0]);
	place->identity.command_key_count = 1;
}

static void place_done(struct place *place)
{
	for (size_t i = 0; i < 3; i++)
		jws_signer_free(place->signers[i]);
	identity_done(&place->identity);
}

// The set of those from first to last, announced by one of them.
static enum trust_verdict announce(struct place *place, size_t by, int64_t version, size_t first, size_t last,
				   struct error *error)
{
	struct signers set = {.version = version, .issued_s = 1};
	for (size_t i = first; i <= last; i++)
		set.keys[set.count++] = *jws_signer_key(place->signers[i]);
	char *jws auto_free = signers_sign(place->signers[by], &set, error);
	assert_non_null(jws);
	return trust_take(&place->identity, jws, strlen(jws), error);
}

static void follows_what_a_trusted_key_announces(void **state)
{
	struct place place cleanup(place_done) = {0};
	struct error error = {0};
	place_init(state, &place);
	assert_int_equal(announce(&place, 0, 10, 0, 1, &error), TRUST_TAKEN);
	assert_int_equal(announce(&place, 1, 20, 1, 1, &error), TRUST_TAKEN);
	assert_int_equal(place.identity.command_key_count, 1);
	assert_int_equal(announce(&place, 1, 30, 1, 2, &error), TRUST_TAKEN);

	struct identity read auto_identity = {0};
	char *folder auto_free = scratch_path(state, "");
	identity_init(&read, folder, NULL);
	assert_true(identity_load(&read, &error)); // on the disk, too
	assert_int_equal(read.signers, 30);
	assert_int_equal(read.command_key_count, 2);
	assert_memory_equal(read.command_keys, place.identity.command_keys, 2 * sizeof(read.command_keys[0]));
}

static void goes_neither_back_nor_aside(void **state)
{
	struct place place cleanup(place_done) = {0};
	struct error error = {0};
	place_init(state, &place);
	assert_int_equal(announce(&place, 1, 10, 1, 1, &error), TRUST_REFUSED); // nobody knows it
	assert_non_null(strstr(error.what, "kid is not trusted"));
	assert_int_equal(announce(&place, 0, 10, 0, 1, &error), TRUST_TAKEN);
	assert_int_equal(announce(&place, 1, 20, 1, 1, &error), TRUST_TAKEN);
	assert_int_equal(announce(&place, 0, 10, 0, 1, &error), TRUST_KNOWN);   // comes again
	assert_int_equal(announce(&place, 0, 30, 0, 1, &error), TRUST_REFUSED); // withdrawn, and wants to come back
	assert_int_equal(announce(&place, 1, 20, 1, 2, &error), TRUST_KNOWN);
	assert_int_equal(place.identity.signers, 20);
	assert_int_equal(place.identity.command_key_count, 1);
}

// What is not on the disk does not count: after a restart it would be forgotten.
static void what_cannot_be_stored_is_not_taken(void **state)
{
	struct place place cleanup(place_done) = {0};
	struct error error = {0};
	place_init(state, &place);
	assert_int_equal(mkdir(place.identity.identity_file, 0700), 0);
	assert_int_equal(announce(&place, 0, 10, 0, 1, &error), TRUST_FAILED);
	assert_int_equal(place.identity.signers, 0);
	assert_int_equal(place.identity.command_key_count, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(follows_what_a_trusted_key_announces, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(goes_neither_back_nor_aside, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_cannot_be_stored_is_not_taken, scratch_setup, scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
