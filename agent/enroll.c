#include "agent/enroll.h"

#include "agent/lock.h"
#include "agent/provision.h"
#include "common/file.h"
#include "common/http_client.h"
#include "common/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_MAX_BYTES 512

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
		cure = "run muster-agent unenroll, so that a new key is made, and try again";
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

bool enroll(const struct agent_options *options, const char *token, const char *wish, bool again,
	    struct identity *identity, bool *already, struct error *error)
{
	identity_init(identity, options->state_dir, options->root);
	*already = false;
	again = again && identity_exists(identity);
	auto_close int lock_fd = again ? lock_take(identity->state_dir, error) : -1;
	if (again && (lock_fd < 0 || !identity_load(identity, error)))
		return error_prefix(error, "stop the agent first, if it runs");
	if (!again && identity_exists(identity)) {
		*already = true;
		return identity_load(identity, error);
	}
	if (!options->bridge_url)
		return error_set(error, ERROR_INVALID,
				 "there is no bridge to ask: set bridge.url in the configuration");
	struct json *request auto_json =
		again ? provision_request_again(identity, error) : provision_request(identity, wish, error);
	if (!request)
		return false;
	json_set_string(request, "token", token);
	struct buf response auto_buf = {0};
	buf_init(&response, HTTP_BODY_MAX_BYTES);
	if (!ask(options, json_text(request), &response, error))
		return false;
	struct json *answer auto_json = json_parse(buf_str(&response), response.len_bytes, error);
	if (!answer || !(again ? provision_install_again(identity, answer, error) :
				 provision_install(identity, answer, error)))
		return error_prefix(error,
				    "the bridge answered with something that can't be used (is its version that of "
				    "this agent, %s?)",
				    MUSTER_VERSION);
	return true;
}
