#include "agent/enroll.h"

#include "agent/fingerprint.h"
#include "common/file.h"
#include "common/http_client.h"
#include "common/pki.h"
#include "common/topic.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define TOKEN_MAX_BYTES 512

static bool prepare_folder(const char *path, struct error *error)
{
	if (!file_mkdirs(path, 0700, error))
		return error_prefix(error, "the state folder can't be made (run this as the user the agent runs as, or "
				    "set state_dir)");
	// It may have been there before, and be open to others.
	if (chmod(path, 0700) < 0)
		return error_errno(error, errno, "cannot set the mode of %s", path);
	return true;
}

char *enroll_read_token(const char *path, struct error *error)
{
	if (strcmp(path, "-") != 0)
		return file_read_secret(path, TOKEN_MAX_BYTES, error);
	char line[TOKEN_MAX_BYTES];
	if (!fgets(line, sizeof(line), stdin)) {
		(void)error_set(error, ERROR_INVALID, "standard input holds no token");
		return NULL;
	}
	line[strcspn(line, "\r\n")] = '\0';
	char *token = strdup(line);
	crypto_wipe(line, sizeof(line));
	return token;
}

static char *make_request(const char *csr, const char *token, const char *wish, const char *fingerprint)
{
	struct json *request auto_json = json_new_object();
	json_set_string(request, "token", token);
	json_set_string(request, "csr", csr);
	if (wish)
		json_set_string(request, "device", wish);
	if (*fingerprint)
		json_set_string(request, "fingerprint", fingerprint);
	return strdup(json_text(request));
}

// Each answer with what to do next.
static bool refused(int status, const struct buf *response, struct error *error)
{
	struct json *problem auto_json = json_parse(buf_str(response), response->len_bytes, NULL);
	const char *detail = "";
	const char *request_id = "unknown";
	if (problem) {
		if (!json_member_string(problem, "detail", &detail))
			(void)json_member_string(problem, "title", &detail);
		(void)json_member_string(problem, "request_id", &request_id);
	}
	const char *cure = "look into the bridge's log for the request id";
	enum error_kind kind = ERROR_FAILED;
	if (status == 400) {
		cure = "check that the token was copied whole (43 characters), and that --device is a device id";
		kind = ERROR_INVALID;
	} else if (status == 403) {
		cure = "the token is unknown, used up, expired or revoked: ask for a new one (muster token create)";
		kind = ERROR_DENIED;
	} else if (status == 409) {
		cure = "choose another id with --device, or let the administrator delete the old device";
		kind = ERROR_EXISTS;
	} else if (status == 422) {
		cure = "delete device.key in state_dir and try again";
		kind = ERROR_INVALID;
	} else if (status == 429) {
		cure = "wait a minute and try again";
		kind = ERROR_LIMIT;
	} else if (status == 404) {
		cure = "check bridge.url: there is no bridge behind it";
		kind = ERROR_INVALID;
	}
	return error_set(error, kind, "the bridge refused the enrolment (HTTP %d%s%.200s, request %.64s); %s", status,
			 *detail ? ": " : "", detail, request_id, cure);
}

static bool ask(const struct agent_options *options, const char *request, struct buf *response, struct error *error)
{
	struct http_client *client cleanup(http_client_free_cleanup) =
		http_client_new(options->bridge_url, options->bridge_ca_file, NULL, error);
	int status = 0;
	if (!client)
		return error_prefix(error, "bridge.url");
	if (!http_client_request(client, "POST", "/v1/enroll", request, &status, response, error)) {
		const char *cure =
			"check that the bridge runs and that bridge.url and the firewall let this device reach it";
		if (error && error->kind == ERROR_DENIED)
			cure = "check that bridge.ca_file holds the CA of this bridge, and this device's clock";
		char what[sizeof(error->what)];
		(void)snprintf(what, sizeof(what), "%s", error ? error->what : "");
		return error_set(error, error ? error->kind : ERROR_FAILED, "the bridge can't be reached: %s; %s", what,
				 cure);
	}
	return status == 200 || status == 201 || refused(status, response, error);
}

// What the server says must fit the key it was asked for.
static bool check_certificate(const char *pem, const char *csr, const char *device, int64_t *enrolled_s,
			      struct error *error)
{
	struct pki_certificate_info info;
	char key_sha256[SHA256_HEX_BYTES];
	if (!pki_certificate_info(pem, &info, error) || !pki_csr_key_sha256(csr, key_sha256, error))
		return false;
	if (strcmp(info.key_sha256, key_sha256) != 0)
		return error_set(error, ERROR_INVALID, "the certificate is for another key than this device's");
	if (strcmp(info.common_name, device) != 0)
		return error_set(error, ERROR_INVALID, "the certificate is for %s, and not for %s", info.common_name,
				 device);
	*enrolled_s = info.not_before_s;
	return true;
}

static bool keep(struct identity *identity, const struct buf *response, const char *csr, const char *fingerprint,
		 struct error *error)
{
	struct json *answer auto_json = json_parse(buf_str(response), response->len_bytes, error);
	const char *certificate = "";
	const char *ca = "";
	struct pki_certificate_info ca_info;
	if (!answer || !identity_parse(identity, answer, error))
		return false;
	if (!json_member_string(answer, "certificate", &certificate) || !json_member_string(answer, "ca", &ca))
		return error_set(error, ERROR_INVALID, "\"certificate\" or \"ca\" is missing");
	if (!check_certificate(certificate, csr, identity->device, &identity->enrolled_s, error) ||
	    !pki_certificate_info(ca, &ca_info, error))
		return false;
	(void)snprintf(identity->fingerprint, sizeof(identity->fingerprint), "%s", fingerprint);
	// identity.json last: it says that all is there.
	return file_write(identity->ca_file, ca, strlen(ca), 0600, error) &&
	       file_write(identity->cert_file, certificate, strlen(certificate), 0600, error) &&
	       identity_save(identity, error);
}

bool enroll(const struct agent_options *options, const char *token, const char *wish, struct identity *identity,
	    bool *already, struct error *error)
{
	identity_init(identity, options->state_dir);
	*already = identity_exists(identity);
	if (*already)
		return identity_load(identity, error);
	if (wish && !topic_is_device_id(wish))
		return error_set(error, ERROR_INVALID, "--device %.80s is no device id: use 1 to 63 of a-z, 0-9 and -, "
				 "and no - at the start", wish);
	if (!options->bridge_url)
		return error_set(error, ERROR_INVALID,
				 "there is no bridge to ask: set bridge.url in the configuration");
	if (!prepare_folder(options->state_dir, error))
		return false;
	if (!file_exists(identity->key_file) && !pki_key_create(identity->key_file, error))
		return false;

	char fingerprint[SHA256_HEX_BYTES] = ""; // stays empty when the machine has nothing to tell it by
	(void)!fingerprint_read("", fingerprint, NULL);
	char *csr auto_free = pki_csr_create(identity->key_file, wish ? wish : "device", error);
	if (!csr)
		return false;
	char *request auto_free = make_request(csr, token, wish, fingerprint);
	if (!request)
		abort();
	struct buf response auto_buf = {0};
	buf_init(&response, HTTP_BODY_MAX_BYTES);
	bool ok = ask(options, request, &response, error);
	crypto_wipe(request, strlen(request));
	if (!ok)
		return false;
	if (!keep(identity, &response, csr, fingerprint, error))
		return error_prefix(error,
				    "the bridge answered with something that can't be used (is its version that of "
				    "this agent, %s?)",
				    MUSTER_VERSION);
	return true;
}
