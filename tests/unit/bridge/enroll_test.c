#include "bridge/enroll.h"

#include "common/crypto.h"
#include "common/topic.h"
#include "tests/unit/bridge/enrolling.h"

#define RIVALS 16
#define FINGERPRINT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER_FINGERPRINT "ffff456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static int setup(void **state)
{
	struct fixture *fixture = *state;

	bool ok = cells_parse(NULL, "broker.example", 8883, &fixture->cells, NULL) &&
		  pg_exec(fixture->admin,
			  "truncate device, certificate, enrollment_token, enrollment_event, signing_key,"
			  " revocation, reenrollment cascade", NULL);
	return ok ? 0 : -1;
}

// --- helpers --------------------------------------------------------------------------------------------------------

// device NULL: any. Returns the text in a buffer that lasts until the next call.
static const char *make_token(struct fixture *fixture, const char *device, const char *uses)
{
	static char token[TOKEN_TEXT_BYTES];
	char sha256[SHA256_HEX_BYTES];
	struct error error = {.kind = ERROR_NONE};

	crypto_random_token(token);
	crypto_sha256_hex(token, strlen(token), sha256);
	if (!PG_QUERY(fixture->admin, NULL, &error,
		      "insert into enrollment_token (token_hash, id, device, tags, uses_left, created_by, expires_at)"
		      " values (decode($1, 'hex'), left($1, 8), $2, '{blue,\"two words\"}', $3::integer, 'test',"
		      " now() + interval '1 hour')",
		      sha256, device, uses))
		fail_msg("%s", error.what);
	return token;
}

static struct enroll_result run(struct fixture *fixture, const char *token, const char *csr, const char *device,
				const char *fingerprint)
{
	struct error error = {.kind = ERROR_NONE};
	const struct enroll_claim claim = {
		.token = token,
		.csr = csr,
		.device = device,
		.fingerprint = fingerprint,
		.peer = "192.0.2.1",
		.request_id = "request-1",
	};
	struct enroll_result result = enroll_run(&fixture->enroll, &claim, &error);

	if (result.outcome == ENROLL_FAILED)
		fail_msg("%s", error.what);
	return result;
}

static enum enroll_outcome outcome(struct fixture *fixture, const char *token, const char *csr, const char *device)
{
	auto_enroll_result struct enroll_result result = run(fixture, token, csr, device, NULL);

	return result.outcome;
}

// --- tests ----------------------------------------------------------------------------------------------------------

static void test_a_credential_in_place_of_a_certificate(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *csr = make_csr(fixture);
	const char *token = make_token(fixture, "scale-1", "1");
	auto_enroll_result struct enroll_result first = run(fixture, token, NULL, NULL, NULL);
	char sha256[SHA256_HEX_BYTES];
	char sql[256];

	assert_int_equal(first.outcome, ENROLL_ISSUED);
	assert_string_equal(first.device, "scale-1");
	assert_null(first.certificate);
	assert_int_equal(strlen(first.credential), TOKEN_TEXT_BYTES - 1);
	assert_in_range(first.not_after_s, clock_wall_ms() / 1000 + 29 * 86400, clock_wall_ms() / 1000 + 31 * 86400);
	crypto_sha256_hex(first.credential, strlen(first.credential), sha256);
	(void)snprintf(sql, sizeof(sql), "select count(*) from bearer where device = 'scale-1' and revoked_at is null"
					 " and token_hash = decode('%s', 'hex')", sha256);
	assert_int_equal(count(fixture, sql), 1);
	// It is told once: the token is used up, and no key could prove who asks again.
	assert_int_equal(outcome(fixture, token, NULL, NULL), ENROLL_DENIED);
	// Whatever a device had before ends with what it gets.
	assert_int_equal(outcome(fixture, make_token(fixture, "scale-1", "1"), csr, NULL), ENROLL_ISSUED);
	assert_int_equal(count(fixture, "select count(*) from bearer where device = 'scale-1' and revoked_at is null"),
			 0);
	assert_int_equal(outcome(fixture, make_token(fixture, "scale-1", "1"), NULL, NULL), ENROLL_ISSUED);
	assert_int_equal(
		count(fixture, "select count(*) from certificate where device = 'scale-1' and revoked_at is null"), 0);
	assert_int_equal(count(fixture, "select count(*) from bearer where device = 'scale-1' and revoked_at is null"),
			 1);
}

static void test_makes_ids_of_the_grammar(void **state)
{
	char first[DEVICE_ID_MAX + 1];
	char second[DEVICE_ID_MAX + 1];

	enroll_make_id(first);
	enroll_make_id(second);
	assert_true(topic_is_device_id(first));
	assert_int_equal(strlen(first), 14);
	assert_memory_equal(first, "d-", 2);
	assert_int_equal(strspn(first + 2, "0123456789abcdef"), 12);
	assert_string_not_equal(first, second);
}

static void test_issues_once(void **state)
{
	struct fixture *fixture = *state;
	const char *token = make_token(fixture, NULL, "1");
	auto_free char *csr = make_csr(fixture);
	auto_free char *other = make_csr(fixture);
	struct pki_certificate_info info;
	auto_enroll_result struct enroll_result result = run(fixture, token, csr, "kiosk-7", FINGERPRINT);

	assert_int_equal(result.outcome, ENROLL_ISSUED);
	assert_string_equal(result.device, "kiosk-7");
	assert_true(pki_certificate_info(result.certificate, &info, NULL));
	assert_string_equal(info.common_name, "kiosk-7");
	assert_true(info.not_after_s == result.not_after_s);
	assert_int_equal(count(fixture, "select count(*) from device where device = 'kiosk-7'"
					" and enrolled_at is not null and tags = '{blue,\"two words\"}'"
					" and fingerprint = '" FINGERPRINT "'"),
			 1);
	assert_int_equal(count(fixture, "select count(*) from certificate where device = 'kiosk-7'"), 1);
	assert_int_equal(count(fixture, "select uses_left from enrollment_token"), 0);
	assert_int_equal(count(fixture, "select count(*) from enrollment_event where type = 'consume'"
					" and device = 'kiosk-7' and peer = '192.0.2.1' and request_id = 'request-1'"),
			 1);
	auto_enroll_result struct enroll_result second = run(fixture, token, other, "kiosk-8", NULL);
	assert_int_equal(second.outcome, ENROLL_DENIED);
	assert_string_equal(second.event, "refused");
	assert_int_equal(count(fixture, "select count(*) from certificate"), 1);
	assert_int_equal(count(fixture, "select count(*) from device"), 1);
}

static struct enroll_result ask_credential(struct fixture *fixture, const char *token, const char *secret)
{
	const struct enroll_claim claim = {.token = token, .secret = secret, .peer = "192.0.2.1", .request_id = "r"};
	struct error error = {.kind = ERROR_NONE};

	return enroll_run(&fixture->enroll, &claim, &error);
}

static void test_same_secret_gets_the_same_credential(void **state)
{
	struct fixture *fixture = *state;
	char token[TOKEN_TEXT_BYTES];
	char secret[TOKEN_TEXT_BYTES];
	char other[TOKEN_TEXT_BYTES];

	(void)snprintf(token, sizeof(token), "%s", make_token(fixture, "scale-9", "1"));
	crypto_random_token(secret);
	crypto_random_token(other);
	auto_enroll_result struct enroll_result first = ask_credential(fixture, token, secret);
	assert_int_equal(first.outcome, ENROLL_ISSUED);
	auto_enroll_result struct enroll_result again = ask_credential(fixture, token, secret);
	assert_int_equal(again.outcome, ENROLL_REPEATED);
	assert_string_equal(again.credential, first.credential);
	assert_string_equal(again.device, "scale-9");
	assert_int_equal(again.not_after_s, first.not_after_s);
	assert_non_null(again.command_keys);
	assert_int_equal(count(fixture, "select count(*) from bearer where device = 'scale-9'"), 1);
	assert_int_equal(
		count(fixture, "select count(*) from enrollment_event where type = 'consume' and device = 'scale-9'"),
		1);

	auto_enroll_result struct enroll_result stranger = ask_credential(fixture, token, other);
	assert_int_equal(stranger.outcome, ENROLL_DENIED);
	// The same secret with another token is another credential, with which the first ends.
	const char *next = make_token(fixture, "scale-9", "1");
	auto_enroll_result struct enroll_result second = ask_credential(fixture, next, secret);
	assert_int_equal(second.outcome, ENROLL_ISSUED);
	assert_string_not_equal(second.credential, first.credential);
	auto_enroll_result struct enroll_result ended = ask_credential(fixture, token, secret);
	assert_int_equal(ended.outcome, ENROLL_DENIED);
	assert_int_equal(count(fixture,
			       "select count(*) from bearer where device = 'scale-9' and revoked_at is null"), 1);
}

static void test_same_key_gets_the_same_certificate(void **state)
{
	struct fixture *fixture = *state;
	const char *token = make_token(fixture, NULL, "1");
	auto_free char *csr = make_csr(fixture);
	auto_enroll_result struct enroll_result first = run(fixture, token, csr, "kiosk-7", FINGERPRINT);

	// Also when the token is used up and has expired since: the first answer may have been lost.
	assert_true(pg_exec(fixture->admin, "update enrollment_token set expires_at = now() - interval '1 s'", NULL));
	auto_enroll_result struct enroll_result again = run(fixture, token, csr, "other", FINGERPRINT);
	assert_int_equal(again.outcome, ENROLL_REPEATED);
	assert_string_equal(again.certificate, first.certificate);
	assert_string_equal(again.device, "kiosk-7");
	assert_true(again.not_after_s == first.not_after_s);
	assert_int_equal(count(fixture, "select count(*) from certificate"), 1);

	auto_enroll_result struct enroll_result moved = run(fixture, token, csr, "kiosk-7", OTHER_FINGERPRINT);
	assert_int_equal(moved.outcome, ENROLL_DENIED);
	assert_true(pg_exec(fixture->admin, "update certificate set revoked_at = now()", NULL));
	assert_int_equal(outcome(fixture, token, csr, "kiosk-7"), ENROLL_DENIED);
}

static void test_bad_tokens_are_denied(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *csr = make_csr(fixture);

	assert_int_equal(outcome(fixture, "nonsense", csr, NULL), ENROLL_DENIED);
	const char *token = make_token(fixture, NULL, "5");
	assert_true(pg_exec(fixture->admin, "update enrollment_token set expires_at = now() - interval '1 s'", NULL));
	auto_enroll_result struct enroll_result expired = run(fixture, token, csr, NULL, NULL);
	assert_int_equal(expired.outcome, ENROLL_EXPIRED);
	assert_string_equal(expired.event, "refused");
	assert_int_equal(strlen(expired.token_id), 8);
	token = make_token(fixture, NULL, "5");
	assert_true(pg_exec(fixture->admin, "update enrollment_token set revoked_at = now()", NULL));
	assert_int_equal(outcome(fixture, token, csr, NULL), ENROLL_DENIED);
	assert_int_equal(count(fixture, "select count(*) from device"), 0);
}

static void test_a_bad_request_uses_up_nothing(void **state)
{
	struct fixture *fixture = *state;
	const char *token = make_token(fixture, NULL, "1");

	assert_int_equal(outcome(fixture, token, "-----BEGIN NONSENSE-----", "kiosk-7"), ENROLL_BAD_CSR);
	assert_int_equal(count(fixture, "select uses_left from enrollment_token"), 1);
	assert_int_equal(count(fixture, "select count(*) from device"), 0);
}

static void test_ids(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *first = make_csr(fixture);
	auto_free char *second = make_csr(fixture);
	auto_free char *third = make_csr(fixture);
	const char *token = make_token(fixture, NULL, "9");
	auto_enroll_result struct enroll_result made = run(fixture, token, first, NULL, NULL);

	assert_int_equal(made.outcome, ENROLL_ISSUED);
	assert_memory_equal(made.device, "d-", 2);
	assert_int_equal(outcome(fixture, token, second, "kiosk-7"), ENROLL_ISSUED);
	assert_int_equal(outcome(fixture, token, third, "kiosk-7"), ENROLL_TAKEN);
	assert_int_equal(count(fixture, "select uses_left from enrollment_token"), 7);

	// A bound token's id wins over the wish, and the device enrols again: its old certificate is worthless.
	auto_enroll_result struct enroll_result again =
		run(fixture, make_token(fixture, "kiosk-7", "1"), third, "other", FINGERPRINT);
	assert_int_equal(again.outcome, ENROLL_ISSUED);
	assert_string_equal(again.device, "kiosk-7");
	assert_int_equal(again.revoked, 1);
	assert_int_equal(count(fixture, "select count(*) from certificate where device = 'kiosk-7'"), 2);
	assert_int_equal(count(fixture, "select count(*) from certificate where device = 'kiosk-7'"
					" and revoked_at is null"),
			 1);
	assert_int_equal(count(fixture, "select count(*) from device where fingerprint = '" FINGERPRINT "'"), 1);
}

// An administrator's token for this very device brings it back; its earlier certificates are shut out for good.
static void test_a_bound_token_restores(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *first = make_csr(fixture);
	auto_free char *second = make_csr(fixture);

	assert_int_equal(outcome(fixture, make_token(fixture, "kiosk-7", "1"), first, NULL), ENROLL_ISSUED);
	assert_int_equal(count(fixture, "select count(*) from revocation"), 0);
	assert_true(pg_exec(fixture->admin, "select revoke_device('kiosk-7', 'stolen', 'test')", NULL));
	assert_int_equal(outcome(fixture, make_token(fixture, "kiosk-7", "1"), second, NULL), ENROLL_ISSUED);
	assert_int_equal(count(fixture, "select count(*) from device where enabled and disabled_at is null"), 1);
	assert_int_equal(count(fixture, "select count(*) from revocation where kind = 'device' and not revoked"), 1);
	assert_int_equal(count(fixture,
			       "select count(*) from revocation r join certificate c on r.name = ltrim(c.serial, '0')"
			       " where kind = 'serial' and revoked"),
			 1);
	assert_int_equal(count(fixture, "select count(*) from certificate where revoked_at is null"), 1);
	assert_int_equal(count(fixture, "select count(*) from reenrollment where device = 'kiosk-7'"), 1);
}

static void test_no_other_token_brings_a_revoked_device_back(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *first = make_csr(fixture);
	auto_free char *second = make_csr(fixture);
	const char *bound = make_token(fixture, "kiosk-7", "2");

	assert_int_equal(outcome(fixture, bound, first, NULL), ENROLL_ISSUED);
	assert_true(pg_exec(fixture->admin, "select revoke_device('kiosk-7', 'stolen', 'test')", NULL));
	assert_int_equal(outcome(fixture, bound, first, NULL), ENROLL_DENIED); // the revoked key asks again
	assert_int_equal(outcome(fixture, make_token(fixture, NULL, "1"), second, "kiosk-7"), ENROLL_TAKEN);
	assert_int_equal(count(fixture, "select count(*) from device where enabled"), 0);
}

static void test_tells_the_signers_in_use(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *csr = make_csr(fixture);
	const char *x;

	assert_true(pg_exec(fixture->admin,
			    "insert into signing_key (kid, public_key, retired_at) values"
			    " ('old', decode(repeat('00', 32), 'hex'), now()),"
			    " ('new', decode(repeat('fb', 32), 'hex'), null)",
			    NULL));
	auto_enroll_result struct enroll_result result =
		run(fixture, make_token(fixture, NULL, "1"), csr, NULL, NULL);
	assert_int_equal(json_array_length(result.command_keys), 1);
	assert_true(json_member_string(json_array_at(result.command_keys, 0), "x", &x));
	assert_string_equal(x, "-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_v7-_s");
}

static void test_records_refusals(void **state)
{
	struct fixture *fixture = *state;
	const struct enroll_claim claim = {.token = "t", .csr = "c", .peer = "192.0.2.1", .request_id = "r"};

	assert_true(enroll_record(&fixture->enroll, "rate-limited", "", &claim, "why", NULL));
	assert_int_equal(count(fixture, "select count(*) from enrollment_event where type = 'rate-limited'"
					" and token_id is null and device is null"
					" and peer = '192.0.2.1' and reason = 'why'"),
			 1);
}

static void test_expiry_is_told_once(void **state)
{
	static const char told[] = "select count(*) from enrollment_event where type = 'expired'";
	struct fixture *fixture = *state;
	auto_free char *csr = make_csr(fixture);

	assert_int_equal(outcome(fixture, make_token(fixture, NULL, "1"), csr, NULL), ENROLL_ISSUED);
	(void)make_token(fixture, "kiosk-7", "3");
	assert_true(enroll_expire_tokens(&fixture->enroll, NULL));
	assert_int_equal(count(fixture, told), 0);
	// The one that is used up has no life left to lose.
	assert_true(pg_exec(fixture->admin, "update enrollment_token set expires_at = now() - interval '1 s'", NULL));
	assert_true(enroll_expire_tokens(&fixture->enroll, NULL));
	assert_true(enroll_expire_tokens(&fixture->enroll, NULL));
	assert_int_equal(count(fixture, told), 1);
	assert_int_equal(count(fixture,
			       "select count(*) from enrollment_event e join enrollment_token t on t.id = e.token_id"
			       " where e.type = 'expired' and e.device = 'kiosk-7' and t.uses_left = 3"
			       " and e.reason = '3 of its uses left'"),
			 1);
}

// A bridge of its own, in a process of its own; the exit status is the outcome.
static int rival(struct fixture *fixture, const char *token)
{
	struct enroll enroll = fixture->enroll;
	struct error error = {.kind = ERROR_NONE};
	auto_free char *csr = make_csr(fixture);
	const struct enroll_claim claim = {.token = token, .csr = csr, .peer = "192.0.2.1", .request_id = "r"};

	if (!connect_to(fixture, "muster_bridge", &enroll.pg))
		return 99;
	auto_enroll_result struct enroll_result result = enroll_run(&enroll, &claim, &error);
	pg_free(enroll.pg);
	return (int)result.outcome;
}

static void test_one_token_many_bridges(void **state)
{
	struct fixture *fixture = *state;
	const char *token = make_token(fixture, NULL, "1");
	pid_t pids[RIVALS];
	int issued = 0;
	int denied = 0;

	for (int i = 0; i < RIVALS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0)
			_exit(rival(fixture, token));
	}
	for (int i = 0; i < RIVALS; i++) {
		int status = process_wait(pids[i]);

		issued += status == ENROLL_ISSUED;
		denied += status == ENROLL_DENIED;
	}
	assert_int_equal(issued, 1);
	assert_int_equal(denied, RIVALS - 1);
	assert_int_equal(count(fixture, "select count(*) from certificate"), 1);
	assert_int_equal(count(fixture, "select count(*) from device"), 1);
	assert_int_equal(count(fixture, "select uses_left from enrollment_token"), 0);
}

static void test_finds_a_lost_connection_by_itself(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *csr = make_csr(fixture);

	assert_int_equal(count(fixture, "select count(pg_terminate_backend(pid)) from pg_stat_activity"
					" where usename = 'muster_bridge'"),
			 1);
	const struct enroll_claim claim = {
		.token = make_token(fixture, NULL, "1"), .csr = csr, .peer = "192.0.2.1", .request_id = "r"};
	// A connection this young backs off before it is made again.
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	enum enroll_outcome last = ENROLL_FAILED;
	while (last == ENROLL_FAILED && clock_mono_ms() < deadline_ms) {
		struct error error = {.kind = ERROR_NONE};
		auto_enroll_result struct enroll_result result = enroll_run(&fixture->enroll, &claim, &error);

		last = result.outcome;
		assert_true(last != ENROLL_FAILED || error.kind == ERROR_UNREACHABLE);
		process_pause();
	}
	assert_int_equal(last, ENROLL_ISSUED);
}

// The cell of a fresh device that enrols with token, or -1 when it was refused.
static int cell_of(struct fixture *fixture, const char *token, const char *device)
{
	auto_free char *csr = make_csr(fixture);
	auto_enroll_result struct enroll_result result = run(fixture, token, csr, device, NULL);

	if (result.outcome != ENROLL_ISSUED) {
		assert_int_equal(count(fixture, "select count(*) from device where cell = 9"), 0);
		return -1;
	}
	auto_enroll_result struct enroll_result again = run(fixture, token, csr, device, NULL);
	assert_int_equal(again.outcome, ENROLL_REPEATED);
	assert_ptr_equal(again.cell, result.cell);
	return result.cell->id;
}

static void test_devices_are_divided_among_the_cells(void **state)
{
	static char first[] = "2 b2.example 8883";
	static char second[] = "5 b5.example 8885";
	char *const lines[] = {first, second, NULL};
	struct fixture *fixture = *state;

	assert_true(cells_parse(lines, "unused", 1, &fixture->cells, NULL));
	const char *token = make_token(fixture, NULL, "10");
	assert_int_equal(cell_of(fixture, token, "a"), 2);
	assert_int_equal(cell_of(fixture, token, "b"), 5);
	assert_int_equal(cell_of(fixture, token, "c"), 2);
	assert_true(pg_exec(fixture->admin, "update device set enabled = false where cell = 2", NULL));
	assert_int_equal(cell_of(fixture, token, "d"), 2);
	assert_int_equal(count(fixture, "select count(*) from device where cell = 5"), 1);

	// A device keeps its cell, whatever the load, unless the token says otherwise.
	assert_int_equal(cell_of(fixture, make_token(fixture, "b", "1"), NULL), 5);
	token = make_token(fixture, "b", "1");
	assert_true(pg_exec(fixture->admin, "update enrollment_token set cell = 2 where uses_left = 1", NULL));
	assert_int_equal(cell_of(fixture, token, NULL), 2);
	assert_int_equal(count(fixture, "select cell from device where device = 'b'"), 2);

	token = make_token(fixture, NULL, "1");
	assert_true(pg_exec(fixture->admin, "update enrollment_token set cell = 9 where uses_left = 1", NULL));
	assert_int_equal(cell_of(fixture, token, "e"), -1);
	assert_int_equal(count(fixture, "select count(*) from device where device = 'e'"), 0);
}

static void test_fails_without_a_database(void **state)
{
	struct error error = {.kind = ERROR_NONE};
	const struct enroll_claim claim = {.token = "t", .csr = "c", .peer = "192.0.2.1", .request_id = "r"};
	struct enroll enroll = {.pg = pg_new("host=/nonexistent dbname=none", "test", &error)};

	assert_non_null(enroll.pg);
	auto_enroll_result struct enroll_result result = enroll_run(&enroll, &claim, &error);
	assert_int_equal(result.outcome, ENROLL_FAILED);
	assert_int_equal(error.kind, ERROR_UNREACHABLE);
	pg_free(enroll.pg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_makes_ids_of_the_grammar),
		cmocka_unit_test_setup(test_issues_once, setup),
		cmocka_unit_test_setup(test_a_credential_in_place_of_a_certificate, setup),
		cmocka_unit_test_setup(test_same_secret_gets_the_same_credential, setup),
		cmocka_unit_test_setup(test_same_key_gets_the_same_certificate, setup),
		cmocka_unit_test_setup(test_bad_tokens_are_denied, setup),
		cmocka_unit_test_setup(test_a_bad_request_uses_up_nothing, setup),
		cmocka_unit_test_setup(test_ids, setup),
		cmocka_unit_test_setup(test_a_bound_token_restores, setup),
		cmocka_unit_test_setup(test_no_other_token_brings_a_revoked_device_back, setup),
		cmocka_unit_test_setup(test_tells_the_signers_in_use, setup),
		cmocka_unit_test_setup(test_records_refusals, setup),
		cmocka_unit_test_setup(test_expiry_is_told_once, setup),
		cmocka_unit_test_setup(test_devices_are_divided_among_the_cells, setup),
		cmocka_unit_test_setup(test_one_token_many_bridges, setup),
		cmocka_unit_test_setup(test_finds_a_lost_connection_by_itself, setup),
		cmocka_unit_test(test_fails_without_a_database),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
