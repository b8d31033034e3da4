#include "bridge/renew.h"

#include "common/clock.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/postgres.h"

#include <glob.h>

#define FINGERPRINT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define OTHER_FINGERPRINT "ffff456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

struct fixture {
	struct scratch *scratch;
	struct postgres postgres;
	struct options options;
	char domain[16];
	char cert[128], key[128], trust[128];
	struct pg *admin; // sees and makes everything
	struct pg *pg;	  // as the bridge
	struct authority authority;
	unsigned keys; // made so far
};

static bool connect_to(struct fixture *fixture, const char *user, struct pg **out)
{
	char conninfo[160];
	struct error error = {.kind = ERROR_NONE};

	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d dbname=postgres user=%s",
		       fixture->postgres.port, user);
	*out = pg_new(conninfo, "test", &error);
	// The server listens a moment before it lets anybody in.
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (*out && clock_mono_ms() < deadline_ms) {
		if (pg_ready(*out, &error))
			return true;
		process_pause();
	}
	(void)fprintf(stderr, "%s\n", error.what);
	return false;
}

static bool migrate(struct pg *pg)
{
	glob_t files;
	struct error error = {.kind = ERROR_NONE};
	bool ok = glob(MUSTER_SOURCE_DIR "/db/migrations/*.sql", 0, NULL, &files) == 0;

	for (size_t i = 0; ok && i < files.gl_pathc; i++) {
		auto_free char *sql = file_read(files.gl_pathv[i], 1 << 20, NULL, &error);
		ok = sql && pg_exec(pg, sql, &error);
	}
	globfree(&files);
	if (!ok)
		(void)fprintf(stderr, "%s\n", error.what);
	return ok;
}

// A new CA under the same paths, as after a rotation.
static bool new_authority(struct fixture *fixture, const char *name)
{
	struct error error = {.kind = ERROR_NONE};

	(void)unlink(fixture->cert);
	(void)unlink(fixture->key);
	authority_close(&fixture->authority);
	auto_free char *pem = NULL;
	bool ok = pki_ca_create(fixture->cert, fixture->key, name, 365, &error) &&
		  (pem = file_read(fixture->cert, PEM_MAX_BYTES, NULL, &error)) &&
		  file_write(fixture->trust, pem, strlen(pem), 0600, &error) &&
		  authority_open(&fixture->authority, &fixture->options, &error);
	if (!ok)
		(void)fprintf(stderr, "%s\n", error.what);
	return ok;
}

static int group_setup(void **state)
{
	static struct fixture fixture;

	*state = &fixture;
	if (scratch_setup((void **)&fixture.scratch) != 0 ||
	    !postgres_init(&fixture.postgres, fixture.scratch->folder) ||
	    !connect_to(&fixture, "muster", &fixture.admin) || !migrate(fixture.admin) ||
	    !connect_to(&fixture, "muster_bridge", &fixture.pg))
		return -1;
	(void)snprintf(fixture.domain, sizeof(fixture.domain), "example.org");
	(void)snprintf(fixture.cert, sizeof(fixture.cert), "%s/ca.crt", fixture.scratch->folder);
	(void)snprintf(fixture.key, sizeof(fixture.key), "%s/ca.key", fixture.scratch->folder);
	(void)snprintf(fixture.trust, sizeof(fixture.trust), "%s/trust.crt", fixture.scratch->folder);
	fixture.options = (struct options){.ca_domain = fixture.domain,
					   .device_lifetime_s = 90L * 86400,
					   .ca_cert_file = fixture.cert,
					   .ca_key_file = fixture.key,
					   .trust_file = fixture.trust};
	return 0;
}

static int group_teardown(void **state)
{
	struct fixture *fixture = *state;

	authority_close(&fixture->authority);
	pg_free(fixture->pg);
	pg_free(fixture->admin);
	postgres_stop(&fixture->postgres);
	return scratch_teardown((void **)&fixture->scratch);
}

static int setup(void **state)
{
	struct fixture *fixture = *state;
	bool ok =
		new_authority(fixture, "Test devices") &&
		pg_exec(fixture->admin,
			"truncate device, device_state, certificate, revocation, enrollment_event, trust_told cascade",
			NULL);
	return ok ? 0 : -1;
}

// ---- helpers ----

static void sql(struct fixture *fixture, const char *text)
{
	struct error error = {.kind = ERROR_NONE};

	if (!pg_exec(fixture->admin, text, &error))
		fail_msg("%s: %s", text, error.what);
}

static int64_t count(struct fixture *fixture, const char *text)
{
	auto_pg_result struct pg_result *rows = NULL;
	struct error error = {.kind = ERROR_NONE};

	if (!pg_query(fixture->admin, &rows, &error, text, 0, NULL))
		fail_msg("%s: %s", text, error.what);
	return pg_int(rows, 0, 0);
}

// A request with a new key. malloc'd.
static char *make_csr(struct fixture *fixture)
{
	char path[160];
	struct error error = {.kind = ERROR_NONE};

	(void)snprintf(path, sizeof(path), "%s/%u.key", fixture->scratch->folder, fixture->keys++);
	char *csr = pki_key_create(path, &error) ? pki_csr_create(path, "svc.ingest", &error) : NULL;
	if (!csr)
		fail_msg("%s", error.what);
	return csr;
}

static struct renew_result run(struct fixture *fixture, const char *csr, const char *fingerprint, const char *serial)
{
	struct error error = {.kind = ERROR_NONE};
	const struct renew_claim claim = {.device = "pump-7",
					  .csr = csr,
					  .fingerprint = fingerprint,
					  .serial = serial,
					  .peer = "192.0.2.1",
					  .request_id = "request-1"};
	struct renew_result result = renew_run(fixture->pg, &fixture->authority, &fixture->options, &claim, &error);

	if (result.outcome == RENEW_FAILED)
		fail_msg("%s", error.what);
	return result;
}

static enum renew_outcome outcome(struct fixture *fixture, const char *csr, const char *fingerprint, const char *serial)
{
	struct renew_result auto_renew_result result = run(fixture, csr, fingerprint, serial);
	return result.outcome;
}

// A device with one certificate, of so many days of age; returns its serial, which lasts until the next call.
static const char *enrolled(struct fixture *fixture, int age_days)
{
	static struct pki_certificate_info info;
	struct error error = {.kind = ERROR_NONE};
	const struct pki_subject subject = {
		.profile = PKI_DEVICE, .name = "pump-7", .domain = "example.org", .lifetime_s = 90L * 86400};
	char age[16];
	auto_free char *csr = make_csr(fixture);
	auto_free char *pem = pki_issue(fixture->authority.ca, csr, &subject, &info, &error);

	(void)snprintf(age, sizeof(age), "%d", age_days);
	if (!pem ||
	    !PG_QUERY(fixture->admin, NULL, &error, "insert into device (device, fingerprint) values ('pump-7', $1)",
		      FINGERPRINT) ||
	    !PG_QUERY(
		    fixture->admin, NULL, &error,
		    "insert into certificate (serial, device, token_id, key_sha256, sha256, not_before, not_after, pem,"
		    " authority, created_at) values ($1, 'pump-7', 't', $2, $3, now() - make_interval(days => "
		    "$4::integer),"
		    " now() + make_interval(days => 90 - $4::integer), $5, $6, now() - make_interval(days => "
		    "$4::integer))",
		    info.serial, info.key_sha256, info.sha256, age, pem, fixture->authority.info.sha256))
		fail_msg("%s", error.what);
	return info.serial;
}

// ---- tests ----

static void a_certificate_past_half_of_its_life_is_renewed(void **state)
{
	struct fixture *fixture = *state;
	(void)enrolled(fixture, 60);
	auto_free char *csr = make_csr(fixture);
	struct renew_result auto_renew_result result = run(fixture, csr, FINGERPRINT, NULL);
	struct pki_certificate_info info;
	assert_int_equal(result.outcome, RENEW_ISSUED);
	assert_true(pki_certificate_info(result.certificate, &info, NULL));
	assert_string_equal(info.common_name, "pump-7"); // whatever the request says
	assert_in_range(info.not_after_s, time(NULL) + 90L * 86400 - 60, time(NULL) + 90L * 86400);
	assert_int_equal(count(fixture, "select count(*) from certificate where revoked_at is null"), 2);
	assert_int_equal(count(fixture, "select count(*) from enrollment_event where type = 'renew'"), 1);

	// The same key asking again, as often as it likes: the same certificate.
	for (int i = 0; i < 3; i++) {
		struct renew_result auto_renew_result again = run(fixture, csr, FINGERPRINT, NULL);
		assert_int_equal(again.outcome, RENEW_REPEATED);
		assert_string_equal(again.certificate, result.certificate);
	}
	assert_int_equal(count(fixture, "select count(*) from certificate"), 2);
}

static void not_before_half_of_it(void **state)
{
	struct fixture *fixture = *state;
	(void)enrolled(fixture, 44);
	auto_free char *csr = make_csr(fixture);
	struct renew_result auto_renew_result early = run(fixture, csr, FINGERPRINT, NULL);
	assert_int_equal(early.outcome, RENEW_EARLY);
	assert_in_range(early.retry_after_s, 86400 - 60, 86400 + 60);
	assert_int_equal(count(fixture, "select count(*) from certificate"), 1);
	sql(fixture, "update certificate set not_before = not_before - interval '3 days'");
	assert_int_equal(outcome(fixture, csr, FINGERPRINT, NULL), RENEW_ISSUED);
}

static void another_authority_makes_it_due(void **state)
{
	struct fixture *fixture = *state;
	(void)enrolled(fixture, 1);
	auto_free char *csr = make_csr(fixture);
	auto_free char *other = make_csr(fixture);
	assert_int_equal(outcome(fixture, csr, NULL, NULL), RENEW_EARLY);
	assert_true(new_authority(fixture, "Test devices 2"));
	assert_int_equal(outcome(fixture, csr, NULL, NULL), RENEW_ISSUED);
	// Also where nobody noted who had signed it.
	sql(fixture, "delete from certificate where token_id is null; update certificate set authority = null");
	assert_int_equal(outcome(fixture, other, NULL, NULL), RENEW_ISSUED);
}

static void one_a_minute_and_not_without_end(void **state)
{
	struct fixture *fixture = *state;
	(void)enrolled(fixture, 60);
	auto_free char *first = make_csr(fixture);
	auto_free char *second = make_csr(fixture);
	assert_int_equal(outcome(fixture, first, NULL, NULL), RENEW_ISSUED);
	struct renew_result auto_renew_result soon = run(fixture, second, NULL, NULL);
	assert_int_equal(soon.outcome, RENEW_SOON);
	assert_in_range(soon.retry_after_s, 50, 60);
	// A device that lost the first answer's key is not stuck.
	for (int i = 0; i < 6; i++) {
		auto_free char *csr = make_csr(fixture);
		sql(fixture, "update certificate set created_at = created_at - interval '61 s'");
		assert_int_equal(outcome(fixture, csr, NULL, NULL), RENEW_ISSUED);
	}
	sql(fixture, "update certificate set created_at = created_at - interval '61 s'");
	assert_int_equal(outcome(fixture, second, NULL, NULL), RENEW_FULL);
}

static void who_may_not(void **state)
{
	struct fixture *fixture = *state;
	auto_free char *csr = make_csr(fixture);
	assert_int_equal(outcome(fixture, csr, NULL, NULL), RENEW_DENIED); // unknown
	const char *serial = enrolled(fixture, 60);
	assert_int_equal(outcome(fixture, csr, OTHER_FINGERPRINT, NULL), RENEW_DENIED);
	assert_int_equal(outcome(fixture, csr, FINGERPRINT, "4afe"), RENEW_DENIED); // shows one that we do not know
	sql(fixture, "update device set enabled = false");
	assert_int_equal(outcome(fixture, csr, FINGERPRINT, serial), RENEW_DENIED);
	sql(fixture, "update device set enabled = true;"
		     "insert into revocation (kind, name, requested_by) values ('device', 'pump-7', 'test')");
	assert_int_equal(outcome(fixture, csr, FINGERPRINT, serial), RENEW_DENIED);
	sql(fixture,
	    "update revocation set revoked = false;"
	    "insert into revocation (kind, name, requested_by) select 'serial', serial, 'test' from certificate");
	assert_int_equal(outcome(fixture, csr, FINGERPRINT, serial), RENEW_DENIED);
	assert_int_equal(outcome(fixture, csr, FINGERPRINT, NULL), RENEW_DENIED);
	sql(fixture, "update revocation set revoked = false; update certificate set revoked_at = now()");
	assert_int_equal(outcome(fixture, csr, FINGERPRINT, serial), RENEW_DENIED);
	sql(fixture, "update certificate set revoked_at = null, not_after = now() - interval '1 s'");
	assert_int_equal(outcome(fixture, csr, FINGERPRINT, serial), RENEW_DENIED);
	assert_int_equal(count(fixture, "select count(*) from certificate"), 1);
	assert_int_equal(count(fixture, "select count(*) from enrollment_event where type = 'refused'"), 9);
	sql(fixture, "update certificate set not_after = now() + interval '1 day'");
	assert_int_equal(outcome(fixture, csr, FINGERPRINT, serial), RENEW_ISSUED);
}

static void bad_requests_leave_nothing(void **state)
{
	struct fixture *fixture = *state;
	(void)enrolled(fixture, 60);
	assert_int_equal(outcome(fixture, "nonsense", NULL, NULL), RENEW_BAD_CSR);
	assert_int_equal(count(fixture, "select count(*) from certificate"), 1);
	assert_int_equal(count(fixture, "select count(*) from enrollment_event"), 0);
}

// The trigger of the migration: hello names the certificate in use, and those before it end.
static void the_old_one_ends_when_the_new_one_is_used(void **state)
{
	struct fixture *fixture = *state;
	char old[64];
	char statement[256];
	(void)snprintf(old, sizeof(old), "%s", enrolled(fixture, 60));
	auto_free char *csr = make_csr(fixture);
	struct renew_result auto_renew_result result = run(fixture, csr, NULL, NULL);
	assert_int_equal(result.outcome, RENEW_ISSUED);

	(void)snprintf(statement, sizeof(statement),
		       "insert into device_state (device, certificate) values ('pump-7', '%s')", old);
	sql(fixture, statement); // still the old one
	assert_int_equal(count(fixture, "select count(*) from revocation"), 0);
	// Somebody else's serial ends nothing.
	(void)snprintf(statement, sizeof(statement),
		       "insert into device_state (device, certificate) values ('thief-1', '%s')", result.serial);
	sql(fixture, statement);
	assert_int_equal(count(fixture, "select count(*) from revocation"), 0);

	(void)snprintf(statement, sizeof(statement),
		       "update device_state set certificate = '%s' where device = 'pump-7'", result.serial);
	sql(fixture, statement);
	(void)snprintf(statement, sizeof(statement),
		       "select count(*) from revocation where kind = 'serial' and name = '%s' and revoked", old);
	assert_int_equal(count(fixture, statement), 1);
	assert_int_equal(count(fixture, "select count(*) from revocation"), 1);
	assert_int_equal(count(fixture, "select count(*) from certificate where revoked_at is null"), 1);
	assert_int_equal(outcome(fixture, csr, NULL, old), RENEW_DENIED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_certificate_past_half_of_its_life_is_renewed, setup),
		cmocka_unit_test_setup(not_before_half_of_it, setup),
		cmocka_unit_test_setup(another_authority_makes_it_due, setup),
		cmocka_unit_test_setup(one_a_minute_and_not_without_end, setup),
		cmocka_unit_test_setup(who_may_not, setup),
		cmocka_unit_test_setup(bad_requests_leave_nothing, setup),
		cmocka_unit_test_setup(the_old_one_ends_when_the_new_one_is_used, setup),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
