#include "commander/fcm.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/http.h"
#include "common/key.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/process.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>

// Token endpoint and service are a server in the same loop, over plain HTTP to this machine.

static struct loop *loop;
static struct http_server *server;
static char *credentials_path;

static struct {
	int token_requests, sends;
	int lifetime_s;
	int token_status;
	int refuse; // so many sends are answered 401
	char authorization[128], body[512], request_id[64];
} service;

struct ticket {
	int count;
	struct fcm_outcome outcome;
};

static void on_token(struct http_request *request, void *user)
{
	char text[128];

	service.token_requests++;
	assert_non_null(strstr(http_body(request, NULL),
			       "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
			       "&assertion=ey"));
	(void)snprintf(text, sizeof(text),
		       "{\"access_token\":\"token-%d\",\"expires_in\":%d,\"token_type\":\"Bearer\"}",
		       service.token_requests, service.lifetime_s);
	http_reply(request, service.token_status, "application/json", text, strlen(text));
}

static void on_send(struct http_request *request, void *user)
{
	static const char no[] = "{\"error\":{\"code\":401,\"message\":\"expired\",\"status\":\"UNAUTHENTICATED\"}}";
	static const char yes[] = "{\"name\":\"projects/p-1/messages/0:1\"}";

	service.sends++;
	(void)snprintf(service.authorization, sizeof(service.authorization), "%s",
		       http_header(request, "Authorization"));
	(void)snprintf(service.body, sizeof(service.body), "%s", http_body(request, NULL));
	(void)snprintf(service.request_id, sizeof(service.request_id), "%s", http_request_id(request));
	if (service.refuse-- > 0)
		http_reply(request, 401, "application/json", no, strlen(no));
	else
		http_reply(request, 200, "application/json", yes, strlen(yes));
}

static void on_done(void *user, void *ticket, const struct fcm_outcome *outcome)
{
	struct ticket *mine = ticket;

	mine->count++;
	mine->outcome = *outcome;
}

static void write_credentials(const char *type, const char *pem, mode_t mode)
{
	struct json *json auto_json = json_new_object();
	struct error error = {0};
	char uri[64];

	(void)snprintf(uri, sizeof(uri), "http://127.0.0.1:%d/token", http_server_port(server));
	json_set_string(json, "type", type);
	json_set_string(json, "project_id", "p-1");
	json_set_string(json, "private_key_id", "key-1");
	json_set_string(json, "private_key", pem);
	json_set_string(json, "client_email", "muster@p-1.example");
	json_set_string(json, "token_uri", uri);
	const char *text = json_text(json);
	if (!file_write(credentials_path, text, strlen(text), mode, &error))
		fail_msg("%s", error.what);
}

static char *rsa_pem(void)
{
	EVP_PKEY *key = EVP_RSA_gen(2048);
	struct error error = {0};
	char *pem = key_text(key, &error);

	EVP_PKEY_free(key);
	return pem;
}

static int setup(void **state)
{
	static const struct http_route routes[] = {{"POST", "/token", on_token, 0},
						   {"POST", "/v1/projects/{project}/messages:send", on_send, 0}};
	struct http_options options = {
		.address = "127.0.0.1", .body_max_bytes = 8192, .routes = routes, .route_count = 2};
	struct error error = {0};

	if (scratch_setup(state) != 0)
		return -1;
	credentials_path = scratch_path(state, "credentials.json");
	loop = loop_new(&error);
	server = loop ? http_server_new(loop, &options, &error) : NULL;
	return server ? 0 : -1;
}

static int teardown(void **state)
{
	http_server_free(server);
	loop_free(loop);
	free(credentials_path);
	return scratch_teardown(state);
}

static struct fcm *make(struct error *error)
{
	char endpoint[64];
	struct fcm_options options = {
		.credentials_file = credentials_path, .endpoint = endpoint, .timeout_ms = PROCESS_DEADLINE_MS};

	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d/", http_server_port(server));
	return fcm_new(loop, &options, on_done, NULL, error);
}

static struct fcm *start(void)
{
	auto_secret char *pem = rsa_pem();
	struct error error = {0};

	memset(&service, 0, sizeof(service));
	service.lifetime_s = 3600;
	service.token_status = 200;
	write_credentials("service_account", pem, 0600);
	struct fcm *fcm = make(&error);
	if (!fcm)
		fail_msg("%s", error.what);
	return fcm;
}

static void push(struct fcm *fcm, struct ticket *ticket)
{
	const struct fcm_push message = {.token = "dev:token", .request_id = "r-1", .ttl_s = 90};
	struct error error = {0};

	if (!fcm_push(fcm, &message, ticket, &error))
		fail_msg("%s", error.what);
}

static void await(const struct ticket *ticket, int count)
{
	for (int64_t end_ms = clock_mono_ms() + PROCESS_DEADLINE_MS; ticket->count < count && clock_mono_ms() < end_ms;)
		assert_true(loop_run_once(loop, 20, NULL));
	assert_int_equal(ticket->count, count);
}

static void one_token_serves_many_pushes(void **state)
{
	struct fcm *fcm = start();
	struct ticket ticket = {0};

	for (int i = 0; i < 5; i++)
		push(fcm, &ticket);
	assert_int_equal(fcm_under_way(fcm), 5);
	await(&ticket, 5);
	push(fcm, &ticket);
	await(&ticket, 6);
	assert_int_equal(ticket.outcome.verdict, FCM_TAKEN);
	assert_int_equal(ticket.outcome.http_status, 200);
	assert_string_equal(ticket.outcome.status, "OK");
	assert_int_equal(service.token_requests, 1);
	assert_int_equal(service.sends, 6);
	assert_string_equal(service.authorization, "Bearer token-1");
	assert_string_equal(service.request_id, "r-1");
	assert_string_equal(service.body,
			    "{\"message\":{\"token\":\"dev:token\",\"data\":{\"muster\":\"wake\"},"
			    "\"android\":{\"priority\":\"HIGH\",\"collapse_key\":\"muster-wake\",\"ttl\":\"90s\"}}}");
	assert_int_equal(fcm_counts(fcm).tokens, 1);
	assert_int_equal(fcm_counts(fcm).connections, 1);
	assert_string_equal(fcm_project(fcm), "p-1");
	fcm_free(fcm, NULL);
}

// False: the machine was busy elsewhere until the end had come.
static bool renewed_before_its_end(int lifetime_s)
{
	struct fcm *fcm = start();
	struct ticket ticket = {0};

	service.lifetime_s = lifetime_s;
	int64_t begin_ms = clock_mono_ms();
	push(fcm, &ticket);
	await(&ticket, 1);
	int64_t late_ms = clock_mono_ms() + lifetime_s * INT64_C(1000) * 37 / 40;
	while (clock_mono_ms() < late_ms)
		assert_true(loop_run_once(loop, 20, NULL));
	service.lifetime_s = 3600; // of the next one
	push(fcm, &ticket);
	await(&ticket, 2);
	bool in_time = clock_mono_ms() < begin_ms + lifetime_s * INT64_C(1000);
	if (in_time) {
		assert_string_equal(service.authorization, "Bearer token-1");
		for (int64_t end_ms = begin_ms + PROCESS_DEADLINE_MS; fcm_counts(fcm).tokens < 2 && clock_mono_ms() < end_ms;)
			assert_true(loop_run_once(loop, 20, NULL));
		push(fcm, &ticket);
		await(&ticket, 3);
		assert_string_equal(service.authorization, "Bearer token-2");
		assert_int_equal(service.token_requests, 2);
	}
	fcm_free(fcm, NULL);
	return in_time;
}

// The last tenth of its lifetime: the old one still serves while the new one comes.
static void a_token_is_renewed_before_its_end(void **state)
{
	// So long as is enough to send within its last tenth, on this machine, now.
	for (int lifetime_s = 2; !renewed_before_its_end(lifetime_s); lifetime_s *= 4)
		assert_true(lifetime_s <= 32);
}

static void a_refused_token_is_replaced_once(void **state)
{
	struct fcm *fcm = start();
	struct ticket ticket = {0};

	push(fcm, &ticket);
	await(&ticket, 1);
	service.refuse = 1;
	push(fcm, &ticket);
	await(&ticket, 2);
	assert_int_equal(ticket.outcome.verdict, FCM_TAKEN);
	assert_string_equal(service.authorization, "Bearer token-2");
	assert_int_equal(service.sends, 3);
	service.refuse = 5;
	push(fcm, &ticket);
	await(&ticket, 3);
	assert_int_equal(ticket.outcome.verdict, FCM_FAILED);
	assert_string_equal(ticket.outcome.status, "UNAUTHENTICATED");
	assert_int_equal(service.sends, 5); // twice, and no more
	fcm_free(fcm, NULL);
}

static void without_a_token_pushes_fail_by_name(void **state)
{
	struct fcm *fcm = start();
	struct ticket ticket = {0};

	service.token_status = 400;
	push(fcm, &ticket);
	push(fcm, &ticket);
	await(&ticket, 2);
	assert_int_equal(ticket.outcome.verdict, FCM_FAILED);
	assert_string_equal(ticket.outcome.status, "NO_TOKEN");
	assert_non_null(strstr(ticket.outcome.reason, "clock"));
	assert_int_equal(service.sends, 0);
	service.token_status = 200;
	push(fcm, &ticket);
	await(&ticket, 3);
	assert_int_equal(ticket.outcome.verdict, FCM_TAKEN);
	fcm_free(fcm, NULL);
}

static int freed;

static void note_free(void *ticket)
{
	freed++;
}

static void what_is_under_way_is_given_back(void **state)
{
	struct fcm *fcm = start();
	struct ticket ticket = {0};

	push(fcm, &ticket);
	push(fcm, &ticket);
	freed = 0;
	fcm_free(fcm, note_free);
	assert_int_equal(freed, 2);
	assert_int_equal(ticket.count, 0);
	fcm_free(NULL, NULL);
}

static void classify(int http_status, const char *body, enum fcm_verdict verdict, const char *status)
{
	struct fcm_outcome outcome;

	fcm_classify(http_status, body, strlen(body), &outcome);
	assert_int_equal(outcome.verdict, verdict);
	assert_string_equal(outcome.status, status);
	assert_int_equal(outcome.http_status, http_status);
}

static void answers_are_told_apart(void **state)
{
	static const char unregistered[] =
		"{\"error\":{\"code\":404,\"message\":\"Requested entity was not found.\",\"status\":\"NOT_FOUND\","
		"\"details\":[{\"@type\":\"type.googleapis.com/google.firebase.fcm.v1.FcmError\","
		"\"errorCode\":\"UNREGISTERED\"}]}}";

	classify(200, "{\"name\":\"x\"}", FCM_TAKEN, "OK");
	classify(404, unregistered, FCM_GONE, "UNREGISTERED");
	classify(404, "{\"error\":{\"status\":\"NOT_FOUND\"}}", FCM_REFUSED, "NOT_FOUND"); // a wrong project
	classify(400, "{\"error\":{\"status\":\"INVALID_ARGUMENT\",\"message\":\"m\"}}", FCM_REFUSED,
		 "INVALID_ARGUMENT");
	classify(403, "{\"error\":{\"details\":[{},{\"errorCode\":\"SENDER_ID_MISMATCH\"}]}}", FCM_REFUSED,
		 "SENDER_ID_MISMATCH");
	classify(429, "{\"error\":{\"details\":[{\"errorCode\":\"QUOTA_EXCEEDED\"}]}}", FCM_BUSY, "QUOTA_EXCEEDED");
	classify(500, "{\"error\":{\"status\":\"INTERNAL\"}}", FCM_FAILED, "INTERNAL");
	classify(503, "<html>", FCM_FAILED, "HTTP_503");
	classify(502, "", FCM_FAILED, "HTTP_502");
	classify(401, "", FCM_FAILED, "HTTP_401");
	classify(302, "{\"error\":7}", FCM_REFUSED, "HTTP_302");
}

static void credentials_are_checked(void **state)
{
	auto_secret char *pem = rsa_pem();
	struct error error = {0};

	write_credentials("authorized_user", pem, 0600);
	assert_null(make(&error));
	assert_non_null(strstr(error.what, "service_account"));
	write_credentials("service_account", "no key", 0600);
	assert_null(make(&error));
	assert_non_null(strstr(error.what, "private_key"));
	write_credentials("service_account", pem, 0644);
	assert_null(make(&error));
	assert_int_equal(error.kind, ERROR_DENIED);
	assert_non_null(strstr(error.what, "chmod 640"));
	write_credentials("service_account", pem, 0640);
	struct fcm *fcm = make(&error);
	assert_non_null(fcm);
	fcm_free(fcm, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_token_serves_many_pushes),
		cmocka_unit_test(a_token_is_renewed_before_its_end),
		cmocka_unit_test(a_refused_token_is_replaced_once),
		cmocka_unit_test(without_a_token_pushes_fail_by_name),
		cmocka_unit_test(what_is_under_way_is_given_back),
		cmocka_unit_test(answers_are_told_apart),
		cmocka_unit_test(credentials_are_checked),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
