#include "agent/register.h"

#include "agent/inventory.h"
#include "agent/lock.h"
#include "agent/platform.h"
#include "agent/provision.h"
#include "agent/system.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/file.h"
#include "common/http_client.h"
#include "common/limits.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REGISTRATION_FILE "registration.json" // the secret, until the certificate is kept
#define REGISTRATION_FILE_MAX_BYTES 4096
#define RETRY_BASE_MS 2000
#define RETRY_MAX_MS 300000 // many devices come back at once after an outage
#define POLL_MIN_S 1
#define POLL_MAX_S 3600
#define POLL_JITTER_PERCENT 20
#define SERIAL_MAX 128

enum step {
	STEP_ASK,  // POST
	STEP_POLL, // GET
	STEP_OVER,
};

struct visit {
	const struct agent_options *options;
	const struct register_wish *wish;
	const struct register_hooks *hooks;
	struct identity *identity;
	struct error *error;
	char *file;
	char secret[TOKEN_TEXT_BYTES];
	char told[256];		       // last
	enum register_outcome outcome; // once it is over
	bool anew;		       // key and secret were made anew, since the bridge knew one of them otherwise
	unsigned failures;	       // since the last answer that helped
	int64_t wait_ms;	       // until the next step
};

// ---- what the machine says of itself ----

static bool is_left_over(const char *serial)
{
	static const char *const names[] = {
		"none",	     "default string", "to be filled by o.e.m.", "not specified", "system serial number", "0",
		"123456789", "unknown"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasecmp(serial, names[i]) == 0)
			return true;
	}
	return false;
}

static bool is_serial(const char *text)
{
	size_t length = strlen(text);
	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	}
	return length > 0 && length <= SERIAL_MAX && !is_left_over(text);
}

char *register_serial(const char *root)
{
	static const char *const paths[] = {"/sys/class/dmi/id/product_serial", "/sys/class/dmi/id/board_serial",
					    "/sys/firmware/devicetree/base/serial-number"};
	char *board auto_free = platform_serial(root);
	if (board && is_serial(board))
		return strdup(board);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		char *text auto_free = system_read(root, "%s", paths[i]);
		const char *start = text ? text + strspn(text, " \t") : NULL;
		if (start && is_serial(start))
			return strdup(start);
	}
	return NULL;
}

static struct json *read_info(const char *root)
{
	struct json *info = json_new_object();
	const char *product = NULL;
	struct platform platform cleanup(platform_done);
	platform_init(&platform, root);
	inventory_hardware.read(&platform, info);
	if (json_member_string(info, "product", &product)) {
		auto_free char *model = strdup(product);
		json_set_string(info, "model", model);
	}
	return info;
}

// ---- the secret ----

static bool load_secret(struct visit *visit)
{
	struct error error = {0};
	size_t len_bytes = 0;
	const char *secret = "";
	char *text auto_free = file_read(visit->file, REGISTRATION_FILE_MAX_BYTES, &len_bytes, &error);
	struct json *json auto_json = text ? json_parse(text, len_bytes, &error) : NULL;
	if (!json || !json_member_string(json, "secret", &secret) || strlen(secret) != TOKEN_TEXT_BYTES - 1)
		return false; // torn by hand: a new one then, which the bridge will refuse for this key
	(void)snprintf(visit->secret, sizeof(visit->secret), "%s", secret);
	return true;
}

static bool have_secret(struct visit *visit)
{
	if (load_secret(visit))
		return true;
	struct json *json auto_json = json_new_object();
	crypto_random_token(visit->secret);
	json_set_string(json, "secret", visit->secret);
	const char *text = json_text(json);
	return file_write(visit->file, text, strlen(text), 0600, visit->error);
}

// ---- requests ----

static void tell(struct visit *visit, const char *text)
{
	if (strncmp(visit->told, text, sizeof(visit->told) - 1) == 0)
		return;
	(void)snprintf(visit->told, sizeof(visit->told), "%.*s", (int)sizeof(visit->told) - 1, text);
	visit->hooks->tell(visit->hooks->user, text);
}

static enum step end(struct visit *visit, enum register_outcome outcome)
{
	visit->outcome = outcome;
	return STEP_OVER;
}

// Tries the same again later.
static enum step retry(struct visit *visit, enum step step, const char *why)
{
	char text[640];
	visit->wait_ms = clock_backoff_ms(visit->failures++, RETRY_BASE_MS, RETRY_MAX_MS) + RETRY_BASE_MS;
	(void)snprintf(text, sizeof(text), "%s; trying again", why);
	tell(visit, text);
	return step;
}

static void describe(int status, const struct json *answer, char *out, size_t out_bytes)
{
	const char *detail = "no reason given";
	const char *request_id = "unknown";
	if (answer) {
		if (!json_member_string(answer, "detail", &detail))
			(void)json_member_string(answer, "title", &detail);
		(void)json_member_string(answer, "request_id", &request_id);
	}
	(void)snprintf(out, out_bytes, "the bridge answered: %.250s (HTTP %d, request %.64s)", detail, status,
		       request_id);
}

// What every step does with an answer that it does not know better.
static enum step otherwise(struct visit *visit, enum step step, int status, const struct json *answer)
{
	char what[420];
	describe(status, answer, what, sizeof(what));
	if (status == 429 || status >= 500)
		return retry(visit, step, what);
	const char *cure = status == 404   ? "check bridge.url: there is no bridge behind it, or an old one"
			   : status == 403 ? "muster-agent unenroll makes room for a new key; then register again"
					   : "look into the bridge's log for the request id";
	(void)error_set(visit->error, status == 403 ? ERROR_DENIED : ERROR_INVALID, "%s; %s", what, cure);
	return end(visit, REGISTER_FAILED);
}

// False when there was no answer; then *next is what to do.
static bool request(struct visit *visit, enum step step, const char *body, int *status, struct json **answer,
		    enum step *next)
{
	struct error error = {0};
	struct buf response auto_buf = {0};
	const struct agent_options *options = visit->options;
	struct http_client *client cleanup(http_client_free_cleanup) =
		http_client_new(options->bridge_url, options->bridge_ca_file, visit->secret, &error);
	buf_init(&response, HTTP_BODY_MAX_BYTES);
	if (client &&
	    http_client_request(client, body ? "POST" : "GET", "/v1/registration", body, status, &response, &error)) {
		*answer = json_parse(buf_str(&response), response.len_bytes, NULL);
		return true;
	}
	if (client && error.kind != ERROR_DENIED && error.kind != ERROR_INVALID) {
		(void)error_prefix(&error, "the bridge can't be reached");
		*next = retry(visit, step, error.what);
		return false;
	}
	(void)error_set(visit->error, error.kind,
			"the bridge can't be reached: %s; check bridge.url, that bridge.ca_file holds "
			"the CA of this bridge, and this device's clock",
			error.what);
	*next = end(visit, REGISTER_FAILED);
	return false;
}

static int64_t poll_wait_ms(const struct json *answer)
{
	int64_t seconds = 0;
	uint32_t random;
	(void)json_member_int(answer, "poll_s", &seconds);
	if (seconds < POLL_MIN_S || seconds > POLL_MAX_S)
		seconds = seconds < POLL_MIN_S ? POLL_MIN_S : POLL_MAX_S;
	crypto_random(&random, sizeof(random));
	int64_t percent = 100 - POLL_JITTER_PERCENT + random % (2 * POLL_JITTER_PERCENT + 1);
	return seconds * 1000 * percent / 100;
}

// ---- the steps ----

// Key and secret are this device's, but the bridge knows one of them with another: whatever became of that
// registration, nobody can take its answer.
static enum step start_anew(struct visit *visit, const struct json *answer)
{
	struct credential_store store = identity_store(visit->identity);
	if (visit->anew)
		return otherwise(visit, STEP_ASK, 409, answer);
	visit->anew = true;
	tell(visit, "the secret of an earlier registration is lost; registering with a new key");
	if (remove(visit->file) != 0 && errno != ENOENT) {
		(void)error_errno(visit->error, errno, "cannot remove %s", visit->file);
		return end(visit, REGISTER_FAILED);
	}
	if (!credential_wipe(&store, CREDENTIAL_CURRENT, visit->error))
		return end(visit, REGISTER_FAILED);
	visit->wait_ms = 0;
	return STEP_ASK;
}

static enum step ask(struct visit *visit)
{
	int status = 0;
	enum step next = STEP_POLL;
	char text[160];
	const char *id = "";
	struct json *answer auto_json = NULL;
	struct json *body auto_json = provision_request(visit->identity, visit->wish->device, visit->error);
	if (!body)
		return end(visit, REGISTER_FAILED);
	crash_here(visit->hooks->crash, CRASH_REGISTER_KEY);
	if (!have_secret(visit))
		return end(visit, REGISTER_FAILED);
	crash_here(visit->hooks->crash, CRASH_REGISTER_SECRET);
	auto_free char *serial =
		visit->wish->serial ? strdup(visit->wish->serial) : register_serial(visit->identity->root);
	json_set_string(body, "secret", visit->secret);
	if (serial)
		json_set_string(body, "serial", serial);
	json_set(body, "info", read_info(visit->identity->root));
	if (!request(visit, STEP_ASK, json_text(body), &status, &answer, &next))
		return next;
	if (status == 409)
		return start_anew(visit, answer);
	if (status != 202 || !answer)
		return otherwise(visit, STEP_ASK, status, answer);
	crash_here(visit->hooks->crash, CRASH_REGISTER_ASKED);
	(void)json_member_string(answer, "registration", &id);
	(void)snprintf(text, sizeof(text), "registered as %.16s; waiting until it is approved", id);
	tell(visit, text);
	visit->failures = 0;
	visit->wait_ms = 0;
	return STEP_POLL;
}

static enum step take(struct visit *visit, const struct json *answer)
{
	crash_here(visit->hooks->crash, CRASH_REGISTER_ANSWERED);
	if (!provision_install(visit->identity, answer, visit->error)) {
		(void)error_prefix(visit->error,
				   "the bridge answered with something that can't be used (is its version "
				   "that of this agent, %s?)",
				   MUSTER_VERSION);
		return end(visit, REGISTER_FAILED);
	}
	crash_here(visit->hooks->crash, CRASH_REGISTER_KEPT);
	(void)remove(visit->file);
	return end(visit, REGISTER_ENROLLED);
}

static enum step poll(struct visit *visit)
{
	int status = 0;
	enum step next = STEP_POLL;
	const char *state = "";
	const char *reason = "";
	struct json *answer auto_json = NULL;
	if (!request(visit, STEP_POLL, NULL, &status, &answer, &next))
		return next;
	if (status == 401)
		return retry(visit, STEP_ASK, "the bridge does not know this registration any more");
	if (status != 200 || !answer)
		return otherwise(visit, STEP_POLL, status, answer);
	(void)json_member_string(answer, "state", &state);
	(void)json_member_string(answer, "reason", &reason);
	if (strcmp(state, "issued") == 0)
		return take(visit, answer);
	if (strcmp(state, "rejected") == 0) {
		(void)error_set(visit->error, ERROR_DENIED,
				"the registration was rejected%s%.250s; an administrator may "
				"still approve it: then register again",
				*reason ? ": " : "", reason);
		return end(visit, REGISTER_REJECTED);
	}
	visit->failures = 0;
	visit->wait_ms = poll_wait_ms(answer);
	return STEP_POLL;
}

static enum register_outcome go(struct visit *visit)
{
	int64_t start_ms = clock_boot_ms();
	enum step step = STEP_ASK;
	for (;;) {
		step = step == STEP_ASK ? ask(visit) : poll(visit);
		if (step == STEP_OVER)
			return visit->outcome;
		int64_t left_ms = visit->wish->wait_s * 1000 - (clock_boot_ms() - start_ms);
		if (visit->wish->wait_s >= 0 && visit->wait_ms >= left_ms && visit->wait_ms > 0)
			return REGISTER_WAITING;
		if (visit->wait_ms > 0)
			visit->hooks->pause(visit->hooks->user, visit->wait_ms);
	}
}

enum register_outcome register_device(const struct agent_options *options, const struct register_wish *wish,
				      const struct register_hooks *hooks, struct identity *identity,
				      struct error *error)
{
	auto_free char *file = NULL;
	identity_init(identity, options->state_dir, options->root);
	if (asprintf(&file, "%s/" REGISTRATION_FILE, options->state_dir) < 0)
		abort();
	if (identity_exists(identity)) {
		(void)remove(file); // it was killed between keeping the answer and this
		return identity_load(identity, error) ? REGISTER_ALREADY : REGISTER_FAILED;
	}
	if (!options->bridge_url) {
		(void)error_set(error, ERROR_INVALID, "there is no bridge to ask: set bridge.url in the configuration");
		return REGISTER_FAILED;
	}
	if (!file_mkdirs(options->state_dir, 0700, error)) {
		(void)error_prefix(error,
				   "the state folder can't be made (run this as the user the agent runs as, or set "
				   "state_dir)");
		return REGISTER_FAILED;
	}
	int lock auto_close = lock_take(options->state_dir, error);
	if (lock < 0)
		return REGISTER_FAILED;
	struct visit visit = {
		.options = options, .wish = wish, .hooks = hooks, .identity = identity, .error = error, .file = file};
	enum register_outcome outcome = go(&visit);
	crypto_wipe(visit.secret, sizeof(visit.secret));
	return outcome;
}
