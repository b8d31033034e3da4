#include "common/pki.h"
#include "tests/unit/support/http_peer.h"

#include <openssl/ssl.h>

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
	(void)snprintf(large_chunk, sizeof(large_chunk),
		       HEAD("POST /echo") "Transfer-Encoding: chunked\r\n\r\n400\r\n%01024d", 0);
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

// Released once: when the client has it all, when it only asks for the head, and when it goes away.
static void test_shared_answer(void **state)
{
	struct buf auto_buf answer;
	buf_init(&answer, 16 << 20);
	assert_int_equal(ASK(HEAD("GET /shared") "Connection: close\r\n\r\n", true, &answer), 200);
	assert_int_equal(strspn(body_of(&answer), "y"), 3 << 20);
	UNTIL(released == 1);

	struct buf auto_buf head;
	assert_int_equal(ASK(HEAD("HEAD /shared") "Connection: close\r\n\r\n", true, &head), 200);
	assert_true(has_header(&head, "Content-Length: 3145728"));
	assert_string_equal(body_of(&head), "");
	UNTIL(released == 2);

	int fd = dial();
	static const char text[] = HEAD("GET /shared") "\r\n";
	say(fd, text, sizeof(text) - 1);
	UNTIL(hear(fd, &head) > 0);
	assert_int_equal(released, 2);
	(void)close(fd);
	UNTIL(released == 3);
}

// The value of "ETag: " in an answer, with its quotation marks.
static void etag_of(const struct buf *answer, char out[64])
{
	const char *at = strstr(answer->data, "\r\nETag: ");
	assert_non_null(at);
	(void)snprintf(out, 64, "%.*s", (int)strcspn(at + 8, "\r"), at + 8);
}

static int ask_kept(const char *method_path, const char *tag, bool gzip, struct buf *answer)
{
	char text[512];
	(void)snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: h\r\nConnection: close\r\n%s%s%s%s\r\n", method_path,
		       gzip ? "Accept-Encoding: gzip\r\n" : "", tag ? "If-None-Match: " : "", tag ? tag : "", tag ? "\r\n" : "");
	return ask(text, strlen(text), true, answer);
}

// What a client has it is not sent again, in either encoding; changed it is, and no other route has any of this.
static void test_entity_tags(void **state)
{
	struct buf auto_buf plain, auto_buf packed, auto_buf again, auto_buf other;
	char tag[64], packed_tag[64], list[160];
	memset(kept, 'k', KEPT_BYTES);
	assert_int_equal(ask_kept("GET /kept", NULL, false, &plain), 200);
	assert_true(has_header(&plain, "Cache-Control: private, no-cache"));
	assert_true(has_header(&plain, "Vary: Accept-Encoding"));
	etag_of(&plain, tag);
	assert_int_equal(ask_kept("GET /kept", tag, true, &packed), 200); // another representation
	assert_true(has_header(&packed, "Content-Encoding: gzip"));
	etag_of(&packed, packed_tag);
	assert_string_not_equal(tag, packed_tag);

	(void)snprintf(list, sizeof(list), "\"x\", W/%s", packed_tag);
	assert_int_equal(ask_kept("GET /kept", list, true, &again), 304);
	assert_string_equal(body_of(&again), "");
	assert_null(strstr(again.data, "Content-Length"));
	assert_true(has_header(&again, "Vary: Accept-Encoding"));
	etag_of(&again, list);
	assert_string_equal(list, packed_tag);
	buf_done(&again);
	assert_int_equal(ask_kept("HEAD /kept", tag, false, &again), 304);

	kept[0] = 'K';
	assert_int_equal(ask_kept("GET /kept", tag, false, &other), 200);
	static const char *const bare[] = {"GET /secret", "POST /kept"};
	for (size_t i = 0; i < 2; i++) {
		buf_done(&other);
		assert_int_equal(ask_kept(bare[i], "*", false, &other), 200);
		assert_true(has_header(&other, "Cache-Control: no-store"));
		assert_null(strstr(other.data, "ETag"));
	}
}

static int setup_keeping(void **state)
{
	struct http_options given = options();
	given.compress = true;
	given.keep_tag = 16;
	return open_server(&given);
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

static void test_answered_twice(void **state)
{
	static const char text[] = HEAD("GET /twice?q=1") "\r\n" HEAD("GET /hello") "Connection: close\r\n\r\n";
	struct buf auto_buf answers;
	assert_int_equal(ASK(text, true, &answers), 404);
	const char *second = strstr(answers.data + 1, "HTTP/1.1 ");
	assert_non_null(second);
	assert_int_equal(strncmp(second, "HTTP/1.1 200", 12), 0);
	assert_null(strstr(second + 1, "HTTP/1.1 "));
	assert_int_equal(after_calls, 2);
	assert_int_equal(freed_contexts, 2);
	assert_int_equal(released, 1);
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

// Each of many streams gets it whole, also what is sent after the maker has let go of it; one that reads nothing holds
// up nobody.
static void test_frames_are_shared(void **state)
{
	enum { STREAMS = 3, FRAMES = 40 };
	struct http_stream *streams[STREAMS];
	struct buf answers[STREAMS];
	int fds[STREAMS];
	char text[8192];
	memset(text, 'x', sizeof(text));
	for (int i = 0; i < STREAMS; i++) {
		held_stream = NULL;
		fds[i] = start_stream(&answers[i]);
		streams[i] = held_stream;
	}
	for (int n = 0; n < FRAMES; n++) {
		struct http_frame *frame = http_frame_new(text, sizeof(text));
		assert_non_null(frame);
		for (int i = 0; i < STREAMS; i++)
			(void)http_stream_send_frame(streams[i], frame);
		http_frame_free(frame);
		for (int i = 0; i < STREAMS - 1; i++)
			(void)heard(fds[i], &answers[i], "none");
		turn();
	}
	struct http_frame *last = http_frame_new("data: last\n\n", 12);
	for (int i = 0; i < STREAMS - 1; i++)
		assert_true(http_stream_send_frame(streams[i], last));
	http_frame_free(last);
	for (int i = 0; i < STREAMS - 1; i++) {
		UNTIL(heard(fds[i], &answers[i], "data: last\n\n"));
		assert_int_equal(strlen(strchr(body_of(&answers[i]), 'x')), FRAMES * sizeof(text) + 12);
	}
	for (int i = 0; i < STREAMS; i++) {
		(void)close(fds[i]);
		buf_done(&answers[i]);
	}
	UNTIL(closed_calls == STREAMS);
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
	while (hear(fd, &answer) == 0 && clock_mono_ms() - start_ms < PROCESS_DEADLINE_MS) {
		say(fd, "G", 1);
		process_pause();
	}
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

static int crowded_calls;

static void on_crowded(const char *peer, void *user)
{
	crowded_calls++;
	assert_string_equal(peer, "127.0.0.1");
}

static bool before_known(struct http_request *request, void *user)
{
	if (http_header(request, "X-Known"))
		http_known(request);
	return true;
}

static char loopback[] = "127.0.0.0/8";
static char *own_proxies[] = {loopback, NULL};

static int setup_crowd(bool proxy)
{
	struct http_options given = options();
	given.unknown_max = 2;
	given.crowded = on_crowded;
	given.before = before_known;
	given.proxies = proxy ? own_proxies : NULL;
	crowded_calls = 0;
	return open_server(&given);
}

static int setup_crowded(void **state)
{
	return setup_crowd(false);
}

static int setup_proxied(void **state)
{
	return setup_crowd(true);
}

// Two that say nothing keep a third from the same address out, those that are known do not.
static void test_address_ceiling(void **state)
{
	static const char known[] = HEAD("GET /hello") "X-Known: 1\r\n\r\n";
	struct buf auto_buf answer;
	int fds[4];
	buf_init(&answer, 4096);
	for (int i = 0; i < 2; i++) {
		fds[i] = dial();
		say(fds[i], known, sizeof(known) - 1);
		buf_clear(&answer);
		listen_for(fds[i], &answer, false, false);
		assert_int_equal(status_of(&answer), 200);
	}
	for (int i = 2; i < 4; i++)
		fds[i] = dial();
	int extra = dial();
	UNTIL(crowded_calls == 1);
	buf_clear(&answer);
	listen_for(extra, &answer, true, false);
	assert_int_equal(answer.len_bytes, 0);
	(void)close(extra);
	(void)close(fds[2]); // makes room
	int status = -1;
	for (int64_t end_ms = clock_mono_ms() + PROCESS_DEADLINE_MS; status != 200 && clock_mono_ms() < end_ms;) {
		struct buf auto_buf again;
		status = ASK(HEAD("GET /hello") "Connection: close\r\n\r\n", true, &again);
	}
	assert_int_equal(status, 200);
	(void)close(fds[0]);
	(void)close(fds[1]);
	(void)close(fds[3]);
}

// A proxy has as many connections as it likes, and is taken at its word; X-Forwarded-For of others is not.
static void test_clients_of_proxies(void **state)
{
	static const char asks[] = HEAD("GET /devices/a/parts/b") "X-Forwarded-For: 127.0.0.9, 203.0.113.9\r\n\r\n";
	int fds[3];
	for (int i = 0; i < 3; i++)
		fds[i] = dial();
	struct buf auto_buf answer;
	assert_int_equal(ASK(asks, false, &answer), 200);
	assert_non_null(strstr(answer.data, " peer=203.0.113.9 "));
	assert_int_equal(crowded_calls, 0);
	for (int i = 0; i < 3; i++)
		(void)close(fds[i]);
}

static void test_nobody_is_a_proxy(void **state)
{
	struct buf auto_buf answer;
	assert_int_equal(ASK(HEAD("GET /devices/a/parts/b") "X-Forwarded-For: 203.0.113.9\r\n\r\n", false, &answer), 200);
	assert_non_null(strstr(answer.data, " peer=127.0.0.1 "));
}

// --- TLS -------------------------------------------------------------------------------------------------------

static int setup_tls(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", NULL};
	struct pki_subject subject = {.profile = PKI_SERVER, .name = "127.0.0.1", .hosts = hosts, .lifetime_s = 86400};
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
#define CROWD_TEST(name, its_setup) cmocka_unit_test_setup_teardown(name, its_setup, teardown)
#define TLS_TEST(name) cmocka_unit_test_setup_teardown(name, setup_tls, teardown_tls)

int main(void)
{
	(void)signal(SIGPIPE, SIG_IGN);
	const struct CMUnitTest tests[] = {
		TEST(test_refused),
		TEST(test_continue),
		TEST(test_byte_by_byte),
		TEST(test_pipeline_and_keep_alive),
		TEST(test_big_answer_and_half_close),
		TEST(test_shared_answer),
		cmocka_unit_test_setup_teardown(test_entity_tags, setup_keeping, teardown),
		TEST(test_deferred_answer),
		TEST(test_answered_twice),
		TEST(test_client_leaves_before_the_answer),
		TEST(test_server_leaves_before_the_answer),
		TEST(test_stream),
		TEST(test_stream_left_by_the_client),
		TEST(test_stream_too_far_behind),
		TEST(test_frames_are_shared),
		TEST(test_server_ends_with_a_stream),
		TEST(test_bad_options),
		STRICT_TEST(test_slow_clients_are_cut),
		STRICT_TEST(test_connection_ceiling),
		CROWD_TEST(test_address_ceiling, setup_crowded),
		CROWD_TEST(test_clients_of_proxies, setup_proxied),
		CROWD_TEST(test_nobody_is_a_proxy, setup_crowded),
		TLS_TEST(test_tls),
		TLS_TEST(test_tls_client_leaves),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
