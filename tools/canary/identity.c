#include "tools/canary/identity.h"

#include "common/buf.h"
#include "common/http_client.h"
#include "common/json.h"
#include "common/pki.h"
#include "tools/canary/findings.h"

#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX_BYTES (64UL * 1024)

void identity_done(struct identity *identity)
{
	crypto_secret_cleanup(&identity->key);
	tls_free(identity->tls);
	free(identity->host);
	crypto_wipe(identity, sizeof(*identity));
}

static bool begin(struct identity *identity, struct pg *pg, long cell, struct error *error)
{
	char hash[SHA256_HEX_BYTES];

	crypto_random_token(identity->token);
	crypto_sha256_hex(identity->token, strlen(identity->token), hash);
	if (!findings_token(pg, cell, hash, error))
		return error_prefix(error, "making a token");
	identity->key = pki_key_new(error);
	return identity->key != NULL;
}

static struct json *make_claim(const struct identity *identity, const char *device, struct error *error)
{
	auto_free char *csr = pki_csr_of_key(identity->key, device, error);
	if (!csr)
		return NULL;
	struct json *claim = json_new_object();

	json_set_string(claim, "token", identity->token);
	json_set_string(claim, "csr", csr);
	return claim;
}

static bool refused(int status, const struct buf *answer, struct error *error)
{
	auto_json struct json *problem = json_parse(buf_str(answer), answer->len_bytes, NULL);
	const char *detail = "";

	if (problem)
		(void)json_member_string(problem, "detail", &detail);
	return error_set(error, status == 429 || status >= 500 ? ERROR_UNREACHABLE : ERROR_DENIED,
			 "the bridge answered %d: %s", status, detail);
}

static bool take_broker(struct identity *identity, const struct options *options, const struct json *answer,
			struct error *error)
{
	const struct json *broker = json_member(answer, "broker");
	const char *host = NULL;
	int64_t port = 0;

	if (!json_member_string(broker, "host", &host) || !json_member_int(broker, "port", &port) || port < 1 ||
	    port > 65535)
		return error_set(error, ERROR_INVALID, "the bridge's answer names no broker");
	free(identity->host);
	identity->host = strdup(options->broker_host ? options->broker_host : host);
	identity->port = options->broker_port > 0 ? (int)options->broker_port : (int)port;
	return identity->host || error_set(error, ERROR_LIMIT, "no memory for a host");
}

// Takes what the bridge answered, for the key that is there.
static bool take_answer(struct identity *identity, const struct options *options, const char *device,
			const char *answer, size_t answer_bytes, struct error *error)
{
	auto_json struct json *json = json_parse(answer, answer_bytes, error);
	struct tls_credential credential = {.key = identity->key};
	struct pki_certificate_info info;
	const char *id = NULL;

	if (!json)
		return false;
	if (!json_member_string(json, "device", &id) || strcmp(id, device) != 0 ||
	    !json_member_string(json, "certificate", &credential.certificate) ||
	    !json_member_string(json, "ca", &credential.ca))
		return error_set(error, ERROR_INVALID, "the bridge's answer is no certificate for %s", device);
	if (!pki_certificate_info(credential.certificate, &info, error) ||
	    !pki_check_pair(identity->key, credential.certificate, error) ||
	    !take_broker(identity, options, json, error))
		return false;
	memcpy(identity->serial, info.serial, sizeof(identity->serial));
	crypto_sha256_hex(credential.ca, strlen(credential.ca), identity->trust);
	tls_free(identity->tls);
	identity->tls = tls_new(identity->host, &credential, error);
	return identity->tls != NULL;
}

static bool ask(struct identity *identity, const struct options *options, const char *device, struct error *error)
{
	auto_json struct json *claim = make_claim(identity, device, error);
	auto_buf struct buf answer = {0};
	int status = 0;

	if (!claim)
		return false;
	struct http_client *bridge cleanup(http_client_free_cleanup) =
		http_client_new(options->bridge_url, options->bridge_ca_file, NULL, error);
	buf_init(&answer, ANSWER_MAX_BYTES);
	if (!bridge || !http_client_request(bridge, "POST", "/v1/enroll", json_text(claim), &status, &answer, error))
		return false;
	if (status != 200 && status != 201)
		return refused(status, &answer, error);
	return take_answer(identity, options, device, buf_str(&answer), answer.len_bytes, error);
}

bool identity_enroll(struct identity *identity, struct pg *pg, const struct options *options, const char *device,
		     struct error *error)
{
	struct error why = {0};

	if (!identity->key && !begin(identity, pg, options->cell, error)) {
		identity_done(identity);
		return false;
	}
	if (ask(identity, options, device, &why))
		return true;
	if (why.kind == ERROR_DENIED || why.kind == ERROR_INVALID)
		identity_done(identity); // a token that was refused is of no more use
	if (error)
		*error = why;
	return error_prefix(error, "enrolling %s", device);
}
