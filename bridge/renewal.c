#include "bridge/renewal.h"

#include "bridge/errand.h"
#include "common/clock.h"
#include "common/crypto.h"

#include <stdio.h>
#include <string.h>

// How each outcome is told.
static const struct {
	const char *error; // "error" over MQTT, and in the metrics
	int status;	   // of HTTP
	const char *detail;
} tales[] = {
	[RENEW_ISSUED] = {"issued", 200, NULL},
	[RENEW_REPEATED] = {"repeated", 200, NULL},
	[RENEW_DENIED] =
		{"denied", 403,
		 "this device may not renew its certificate: it is disabled or revoked, or the certificate does"
		 " not hold; an administrator can enrol it again with a token"},
	[RENEW_EARLY] = {"too early", 409, "less than half of the certificate's lifetime is over; keep it"},
	[RENEW_SOON] = {"too soon", 429, "one certificate a minute; ask again with the same key"},
	[RENEW_FULL] = {"too many", 409,
			"too many certificates of this device hold; say hello with the one in use, and the others end"},
	[RENEW_BAD_CSR] = {"bad request", 422,
			   "the certificate request was refused: it must be PEM, signed with its own key, and the key"
			   " ECDSA P-256, P-384 or RSA of 2048 bits and more"},
	[RENEW_FAILED] = {"unavailable", 503, "renewal is not possible at the moment; try again with the same key"},
};

static bool is_request(const char *text)
{
	size_t len_bytes = strlen(text);

	return len_bytes >= 1 && len_bytes < RENEWAL_REQUEST_BYTES &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") == len_bytes;
}

static bool is_hex_sha256(const char *text)
{
	return strlen(text) == SHA256_HEX_BYTES - 1 && strspn(text, "0123456789abcdef") == SHA256_HEX_BYTES - 1;
}

const char *renewal_parse(const struct json *json, bool with_request, struct renewal_request *out)
{
	const struct json *fingerprint = json_member(json, "fingerprint");
	const char *request = NULL;

	*out = (struct renewal_request){0};
	if (json_type(json) != JSON_OBJECT)
		return "not a JSON object";
	if (with_request && (!json_member_string(json, "request", &request) || !is_request(request)))
		return "\"request\" must be a string of 1 to 36 letters, digits and -";
	out->request = request;
	if (!json_member_string(json, "csr", &out->csr))
		return "\"csr\" must be a string: a certificate request in PEM form";
	if (strlen(out->csr) > PEM_MAX_BYTES)
		return "\"csr\" is larger than 16 kB";
	if (fingerprint && json_type(fingerprint) != JSON_NULL &&
	    (!json_as_string(fingerprint, &out->fingerprint) || !is_hex_sha256(out->fingerprint)))
		return "\"fingerprint\" must be 64 lower-case hexadecimal digits";
	return NULL;
}

static void count(struct server *server, const char *outcome)
{
	char labels[48];

	(void)snprintf(labels, sizeof(labels), "outcome=\"%s\"", outcome);
	metric_add(metrics_counter(server->metrics, "muster_renewals_total", labels, "Certificate renewals by outcome"),
		   1);
}

// Each request costs the database a transaction, so a device has few of them.
static bool is_throttled(struct server *server, const char *device, int64_t *retry_after_s)
{
	int64_t now_ms = clock_mono_ms();
	struct throttle_verdict verdict = throttle_check(server->renewals, device, now_ms);

	throttle_failed(server->renewals, device, now_ms);
	*retry_after_s = verdict.retry_after_s;
	if (verdict.blocked)
		count(server, "throttled");
	return verdict.blocked;
}

struct renewing {
	struct errand errand;
	struct renew_claim claim;
	struct renewal_request wish;
	struct pki_certificate_info shown;   // over HTTPS
	char device[PRINCIPAL_MAX];	     // over MQTT
	char request_id[REQUEST_ID_MAX + 1]; // likewise
	struct renew_result result;
};

static bool run_renew(struct errand *errand, struct error *error)
{
	struct renewing *renewing = (struct renewing *)errand;

	renewing->result = renew_run(errand->enroll.pg, &errand->authority, errand->server->options, &renewing->claim,
				     error);
	return renewing->result.outcome != RENEW_FAILED;
}

// Counts and logs.
static void tell(struct renewing *renewing, bool ok)
{
	struct server *server = renewing->errand.server;
	const struct renew_claim *claim = &renewing->claim;
	struct renew_result *result = &renewing->result;

	if (!ok)
		result->outcome = RENEW_FAILED;
	count(server, tales[result->outcome].error);
	if (result->certificate)
		log_info(result->outcome == RENEW_ISSUED ? "renew.success" : "renew.repeated", "device", claim->device,
			 "serial", result->serial, "peer", claim->peer, "request_id", claim->request_id);
	else if (result->reason)
		log_warn("renew.fail", "device", claim->device, "reason", result->reason, "peer", claim->peer,
			 "request_id", claim->request_id);
}

static void renewing_free(struct renewing *renewing)
{
	renew_result_done(&renewing->result);
	errand_free(&renewing->errand);
}

static struct json *granted(const struct server *server, const struct renew_result *result)
{
	struct json *answer = json_new_object();
	char not_after[CLOCK_RFC3339_BYTES];

	clock_format_rfc3339(result->not_after_s * 1000, not_after);
	json_set_string(answer, "certificate", result->certificate);
	json_set_string(answer, "ca", server->authority.trust_pem);
	json_set_string(answer, "not_after", not_after);
	return answer;
}

// ---- over MQTT ----

static void answer_device(struct server *server, const char *device, struct json *answer)
{
	char topic[TOPIC_MAX_BYTES];
	struct error error = {.kind = ERROR_NONE};

	if (!topic_build(topic, TOPIC_CERTIFICATE, device, NULL))
		return;
	const char *text = json_text(answer);
	const struct mqtt_publish publish = {.topic = topic, .payload = text, .payload_bytes = strlen(text), .qos = 1};
	// The device asks again.
	if (!link_publish(server->link, &publish, NULL, &error))
		log_warn("renew.unanswered", "device", device, "error", error.what);
}

static struct json *refusal(const char *request, const char *error, const char *detail)
{
	struct json *answer = json_new_object();

	if (request)
		json_set_string(answer, "request", request);
	json_set_string(answer, "error", error);
	json_set_string(answer, "detail", detail);
	return answer;
}

static void csr_done(struct errand *errand, bool ok, const struct error *error)
{
	struct renewing *renewing = (struct renewing *)errand;
	const struct renew_result *result = &renewing->result;
	struct json *answer auto_json = NULL;

	tell(renewing, ok);
	if (result->certificate) {
		answer = granted(errand->server, result);
		json_set_string(answer, "request", renewing->wish.request);
	} else {
		answer = refusal(renewing->wish.request, tales[result->outcome].error, tales[result->outcome].detail);
		if (result->retry_after_s > 0)
			json_set_int(answer, "retry_after_s", result->retry_after_s);
	}
	answer_device(errand->server, renewing->device, answer);
	renewing_free(renewing);
}

void renewal_on_csr(const struct topic *topic, const struct mqtt_message *message, void *user)
{
	struct server *server = user;
	const char *device = topic->principal;
	struct renewal_request request;
	struct error error = {.kind = ERROR_NONE};
	int64_t retry_after_s;

	if (is_throttled(server, device, &retry_after_s))
		return;
	struct json *body auto_json =
		json_parse(message->payload ? message->payload : "", message->payload_bytes, &error);
	const char *fault = body ? renewal_parse(body, true, &request) : "not JSON";
	if (fault) {
		struct json *answer auto_json = refusal(body ? request.request : NULL, "malformed", fault);

		count(server, "malformed");
		answer_device(server, device, answer);
		return;
	}
	struct renewing *renewing = errand_new(sizeof(*renewing), server, NULL);
	renewing->errand.run = run_renew;
	renewing->errand.done = csr_done;
	renewing->errand.body = steal(body);
	renewing->wish = request;
	(void)snprintf(renewing->device, sizeof(renewing->device), "%s", device);
	(void)snprintf(renewing->request_id, sizeof(renewing->request_id), "%s",
		       message->request_id ? message->request_id : "");
	renewing->claim = (struct renew_claim){
		.device = renewing->device,
		.csr = request.csr,
		.fingerprint = request.fingerprint,
		.peer = "mqtt",
		.request_id = renewing->request_id,
	};
	errand_submit(&renewing->errand);
}

// ---- over HTTPS ----

// The device that the certificate in TLS is of; answers 401 itself.
static bool peer_device(struct http_request *request, struct pki_certificate_info *info)
{
	auto_free char *pem = http_peer_certificate(request);

	if (pem && pki_certificate_info(pem, info, NULL) && topic_is_device_id(info->common_name))
		return true;
	http_reply_problem(
		request, 401,
		"show the device's present certificate in the TLS handshake; without one, enrol with a token");
	return false;
}

static void retry_after(struct http_request *request, int64_t seconds)
{
	char text[24];

	(void)snprintf(text, sizeof(text), "%lld", (long long)seconds);
	http_reply_header(request, "Retry-After", text);
}

static void renew_done(struct errand *errand, bool ok, const struct error *error)
{
	struct renewing *renewing = (struct renewing *)errand;
	const struct renew_result *result = &renewing->result;
	struct http_request *request = errand->request;

	tell(renewing, ok);
	if (result->certificate) {
		http_reply_json(request, tales[result->outcome].status, granted(errand->server, result));
	} else {
		if (result->outcome == RENEW_SOON || result->outcome == RENEW_FAILED)
			retry_after(request, result->retry_after_s > 0 ? result->retry_after_s : 5);
		http_reply_problem(request, tales[result->outcome].status, tales[result->outcome].detail);
	}
	renewing_free(renewing);
}

void renewal_handle(struct http_request *request, void *user)
{
	struct server *server = user;
	struct pki_certificate_info shown;
	struct renewal_request wish;
	int64_t retry_after_s;

	if (!peer_device(request, &shown))
		return;
	if (is_throttled(server, shown.common_name, &retry_after_s)) {
		retry_after(request, retry_after_s);
		http_reply_problem(request, 429, "too many requests of this device; ask again with the same key");
		return;
	}
	struct json *body auto_json = http_body_json(request);
	if (!body)
		return;
	const char *fault = renewal_parse(body, false, &wish);
	if (fault) {
		count(server, "malformed");
		http_reply_problem(request, 400, fault);
		return;
	}
	struct renewing *renewing = errand_new(sizeof(*renewing), server, request);
	renewing->errand.run = run_renew;
	renewing->errand.done = renew_done;
	renewing->errand.body = steal(body);
	renewing->shown = shown;
	renewing->claim = (struct renew_claim){
		.device = renewing->shown.common_name,
		.csr = wish.csr,
		.fingerprint = wish.fingerprint,
		.serial = renewing->shown.serial,
		.peer = http_peer(request),
		.request_id = http_request_id(request),
	};
	errand_submit(&renewing->errand);
}
