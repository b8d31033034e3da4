#include "common/http_multi.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/curl_loop.h"
#include "common/http_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct call {
	struct http_multi *multi;
	CURL *curl;
	struct curl_slist *headers;
	struct buf body;
	char message[CURL_ERROR_SIZE];
	http_answer_fn *fn;
	void *user;
	int64_t started_ms;
	CURLcode code; // once it ended
	bool out_of_reach;
	struct call *next, *previous;
};

struct http_multi {
	struct curl_loop *curl;
	char *ca_file;
	size_t calls_max, answer_max_bytes;
	enum reach reach;
	struct call *calls;
	size_t under_way;
	uint64_t connections;
};

// ---- calls ----

static void call_free(struct call *call)
{
	if (!call)
		return;
	struct http_multi *multi = call->multi;
	if (call->previous)
		call->previous->next = call->next;
	else if (multi->calls == call)
		multi->calls = call->next;
	if (call->next)
		call->next->previous = call->previous;
	if (call->curl) {
		(void)curl_multi_remove_handle(curl_loop_multi(multi->curl), call->curl);
		curl_easy_cleanup(call->curl);
	}
	curl_slist_free_all(call->headers);
	buf_done(&call->body);
	free(call);
}
DEFINE_CLEANUP(struct call, call_free)

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
	return buf_add(user, data, size * count) ? size * count : 0;
}

static bool add_header(struct call *call, const char *name, const char *value)
{
	auto_free char *line = NULL;
	if (!value)
		return true;
	if (strpbrk(value, "\r\n") || asprintf(&line, "%s: %s", name, value) < 0)
		return false;
	struct curl_slist *longer = curl_slist_append(call->headers, line);
	if (longer)
		call->headers = longer;
	return longer != NULL;
}

static bool add_headers(struct call *call, const struct http_call *asked)
{
	auto_free char *bearer = NULL;
	if (asked->bearer_token && asprintf(&bearer, "Bearer %s", asked->bearer_token) < 0)
		return false;
	for (const char *const *line = asked->headers; line && *line; line++) {
		struct curl_slist *longer = strpbrk(*line, "\r\n") ? NULL : curl_slist_append(call->headers, *line);
		if (!longer)
			return false;
		call->headers = longer;
	}
	return add_header(call, "Accept", "application/json") && add_header(call, "Authorization", bearer) &&
	       add_header(call, "Content-Type", asked->content_type) &&
	       add_header(call, "X-Request-ID", asked->request_id) && add_header(call, "Expect", "");
}

// Asked for each address that the name has, when it is to be connected to.
static curl_socket_t on_open(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
	struct call *call = user;
	if (!reach_allows(call->multi->reach, &address->addr)) {
		call->out_of_reach = true;
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static CURLcode set_options(struct call *call, const struct http_call *asked)
{
	CURL *curl = call->curl;
	const char *ca_file = call->multi->ca_file;
	CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, asked->url);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
	if (code == CURLE_OK && ca_file) {
		code = curl_easy_setopt(curl, CURLOPT_CAINFO, ca_file);
		if (code == CURLE_OK)
			code = curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	if (code == CURLE_OK && asked->body)
		code = curl_easy_setopt(curl, CURLOPT_COPYPOSTFIELDS, asked->body);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, asked->method);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_USERAGENT, "muster/" MUSTER_VERSION);
	if (code == CURLE_OK && call->multi->reach != REACH_ANY)
		code = curl_easy_setopt(curl, CURLOPT_PROXY, "");
	if (code == CURLE_OK && call->multi->reach != REACH_ANY) {
		code = curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, on_open);
		(void)curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, call);
	}
	// The rest cannot fail: plain numbers and memory of our own. Until the server has said which HTTP it speaks,
	// the next call waits for it instead of making a connection of its own (PIPEWAIT).
	(void)curl_easy_setopt(curl, CURLOPT_PIPEWAIT, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, call->headers);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	(void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &call->body);
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, call->message);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)asked->timeout_ms);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	(void)curl_easy_setopt(curl, CURLOPT_PRIVATE, call);
	return code;
}

bool http_multi_start(struct http_multi *multi, const struct http_call *asked, http_answer_fn *fn, void *user,
		      struct error *error)
{
	if (!http_client_url_ok(asked->url))
		return error_set(error, ERROR_INVALID, "%.200s is no https:// address", asked->url);
	if (multi->under_way >= multi->calls_max)
		return error_set(error, ERROR_LIMIT, "%zu HTTP requests are under way already", multi->under_way);
	struct call *call cleanup(call_free_cleanup) = calloc(1, sizeof(*call));
	if (!call)
		return error_errno(error, ENOMEM, "cannot make an HTTP request");
	call->multi = multi;
	call->fn = fn;
	call->user = user;
	call->started_ms = clock_mono_ms();
	buf_init(&call->body, multi->answer_max_bytes);
	call->curl = curl_easy_init();
	if (!call->curl || !add_headers(call, asked) || set_options(call, asked) != CURLE_OK ||
	    curl_multi_add_handle(curl_loop_multi(multi->curl), call->curl) != CURLM_OK)
		return error_set(error, ERROR_FAILED, "cannot make an HTTP request to %.200s", asked->url);
	call->next = multi->calls;
	if (call->next)
		call->next->previous = call;
	multi->calls = steal(call);
	multi->under_way++;
	return true;
}

// ---- answers ----

static void hand_over(struct call *call)
{
	struct http_answer answer = {
		.body = buf_str(&call->body),
		.body_bytes = call->body.len_bytes,
		.retry_after_s = -1,
		.duration_ms = clock_mono_ms() - call->started_ms,
	};
	long status = 0, version = 0, connects = 0;
	curl_off_t retry_after_s = 0;
	(void)curl_easy_getinfo(call->curl, CURLINFO_RESPONSE_CODE, &status);
	(void)curl_easy_getinfo(call->curl, CURLINFO_HTTP_VERSION, &version);
	(void)curl_easy_getinfo(call->curl, CURLINFO_NUM_CONNECTS, &connects);
	(void)curl_easy_getinfo(call->curl, CURLINFO_RETRY_AFTER, &retry_after_s); // 0: not given, or at once
	call->multi->connections += (uint64_t)connects;
	answer.http2 = version == CURL_HTTP_VERSION_2_0;
	if (retry_after_s > 0)
		answer.retry_after_s = retry_after_s;
	if (call->code == CURLE_OK)
		answer.status = (int)status;
	else if (call->out_of_reach)
		(void)error_set(&answer.error, ERROR_DENIED, "its address is not one that may be reached from here");
	else
		(void)error_set(&answer.error, http_client_error_kind((int)call->code), "%.300s",
				call->message[0] ? call->message : curl_easy_strerror(call->code));
	call->fn(call->user, &answer);
}

static void on_ended(void *transfer, CURLcode code)
{
	struct call *call cleanup(call_free_cleanup) = transfer;
	call->code = code;
	call->multi->under_way--;
	hand_over(call);
}

// ---- making ----

static bool fill(struct http_multi *multi, struct loop *loop, const struct http_multi_options *options,
		 struct error *error)
{
	multi->ca_file = options->ca_file ? strdup(options->ca_file) : NULL;
	if (options->ca_file && !multi->ca_file)
		return error_errno(error, ENOMEM, "cannot make the HTTP client");
	multi->curl = curl_loop_new(loop, on_ended, error);
	if (!multi->curl)
		return false;
	// One connection even to a server that speaks HTTP/1.1 only: requests then go one after the other.
	CURLM *curlm = curl_loop_multi(multi->curl);
	if (curl_multi_setopt(curlm, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX) != CURLM_OK ||
	    curl_multi_setopt(curlm, CURLMOPT_MAX_HOST_CONNECTIONS, 1L) != CURLM_OK)
		return error_set(error, ERROR_FAILED, "cannot make the HTTP client");
	return true;
}

struct http_multi *http_multi_new(struct loop *loop, const struct http_multi_options *options, struct error *error)
{
	struct http_multi *multi = calloc(1, sizeof(*multi));
	if (!multi) {
		(void)error_errno(error, ENOMEM, "cannot make the HTTP client");
		return NULL;
	}
	multi->calls_max = options->calls_max;
	multi->answer_max_bytes = options->answer_max_bytes;
	multi->reach = options->reach;
	if (!fill(multi, loop, options, error)) {
		http_multi_free(multi);
		return NULL;
	}
	return multi;
}

void http_multi_free(struct http_multi *multi)
{
	if (!multi)
		return;
	while (multi->calls)
		call_free(multi->calls);
	curl_loop_free(multi->curl);
	free(multi->ca_file);
	free(multi);
}

size_t http_multi_under_way(const struct http_multi *multi)
{
	return multi->under_way;
}

uint64_t http_multi_connections(const struct http_multi *multi)
{
	return multi->connections;
}
