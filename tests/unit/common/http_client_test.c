#include "common/http.h"
#include "common/http_client.h"
#include "common/pki.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/process.h"

// The server runs in a process of its own, because the client blocks.

static char *ca_path;
static char *other_ca_path;
static int port; // TLS
static pid_t server_pid;

static void on_echo(struct http_request *request, void *user)
{
	const char *token = http_header(request, "Authorization");
	const char *type = http_header(request, "Content-Type");
	struct buf auto_buf text;
	buf_init(&text, 8192);
	(void)buf_addf(&text, "%s|%s|%s|%s", http_method(request), token ? token : "", type ? type : "",
		       http_body(request, NULL));
	http_reply(request, strcmp(http_method(request), "POST") == 0 ? 201 : 200, "text/plain", text.data,
		   text.len_bytes);
}

static void on_moved(struct http_request *request, void *user)
{
	http_reply_header(request, "Location", "/echo");
	http_reply(request, 302, NULL, NULL, 0);
}

static void serve(const struct http_options *options, int ready)
{
	struct error error = {0};
	struct loop *loop = loop_new(&error);
	struct http_server *server = loop ? http_server_new(loop, options, &error) : NULL;
	int chosen = server ? http_server_port(server) : 0;
	if (write(ready, &chosen, sizeof(chosen)) != sizeof(chosen) || !server)
		_exit(1);
	_exit(loop_run(loop, &error) ? 0 : 1);
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
		{"GET", "/echo", on_echo, 0},	 {"POST", "/echo", on_echo, 0},	 {"PUT", "/echo", on_echo, 0},
		{"DELETE", "/echo", on_echo, 0}, {"GET", "/moved", on_moved, 0},
	};
	auto_free char *cert_path = NULL;
	auto_free char *key_path = NULL;
	int ready[2];
	if (scratch_setup(state) != 0 || !make_certificates(state, &cert_path, &key_path) || pipe(ready) != 0)
		return -1;
	struct http_options options = {.address = "127.0.0.1",
				       .cert_file = cert_path,
				       .key_file = key_path,
				       .body_max_bytes = 4096,
				       .routes = routes,
				       .route_count = sizeof(routes) / sizeof(routes[0])};
	pid_t parent = getpid();
	server_pid = fork();
	if (server_pid == 0) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
			_exit(1);
		serve(&options, ready[1]);
	}
	(void)close(ready[1]);
	bool ok = read(ready[0], &port, sizeof(port)) == sizeof(port) && port > 0;
	(void)close(ready[0]);
	return ok ? 0 : -1;
}

static int teardown(void **state)
{
	process_stop(&server_pid, SIGKILL);
	free(ca_path);
	free(other_ca_path);
	return scratch_teardown(state);
}

static struct http_client *client_for(const char *scheme, int to, const char *ca, const char *token)
{
	char url[64];
	struct error error = {0};
	(void)snprintf(url, sizeof(url), "%s://127.0.0.1:%d/", scheme, to);
	struct http_client *client = http_client_new(url, ca, token, &error);
	if (!client)
		fail_msg("%s", error.what);
	return client;
}

static void request(struct http_client *client, const char *method, const char *body, int expected, const char *text)
{
	struct error error = {0};
	struct buf auto_buf response;
	int status = 0;
	buf_init(&response, 4096);
	if (!http_client_request(client, method, "/echo", body, &status, &response, &error))
		fail_msg("%s", error.what);
	assert_int_equal(status, expected);
	assert_string_equal(buf_str(&response), text);
}

static void test_requests(void **state)
{
	struct http_client *client = client_for("https", port, ca_path, "secret-token");
	request(client, "GET", NULL, 200, "GET|Bearer secret-token|application/json|");
	request(client, "POST", "{\"a\":1}", 201, "POST|Bearer secret-token|application/json|{\"a\":1}");
	request(client, "POST", NULL, 201, "POST|Bearer secret-token|application/json|");
	request(client, "PUT", "{}", 200, "PUT|Bearer secret-token|application/json|{}");
	request(client, "DELETE", NULL, 200, "DELETE|Bearer secret-token|application/json|");
	request(client, "HEAD", NULL, 200, "");
	request(client, "GET", NULL, 200, "GET|Bearer secret-token|application/json|");
	http_client_free(client);
	client = client_for("https", port, ca_path, NULL);
	request(client, "GET", NULL, 200, "GET||application/json|");
	http_client_free(client);
	http_client_free(NULL);
}

static void test_any_status_is_an_answer(void **state)
{
	struct error error = {0};
	struct buf auto_buf response;
	int status = 0;
	buf_init(&response, 4096);
	struct http_client *client = client_for("https", port, ca_path, NULL);
	assert_true(http_client_request(client, "GET", "/nowhere", NULL, &status, &response, &error));
	assert_int_equal(status, 404);
	assert_non_null(strstr(buf_str(&response), "\"status\":404"));
	assert_true(http_client_request(client, "GET", "/moved", NULL, &status, &response, &error));
	assert_int_equal(status, 302); // not followed: the token is for this server only
	http_client_free(client);
}

static void fail_with(struct http_client *client, const char *path, size_t max_bytes, enum error_kind kind)
{
	struct error error = {0};
	struct buf auto_buf response;
	int status = 77;
	buf_init(&response, max_bytes);
	assert_false(http_client_request(client, "GET", path, NULL, &status, &response, &error));
	if (error.kind != kind)
		fail_msg("%s: %s", error_kind_name(error.kind), error.what);
	assert_int_equal(status, 77);
	assert_null(strstr(error.what, "secret-token"));
	http_client_free(client);
}

static void test_failures(void **state)
{
	fail_with(client_for("https", port, other_ca_path, "secret-token"), "/echo", 4096, ERROR_DENIED);
	fail_with(client_for("https", process_free_port(), ca_path, "secret-token"), "/echo", 4096, ERROR_UNREACHABLE);
	fail_with(client_for("https", port, ca_path, NULL), "/echo", 4, ERROR_LIMIT);
	fail_with(client_for("https", port, "/nonexistent.pem", NULL), "/echo", 4096, ERROR_INVALID);
	fail_with(client_for("http", port, NULL, NULL), "/echo", 4096, ERROR_UNREACHABLE); // plain to the TLS port
}

static void test_bad_addresses(void **state)
{
	static const char *const bad[] = {"http://example.org", "http://127.0.0.1.example.org/",
					  "ftp://127.0.0.1",	"file:///etc/passwd",
					  "127.0.0.1:443",	""};
	struct error error = {0};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_null(http_client_new(bad[i], NULL, NULL, &error));
		assert_int_equal(error.kind, ERROR_INVALID);
	}
	assert_null(http_client_new("https://127.0.0.1", NULL, "a\r\nX: y", &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_any_status_is_an_answer),
		cmocka_unit_test(test_failures),
		cmocka_unit_test(test_bad_addresses),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
