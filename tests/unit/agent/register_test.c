#include "agent/register.h"

#include "agent/credential.h"
#include "common/http.h"
#include "common/loop.h"
#include "common/pki.h"
#include "tests/unit/scratch.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSES_MAX 16
#define POLL_S 10

// A bridge in a process of its own, which does what the wished name says.
struct bridge {
	struct pki_ca *ca;
	const char *folder;
	char wish[64];
	char first_secret[TOKEN_TEXT_BYTES];
	char *csr;
	int asked, polled;
};

static void on_ask(struct http_request *request, void *user)
{
	struct bridge *bridge = user;
	struct json *body auto_json = http_body_json(request);
	const char *csr = "", *secret = "", *wish = "";
	if (!body)
		return;
	(void)json_member_string(body, "csr", &csr);
	(void)json_member_string(body, "secret", &secret);
	(void)json_member_string(body, "device", &wish);
	free(bridge->csr);
	bridge->csr = strdup(csr);
	(void)snprintf(bridge->wish, sizeof(bridge->wish), "%s", wish);
	if (bridge->asked++ == 0)
		(void)snprintf(bridge->first_secret, sizeof(bridge->first_secret), "%s", secret);
	bool first = strcmp(bridge->first_secret, secret) == 0;
	if (strcmp(wish, "overloaded") == 0 && bridge->asked <= 2) {
		http_reply_problem(request, 503, "the list is full");
	} else if (strcmp(wish, "stranger") == 0 || (strcmp(wish, "other-secret") == 0 && first)) {
		http_reply_problem(request, 409, "known with another secret");
	} else if (strcmp(wish, "unwanted") == 0) {
		http_reply_problem(request, 422, "no such key");
	} else {
		struct json *answer = json_new_object();
		json_set_string(answer, "registration", "0123456789abcdef");
		json_set_string(answer, "state", "pending");
		json_set_int(answer, "poll_s", POLL_S);
		http_reply_json(request, 202, answer);
	}
}

static void reply_issued(struct bridge *bridge, struct http_request *request)
{
	static const char rest[] =
		"{\"broker\":{\"host\":\"localhost\",\"port\":8883},\"state\":\"issued\",\"command_keys\":[{"
		"\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}";
	char path[128];
	struct error error = {0};
	struct pki_subject subject = {
		.profile = PKI_DEVICE, .name = bridge->wish, .domain = "example.org", .lifetime_s = 86400};
	(void)snprintf(path, sizeof(path), "%s/ca.pem", bridge->folder);
	char *certificate auto_free = pki_issue(bridge->ca, bridge->csr, &subject, NULL, &error);
	char *ca auto_free = file_read(path, PEM_MAX_BYTES, NULL, &error);
	struct json *answer = json_parse(rest, strlen(rest), &error);
	json_set_string(answer, "device", bridge->wish);
	json_set_string(answer, "certificate", certificate);
	json_set_string(answer, "ca", ca);
	http_reply_json(request, 200, answer);
}

static void on_poll(struct http_request *request, void *user)
{
	struct bridge *bridge = user;
	int polled = ++bridge->polled;
	struct json *answer = json_new_object();
	json_set_string(answer, "state", strcmp(bridge->wish, "rejected") == 0 ? "rejected" : "pending");
	json_set_string(answer, "reason", "not ours");
	json_set_int(answer, "poll_s", POLL_S);
	if (strcmp(bridge->wish, "forgotten") == 0 && polled == 1) {
		http_reply_problem(request, 401, "no such secret");
	} else if (strcmp(bridge->wish, "rejected") == 0 || (strcmp(bridge->wish, "patient") == 0 && polled <= 2) ||
		   strcmp(bridge->wish, "waiting") == 0) {
		http_reply_json(request, 200, steal(answer));
	} else {
		reply_issued(bridge, request);
	}
	json_free(answer);
}

// Never returns.
static void serve(const char *folder, int port_fd)
{
	static const struct http_route routes[] = {{"POST", "/v1/registration", on_ask, 0},
						   {"GET", "/v1/registration", on_poll, 0}};
	struct error error = {0};
	char cert[128], key[128];
	struct bridge bridge = {.folder = folder};
	(void)snprintf(cert, sizeof(cert), "%s/ca.pem", folder);
	(void)snprintf(key, sizeof(key), "%s/ca.key", folder);
	bridge.ca = pki_ca_create(cert, key, "test CA", 2, &error) ? pki_ca_load(cert, key, &error) : NULL;
	struct loop *loop = loop_new(&error);
	struct http_options options = {
		.address = "127.0.0.1",
		.body_max_bytes = HTTP_BODY_MAX_BYTES,
		.routes = routes,
		.route_count = 2,
		.user = &bridge,
	};
	struct http_server *server = bridge.ca && loop ? http_server_new(loop, &options, &error) : NULL;
	int port = server ? http_server_port(server) : 0;
	if (write(port_fd, &port, sizeof(port)) != sizeof(port) || !server || !loop_run(loop, &error))
		_exit(1);
	_exit(0);
}

struct place {
	struct scratch *scratch;
	char state_dir[96];
	char url[64];
	pid_t bridge;
	struct agent_options options;
	struct error error;
	int64_t pauses[PAUSES_MAX];
	size_t pause_count;
	char told[1024];
};

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	int pipes[2];
	int port = 0;
	assert_int_equal(scratch_setup((void **)&place->scratch), 0);
	assert_int_equal(pipe(pipes), 0);
	place->bridge = fork();
	if (place->bridge == 0)
		serve(place->scratch->folder, pipes[1]);
	(void)close(pipes[1]);
	assert_int_equal(read(pipes[0], &port, sizeof(port)), sizeof(port));
	(void)close(pipes[0]);
	assert_int_not_equal(port, 0);
	(void)snprintf(place->state_dir, sizeof(place->state_dir), "%s/state", place->scratch->folder);
	(void)snprintf(place->url, sizeof(place->url), "http://127.0.0.1:%d", port);
	place->options = (struct agent_options){.state_dir = place->state_dir, .bridge_url = place->url};
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	struct place *place = *state;
	int status = 0;
	(void)kill(place->bridge, SIGKILL);
	(void)waitpid(place->bridge, &status, 0);
	int rc = scratch_teardown((void **)&place->scratch);
	free(place);
	return rc;
}

static void note_pause(void *user, int64_t ms)
{
	struct place *place = user;
	assert_true(place->pause_count < PAUSES_MAX);
	place->pauses[place->pause_count++] = ms;
}

static void note_words(void *user, const char *text)
{
	struct place *place = user;
	size_t length = strlen(place->told);
	(void)snprintf(place->told + length, sizeof(place->told) - length, "%s\n", text);
}

static enum register_outcome go(struct place *place, const char *device, int64_t wait_s, struct identity *identity)
{
	const struct register_wish wish = {.device = device, .serial = "SN-1", .wait_s = wait_s};
	const struct register_hooks hooks = {.pause = note_pause, .tell = note_words, .user = place};
	return register_device(&place->options, &wish, &hooks, identity, &place->error);
}

static bool has_file(const struct place *place, const char *name)
{
	char path[160];
	(void)snprintf(path, sizeof(path), "%s/%s", place->state_dir, name);
	return file_exists(path);
}

static void test_waits_and_takes_the_certificate(void **state)
{
	struct place *place = *state;
	struct identity identity auto_identity = {0};
	struct identity again auto_identity = {0};
	assert_int_equal(go(place, "patient", -1, &identity), REGISTER_ENROLLED);
	assert_string_equal(identity.device, "patient");
	assert_int_equal(place->pause_count, 2);
	for (size_t i = 0; i < 2; i++)
		assert_in_range(place->pauses[i], POLL_S * 800, POLL_S * 1200);
	assert_non_null(strstr(place->told, "registered as 0123456789abcdef"));
	assert_false(has_file(place, "registration.json"));
	assert_int_equal(go(place, "patient", -1, &again), REGISTER_ALREADY);
	assert_string_equal(again.device, "patient");
}

static void test_tells_why_it_was_rejected(void **state)
{
	struct place *place = *state;
	struct identity identity auto_identity = {0};
	assert_int_equal(go(place, "rejected", -1, &identity), REGISTER_REJECTED);
	assert_non_null(strstr(place->error.what, "not ours"));
	assert_false(identity_exists(&identity));
}

static void test_asks_again_when_it_was_forgotten(void **state)
{
	struct place *place = *state;
	struct identity identity auto_identity = {0};
	assert_int_equal(go(place, "forgotten", -1, &identity), REGISTER_ENROLLED);
	assert_int_equal(place->pause_count, 1);
}

static void test_an_overloaded_bridge_is_given_time(void **state)
{
	struct place *place = *state;
	struct identity identity auto_identity = {0};
	assert_int_equal(go(place, "overloaded", -1, &identity), REGISTER_ENROLLED);
	assert_int_equal(place->pause_count, 2);
	assert_in_range(place->pauses[0], 2000, 4000);
	assert_in_range(place->pauses[1], 2000, 6000);
	assert_non_null(strstr(place->told, "the list is full"));
}

static void test_a_secret_of_another_key_costs_one_new_start(void **state)
{
	struct place *place = *state;
	struct identity identity auto_identity = {0};
	struct identity stranger auto_identity = {0};
	assert_int_equal(go(place, "other-secret", -1, &identity), REGISTER_ENROLLED);
	assert_non_null(strstr(place->told, "new key"));
	assert_int_equal(unlink(identity.identity_file), 0);
	// And not one after another for ever.
	assert_int_equal(go(place, "stranger", -1, &stranger), REGISTER_FAILED);
	assert_non_null(strstr(place->error.what, "known with another secret"));
}

static void test_what_waiting_does_not_cure_ends_it(void **state)
{
	struct place *place = *state;
	struct identity first auto_identity = {0};
	struct identity second auto_identity = {0};
	struct identity third auto_identity = {0};
	assert_int_equal(go(place, "unwanted", -1, &first), REGISTER_FAILED);
	assert_non_null(strstr(place->error.what, "no such key"));
	assert_int_equal(go(place, "Bad_Name", -1, &second), REGISTER_FAILED);
	assert_non_null(strstr(place->error.what, "Bad_Name"));
	place->options.bridge_url = NULL;
	assert_int_equal(go(place, "patient", -1, &third), REGISTER_FAILED);
	assert_non_null(strstr(place->error.what, "bridge.url"));
	assert_int_equal(place->pause_count, 0);
}

static void test_gives_up_waiting_when_told_to(void **state)
{
	struct place *place = *state;
	struct identity waiting auto_identity = {0};
	struct identity away auto_identity = {0};
	assert_int_equal(go(place, "waiting", 0, &waiting), REGISTER_WAITING);
	assert_true(has_file(place, "registration.json"));
	char nowhere[] = "http://127.0.0.1:1";
	place->options.bridge_url = nowhere;
	assert_int_equal(go(place, "waiting", 0, &away), REGISTER_WAITING);
	assert_non_null(strstr(place->told, "can't be reached"));
}

static char *serial_of(void **state, const char *path, const char *text)
{
	struct scratch *scratch = ((struct place *)*state)->scratch;
	char file[200];
	char folder[200];
	struct error error = {0};
	(void)snprintf(folder, sizeof(folder), "%s/root%s", scratch->folder, path);
	(void)snprintf(file, sizeof(file), "%s", folder);
	*strrchr(folder, '/') = '\0';
	assert_true(file_mkdirs(folder, 0700, &error));
	assert_true(file_write(file, text, strlen(text), 0600, &error));
	(void)snprintf(folder, sizeof(folder), "%s/root", scratch->folder);
	return register_serial(folder);
}

static void test_reads_the_serial_number(void **state)
{
	char *none auto_free = serial_of(state, "/sys/class/dmi/id/product_serial", "To Be Filled By O.E.M.\n");
	assert_null(none);
	char *board auto_free = serial_of(state, "/sys/class/dmi/id/board_serial", "BRD-7\n");
	assert_string_equal(board, "BRD-7");
	char *product auto_free = serial_of(state, "/sys/class/dmi/id/product_serial", " PF2X1 \n");
	assert_string_equal(product, "PF2X1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_waits_and_takes_the_certificate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_tells_why_it_was_rejected, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_asks_again_when_it_was_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_an_overloaded_bridge_is_given_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_secret_of_another_key_costs_one_new_start, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_waiting_does_not_cure_ends_it, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_gives_up_waiting_when_told_to, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_reads_the_serial_number, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
