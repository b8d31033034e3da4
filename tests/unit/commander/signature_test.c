// On a real PostgreSQL, as commander's own role.
#include "commander/signature.h"

#include "commander/commander.h"
#include "commander/result.h"

#include "common/result_text.h"
#include "common/signature.h"
#include "tests/unit/support/certificate.h"
#include "tests/unit/support/postgres.h"
#include "tests/unit/support/schema.h"

#define COMMAND "0f8c1f0e-0000-4000-8000-000000000001"
#define MESSAGE "{\"ts\":1,\"command\":\"" COMMAND "\",\"state\":\"succeeded\",\"output\":{\"pong\":true}}"

static struct postgres postgres;
static struct pg *admin;
static struct commander commander = {.cell = "0"};
static char *old_key, *key;
static char old_serial[64], serial[64];

static void exec(const char *sql)
{
	struct error error = {0};
	if (!pg_ready(admin, &error) || !pg_exec(admin, sql, &error))
		fail_msg("%.80s: %s", sql, error.what);
}

static void says(const char *sql, const char *expected)
{
	struct error error = {0};
	struct pg_result *auto_pg_result result = NULL;
	if (!pg_query(admin, &result, &error, sql, 0, NULL))
		fail_msg("%s: %s", sql, error.what);
	assert_string_equal(pg_rows(result) ? pg_text(result, 0, 0) : "no row", expected);
}

static bool await_ready(struct pg *pg, struct error *error)
{
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (!pg_ready(pg, error)) {
		if (clock_mono_ms() > deadline_ms)
			return false;
		process_pause();
	}
	return true;
}

static struct pg *connect_as(const char *role)
{
	char conninfo[160];
	struct error error = {0};
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=%s dbname=postgres", postgres.port, role);
	struct pg *pg = pg_new(conninfo, "signature-test", &error);
	if (!pg || !await_ready(pg, &error))
		(void)fprintf(stderr, "%s\n", error.what);
	return pg;
}

static int group_setup(void **state)
{
	struct error error = {0};
	char *folder;
	if (scratch_setup(state) != 0)
		return -1;
	folder = ((struct scratch *)*state)->folder;
	if (!postgres_init(&postgres, folder))
		return -1;
	admin = connect_as("muster");
	if (!schema_init(admin, &error)) {
		(void)fprintf(stderr, "%s\n", error.what);
		return -1;
	}
	commander.pg = connect_as("muster_commander");
	commander.metrics = metrics_new();
	commander.verifier = verifier_new(&error);
	return commander.verifier ? 0 : -1;
}

static int group_teardown(void **state)
{
	pg_free(commander.pg);
	pg_free(admin);
	verifier_free(commander.verifier);
	metrics_free(commander.metrics);
	postgres_stop(&postgres);
	free(old_key);
	free(key);
	return scratch_teardown(state);
}

// Of so long ago, or until so long from now: intervals.
static void add_certificate(void **state, const char *device, const char *of_key, const char *from, const char *to,
			    char out_serial[64])
{
	struct pki_certificate_info info;
	struct error error = {0};
	char *pem auto_free = certificate_issue(state, device, of_key, &info);
	(void)snprintf(out_serial, 64, "%s", info.serial);
	if (!PG_QUERY(admin, NULL, &error,
		      "insert into certificate (serial, device, key_sha256, sha256, not_before, not_after, pem, created_at)"
		      " values ($1, $2, $3, $4, now() + $5::interval, now() + $6::interval, $7, now() + $5::interval)",
		      info.serial, device, info.key_sha256, info.sha256, from, to, pem))
		fail_msg("%s", error.what);
}

// One command, asked for a minute ago, of a device that has had two certificates.
static int setup(void **state)
{
	struct error error = {0};
	free(old_key);
	free(key);
	old_key = pki_key_new(&error);
	key = pki_key_new(&error);
	exec("truncate device, certificate, command, command_event, command_result, event cascade");
	exec("insert into device (device) values ('kiosk-7'), ('kiosk-8')");
	exec("insert into command (id, device, action, requested_by, created_at) values ('" COMMAND
	     "', 'kiosk-7', 'ping', 'tester', now() - interval '1 minute')");
	add_certificate(state, "kiosk-7", old_key, "-30 days", "-2 minutes", old_serial);
	add_certificate(state, "kiosk-7", key, "-3 minutes", "30 days", serial);
	return 0;
}

// As ingest leaves it.
static void add_result(const char *seq, const char *signer, const char *signed_text, const char *device)
{
	char sig[SIGNATURE_TEXT_MAX];
	struct error error = {0};
	struct buf text auto_buf = {0};
	struct buf body auto_buf = {0};
	struct json *message auto_json = json_parse(signed_text, strlen(signed_text), &error);
	buf_init(&text, RESULT_TEXT_MAX_BYTES);
	buf_init(&body, RESULT_TEXT_MAX_BYTES);
	assert_true(result_text(device, message, &text));
	assert_true(signature_make_pem(signer, buf_str(&text), text.len_bytes, sig, &error));
	buf_addf(&body, "{\"sig\":\"%s\"}", sig);
	if (!PG_QUERY(admin, NULL, &error,
		      "insert into command_result (device, epoch, seq, ts, received_at, command, state, body, signed, verdict)"
		      " values ($1, 'e', $2, now(), now(), '" COMMAND "', 'succeeded', $3, $4, 'unchecked')",
		      device, seq, buf_str(&body), buf_str(&text)))
		fail_msg("%s", error.what);
}

// True: there are others.
static bool run(void)
{
	struct error error = {0};
	commander.due = DUE_RESULTS;
	assert_true(pg_begin(commander.pg, &error));
	if (!result_run(&commander, &error))
		fail_msg("%s", error.what);
	assert_true(pg_commit(commander.pg, &error));
	return commander.due & DUE_RESULTS;
}

static void the_devices_key_verifies(void **state)
{
	add_result("1", key, MESSAGE, "kiosk-7");
	assert_false(run());
	says("select verdict from command_result", "verified");
	says("select certificate from command_result", serial);
	says("select (applied_at is not null)::text from command_result", "true");
	says("select count(*)::text from event", "0");
}

static void another_key_is_refused_and_told(void **state)
{
	char ignored[64];
	char *foreign auto_free = pki_key_new(&(struct error){0});
	add_certificate(state, "kiosk-8", foreign, "-3 minutes", "30 days", ignored);
	add_result("1", foreign, MESSAGE, "kiosk-7");
	assert_false(run());
	says("select verdict from command_result", "refused");
	says("select coalesce(certificate, 'none') from command_result", "none");
	says("select (applied_at is not null)::text from command_result", "true");
	says("select device || ' ' || type || ' ' || (body ->> 'command') from event", "kiosk-7 result.refused " COMMAND);
	assert_false(run());
	says("select count(*)::text from event", "1");
}

static void what_was_said_otherwise_is_refused(void **state)
{
	add_result("1", key, MESSAGE, "kiosk-7");
	exec("update command_result set signed = replace(signed, 'true', 'false')");
	assert_false(run());
	says("select verdict from command_result", "refused");
}

// Its certificate ended before the command was asked for.
static void a_key_that_was_given_up_does_not_speak(void **state)
{
	add_result("1", old_key, MESSAGE, "kiosk-7");
	assert_false(run());
	says("select verdict from command_result", "refused");
}

static void one_that_held_when_it_was_asked_for_does(void **state)
{
	exec("update command set created_at = now() - interval '10 minutes'");
	add_result("1", old_key, MESSAGE, "kiosk-7");
	assert_false(run());
	says("select certificate from command_result", old_serial);
}

static void one_that_was_revoked_before_does_not(void **state)
{
	exec("update certificate set revoked_at = now() - interval '2 minutes'");
	add_result("1", key, MESSAGE, "kiosk-7");
	assert_false(run());
	says("select verdict from command_result", "refused");
	exec("truncate command_result");
	exec("update certificate set revoked_at = now()"); // while the command ran
	add_result("2", key, MESSAGE, "kiosk-7");
	assert_false(run());
	says("select verdict from command_result", "verified");
}

static void a_device_without_certificates_is_refused(void **state)
{
	add_result("1", key, MESSAGE, "kiosk-8");
	assert_false(run());
	says("select verdict from command_result", "refused");
}

// A name of a command that nobody gave: what matters is who signed.
static void an_unknown_command_is_judged_all_the_same(void **state)
{
	add_result("1", key, MESSAGE, "kiosk-7");
	exec("update command_result set command = 'not a command'");
	assert_false(run());
	says("select verdict from command_result", "verified");
}

// A renewed certificate's key speaks at once, and one that was revoked in the database between two results speaks for the
// second no more, although it was good for the first.
static void each_result_is_judged_by_what_holds_then(void **state)
{
	char newest[64];
	char *fresh auto_free = pki_key_new(&(struct error){0});
	add_result("1", key, MESSAGE, "kiosk-7");
	assert_false(run());
	says("select certificate from command_result where seq = 1", serial);
	add_certificate(state, "kiosk-7", fresh, "-1 seconds", "30 days", newest);
	exec("update certificate set revoked_at = now() - interval '2 minutes' where revoked_at is null and serial <> "
	     "(select serial from certificate order by created_at desc limit 1)");
	add_result("2", key, MESSAGE, "kiosk-7");
	add_result("3", fresh, MESSAGE, "kiosk-7");
	assert_false(run());
	says("select string_agg(verdict, ' ' order by seq) from command_result", "verified refused verified");
	says("select certificate from command_result where seq = 3", newest);
}

// The order in which results came decides, signed or not, whoever checks them when: accepted comes before succeeded, and
// a forged "failed" in between changes nothing.
static void a_command_moves_once_and_in_order(void **state)
{
	char *foreign auto_free = pki_key_new(&(struct error){0});
	exec("update command set state = 'sent', attempts = 1, sent_at = now()");
	add_result("1", key, "{\"ts\":1,\"command\":\"" COMMAND "\",\"state\":\"accepted\"}", "kiosk-7");
	add_result("2", foreign, "{\"ts\":1,\"command\":\"" COMMAND "\",\"state\":\"failed\"}", "kiosk-7");
	add_result("3", key, MESSAGE, "kiosk-7");
	exec("update command_result set state = case seq when 1 then 'accepted' when 2 then 'failed' else state end");
	assert_false(run());
	says("select state from command", "succeeded");
	says("select string_agg(state, ' ' order by id) from command_event", "accepted succeeded");
	says("select string_agg(verdict, ' ' order by seq) from command_result", "verified refused verified");
	assert_false(run());
	says("select count(*)::text from command_event", "2");
}

// Across chunks and batches: every third is forged.
static void many_are_taken_in_batches(void **state)
{
	add_result("1", key, MESSAGE, "kiosk-7");
	exec("insert into command_result (device, epoch, seq, ts, received_at, command, state, body, signed, verdict)"
	     " select device, epoch, i, ts, received_at, command, state, case when i % 3 = 0 then '{\"sig\":\"AA\"}' else"
	     " body end, signed, verdict from command_result, generate_series(2, 1450) i");
	assert_true(run());
	says("select count(*)::text from command_result where applied_at is not null", "1000");
	assert_false(run());
	says("select count(*)::text from command_result where verdict = 'verified' and seq % 3 > 0", "967");
	says("select count(*)::text from command_result where verdict = 'refused' and seq % 3 = 0", "483");
	says("select count(*)::text from event where type = 'result.refused'", "483");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(the_devices_key_verifies, setup),
		cmocka_unit_test_setup(another_key_is_refused_and_told, setup),
		cmocka_unit_test_setup(what_was_said_otherwise_is_refused, setup),
		cmocka_unit_test_setup(a_key_that_was_given_up_does_not_speak, setup),
		cmocka_unit_test_setup(one_that_held_when_it_was_asked_for_does, setup),
		cmocka_unit_test_setup(one_that_was_revoked_before_does_not, setup),
		cmocka_unit_test_setup(a_device_without_certificates_is_refused, setup),
		cmocka_unit_test_setup(an_unknown_command_is_judged_all_the_same, setup),
		cmocka_unit_test_setup(each_result_is_judged_by_what_holds_then, setup),
		cmocka_unit_test_setup(a_command_moves_once_and_in_order, setup),
		cmocka_unit_test_setup(many_are_taken_in_batches, setup),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
