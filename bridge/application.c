#include "bridge/application.h"

#include "bridge/claim.h"
#include "bridge/errand.h"
#include "bridge/note.h"
#include "common/clock.h"
#include "common/crypto.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

// What a terminal or a table of people could not show has no place in a serial number.
static bool is_serial(const char *text)
{
	size_t length = strlen(text);

	for (size_t i = 0; i < length; i++) {
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	}
	return length >= 1 && length <= APPLICATION_SERIAL_MAX && text[0] != ' ' && text[length - 1] != ' ';
}

static bool take_info(struct json *body, const char **out)
{
	struct json *info = (struct json *)json_member(body, "info");

	*out = "{}";
	if (!info || json_type(info) == JSON_NULL)
		return true;
	if (json_type(info) != JSON_OBJECT)
		return false;
	*out = json_text(info);
	return strlen(*out) <= APPLICATION_INFO_MAX_BYTES;
}

const char *application_parse(struct json *body, struct registration_request *out)
{
	struct registration_request request = *out;
	struct enroll_claim claim = {.token = NULL};
	const char *fault = claim_parse_common(body, &claim);

	if (fault)
		return fault;
	request.csr = claim.csr;
	request.device = claim.device;
	request.fingerprint = claim.fingerprint;
	if (!claim_optional_string(body, "serial", &request.serial) || (request.serial && !is_serial(request.serial)))
		return "\"serial\" must be a string of 1 to 128 bytes without control characters";
	if (!claim_optional_string(body, "secret", &request.secret) ||
	    (request.secret && !claim_is_secret(request.secret)))
		return CLAIM_BAD_SECRET_DETAIL "; leave it out to be given one";
	if (!take_info(body, &request.info))
		return "\"info\" must be an object of at most 4 kB";
	*out = request;
	return NULL;
}

const char *application_bearer(const char *authorization)
{
	static const char scheme[] = "Bearer ";

	if (!authorization || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
		return NULL;
	const char *secret = authorization + sizeof(scheme) - 1;
	return claim_is_secret(secret) ? secret : NULL;
}

// ---- answers ----

static void count(struct server *server, const char *outcome)
{
	char labels[48];

	(void)snprintf(labels, sizeof(labels), "outcome=\"%s\"", outcome);
	metric_add(metrics_counter(server->metrics, "muster_registrations_total", labels,
				   "Requests of devices that register themselves, by outcome"),
		   1);
}

// Answers 429 itself.
static bool is_throttled(struct server *server, struct http_request *request, struct throttle *throttle,
			 const char *reason)
{
	struct throttle_verdict verdict = throttle_check(throttle, http_peer(request), clock_mono_ms());
	const char *peer = http_peer(request);
	char text[160];

	if (!verdict.blocked)
		return false;
	if (verdict.first) {
		log_warn("sec.registration.ratelimit", "peer", peer, "request_id", http_request_id(request));
		note_limit(server, peer, http_request_id(request), reason);
	}
	count(server, "rate-limited");
	(void)snprintf(text, sizeof(text), "%lld", (long long)verdict.retry_after_s);
	http_reply_header(request, "Retry-After", text);
	(void)snprintf(text, sizeof(text), "%s; wait and try again", reason);
	http_reply_problem(request, 429, text);
	return true;
}

static void answer_failed(struct errand *errand)
{
	count(errand->server, "failed");
	errand_reply_failed(errand, "registration is not possible at the moment; try again with the same key");
}

// secret NULL: not told.
static void answer_state(struct server *server, struct http_request *request, int status,
			 const struct registration_result *result, const char *state, const char *secret)
{
	struct json *answer = json_new_object();

	json_set_string(answer, "registration", result->id);
	if (secret)
		json_set_string(answer, "secret", secret);
	json_set_string(answer, "state", state);
	if (result->reason[0])
		json_set_string(answer, "reason", result->reason);
	json_set_int(answer, "poll_s", server->options->registration_poll_s);
	count(server, state);
	http_reply_json(request, status, answer);
}

static const char *state_name(enum registration_outcome outcome)
{
	switch (outcome) {
	case REGISTRATION_PENDING:
		return "pending";
	case REGISTRATION_REJECTED:
		return "rejected";
	default:
		return "approved";
	}
}

static void answer_asked(struct server *server, struct http_request *request, const struct registration_request *asked,
			 const struct registration_result *result)
{
	char text[160];

	switch (result->outcome) {
	case REGISTRATION_CONFLICT:
		count(server, "conflict");
		http_reply_problem(request, 409,
				   "this key was registered with another secret, or this secret with another key; ask"
				   " with the secret that belongs to the key, or with a new key and a new secret");
		return;
	case REGISTRATION_BAD_CSR:
		count(server, "bad-csr");
		http_reply_problem(request, 422, CLAIM_BAD_CSR_DETAIL);
		return;
	case REGISTRATION_FULL:
		count(server, "full");
		log_warn("registration.full", "peer", asked->peer, "request_id", asked->request_id);
		(void)snprintf(
			text, sizeof(text),
			"no more than %ld registrations may wait, and as many do; an administrator must decide on"
			" them first (muster device pending)",
			server->options->registration_pending_max);
		http_reply_header(request, "Retry-After", "600");
		http_reply_problem(request, 503, text);
		return;
	default:
		if (result->created)
			log_info("register.request", "registration", result->id, "serial", asked->serial, "device",
				 asked->device, "peer", asked->peer, "request_id", asked->request_id);
		answer_state(server, request, 202, result, state_name(result->outcome), asked->secret);
	}
}

struct asking {
	struct errand errand;
	struct registration_request asked;
	char made[TOKEN_TEXT_BYTES]; // the secret, when the device brought none
	struct registration_result result;
};

static bool run_ask(struct errand *errand, struct error *error)
{
	struct asking *asking = (struct asking *)errand;

	asking->result = registration_ask(&errand->enroll, &asking->asked, error);
	return asking->result.outcome != REGISTRATION_FAILED;
}

static void ask_done(struct errand *errand, bool ok, const struct error *error)
{
	struct asking *asking = (struct asking *)errand;
	struct server *server = errand->server;
	const struct registration_result *result = &asking->result;

	if (ok) {
		// Asking again costs nobody anything; whatever else came of it counts.
		if (result->created || !result->id[0] || result->outcome == REGISTRATION_FULL)
			throttle_failed(server->askers, asking->asked.peer, clock_mono_ms());
		answer_asked(server, errand->request, &asking->asked, result);
	} else {
		answer_failed(errand);
	}
	crypto_wipe(asking->made, sizeof(asking->made));
	registration_result_done(&asking->result);
	errand_free(errand);
}

void application_ask(struct http_request *request, void *user)
{
	struct server *server = user;
	struct registration_request asked = {.peer = http_peer(request), .request_id = http_request_id(request)};

	if (is_throttled(server, request, server->throttle, "too many failed requests from this address") ||
	    is_throttled(server, request, server->askers, "too many new registrations from this address"))
		return;
	auto_json struct json *body = http_body_json(request);
	if (!body)
		return;
	const char *fault = application_parse(body, &asked);
	if (fault) {
		count(server, "malformed");
		http_reply_problem(request, 400, fault);
		return;
	}
	struct asking *asking = errand_new(sizeof(*asking), server, request);
	asking->errand.run = run_ask;
	asking->errand.done = ask_done;
	asking->errand.body = steal(body);
	asking->asked = asked;
	if (!asked.secret) {
		crypto_random_token(asking->made);
		asking->asked.secret = asking->made;
	}
	errand_submit(&asking->errand);
}

static void answer_issued(struct server *server, struct http_request *request, struct registration_result *result)
{
	bool issued = result->enroll.outcome == ENROLL_ISSUED;
	struct json *answer = claim_answer(server, &result->enroll);

	json_set_string(answer, "registration", result->id);
	json_set_string(answer, "state", "issued");
	log_info(issued ? "register.success" : "register.repeated", "device", result->enroll.device, "registration",
		 result->id, "peer", http_peer(request), "request_id", http_request_id(request), "revoked_certificates",
		 result->enroll.revoked > 0 ? log_number((int64_t)result->enroll.revoked) : NULL);
	count(server, issued ? "issued" : "repeated");
	settle_reply_json(server->settle, request, 200, result->enroll.device, answer);
}

static void answer_unknown(struct server *server, struct http_request *request)
{
	throttle_failed(server->throttle, http_peer(request), clock_mono_ms());
	count(server, "unknown");
	http_reply_header(request, "WWW-Authenticate", "Bearer");
	http_reply_problem(
		request, 401,
		"no registration has this secret (Authorization: Bearer <secret>); register first, or again");
}

struct polling {
	struct errand errand;
	char secret[TOKEN_TEXT_BYTES];
	const char *peer, *request_id; // of the request
	struct registration_result result;
};

static bool run_poll(struct errand *errand, struct error *error)
{
	struct polling *polling = (struct polling *)errand;

	polling->result =
		registration_poll(&errand->enroll, polling->secret, polling->peer, polling->request_id, error);
	return polling->result.outcome != REGISTRATION_FAILED;
}

static void answer_polled(struct server *server, struct http_request *request, struct registration_result *result)
{
	switch (result->outcome) {
	case REGISTRATION_UNKNOWN:
		answer_unknown(server, request);
		return;
	case REGISTRATION_ISSUED:
		answer_issued(server, request, result);
		return;
	case REGISTRATION_DENIED:
		count(server, "denied");
		log_warn("register.fail", "reason", result->enroll.reason, "registration", result->id, "device",
			 result->enroll.device, "peer", http_peer(request), "request_id", http_request_id(request));
		http_reply_problem(request, 403,
				   "what was issued for this registration does not hold any more; register again with a"
				   " new key, or ask an administrator");
		return;
	default:
		answer_state(server, request, 200, result, state_name(result->outcome), NULL);
	}
}

static void poll_done(struct errand *errand, bool ok, const struct error *error)
{
	struct polling *polling = (struct polling *)errand;

	if (ok)
		answer_polled(errand->server, errand->request, &polling->result);
	else
		answer_failed(errand);
	crypto_wipe(polling->secret, sizeof(polling->secret));
	registration_result_done(&polling->result);
	errand_free(errand);
}

void application_poll(struct http_request *request, void *user)
{
	struct server *server = user;

	if (is_throttled(server, request, server->throttle, "too many failed requests from this address"))
		return;
	const char *secret = application_bearer(http_header(request, "Authorization"));
	if (!secret) {
		answer_unknown(server, request);
		return;
	}
	struct polling *polling = errand_new(sizeof(*polling), server, request);
	polling->errand.run = run_poll;
	polling->errand.done = poll_done;
	(void)snprintf(polling->secret, sizeof(polling->secret), "%s", secret);
	polling->peer = http_peer(request);
	polling->request_id = http_request_id(request);
	errand_submit(&polling->errand);
}
