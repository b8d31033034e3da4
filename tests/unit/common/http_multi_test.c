#include "common/buf.h"
#include "common/http.h"
#include "common/http_multi.h"
#include "common/pki.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/process.h"

// Server and client share a loop. HTTP/2, which this server does not speak, is seen in tests/e2e/test_wake.py.

#define CALLS 5

static char *ca_path, *other_ca_path;
static struct loop *loop;
static struct http_server *server;

struct seen {
	size_t count;
	int status;
	char text[256];
	int64_t retry_after_s;
	struct error error;
};

static void on_echo(struct http_request *request, void *user)
{
	const char *token = http_header(request, "Authorization");
	const char *type = http_header(request, "Content-Type");
	struct buf auto_buf text;

	buf_init(&text, 8192);
	(void)buf_addf(&text, "%s|%s|%s|%s", http_method(request), token ? token : "", type ? type : "",
		       http_body(request, NULL));
	http_reply_header(request, "Retry-After", "7");
	http_reply(request, 429, "text/plain", text.data, text.len_bytes);
}

static void on_large(struct http_request *request, void *user)
{
	static char text[5000];

	memset(text, 'x', sizeof(text));
	http_reply(request, 200, "text/plain", text, sizeof(text));
}

static struct http_request *silent[4];
static size_t silent_count;

static void on_silence(struct http_request *request, void *user)
{
	if (silent_count < sizeof(silent) / sizeof(silent[0]))
		silent[silent_count++] = request;
}

static void on_answer(void *user, const struct http_answer *answer)
{
	struct seen *seen = user;

	seen->count++;
	seen->status = answer->status;
	seen->retry_after_s = answer->retry_after_s;
	seen->error = answer->error;
	(void)snprintf(seen->text, sizeof(seen->text), "%s", answer->body);
	assert_false(answer->http2);
}

static bool make_certificates(void **state, char **cert_path, char **key_path)
{
	static const char *const hosts[] = {"127.0.0.1", NULL};
	struct pki_subject subject = {.profile = PKI_SERVER, .name = "127.0.0.1", .hosts = hosts, .lifetime_s = 86400};
	struct error error = {0};
	auto_free char *ca_key_path = scratch_path(state, "ca.key");
	auto_free char *other_key_path = scratch_path(state, "other.key");

	ca_path = scratch_path(state, "ca.pem");
	other_ca_path = scratch_path(state, "other.pem");
	*cert_path = scratch_path(state, "server.pem");
	*key_path = scratch_path(state, "server.key");
	if (!pki_ca_create(ca_path, ca_key_path, "Test CA", 30, &error) ||
	    !pki_ca_create(other_ca_path, other_key_path, "Other CA", 30, &error) || !pki_key_create(*key_path, &error))
		return false;
	struct pki_ca *ca = pki_ca_load(ca_path, ca_key_path, &error);
	auto_free char *csr = pki_csr_create(*key_path, "x", &error);
	auto_free char *pem = ca && csr ? pki_issue(ca, csr, &subject, NULL, &error) : NULL;
	pki_ca_free(ca);
	return pem && file_write(*cert_path, pem, strlen(pem), 0600, &error);
}

static int setup(void **state)
{
	static const struct http_route routes[] = {
		{"POST", "/echo", on_echo, 0}, {"GET", "/large", on_large, 0}, {"GET", "/silence", on_silence, 0}};
	auto_free char *cert_path = NULL;
	auto_free char *key_path = NULL;
	struct error error = {0};

	if (scratch_setup(state) != 0 || !make_certificates(state, &cert_path, &key_path))
		return -1;
	struct http_options options = {.address = "127.0.0.1",
				       .cert_file = cert_path,
				       .key_file = key_path,
				       .body_max_bytes = 4096,
				       .routes = routes,
				       .route_count = sizeof(routes) / sizeof(routes[0])};
	loop = loop_new(&error);
	server = loop ? http_server_new(loop, &options, &error) : NULL;
	return server ? 0 : -1;
}

static int teardown(void **state)
{
	while (silent_count > 0)
		http_reply(silent[--silent_count], 200, NULL, NULL, 0); // nobody waits for it any more
	http_server_free(server);
	loop_free(loop);
	free(ca_path);
	free(other_ca_path);
	return scratch_teardown(state);
}

static struct http_multi *client(const char *ca)
{
	struct http_multi_options options = {.ca_file = ca, .calls_max = CALLS, .answer_max_bytes = 4096};
	struct error error = {0};
	struct http_multi *multi = http_multi_new(loop, &options, &error);

	if (!multi)
		fail_msg("%s", error.what);
	return multi;
}

static bool start(struct http_multi *multi, const char *method, const char *path, int timeout_ms, struct seen *seen,
		  struct error *error)
{
	char url[96];
	struct http_call call = {
		.method = method,
		.url = url,
		.content_type = "application/json",
		.body = strcmp(method, "POST") == 0 ? "{\"a\":1}" : NULL,
		.bearer_token = "t0ken",
		.timeout_ms = timeout_ms,
	};

	(void)snprintf(url, sizeof(url), "https://127.0.0.1:%d%s", http_server_port(server), path);
	return http_multi_start(multi, &call, on_answer, seen, error);
}

static void await(const struct seen *seen, size_t count)
{
	for (int64_t end_ms = clock_mono_ms() + PROCESS_DEADLINE_MS; seen->count < count && clock_mono_ms() < end_ms;)
		assert_true(loop_run_once(loop, 20, NULL));
	assert_int_equal(seen->count, count);
}

static void sends_all_over_one_connection(void **state)
{
	struct http_multi *multi = client(ca_path);
	struct seen seen = {0};
	struct error error = {0};

	for (int i = 0; i < CALLS; i++)
		assert_true(start(multi, "POST", "/echo", PROCESS_DEADLINE_MS, &seen, &error));
	assert_int_equal(http_multi_under_way(multi), CALLS);
	assert_false(start(multi, "POST", "/echo", PROCESS_DEADLINE_MS, &seen, &error));
	assert_int_equal(error.kind, ERROR_LIMIT);
	assert_int_equal(seen.count, 0); // never from within
	await(&seen, CALLS);
	assert_int_equal(seen.status, 429);
	assert_int_equal(seen.retry_after_s, 7);
	assert_string_equal(seen.text, "POST|Bearer t0ken|application/json|{\"a\":1}");
	assert_int_equal(http_multi_under_way(multi), 0);
	assert_int_equal(http_multi_connections(multi), 1);
	http_multi_free(multi);
}

static void gives_up_after_its_time(void **state)
{
	struct http_multi *multi = client(ca_path);
	struct seen seen = {0};
	struct error error = {0};

	assert_true(start(multi, "GET", "/silence", 150, &seen, &error));
	await(&seen, 1);
	assert_int_equal(seen.status, 0);
	assert_int_equal(seen.error.kind, ERROR_TIMEOUT);
	http_multi_free(multi);
}

static void refuses_an_answer_that_is_too_large(void **state)
{
	struct http_multi *multi = client(ca_path);
	struct seen seen = {0};
	struct error error = {0};

	assert_true(start(multi, "GET", "/large", PROCESS_DEADLINE_MS, &seen, &error));
	await(&seen, 1);
	assert_int_equal(seen.error.kind, ERROR_LIMIT);
	http_multi_free(multi);
}

static void trusts_only_its_authority(void **state)
{
	struct http_multi *multi = client(other_ca_path);
	struct seen seen = {0};
	struct error error = {0};

	assert_true(start(multi, "POST", "/echo", PROCESS_DEADLINE_MS, &seen, &error));
	await(&seen, 1);
	assert_int_equal(seen.status, 0);
	assert_int_equal(seen.error.kind, ERROR_DENIED);
	http_multi_free(multi);
}

static void refuses_what_would_cross_a_network_in_the_clear(void **state)
{
	struct http_multi *multi = client(ca_path);
	struct http_call call = {.method = "GET", .url = "http://fcm.example/", .timeout_ms = 1000};
	struct error error = {0};

	assert_false(http_multi_start(multi, &call, on_answer, NULL, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	call.url = "https://fcm.example/";
	call.request_id = "a\r\nb: c";
	assert_false(http_multi_start(multi, &call, on_answer, NULL, &error));
	http_multi_free(multi);
}

static void drops_what_is_under_way_when_it_is_freed(void **state)
{
	struct http_multi *multi = client(ca_path);
	struct seen seen = {0};
	struct error error = {0};

	assert_true(start(multi, "GET", "/silence", 10000, &seen, &error));
	for (int i = 0; i < 5; i++)
		assert_true(loop_run_once(loop, 20, NULL));
	http_multi_free(multi);
	http_multi_free(NULL);
	assert_int_equal(seen.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_all_over_one_connection),
		cmocka_unit_test(gives_up_after_its_time),
		cmocka_unit_test(refuses_an_answer_that_is_too_large),
		cmocka_unit_test(trusts_only_its_authority),
		cmocka_unit_test(refuses_what_would_cross_a_network_in_the_clear),
		cmocka_unit_test(drops_what_is_under_way_when_it_is_freed),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
