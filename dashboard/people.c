#include "dashboard/people.h"

#include "dashboard/auth.h"
#include "dashboard/stream.h"

#include <stdio.h>
#include <string.h>

// What the database refuses for reasons of its own, in words.
static const struct {
	const char *sign, *detail;
	int status;
} refusals[] = {
	{"last_administrator", "This is the last administrator: make somebody else one first.", 409},
	{"user_account_email", "Another account has this e-mail address.", 409},
	{"user_account_pkey", "There is an account of this name already; choose another.", 409},
	{"user_account_tenant_fkey", "There is no tenant of this name.", 422},
	{"user_right", "This account has rights in groups: take those away first.", 409},
};

static void answer(struct dashboard *dashboard, struct http_request *request, const struct error *error)
{
	pg_rollback(dashboard->pg);
	for (size_t i = 0; pg_error_is_data(error) && i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		if (strstr(error->what, refusals[i].sign)) {
			http_reply_problem(request, refusals[i].status, refusals[i].detail);
			return;
		}
	}
	api_reply_error(dashboard, request, error);
}

bool people_begin(struct dashboard *dashboard, struct http_request *request)
{
	struct error error = {0};

	if (pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error))
		return true;
	api_reply_error(dashboard, request, &error);
	return false;
}

bool people_query(struct dashboard *dashboard, struct http_request *request, struct pg_result **out, const char *sql,
		  size_t count, const char *const *params)
{
	struct error error = {0};

	if (pg_query(dashboard->pg, out, &error, sql, count, params))
		return true;
	answer(dashboard, request, &error);
	return false;
}

bool people_commit(struct dashboard *dashboard, struct http_request *request, const char *action, const char *target,
		   const char *detail)
{
	struct error error = {0};
	const char *actor = auth_of(request)->user;

	if (api_audit(dashboard, request, actor, action, target, detail, &error) && pg_commit(dashboard->pg, &error)) {
		log_info(action, "target", target, "user", actor, "request_id", http_request_id(request));
		return true;
	}
	answer(dashboard, request, &error);
	return false;
}

void people_refuse(struct dashboard *dashboard, struct http_request *request, int status, const char *detail)
{
	pg_rollback(dashboard->pg);
	http_reply_problem(request, status, detail);
}

void people_end_streams(struct dashboard *dashboard, const struct pg_result *hashes)
{
	for (size_t i = 0; i < pg_rows(hashes); i++) {
		if (pg_text(hashes, i, 0)[0] != '\0')
			streams_end_session(dashboard->streams, pg_text(hashes, i, 0));
	}
}

void people_link(const struct dashboard *dashboard, const struct http_request *request, const char *path,
		 const char *token, char out[PEOPLE_LINK_MAX])
{
	const char *base = dashboard->config.public_url, *host = base ? NULL : http_header(request, "Host");
	size_t length = base ? strlen(base) : 0;

	while (length > 0 && base[length - 1] == '/')
		length--;
	if (base)
		(void)snprintf(out, PEOPLE_LINK_MAX, "%.*s%s#%s", (int)length, base, path, token);
	else
		(void)snprintf(out, PEOPLE_LINK_MAX, "https://%.300s%s#%s", host ? host : "localhost", path, token);
}
