#include "agent/enroll.h"

#include "agent/lock.h"
#include "agent/provision.h"
#include "common/file.h"
#include "common/http.h"
#include "common/pki.h"
#include "tests/unit/scratch.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

// A bridge that takes the token "good", in a process of its own. The wish "taken" is refused, "liar" gets a certificate
// for another name, "stranger" one for another key.
struct bridge {
	struct pki_ca *ca;
	const char *folder;
};

static void on_enroll(struct http_request *request, void *user)
{
	static const char answer[] = "{\"broker\":{\"host\":\"localhost\",\"port\":8883},\"command_keys\":[{\"kty\":"
				     "\"OKP\",\"crv\":\"Ed25519\","
				     "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
	struct bridge *bridge = user;
	struct json *body auto_json = http_body_json(request);
	struct error error = {0};
	const char *token = "";
	const char *csr = "";
	const char *device = "d-0123456789ab";
	if (!body)
		return;
	(void)json_member_string(body, "token", &token);
	(void)json_member_string(body, "csr", &csr);
	(void)json_member_string(body, "device", &device);
	if (strcmp(token, "good") != 0) {
		http_reply_problem(request, 403, "no such token");
		return;
	}
	if (strcmp(device, "taken") == 0) {
		http_reply_problem(request, 409, "there is one already");
		return;
	}
	char *other_csr auto_free = NULL;
	if (strcmp(device, "stranger") == 0) {
		char key[128];
		(void)snprintf(key, sizeof(key), "%s/stranger.key", bridge->folder);
		(void)!pki_key_create(key, &error);
		other_csr = pki_csr_create(key, "x", &error);
		csr = other_csr;
	}
	struct pki_subject subject = {
		.profile = PKI_DEVICE,
		.name = strcmp(device, "liar") == 0 ? "someone" : device,
		.domain = "example.org",
		.lifetime_s = 86400,
	};
	char *certificate auto_free = pki_issue(bridge->ca, csr, &subject, NULL, &error);
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/ca.pem", bridge->folder);
	char *ca auto_free = file_read(path, PEM_MAX_BYTES, NULL, &error);
	struct json *reply = json_parse(answer, strlen(answer), &error);
	json_set_string(reply, "device", device);
	json_set_string(reply, "certificate", certificate);
	json_set_string(reply, "ca", ca);
	http_reply_json(request, 201, reply);
}

// Never returns.
static void serve(const char *folder, int port_fd)
{
	static const struct http_route routes[] = {{"POST", "/v1/enroll", on_enroll, 0}};
	struct error error = {0};
	char cert[128];
	char key[128];
	struct bridge bridge = {.folder = folder};
	(void)snprintf(cert, sizeof(cert), "%s/ca.pem", folder);
	(void)snprintf(key, sizeof(key), "%s/ca.key", folder);
	bridge.ca = pki_ca_create(cert, key, "test CA", 2, &error) ? pki_ca_load(cert, key, &error) : NULL;
	struct loop *loop = loop_new(&error);
	struct http_options options = {
		.address = "127.0.0.1",
		.body_max_bytes = HTTP_BODY_MAX_BYTES,
		.routes = routes,
		.route_count = 1,
		.user = &bridge,
	};
	struct http_server *server = bridge.ca && loop ? http_server_new(loop, &options, &error) : NULL;
	int port = server ? http_server_port(server) : 0;
	if (write(port_fd, &port, sizeof(port)) != sizeof(port) || !server || !loop_run(loop, &error))
		_exit(1);
	_exit(0);
}

struct place {
	char folder[64];
	char state_dir[80];
	char url[64];
	pid_t bridge;
	struct agent_options options;
	struct error error;
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	int pipes[2];
	int port = 0;
	(void)snprintf(place->folder, sizeof(place->folder), "/tmp/muster-enroll-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	assert_int_equal(pipe(pipes), 0);
	place->bridge = fork();
	if (place->bridge == 0)
		serve(place->folder, pipes[1]);
	(void)close(pipes[1]);
	assert_int_equal(read(pipes[0], &port, sizeof(port)), sizeof(port));
	(void)close(pipes[0]);
	assert_int_not_equal(port, 0);
	(void)snprintf(place->state_dir, sizeof(place->state_dir), "%s/state", place->folder);
	(void)snprintf(place->url, sizeof(place->url), "http://127.0.0.1:%d", port);
	place->options = (struct agent_options){.state_dir = place->state_dir, .bridge_url = place->url};
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"state/credential", "state/credential.salt", "state/identity.json",
					    "state/lock",	"state/credential.next", "ca.pem",
					    "ca.key",		"stranger.key",		 "token"};
	struct place *place = *state;
	int status = 0;
	(void)kill(place->bridge, SIGKILL);
	(void)waitpid(place->bridge, &status, 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[160];
		(void)snprintf(path, sizeof(path), "%s/%s", place->folder, names[i]);
		(void)unlink(path);
	}
	(void)rmdir(place->state_dir);
	int rc = rmdir(place->folder);
	free(place);
	return rc;
}

static void assert_mode(const char *path, mode_t mode)
{
	struct stat info;
	assert_int_equal(stat(path, &info), 0);
	assert_int_equal(info.st_mode & 07777, mode);
}

static void assert_state_mode(const struct place *place, const char *name, mode_t mode)
{
	char path[160];
	(void)snprintf(path, sizeof(path), "%s/%s", place->state_dir, name);
	assert_mode(path, mode);
}

static void load(const struct identity *identity, struct credential *out)
{
	struct credential_store store = identity_store(identity);
	struct error error = {0};
	if (!credential_load(&store, CREDENTIAL_CURRENT, out, &error))
		fail_msg("%s", error.what);
}

static void enrols_once(void **state)
{
	struct place *place = *state;
	bool already = true;
	struct identity identity auto_identity = {0};
	assert_int_equal(mkdir(place->state_dir, 0755), 0);
	if (!enroll(&place->options, "good", "kiosk-7", false, &identity, &already, &place->error))
		fail_msg("%s", place->error.what);
	assert_false(already);
	assert_string_equal(identity.device, "kiosk-7");
	assert_true(identity.enrolled_s > 0);
	assert_mode(place->state_dir, 0700);
	assert_state_mode(place, CREDENTIAL_CURRENT, 0600);
	assert_state_mode(place, CREDENTIAL_SALT, 0600);
	assert_mode(identity.identity_file, 0600);

	struct identity again auto_identity = {0};
	assert_true(enroll(&place->options, NULL, NULL, false, &again, &already, &place->error));
	assert_true(already);
	assert_string_equal(again.device, "kiosk-7");
}

static void again_takes_another_key_and_keeps_the_rest(void **state)
{
	struct place *place = *state;
	bool already = false;
	char outbox[160];
	struct identity identity auto_identity = {0};
	struct credential first auto_credential = {0};
	assert_true(enroll(&place->options, "good", "kiosk-7", false, &identity, &already, &place->error));
	load(&identity, &first);
	(void)snprintf(outbox, sizeof(outbox), "%s/outbox.db", place->state_dir);
	assert_true(file_write(outbox, "kept", 4, 0600, &place->error));

	// What goes wrong leaves the credential as it was, and the key of the failed try is used again.
	struct identity denied auto_identity = {0};
	struct credential kept auto_credential = {0};
	assert_false(enroll(&place->options, "bad", NULL, true, &denied, &already, &place->error));
	load(&identity, &kept);
	assert_string_equal(kept.certificate, first.certificate);
	struct credential_store store = identity_store(&identity);
	struct credential next auto_credential = {0};
	assert_true(credential_load(&store, CREDENTIAL_NEXT, &next, &place->error));

	int lock_fd = lock_take(place->state_dir, &place->error);
	assert_true(lock_fd >= 0);
	struct identity running auto_identity = {0};
	assert_false(enroll(&place->options, "good", NULL, true, &running, &already, &place->error));
	assert_non_null(strstr(place->error.what, "stop the agent"));
	(void)close(lock_fd);

	struct identity again auto_identity = {0};
	struct credential second auto_credential = {0};
	if (!enroll(&place->options, "good", NULL, true, &again, &already, &place->error))
		fail_msg("%s", place->error.what);
	assert_false(already);
	assert_string_equal(again.device, "kiosk-7");
	load(&again, &second);
	assert_string_equal(second.key, next.key);
	assert_string_not_equal(second.key, first.key);
	assert_false(credential_exists(&store, CREDENTIAL_NEXT));
	assert_true(file_exists(outbox));
	assert_int_equal(unlink(outbox), 0);
}

// A token of another device: its answer is not taken.
static void again_is_for_the_same_device(void **state)
{
	struct place *place = *state;
	bool already = false;
	struct identity identity auto_identity = {0};
	struct credential first auto_credential = {0};
	struct credential kept auto_credential = {0};
	assert_true(enroll(&place->options, "good", "kiosk-7", false, &identity, &already, &place->error));
	load(&identity, &first);
	struct json *answer auto_json = json_new_object();
	json_set_string(answer, "device", "kiosk-8");
	assert_false(provision_install_again(&identity, answer, &place->error));
	assert_non_null(strstr(place->error.what, "made for kiosk-8, and this device is kiosk-7"));
	load(&identity, &kept);
	assert_string_equal(kept.certificate, first.certificate);
}

static void the_server_may_choose_the_name(void **state)
{
	struct place *place = *state;
	bool already = false;
	struct identity identity auto_identity = {0};
	assert_true(enroll(&place->options, "good", NULL, false, &identity, &already, &place->error));
	assert_string_equal(identity.device, "d-0123456789ab");
}

static void says_what_went_wrong_and_what_to_do(void **state)
{
	static const struct {
		const char *token, *wish, *says;
	} cases[] = {
		{"bad", NULL, "ask for a new one"},
		{"good", "taken", "choose another id with --device"},
		{"good", "Not An Id", "is no device id"},
		{"good", "liar", "for someone, and not for liar"},
		{"good", "stranger", "another key"},
	};
	struct place *place = *state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool already = false;
		struct identity identity auto_identity = {0};
		assert_false(enroll(&place->options, cases[i].token, cases[i].wish, false, &identity, &already,
				    &place->error));
		if (!strstr(place->error.what, cases[i].says))
			fail_msg("\"%s\" does not say \"%s\"", place->error.what, cases[i].says);
		assert_false(identity_exists(&identity));
		struct credential_store store = identity_store(&identity);
		struct credential credential auto_credential = {0};
		if (credential_exists(&store, CREDENTIAL_CURRENT))
			load(&identity, &credential);
		assert_null(credential.certificate);
	}
	// The key of the failed attempts is the one that gets the certificate.
	bool already = false;
	struct identity identity auto_identity = {0};
	identity_init(&identity, place->state_dir, NULL);
	struct credential before auto_credential = {0};
	struct credential after auto_credential = {0};
	load(&identity, &before);
	identity_done(&identity);
	assert_true(enroll(&place->options, "good", NULL, false, &identity, &already, &place->error));
	load(&identity, &after);
	assert_string_equal(before.key, after.key);
	assert_non_null(after.certificate);
}

static void an_absent_bridge_is_named(void **state)
{
	struct place *place = *state;
	static char nowhere[] = "http://127.0.0.1:1";
	bool already = false;
	struct identity identity auto_identity = {0};
	place->options.bridge_url = nowhere;
	assert_false(enroll(&place->options, "good", NULL, false, &identity, &already, &place->error));
	assert_non_null(strstr(place->error.what, "check that the bridge runs"));
	struct identity none auto_identity = {0};
	place->options.bridge_url = NULL;
	assert_false(enroll(&place->options, "good", NULL, false, &none, &already, &place->error));
	assert_non_null(strstr(place->error.what, "set bridge.url"));
}

static void tokens_come_from_private_files(void **state)
{
	struct place *place = *state;
	char path[128];
	(void)snprintf(path, sizeof(path), "%s/token", place->folder);
	assert_true(file_write(path, "good\n", 5, 0600, &place->error));
	char *token auto_free = enroll_read_token(path, &place->error);
	assert_string_equal(token, "good");
	assert_int_equal(chmod(path, 0644), 0);
	assert_null(enroll_read_token(path, &place->error));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(enrols_once),
		TEST(again_takes_another_key_and_keeps_the_rest),
		TEST(again_is_for_the_same_device),
		TEST(the_server_may_choose_the_name),
		TEST(says_what_went_wrong_and_what_to_do),
		TEST(an_absent_bridge_is_named),
		TEST(tokens_come_from_private_files),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
