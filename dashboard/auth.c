#include "dashboard/auth.h"

#include "dashboard/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char TOKEN_SQL[] =
	"select user_name, role, expires_us, tenant, groups from enter($1, $2)";

// What somebody who is bound to groups may do with one thing: $1 is the parameter of the path.
static const struct {
	const char *prefix, *sql;
} device_routes[] = {
	{"/api/v1/devices/{id}", "select role_on($1)"},
	{"/api/v1/commands/{id}", "select role_on(device) from command where id::text = lower($1)"},
};

static const struct {
	const char *name;
	enum role role;
} roles[] = {
	{"viewer", ROLE_VIEWER},
	{"operator", ROLE_OPERATOR},
	{"administrator", ROLE_ADMINISTRATOR},
	{"auditor", ROLE_AUDITOR},
};

bool auth_role_parse(const char *name, enum role *out)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (strcmp(roles[i].name, name) == 0) {
			*out = roles[i].role;
			return true;
		}
	}
	return false;
}

const char *auth_role_name(enum role role)
{
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		if (roles[i].role == role)
			return roles[i].name;
	}
	return "none";
}

bool auth_is_loopback(const char *peer)
{
	return strncmp(peer, "127.", 4) == 0 || strcmp(peer, "::1") == 0 || strncmp(peer, "::ffff:127.", 11) == 0;
}

bool auth_same_origin(const char *sec_fetch_site, const char *origin, const char *host, bool certain)
{
	static const char scheme[] = "https://";

	if (sec_fetch_site && strcmp(sec_fetch_site, "same-origin") != 0)
		return false;
	if (origin)
		return host && strncmp(origin, scheme, sizeof(scheme) - 1) == 0 &&
		       strcasecmp(origin + sizeof(scheme) - 1, host) == 0;
	return sec_fetch_site || certain;
}

bool auth_check_origin(struct http_request *request, bool certain)
{
	if (auth_same_origin(http_header(request, "Sec-Fetch-Site"), http_header(request, "Origin"),
			     http_header(request, "Host"), certain))
		return true;
	http_reply_problem(request, 403, "This change did not come from the dashboard's own page; open the page and "
					 "do it there, or use an API key (Authorization: Bearer).");
	return false;
}

static bool changes_something(const struct http_request *request)
{
	const char *method = http_method(request);

	return strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0;
}

// The token's kind, or NULL when the request bears none.
static const char *find_token(const struct http_request *request, char token[TOKEN_TEXT_BYTES])
{
	static const char bearer[] = "Bearer ";
	const char *authorization = http_header(request, "Authorization");

	if (authorization) {
		const char *text = authorization + sizeof(bearer) - 1;

		if (strncasecmp(authorization, bearer, sizeof(bearer) - 1) != 0 ||
		    strlen(text) != TOKEN_TEXT_BYTES - 1)
			return NULL;
		memcpy(token, text, TOKEN_TEXT_BYTES);
		return "api";
	}
	if (!http_cookie(request, AUTH_COOKIE, token, TOKEN_TEXT_BYTES) || strlen(token) != TOKEN_TEXT_BYTES - 1)
		return NULL;
	return "session";
}

static bool refuse_anonymous(struct http_request *request)
{
	http_reply_header(request, "WWW-Authenticate", "Bearer realm=\"muster\"");
	http_reply_problem(request, 401, "Log in first: POST /api/v1/session, or send an API key as "
					 "Authorization: Bearer.");
	return false;
}

// Fills auth; answers by itself (false) when there is no such token or the database is away.
static bool look_up(struct dashboard *dashboard, struct http_request *request, struct auth *auth)
{
	char token[TOKEN_TEXT_BYTES];
	const char *kind = find_token(request, token);

	if (!kind)
		return refuse_anonymous(request);
	crypto_sha256_hex(token, strlen(token), auth->token_hash);
	crypto_wipe(token, sizeof(token));

	auto_pg_result struct pg_result *found = NULL;
	const char *const params[] = {auth->token_hash, kind};

	if (!api_query_again(dashboard, request, &found, TOKEN_SQL, 2, params))
		return false;
	if (pg_rows(found) == 0 || !auth_role_parse(pg_text(found, 0, 1), &auth->role))
		return refuse_anonymous(request);
	(void)snprintf(auth->user, sizeof(auth->user), "%s", pg_text(found, 0, 0));
	auth->expires_us = pg_int(found, 0, 2);
	auth->by_cookie = strcmp(kind, "session") == 0;
	(void)snprintf(auth->scope.tenant, sizeof(auth->scope.tenant), "%s", pg_text(found, 0, 3));
	if (snprintf(auth->scope.groups, sizeof(auth->scope.groups), "%s", pg_text(found, 0, 4)) <
	    (int)sizeof(auth->scope.groups))
		return true;
	http_reply_problem(request, 403, "This account has rights in too many groups; an administrator can join some.");
	return false;
}

static bool refuse(struct http_request *request, const char *detail)
{
	http_reply_problem(request, 403, detail);
	return false;
}

// For somebody who is bound to groups: the role on the thing of the path, where it has one, in place of the strongest.
static bool look_up_role(struct dashboard *dashboard, struct http_request *request, struct auth *auth)
{
	const char *pattern = http_route_pattern(request);
	const char *const params[] = {http_param(request, "id")};

	for (size_t i = 0; i < sizeof(device_routes) / sizeof(device_routes[0]); i++) {
		auto_pg_result struct pg_result *row = NULL;

		if (!params[0] || strncmp(pattern, device_routes[i].prefix, strlen(device_routes[i].prefix)) != 0)
			continue;
		if (!api_query(dashboard, request, &row, device_routes[i].sql, 1, params))
			return false;
		// What is not seen is answered by the handler, as what is not there.
		return pg_rows(row) == 0 || !pg_text(row, 0, 0) || auth_role_parse(pg_text(row, 0, 0), &auth->role);
	}
	return true;
}

static bool is_allowed(struct dashboard *dashboard, struct http_request *request, struct auth *auth, int allowed)
{
	bool bound = auth->scope.groups[0] != '\0';
	char detail[160];

	if ((allowed & ACCESS_ALL) && !scope_is_all(&auth->scope))
		return refuse(request, "Only people of all tenants, who run the installation, may do this.");
	if (bound && ((allowed & ACCESS_TENANT) ||
		      ((allowed & ROLE_ADMINISTRATOR) && !(allowed & (ROLE_OPERATOR | ACCESS_GROUP)))))
		return refuse(request, "This concerns the tenant as a whole; your rights are for single groups.");
	if (bound && !look_up_role(dashboard, request, auth))
		return false;
	if (allowed & (int)auth->role)
		return true;
	(void)snprintf(detail, sizeof(detail), "The role %s may not do this; ask an administrator for another.",
		       auth_role_name(auth->role));
	return refuse(request, detail);
}

bool auth_before(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	int allowed = http_route_tag(request);

	if (allowed == ACCESS_LOOPBACK && !auth_is_loopback(http_peer(request))) {
		http_reply_problem(request, 403, "Only for this machine: ask for it on the loopback address.");
		return false;
	}
	if (allowed == ACCESS_PUBLIC || allowed == ACCESS_LOOPBACK || allowed == ACCESS_SIGNED) {
		if (dashboard->entered)
			scope_leave(dashboard->pg);
		dashboard->entered = false;
		return true;
	}
	dashboard->entered = true;

	auto_free struct auth *auth = calloc(1, sizeof(*auth));

	if (!auth) {
		http_reply_problem(request, 503, "Out of memory: try again later.");
		return false;
	}
	if (!look_up(dashboard, request, auth) || !is_allowed(dashboard, request, auth, allowed))
		return false;
	if (auth->by_cookie && changes_something(request) && !auth_check_origin(request, false))
		return false;
	http_set_context(request, steal(auth), free);
	return true;
}

const struct auth *auth_of(const struct http_request *request)
{
	return http_context(request);
}
