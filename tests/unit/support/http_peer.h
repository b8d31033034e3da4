// An HTTP server with handlers for tests, and a client of raw sockets, both driven from one loop in one process.
#pragma once

#include "common/clock.h"
#include "common/http.h"
#include "common/limits.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/process.h"

static struct loop *loop;
static struct http_server *server;
static struct http_request *held;	// /hold keeps its request here
static struct http_stream *held_stream; // /stream
static int closed_calls;
static int handler_calls;
static int after_calls;
static int after_status;
static char after_pattern[64];
static int freed_contexts;

static inline void turn(void)
{
	struct error error = {0};
	assert_true(loop_run_once(loop, 5, &error));
}

#define UNTIL(condition)                                                                                               \
	do {                                                                                                           \
		int64_t until_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;                                              \
		while (!(condition)) {                                                                                 \
			if (clock_mono_ms() > until_ms)                                                                \
				fail_msg("never came: %s", #condition);                                                \
			turn();                                                                                        \
		}                                                                                                      \
	} while (0)

// --- handlers --------------------------------------------------------------------------------------------------

static inline void free_context(void *context)
{
	freed_contexts++;
	free(context);
}

static inline void on_hello(struct http_request *request, void *user)
{
	handler_calls++;
	http_reply(request, 200, "text/plain", "hello", 5);
}

static inline void on_echo(struct http_request *request, void *user)
{
	size_t len_bytes;
	const char *body = http_body(request, &len_bytes);
	handler_calls++;
	assert_int_equal(body[len_bytes], '\0');
	http_reply(request, 201, "application/octet-stream", body, len_bytes);
}

static inline void on_device(struct http_request *request, void *user)
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

static inline void on_json(struct http_request *request, void *user)
{
	handler_calls++;
	struct json *json = http_body_json(request);
	if (json)
		http_reply_json(request, 200, json);
}

static inline void on_headers(struct http_request *request, void *user)
{
	http_reply_header(request, "Content-Security-Policy", "default-src 'self'");
	http_reply_header(request, "cache-control", "max-age=60");
	http_reply_header(request, "Set-Cookie", "a=1");
	http_reply_header(request, "Set-Cookie", "b=2");
	http_reply_header(request, "X-Bad", "x\r\nX-Injected: 1");
	http_reply_header(request, "X\r\nInjected", "1");
	http_reply(request, 204, NULL, NULL, 0);
}

static inline void on_big(struct http_request *request, void *user)
{
	size_t len_bytes = 3 << 20;
	char *text = malloc(len_bytes);
	assert_non_null(text);
	memset(text, 'x', len_bytes);
	http_reply(request, 200, "text/plain", text, len_bytes);
	free(text);
}

static int released;

static inline void on_release(void *user)
{
	released++;
	free(user);
}

static inline void on_shared(struct http_request *request, void *user)
{
	size_t len_bytes = 3 << 20;
	char *text = malloc(len_bytes);
	assert_non_null(text);
	memset(text, 'y', len_bytes);
	http_reply_shared(request, 200, "text/plain", text, len_bytes, on_release, text);
}

#define KEPT_BYTES 2000
static char kept[KEPT_BYTES + 1]; // what /kept answers

static inline void on_kept(struct http_request *request, void *user)
{
	http_reply(request, 200, "application/json", kept, strlen(kept));
}

static inline void on_hold(struct http_request *request, void *user)
{
	handler_calls++;
	held = request;
}

static inline void on_closed(void *user)
{
	assert_ptr_equal(user, &closed_calls);
	closed_calls++;
	held_stream = NULL;
}

// What a handler must not do, and does no harm by.
static inline void on_twice(struct http_request *request, void *user)
{
	http_reply_problem(request, 404, "There is none.");
	assert_string_equal(http_query(request, "q"), "1");
	assert_non_null(http_context(request));
	http_reply(request, 200, "text/plain", "hello", 5);
	http_reply_shared(request, 200, "text/plain", "hello", 5, on_release, malloc(1));
	http_reply_file(request, "text/plain", dup(0), "\"x\"");
	assert_null(http_stream_start(request, on_closed, &closed_calls));
}

static inline void on_stream(struct http_request *request, void *user)
{
	held_stream = http_stream_start(request, on_closed, &closed_calls);
	if (held_stream)
		assert_true(http_stream_send(held_stream, ": hi\n\n", 6));
}

static inline bool before(struct http_request *request, void *user)
{
	http_set_context(request, malloc(1), free_context);
	if (!http_header(request, "X-Deny"))
		return true;
	http_reply_problem(request, 401, "Log in.");
	return false;
}

static inline void after(struct http_request *request, int status, int64_t duration_us, void *user)
{
	assert_true(duration_us >= 0);
	after_calls++;
	after_status = status;
	(void)snprintf(after_pattern, sizeof(after_pattern), "%s", http_route_pattern(request));
}

static const struct http_route routes[] = {
	{"GET", "/", on_hello, 0},
	{"GET", "/hello", on_hello, 0},
	{"GET", "/twice", on_twice, 0},
	{"POST", "/echo", on_echo, 0},
	{"PUT", "/echo", on_echo, 0},
	{"GET", "/devices/{id}/parts/{part}", on_device, 7},
	{"POST", "/json", on_json, 0},
	{"GET", "/headers", on_headers, 0},
	{"GET", "/big", on_big, 0},
	{"GET", "/shared", on_shared, 0},
	{"GET", "/hold", on_hold, 0},
	{"GET", "/kept", on_kept, 16},
	{"GET", "/secret", on_kept, 1},
	{"POST", "/kept", on_kept, 0},
	{"GET", "/stream", on_stream, 0},
};

static inline struct http_options options(void)
{
	return (struct http_options){.address = "127.0.0.1",
				     .body_max_bytes = 1000,
				     .routes = routes,
				     .route_count = sizeof(routes) / sizeof(routes[0]),
				     .before = before,
				     .after = after};
}

static inline int open_server(const struct http_options *given)
{
	struct error error = {0};
	loop = loop_new(&error);
	assert_non_null(loop);
	server = http_server_new(loop, given, &error);
	if (!server)
		fail_msg("%s", error.what);
	held = NULL;
	held_stream = NULL;
	released = closed_calls = handler_calls = after_calls = freed_contexts = 0;
	return 0;
}

static inline int setup(void **state)
{
	struct http_options given = options();
	return open_server(&given);
}

static inline int teardown(void **state)
{
	http_server_free(server);
	loop_free(loop);
	server = NULL;
	return 0;
}

// --- a client --------------------------------------------------------------------------------------------------

static inline int dial(void)
{
	int fd = process_connect(http_server_port(server));
	assert_true(fd >= 0);
	return fd;
}

static inline void say(int fd, const char *text, size_t len_bytes)
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
static inline int hear(int fd, struct buf *out)
{
	char piece[65536];
	ssize_t got = recv(fd, piece, sizeof(piece), MSG_DONTWAIT);
	if (got > 0)
		return buf_add(out, piece, (size_t)got) ? 1 : -1;
	if (got < 0 && errno == EAGAIN)
		return 0;
	return -1;
}

static inline bool whole_answer(const struct buf *answer, bool head_only)
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
static inline void listen_for(int fd, struct buf *out, bool until_closed, bool head_only)
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

static inline int status_of(const struct buf *answer)
{
	if (strncmp(buf_str(answer), "HTTP/1.1 ", 9) != 0)
		return -1;
	return (int)strtol(answer->data + 9, NULL, 10);
}

static inline const char *body_of(const struct buf *answer)
{
	const char *end = strstr(buf_str(answer), "\r\n\r\n");
	return end ? end + 4 : "";
}

static inline bool has_header(const struct buf *answer, const char *line)
{
	char wanted[256];
	(void)snprintf(wanted, sizeof(wanted), "\r\n%s\r\n", line);
	const char *found = strcasestr(buf_str(answer), wanted);
	return found && found < body_of(answer);
}

// Sends text on a new connection; the answer's status. The answer, to the end of the connection if closed, is in *out.
static inline int ask(const char *text, size_t len_bytes, bool closed, struct buf *out)
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
