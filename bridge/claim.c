#include "bridge/claim.h"

#include "bridge/errand.h"
#include "bridge/note.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/topic.h"

#include <stdio.h>
#include <string.h>

static bool is_hex_sha256(const char *text)
{
	return strlen(text) == SHA256_HEX_BYTES - 1 && strspn(text, "0123456789abcdef") == SHA256_HEX_BYTES - 1;
}

bool claim_is_secret(const char *text)
{
	uint8_t bytes[TOKEN_BYTES];
	size_t count = 0;
	bool ok = crypto_base64url_decode(text, strlen(text), bytes, sizeof(bytes), &count) && count == sizeof(bytes);

	crypto_wipe(bytes, sizeof(bytes));
	return ok;
}

bool claim_optional_string(const struct json *body, const char *name, const char **out)
{
	const struct json *value = json_member(body, name);

	*out = NULL;
	return !value || json_type(value) == JSON_NULL || json_as_string(value, out);
}

// Who the device says it is.
static const char *parse_device(const struct json *body, struct enroll_claim *claim)
{
	if (!claim_optional_string(body, "device", &claim->device) ||
	    (claim->device && !topic_is_device_id(claim->device)))
		return "\"device\" must match [a-z0-9][a-z0-9-]{0,62}; leave it out to be given an id";
	if (!claim_optional_string(body, "fingerprint", &claim->fingerprint) ||
	    (claim->fingerprint && !is_hex_sha256(claim->fingerprint)))
		return "\"fingerprint\" must be 64 lower-case hexadecimal digits";
	return NULL;
}

const char *claim_parse_common(const struct json *body, struct enroll_claim *out)
{
	struct enroll_claim claim = *out;

	if (!json_member_string(body, "csr", &claim.csr))
		return "\"csr\" must be a string: a certificate request in PEM form";
	if (strlen(claim.csr) > PEM_MAX_BYTES)
		return "\"csr\" is larger than 16 kB";
	const char *fault = parse_device(body, &claim);
	if (!fault)
		*out = claim;
	return fault;
}

// With a token, and what rest takes apart.
static const char *parse_token(const struct json *body, struct enroll_claim *out,
			       const char *(*rest)(const struct json *body, struct enroll_claim *out))
{
	struct enroll_claim claim = *out;

	if (!json_member_string(body, "token", &claim.token))
		return "\"token\" must be a string: the enrolment token that an administrator made";
	const char *fault = rest(body, &claim);
	if (!fault)
		*out = claim;
	return fault;
}

const char *claim_parse(const struct json *body, struct enroll_claim *out)
{
	return parse_token(body, out, claim_parse_common);
}

static const char *parse_bearer(const struct json *body, struct enroll_claim *claim)
{
	if (!claim_optional_string(body, "secret", &claim->secret) ||
	    (claim->secret && !claim_is_secret(claim->secret)))
		return CLAIM_BAD_SECRET_DETAIL "; without one, an answer that is lost takes the token with it";
	return parse_device(body, claim);
}

const char *claim_parse_credential(const struct json *body, struct enroll_claim *out)
{
	return parse_token(body, out, parse_bearer);
}

static void count(struct server *server, const char *outcome)
{
	char labels[48];

	(void)snprintf(labels, sizeof(labels), "outcome=\"%s\"", outcome);
	metric_add(metrics_counter(server->metrics, "muster_enrollments_total", labels,
				   "Enrolment requests by outcome"),
		   1);
}

// ---- what is done in the thread ----

struct claiming {
	struct errand errand;
	struct enroll_claim claim;
	struct enroll_result result;
};

static bool is_refused(const struct enroll_result *result)
{
	return result->outcome != ENROLL_ISSUED && result->outcome != ENROLL_REPEATED;
}

static bool run_claim(struct errand *errand, struct error *error)
{
	struct claiming *claiming = (struct claiming *)errand;
	struct enroll_claim *claim = &claiming->claim;
	struct enroll_result *result = &claiming->result;

	*result = enroll_run(&errand->enroll, claim, error);
	if (result->outcome == ENROLL_FAILED)
		return false;
	if (!is_refused(result))
		return true;
	// The history names the device that was decided on, else the one that was asked for; never one that was made up
	// and did not come to be.
	if (result->device[0] && result->outcome != ENROLL_BAD_CSR)
		claim->device = result->device;
	return enroll_record(&errand->enroll, result->event, result->token_id, claim, result->reason, error) &&
	       (result->outcome != ENROLL_EXPIRED || enroll_expire_tokens(&errand->enroll, error));
}

// Answers 429 itself.
static bool is_throttled(struct server *server, struct http_request *request, const struct enroll_claim *claim)
{
	struct throttle_verdict verdict = throttle_check(server->throttle, claim->peer, clock_mono_ms());
	char seconds[24];

	if (!verdict.blocked)
		return false;
	if (verdict.first) {
		log_warn("sec.token.ratelimit", "peer", claim->peer, "request_id", claim->request_id);
		note_limit(server, claim->peer, claim->request_id, "too many failed enrolments from this address");
	}
	count(server, "rate-limited");
	(void)snprintf(seconds, sizeof(seconds), "%lld", (long long)verdict.retry_after_s);
	http_reply_header(request, "Retry-After", seconds);
	http_reply_problem(request, 429, "too many failed enrolments from this address; wait and try again");
	return true;
}

static void answer_credential(struct server *server, struct http_request *request, const struct enroll_claim *claim,
			      struct enroll_result *result)
{
	bool issued = result->outcome == ENROLL_ISSUED;
	char expires[CLOCK_RFC3339_BYTES];
	struct json *answer = json_new_object();

	clock_format_rfc3339(result->not_after_s * 1000, expires);
	json_set_string(answer, "device", result->device);
	json_set_string(answer, "credential", result->credential);
	json_set_string(answer, "expires", expires);
	json_set(answer, "command_keys", steal(result->command_keys));
	json_set_int(answer, "signers", result->signers);
	json_set_int(answer, "command_counter", result->command_counter);
	log_info(issued ? "register.success" : "register.repeated", "device", result->device, "token",
		 result->token_id, "peer", claim->peer, "request_id", claim->request_id, "kind", "credential");
	count(server, issued ? "issued" : "repeated");
	settle_reply_json(server->settle, request, issued ? 201 : 200, result->device, answer);
}

struct json *claim_answer(const struct server *server, struct enroll_result *result)
{
	char not_after[CLOCK_RFC3339_BYTES];
	struct json *answer = json_new_object();
	struct json *broker = json_new_object();

	clock_format_rfc3339(result->not_after_s * 1000, not_after);
	json_set_string(broker, "host", result->cell->host);
	json_set_int(broker, "port", result->cell->port);
	json_set_string(answer, "device", result->device);
	json_set_string(answer, "certificate", result->certificate);
	json_set_string(answer, "ca", server->trust_pem);
	json_set_string(answer, "not_after", not_after);
	json_set(answer, "broker", broker);
	json_set(answer, "command_keys", steal(result->command_keys));
	json_set_int(answer, "signers", result->signers);
	json_set_int(answer, "command_counter", result->command_counter);
	return answer;
}

static void answer_granted(struct server *server, struct http_request *request, const struct enroll_claim *claim,
			   struct enroll_result *result)
{
	bool issued = result->outcome == ENROLL_ISSUED;
	struct json *answer = claim_answer(server, result);

	log_info(issued ? "register.success" : "register.repeated", "device", result->device, "token",
		 result->token_id, "peer", claim->peer, "request_id", claim->request_id, "revoked_certificates",
		 result->revoked > 0 ? log_number((int64_t)result->revoked) : NULL);
	count(server, issued ? "issued" : "repeated");
	settle_reply_json(server->settle, request, issued ? 201 : 200, result->device, answer);
}

static void answer_refused(struct server *server, struct http_request *request, const struct enroll_claim *claim,
			   const struct enroll_result *result)
{
	log_warn(result->outcome == ENROLL_EXPIRED ? "sec.token.expired" : "register.fail", "reason",
		 result->reason, "device", claim->device, "token",
		 result->token_id[0] ? result->token_id : NULL, "peer", claim->peer, "request_id", claim->request_id);
	switch (result->outcome) {
	case ENROLL_TAKEN:
		count(server, "taken");
		http_reply_problem(request, 409,
				   "this device id is taken; choose another, or ask for a token bound to this id");
		return;
	case ENROLL_BAD_CSR:
		count(server, "bad-csr");
		http_reply_problem(request, 422, CLAIM_BAD_CSR_DETAIL);
		return;
	default:
		// One answer for all bad tokens: whoever guesses learns nothing.
		throttle_failed(server->throttle, claim->peer, clock_mono_ms());
		count(server, "denied");
		http_reply_problem(request, 403,
				   "the enrolment token does not hold; ask an administrator for a new one");
	}
}

static void claim_done(struct errand *errand, bool ok, const struct error *error)
{
	struct claiming *claiming = (struct claiming *)errand;
	struct server *server = errand->server;
	struct http_request *request = errand->request;

	if (!ok) {
		count(server, "failed");
		errand_reply_failed(errand,
				    "enrolment is not possible at the moment; try again with the same key, or secret");
	} else if (is_refused(&claiming->result)) {
		answer_refused(server, request, &claiming->claim, &claiming->result);
	} else if (claiming->claim.csr) {
		answer_granted(server, request, &claiming->claim, &claiming->result);
	} else {
		answer_credential(server, request, &claiming->claim, &claiming->result);
	}
	crypto_wipe(claiming->result.credential, sizeof(claiming->result.credential));
	enroll_result_done(&claiming->result);
	errand_free(errand);
}

static void handle(struct http_request *request, struct server *server,
		   const char *(*parse)(const struct json *body, struct enroll_claim *out))
{
	struct enroll_claim claim = {.peer = http_peer(request), .request_id = http_request_id(request)};

	if (is_throttled(server, request, &claim))
		return;
	auto_json struct json *body = http_body_json(request);
	if (!body)
		return;
	const char *fault = parse(body, &claim);
	if (fault) {
		count(server, "malformed");
		http_reply_problem(request, 400, fault);
		return;
	}
	struct claiming *claiming = errand_new(sizeof(*claiming), server, request);
	claiming->errand.run = run_claim;
	claiming->errand.done = claim_done;
	claiming->errand.body = steal(body);
	claiming->claim = claim;
	errand_submit(&claiming->errand);
}

void claim_handle(struct http_request *request, void *user)
{
	handle(request, user, claim_parse);
}

void claim_handle_credential(struct http_request *request, void *user)
{
	handle(request, user, claim_parse_credential);
}
