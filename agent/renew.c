#include "agent/renew.h"

#include "common/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- what is in use ----

// At two thirds of the lifetime, and up to a twelfth of it later, so that devices that were enrolled together do not
// all ask together. The same for each start, since it comes from the certificate itself.
static int64_t due_at(const struct pki_certificate_info *info)
{
	int64_t lifetime_s = info->not_after_s - info->not_before_s;
	char digits[9];
	(void)snprintf(digits, sizeof(digits), "%.8s", info->sha256);
	return info->not_before_s + lifetime_s * 2 / 3 +
	       (int64_t)((double)lifetime_s / 12 * (double)strtoul(digits, NULL, 16) / (double)UINT32_MAX);
}

// Pauses that suit a lifetime of weeks would outlive a certificate of minutes.
static int64_t pause_of(const struct renew *renew, int64_t ms)
{
	int64_t share_ms = (renew->info.not_after_s - renew->info.not_before_s) * 1000 / RENEW_PAUSE_SHARE;
	return share_ms > 0 && share_ms < ms ? share_ms : ms;
}

static void adopt(struct renew *renew, const struct credential *credential)
{
	renew->info = credential->info;
	renew->due_s = due_at(&credential->info);
	renew->parts = credential->parts;
	renew->expired_told = false;
	clock_format_rfc3339(credential->info.not_after_s * 1000, renew->not_after);
	crypto_sha256_hex(credential->ca, strlen(credential->ca), renew->trust);
}

static bool load(const struct renew *renew, bool next, struct credential *out, struct error *error)
{
	return credential_load(&renew->store, next ? CREDENTIAL_NEXT : CREDENTIAL_CURRENT, out, error);
}

static bool use(struct renew *renew, bool next, struct error *error)
{
	struct credential credential auto_credential = {0};
	if (!load(renew, next, &credential, error) || !renew->port.use(renew->port.user, &credential, error))
		return false;
	renew->with_next = next;
	return true;
}

// The present one stays; what was to come next is forgotten.
static void give_up(struct renew *renew, const char *why, int64_t wait_until_ms)
{
	struct error error = {0};
	renew->state = RENEW_IDLE;
	renew->wait_ms = wait_until_ms;
	renew->failed = 0;
	renew->due_now = false;
	if (!credential_wipe(&renew->store, CREDENTIAL_NEXT, &error))
		why = error.what;
	if (why)
		renew->port.tell(renew->port.user, "certificate.refused", why);
}

static void identify_request(struct renew *renew, const char *csr)
{
	char sha256[SHA256_HEX_BYTES];
	if (pki_csr_key_sha256(csr, sha256, NULL))
		(void)snprintf(renew->request, sizeof(renew->request), "%.32s", sha256);
}

static char *make_csr(struct renew *renew, struct error *error)
{
	struct credential next auto_credential = {0};
	if (!load(renew, true, &next, error))
		return NULL;
	char *csr = pki_csr_of_key(next.key, renew->device, error);
	if (csr)
		identify_request(renew, csr);
	return csr;
}

static bool resume(struct renew *renew, struct credential *credential, struct error *error)
{
	struct credential next auto_credential = {0};
	struct error fault = {0};
	if (!credential_exists(&renew->store, CREDENTIAL_NEXT))
		return true;
	if (!load(renew, true, &next, &fault)) {
		give_up(renew, fault.what, 0);
		return true;
	}
	if (next.certificate) {
		renew->state = RENEW_TRYING;
		renew->with_next = true;
		credential_move(credential, &next);
		return true;
	}
	renew->state = RENEW_ASKING;
	char *csr auto_free = make_csr(renew, error);
	return csr != NULL;
}

bool renew_init(struct renew *renew, const struct credential_store *store, const char *device,
		const struct renew_port *port, struct crash *crash, struct credential *credential, struct error *error)
{
	*renew = (struct renew){.store = *store, .device = device, .port = *port, .crash = crash};
	if (!load(renew, false, credential, error))
		return false;
	if (!credential->certificate)
		return error_set(error, ERROR_NOT_FOUND, "this device has a key, and no certificate: enrol it again");
	adopt(renew, credential);
	return resume(renew, credential, error);
}

void renew_done(struct renew *renew)
{
	free(renew->bundle);
	renew->bundle = NULL;
}

// ---- trying the next one ----

static bool try_next(struct renew *renew, struct error *error)
{
	renew->state = RENEW_TRYING;
	if (!use(renew, true, error))
		return false;
	renew->cut = true;
	return true;
}

static void replace(struct renew *renew, int64_t now_ms)
{
	struct credential credential auto_credential = {0};
	struct error error = {0};
	char trust[SHA256_HEX_BYTES];
	char serial[sizeof(renew->info.serial)];
	crash_here(renew->crash, CRASH_RENEW_TRIED);
	memcpy(trust, renew->trust, sizeof(trust));
	memcpy(serial, renew->info.serial, sizeof(serial));
	// If it can't be put in place now, it goes on being the next one, is used, and is put there later.
	if (!load(renew, true, &credential, &error) || !credential_promote(&renew->store, &error)) {
		renew->port.tell(renew->port.user, "certificate.refused", error.what);
		return;
	}
	crash_here(renew->crash, CRASH_RENEW_REPLACED);
	adopt(renew, &credential);
	renew->state = RENEW_IDLE;
	renew->with_next = false;
	renew->failed = 0;
	renew->wait_ms = now_ms + pause_of(renew, RENEW_PACE_MS);
	renew->due_now = strcmp(trust, renew->trust) != 0 && strcmp(serial, renew->info.serial) == 0;
	renew->port.tell(renew->port.user, strcmp(serial, renew->info.serial) != 0 ? "certificate.renewed" :
											"trust.changed",
			 renew->info.serial);
}

void renew_connected(struct renew *renew, int64_t now_ms)
{
	if (renew->state == RENEW_TRYING && renew->with_next) {
		replace(renew, now_ms);
	} else if (renew->state == RENEW_TRYING && renew->failed >= RENEW_TRIALS_MAX) {
		give_up(renew, renew->why, now_ms + pause_of(renew, RENEW_GIVEN_UP_MS));
	} else if (renew->state == RENEW_TRYING) {
		renew->wait_ms = now_ms + (pause_of(renew, RENEW_PACE_MS) << renew->failed);
	}
}

// Each try to connect that fails lets the other one try.
void renew_disconnected(struct renew *renew, const struct error *why)
{
	struct error error = {0};
	if (renew->state != RENEW_TRYING || renew->cutting)
		return;
	if (renew->with_next) {
		renew->failed++;
		(void)snprintf(renew->why, sizeof(renew->why), "the new credential does not connect: %.200s",
			       why->what);
	}
	if (!use(renew, !renew->with_next, &error))
		renew->port.tell(renew->port.user, "certificate.refused", error.what);
}

// ---- asking ----

static bool begin(struct renew *renew, int64_t now_ms, struct error *error)
{
	struct credential next auto_credential = {.key = pki_key_new(error), .parts = renew->parts};
	if (!next.key || !credential_save(&renew->store, CREDENTIAL_NEXT, &next, error))
		return false;
	crash_here(renew->crash, CRASH_RENEW_KEY);
	renew->state = RENEW_ASKING;
	renew->asked = 0;
	renew->asking_ms = now_ms;
	renew->wait_ms = now_ms;
	return true;
}

static bool ask(struct renew *renew, bool connected, int64_t now_ms, struct error *error)
{
	int64_t https_after_ms = pause_of(renew, renew->https_after_ms);
	if (renew->asking_ms == 0) // after a restart: there is about to be a connection
		renew->asking_ms = now_ms;
	bool (*ask_https)(void *, const struct credential *, const char *, struct error *) =
		now_ms - renew->asking_ms >= https_after_ms ? renew->port.ask_https : NULL;
	if (!connected && !ask_https)
		return true; // there will be a connection
	char *csr auto_free = make_csr(renew, error);
	if (!csr)
		return false;
	unsigned doublings = renew->asked < 6 ? renew->asked : 6;
	renew->asked++;
	renew->wait_ms =
		now_ms + pause_of(renew, doublings < 6 ? (int64_t)RENEW_PACE_MS << doublings : RENEW_ASK_MAX_MS);
	int64_t https_ms = renew->asking_ms + https_after_ms;
	if (renew->port.ask_https && https_ms > now_ms && https_ms < renew->wait_ms)
		renew->wait_ms = https_ms;
	if (ask_https) {
		struct credential present auto_credential = {0};
		if (!load(renew, false, &present, error) ||
		    !ask_https(renew->port.user, &present, csr, error))
			return false;
	}
	if (!connected)
		return true;
	struct json *body auto_json = json_new_object();
	json_set_string(body, "request", renew->request);
	json_set_string(body, "csr", csr);
	if (renew->fingerprint && *renew->fingerprint)
		json_set_string(body, "fingerprint", renew->fingerprint);
	return renew->port.ask(renew->port.user, json_text(body), error);
}

static bool take_certificate(struct renew *renew, const char *certificate, const char *ca, struct error *error)
{
	struct credential next auto_credential = {0};
	if (!load(renew, true, &next, error) ||
	    !credential_set_certificate(&next, certificate, ca, renew->device, error) ||
	    !credential_save(&renew->store, CREDENTIAL_NEXT, &next, error))
		return false;
	crash_here(renew->crash, CRASH_RENEW_ANSWER);
	return try_next(renew, error);
}

// What was asked for and not answered yet is asked for anew afterwards, with another key.
static bool take_bundle(struct renew *renew, const char *ca, struct error *error)
{
	struct credential next auto_credential = {0};
	char trust[SHA256_HEX_BYTES];
	crypto_sha256_hex(ca, strlen(ca), trust);
	if (renew->state == RENEW_TRYING) {
		char *copy = strdup(ca);
		free(renew->bundle);
		renew->bundle = copy;
		return true;
	}
	if (strcmp(trust, renew->trust) == 0)
		return true;
	if (!load(renew, false, &next, error))
		return false;
	char *certificate auto_free = strdup(next.certificate);
	if (!certificate)
		abort();
	return credential_set_certificate(&next, certificate, ca, renew->device, error) &&
	       credential_save(&renew->store, CREDENTIAL_NEXT, &next, error) && try_next(renew, error);
}

static bool take_refusal(struct renew *renew, const struct json *answer, const char *refused, int64_t now_ms)
{
	const char *detail = "";
	int64_t retry_after_s = 0;
	char why[256];
	bool quiet = renew->due_now; // it was worth a try, and no more
	(void)json_member_string(answer, "detail", &detail);
	(void)json_member_int(answer, "retry_after_s", &retry_after_s);
	(void)snprintf(why, sizeof(why), "%.80s: %.160s", refused, detail);
	if (retry_after_s > 0 && retry_after_s <= RENEW_ASK_MAX_MS / 1000) { // the same key again, then
		renew->wait_ms = now_ms + retry_after_s * 1000;
		return true;
	}
	if (strcmp(refused, "unavailable") == 0) // the same key again, as without an answer
		return true;
	give_up(renew, quiet ? NULL : why, now_ms + pause_of(renew, RENEW_GIVEN_UP_MS));
	return true;
}

bool renew_answer(struct renew *renew, bool https, const char *text, size_t len_bytes, int64_t now_ms,
		  struct error *error)
{
	struct json *answer auto_json = json_parse(text, len_bytes, error);
	const char *request = "";
	const char *certificate;
	const char *ca;
	const char *refused;
	if (!answer)
		return false;
	bool has_ca = json_member_string(answer, "ca", &ca);
	bool has_request = json_member_string(answer, "request", &request);
	bool ours = renew->state == RENEW_ASKING && (https || (has_request && strcmp(request, renew->request) == 0));
	if (!https && has_ca && !has_request && !json_member(answer, "certificate"))
		return take_bundle(renew, ca, error);
	if (!ours)
		return true; // of an earlier request
	if (json_member_string(answer, "error", &refused))
		return take_refusal(renew, answer, refused, now_ms);
	if (!has_ca || !json_member_string(answer, "certificate", &certificate))
		return error_set(error, ERROR_INVALID, "\"certificate\" or \"ca\" is missing");
	return take_certificate(renew, certificate, ca, error);
}

// ---- time ----

static void tell_expired(struct renew *renew, int64_t wall_s)
{
	char text[320];
	if (wall_s < renew->info.not_after_s || renew->expired_told)
		return;
	renew->expired_told = true;
	(void)snprintf(text, sizeof(text),
		       "the certificate expired at %s, and no server takes it: set this device's clock if that is "
		       "wrong, or stop "
		       "the agent and run muster-agent enroll --again with a token for %s",
		       renew->not_after, renew->device);
	renew->port.tell(renew->port.user, "certificate.expired", text);
}

static void end_connection(struct renew *renew)
{
	renew->cut = false;
	renew->cutting = true;
	renew->port.reconnect(renew->port.user);
	renew->cutting = false;
}

static bool proceed(struct renew *renew, bool connected, int64_t now_ms, int64_t wall_ms, struct error *error)
{
	bool due = renew->due_now || (wall_ms / 1000 >= renew->due_s && wall_ms / 1000 >= renew->info.not_before_s);
	if (renew->bundle && renew->state != RENEW_TRYING) {
		char *bundle auto_free = steal(renew->bundle);
		return take_bundle(renew, bundle, error);
	}
	if (now_ms < renew->wait_ms)
		return true;
	switch (renew->state) {
	case RENEW_IDLE:
		return !due || (begin(renew, now_ms, error) && ask(renew, connected, now_ms, error));
	case RENEW_ASKING:
		return ask(renew, connected, now_ms, error);
	default: // the old one is connected, and the next one is to be tried again
		return renew->with_next || !connected || try_next(renew, error);
	}
}

bool renew_tick(struct renew *renew, bool connected, int64_t now_ms, int64_t wall_ms, struct error *error)
{
	tell_expired(renew, wall_ms / 1000);
	if (!proceed(renew, connected, now_ms, wall_ms, error)) {
		renew->wait_ms = now_ms + pause_of(renew, RENEW_PACE_MS); // whatever is wrong: not again at once
		return false;
	}
	if (renew->cut)
		end_connection(renew);
	return true;
}
