#include "common/http_parse.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CHUNK_LINE_MAX = 256, TRAILER_MAX = 4096, LENGTH_DIGITS_MAX = 15 };

static bool refuse(struct http_refusal *refusal, int status, const char *detail)
{
	*refusal = (struct http_refusal){.status = status, .detail = detail};
	return false;
}

// RFC 9110 section 5.6.2
static bool is_token(const char *text)
{
	if (!text[0])
		return false;
	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		unsigned char lower = *at | 0x20;
		bool alphanumeric = (*at >= '0' && *at <= '9') || (lower >= 'a' && lower <= 'z');
		if (!alphanumeric && !strchr("!#$%&'*+-.^_`|~", *at))
			return false;
	}
	return true;
}

// The next line of text, cut at its CRLF; NULL at a lone CR or LF, a NUL, or without an end.
static char *next_line(char **text, const char *end)
{
	char *line = *text;
	for (char *at = line; at < end; at++) {
		if (*at == '\0' || *at == '\n')
			return NULL;
		if (*at != '\r')
			continue;
		if (at + 1 >= end || at[1] != '\n')
			return NULL;
		*at = '\0';
		*text = at + 2;
		return line;
	}
	return NULL;
}

static bool parse_version(const char *version, struct http_head *head, struct http_refusal *refusal)
{
	if (strcmp(version, "HTTP/1.1") == 0)
		return true;
	head->http10 = true;
	if (strcmp(version, "HTTP/1.0") == 0)
		return true;
	if (strncmp(version, "HTTP/", 5) == 0)
		return refuse(refusal, 505, "Use HTTP/1.1.");
	return refuse(refusal, 400, "The request line is malformed.");
}

static bool parse_target(char *target, struct http_head *head, struct http_refusal *refusal)
{
	for (const unsigned char *at = (const unsigned char *)target; *at; at++) {
		if (*at <= ' ' || *at >= 0x7f || *at == '#')
			return refuse(refusal, 400,
				      "The request target holds a character that must be percent-encoded.");
	}
	// The absolute form (RFC 9112 section 3.2.2) is to be taken by every server.
	if (strncasecmp(target, "http://", 7) == 0 || strncasecmp(target, "https://", 8) == 0) {
		target = strchr(strchr(target, '/') + 2, '/');
		if (!target)
			return refuse(refusal, 400, "The request target has no path.");
	}
	if (target[0] != '/')
		return refuse(refusal, 400, "The request target must start with a slash.");
	head->path = target;
	char *query = strchr(target, '?');
	if (query)
		*query++ = '\0';
	head->query = query;
	return true;
}

static bool parse_request_line(char *line, struct http_head *head, struct http_refusal *refusal)
{
	char *target = strchr(line, ' ');
	char *version = target ? strchr(target + 1, ' ') : NULL;
	if (!version)
		return refuse(refusal, 400, "The request line is malformed.");
	*target++ = '\0';
	*version++ = '\0';
	head->method = line;
	if (!is_token(line))
		return refuse(refusal, 400, "The request method is malformed.");
	return parse_version(version, head, refusal) && parse_target(target, head, refusal);
}

static bool parse_field(char *line, struct http_head *head, struct http_refusal *refusal)
{
	if (head->field_count == HTTP_FIELDS_MAX)
		return refuse(refusal, 431, "The request has too many header lines.");
	char *value = strchr(line, ':');
	if (!value)
		return refuse(refusal, 400, "A header line has no colon.");
	*value++ = '\0';
	if (!is_token(line)) // also a folded line, and white space before the colon
		return refuse(refusal, 400, "A header name is malformed.");
	value += strspn(value, " \t");
	size_t len_bytes = strlen(value);
	while (len_bytes > 0 && (value[len_bytes - 1] == ' ' || value[len_bytes - 1] == '\t'))
		value[--len_bytes] = '\0';
	for (const unsigned char *at = (const unsigned char *)value; *at; at++) {
		if ((*at < ' ' && *at != '\t') || *at == 0x7f)
			return refuse(refusal, 400, "A header value holds a control character.");
	}
	head->fields[head->field_count++] = (struct http_field){.name = line, .value = value};
	return true;
}

// The only value of a field that must not come twice; *out stays NULL without it.
static bool single(const struct http_head *head, const char *name, const char **out)
{
	*out = NULL;
	for (size_t i = 0; i < head->field_count; i++) {
		if (strcasecmp(head->fields[i].name, name) != 0)
			continue;
		if (*out)
			return false;
		*out = head->fields[i].value;
	}
	return true;
}

// How long the body is must have one answer only (RFC 9112 section 6.3).
static bool parse_framing(struct http_head *head, struct http_refusal *refusal)
{
	const char *length = NULL;
	const char *coding = NULL;
	if (!single(head, "Content-Length", &length))
		return refuse(refusal, 400, "Send Content-Length once.");
	if (!single(head, "Transfer-Encoding", &coding))
		return refuse(refusal, 400, "Send Transfer-Encoding once.");
	if (length && coding)
		return refuse(refusal, 400, "Send either Content-Length or Transfer-Encoding, not both.");
	if (coding) {
		if (head->http10)
			return refuse(refusal, 400, "Transfer-Encoding needs HTTP/1.1.");
		if (strcasecmp(coding, "chunked") != 0)
			return refuse(refusal, 501, "The only transfer coding understood is chunked.");
		head->chunked = true;
	}
	if (length) {
		size_t digits = strspn(length, "0123456789");
		if (digits == 0 || length[digits] || digits > LENGTH_DIGITS_MAX)
			return refuse(refusal, 400, "Content-Length must be a number.");
		head->content_length = strtoll(length, NULL, 10);
	}
	return true;
}

// Whether the comma-separated list holds the token.
static bool lists(const char *list, const char *token)
{
	size_t token_bytes = strlen(token);
	while (*list) {
		list += strspn(list, ", \t");
		size_t len_bytes = strcspn(list, ", \t");
		if (len_bytes == token_bytes && strncasecmp(list, token, len_bytes) == 0)
			return true;
		list += len_bytes;
	}
	return false;
}

static bool parse_connection(struct http_head *head, struct http_refusal *refusal)
{
	const char *host = NULL;
	if (!single(head, "Host", &host))
		return refuse(refusal, 400, "Send Host once.");
	if (!host && !head->http10)
		return refuse(refusal, 400, "HTTP/1.1 needs a Host header.");

	head->keep_alive = !head->http10;
	for (size_t i = 0; i < head->field_count; i++) {
		const struct http_field *field = &head->fields[i];
		if (strcasecmp(field->name, "Connection") == 0) {
			if (lists(field->value, "close"))
				head->keep_alive = false;
			else if (head->http10 && lists(field->value, "keep-alive"))
				head->keep_alive = true;
		} else if (strcasecmp(field->name, "Expect") == 0 && !head->http10) {
			if (strcasecmp(field->value, "100-continue") != 0)
				return refuse(refusal, 417, "The only expectation understood is 100-continue.");
			head->expect_continue = true;
		}
	}
	return true;
}

bool http_head_parse(char *text, size_t len_bytes, struct http_head *head, struct http_refusal *refusal)
{
	const char *end = text + len_bytes;
	*head = (struct http_head){0};
	char *line = next_line(&text, end);
	if (!line)
		return refuse(refusal, 400, "Lines must end in CR LF.");
	if (!parse_request_line(line, head, refusal))
		return false;
	for (;;) {
		line = next_line(&text, end);
		if (!line)
			return refuse(refusal, 400, "Lines must end in CR LF.");
		if (!line[0])
			break;
		if (!parse_field(line, head, refusal))
			return false;
	}
	return parse_framing(head, refusal) && parse_connection(head, refusal);
}

const char *http_head_field(const struct http_head *head, const char *name)
{
	for (size_t i = 0; i < head->field_count; i++) {
		if (strcasecmp(head->fields[i].name, name) == 0)
			return head->fields[i].value;
	}
	return NULL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

// The line's length without its CRLF; -1: not all there yet; -2: too long or malformed.
static int line_bytes(const char *data, size_t len_bytes)
{
	for (size_t i = 0; i < len_bytes && i < CHUNK_LINE_MAX; i++) {
		if (data[i] == '\n' || data[i] == '\0')
			return -2;
		if (data[i] == '\r') {
			if (i + 1 >= len_bytes)
				return -1;
			return data[i + 1] == '\n' ? (int)i : -2;
		}
	}
	return len_bytes < CHUNK_LINE_MAX ? -1 : -2;
}

// chunk-size [ chunk-ext ]; extensions are ignored. -1 if malformed.
static int64_t chunk_size(const char *line, int len_bytes)
{
	int64_t size = 0;
	int i = 0;
	for (; i < len_bytes && hex_digit(line[i]) >= 0; i++) {
		if (i == 8)
			return -1;
		size = size * 16 + hex_digit(line[i]);
	}
	if (i == 0 || (i < len_bytes && line[i] != ';'))
		return -1;
	return size;
}

static enum http_chunk_result next_size(struct http_chunks *chunks, const char *data, size_t len_bytes,
					size_t *used_bytes)
{
	int line = line_bytes(data, len_bytes);
	if (line < 0)
		return line == -1 ? HTTP_CHUNK_MORE : HTTP_CHUNK_BAD;
	chunks->left_bytes = chunk_size(data, line);
	if (chunks->left_bytes < 0)
		return HTTP_CHUNK_BAD;
	*used_bytes = (size_t)line + 2;
	chunks->state = chunks->left_bytes > 0 ? CHUNK_DATA : CHUNK_TRAILER;
	return HTTP_CHUNK_MORE;
}

static enum http_chunk_result next_trailer(struct http_chunks *chunks, const char *data, size_t len_bytes,
					   size_t *used_bytes)
{
	int line = line_bytes(data, len_bytes);
	if (line < 0)
		return line == -1 ? HTTP_CHUNK_MORE : HTTP_CHUNK_BAD;
	*used_bytes = (size_t)line + 2;
	if (line == 0) {
		chunks->state = CHUNK_DONE;
		return HTTP_CHUNK_DONE;
	}
	chunks->trailer_bytes += *used_bytes;
	return chunks->trailer_bytes > TRAILER_MAX ? HTTP_CHUNK_BAD : HTTP_CHUNK_MORE;
}

enum http_chunk_result http_chunks_next(struct http_chunks *chunks, const char *data, size_t len_bytes,
					size_t *used_bytes)
{
	*used_bytes = 0;
	switch (chunks->state) {
	case CHUNK_SIZE:
		return next_size(chunks, data, len_bytes, used_bytes);
	case CHUNK_DATA:
		if (len_bytes == 0)
			return HTTP_CHUNK_MORE;
		*used_bytes = (int64_t)len_bytes < chunks->left_bytes ? len_bytes : (size_t)chunks->left_bytes;
		chunks->left_bytes -= (int64_t)*used_bytes;
		if (chunks->left_bytes == 0)
			chunks->state = CHUNK_DATA_END;
		return HTTP_CHUNK_DATA;
	case CHUNK_DATA_END:
		if (len_bytes < 2)
			return HTTP_CHUNK_MORE;
		if (data[0] != '\r' || data[1] != '\n')
			return HTTP_CHUNK_BAD;
		*used_bytes = 2;
		chunks->state = CHUNK_SIZE;
		return HTTP_CHUNK_MORE;
	case CHUNK_TRAILER:
		return next_trailer(chunks, data, len_bytes, used_bytes);
	default:
		return HTTP_CHUNK_DONE;
	}
}

bool http_decode(char *text, bool plus)
{
	char *to = text;
	for (const char *from = text; *from; from++) {
		if (*from == '%') {
			int high = hex_digit(from[1]);
			int low = high < 0 ? -1 : hex_digit(from[2]);
			if (low < 0 || high + low == 0)
				return false;
			*to++ = (char)(high * 16 + low);
			from += 2;
		} else {
			*to++ = (char)(*from == '+' && plus ? ' ' : *from);
		}
	}
	*to = '\0';
	return true;
}

// Digits at *at, which moves behind them; -1 when there are none. What no file has counts as the largest.
static int64_t range_number(const char **at)
{
	int64_t value = -1;
	for (; **at >= '0' && **at <= '9'; (*at)++) {
		value = value < 0 ? 0 : value;
		value = value > INT64_MAX / 10 - 1 ? INT64_MAX - 9 : value * 10 + (**at - '0');
	}
	return value;
}

enum http_range http_range_parse(const char *text, int64_t size_bytes, int64_t *first, int64_t *last)
{
	static const char unit[] = "bytes=";
	if (!text || strncasecmp(text, unit, sizeof(unit) - 1) != 0)
		return HTTP_RANGE_WHOLE;
	const char *at = text + sizeof(unit) - 1;
	int64_t from = range_number(&at);
	if (*at++ != '-')
		return HTTP_RANGE_WHOLE;
	int64_t to = range_number(&at);
	if (*at || (from < 0 && to < 0) || (from >= 0 && to >= 0 && to < from))
		return HTTP_RANGE_WHOLE;
	if (from < 0) { // the last so many
		if (to == 0 || size_bytes == 0)
			return HTTP_RANGE_NONE;
		*first = to < size_bytes ? size_bytes - to : 0;
		*last = size_bytes - 1;
		return HTTP_RANGE_PART;
	}
	if (from >= size_bytes)
		return HTTP_RANGE_NONE;
	*first = from;
	*last = to < 0 || to >= size_bytes ? size_bytes - 1 : to;
	return HTTP_RANGE_PART;
}

bool http_etag_matches(const char *header, const char *etag)
{
	size_t length = strlen(etag);
	if (header && strcmp(header, "*") == 0)
		return true;
	for (const char *at = header; at && (at = strstr(at, etag)); at += length) {
		char before = (char)(at == header ? ',' : at[-1]);
		char after = at[length];
		if ((before == ',' || before == ' ' || before == '/') &&
		    (after == '\0' || after == ',' || after == ' '))
			return true;
	}
	return false;
}

bool http_accepts_gzip(const char *accept_encoding)
{
	for (const char *at = accept_encoding; at && *at;) {
		at += strspn(at, " \t,");
		size_t length = strcspn(at, ",");
		size_t name_length = strcspn(at, " \t,;");

		if ((name_length == 4 && strncasecmp(at, "gzip", 4) == 0) || (name_length == 1 && *at == '*')) {
			const char *quality = memmem(at, length, "q=", 2);

			return !quality || strtod(quality + 2, NULL) > 0;
		}
		at += length;
	}
	return false;
}
