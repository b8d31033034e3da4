#include "agent/renew.h"

#include "common/limits.h"
#include "tests/unit/scratch.h"

#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FIXTURES MUSTER_SOURCE_DIR "/tests/fixtures/linux"
#define HTTPS_AFTER_MS 600000
#define LIFETIME_S 8640000 // 100 days

// A server that answers what the agent asks, and a broker that lets in whom the test says.
struct place {
	struct pki_ca *ca;
	char *ca_pem, *other_pem;
	char state_dir[96];
	struct credential_store store;
	struct renew renew;
	struct error error;
	int64_t now_ms, wall_ms;

	int asked, asked_https, used, reconnects;
	char csr[4096], request[64], fingerprint[80];
	char serial_used[41]; // of the credential that connections are made with
	char ca_used[SHA256_HEX_BYTES];
	char told[64], reason[256];
};

static struct place place;

static bool on_ask(void *user, const char *text, struct error *error)
{
	struct json *body auto_json = json_parse(text, strlen(text), error);
	const char *csr = "";
	const char *request = "";
	const char *fingerprint = "";
	assert_true(json_member_string(body, "csr", &csr) && json_member_string(body, "request", &request));
	(void)json_member_string(body, "fingerprint", &fingerprint);
	(void)snprintf(place.csr, sizeof(place.csr), "%s", csr);
	(void)snprintf(place.request, sizeof(place.request), "%s", request);
	(void)snprintf(place.fingerprint, sizeof(place.fingerprint), "%s", fingerprint);
	place.asked++;
	return true;
}

static bool on_ask_https(void *user, const struct credential *present, const char *csr, struct error *error)
{
	assert_string_equal(present->info.serial, place.renew.info.serial);
	(void)snprintf(place.csr, sizeof(place.csr), "%s", csr);
	place.asked_https++;
	return true;
}

static void used(const struct credential *credential)
{
	(void)snprintf(place.serial_used, sizeof(place.serial_used), "%s", credential->info.serial);
	crypto_sha256_hex(credential->ca, strlen(credential->ca), place.ca_used);
	place.used++;
}

static bool on_use(void *user, const struct credential *credential, struct error *error)
{
	used(credential);
	return true;
}

static void on_reconnect(void *user)
{
	struct error cut = {.kind = ERROR_FAILED, .what = "cut from this side"};
	place.reconnects++;
	renew_disconnected(&place.renew, &cut);
}

static void on_tell(void *user, const char *type, const char *reason)
{
	(void)snprintf(place.told, sizeof(place.told), "%s", type);
	(void)snprintf(place.reason, sizeof(place.reason), "%s", reason);
}

static int64_t issued_for_s = LIFETIME_S;

static char *issue(const char *csr, const char *name)
{
	const struct pki_subject subject = {
		.profile = PKI_DEVICE, .name = name, .domain = "example.org", .lifetime_s = issued_for_s};
	char *pem = pki_issue(place.ca, csr, &subject, NULL, &place.error);
	if (!pem)
		fail_msg("%s", place.error.what);
	return pem;
}

static void start(struct crash *crash)
{
	static const struct renew_port port = {on_ask, on_ask_https, on_use, on_reconnect, on_tell, NULL};
	struct credential credential auto_credential = {0};
	if (!renew_init(&place.renew, &place.store, "kiosk-7", &port, crash, &credential, &place.error))
		fail_msg("%s", place.error.what);
	place.renew.fingerprint = "f00d";
	place.renew.https_after_ms = HTTPS_AFTER_MS;
	used(&credential);
}

static char *make_authority(void **state, const char *name)
{
	char file[64];
	(void)snprintf(file, sizeof(file), "%s.crt", name);
	char *cert auto_free = scratch_path(state, file);
	(void)snprintf(file, sizeof(file), "%s.key", name);
	char *key auto_free = scratch_path(state, file);
	assert_true(pki_ca_create(cert, key, name, 3000, &place.error));
	if (!place.ca)
		place.ca = pki_ca_load(cert, key, &place.error);
	return file_read(cert, PEM_MAX_BYTES, NULL, &place.error);
}

static int set_up(void **state)
{
	if (scratch_setup(state) != 0)
		return -1;
	struct scratch *scratch = *state;
	place = (struct place){.now_ms = 1000, .wall_ms = (int64_t)time(NULL) * 1000};
	(void)snprintf(place.state_dir, sizeof(place.state_dir), "%s/state", scratch->folder);
	assert_int_equal(mkdir(place.state_dir, 0700), 0);
	place.store = (struct credential_store){place.state_dir, FIXTURES "/laptop"};
	place.ca_pem = make_authority(state, "one");
	place.other_pem = make_authority(state, "two");
	struct credential first auto_credential = {.key = pki_key_new(&place.error)};
	char *csr auto_free = pki_csr_of_key(first.key, "x", &place.error);
	char *certificate auto_free = issue(csr, "kiosk-7");
	assert_true(credential_set_certificate(&first, certificate, place.ca_pem, "kiosk-7", &place.error));
	assert_true(credential_save(&place.store, CREDENTIAL_CURRENT, &first, &place.error));
	start(NULL);
	return 0;
}

static int tear_down(void **state)
{
	renew_done(&place.renew);
	pki_ca_free(place.ca);
	free(place.ca_pem);
	free(place.other_pem);
	return scratch_teardown(state);
}

static void tick(bool connected)
{
	if (!renew_tick(&place.renew, connected, place.now_ms, place.wall_ms, &place.error))
		fail_msg("%s", place.error.what);
}

static void pass(int64_t ms)
{
	place.now_ms += ms;
	place.wall_ms += ms;
}

static void become_due(void)
{
	pass(place.renew.due_s * 1000 - place.wall_ms);
}

static bool answer_with(const char *request, const char *certificate, const char *ca)
{
	struct json *answer auto_json = json_new_object();
	if (request)
		json_set_string(answer, "request", request);
	if (certificate)
		json_set_string(answer, "certificate", certificate);
	json_set_string(answer, "ca", ca);
	const char *text = json_text(answer);
	return renew_answer(&place.renew, false, text, strlen(text), place.now_ms, &place.error);
}

static void answer(void)
{
	char *certificate auto_free = issue(place.csr, "kiosk-7");
	if (!answer_with(place.request, certificate, place.ca_pem))
		fail_msg("%s", place.error.what);
}

static void refuse_connection(void)
{
	struct error error = {.kind = ERROR_DENIED, .what = "certificate refused"};
	renew_disconnected(&place.renew, &error);
}

static void stored(const char *name, char serial[41])
{
	struct credential credential auto_credential = {0};
	if (!credential_load(&place.store, name, &credential, &place.error))
		fail_msg("%s", place.error.what);
	(void)snprintf(serial, 41, "%s", credential.info.serial);
}

static void asks_at_two_thirds_of_the_lifetime(void **state)
{
	int64_t age_s = place.renew.due_s - place.renew.info.not_before_s;
	int64_t lifetime_s = place.renew.info.not_after_s - place.renew.info.not_before_s;
	assert_true(age_s >= lifetime_s * 2 / 3 && age_s <= lifetime_s * 3 / 4 + 1);
	renew_connected(&place.renew, place.now_ms);
	tick(true);
	assert_int_equal(place.asked, 0);
	become_due();
	place.wall_ms -= 1000;
	tick(true);
	assert_int_equal(place.asked, 0);
	place.wall_ms += 1000;
	tick(true);
	assert_int_equal(place.asked, 1);
	assert_string_equal(place.fingerprint, "f00d");
}

static void the_new_one_is_tried_before_the_old_one_goes(void **state)
{
	char old[41];
	char serial[41];
	stored(CREDENTIAL_CURRENT, old);
	become_due();
	tick(true);
	answer();
	assert_string_not_equal(place.serial_used, old); // connections are made with the new one,
	stored(CREDENTIAL_CURRENT, serial);
	assert_string_equal(serial, old);                // and the old one is still in place,
	assert_string_equal(place.renew.info.serial, old); // as hello says
	assert_int_equal(place.reconnects, 0);           // not inside of a callback
	tick(true);
	assert_int_equal(place.reconnects, 1);
	renew_connected(&place.renew, place.now_ms);
	stored(CREDENTIAL_CURRENT, serial);
	assert_string_equal(serial, place.serial_used);
	assert_string_equal(place.renew.info.serial, serial);
	assert_false(credential_exists(&place.store, CREDENTIAL_NEXT));
	assert_string_equal(place.told, "certificate.renewed");
	tick(true);
	assert_int_equal(place.reconnects, 1);
	assert_int_equal(place.asked, 1);
}

static void the_old_one_connects_again_when_the_new_one_is_refused(void **state)
{
	char old[41];
	stored(CREDENTIAL_CURRENT, old);
	become_due();
	tick(true);
	answer();
	tick(true);
	for (int trial = 1; trial <= RENEW_TRIALS_MAX; trial++) {
		assert_string_not_equal(place.serial_used, old);
		refuse_connection();
		assert_string_equal(place.serial_used, old);
		renew_connected(&place.renew, place.now_ms);
		assert_int_equal(place.reconnects, trial);
		pass(RENEW_PACE_MS << trial);
		tick(true);
	}
	assert_string_equal(place.told, "certificate.refused");
	assert_non_null(strstr(place.reason, "certificate refused"));
	assert_string_equal(place.serial_used, old);
	assert_false(credential_exists(&place.store, CREDENTIAL_NEXT));
	assert_string_equal(place.renew.info.serial, old);
	assert_int_equal(place.asked, 1);
	pass(RENEW_GIVEN_UP_MS);
	tick(true);
	assert_int_equal(place.asked, 2); // with another key
}

static void without_a_network_both_are_tried_in_turn(void **state)
{
	char old[41];
	stored(CREDENTIAL_CURRENT, old);
	become_due();
	tick(true);
	answer();
	tick(true);
	for (int i = 0; i < 20; i++)
		refuse_connection();
	assert_string_not_equal(place.serial_used, old);
	renew_connected(&place.renew, place.now_ms); // the network is back
	assert_string_equal(place.renew.info.serial, place.serial_used);
}

static void asks_again_with_the_same_key(void **state)
{
	char request[64];
	become_due();
	tick(true);
	memcpy(request, place.request, sizeof(request));
	tick(true);
	assert_int_equal(place.asked, 1);
	pass(RENEW_PACE_MS);
	tick(true);
	assert_int_equal(place.asked, 2);
	pass(RENEW_PACE_MS);
	tick(true);
	assert_int_equal(place.asked, 2); // more and more patiently
	pass(RENEW_PACE_MS);
	tick(true);
	assert_int_equal(place.asked, 3);
	assert_string_equal(place.request, request);
	assert_int_equal(place.asked_https, 0);
	pass(HTTPS_AFTER_MS);
	tick(true);
	assert_int_equal(place.asked_https, 1);
	char *certificate auto_free = issue(place.csr, "kiosk-7");
	struct json *reply auto_json = json_new_object();
	json_set_string(reply, "certificate", certificate);
	json_set_string(reply, "ca", place.ca_pem);
	const char *text = json_text(reply);
	assert_true(renew_answer(&place.renew, true, text, strlen(text), place.now_ms, &place.error));
	assert_int_equal(place.renew.state, RENEW_TRYING);
}

static void asks_as_soon_as_there_is_a_connection(void **state)
{
	become_due();
	tick(false);
	pass(5000);
	tick(false);
	assert_int_equal(place.asked, 0);
	pass(10);
	renew_connected(&place.renew, place.now_ms);
	tick(true);
	assert_int_equal(place.asked, 1);
	pass(HTTPS_AFTER_MS);
	tick(false);
	assert_int_equal(place.asked, 1);
	assert_int_equal(place.asked_https, 1);
}

static void foreign_answers_change_nothing(void **state)
{
	become_due();
	tick(true);
	char *certificate auto_free = issue(place.csr, "kiosk-7");
	char *of_another auto_free = issue(place.csr, "kiosk-8");
	assert_true(answer_with("another", certificate, place.ca_pem));
	assert_int_equal(place.renew.state, RENEW_ASKING);
	assert_false(answer_with(place.request, of_another, place.ca_pem));
	assert_false(answer_with(place.request, certificate, "nonsense"));
	assert_false(answer_with(place.request, NULL, place.ca_pem));
	assert_false(renew_answer(&place.renew, false, "{", 1, place.now_ms, &place.error));
	assert_int_equal(place.renew.state, RENEW_ASKING);
	assert_int_equal(place.used, 1);
	answer();
	assert_int_equal(place.renew.state, RENEW_TRYING);
}

static void a_refusal_is_told_and_waits(void **state)
{
	char text[128];
	become_due();
	tick(true);
	(void)snprintf(text, sizeof(text), "{\"request\":\"%s\",\"error\":\"denied\",\"detail\":\"revoked\"}",
		       place.request);
	assert_true(renew_answer(&place.renew, false, text, strlen(text), place.now_ms, &place.error));
	assert_string_equal(place.told, "certificate.refused");
	assert_string_equal(place.reason, "denied: revoked");
	tick(true);
	assert_int_equal(place.asked, 1);

	pass(RENEW_GIVEN_UP_MS);
	tick(true);
	assert_int_equal(place.asked, 2);
	(void)snprintf(text, sizeof(text), "{\"request\":\"%s\",\"error\":\"too soon\",\"retry_after_s\":7}",
		       place.request);
	assert_true(renew_answer(&place.renew, false, text, strlen(text), place.now_ms, &place.error));
	pass(7000);
	tick(true);
	assert_int_equal(place.asked, 3);
	(void)snprintf(text, sizeof(text), "{\"request\":\"%s\",\"error\":\"unavailable\"}", place.request);
	assert_true(renew_answer(&place.renew, false, text, strlen(text), place.now_ms, &place.error));
	assert_int_equal(place.renew.state, RENEW_ASKING);
}

static void a_new_bundle_counts_once_it_connects(void **state)
{
	char bundle[20000];
	char expected[SHA256_HEX_BYTES];
	(void)snprintf(bundle, sizeof(bundle), "%s%s", place.ca_pem, place.other_pem);
	crypto_sha256_hex(bundle, strlen(bundle), expected);
	assert_true(answer_with(NULL, NULL, place.ca_pem)); // the one in use
	assert_int_equal(place.renew.state, RENEW_IDLE);
	assert_false(answer_with(NULL, NULL, "nonsense"));
	assert_true(answer_with(NULL, NULL, bundle));
	assert_string_equal(place.ca_used, expected);
	assert_string_not_equal(place.renew.trust, expected);
	tick(true);
	assert_int_equal(place.reconnects, 1);
	renew_connected(&place.renew, place.now_ms);
	assert_string_equal(place.renew.trust, expected);
	assert_string_equal(place.told, "trust.changed");

	// Then it asks whether there is a certificate from a new authority; no is no fault.
	pass(RENEW_PACE_MS);
	tick(true);
	assert_int_equal(place.asked, 1);
	char text[128];
	place.told[0] = '\0';
	(void)snprintf(text, sizeof(text), "{\"request\":\"%s\",\"error\":\"too early\",\"retry_after_s\":9999999}",
		       place.request);
	assert_true(renew_answer(&place.renew, false, text, strlen(text), place.now_ms, &place.error));
	assert_string_equal(place.told, "");
	pass(RENEW_GIVEN_UP_MS);
	tick(true);
	assert_int_equal(place.asked, 1);
}

static void a_bundle_that_does_not_verify_the_broker_is_given_up(void **state)
{
	char before[SHA256_HEX_BYTES];
	memcpy(before, place.renew.trust, sizeof(before));
	assert_true(answer_with(NULL, NULL, place.other_pem));
	tick(true);
	for (int trial = 1; trial <= RENEW_TRIALS_MAX; trial++) {
		refuse_connection();
		assert_string_equal(place.ca_used, before);
		renew_connected(&place.renew, place.now_ms);
		pass(RENEW_PACE_MS << trial);
		tick(true);
	}
	assert_string_equal(place.renew.trust, before);
	assert_string_equal(place.ca_used, before);
	assert_string_equal(place.told, "certificate.refused");
	struct credential kept auto_credential = {0};
	assert_true(credential_load(&place.store, CREDENTIAL_CURRENT, &kept, &place.error));
	assert_string_equal(kept.ca, place.ca_pem);
}

static void a_bundle_that_comes_during_a_trial_waits(void **state)
{
	char bundle[20000];
	char expected[SHA256_HEX_BYTES];
	(void)snprintf(bundle, sizeof(bundle), "%s%s", place.ca_pem, place.other_pem);
	crypto_sha256_hex(bundle, strlen(bundle), expected);
	become_due();
	tick(true);
	answer();
	tick(true);
	assert_true(answer_with(NULL, NULL, bundle));
	assert_string_not_equal(place.ca_used, expected);
	renew_connected(&place.renew, place.now_ms);
	tick(true);
	assert_string_equal(place.ca_used, expected);
	renew_connected(&place.renew, place.now_ms);
	assert_string_equal(place.renew.trust, expected);
}

// A certificate that lasts a minute: no pause may outlast it.
static void a_brief_lifetime_has_brief_pauses(void **state)
{
	become_due();
	issued_for_s = 60;
	tick(true);
	answer();
	issued_for_s = LIFETIME_S;
	tick(true);
	renew_connected(&place.renew, place.now_ms);
	int64_t left_ms = place.renew.info.not_after_s * 1000 - (int64_t)time(NULL) * 1000;
	assert_in_range(left_ms, 50000, 60000);
	place.wall_ms = (int64_t)time(NULL) * 1000;
	become_due();
	tick(true);
	assert_int_equal(place.asked, 2);
	pass(65000 / RENEW_PAUSE_SHARE);
	tick(true);
	assert_int_equal(place.asked, 3);
	assert_int_equal(place.asked_https, 1);
	assert_true(place.wall_ms < place.renew.info.not_after_s * 1000);
}

static void expiry_is_told_once_with_the_cure(void **state)
{
	pass((int64_t)LIFETIME_S * 1000 + 1000);
	tick(false);
	assert_string_equal(place.told, "certificate.expired");
	assert_non_null(strstr(place.reason, "enroll --again"));
	place.told[0] = '\0';
	tick(false);
	assert_string_equal(place.told, "");
}

// Goes through a whole renewal in a child that dies at the point; then another start goes on.
static void dies_and_goes_on(const char *point, bool tried)
{
	char old[41];
	char serial[41];
	int status = 0;
	stored(CREDENTIAL_CURRENT, old);
	pid_t child = fork();
	if (child == 0) {
		struct crash crash;
		if (!crash_init(&crash, point, NULL))
			_exit(1);
		place.renew.crash = &crash;
		become_due();
		tick(true);
		answer();
		tick(true);
		renew_connected(&place.renew, place.now_ms);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

	renew_done(&place.renew);
	start(NULL);
	stored(CREDENTIAL_CURRENT, serial); // it opens, whatever happened
	become_due();
	if (tried && place.renew.state == RENEW_TRYING)
		renew_connected(&place.renew, place.now_ms);
	tick(true);
	if (place.renew.state == RENEW_ASKING) {
		answer();
		tick(true);
		renew_connected(&place.renew, place.now_ms);
	}
	stored(CREDENTIAL_CURRENT, serial);
	assert_string_not_equal(serial, old);
	assert_string_equal(place.renew.info.serial, serial);
	assert_false(credential_exists(&place.store, CREDENTIAL_NEXT));
}

static void survives_renew_key(void **state)
{
	dies_and_goes_on("renew.key", false);
}

static void survives_renew_answer(void **state)
{
	dies_and_goes_on("renew.answer", true);
}

static void survives_renew_tried(void **state)
{
	dies_and_goes_on("renew.tried", true);
}

static void survives_renew_replaced(void **state)
{
	char old[41];
	stored(CREDENTIAL_CURRENT, old);
	dies_and_goes_on("renew.replaced", true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(asks_at_two_thirds_of_the_lifetime),
		TEST(the_new_one_is_tried_before_the_old_one_goes),
		TEST(the_old_one_connects_again_when_the_new_one_is_refused),
		TEST(without_a_network_both_are_tried_in_turn),
		TEST(asks_again_with_the_same_key),
		TEST(asks_as_soon_as_there_is_a_connection),
		TEST(foreign_answers_change_nothing),
		TEST(a_refusal_is_told_and_waits),
		TEST(a_new_bundle_counts_once_it_connects),
		TEST(a_bundle_that_does_not_verify_the_broker_is_given_up),
		TEST(a_bundle_that_comes_during_a_trial_waits),
		TEST(a_brief_lifetime_has_brief_pauses),
		TEST(expiry_is_told_once_with_the_cure),
		TEST(survives_renew_key),
		TEST(survives_renew_answer),
		TEST(survives_renew_tried),
		TEST(survives_renew_replaced),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
