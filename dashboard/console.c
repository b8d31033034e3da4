#include "dashboard/console.h"

#include "common/clock.h"
#include "common/console.h"
#include "common/topic.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX_BYTES 8192

// What of $1 is no device that may be seen.
static const char MISSING_SQL[] = "select x from unnest($1::text[]) x"
				  " where not exists (select from device d where d.device = x) limit 1";
// Every device there is: only for who sees all, where there is one tenant.
static const char TENANTS_SQL[] = "select count(*) from tenant";

bool console_load(struct dashboard *dashboard, struct error *error)
{
	const struct dashboard_config *config = &dashboard->config;

	if (!config->console_url)
		return true;
	if (!config->console_key_file)
		return error_set(error, ERROR_INVALID, "console.url needs console.key_file");
	dashboard->console_signer = jws_signer_load(config->console_key_file, error);
	return dashboard->console_signer && assets_allow_console(dashboard->assets, config->console_url, error);
}

// ---- what is asked for ----

static bool add_device(struct console_grant *grant, const char *device, struct error *error)
{
	if (!topic_is_device_id(device))
		return error_set(error, ERROR_INVALID, "\"%.64s\" is no device id.", device);
	for (size_t i = 0; i < grant->count; i++) {
		if (strcmp(grant->devices[i], device) == 0)
			return true;
	}
	if (grant->count == CONSOLE_DEVICES_MAX)
		return error_set(error, ERROR_INVALID, "A console shows at most %d devices.", CONSOLE_DEVICES_MAX);
	(void)snprintf(grant->devices[grant->count++], sizeof(grant->devices[0]), "%s", device);
	return true;
}

static bool read_body(const struct json *body, struct console_grant *grant, struct error *error)
{
	const struct json *all = json_member(body, "all"), *list = json_member(body, "devices");
	const char *device = NULL;

	if (all && !json_as_bool(all, &grant->all))
		return error_set(error, ERROR_INVALID, "\"all\" must be true or false.");
	if (json_member_string(body, "device", &device) && !add_device(grant, device, error))
		return false;
	for (size_t i = 0; i < json_array_length(list); i++) {
		if (!json_as_string(json_array_at(list, i), &device))
			return error_set(error, ERROR_INVALID, "\"devices\" must be a list of device ids.");
		if (!add_device(grant, device, error))
			return false;
	}
	return grant->all != (grant->count > 0) ||
	       error_set(error, ERROR_INVALID, "Say \"device\", \"devices\" (a list), or \"all\": true.");
}

// ---- whether it may be ----

// False: the request is answered.
static bool may_see(struct dashboard *dashboard, struct http_request *request, const struct console_grant *grant)
{
	auto_pg_result struct pg_result *rows = NULL;
	auto_buf struct buf names;
	char detail[160];

	buf_init(&names, NAMES_MAX_BYTES);
	for (size_t i = 0; i < grant->count; i++)
		buf_addf(&names, "%c%s", i == 0 ? '{' : ',', grant->devices[i]);
	buf_add_str(&names, "}");

	const char *const params[] = {buf_str(&names)};

	if (!api_query_again(dashboard, request, &rows, grant->all ? TENANTS_SQL : MISSING_SQL, grant->all ? 0 : 1,
			     params))
		return false;
	if (grant->all) {
		if (scope_is_all(&auth_of(request)->scope) && pg_int(rows, 0, 0) == 1)
			return true;
		http_reply_problem(request, 403, "You see only a part of all devices: name those that you want.");
		return false;
	}
	if (pg_rows(rows) == 0)
		return true;
	(void)snprintf(detail, sizeof(detail), "There is no device %s; GET /api/v1/devices lists them all.",
		       pg_text(rows, 0, 0));
	http_reply_problem(request, 404, detail);
	return false;
}

// ---- the answer ----

static void add_list(struct buf *out, const struct console_grant *grant, const char *before, const char *after)
{
	buf_add_str(out, "[");
	for (size_t i = 0; i < grant->count; i++)
		buf_addf(out, "%s\"%s%s%s\"", i == 0 ? "" : ",", before, grant->devices[i], after);
	buf_add_str(out, grant->all ? "\"fleet/v1/#\"]" : "]");
}

static bool audit(struct dashboard *dashboard, struct http_request *request, const struct console_grant *grant,
		  struct error *error)
{
	auto_buf struct buf detail;

	buf_init(&detail, NAMES_MAX_BYTES);
	buf_add_str(&detail, grant->all ? "{\"devices\":\"all\"}" : "{\"devices\":");
	if (!grant->all) {
		add_list(&detail, grant, "", "");
		buf_add_str(&detail, "}");
	}
	return api_audit(dashboard, request, grant->user, "console.open",
			 grant->all ? "all devices" : grant->devices[0], buf_str(&detail), error);
}

static void reply(struct dashboard *dashboard, struct http_request *request, const struct console_grant *grant,
		  const char *token)
{
	char expires[CLOCK_RFC3339_BYTES];
	auto_buf struct buf answer;

	buf_init(&answer, API_ANSWER_MAX_BYTES);
	clock_format_rfc3339(grant->expires_s * 1000, expires);
	buf_addf(&answer, "{\"url\":\"%s\",\"client_id\":\"%s\",\"username\":\"%s\",\"password\":\"%s\",",
		 dashboard->config.console_url, grant->client_id, grant->user, token);
	buf_addf(&answer, "\"expires_at\":\"%s\",\"topics\":", expires);
	add_list(&answer, grant, "fleet/v1/", "/#");
	buf_add_str(&answer, "}");
	api_reply_text(request, 201, buf_str(&answer));
}

void console_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *body = http_body_json(request);
	struct console_grant grant = {0};
	struct error error = {0};

	if (!body)
		return;
	if (!dashboard->console_signer) {
		http_reply_problem(request, 404, "There is no live console here: an administrator sets console.url and "
						 "console.key_file of muster-dashboard.");
		return;
	}
	if (!read_body(body, &grant, &error)) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	(void)snprintf(grant.user, sizeof(grant.user), "%s", auth_of(request)->user);
	grant.issued_s = clock_wall_ms() / 1000;
	grant.expires_s = grant.issued_s + dashboard->config.console_lifetime_s;
	if (grant.expires_s > auth_of(request)->expires_us / 1000000) // not longer than the login
		grant.expires_s = auth_of(request)->expires_us / 1000000;
	console_client_id(grant.client_id);
	if (!may_see(dashboard, request, &grant))
		return;

	auto_secret char *token = console_sign(dashboard->console_signer, &grant, &error);

	if (token && audit(dashboard, request, &grant, &error))
		reply(dashboard, request, &grant, token);
	else
		api_reply_error(dashboard, request, &error);
}
