#include "common/http_client.h"

#include "common/crypto.h"
#include "common/limits.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECT_TIMEOUT_S = 10 };

struct http_client {
	CURL *curl;
	char *base_url; // without a slash at its end
	char *ca_file;
	char *key, *certificate, *ca; // PEM
	struct curl_slist *headers;
	char range[48]; // "": all
	char message[CURL_ERROR_SIZE];
};

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

// A token must not cross a network in the clear.
bool http_client_url_ok(const char *url)
{
	static const char *const local[] = {"http://127.0.0.1", "http://[::1]", "http://localhost"};
	if (starts_with(url, "https://"))
		return true;
	for (size_t i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
		size_t len_bytes = strlen(local[i]);
		if (starts_with(url, local[i]) && strchr(":/", url[len_bytes])) // strchr finds the terminator too
			return true;
	}
	return false;
}

static bool add_header(struct http_client *client, const char *line)
{
	struct curl_slist *longer = curl_slist_append(client->headers, line);
	if (longer)
		client->headers = longer;
	return longer != NULL;
}

static bool add_bearer(struct http_client *client, const char *token)
{
	auto_free char *line = NULL;
	return asprintf(&line, "Authorization: Bearer %s", token) > 0 && add_header(client, line);
}

bool http_client_header(struct http_client *client, const char *name, const char *value, struct error *error)
{
	auto_free char *line = NULL;
	for (const char *at = value; *at; at++) {
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			return error_set(error, ERROR_INVALID, "%s must be printable", name);
	}
	return (asprintf(&line, "%s: %s", name, value) > 0 && add_header(client, line)) ||
	       error_set(error, ERROR_FAILED, "out of memory");
}

void http_client_range(struct http_client *client, int64_t first, int64_t last)
{
	(void)snprintf(client->range, sizeof(client->range), "%lld-%lld", (long long)first, (long long)last);
}

static bool fill(struct http_client *client, const char *base_url, const char *ca_file, const char *bearer_token)
{
	size_t len_bytes = strlen(base_url);
	while (len_bytes > 0 && base_url[len_bytes - 1] == '/')
		len_bytes--;
	client->base_url = strndup(base_url, len_bytes);
	client->ca_file = ca_file ? strdup(ca_file) : NULL;
	client->curl = curl_easy_init();
	return client->base_url && (!ca_file || client->ca_file) && client->curl &&
	       add_header(client, "Accept: application/json") && add_header(client, "Content-Type: application/json") &&
	       add_header(client, "Expect:") && // no round trip before a small body
	       (!bearer_token || add_bearer(client, bearer_token));
}

struct http_client *http_client_new(const char *base_url, const char *ca_file, const char *bearer_token,
				    struct error *error)
{
	if (!http_client_url_ok(base_url)) {
		error_set(error, ERROR_INVALID, "%.200s is no https:// address", base_url);
		return NULL;
	}
	if (bearer_token && strpbrk(bearer_token, "\r\n")) {
		error_set(error, ERROR_INVALID, "the token holds a line break");
		return NULL;
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		error_set(error, ERROR_FAILED, "cannot initialise the HTTP client");
		return NULL;
	}
	struct http_client *client = calloc(1, sizeof(*client));
	if (!client || !fill(client, base_url, ca_file, bearer_token)) {
		error_errno(error, ENOMEM, "cannot make the HTTP client");
		if (!client)
			curl_global_cleanup();
		http_client_free(client);
		return NULL;
	}
	return client;
}

bool http_client_set_credential(struct http_client *client, const struct tls_credential *credential,
				struct error *error)
{
	client->key = strdup(credential->key);
	client->certificate = strdup(credential->certificate);
	client->ca = strdup(credential->ca);
	return (client->key && client->certificate && client->ca) ||
	       error_errno(error, ENOMEM, "cannot keep the credential");
}

void http_client_free(struct http_client *client)
{
	if (!client)
		return;
	curl_easy_cleanup(client->curl);
	curl_slist_free_all(client->headers);
	free(client->base_url);
	free(client->ca_file);
	crypto_secret_cleanup(&client->key);
	free(client->certificate);
	free(client->ca);
	free(client);
	curl_global_cleanup();
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
	return buf_add(user, data, size * count) ? size * count : 0;
}

enum error_kind http_client_error_kind(int code)
{
	switch ((CURLcode)code) {
	case CURLE_OPERATION_TIMEDOUT:
		return ERROR_TIMEOUT;
	case CURLE_WRITE_ERROR: // on_body refused: the buffer is full
		return ERROR_LIMIT;
	case CURLE_PEER_FAILED_VERIFICATION:
		return ERROR_DENIED;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_SSL_CACERT_BADFILE:
		return ERROR_INVALID;
	case CURLE_OUT_OF_MEMORY:
		return ERROR_FAILED;
	default:
		return ERROR_UNREACHABLE;
	}
}

static CURLcode set_blob(CURL *curl, CURLoption option, char *pem)
{
	struct curl_blob blob = {.data = pem, .len = strlen(pem), .flags = CURL_BLOB_NOCOPY};
	return curl_easy_setopt(curl, option, &blob);
}

static CURLcode set_credential(const struct http_client *client)
{
	CURLcode code = set_blob(client->curl, CURLOPT_SSLCERT_BLOB, client->certificate);
	if (code == CURLE_OK)
		code = set_blob(client->curl, CURLOPT_SSLKEY_BLOB, client->key);
	if (code == CURLE_OK)
		code = set_blob(client->curl, CURLOPT_CAINFO_BLOB, client->ca);
	if (code == CURLE_OK)
		code = curl_easy_setopt(client->curl, CURLOPT_CAPATH, NULL);
	return code;
}

static CURLcode set_request(struct http_client *client, const char *method, const char *url, const char *body,
			    struct buf *response)
{
	CURL *curl = client->curl;
	curl_easy_reset(curl); // keeps the connection
	CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, url);
	if (code == CURLE_OK && client->range[0])
		code = curl_easy_setopt(curl, CURLOPT_RANGE, client->range);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
	if (code == CURLE_OK && client->ca_file) {
		code = curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca_file);
		if (code == CURLE_OK)
			code = curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
	if (code == CURLE_OK && client->key)
		code = set_credential(client);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->headers);
	if (code == CURLE_OK && strcmp(method, "HEAD") == 0)
		code = curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
	if (code == CURLE_OK && body) {
		code = curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
		if (code == CURLE_OK)
			code = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	} else if (code == CURLE_OK && (strcmp(method, "POST") == 0 || strcmp(method, "PUT") == 0)) {
		code = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, ""); // so that Content-Length: 0 is sent
	}
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_WRITEDATA, response);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_USERAGENT, "muster/" MUSTER_VERSION);
	// The rest cannot fail: plain numbers and a buffer of our own.
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, client->message);
	(void)curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)HTTP_TIMEOUT_S);
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	return code;
}

bool http_client_request(struct http_client *client, const char *method, const char *path, const char *body,
			 int *status, struct buf *response, struct error *error)
{
	auto_free char *url = NULL;
	if (asprintf(&url, "%s%s", client->base_url, path) < 0) {
		url = NULL;
		return error_errno(error, ENOMEM, "%s %s", method, path);
	}
	client->message[0] = '\0';
	CURLcode code = set_request(client, method, url, body, response);
	if (code == CURLE_OK)
		code = curl_easy_perform(client->curl);
	if (code != CURLE_OK) {
		error_set(error, http_client_error_kind((int)code), "%s %.200s: %.250s", method, url,
			  client->message[0] ? client->message : curl_easy_strerror(code));
		if (error)
			error->code = (int)code;
		return false;
	}
	long answered = 0;
	(void)curl_easy_getinfo(client->curl, CURLINFO_RESPONSE_CODE, &answered);
	*status = (int)answered;
	return true;
}
