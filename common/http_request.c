#include "common/http_internal.h"

#include "common/crypto.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

static const struct {
	const char *name;
	const char *value;
	bool tls_only;
} default_headers[] = {
	{"Strict-Transport-Security", "max-age=31536000", true}, // RFC 6797 section 7.2: over TLS only
	{"X-Content-Type-Options", "nosniff", false},
	{"Referrer-Policy", "no-referrer", false},
	{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'", false},
	{"Cache-Control", "no-store", false},
};
enum { DEFAULT_HEADER_COUNT = sizeof(default_headers) / sizeof(default_headers[0]) };

static const char *reason_phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} phrases[] = {
		{200, "OK"},
		{201, "Created"},
		{202, "Accepted"},
		{204, "No Content"},
		{206, "Partial Content"},
		{301, "Moved Permanently"},
		{302, "Found"},
		{303, "See Other"},
		{304, "Not Modified"},
		{307, "Temporary Redirect"},
		{308, "Permanent Redirect"},
		{400, "Bad Request"},
		{401, "Unauthorized"},
		{403, "Forbidden"},
		{404, "Not Found"},
		{405, "Method Not Allowed"},
		{406, "Not Acceptable"},
		{408, "Request Timeout"},
		{409, "Conflict"},
		{410, "Gone"},
		{412, "Precondition Failed"},
		{413, "Content Too Large"},
		{415, "Unsupported Media Type"},
		{416, "Range Not Satisfiable"},
		{417, "Expectation Failed"},
		{422, "Unprocessable Content"},
		{428, "Precondition Required"},
		{429, "Too Many Requests"},
		{431, "Request Header Fields Too Large"},
		{500, "Internal Server Error"},
		{501, "Not Implemented"},
		{502, "Bad Gateway"},
		{503, "Service Unavailable"},
		{504, "Gateway Timeout"},
		{505, "HTTP Version Not Supported"},
		{507, "Insufficient Storage"},
	};
	for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
		if (phrases[i].status == status)
			return phrases[i].phrase;
	}
	return "Status";
}

// --- one request ---------------------------------------------------------------------------------------------------

static bool is_request_id(const char *text)
{
	size_t len_bytes = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
	return len_bytes > 0 && len_bytes <= REQUEST_ID_MAX && !text[len_bytes];
}

struct http_request *http_request_new(char *text, size_t len_bytes, size_t body_max_bytes, struct http_refusal *refusal)
{
	struct http_request *request = calloc(1, sizeof(*request));
	if (!request) {
		free(text);
		return NULL;
	}
	request->text = text;
	buf_init(&request->body, body_max_bytes);
	buf_init(&request->reply_headers, HTTP_REPLY_HEADERS_MAX);
	refusal->status = 0;
	request->close = !http_head_parse(text, len_bytes, &request->head, refusal) || !request->head.keep_alive;
	if (!request->head.path)
		request->head.path = "";
	if (!request->head.method)
		request->head.method = "";

	const char *id = http_head_field(&request->head, "X-Request-ID");
	if (id && is_request_id(id))
		(void)snprintf(request->id, sizeof(request->id), "%s", id);
	else
		crypto_uuid4(request->id);
	return request;
}

void http_request_free(struct http_request *request)
{
	if (!request)
		return;
	if (request->in_handler) {
		request->done = true;
		request->connection = NULL;
		return;
	}
	if (request->context_free)
		request->context_free(request->context);
	if (request->link) {
		*request->link = request->next;
		if (request->next)
			request->next->link = request->link;
	}
	buf_done(&request->body);
	buf_done(&request->reply_headers);
	free(request->text);
	free(request->param_text);
	free(request->query_text);
	free(request);
}

const char *http_method(const struct http_request *request)
{
	return request->head.method;
}

const char *http_path(const struct http_request *request)
{
	return request->head.path;
}

const char *http_route_pattern(const struct http_request *request)
{
	return request->route ? request->route->pattern : "none";
}

const char *http_route_method(const struct http_request *request)
{
	return request->route ? request->route->method : "none";
}

int http_route_tag(const struct http_request *request)
{
	return request->route ? request->route->tag : 0;
}

const char *http_request_id(const struct http_request *request)
{
	return request->id;
}

const char *http_peer(const struct http_request *request)
{
	return request->peer;
}

void http_known(struct http_request *request)
{
	if (request->connection)
		request->connection->known = true;
}

const char *http_header(const struct http_request *request, const char *name)
{
	return http_head_field(&request->head, name);
}

static const char *find(const struct http_field *fields, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(fields[i].name, name) == 0)
			return fields[i].value;
	}
	return NULL;
}

const char *http_param(const struct http_request *request, const char *name)
{
	for (size_t i = 0; i < request->param_count; i++) {
		size_t len_bytes = strlen(name);
		const char *in_pattern = request->params[i].name;
		if (strncmp(in_pattern, name, len_bytes) == 0 && in_pattern[len_bytes] == '}')
			return request->params[i].value;
	}
	return NULL;
}

static void parse_query(struct http_request *request)
{
	request->query_text = strdup(request->head.query ? request->head.query : "");
	char *rest = request->query_text;
	while (rest && *rest && request->query_count < HTTP_QUERY_MAX) {
		char *name = strsep(&rest, "&");
		char *value = strchr(name, '=');
		if (value)
			*value++ = '\0';
		else
			value = name + strlen(name);
		if (http_decode(name, true) && http_decode(value, true))
			request->query[request->query_count++] = (struct http_field){.name = name, .value = value};
	}
}

const char *http_query(const struct http_request *request, const char *name)
{
	if (!request->query_text)
		parse_query((struct http_request *)request); // a cache: the request means the same before and after
	return find(request->query, request->query_count, name);
}

const char *http_cookie(const struct http_request *request, const char *name, char *out, size_t out_bytes)
{
	const char *at = http_header(request, "Cookie");
	size_t name_bytes = strlen(name);
	while (at && *at) {
		at += strspn(at, "; ");
		size_t len_bytes = strcspn(at, ";");
		if (len_bytes > name_bytes && strncmp(at, name, name_bytes) == 0 && at[name_bytes] == '=') {
			size_t value_bytes = len_bytes - name_bytes - 1;
			if (value_bytes >= out_bytes)
				return NULL;
			memcpy(out, at + name_bytes + 1, value_bytes);
			out[value_bytes] = '\0';
			return out;
		}
		at += len_bytes;
	}
	return NULL;
}

const char *http_body(const struct http_request *request, size_t *len_bytes)
{
	if (len_bytes)
		*len_bytes = request->body.len_bytes;
	return buf_str(&request->body);
}

static bool is_json_type(const char *content_type)
{
	if (!content_type)
		return false;
	size_t len_bytes = strcspn(content_type, "; \t");
	if (len_bytes == 16 && strncasecmp(content_type, "application/json", 16) == 0)
		return true;
	return len_bytes > 5 && strncasecmp(content_type + len_bytes - 5, "+json", 5) == 0;
}

bool http_expect_json(struct http_request *request)
{
	if (is_json_type(http_header(request, "Content-Type")))
		return true;
	http_reply_problem(request, 415, "Send the body as Content-Type: application/json.");
	return false;
}

struct json *http_body_json(struct http_request *request)
{
	if (!http_expect_json(request))
		return NULL;
	struct error error = {0};
	auto_json struct json *json = json_parse(buf_str(&request->body), request->body.len_bytes, &error);
	if (!json) {
		char detail[sizeof(error.what) + sizeof(error.where) + 40];
		(void)snprintf(detail, sizeof(detail), "The body is no valid JSON: %s%s%s.", error.what,
			       error.where[0] ? " at " : "", error.where);
		http_reply_problem(request, 400, detail);
		return NULL;
	}
	if (json_type(json) != JSON_OBJECT) {
		http_reply_problem(request, 400, "The body must be a JSON object.");
		return NULL;
	}
	return steal(json);
}

void http_set_context(struct http_request *request, void *context, void (*free_fn)(void *context))
{
	if (request->context_free)
		request->context_free(request->context);
	request->context = context;
	request->context_free = free_fn;
}

void *http_context(const struct http_request *request)
{
	return request->context;
}

// --- routes --------------------------------------------------------------------------------------------------------

// Compares segment by segment; a parameter takes one that is not empty. text is a copy of the path, cut as needed.
static bool match(struct http_request *request, const char *pattern, char *text)
{
	request->param_count = 0;
	while (*pattern == '/' && *text == '/') {
		pattern++;
		text++;
		size_t pattern_bytes = strcspn(pattern, "/");
		size_t text_bytes = strcspn(text, "/");
		if (pattern[0] == '{') {
			if (text_bytes == 0 || request->param_count == HTTP_PARAMS_MAX)
				return false;
			request->params[request->param_count].name = pattern + 1;
			request->params[request->param_count++].value = text;
		} else if (pattern_bytes != text_bytes || strncmp(pattern, text, text_bytes) != 0) {
			return false;
		}
		pattern += pattern_bytes;
		text += text_bytes;
	}
	return !*pattern && !*text;
}

// A segment that does not decode, or that would hide a slash, matches no route.
static bool decode_params(struct http_request *request)
{
	for (size_t i = 0; i < request->param_count; i++) {
		char *value = request->params[i].value;
		value[strcspn(value, "/")] = '\0';
		if (!http_decode(value, false) || strchr(value, '/'))
			return false;
	}
	return true;
}

static bool same_method(const struct http_request *request, const char *method)
{
	return strcmp(request->head.method, method) == 0 ||
	       (strcmp(request->head.method, "HEAD") == 0 && strcmp(method, "GET") == 0);
}

static void refuse_method(struct http_request *request, const struct buf *allow)
{
	http_reply_header(request, "Allow", buf_str(allow));
	http_reply_problem(request, 405, "Use one of the methods in the Allow header.");
}

const struct http_route *http_request_route(struct http_request *request, const struct http_route *routes, size_t count)
{
	struct buf auto_buf allow;
	buf_init(&allow, 256);
	request->param_text = strdup(request->head.path);
	for (size_t i = 0; request->param_text && i < count; i++) {
		const struct http_route *route = &routes[i];
		if (!match(request, route->pattern, request->param_text))
			continue;
		if (same_method(request, route->method)) {
			if (!decode_params(request))
				break;
			request->route = route;
			return route;
		}
		if (!strstr(buf_str(&allow), route->method))
			(void)buf_addf(&allow, "%s%s%s", allow.len_bytes > 0 ? ", " : "", route->method,
				       strcmp(route->method, "GET") == 0 ? ", HEAD" : "");
	}
	request->param_count = 0;
	if (allow.len_bytes > 0)
		refuse_method(request, &allow);
	else
		http_reply_problem(request, 404, "There is nothing at this address.");
	return NULL;
}

// --- the answer ----------------------------------------------------------------------------------------------------

static bool is_printable(const char *text)
{
	for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
		if ((*at < ' ' && *at != '\t') || *at == 0x7f)
			return false;
	}
	return true;
}

void http_reply_header(struct http_request *request, const char *name, const char *value)
{
	// A line break here would let a value write headers, or a whole answer, of its own.
	if (!name[0] || !is_printable(name) || !is_printable(value))
		return;
	for (unsigned i = 0; i < DEFAULT_HEADER_COUNT; i++) {
		if (strcasecmp(default_headers[i].name, name) == 0)
			request->overridden |= 1U << i;
	}
	(void)buf_addf(&request->reply_headers, "%s: %s\r\n", name, value);
}

static void add_date(struct buf *out)
{
	char text[40];
	struct tm utc;
	time_t now = time(NULL);
	if (gmtime_r(&now, &utc) && strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", &utc) > 0)
		(void)buf_addf(out, "Date: %s\r\n", text);
}

void http_reply_head(struct http_request *request, struct buf *out, int status, const char *content_type,
		     int64_t length_bytes, bool close)
{
	(void)buf_addf(out, "HTTP/1.1 %d %s\r\n", status, reason_phrase(status));
	add_date(out);
	if (content_type)
		(void)buf_addf(out, "Content-Type: %s\r\n", content_type);
	if (length_bytes >= 0 && status != 204 && status != 304)
		(void)buf_addf(out, "Content-Length: %lld\r\n", (long long)length_bytes);
	if (close)
		(void)buf_add_str(out, "Connection: close\r\n");
	else if (request->head.http10)
		(void)buf_add_str(out, "Connection: keep-alive\r\n");
	(void)buf_addf(out, "X-Request-ID: %s\r\n", request->id);
	for (unsigned i = 0; i < DEFAULT_HEADER_COUNT; i++) {
		if (!(request->overridden & (1U << i)) && (request->tls || !default_headers[i].tls_only))
			(void)buf_addf(out, "%s: %s\r\n", default_headers[i].name, default_headers[i].value);
	}
	(void)buf_add_str(out, buf_str(&request->reply_headers));
	(void)buf_add_str(out, "\r\n");
}

void http_reply_json(struct http_request *request, int status, struct json *json)
{
	const char *text = json_text(json);
	http_reply(request, status, "application/json", text, strlen(text));
	json_free(json);
}

void http_reply_problem(struct http_request *request, int status, const char *detail)
{
	auto_json struct json *problem = json_new_object();
	json_set_string(problem, "type", "about:blank");
	json_set_string(problem, "title", reason_phrase(status));
	json_set_int(problem, "status", status);
	json_set_string(problem, "detail", detail);
	json_set_string(problem, "request_id", request->id);
	const char *text = json_text(problem);
	http_reply(request, status, "application/problem+json", text, strlen(text));
}
