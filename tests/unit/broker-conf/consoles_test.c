#include "broker-conf/consoles.h"

#include "common/console.h"
#include "common/jwk.h"
#include "tests/unit/scratch.h"

#define NOW_S 1767225600

static struct jws_signer *signer;
static struct consoles *consoles;
static char clients[4]; // their addresses stand for the broker's

static void write_keys(void **state, const struct jws_key *key)
{
	struct json *set auto_json = json_new_object();
	struct json *keys = json_new_array();

	if (key)
		json_append(keys, jwk_json(key));
	json_set(set, "keys", keys);
	free(scratch_write(state, "console.jwks", json_text(set), 0600));
}

static int setup(void **state)
{
	struct error error = {0};

	if (scratch_setup(state) != 0)
		return -1;
	char *pem auto_free = scratch_path(state, "console.pem");
	char *jwks auto_free = scratch_path(state, "console.jwks");

	signer = jws_signer_create(pem, &error) ? jws_signer_load(pem, &error) : NULL;
	const struct consoles_options options = {.keys_path = jwks, .per_user = 2, .total = 3, .cell = 1};

	consoles = consoles_new(&options, &error);
	if (consoles)
		consoles_ends_known(consoles);
	if (!signer || !consoles)
		return -1;
	write_keys(state, jws_signer_key(signer));
	return 0;
}

static int teardown(void **state)
{
	consoles_free(consoles);
	jws_signer_free(signer);
	return scratch_teardown(state);
}

static int64_t cell = 1; // of the credentials that are made
static char last_client_id[CONSOLE_CLIENT_BYTES];

// Lets client n in as user until expires_s; whether that went well.
static bool let_in(int n, const char *user, int64_t expires_s, int64_t now_s, struct error *error)
{
	struct console_grant grant = {
		.issued_s = NOW_S, .expires_s = expires_s, .cell = cell, .count = 1, .devices = {"kiosk-7"}};
	char as[PRINCIPAL_MAX];

	(void)snprintf(grant.user, sizeof(grant.user), "%s", user);
	console_client_id(grant.client_id);
	memcpy(last_client_id, grant.client_id, sizeof(grant.client_id));
	char *token auto_free = console_sign(signer, &grant, error);
	const struct console_login login = {&clients[n], grant.client_id, token, true, true};
	bool in = token && consoles_let_in(consoles, &login, now_s, as, error);

	if (in) {
		assert_int_equal(strncmp(as, "console.", 8), 0);
		assert_string_equal(as + 8, user);
	}
	return in;
}

static void who_is_let_in_reads_until_it_goes(void **state)
{
	struct error error = {0};

	assert_false(consoles_may_read(consoles, &clients[0], "fleet/v1/kiosk-7/status"));
	assert_true(let_in(0, "alice", NOW_S + 300, NOW_S, &error));
	assert_true(consoles_may_read(consoles, &clients[0], "fleet/v1/kiosk-7/status"));
	assert_false(consoles_may_read(consoles, &clients[0], "fleet/v1/kiosk-8/status"));
	assert_false(consoles_may_read(consoles, &clients[1], "fleet/v1/kiosk-7/status"));
	consoles_forget(consoles, &clients[0]);
	consoles_forget(consoles, &clients[0]);
	assert_false(consoles_may_read(consoles, &clients[0], "fleet/v1/kiosk-7/status"));
}

static void what_is_no_console_is_refused(void **state)
{
	const struct console_login wrong[] = {
		{&clients[0], "console.0123456789abcdef0123456789abcdef", "x.y.z", true, true},
		{&clients[0], "console.0123456789abcdef0123456789abcdef", "", true, true},
		{&clients[0], "console.0123456789abcdef0123456789abcdef", NULL, true, true},
		{&clients[0], NULL, "x.y.z", true, true},
		{&clients[0], "kiosk-7", "x.y.z", false, true},
		{&clients[0], "kiosk-7", "x.y.z", true, false},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct error error = {0};
		char user[PRINCIPAL_MAX];

		assert_false(consoles_let_in(consoles, &wrong[i], NOW_S, user, &error));
		assert_true(error.what[0]);
	}
}

static void there_is_room_for_so_many(void **state)
{
	struct error error = {0};

	assert_true(let_in(0, "alice", NOW_S + 300, NOW_S, &error));
	assert_true(let_in(1, "alice", NOW_S + 300, NOW_S, &error));
	assert_false(let_in(2, "alice", NOW_S + 300, NOW_S, &error));
	assert_int_equal(error.kind, ERROR_LIMIT);
	assert_true(let_in(2, "bob", NOW_S + 300, NOW_S, &error));
	assert_false(let_in(3, "carol", NOW_S + 300, NOW_S, &error));
	consoles_forget(consoles, &clients[0]);
	assert_true(let_in(3, "carol", NOW_S + 300, NOW_S, &error));
	// The same client again, whose end was not told: its place is its own.
	assert_true(let_in(3, "carol", NOW_S + 300, NOW_S, &error));
}

static void each_end_is_said_once(void **state)
{
	struct error error = {0};
	char client_id[CONSOLE_CLIENT_BYTES];

	assert_true(let_in(0, "alice", NOW_S + 100, NOW_S, &error));
	assert_true(let_in(1, "bob", NOW_S + 200, NOW_S, &error));
	assert_false(consoles_expired(consoles, NOW_S + 99, client_id, sizeof(client_id)));
	assert_true(consoles_expired(consoles, NOW_S + 100, client_id, sizeof(client_id)));
	assert_true(console_is_client_id(client_id));
	assert_false(consoles_expired(consoles, NOW_S + 100, client_id, sizeof(client_id)));
	assert_false(consoles_may_read(consoles, &clients[0], "fleet/v1/kiosk-7/status"));
	assert_true(consoles_may_read(consoles, &clients[1], "fleet/v1/kiosk-7/status"));
	assert_true(consoles_expired(consoles, NOW_S + 300, client_id, sizeof(client_id)));
}

// Shows the credential of that client id once more.
static bool shown_again(int n, const char *client_id, int64_t now_s, struct error *error)
{
	struct console_grant grant = {
		.user = "alice", .issued_s = NOW_S, .expires_s = NOW_S + 300, .cell = 1, .all = true};
	char as[PRINCIPAL_MAX];

	(void)snprintf(grant.client_id, sizeof(grant.client_id), "%s", client_id);
	char *token auto_free = console_sign(signer, &grant, error);
	const struct console_login login = {&clients[n], client_id, token, true, true};

	return token && consoles_let_in(consoles, &login, now_s, as, error);
}

static void what_was_ended_counts_no_more(void **state)
{
	struct error error = {0};
	char alices[CONSOLE_CLIENT_BYTES], client_id[CONSOLE_CLIENT_BYTES];

	assert_true(let_in(0, "alice", NOW_S + 300, NOW_S, &error));
	memcpy(alices, last_client_id, sizeof(alices));
	assert_true(let_in(1, "bob", NOW_S + 300, NOW_S, &error));
	assert_true(consoles_may_read(consoles, &clients[0], "fleet/v1/kiosk-7/status"));
	consoles_end(consoles, alices, NOW_S + 300);
	consoles_end(consoles, alices, NOW_S + 300);
	assert_false(consoles_may_read(consoles, &clients[0], "fleet/v1/kiosk-7/status"));
	assert_true(consoles_may_read(consoles, &clients[1], "fleet/v1/kiosk-7/status"));
	consoles_forget(consoles, &clients[0]);
	assert_false(shown_again(0, alices, NOW_S + 1, &error));
	assert_non_null(strstr(error.what, "was ended"));
	// It is remembered for as long as it would have counted, which is what keeps the memory small.
	assert_false(consoles_expired(consoles, NOW_S + 299, client_id, sizeof(client_id)));
	assert_false(shown_again(0, alices, NOW_S + 299, &error));
	assert_true(consoles_expired(consoles, NOW_S + 300, client_id, sizeof(client_id))); // bob's
	assert_true(shown_again(0, alices, NOW_S + 299, &error));
}

static void one_that_was_never_shown_is_ended_too(void **state)
{
	struct error error = {0};
	char client_id[CONSOLE_CLIENT_BYTES];

	console_client_id(client_id);
	consoles_end(consoles, client_id, NOW_S + 300);
	assert_false(shown_again(0, client_id, NOW_S, &error));
}

static void more_than_fit_close_the_door_for_a_while(void **state)
{
	struct error error = {0};
	char client_id[CONSOLE_CLIENT_BYTES];

	for (int i = 0; i < CONSOLES_ENDED_MAX; i++) {
		console_client_id(client_id);
		consoles_end(consoles, client_id, NOW_S + 200);
	}
	assert_true(let_in(0, "alice", NOW_S + 300, NOW_S, &error));
	console_client_id(client_id);
	consoles_end(consoles, client_id, NOW_S + 100);
	assert_false(let_in(1, "alice", NOW_S + 300, NOW_S + 99, &error));
	assert_int_equal(error.kind, ERROR_LIMIT);
	assert_true(let_in(1, "alice", NOW_S + 300, NOW_S + 100, &error));
}

static void nobody_comes_in_before_the_ends_are_known(void **state)
{
	struct error error = {0};
	char *jwks auto_free = scratch_path(state, "console.jwks");
	const struct consoles_options options = {.keys_path = jwks, .per_user = 2, .total = 3, .cell = 1};

	consoles_free(consoles);
	consoles = consoles_new(&options, &error);
	assert_false(let_in(0, "alice", NOW_S + 300, NOW_S, &error));
	assert_non_null(strstr(error.what, "commander"));
	consoles_ends_known(consoles);
	assert_true(let_in(0, "alice", NOW_S + 300, NOW_S, &error));
}

static void a_credential_is_for_one_cell(void **state)
{
	struct error error = {0};

	cell = 2;
	assert_false(let_in(0, "alice", NOW_S + 300, NOW_S, &error));
	cell = 1;
	assert_true(let_in(0, "alice", NOW_S + 300, NOW_S, &error));
}

static void keys_come_from_the_file_as_it_is(void **state)
{
	struct error error = {0};

	assert_true(let_in(0, "alice", NOW_S + 300, NOW_S, &error));
	write_keys(state, NULL);
	assert_false(let_in(1, "alice", NOW_S + 300, NOW_S, &error));
	write_keys(state, jws_signer_key(signer));
	assert_true(let_in(1, "alice", NOW_S + 300, NOW_S, &error));
	free(scratch_write(state, "console.jwks", "{\"keys\":[{\"kty\":\"oct\"}]}", 0600));
	assert_false(let_in(2, "bob", NOW_S + 300, NOW_S, &error));
	char *path auto_free = scratch_path(state, "console.jwks");

	assert_int_equal(remove(path), 0);
	assert_false(let_in(2, "bob", NOW_S + 300, NOW_S, &error));
}

static void without_keys_there_are_no_consoles(void **state)
{
	struct error error = {0};

	consoles_free(consoles);
	const struct consoles_options options = {.per_user = 2, .total = 3, .cell = 1};

	consoles = consoles_new(&options, &error);
	assert_non_null(consoles);
	assert_false(let_in(0, "alice", NOW_S + 300, NOW_S, &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(who_is_let_in_reads_until_it_goes, setup, teardown),
		cmocka_unit_test_setup_teardown(what_is_no_console_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(there_is_room_for_so_many, setup, teardown),
		cmocka_unit_test_setup_teardown(each_end_is_said_once, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_ended_counts_no_more, setup, teardown),
		cmocka_unit_test_setup_teardown(one_that_was_never_shown_is_ended_too, setup, teardown),
		cmocka_unit_test_setup_teardown(more_than_fit_close_the_door_for_a_while, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_comes_in_before_the_ends_are_known, setup, teardown),
		cmocka_unit_test_setup_teardown(a_credential_is_for_one_cell, setup, teardown),
		cmocka_unit_test_setup_teardown(keys_come_from_the_file_as_it_is, setup, teardown),
		cmocka_unit_test_setup_teardown(without_keys_there_are_no_consoles, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
