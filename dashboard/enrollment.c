#include "dashboard/enrollment.h"

#include "common/file.h"
#include "common/limits.h"
#include "common/package.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/script.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define AGENT_HOME "/data/local/tmp/muster" // as in script/device.sh
#define VALUE_MAX_BYTES 4096

#define OS_DETAIL "\"os\" must be \"bash\" or \"windows\"."

// ---- the values ----

static bool is_address(const char *text)
{
	struct in6_addr address;

	return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

// The agent's configuration: no text of others but addresses is in it.
static bool add_configuration(const struct dashboard_config *config, struct buf *out, struct error *error)
{
	char *const *addresses = config->enrollment_broker_addresses;

	buf_addf(out, "state_dir = \"" AGENT_HOME "/state\";\ninterval_s = %ld;\n", config->enrollment_interval_s);
	if (addresses && addresses[0]) {
		buf_add_str(out, "broker = { addresses = [ ");
		for (size_t i = 0; addresses[i]; i++) {
			if (!is_address(addresses[i]))
				return error_set(error, ERROR_INVALID,
						 "enrollment.broker_addresses holds \"%.80s\", which is no IP address",
						 addresses[i]);
			buf_addf(out, "%s\"%s\"", i > 0 ? ", " : "", addresses[i]);
		}
		buf_add_str(out, " ]; };\n");
	}
	return !out->overflowed || error_set(error, ERROR_LIMIT, "enrollment.broker_addresses is too long");
}

static bool add_packages(struct dashboard *dashboard, struct buf *out, struct error *error)
{
	struct error last = {0};

	for (size_t i = 0; i < PACKAGE_KINDS; i++) {
		auto_package struct package *package = packages_take(dashboard->packages, i, &last);

		if (package)
			buf_addf(out, "%s%s %s %s", out->len_bytes > 0 ? "\n" : "", package->abi, package->file,
				 package->sha256);
	}
	return out->len_bytes > 0 ||
	       error_set(error, ERROR_NOT_FOUND,
			 "There is no package of the agent to give out (%.200s). Build one (cmake --preset "
			 "android-arm64, "
			 "cmake --build --preset android-arm64), and put it into the folder enrollment.agents_dir: "
			 "muster up does that at its start.",
			 last.what);
}

static bool make(struct dashboard *dashboard, enum script_kind kind, const char *token, struct buf *out,
		 struct error *error)
{
	const struct dashboard_config *config = &dashboard->config;
	auto_buf struct buf configuration, packages;

	buf_init(&configuration, VALUE_MAX_BYTES);
	buf_init(&packages, VALUE_MAX_BYTES);
	if (!config->enrollment_bridge_url || !config->enrollment_ca_file)
		return error_set(error, ERROR_NOT_FOUND,
				 "This dashboard does not know where devices enrol: set enrollment.bridge_url and "
				 "enrollment.ca_file in its configuration.");

	auto_free char *authority = file_read(config->enrollment_ca_file, PEM_MAX_BYTES, NULL, error);

	if (!authority || !add_configuration(config, &configuration, error) ||
	    !add_packages(dashboard, &packages, error))
		return false;
	const struct script_values values = {
		.bridge = config->enrollment_bridge_url,
		.token = token,
		.authority = authority,
		.configuration = buf_str(&configuration),
		.packages = buf_str(&packages),
	};
	return script_make(kind, &values, out, error);
}

// ---- the answers ----

static bool audit(struct dashboard *dashboard, struct http_request *request, enum script_kind kind, bool with_token)
{
	struct error error = {0};
	char detail[64];

	(void)snprintf(detail, sizeof(detail), "{\"with_token\":%s}", with_token ? "true" : "false");
	if (pg_ready(dashboard->pg, &error) && api_audit(dashboard, request, auth_of(request)->user,
							 "enrollment.script", script_file(kind), detail, &error))
		return true;
	api_reply_error(dashboard, request, &error);
	return false;
}

static void reply_fault(struct http_request *request, const struct error *error)
{
	if (error->kind == ERROR_NOT_FOUND) {
		http_reply_problem(request, 404, error->what);
		return;
	}
	log_error("enrollment.script", "error", error->what, "request_id", http_request_id(request));
	http_reply_problem(request, 500,
			   "The script could not be made; the log of muster-dashboard has the reason under "
			   "this request_id.");
}

static void reply_script(struct dashboard *dashboard, struct http_request *request, enum script_kind kind,
			 const char *token)
{
	auto_buf struct buf script;
	struct error error = {0};
	char disposition[80];

	buf_init(&script, SCRIPT_MAX_BYTES);
	if (!make(dashboard, kind, token, &script, &error)) {
		reply_fault(request, &error);
	} else if (audit(dashboard, request, kind, *token)) {
		log_info("enrollment.script", "file", script_file(kind), "user", auth_of(request)->user, "request_id",
			 http_request_id(request));
		(void)snprintf(disposition, sizeof(disposition), "attachment; filename=\"%s\"", script_file(kind));
		http_reply_header(request, "Content-Disposition", disposition);
		http_reply_header(request, "Cache-Control", "no-store");
		http_reply(request, 200, "text/plain; charset=us-ascii", buf_str(&script), script.len_bytes);
	}
	if (script.data)
		crypto_wipe(script.data, script.len_bytes);
}

void enrollment_script_get(struct http_request *request, void *user)
{
	const char *os = api_text(request, "os");
	enum script_kind kind;

	if (api_text(request, "token")) // it would stand in logs and histories
		http_reply_problem(request, 400,
				   "A token does not belong into an address: send it in the body of a POST.");
	else if (!os || !script_kind_parse(os, &kind))
		http_reply_problem(request, 400, OS_DETAIL);
	else
		reply_script(user, request, kind, "");
}

static bool is_token(const char *text)
{
	uint8_t bytes[TOKEN_BYTES];
	size_t count = 0;
	bool ok = crypto_base64url_decode(text, strlen(text), bytes, sizeof(bytes), &count) && count == sizeof(bytes);

	crypto_wipe(bytes, sizeof(bytes));
	return ok;
}

void enrollment_script_post(struct http_request *request, void *user)
{
	auto_json struct json *body = http_body_json(request);
	const char *os = "", *token = "";
	enum script_kind kind;

	if (!body)
		return;
	if (!json_member_string(body, "os", &os) || !script_kind_parse(os, &kind))
		http_reply_problem(request, 422, OS_DETAIL);
	else if (json_member(body, "token") && (!json_member_string(body, "token", &token) || !is_token(token)))
		http_reply_problem(request, 422,
				   "\"token\" must be an enrolment token (43 characters), or be left out.");
	else
		reply_script(user, request, kind, token);
}
