#include "common/smtp.h"

#include "common/crypto.h"
#include "common/curl_loop.h"
#include "common/http_client.h"

#include <errno.h>
#include <string.h>

struct sending {
	struct smtp *smtp;
	CURL *curl;
	struct curl_slist *recipients;
	char *message;
	size_t message_bytes, sent_bytes;
	char text[CURL_ERROR_SIZE];
	void *user;
	struct sending *next, *previous;
};

struct smtp {
	struct curl_loop *curl;
	char *url, *ca_file, *login, *password;
	bool plain;
	int timeout_ms;
	size_t sends_max, under_way;
	smtp_fn *fn;
	struct sending *all;
};

static void sending_free(struct sending *sending)
{
	if (!sending)
		return;
	struct smtp *smtp = sending->smtp;
	if (sending->previous)
		sending->previous->next = sending->next;
	else if (smtp->all == sending)
		smtp->all = sending->next;
	if (sending->next)
		sending->next->previous = sending->previous;
	if (sending->curl) {
		(void)curl_multi_remove_handle(curl_loop_multi(smtp->curl), sending->curl);
		curl_easy_cleanup(sending->curl);
	}
	curl_slist_free_all(sending->recipients);
	free(sending->message);
	free(sending);
}
DEFINE_CLEANUP(struct sending, sending_free)

static size_t on_read(char *out, size_t size, size_t count, void *user)
{
	struct sending *sending = user;
	size_t left = sending->message_bytes - sending->sent_bytes;
	size_t some = left < size * count ? left : size * count;
	memcpy(out, sending->message + sending->sent_bytes, some);
	sending->sent_bytes += some;
	return some;
}

static void on_ended(void *transfer, CURLcode code)
{
	struct sending *sending cleanup(sending_free_cleanup) = transfer;
	struct smtp_outcome outcome = {.sent = code == CURLE_OK};
	long reply = 0;
	(void)curl_easy_getinfo(sending->curl, CURLINFO_RESPONSE_CODE, &reply);
	outcome.reply = (int)reply;
	if (!outcome.sent) {
		enum error_kind kind = code == CURLE_LOGIN_DENIED || code == CURLE_USE_SSL_FAILED
					       ? ERROR_DENIED
					       : http_client_error_kind((int)code);
		(void)error_set(&outcome.error, kind, "%.300s",
				sending->text[0] ? sending->text : curl_easy_strerror(code));
	}
	sending->smtp->under_way--;
	sending->smtp->fn(sending->user, &outcome);
}

// ---- one message ----

static CURLcode set_security(struct sending *sending)
{
	const struct smtp *smtp = sending->smtp;
	CURL *curl = sending->curl;
	CURLcode code = curl_easy_setopt(curl, CURLOPT_USE_SSL, (long)(smtp->plain ? CURLUSESSL_NONE : CURLUSESSL_ALL));
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	if (code == CURLE_OK && smtp->ca_file) {
		code = curl_easy_setopt(curl, CURLOPT_CAINFO, smtp->ca_file);
		if (code == CURLE_OK)
			code = curl_easy_setopt(curl, CURLOPT_CAPATH, NULL);
	}
	if (code == CURLE_OK && smtp->login)
		code = curl_easy_setopt(curl, CURLOPT_USERNAME, smtp->login);
	if (code == CURLE_OK && smtp->password)
		code = curl_easy_setopt(curl, CURLOPT_PASSWORD, smtp->password);
	return code;
}

static CURLcode set_options(struct sending *sending, const char *from)
{
	const struct smtp *smtp = sending->smtp;
	CURL *curl = sending->curl;
	CURLcode code = curl_easy_setopt(curl, CURLOPT_URL, smtp->url);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_PROXY, ""); // an environment variable is no configuration
	if (code == CURLE_OK)
		code = set_security(sending);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_MAIL_FROM, from);
	if (code == CURLE_OK)
		code = curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, sending->recipients);
	// The rest cannot fail: plain numbers and memory of our own. A connection that waits for the next message only
	// annoys servers: mails are few.
	(void)curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
	(void)curl_easy_setopt(curl, CURLOPT_READDATA, sending);
	(void)curl_easy_setopt(curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)sending->message_bytes);
	(void)curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, sending->text);
	(void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)smtp->timeout_ms);
	(void)curl_easy_setopt(curl, CURLOPT_SERVER_RESPONSE_TIMEOUT, (long)(smtp->timeout_ms / 1000 + 1));
	(void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(curl, CURLOPT_PRIVATE, sending);
	return code;
}

static bool is_address(const char *text)
{
	return strlen(text) <= 254 && !strpbrk(text, "\r\n\t <>,;") && strchr(text, '@');
}

bool smtp_start(struct smtp *smtp, const char *from, const char *to, const char *message, size_t message_bytes,
		void *user, struct error *error)
{
	if (!is_address(from) || !is_address(to))
		return error_set(error, ERROR_INVALID, "\"%.100s\" is no e-mail address", is_address(from) ? to : from);
	if (smtp->under_way >= smtp->sends_max)
		return error_set(error, ERROR_LIMIT, "%zu messages are under way already", smtp->under_way);
	struct sending *sending cleanup(sending_free_cleanup) = calloc(1, sizeof(*sending));
	if (!sending)
		return error_errno(error, ENOMEM, "cannot send a message");
	sending->smtp = smtp;
	sending->user = user;
	sending->message = malloc(message_bytes);
	sending->recipients = curl_slist_append(NULL, to);
	sending->curl = curl_easy_init();
	if (!sending->message || !sending->recipients || !sending->curl)
		return error_errno(error, ENOMEM, "cannot send a message");
	memcpy(sending->message, message, message_bytes);
	sending->message_bytes = message_bytes;
	if (set_options(sending, from) != CURLE_OK ||
	    curl_multi_add_handle(curl_loop_multi(smtp->curl), sending->curl) != CURLM_OK)
		return error_set(error, ERROR_FAILED, "cannot make an SMTP session with %.200s", smtp->url);
	sending->next = smtp->all;
	if (sending->next)
		sending->next->previous = sending;
	smtp->all = steal(sending);
	smtp->under_way++;
	return true;
}

size_t smtp_under_way(const struct smtp *smtp)
{
	return smtp->under_way;
}

// ---- making ----

static bool starts_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_local(const char *url)
{
	static const char *const hosts[] = {"127.0.0.1", "[::1]", "localhost"};
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		const char *host = url + strlen("smtp://");
		if (starts_with(host, hosts[i]) && strchr(":/", host[strlen(hosts[i])]))
			return true;
	}
	return false;
}

static bool check(const struct smtp_options *options, struct error *error)
{
	const char *host = strstr(options->url, "://");
	if ((!starts_with(options->url, "smtp://") && !starts_with(options->url, "smtps://")) ||
	    strchr(host + 3, '/') || strchr(host + 3, '@') || host[3] == '\0')
		return error_set(error, ERROR_INVALID, "\"%.200s\" must be smtp://host:587 or smtps://host:465",
				 options->url);
	if (options->plain && starts_with(options->url, "smtp://") && !is_local(options->url))
		return error_set(error, ERROR_INVALID,
				 "%.200s is another machine: without STARTTLS everybody between "
				 "could read the mails",
				 options->url);
	return true;
}

static bool fill(struct smtp *smtp, struct loop *loop, const struct smtp_options *options, struct error *error)
{
	smtp->ca_file = options->ca_file ? strdup(options->ca_file) : NULL;
	smtp->login = options->user ? strdup(options->user) : NULL;
	smtp->password = options->password ? strdup(options->password) : NULL;
	// The path is what libcurl says in EHLO.
	if (asprintf(&smtp->url, "%s/%s", options->url, options->helo) < 0 || (options->ca_file && !smtp->ca_file) ||
	    (options->user && !smtp->login) || (options->password && !smtp->password))
		return error_errno(error, ENOMEM, "cannot make the SMTP client");
	smtp->plain = options->plain && starts_with(options->url, "smtp://");
	smtp->timeout_ms = options->timeout_ms;
	smtp->sends_max = options->sends_max;
	smtp->curl = curl_loop_new(loop, on_ended, error);
	return smtp->curl != NULL;
}

struct smtp *smtp_new(struct loop *loop, const struct smtp_options *options, smtp_fn *fn, struct error *error)
{
	if (!check(options, error))
		return NULL;
	struct smtp *smtp = calloc(1, sizeof(*smtp));
	if (!smtp) {
		(void)error_errno(error, ENOMEM, "cannot make the SMTP client");
		return NULL;
	}
	smtp->fn = fn;
	if (fill(smtp, loop, options, error))
		return smtp;
	smtp_free(smtp, NULL);
	return NULL;
}

void smtp_free(struct smtp *smtp, void (*free_fn)(void *user))
{
	if (!smtp)
		return;
	while (smtp->all) {
		if (free_fn)
			free_fn(smtp->all->user);
		sending_free(smtp->all);
	}
	curl_loop_free(smtp->curl);
	free(smtp->url);
	free(smtp->ca_file);
	free(smtp->login);
	crypto_secret_cleanup(&smtp->password);
	free(smtp);
}
