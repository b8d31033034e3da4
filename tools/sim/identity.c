#include "tools/sim/identity.h"

#include "common/buf.h"
#include "common/crypto.h"
#include "common/file.h"
#include "common/json.h"
#include "common/key.h"
#include "common/pki.h"
#include "common/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_MAX_BYTES (64UL * 1024)

void identity_done(struct identity *identity)
{
	free(identity->host);
	free(identity->keys);
	key_free(identity->key);
	memset(identity, 0, sizeof(*identity));
}

static bool parse_key(const struct json *json, struct jws_key *out)
{
	uint8_t public_key[JWS_KEY_BYTES];
	const char *x;
	const char *kid;
	size_t len_bytes;

	if (!json_member_string(json, "x", &x) || !json_member_string(json, "kid", &kid) ||
	    !crypto_base64url_decode(x, strlen(x), public_key, sizeof(public_key), &len_bytes) ||
	    len_bytes != sizeof(public_key))
		return false;
	jws_key_from_public(out, public_key);
	return strcmp(out->kid, kid) == 0;
}

static bool parse_keys(const struct json *array, struct identity *out, struct error *error)
{
	size_t count = json_array_length(array);

	out->keys = calloc(count + 1, sizeof(*out->keys));
	if (!out->keys)
		return error_set(error, ERROR_FAILED, "no memory for command keys");
	for (size_t i = 0; i < count; i++) {
		if (!parse_key(json_array_at(array, i), &out->keys[i]))
			return error_set(error, ERROR_INVALID, "command_keys[%zu] is no Ed25519 key", i);
	}
	out->key_count = count;
	return true;
}

bool identity_parse(const char *text, size_t len_bytes, struct identity *out, struct error *error)
{
	auto_json struct json *json = json_parse(text, len_bytes, error);
	struct identity identity = {.host = NULL};
	const char *device;
	const char *host;
	int64_t port;

	if (!json)
		return false;
	const struct json *broker = json_member(json, "broker");
	const struct json *keys = json_member(json, "command_keys");
	if (!json_member_string(json, "device", &device) || !topic_is_device_id(device) ||
	    !json_member_string(broker, "host", &host) || !json_member_int(broker, "port", &port) || port < 1 ||
	    port > 65535 || !keys || json_type(keys) != JSON_ARRAY)
		return error_set(error, ERROR_INVALID, "the identity lacks device, broker or command_keys");
	(void)snprintf(identity.device, sizeof(identity.device), "%s", device);
	identity.port = (int)port;
	(void)json_member_int(json, "signers", &identity.signers);
	identity.host = strdup(host);
	if (!identity.host || !parse_keys(keys, &identity, error)) {
		identity_done(&identity);
		return false;
	}
	*out = identity;
	return true;
}

static char *path_in(const char *dir, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", dir, name) < 0 ? NULL : path;
}

static bool write_in(const char *dir, const char *name, const char *text, mode_t mode, struct error *error)
{
	auto_free char *path = path_in(dir, name);

	return path ? file_write(path, text, strlen(text), mode, error) :
		      error_set(error, ERROR_FAILED, "no memory for a path");
}

bool identity_load(const char *dir, struct identity *out, struct error *error)
{
	auto_free char *path = path_in(dir, "identity.json");
	size_t len_bytes;

	if (!path)
		return error_set(error, ERROR_FAILED, "no memory for a path");
	if (!file_exists(path))
		return error_set(error, ERROR_NOT_FOUND, "%s does not exist", path);
	auto_free char *text = file_read(path, ANSWER_MAX_BYTES, &len_bytes, error);
	if (!text)
		return false;
	return identity_parse(text, len_bytes, out, error) || error_prefix(error, "%s", path);
}

// The body of the claim, with the key in dir, which is made when it is not there.
static struct json *make_claim(const char *token, const char *device, const char *fingerprint, const char *dir,
			struct error *error)
{
	auto_free char *key = path_in(dir, "device.key");

	if (!key || !file_mkdirs(dir, 0700, error))
		return NULL;
	if (!file_exists(key) && !pki_key_create(key, error))
		return NULL;
	auto_free char *csr = pki_csr_create(key, device, error);
	if (!csr)
		return NULL;
	struct json *claim = json_new_object();
	json_set_string(claim, "token", token);
	json_set_string(claim, "csr", csr);
	json_set_string(claim, "device", device);
	json_set_string(claim, "fingerprint", fingerprint);
	return claim;
}

static bool refused(int status, const struct buf *answer, struct error *error)
{
	auto_json struct json *problem = json_parse(buf_str(answer), answer->len_bytes, NULL);
	const char *detail = "";
	enum error_kind kind = ERROR_DENIED;

	if (problem)
		(void)json_member_string(problem, "detail", &detail);
	if (status == 429)
		kind = ERROR_LIMIT;
	else if (status >= 500)
		kind = ERROR_UNREACHABLE;
	return error_set(error, kind, "the bridge answered %d: %s", status, detail);
}

// identity.json comes last: while it is missing the device has not enrolled.
static bool keep(const char *dir, const struct buf *answer, const char *device, struct identity *out,
		 struct error *error)
{
	auto_json struct json *json = json_parse(buf_str(answer), answer->len_bytes, error);
	auto_json struct json *file = json_new_object();
	const char *certificate;
	const char *ca;

	if (!json)
		return false;
	if (!json_member_string(json, "certificate", &certificate) || !json_member_string(json, "ca", &ca))
		return error_set(error, ERROR_INVALID, "the bridge's answer lacks certificate or ca");
	if (!identity_parse(buf_str(answer), answer->len_bytes, out, error))
		return false;
	if (strcmp(out->device, device) != 0) {
		error_set(error, ERROR_INVALID, "asked to be %s and was made %s: the token is bound to one device",
			  device, out->device);
		identity_done(out);
		return false;
	}
	json_set_string(file, "device", device);
	json_set(file, "broker", json_copy(json_member(json, "broker")));
	json_set(file, "command_keys", json_copy(json_member(json, "command_keys")));
	json_set_int(file, "signers", out->signers);
	if (!write_in(dir, "device.crt", certificate, 0644, error) || !write_in(dir, "ca.crt", ca, 0644, error) ||
	    !write_in(dir, "identity.json", json_text(file), 0600, error)) {
		identity_done(out);
		return false;
	}
	return true;
}

bool identity_enroll(struct http_client *bridge, const char *token, const char *device, const char *fingerprint,
		     const char *dir, struct identity *out, struct error *error)
{
	auto_json struct json *claim = make_claim(token, device, fingerprint, dir, error);
	auto_buf struct buf answer;
	int status;

	buf_init(&answer, ANSWER_MAX_BYTES);
	if (!claim)
		return false;
	if (!http_client_request(bridge, "POST", "/v1/enroll", json_text(claim), &status, &answer, error))
		return false;
	if (status != 200 && status != 201)
		return refused(status, &answer, error);
	return keep(dir, &answer, device, out, error);
}

void identity_look(const char *dir, struct identity *identity)
{
	auto_free char *cert_path = path_in(dir, "device.crt");
	auto_free char *ca_path = path_in(dir, "ca.crt");
	auto_free char *cert = cert_path ? file_read(cert_path, PEM_MAX_BYTES, NULL, NULL) : NULL;
	auto_free char *ca = ca_path ? file_read(ca_path, PEM_MAX_BYTES, NULL, NULL) : NULL;
	struct pki_certificate_info info;

	if (cert && pki_certificate_info(cert, &info, NULL))
		(void)snprintf(identity->certificate, sizeof(identity->certificate), "%s", info.serial);
	if (ca)
		crypto_sha256_hex(ca, strlen(ca), identity->trust);
}

bool identity_sign(const char *dir, struct identity *identity, struct error *error)
{
	auto_free char *path = path_in(dir, "device.key");

	if (!path)
		return error_set(error, ERROR_FAILED, "no memory for a path");
	identity->key = key_load(path, error);
	return identity->key;
}

bool identity_trust(const char *dir, const char *ca, struct identity *identity, struct error *error)
{
	struct pki_bundle bundle auto_pki_bundle = {0};

	if (!pki_bundle_parse(ca, &bundle, error) || !write_in(dir, "ca.crt", ca, 0644, error))
		return false;
	identity_look(dir, identity);
	return true;
}
