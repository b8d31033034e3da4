#include "common/http.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/pki.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/process.h"

#include <openssl/ssl.h>
#include <poll.h>

// Raw sockets against the server, both driven from one loop here.

static struct loop *loop;
static struct http_server *server;
static struct http_request *held;       // /hold keeps its request here
static struct http_stream *held_stream; // /stream
static int closed_calls;
static int handler_calls;
static int after_calls;
static int after_status;
static char after_pattern[64];
static int freed_contexts;

static void turn(void)
{
	struct error error = {0};
	assert_true(loop_run_once(loop, 5, &error));
}

#define UNTIL(condition)                                                           \
	do {                                                                       \
		int64_t until_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;          \
		while (!(condition)) {                                             \
			if (clock_mono_ms() > until_ms)                            \
				fail_msg("never came: %s", #condition);            \
			turn();                                                    \
		}                                                                  \
	} while (0)

// --- handlers --------------------------------------------------------------------------------------------------

static void free_context(void *context)
{
	freed_contexts++;
	free(context);
}

static void on_hello(struct http_request *request, void *user)
{
	handler_calls++;
	http_reply(request, 200, "text/plain", "hello", 5);
}

static void on_echo(struct http_request *request, void *user)
{
	size_t len_bytes;
	const char *body = http_body(request, &len_bytes);
	handler_calls++;
	assert_int_equal(body[len_bytes], '\0');
	http_reply(request, 201, "application/octet-stream", body, len_bytes);
}

static void on_device(struct http_request *request, void *user)
{
	char text[512];
	char cookie[32];
	const char *query = http_query(request, "q");
	const char *found = http_cookie(request, "session", cookie, sizeof(cookie));
	handler_calls++;
	assert_int_equal(http_route_tag(request), 7);
	assert_null(http_param(request, "na"));
	assert_null(http_param(request, "names"));
	(void)snprintf(text, sizeof(text), "%s %s id=%s part=%s q=%s cookie=%s peer=%s agent=%s", http_method(request),
		       http_path(request), http_param(request, "id"), http_param(request, "part"), query ? query : "-",
		       found ? found : "-", http_peer(request),
		       http_header(request, "user-agent") ? http_header(request, "user-agent") : "-");
	http_reply(request, 200, "text/plain", text, strlen(text));
}

static void on_json(struct http_request *request, void *user)
{
	handler_calls++;
	struct json *json = http_body_json(request);
	if (json)
		http_reply_json(request, 200, json);
}

static void on_headers(struct http_request *request, void *user)
{
	http_reply_header(request, "Content-Security-Policy", "default-src 'self'");
	http_reply_header(request, "cache-control", "max-age=60");
	http_reply_header(request, "Set-Cookie", "a=1");
	http_reply_header(request, "Set-Cookie", "b=2");
	http_reply_header(request, "X-Bad", "x\r\nX-Injected: 1");
	http_reply_header(request, "X\r\nInjected", "1");
	http_reply(request, 204, NULL, NULL, 0);
}

static void on_big(struct http_request *request, void *user)
{
	size_t len_bytes = 3 << 20;
	char *text = malloc(len_bytes);
	assert_non_null(text);
	memset(text, 'x', len_bytes);
	http_reply(request, 200, "text/plain", text, len_bytes);
	free(text);
}

static void on_hold(struct http_request *request, void *user)
{
	handler_calls++;
	held = request;
}

static void on_closed(void *user)
{
	assert_ptr_equal(user, &closed_calls);
	closed_calls++;
	held_stream = NULL;
}

static void on_stream(struct http_request *request, void *user)
{
	held_stream = http_stream_start(request, on_closed, &closed_calls);
	if (held_stream)
		assert_true(http_stream_send(held_stream, ": hi\n\n", 6));
}

static bool before(struct http_request *request, void *user)
{
	http_set_context(request, malloc(1), free_context);
	if (!http_header(request, "X-Deny"))
		return true;
	http_reply_problem(request, 401, "Log in.");
	return false;
}

static void after(struct http_request *request, int status, int64_t duration_us, void *user)
{
	assert_true(duration_us >= 0);
	after_calls++;
	after_status = status;
	(void)snprintf(after_pattern, sizeof(after_pattern), "%s", http_route_pattern(request));
}

static const struct http_route routes[] = {
	{"GET", "/", on_hello, 0},
	{"GET", "/hello", on_hello, 0},
	{"POST", "/echo", on_echo, 0},
	{"PUT", "/echo", on_echo, 0},
	{"GET", "/devices/{id}/parts/{part}", on_device, 7},
	{"POST", "/json", on_json, 0},
	{"GET", "/headers", on_headers, 0},
	{"GET", "/big", on_big, 0},
	{"GET", "/hold", on_hold, 0},
	{"GET", "/stream", on_stream, 0},
};

static struct http_options options(void)
{
	return (struct http_options){.address = "127.0.0.1",
				     .body_max_bytes = 1000,
				     .routes = routes,
				     .route_count = sizeof(routes) / sizeof(routes[0]),
				     .before = before,
				     .after = after};
}

static int open_server(const struct http_options *given)
{
	struct error error = {0};
	loop = loop_new(&error);
	assert_non_null(loop);
	server = http_server_new(loop, given, &error);
	if (!server)
		fail_msg("%s", error.what);
	held = NULL;
	held_stream = NULL;
	closed_calls = handler_calls = after_calls = freed_contexts = 0;
	return 0;
}

static int setup(void **state)
{
	struct http_options given = options();
	return open_server(&given);
}

static int teardown(void **state)
{
	http_server_free(server);
	loop_free(loop);
	server = NULL;
	return 0;
}

// --- a client --------------------------------------------------------------------------------------------------

static int dial(void)
{
	int fd = process_connect(http_server_port(server));
	assert_true(fd >= 0);
	return fd;
}

static void say(int fd, const char *text, size_t len_bytes)
{
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (len_bytes > 0) {
		ssize_t sent = send(fd, text, len_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent > 0) {
			text += sent;
			len_bytes -= (size_t)sent;
		} else if (errno != EAGAIN || clock_mono_ms() > deadline_ms) {
			return; // the server has closed: the test reads why
		}
		turn();
	}
}

// 1: got some; 0: nothing yet; -1: closed.
static int hear(int fd, struct buf *out)
{
	char piece[65536];
	ssize_t got = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
	if (got > 0)
		return buf_add(out, piece, (size_t)got) ? 1 : -1;
	if (got < 0 && errno == EAGAIN)
		return 0;
	return -1;
}

static bool whole_answer(const struct buf *answer, bool head_only)
{
	const char *end = strstr(buf_str(answer), "\r\n\r\n");
	const char *length = strcasestr(buf_str(answer), "\r\nContent-Length: ");
	if (!end)
		return false;
	if (head_only || !length || length > end)
		return true;
	return answer->len_bytes >= (size_t)(end + 4 - answer->data) + strtoull(length + 18, NULL, 10);
}

// One answer, or all until the server closes.
static void listen_for(int fd, struct buf *out, bool until_closed, bool head_only)
{
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	for (;;) {
		int result = hear(fd, out);
		if (result < 0) {
			assert_true(until_closed || whole_answer(out, head_only));
			return;
		}
		if (!until_closed && whole_answer(out, head_only))
			return;
		if (clock_mono_ms() > deadline_ms)
			fail_msg("no end of the answer: %s", buf_str(out));
		turn();
	}
}

static int status_of(const struct buf *answer)
{
	if (strncmp(buf_str(answer), "HTTP/1.1 ", 9) != 0)
		return -1;
	return (int)strtol(answer->data + 9, NULL, 10);
}

static const char *body_of(const struct buf *answer)
{
	const char *end = strstr(buf_str(answer), "\r\n\r\n");
	return end ? end + 4 : "";
}

static bool has_header(const struct buf *answer, const char *line)
{
	char wanted[256];
	(void)snprintf(wanted, sizeof(wanted), "\r\n%s\r\n", line);
	const char *found = strcasestr(buf_str(answer), wanted);
	return found && found < body_of(answer);
}

// Sends text on a new connection; the answer's status. The answer, to the end of the connection if closed, is in *out.
static int ask(const char *text, size_t len_bytes, bool closed, struct buf *out)
{
	int fd = dial();
	buf_init(out, 16 << 20);
	say(fd, text, len_bytes);
	listen_for(fd, out, closed, strncmp(text, "HEAD", 4) == 0);
	(void)close(fd);
	return status_of(out);
}

#define ASK(text, closed, out) ask(text, strlen(text), closed, out)
#define HEAD(line) line " HTTP/1.1\r\nHost: h\r\n"

// --- tests -----------------------------------------------------------------------------------------------------

static void test_answer_and_headers(void **state)
{
	struct buf auto_buf answer;
	assert_int_equal(ASK(HEAD("GET /hello") "X-Request-ID: abc.DEF-1_2\r\n\r\n", false, &answer), 200);
	assert_string_equal(body_of(&answer), "hello");
	assert_true(has_header(&answer, "X-Request-ID: abc.DEF-1_2"));
	assert_true(has_header(&answer, "X-Content-Type-Options: nosniff"));
	assert_true(has_header(&answer, "Referrer-Policy: no-referrer"));
	assert_true(has_header(&answer, "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'"));
	assert_true(has_header(&answer, "Cache-Control: no-store"));
	assert_true(has_header(&answer, "Content-Length: 5"));
	assert_non_null(strstr(answer.data, "\r\nDate: "));
	assert_null(strstr(answer.data, "Strict-Transport-Security")); // plain HTTP
	UNTIL(after_calls == 1);
	assert_int_equal(after_status, 200);
	assert_string_equal(after_pattern, "/hello");
	assert_int_equal(freed_contexts, 1);
}

static void test_request_id_is_made(void **state)
{
	static const char *const bad[] = {"", "a b", "a\"b", "<script>",
					  "01234567890123456789012345678901234567890123456789012345678901234"};
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf auto_buf answer;
		char text[256];
		(void)snprintf(text, sizeof(text), HEAD("GET /hello") "X-Request-ID: %s\r\n\r\n", bad[i]);
		assert_int_equal(ASK(text, false, &answer), 200);
		const char *id = strstr(answer.data, "\r\nX-Request-ID: ");
		assert_non_null(id);
		assert_int_equal(strcspn(id + 16, "\r"), 36); // a UUID
	}
}

static void test_own_headers(void **state)
{
	struct buf auto_buf answer;
	assert_int_equal(ASK(HEAD("GET /headers") "\r\n", false, &answer), 204);
	assert_true(has_header(&answer, "Content-Security-Policy: default-src 'self'"));
	assert_true(has_header(&answer, "Cache-Control: max-age=60"));
	assert_null(strstr(answer.data, "no-store"));
	assert_null(strstr(answer.data, "frame-ancestors"));
	assert_true(has_header(&answer, "Set-Cookie: a=1"));
	assert_true(has_header(&answer, "Set-Cookie: b=2"));
	assert_null(strstr(answer.data, "Injected"));
	assert_null(strstr(answer.data, "Content-Length"));
}

static void test_parts_of_a_request(void **state)
{
	struct buf auto_buf answer;
	assert_int_equal(ASK(HEAD("GET /devices/a%20b/parts/x+y?p=1&q=%C3%A9+z&q=2") "User-Agent: t\r\n"
									   "Cookie: other=1; session=s3; x=y\r\n\r\n",
			     false, &answer),
			 200);
	assert_string_equal(body_of(&answer), "GET /devices/a%20b/parts/x+y id=a b part=x+y q=\xc3\xa9 z cookie=s3 "
					      "peer=127.0.0.1 agent=t");
}

static void test_routing(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{HEAD("GET /") "\r\n", 200},
		{HEAD("GET /?x") "\r\n", 200},
		{HEAD("GET //") "\r\n", 404},
		{HEAD("GET /hello/") "\r\n", 404},
		{HEAD("GET /hell") "\r\n", 404},
		{HEAD("GET /hello/x") "\r\n", 404},
		{HEAD("GET /devices//parts/1") "\r\n", 404},
		{HEAD("GET /devices/a%2fb/parts/1") "\r\n", 404},
		{HEAD("GET /devices/a%00/parts/1") "\r\n", 404},
		{HEAD("GET /devices/a%zz/parts/1") "\r\n", 404},
		{HEAD("DELETE /hello") "\r\n", 405},
		{HEAD("GET /hello") "X-Deny: 1\r\n\r\n", 401},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf auto_buf answer;
		int status = ASK(cases[i].text, false, &answer);
		if (status != cases[i].status)
			fail_msg("case %zu: %d instead of %d", i, status, cases[i].status);
		if (status >= 400) {
			assert_true(has_header(&answer, "Content-Type: application/problem+json"));
			struct json *auto_json problem = json_parse(body_of(&answer), strlen(body_of(&answer)), NULL);
			int64_t in_body = 0;
			assert_true(json_member_int(problem, "status", &in_body));
			assert_int_equal(in_body, status);
			assert_non_null(json_member(problem, "request_id"));
		}
	}
	struct buf auto_buf answer;
	assert_int_equal(ASK(HEAD("PATCH /echo") "\r\n", false, &answer), 405);
	assert_true(has_header(&answer, "Allow: POST, PUT"));
}

static void test_head(void **state)
{
	struct buf auto_buf answer;
	assert_int_equal(ASK(HEAD("HEAD /hello") "Connection: close\r\n\r\n", true, &answer), 200);
	assert_true(has_header(&answer, "Content-Length: 5"));
	assert_string_equal(body_of(&answer), "");
}

static void test_bodies(void **state)
{
	struct buf auto_buf answer;
	assert_int_equal(ASK(HEAD("POST /echo") "Connection: close\r\nContent-Length: 4\r\n\r\nab\ncEXTRA", true, &answer), 201);
	assert_true(has_header(&answer, "Content-Length: 4"));
	assert_memory_equal(body_of(&answer), "ab\nc", 4);

	struct buf auto_buf chunked;
	assert_int_equal(ASK(HEAD("PUT /echo") "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n", false,
			     &chunked),
			 201);
	assert_string_equal(body_of(&chunked), "abcde");
}

static void test_json(void **state)
{
	static const struct {
		const char *text;
		int status;
	} cases[] = {
		{HEAD("POST /json") "Content-Type: application/json\r\nContent-Length: 7\r\n\r\n{\"a\":1}", 200},
		{HEAD("POST /json") "Content-Type: Application/JSON; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}", 200},
		{HEAD("POST /json") "Content-Type: application/merge-patch+json\r\nContent-Length: 2\r\n\r\n{}", 200},
		{HEAD("POST /json") "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}", 415},
		{HEAD("POST /json") "Content-Length: 2\r\n\r\n{}", 415},
		{HEAD("POST /json") "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n[]", 400},
		{HEAD("POST /json") "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{x", 400},
		{HEAD("POST /json") "Content-Type: application/json\r\n\r\n", 400},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf auto_buf answer;
		int status = ASK(cases[i].text, false, &answer);
		if (status != cases[i].status)
			fail_msg("case %zu: %d instead of %d", i, status, cases[i].status);
	}
}

// Refused before any handler, answered in our form, and the connection closed.
static void test_refused(void **state)
{
	char long_line[HTTP_HEADERS_MAX_BYTES + 64];
	char many[8192] = HEAD("GET /hello");
	char large_chunk[1400];
	memset(long_line, 'a', sizeof(long_line) - 1);
	memcpy(long_line, "GET /", 5);
	long_line[sizeof(long_line) - 1] = '\0';
	for (int i = 0; i < HTTP_FIELDS_MAX; i++)
		strcat(many, "A: b\r\n");
	strcat(many, "\r\n");
	(void)snprintf(large_chunk, sizeof(large_chunk), HEAD("POST /echo") "Transfer-Encoding: chunked\r\n\r\n400\r\n%01024d",
		       0);
	const struct {
		const char *text;
		int status;
	} cases[] = {
		{HEAD("POST /echo") "Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd", 400},
		{HEAD("POST /echo") "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde", 400},
		{HEAD("POST /echo") "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
		{HEAD("POST /echo") "Transfer-Encoding: identity\r\n\r\n", 501},
		{HEAD("POST /echo") "Transfer-Encoding: chunked\r\n\r\nZ\r\n\r\n", 400},
		{HEAD("POST /echo") "Content-Length: 1001\r\n\r\n", 413},
		{HEAD("POST /echo") "Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n", 413},
		{large_chunk, 413},
		{long_line, 431},
		{many, 431},
		{"GET /hello HTTP/1.1\r\n\r\n", 400},
		{"GET /hello HTTP/3\r\nHost: h\r\n\r\n", 505},
		{"\x16\x03\x01\x02\r\n\r\n", 400},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf auto_buf answer;
		int status = ASK(cases[i].text, true, &answer);
		if (status != cases[i].status)
			fail_msg("case %zu: %d instead of %d", i, status, cases[i].status);
		assert_true(has_header(&answer, "Connection: close"));
		assert_true(has_header(&answer, "Content-Type: application/problem+json"));
		assert_true(has_header(&answer, "X-Content-Type-Options: nosniff"));
		assert_non_null(strstr(answer.data, "\r\nX-Request-ID: "));
		assert_null(strstr(answer.data, "100 Continue"));
	}
	assert_int_equal(handler_calls, 0);
}

static void test_continue(void **state)
{
	static const char head[] = HEAD("POST /echo") "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n";
	struct buf auto_buf answer;
	buf_init(&answer, 4096);
	int fd = dial();
	say(fd, head, sizeof(head) - 1);
	UNTIL(hear(fd, &answer) == 1);
	assert_string_equal(answer.data, "HTTP/1.1 100 Continue\r\n\r\n");
	buf_clear(&answer);
	say(fd, "abc", 3);
	listen_for(fd, &answer, false, false);
	assert_int_equal(status_of(&answer), 201);
	(void)close(fd);
}

static void test_byte_by_byte(void **state)
{
	static const char text[] = "\r\n" HEAD("POST /echo") "Content-Length: 3\r\n\r\nabc";
	struct buf auto_buf answer;
	buf_init(&answer, 4096);
	int fd = dial();
	for (size_t i = 0; i < sizeof(text) - 1; i++)
		say(fd, text + i, 1);
	listen_for(fd, &answer, false, false);
	assert_int_equal(status_of(&answer), 201);
	(void)close(fd);
}

static void test_pipeline_and_keep_alive(void **state)
{
	enum { COUNT = 2000 };
	struct buf auto_buf answer;
	struct buf auto_buf questions;
	buf_init(&answer, 16 << 20);
	buf_init(&questions, 1 << 20);
	for (int i = 0; i < COUNT; i++)
		(void)buf_addf(&questions, HEAD("POST /echo") "Content-Length: 6\r\n\r\n%06d", i);
	(void)buf_addf(&questions, HEAD("GET /hello") "Connection: close\r\n\r\n");
	int fd = dial();
	say(fd, questions.data, questions.len_bytes);
	listen_for(fd, &answer, true, false);
	(void)close(fd);
	const char *at = answer.data;
	for (int i = 0; i < COUNT; i++) {
		char body[16];
		(void)snprintf(body, sizeof(body), "\r\n\r\n%06d", i);
		at = strstr(at, body);
		assert_non_null(at);
	}
	assert_int_equal(handler_calls, COUNT + 1);
	assert_non_null(strstr(at, "\r\n\r\nhello"));
}

static void test_big_answer_and_half_close(void **state)
{
	static const char text[] = HEAD("GET /big") "\r\n";
	struct buf auto_buf answer;
	buf_init(&answer, 16 << 20);
	int fd = dial();
	say(fd, text, sizeof(text) - 1);
	assert_int_equal(shutdown(fd, SHUT_WR), 0); // as "nc -N" does
	listen_for(fd, &answer, true, false);
	assert_int_equal(strlen(body_of(&answer)), 3 << 20);
	(void)close(fd);
}

static void start_hold(int *fd)
{
	static const char text[] = HEAD("GET /hold") "\r\n";
	*fd = dial();
	say(*fd, text, sizeof(text) - 1);
	UNTIL(held);
}

static void test_deferred_answer(void **state)
{
	struct buf auto_buf answer;
	buf_init(&answer, 4096);
	int fd;
	start_hold(&fd);
	say(fd, HEAD("GET /hello") "\r\n", strlen(HEAD("GET /hello") "\r\n")); // waits its turn
	for (int i = 0; i < 5; i++)
		turn();
	assert_int_equal(handler_calls, 1);
	http_reply(held, 202, "text/plain", "later", 5);
	listen_for(fd, &answer, false, false);
	assert_int_equal(status_of(&answer), 202);
	UNTIL(handler_calls == 2);
	(void)close(fd);
}

static void test_client_leaves_before_the_answer(void **state)
{
	struct linger reset = {.l_onoff = 1};
	for (int hard = 0; hard < 2; hard++) {
		int fd;
		held = NULL;
		freed_contexts = 0;
		start_hold(&fd);
		if (hard)
			(void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		(void)close(fd);
		for (int i = 0; i < 10; i++)
			turn();
		assert_int_equal(freed_contexts, 0);
		assert_string_equal(http_path(held), "/hold");
		http_reply_header(held, "X-Late", "1");
		if (hard)
			assert_null(http_stream_start(held, on_closed, &closed_calls));
		else
			http_reply_problem(held, 503, "Too late.");
		assert_int_equal(freed_contexts, 1);
		for (int i = 0; i < 10; i++)
			turn();
	}
	assert_int_equal(closed_calls, 0);
	struct buf auto_buf answer;
	assert_int_equal(ASK(HEAD("GET /hello") "\r\n", false, &answer), 200); // the server goes on
}

static void test_server_leaves_before_the_answer(void **state)
{
	int fd;
	start_hold(&fd);
	http_server_free(server);
	server = NULL;
	int calls = after_calls;
	http_reply(held, 200, "text/plain", "x", 1);
	assert_int_equal(after_calls, calls);
	assert_int_equal(freed_contexts, 1);
	(void)close(fd);
}

static bool heard(int fd, struct buf *answer, const char *text)
{
	(void)hear(fd, answer);
	return strstr(buf_str(answer), text);
}

static int start_stream(struct buf *answer)
{
	static const char text[] = HEAD("GET /stream") "\r\n";
	int fd = dial();
	buf_init(answer, 16 << 20);
	say(fd, text, sizeof(text) - 1);
	UNTIL(held_stream && heard(fd, answer, ": hi\n\n"));
	return fd;
}

static void test_stream(void **state)
{
	struct buf auto_buf answer;
	int fd = start_stream(&answer);
	assert_int_equal(status_of(&answer), 200);
	assert_true(has_header(&answer, "Content-Type: text/event-stream"));
	assert_true(has_header(&answer, "Cache-Control: no-store"));
	assert_null(strstr(answer.data, "Content-Length"));
	assert_string_equal(http_path(http_stream_request(held_stream)), "/stream");
	assert_int_equal(after_calls, 1);
	assert_true(http_stream_send(held_stream, "data: 1\n\n", 9));
	UNTIL(heard(fd, &answer, "data: 1\n\n"));
	// The server ends it: what was sent still arrives.
	assert_true(http_stream_send(held_stream, "data: 2\n\n", 9));
	http_stream_close(held_stream);
	assert_int_equal(closed_calls, 1);
	assert_int_equal(freed_contexts, 1);
	listen_for(fd, &answer, true, false);
	assert_non_null(strstr(answer.data, "data: 2\n\n"));
	(void)close(fd);
	for (int i = 0; i < 10; i++)
		turn();
	assert_int_equal(closed_calls, 1);
	assert_false(http_stream_send(NULL, "x", 1));
	http_stream_close(NULL);
}

static void test_stream_left_by_the_client(void **state)
{
	struct buf auto_buf answer;
	int fd = start_stream(&answer);
	(void)close(fd);
	UNTIL(closed_calls == 1);
	assert_int_equal(freed_contexts, 1);
}

static void test_stream_too_far_behind(void **state)
{
	char event[4096];
	struct buf auto_buf answer;
	int fd = start_stream(&answer);
	memset(event, 'x', sizeof(event));
	struct http_stream *stream = held_stream;
	int sent = 0;
	// The client reads nothing: the kernel takes some, then HTTP_STREAM_UNSENT_MAX are kept, and no more.
	while (http_stream_send(stream, event, sizeof(event))) {
		assert_true(++sent < 4096);
		if (sent % 16 == 0)
			turn();
	}
	assert_true(sent * sizeof(event) >= HTTP_STREAM_UNSENT_MAX - sizeof(event));
	assert_int_equal(closed_calls, 0); // not within the call
	assert_false(http_stream_send(stream, event, sizeof(event)));
	UNTIL(closed_calls == 1);
	(void)close(fd);
}

static void test_server_ends_with_a_stream(void **state)
{
	struct buf auto_buf answer;
	int fd = start_stream(&answer);
	http_server_free(server);
	server = NULL;
	assert_int_equal(closed_calls, 1);
	(void)close(fd);
}

static int setup_strict(void **state)
{
	struct http_options given = options();
	given.timeout_ms = 150;
	given.connections_max = 3;
	return open_server(&given);
}

static void test_slow_clients_are_cut(void **state)
{
	struct buf auto_buf answer;
	struct buf auto_buf nothing;
	buf_init(&answer, 4096);
	buf_init(&nothing, 4096);
	// Idle from the start: closed without a word.
	int fd = dial();
	listen_for(fd, &nothing, true, false);
	assert_int_equal(nothing.len_bytes, 0);
	(void)close(fd);
	// A byte now and then does not help.
	fd = dial();
	int64_t start_ms = clock_mono_ms();
	while (hear(fd, &answer) == 0 && clock_mono_ms() - start_ms < PROCESS_DEADLINE_MS)
		say(fd, "G", 1);
	listen_for(fd, &answer, true, false);
	assert_int_equal(status_of(&answer), 408);
	(void)close(fd);
	// Nor in a body.
	struct buf auto_buf body;
	assert_int_equal(ASK(HEAD("POST /echo") "Content-Length: 900\r\n\r\nabc", true, &body), 408);
}

static void test_connection_ceiling(void **state)
{
	static const char text[] = HEAD("GET /hold") "\r\n";
	static const char hello[] = HEAD("GET /hello") "\r\n";
	int fds[4];
	struct http_request *requests[3];
	struct buf auto_buf answer;
	buf_init(&answer, 4096);
	for (int i = 0; i < 3; i++) {
		fds[i] = dial();
		say(fds[i], text, sizeof(text) - 1);
		UNTIL(handler_calls == i + 1);
		requests[i] = held;
	}
	fds[3] = dial(); // in the kernel's queue
	say(fds[3], hello, sizeof(hello) - 1);
	for (int i = 0; i < 20; i++)
		turn();
	assert_int_equal(handler_calls, 3);
	(void)close(fds[0]);
	http_reply(requests[0], 200, "text/plain", "x", 1);
	listen_for(fds[3], &answer, false, false);
	assert_int_equal(status_of(&answer), 200);
	for (int i = 1; i < 3; i++)
		http_reply(requests[i], 200, "text/plain", "x", 1);
	for (int i = 1; i < 4; i++)
		(void)close(fds[i]);
}

// --- TLS -------------------------------------------------------------------------------------------------------

static int setup_tls(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", NULL};
	struct pki_subject subject = {
		.profile = PKI_SERVER, .name = "127.0.0.1", .hosts = hosts, .lifetime_s = 86400};
	struct error error = {0};
	if (scratch_setup(state) != 0)
		return -1;
	auto_free char *ca_path = scratch_path(state, "ca.pem");
	auto_free char *ca_key_path = scratch_path(state, "ca.key");
	auto_free char *cert_path = scratch_path(state, "server.pem");
	auto_free char *key_path = scratch_path(state, "server.key");
	if (!pki_ca_create(ca_path, ca_key_path, "Test CA", 30, &error) || !pki_key_create(key_path, &error))
		return -1;
	struct pki_ca *ca = pki_ca_load(ca_path, ca_key_path, &error);
	auto_free char *csr = pki_csr_create(key_path, "x", &error);
	auto_free char *pem = ca && csr ? pki_issue(ca, csr, &subject, NULL, &error) : NULL;
	pki_ca_free(ca);
	if (!pem || !file_write(cert_path, pem, strlen(pem), 0600, &error))
		return -1;
	struct http_options given = options();
	given.cert_file = cert_path;
	given.key_file = key_path;
	return open_server(&given);
}

static int teardown_tls(void **state)
{
	(void)teardown(state);
	return scratch_teardown(state);
}

// In a process of its own: connects with at most the given version, asks, and exits with the status / 10.
static int tls_ask(int version, const char *text, const char *wanted)
{
	int port = http_server_port(server);
	pid_t pid = fork();
	if (pid == 0) {
		char answer[8192];
		size_t got = 0;
		SSL_CTX *context = SSL_CTX_new(TLS_client_method());
		SSL_CTX_set_security_level(context, 0);
		SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
		SSL_CTX_set_max_proto_version(context, version);
		SSL *ssl = SSL_new(context);
		SSL_set_fd(ssl, process_connect(port));
		if (SSL_connect(ssl) != 1)
			_exit(1);
		if (SSL_write(ssl, text, (int)strlen(text)) <= 0)
			_exit(2);
		for (;;) {
			int more = SSL_read(ssl, answer + got, (int)(sizeof(answer) - 1 - got));
			if (more <= 0)
				break;
			got += (size_t)more;
		}
		answer[got] = '\0';
		// An orderly end: close_notify.
		bool whole = SSL_get_shutdown(ssl) & SSL_RECEIVED_SHUTDOWN;
		_exit(!whole ? 3 : strstr(answer, wanted) ? 0 : 4);
	}
	int status = 0;
	UNTIL(waitpid(pid, &status, WNOHANG) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_tls(void **state)
{
	static const char text[] = HEAD("POST /echo") "Connection: close\r\nContent-Length: 3\r\n\r\nabc";
	assert_int_equal(tls_ask(TLS1_3_VERSION, text, "\r\n\r\nabc"), 0);
	assert_int_equal(tls_ask(TLS1_3_VERSION, text, "Strict-Transport-Security: max-age=31536000"), 0);
	assert_int_equal(tls_ask(TLS1_2_VERSION, text, "\r\n\r\nabc"), 0);
	assert_int_equal(tls_ask(TLS1_1_VERSION, text, ""), 1);
	// A refusal while the client still sends reaches it all the same.
	assert_int_equal(tls_ask(TLS1_3_VERSION, HEAD("POST /echo") "Content-Length: 99999\r\n\r\nabc", "413"), 0);
	// Not TLS at all.
	struct buf auto_buf answer;
	(void)ASK(HEAD("GET /hello") "\r\n", true, &answer);
	assert_null(strstr(buf_str(&answer), "HTTP"));
}

static void test_tls_client_leaves(void **state)
{
	static const char text[] = HEAD("GET /hold") "\r\n";
	int port = http_server_port(server);
	pid_t pid = fork();
	if (pid == 0) {
		SSL *ssl = SSL_new(SSL_CTX_new(TLS_client_method()));
		SSL_set_fd(ssl, process_connect(port));
		bool ok = SSL_connect(ssl) == 1 && SSL_write(ssl, text, sizeof(text) - 1) > 0;
		_exit(ok ? 0 : 1);
	}
	int status = 0;
	UNTIL(held);
	UNTIL(waitpid(pid, &status, WNOHANG) == pid);
	assert_int_equal(status, 0);
	for (int i = 0; i < 10; i++)
		turn();
	http_reply(held, 200, "text/plain", "x", 1);
	assert_int_equal(freed_contexts, 1);
	for (int i = 0; i < 10; i++)
		turn();
}

static void test_bad_options(void **state)
{
	struct error error = {0};
	struct http_options given = options();
	given.address = "not an address";
	assert_null(http_server_new(loop, &given, &error));
	given = options();
	given.port = http_server_port(server);
	assert_null(http_server_new(loop, &given, &error)); // taken
	given = options();
	given.cert_file = given.key_file = "/nonexistent";
	assert_null(http_server_new(loop, &given, &error));
	assert_non_null(strstr(error.what, "certificate"));
	http_server_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define STRICT_TEST(name) cmocka_unit_test_setup_teardown(name, setup_strict, teardown)
#define TLS_TEST(name) cmocka_unit_test_setup_teardown(name, setup_tls, teardown_tls)

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		TEST(test_answer_and_headers),
		TEST(test_request_id_is_made),
		TEST(test_own_headers),
		TEST(test_parts_of_a_request),
		TEST(test_routing),
		TEST(test_head),
		TEST(test_bodies),
		TEST(test_json),
		TEST(test_refused),
		TEST(test_continue),
		TEST(test_byte_by_byte),
		TEST(test_pipeline_and_keep_alive),
		TEST(test_big_answer_and_half_close),
		TEST(test_deferred_answer),
		TEST(test_client_leaves_before_the_answer),
		TEST(test_server_leaves_before_the_answer),
		TEST(test_stream),
		TEST(test_stream_left_by_the_client),
		TEST(test_stream_too_far_behind),
		TEST(test_server_ends_with_a_stream),
		TEST(test_bad_options),
		STRICT_TEST(test_slow_clients_are_cut),
		STRICT_TEST(test_connection_ceiling),
		TLS_TEST(test_tls),
		TLS_TEST(test_tls_client_leaves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
