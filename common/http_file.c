// Answers made of files, whole or the part that a client still lacks.
#include "common/http_internal.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 64 * 1024 };

void http_send_piece(struct http_connection *connection)
{
	struct http_piece *piece = &connection->piece;
	struct evbuffer *output = bufferevent_get_output(connection->bev);
	char data[PIECE_BYTES];
	while (piece->at < piece->end && evbuffer_get_length(output) < HTTP_OUTPUT_MAX) {
		int64_t left_bytes = piece->end - piece->at;
		ssize_t got =
			pread(piece->fd, data, left_bytes < PIECE_BYTES ? (size_t)left_bytes : PIECE_BYTES, piece->at);
		if (got <= 0 || evbuffer_add(output, data, (size_t)got) != 0) {
			piece->close = true; // the client sees that it is too short
			piece->end = piece->at;
			break;
		}
		piece->at += got;
	}
	http_deadline(connection, connection->timeout_ms);
	if (piece->at < piece->end)
		return;
	(void)close(piece->fd);
	connection->state = ANSWERING;
	http_finish_answer(connection, piece->close);
}

// Sends length_bytes of the file fd, which it takes, from first_byte on.
static void reply_piece(struct http_request *request, int status, const char *content_type, int fd, int64_t first_byte,
			int64_t length_bytes)
{
	struct http_connection *connection = request->connection;
	auto_buf struct buf head;
	buf_init(&head, HTTP_REPLY_HEADERS_MAX + 2048);
	if (connection) {
		bool headless = strcmp(request->head.method, "HEAD") == 0;
		bool close_after = request->close || connection->half_closed;
		http_reply_head(request, &head, status, content_type, length_bytes, close_after);
		(void)evbuffer_add(bufferevent_get_output(connection->bev), buf_str(&head), head.len_bytes);
		connection->piece = (struct http_piece){fd, first_byte,
							headless ? first_byte : first_byte + length_bytes, close_after};
		connection->request = NULL;
		connection->state = SENDING;
	} else {
		(void)close(fd);
	}
	http_report(request, status);
	http_request_free(request);
	if (connection)
		http_send_piece(connection);
}

// A part counts only of the file that the client has the rest of.
static enum http_range range_of(const struct http_request *request, const char *etag, int64_t size_bytes,
				int64_t *first, int64_t *last)
{
	const char *same = http_header(request, "If-Range");

	if (same && strcmp(same, etag) != 0)
		return HTTP_RANGE_WHOLE;
	return http_range_parse(http_header(request, "Range"), size_bytes, first, last);
}

void http_reply_file(struct http_request *request, const char *content_type, int fd, const char *etag)
{
	struct stat status;
	char range[96];
	int64_t first = 0, last = -1;

	if (request->done) {
		(void)close(fd);
		return;
	}
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
		(void)close(fd);
		http_reply_problem(request, 500, "The file cannot be read.");
		return;
	}
	http_reply_header(request, "ETag", etag);
	http_reply_header(request, "Accept-Ranges", "bytes");
	if (http_header(request, "If-None-Match") && http_etag_matches(http_header(request, "If-None-Match"), etag)) {
		(void)close(fd);
		http_reply(request, 304, NULL, NULL, 0);
		return;
	}
	switch (range_of(request, etag, status.st_size, &first, &last)) {
	case HTTP_RANGE_WHOLE:
		reply_piece(request, 200, content_type, fd, 0, status.st_size);
		return;
	case HTTP_RANGE_PART:
		(void)snprintf(range, sizeof(range), "bytes %" PRId64 "-%" PRId64 "/%" PRId64, first, last,
			       (int64_t)status.st_size);
		http_reply_header(request, "Content-Range", range);
		reply_piece(request, 206, content_type, fd, first, last - first + 1);
		return;
	case HTTP_RANGE_NONE:
		(void)close(fd);
		(void)snprintf(range, sizeof(range), "bytes */%" PRId64, (int64_t)status.st_size);
		http_reply_header(request, "Content-Range", range);
		http_reply_problem(request, 416, "The file ends before the range asked for begins; ask for it whole.");
		return;
	}
}
