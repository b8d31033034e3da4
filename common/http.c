// Connections, over libevent's bufferevents (plain, or OpenSSL's). evhttp is not used: libevent 2.1 answers
// malformed requests by itself, without our headers, and leaves no way to refuse a request before its body, to bound
// the time of a whole request, or to count connections.
//
// A connection works on one request at a time:
//
//   READING_HEAD -> READING_BODY -> ANSWERING [-> SENDING] -> READING_HEAD (keep-alive) | STREAMING | CLOSING ->
//   LINGERING
//
// Bufferevent callbacks are deferred, so nothing that a handler calls can free the connection under it: that happens
// only in the four callbacks at the end of this file and in http_server_free. A request outlives its connection until
// it is answered.
#include "common/http.h"

#include "common/http_internal.h"
#include "common/http_tls.h"
#include "common/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	INPUT_MAX_BYTES = 64 * 1024,   // read ahead of the request at work
	LINGER_MS = 2000,
	ACCEPT_PAUSE_MS = 1000, // after running out of descriptors
	BODY_MIN_RATE = 4096,	// bytes per second: a body may take timeout_ms and its size over this
	STREAM_NOTSENT_BYTES = 64 * 1024,
	BACKLOG = 512,
	FRAME_SHARED_MIN_BYTES = 512, // a reference takes about as much
};

struct http_server {
	struct event_base *base;
	struct http_options options;
	struct http_tls *tls; // NULL: plain
	struct evconnlistener *listener;
	struct event *accept_timer;
	struct http_connection *connections;
	int connection_count;
	struct http_request *requests; // all that are not answered
	int port;
};

static int64_t now_us(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct evbuffer *output_of(const struct http_connection *connection)
{
	return bufferevent_get_output(connection->bev);
}

void http_deadline(struct http_connection *connection, int64_t ms)
{
	struct timeval after = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000) * 1000};
	connection->unsent_bytes = evbuffer_get_length(output_of(connection));
	(void)event_add(connection->timer, &after); // its slot in the timer heap was taken at the start
}

// --- ending a connection -------------------------------------------------------------------------------------------

static void accept_again(struct http_server *server)
{
	if (server->listener && !evtimer_pending(server->accept_timer, NULL) &&
	    server->connection_count < server->options.connections_max)
		(void)evconnlistener_enable(server->listener);
}

static void end_stream(struct http_stream *stream)
{
	if (stream->closing)
		return;
	stream->closing = true;
	if (stream->closed)
		stream->closed(stream->user);
	http_request_free(steal(stream->request));
}

static void connection_free(struct http_connection *connection)
{
	struct http_server *server = connection->server;
	if (connection->state == STREAMING)
		end_stream(&connection->stream);
	if (connection->state == SENDING)
		(void)close(connection->piece.fd);
	if (connection->request)
		connection->request->connection = NULL; // its handler answers it into the void
	*connection->link = connection->next;
	if (connection->next)
		connection->next->link = connection->link;
	server->connection_count--;
	event_free(connection->timer);
	bufferevent_free(connection->bev);
	free(connection);
	accept_again(server);
}

// Closing outright while the client still sends would make the kernel reset the connection, and the answer with it.
static void start_linger(struct http_connection *connection)
{
	connection->state = LINGERING;
	SSL *ssl = bufferevent_openssl_get_ssl(connection->bev);
	if (ssl)
		(void)SSL_shutdown(ssl);
	ERR_clear_error();
	(void)shutdown(bufferevent_getfd(connection->bev), SHUT_WR);
	http_deadline(connection, connection->half_closed ? 0 : LINGER_MS);
}

static void close_gracefully(struct http_connection *connection)
{
	connection->state = CLOSING;
	if (evbuffer_get_length(output_of(connection)) == 0)
		start_linger(connection);
	else
		http_deadline(connection, connection->server->options.timeout_ms);
}

// --- answering -----------------------------------------------------------------------------------------------------

void http_report(struct http_request *request, int status)
{
	const struct http_server *server = request->server;
	if (server && server->options.after)
		server->options.after(request, status, now_us() - request->start_us, server->options.user);
}

// An answer's body. release NULL: it is copied; otherwise it stays the caller's until then.
struct answer_body {
	const void *data;
	size_t len_bytes;
	void (*release)(void *user);
	void *user;
};

static void on_released(const void *data, size_t len_bytes, void *user)
{
	struct answer_body *body = user;
	body->release(body->user);
	free(body);
}

static bool add_body(struct evbuffer *answer, const struct answer_body *body)
{
	if (!body->release)
		return evbuffer_add(answer, body->data, body->len_bytes) == 0;
	struct answer_body *shared = malloc(sizeof(*shared));
	if (!shared)
		return false;
	*shared = *body;
	if (evbuffer_add_reference(answer, body->data, body->len_bytes, on_released, shared) == 0)
		return true;
	free(shared);
	return false;
}

// Returns whether it has taken the body over.
static bool send_answer(struct http_request *request, int status, const char *content_type,
			const struct answer_body *body)
{
	struct http_connection *connection = request->connection;
	struct buf auto_buf head;
	buf_init(&head, HTTP_REPLY_HEADERS_MAX + 2048);
	http_reply_head(request, &head, status, content_type, (int64_t)body->len_bytes, request->close);

	struct evbuffer *output = output_of(connection);
	bool with_body = strcmp(request->head.method, "HEAD") != 0 && status != 204 && status != 304 &&
			 body->len_bytes > 0;
	// One piece, so that a small answer is one TLS record.
	struct evbuffer *answer = evbuffer_new();
	bool ok = answer && !head.overflowed && evbuffer_add(answer, head.data, head.len_bytes) == 0;
	bool taken = ok && with_body && add_body(answer, body);
	ok = ok && (taken || !with_body) && evbuffer_add_buffer(output, answer) == 0;
	if (answer)
		evbuffer_free(answer);
	if (!ok)
		request->close = true; // out of memory: the client sees the connection end
	return taken;
}

static void reply_with(struct http_request *request, int status, const char *content_type,
		       const struct answer_body *body)
{
	struct http_connection *connection = request->connection;
	bool taken = false;
	if (request->done) {
		if (body->release)
			body->release(body->user);
		return;
	}
	if (connection) {
		if (connection->half_closed)
			request->close = true;
		taken = send_answer(request, status, content_type, body);
		connection->request = NULL;
	}
	if (body->release && !taken)
		body->release(body->user);
	http_report(request, status);
	bool close = request->close;
	http_request_free(request);
	if (connection)
		http_finish_answer(connection, close);
}

void http_reply(struct http_request *request, int status, const char *content_type, const void *body, size_t len_bytes)
{
	auto_buf struct buf packed = {0};
	struct answer_body copied = {.data = body, .len_bytes = len_bytes};
	const struct http_options *options = request->server ? &request->server->options : NULL;
	bool pack = options && options->compress && http_compressible(request, content_type, len_bytes);
	if (options && (http_route_tag(request) & options->keep_tag) &&
	    http_unchanged(request, status, content_type, body, len_bytes, pack)) {
		static const struct answer_body nothing = {.data = NULL};
		reply_with(request, 304, NULL, &nothing);
		return;
	}
	if (pack && http_compress(request, body, len_bytes, &packed))
		copied = (struct answer_body){.data = packed.data, .len_bytes = packed.len_bytes};
	reply_with(request, status, content_type, &copied);
}

void http_reply_shared(struct http_request *request, int status, const char *content_type, const void *body,
		       size_t len_bytes, void (*release)(void *user), void *user)
{
	const struct answer_body shared = {body, len_bytes, release, user};
	reply_with(request, status, content_type, &shared);
}

static void refuse(struct http_request *request, int status, const char *detail)
{
	request->close = true;
	http_reply_problem(request, status, detail);
}

// --- reading -------------------------------------------------------------------------------------------------------

static void dispatch(struct http_connection *connection)
{
	struct http_request *request = connection->request;
	const struct http_options *options = &connection->server->options;
	connection->state = ANSWERING;
	(void)event_del(connection->timer); // how long the answer takes is the handler's business
	request->in_handler = true;
	const struct http_route *route = http_request_route(request, options->routes, options->route_count);
	if (route && (!options->before || options->before(request, options->user)))
		route->handler(request, options->user);
	request->in_handler = false;
	if (request->done)
		http_request_free(request);
}

static struct http_request *make_request(struct http_connection *connection, char *text, size_t len_bytes,
					 struct http_refusal *refusal)
{
	struct http_server *server = connection->server;
	struct http_request *request = http_request_new(text, len_bytes, server->options.body_max_bytes, refusal);
	if (!request)
		return NULL;
	request->connection = connection;
	request->server = server;
	request->tls = server->tls != NULL;
	request->start_us = now_us();
	memcpy(request->peer, connection->peer, sizeof(request->peer));
	if (http_peer_is_proxy(server->options.proxies, connection->peer))
		(void)http_peer_forwarded(server->options.proxies, &request->head, request->peer);
	request->next = server->requests;
	request->link = &server->requests;
	if (request->next)
		request->next->link = &request->next;
	server->requests = request;
	connection->request = request;
	return request;
}

static void start_body(struct http_connection *connection)
{
	struct http_request *request = connection->request;
	int64_t body_max_bytes = (int64_t)connection->server->options.body_max_bytes;
	if (request->head.content_length > body_max_bytes) {
		refuse(request, 413, "The body is larger than this server takes.");
		return;
	}
	if (!request->head.chunked && request->head.content_length == 0) {
		dispatch(connection);
		return;
	}
	connection->state = READING_BODY;
	connection->chunks = (struct http_chunks){0};
	int64_t expected_bytes = request->head.chunked ? body_max_bytes : request->head.content_length;
	http_deadline(connection, connection->server->options.timeout_ms + expected_bytes * 1000 / BODY_MIN_RATE);
	if (request->head.expect_continue && evbuffer_get_length(bufferevent_get_input(connection->bev)) == 0)
		(void)evbuffer_add_printf(output_of(connection), "HTTP/1.1 100 Continue\r\n\r\n");
}

// Answers a request whose head is not (all) there, or out of bounds.
static void refuse_early(struct http_connection *connection, int status, const char *detail)
{
	struct http_refusal ignored;
	struct http_request *request = make_request(connection, strdup("\r\n"), 2, &ignored);
	if (!request) {
		close_gracefully(connection);
		return;
	}
	connection->state = ANSWERING;
	refuse(request, status, detail);
}

static bool read_head(struct http_connection *connection)
{
	struct evbuffer *input = bufferevent_get_input(connection->bev);
	if (evbuffer_get_length(output_of(connection)) > HTTP_OUTPUT_MAX)
		return false; // on_written goes on
	char first[2];
	while (evbuffer_copyout(input, first, 2) == 2 && memcmp(first, "\r\n", 2) == 0)
		(void)evbuffer_drain(input, 2); // RFC 9112 section 2.2: empty lines before a request
	size_t waiting_bytes = evbuffer_get_length(input);
	if (waiting_bytes > 0 && !connection->head_started) {
		connection->head_started = true;
		http_deadline(connection, connection->server->options.timeout_ms);
	}
	struct evbuffer_ptr end = evbuffer_search(input, "\r\n\r\n", 4, NULL);
	size_t head_bytes = end.pos >= 0 ? (size_t)end.pos + 4 : waiting_bytes;
	if (head_bytes > HTTP_HEADERS_MAX_BYTES) {
		refuse_early(connection, 431, "The request line and headers are too long.");
		return true;
	}
	if (end.pos < 0)
		return false;

	char *text = malloc(head_bytes + 1);
	if (!text || evbuffer_remove(input, text, head_bytes) != (int)head_bytes) {
		free(text);
		close_gracefully(connection);
		return false;
	}
	text[head_bytes] = '\0';
	struct http_refusal refusal = {0};
	struct http_request *request = make_request(connection, text, head_bytes, &refusal);
	if (!request) {
		close_gracefully(connection);
		return false;
	}
	connection->state = ANSWERING;
	if (refusal.status != 0)
		refuse(request, refusal.status, refusal.detail);
	else
		start_body(connection);
	return true;
}

static bool read_plain_body(struct http_connection *connection)
{
	struct http_request *request = connection->request;
	struct evbuffer *input = bufferevent_get_input(connection->bev);
	while ((int64_t)request->body.len_bytes < request->head.content_length) {
		struct evbuffer_iovec piece;
		if (evbuffer_peek(input, -1, NULL, &piece, 1) < 1)
			return false;
		size_t left_bytes = (size_t)request->head.content_length - request->body.len_bytes;
		size_t take_bytes = piece.iov_len < left_bytes ? piece.iov_len : left_bytes;
		if (!buf_add(&request->body, piece.iov_base, take_bytes)) {
			refuse(request, 503, "The server is out of memory.");
			return true;
		}
		(void)evbuffer_drain(input, take_bytes);
	}
	dispatch(connection);
	return true;
}

static bool read_chunked_body(struct http_connection *connection)
{
	struct http_request *request = connection->request;
	struct evbuffer *input = bufferevent_get_input(connection->bev);
	for (;;) {
		size_t len_bytes = evbuffer_get_length(input);
		const char *data = len_bytes > 0 ? (const char *)evbuffer_pullup(input, (ev_ssize_t)len_bytes) : "";
		size_t used_bytes = 0;
		enum http_chunk_result result = http_chunks_next(&connection->chunks, data, len_bytes, &used_bytes);
		if (result == HTTP_CHUNK_BAD) {
			refuse(request, 400, "The chunked body is malformed.");
			return true;
		}
		if (result == HTTP_CHUNK_DATA && !buf_add(&request->body, data, used_bytes)) {
			refuse(request, 413, "The body is larger than this server takes.");
			return true;
		}
		(void)evbuffer_drain(input, used_bytes);
		if (result == HTTP_CHUNK_DONE) {
			dispatch(connection);
			return true;
		}
		if (used_bytes == 0)
			return false;
	}
}

// Works through what has been read. Handlers that answer at once come back here through http_finish_answer, and the
// loop goes on with the next request instead of nesting.
static void process(struct http_connection *connection)
{
	if (connection->processing)
		return;
	connection->processing = true;
	bool progress = true;
	while (progress) {
		switch (connection->state) {
		case READING_HEAD:
			progress = read_head(connection);
			break;
		case READING_BODY:
			progress = connection->request->head.chunked ? read_chunked_body(connection)
								     : read_plain_body(connection);
			break;
		case LINGERING:
		case CLOSING:
		case STREAMING: {
			struct evbuffer *input = bufferevent_get_input(connection->bev);
			(void)evbuffer_drain(input, evbuffer_get_length(input));
			progress = false;
			break;
		}
		default:
			progress = false;
			break;
		}
	}
	connection->processing = false;
}

void http_finish_answer(struct http_connection *connection, bool close)
{
	if (close) {
		close_gracefully(connection);
		return;
	}
	connection->state = READING_HEAD;
	connection->head_started = false;
	http_deadline(connection, connection->server->options.timeout_ms);
	process(connection);
}

// --- streams -------------------------------------------------------------------------------------------------------

struct http_stream *http_stream_start(struct http_request *request, void (*closed)(void *user), void *user)
{
	struct http_connection *connection = request->connection;
	if (!connection || connection->half_closed || strcmp(request->head.method, "HEAD") == 0) {
		http_reply(request, 200, "text/event-stream", NULL, 0);
		return NULL;
	}
	struct buf auto_buf head;
	buf_init(&head, HTTP_REPLY_HEADERS_MAX + 2048);
	http_reply_head(request, &head, 200, "text/event-stream", -1, true);
	(void)evbuffer_add(output_of(connection), buf_str(&head), head.len_bytes);
	http_report(request, 200);

	// Without this the kernel would take megabytes for a client that does not read.
	int unsent_bytes = STREAM_NOTSENT_BYTES;
	(void)setsockopt(bufferevent_getfd(connection->bev), IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent_bytes,
			 sizeof(unsent_bytes));
	(void)event_del(connection->timer);
	connection->request = NULL;
	connection->state = STREAMING;
	connection->stream =
		(struct http_stream){.connection = connection, .request = request, .closed = closed, .user = user};
	return &connection->stream;
}

static bool has_room(const struct http_stream *stream, size_t len_bytes)
{
	return !stream->cut && !stream->closing &&
	       evbuffer_get_length(output_of(stream->connection)) + len_bytes <= HTTP_STREAM_UNSENT_MAX;
}

// The timer frees it: the caller may be walking a list of streams.
static bool cut(struct http_stream *stream)
{
	if (!stream->cut && !stream->closing)
		http_deadline(stream->connection, 0);
	stream->cut = true;
	return false;
}

bool http_stream_send(struct http_stream *stream, const char *text, size_t len_bytes)
{
	return stream && ((has_room(stream, len_bytes) &&
			   evbuffer_add(output_of(stream->connection), text, len_bytes) == 0) || cut(stream));
}

static void on_frame_sent(const void *text, size_t len_bytes, void *frame)
{
	http_frame_free(frame);
}

bool http_stream_send_frame(struct http_stream *stream, struct http_frame *frame)
{
	if (!stream || frame->len_bytes < FRAME_SHARED_MIN_BYTES)
		return http_stream_send(stream, frame->text, frame->len_bytes);
	frame->holds++; // given back by on_frame_sent
	if (has_room(stream, frame->len_bytes) &&
	    evbuffer_add_reference(output_of(stream->connection), frame->text, frame->len_bytes, on_frame_sent,
				   frame) == 0)
		return true;
	frame->holds--;
	return cut(stream);
}

void http_stream_close(struct http_stream *stream)
{
	if (!stream || stream->closing)
		return;
	struct http_connection *connection = stream->connection;
	end_stream(stream);
	close_gracefully(connection);
}

// --- libevent's callbacks ------------------------------------------------------------------------------------------

static void on_read(struct bufferevent *bev, void *user)
{
	process(user);
}

static void on_written(struct bufferevent *bev, void *user)
{
	struct http_connection *connection = user;
	if (connection->state == CLOSING && evbuffer_get_length(output_of(connection)) == 0)
		start_linger(connection);
	else if (connection->state == SENDING)
		http_send_piece(connection);
	else
		process(connection);
}

static void on_end(struct bufferevent *bev, short what, void *user)
{
	struct http_connection *connection = user;
	if (what & BEV_EVENT_CONNECTED) // TLS handshake
		return;
	bool unsent = evbuffer_get_length(output_of(connection)) > 0;
	bool awaited = connection->state == ANSWERING || (unsent && connection->state != STREAMING);
	if (!(what & BEV_EVENT_EOF) || connection->server->tls || !awaited || connection->state == SENDING) {
		connection_free(connection);
		return;
	}
	// Over TCP a client may end its side and still read the answer.
	connection->half_closed = true;
	if (connection->state != ANSWERING && connection->state != CLOSING)
		close_gracefully(connection);
}

static void on_deadline(evutil_socket_t fd, short what, void *user)
{
	struct http_connection *connection = user;
	size_t unsent_bytes = evbuffer_get_length(output_of(connection));
	switch (connection->state) {
	case READING_HEAD:
		if (unsent_bytes > 0 && unsent_bytes < connection->unsent_bytes) {
			http_deadline(connection,
				      connection->server->options.timeout_ms); // slowly taking a long answer
			return;
		}
		if (connection->head_started && unsent_bytes == 0) {
			refuse_early(connection, 408, "The request took too long.");
			return;
		}
		break;
	case READING_BODY:
		refuse(connection->request, 408, "The body took too long.");
		return;
	case SENDING:
	case CLOSING:
		if (unsent_bytes < connection->unsent_bytes) {
			http_deadline(connection, connection->server->options.timeout_ms);
			return;
		}
		break;
	default:
		break;
	}
	connection_free(connection);
}

// --- the server ----------------------------------------------------------------------------------------------------

static void refresh_tls(struct http_server *server)
{
	struct error error;
	enum http_tls_change change = http_tls_refresh(server->tls, &error);
	if (change != HTTP_TLS_SAME && server->options.tls_changed)
		server->options.tls_changed(change == HTTP_TLS_BROKEN ? &error : NULL, server->options.user);
}

char *http_peer_certificate(const struct http_request *request)
{
	const SSL *ssl = request->connection ? bufferevent_openssl_get_ssl(request->connection->bev) : NULL;
	return ssl ? http_tls_peer(ssl) : NULL;
}

static struct bufferevent *make_bufferevent(struct http_server *server, evutil_socket_t fd)
{
	int flags = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
	if (!server->tls)
		return bufferevent_socket_new(server->base, fd, flags);
	SSL *ssl = http_tls_accept(server->tls);
	if (!ssl)
		return NULL;
	struct bufferevent *bev =
		bufferevent_openssl_socket_new(server->base, fd, ssl, BUFFEREVENT_SSL_ACCEPTING, flags);
	if (bev)
		bufferevent_openssl_set_allow_dirty_shutdown(bev, 1); // lengths are explicit: nothing can be cut short
	return bev;
}

// Whether an address has all the connections that it may before it says who it is. Proxies speak for many.
static bool is_crowded(const struct http_server *server, const char *peer, const char *network)
{
	int count = 0;
	if (server->options.unknown_max == 0 || http_peer_is_proxy(server->options.proxies, peer))
		return false;
	for (const struct http_connection *at = server->connections; at; at = at->next)
		count += !at->known && strcmp(network, at->network) == 0;
	return count >= server->options.unknown_max;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *address, int address_bytes,
		      void *user)
{
	struct http_server *server = user;
	char peer[INET6_ADDRSTRLEN], network[HTTP_PEER_BYTES];
	http_peer_format(address, (size_t)address_bytes, peer);
	http_peer_network(peer, network);
	if (is_crowded(server, peer, network)) {
		(void)close(fd);
		if (server->options.crowded)
			server->options.crowded(peer, server->options.user);
		return;
	}
	if (server->tls)
		refresh_tls(server);
	struct http_connection *connection = calloc(1, sizeof(*connection));
	if (connection) {
		connection->bev = make_bufferevent(server, fd);
		connection->timer = evtimer_new(server->base, on_deadline, connection);
	}
	if (!connection || !connection->bev || !connection->timer) {
		if (connection && connection->timer)
			event_free(connection->timer);
		if (connection && connection->bev)
			bufferevent_free(connection->bev); // closes fd
		else
			(void)close(fd);
		free(connection);
		return;
	}
	socket_tune(fd);
	memcpy(connection->peer, peer, sizeof(peer));
	memcpy(connection->network, network, sizeof(network));
	connection->server = server;
	connection->timeout_ms = server->options.timeout_ms;
	connection->next = server->connections;
	connection->link = &server->connections;
	if (connection->next)
		connection->next->link = &connection->next;
	server->connections = connection;
	// Beyond the ceiling clients wait in the kernel's queue.
	if (++server->connection_count >= server->options.connections_max)
		(void)evconnlistener_disable(server->listener);

	bufferevent_setcb(connection->bev, on_read, on_written, on_end, connection);
	bufferevent_setwatermark(connection->bev, EV_READ, 0, INPUT_MAX_BYTES);
	http_deadline(connection, connection->server->options.timeout_ms);
	if (bufferevent_enable(connection->bev, EV_READ | EV_WRITE) < 0)
		connection_free(connection);
}

static void on_accept_error(struct evconnlistener *listener, void *user)
{
	// Out of descriptors, most likely: trying again at once would only burn the processor.
	struct http_server *server = user;
	struct timeval pause = {.tv_sec = ACCEPT_PAUSE_MS / 1000};
	(void)evconnlistener_disable(listener);
	(void)evtimer_add(server->accept_timer, &pause);
}

static void on_accept_pause_over(evutil_socket_t fd, short what, void *user)
{
	accept_again(user);
}

static bool start_listening(struct http_server *server, const struct http_options *options, struct error *error)
{
	char port[8];
	(void)snprintf(port, sizeof(port), "%d", options->port);
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
	struct addrinfo *list = NULL;
	int code = getaddrinfo(options->address, port, &hints, &list);
	if (code != 0)
		return error_set(error, ERROR_INVALID, "cannot listen on %s: %s", options->address, gai_strerror(code));
	server->listener = evconnlistener_new_bind(server->base, on_accept, server,
						   LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE | LEV_OPT_CLOSE_ON_EXEC,
						   BACKLOG, list->ai_addr, (int)list->ai_addrlen);
	int saved_errno = errno;
	freeaddrinfo(list);
	if (!server->listener)
		return error_errno(error, saved_errno, "cannot listen on %s port %d", options->address, options->port);
	evconnlistener_set_error_cb(server->listener, on_accept_error);

	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	} bound = {0};
	socklen_t bound_bytes = sizeof(bound);
	if (getsockname(evconnlistener_get_fd(server->listener), &bound.any, &bound_bytes) < 0)
		return error_errno(error, errno, "cannot tell the port");
	server->port = ntohs(bound.any.sa_family == AF_INET6 ? bound.ipv6.sin6_port : bound.ipv4.sin_port);
	return true;
}

struct http_server *http_server_new(struct loop *loop, const struct http_options *options, struct error *error)
{
	struct http_server *server = calloc(1, sizeof(*server));
	if (server) {
		server->base = loop_base(loop);
		server->options = *options;
		if (server->options.timeout_ms <= 0)
			server->options.timeout_ms = HTTP_TIMEOUT_S * 1000;
		if (server->options.connections_max <= 0)
			server->options.connections_max = HTTP_CONNECTIONS_MAX;
		server->accept_timer = evtimer_new(server->base, on_accept_pause_over, server);
	}
	if (!server || !server->accept_timer) {
		error_errno(error, ENOMEM, "cannot make the HTTP server");
		http_server_free(server);
		return NULL;
	}
	const struct http_tls_files files = {options->cert_file, options->key_file, options->client_ca_file};
	server->tls = options->cert_file ? http_tls_new(&files, error) : NULL;
	if ((options->cert_file && !server->tls) || !start_listening(server, options, error)) {
		http_server_free(server);
		return NULL;
	}
	return server;
}

void http_server_free(struct http_server *server)
{
	if (!server)
		return;
	if (server->listener)
		evconnlistener_free(steal(server->listener));
	while (server->connections)
		connection_free(server->connections);
	// Handlers still hold these, and will answer them.
	for (struct http_request *request = server->requests; request;) {
		struct http_request *next = request->next;
		request->server = NULL;
		request->next = NULL;
		request->link = NULL;
		request = next;
	}
	if (server->accept_timer)
		event_free(server->accept_timer);
	http_tls_free(server->tls);
	free(server);
}

int http_server_port(const struct http_server *server)
{
	return server->port;
}
