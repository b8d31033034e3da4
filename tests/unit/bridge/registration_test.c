#include "bridge/registration.h"

#include "common/crypto.h"
#include "common/topic.h"
#include "tests/unit/bridge/enrolling.h"

#define FINGERPRINT "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define PENDING_MAX 3
#define RIVALS 8

struct applicant {
	char *csr;
	char secret[TOKEN_TEXT_BYTES];
	const char *serial, *wish;
};

static int setup(void **state)
{
	struct fixture *fixture = *state;

	fixture->options.registration_pending_max = PENDING_MAX;
	fixture->options.registration_keep_days = 30;
	bool ok = cells_parse(NULL, "broker.example", 8883, &fixture->cells, NULL) &&
		  pg_exec(fixture->admin,
			  "truncate device, certificate, registration, preapproved, enrollment_event cascade", NULL);
	return ok ? 0 : -1;
}

static struct applicant applicant(struct fixture *fixture, const char *serial, const char *wish)
{
	struct applicant made = {.csr = make_csr(fixture), .serial = serial, .wish = wish};

	crypto_random_token(made.secret);
	return made;
}

static void applicant_done(struct applicant *applicant)
{
	free(applicant->csr);
}
#define auto_applicant cleanup(applicant_done)

static struct registration_result ask(struct fixture *fixture, const struct applicant *applicant, const char *secret)
{
	const struct registration_request request = {
		.csr = applicant->csr,
		.secret = secret,
		.device = applicant->wish,
		.fingerprint = FINGERPRINT,
		.serial = applicant->serial,
		.info = "{\"model\":\"M\"}",
		.peer = "192.0.2.1",
		.request_id = "r",
	};
	struct error error = {.kind = ERROR_NONE};
	struct registration_result result = registration_ask(&fixture->enroll, &request, &error);

	if (result.outcome == REGISTRATION_FAILED)
		fail_msg("%s", error.what);
	return result;
}

static enum registration_outcome asked(struct fixture *fixture, const struct applicant *applicant)
{
	auto_registration_result struct registration_result result = ask(fixture, applicant, applicant->secret);

	return result.outcome;
}

static struct registration_result poll(struct fixture *fixture, const char *secret)
{
	struct error error = {.kind = ERROR_NONE};
	struct registration_result result = registration_poll(&fixture->enroll, secret, "192.0.2.1", "r", &error);

	if (result.outcome == REGISTRATION_FAILED)
		fail_msg("%s", error.what);
	return result;
}

static enum registration_outcome polled(struct fixture *fixture, const struct applicant *applicant)
{
	auto_registration_result struct registration_result result = poll(fixture, applicant->secret);

	return result.outcome;
}

static void execute(struct fixture *fixture, const char *sql)
{
	struct error error = {.kind = ERROR_NONE};

	if (!pg_exec(fixture->admin, sql, &error))
		fail_msg("%s: %s", sql, error.what);
}

static int64_t events(struct fixture *fixture, const char *type)
{
	char sql[160];

	(void)snprintf(sql, sizeof(sql),
		       "select count(*) from enrollment_event where type = '%s'"
		       " and registration is not null",
		       type);
	return count(fixture, sql);
}

static void test_waits_for_a_person_and_is_issued_once(void **state)
{
	struct fixture *fixture = *state;
	struct applicant device auto_applicant = applicant(fixture, "SN-1", "kiosk-7");
	auto_registration_result struct registration_result first = ask(fixture, &device, device.secret);

	assert_int_equal(first.outcome, REGISTRATION_PENDING);
	assert_true(first.created);
	assert_int_equal(strlen(first.id), 16);
	assert_int_equal(polled(fixture, &device), REGISTRATION_PENDING);
	assert_int_equal(count(fixture,
			       "select count(*) from registration where polled_at is not null and serial = 'SN-1'"
			       " and wish = 'kiosk-7' and info->>'model' = 'M' and fingerprint = '" FINGERPRINT "'"),
			 1);
	execute(fixture,
		"update registration set state = 'approved', device = 'kiosk-8', tags = '{blue}', decided_by = 'anna'");

	auto_registration_result struct registration_result issued = poll(fixture, device.secret);
	struct pki_certificate_info info;
	assert_int_equal(issued.outcome, REGISTRATION_ISSUED);
	assert_int_equal(issued.enroll.outcome, ENROLL_ISSUED);
	assert_true(pki_certificate_info(issued.enroll.certificate, &info, NULL));
	assert_string_equal(info.common_name, "kiosk-8");
	assert_int_equal(count(fixture, "select count(*) from device where device = 'kiosk-8' and tags = '{blue}'"
					" and fingerprint = '" FINGERPRINT "'"),
			 1);
	auto_registration_result struct registration_result again = poll(fixture, device.secret);
	assert_int_equal(again.outcome, REGISTRATION_ISSUED);
	assert_int_equal(again.enroll.outcome, ENROLL_REPEATED);
	assert_string_equal(again.enroll.certificate, issued.enroll.certificate);
	assert_int_equal(asked(fixture, &device), REGISTRATION_APPROVED);
	assert_int_equal(count(fixture, "select count(*) from certificate"), 1);
	assert_int_equal(events(fixture, "register"), 1);
	assert_int_equal(events(fixture, "issue"), 1);

	execute(fixture, "update certificate set revoked_at = now()");
	assert_int_equal(polled(fixture, &device), REGISTRATION_DENIED);
}

static void test_rejection_is_told_with_its_reason(void **state)
{
	struct fixture *fixture = *state;
	struct applicant device auto_applicant = applicant(fixture, NULL, NULL);

	assert_int_equal(asked(fixture, &device), REGISTRATION_PENDING);
	execute(fixture, "update registration set state = 'rejected', reason = 'not ours'");
	auto_registration_result struct registration_result result = poll(fixture, device.secret);
	assert_int_equal(result.outcome, REGISTRATION_REJECTED);
	assert_string_equal(result.reason, "not ours");
	assert_int_equal(asked(fixture, &device), REGISTRATION_REJECTED);
	assert_int_equal(count(fixture, "select count(*) from device"), 0);
}

static void test_nobody_else_takes_a_registration_over(void **state)
{
	struct fixture *fixture = *state;
	struct applicant device auto_applicant = applicant(fixture, "SN-1", "kiosk-7");
	struct applicant thief auto_applicant = applicant(fixture, "SN-2", "kiosk-9");

	assert_int_equal(asked(fixture, &device), REGISTRATION_PENDING);
	execute(fixture, "update registration set state = 'approved'");
	// With the request of the device, which is no secret, and a secret of one's own.
	auto_registration_result struct registration_result copied = ask(fixture, &device, thief.secret);
	assert_int_equal(copied.outcome, REGISTRATION_CONFLICT);
	assert_string_equal(copied.id, "");
	assert_int_equal(polled(fixture, &thief), REGISTRATION_UNKNOWN);
	// With a key of one's own and a secret that is in use.
	auto_registration_result struct registration_result mixed = ask(fixture, &thief, device.secret);
	assert_int_equal(mixed.outcome, REGISTRATION_CONFLICT);
	assert_int_equal(polled(fixture, &device), REGISTRATION_ISSUED);
	assert_int_equal(count(fixture, "select count(*) from registration"), 1);
}

static void test_what_was_told_first_stands(void **state)
{
	struct fixture *fixture = *state;
	struct applicant device auto_applicant = applicant(fixture, "SN-1", "kiosk-7");

	assert_int_equal(asked(fixture, &device), REGISTRATION_PENDING);
	device.serial = "SN-2";
	auto_registration_result struct registration_result again = ask(fixture, &device, device.secret);
	assert_int_equal(again.outcome, REGISTRATION_PENDING);
	assert_false(again.created);
	assert_int_equal(count(fixture, "select count(*) from registration where serial = 'SN-1'"), 1);
}

static void test_a_listed_serial_is_approved_once(void **state)
{
	struct fixture *fixture = *state;
	struct applicant first auto_applicant = applicant(fixture, "SN-1", NULL);
	struct applicant second auto_applicant = applicant(fixture, "SN-1", NULL);
	struct applicant early auto_applicant = applicant(fixture, "SN-3", "kiosk-3");

	execute(fixture,
		"insert into preapproved (serial, device, tags, created_by) values ('SN-1', 'till-1', '{a}', 'anna')");
	assert_int_equal(asked(fixture, &first), REGISTRATION_APPROVED);
	assert_int_equal(asked(fixture, &second), REGISTRATION_PENDING);
	auto_registration_result struct registration_result issued = poll(fixture, first.secret);
	assert_int_equal(issued.outcome, REGISTRATION_ISSUED);
	assert_string_equal(issued.enroll.device, "till-1");
	assert_int_equal(polled(fixture, &second), REGISTRATION_PENDING);
	assert_int_equal(count(fixture, "select count(*) from registration where decided_by = 'pre-approved'"
					" and reason like '%anna' and tags = '{a}'"),
			 1);
	// Listed while it waits.
	assert_int_equal(asked(fixture, &early), REGISTRATION_PENDING);
	execute(fixture, "insert into preapproved (serial, created_by) values ('SN-3', 'anna')");
	auto_registration_result struct registration_result later = poll(fixture, early.secret);
	assert_int_equal(later.outcome, REGISTRATION_ISSUED);
	assert_string_equal(later.enroll.device, "kiosk-3");
	assert_int_equal(events(fixture, "approve"), 2);
}

static void test_a_list_takes_no_devices_place(void **state)
{
	struct fixture *fixture = *state;
	struct applicant device auto_applicant = applicant(fixture, "SN-1", NULL);

	execute(fixture, "insert into device (device) values ('till-1')");
	execute(fixture, "insert into preapproved (serial, device, created_by) values ('SN-1', 'till-1', 'anna')");
	assert_int_equal(asked(fixture, &device), REGISTRATION_PENDING);
	assert_int_equal(polled(fixture, &device), REGISTRATION_PENDING);
	assert_int_equal(count(fixture, "select count(*) from preapproved where used_at is null"), 1);
	// A person may say so.
	execute(fixture, "update registration set state = 'approved', device = 'till-1', replaces = true");
	assert_int_equal(polled(fixture, &device), REGISTRATION_ISSUED);
}

static void test_an_id_that_was_taken_meanwhile_goes_back_to_people(void **state)
{
	struct fixture *fixture = *state;
	struct applicant device auto_applicant = applicant(fixture, NULL, "kiosk-7");

	assert_int_equal(asked(fixture, &device), REGISTRATION_PENDING);
	execute(fixture, "update registration set state = 'approved', device = 'kiosk-7', decided_by = 'anna'");
	execute(fixture, "insert into device (device) values ('kiosk-7')");
	auto_registration_result struct registration_result result = poll(fixture, device.secret);
	assert_int_equal(result.outcome, REGISTRATION_PENDING);
	assert_non_null(strstr(result.reason, "device id taken (kiosk-7)"));
	assert_int_equal(count(fixture, "select count(*) from registration where state = 'pending' and device is null"
					" and decided_by = '' and reason like '%taken%'"),
			 1);
	assert_int_equal(events(fixture, "refused"), 1);
	assert_int_equal(count(fixture, "select count(*) from certificate"), 0);
}

static void test_the_waiting_list_has_an_end(void **state)
{
	struct fixture *fixture = *state;
	struct applicant devices[PENDING_MAX + 1];

	for (int i = 0; i <= PENDING_MAX; i++) {
		devices[i] = applicant(fixture, "SN", NULL);
		assert_int_equal(asked(fixture, &devices[i]),
				 i < PENDING_MAX ? REGISTRATION_PENDING : REGISTRATION_FULL);
	}
	assert_int_equal(count(fixture, "select count(*) from registration"), PENDING_MAX);
	assert_int_equal(asked(fixture, &devices[0]), REGISTRATION_PENDING); // who waits already
	// A listed one does not wait.
	struct applicant listed auto_applicant = applicant(fixture, "SN-9", NULL);
	execute(fixture, "insert into preapproved (serial, created_by) values ('SN-9', 'anna')");
	assert_int_equal(asked(fixture, &listed), REGISTRATION_APPROVED);
	// One that does not ask any more makes room.
	execute(fixture, "update registration set created_at = now() - interval '31 days', polled_at = null"
			 " where id = (select id from registration where state = 'pending' limit 1)");
	assert_int_equal(asked(fixture, &devices[PENDING_MAX]), REGISTRATION_PENDING);
	assert_int_equal(count(fixture, "select count(*) from registration where state = 'pending'"), PENDING_MAX);
	assert_int_equal(events(fixture, "expired"), 1);
	for (int i = 0; i <= PENDING_MAX; i++)
		applicant_done(&devices[i]);
}

static void test_bad_requests(void **state)
{
	struct fixture *fixture = *state;
	struct applicant device auto_applicant = {.csr = strdup("-----BEGIN NONSENSE-----"), .secret = "x"};

	assert_int_equal(asked(fixture, &device), REGISTRATION_BAD_CSR);
	assert_int_equal(polled(fixture, &device), REGISTRATION_UNKNOWN);
	assert_int_equal(count(fixture, "select count(*) from registration"), 0);
}

// A bridge of its own, in a process of its own; the exit status is the outcome.
static int rival(struct fixture *fixture, const struct applicant *device, bool asks)
{
	struct fixture own = *fixture;

	if (!connect_to(fixture, "muster_bridge", &own.enroll.pg))
		return 99;
	int outcome = asks ? (int)asked(&own, device) : (int)polled(&own, device);
	pg_free(own.enroll.pg);
	return outcome;
}

static int rivals(struct fixture *fixture, const struct applicant *device, bool asks,
		  enum registration_outcome expected)
{
	pid_t pids[RIVALS];
	int as_expected = 0;

	for (int i = 0; i < RIVALS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0)
			_exit(rival(fixture, device, asks));
	}
	for (int i = 0; i < RIVALS; i++)
		as_expected += process_wait(pids[i]) == (int)expected;
	return as_expected;
}

static void test_one_registration_many_bridges(void **state)
{
	struct fixture *fixture = *state;
	struct applicant device auto_applicant = applicant(fixture, NULL, "kiosk-7");

	assert_int_equal(rivals(fixture, &device, true, REGISTRATION_PENDING), RIVALS);
	assert_int_equal(count(fixture, "select count(*) from registration"), 1);
	assert_int_equal(events(fixture, "register"), 1);
	execute(fixture, "update registration set state = 'approved', device = 'kiosk-7'");
	assert_int_equal(rivals(fixture, &device, false, REGISTRATION_ISSUED), RIVALS);
	assert_int_equal(count(fixture, "select count(*) from certificate"), 1);
	assert_int_equal(events(fixture, "issue"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_waits_for_a_person_and_is_issued_once, setup),
		cmocka_unit_test_setup(test_rejection_is_told_with_its_reason, setup),
		cmocka_unit_test_setup(test_nobody_else_takes_a_registration_over, setup),
		cmocka_unit_test_setup(test_what_was_told_first_stands, setup),
		cmocka_unit_test_setup(test_a_listed_serial_is_approved_once, setup),
		cmocka_unit_test_setup(test_a_list_takes_no_devices_place, setup),
		cmocka_unit_test_setup(test_an_id_that_was_taken_meanwhile_goes_back_to_people, setup),
		cmocka_unit_test_setup(test_the_waiting_list_has_an_end, setup),
		cmocka_unit_test_setup(test_bad_requests, setup),
		cmocka_unit_test_setup(test_one_registration_many_bridges, setup),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
