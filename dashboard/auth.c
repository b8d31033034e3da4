#include "dashboard/auth.h"

#include "dashboard/api.h"
#include "dashboard/quota.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char TOKEN_SQL[] =
	"select user_name, role, expires_us, tenant, groups, second_factor, own_role, scopes, grouped"
	" from enter($1, $2)";
enum token_column { USER, ROLE, EXPIRES, TENANT, GROUPS, FACTOR, OWN_ROLE, SCOPES, GROUPED };

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
	http_reply_problem(request, 403,
			   "This change did not come from the dashboard's own page; open the page and "
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

		if (strncasecmp(authorization, bearer, sizeof(bearer) - 1) != 0 || strlen(text) != TOKEN_TEXT_BYTES - 1)
			return NULL;
		memcpy(token, text, TOKEN_TEXT_BYTES);
		return "api";
	}
	if (!http_cookie(request, AUTH_COOKIE, token, TOKEN_TEXT_BYTES) || strlen(token) != TOKEN_TEXT_BYTES - 1)
		return NULL;
	return "session";
}

static bool refuse_anonymous(struct dashboard *dashboard, struct http_request *request)
{
	if (!quota_take_address(dashboard, request))
		return false;
	http_reply_header(request, "WWW-Authenticate", "Bearer realm=\"muster\"");
	http_reply_problem(request, 401,
			   "Log in first: POST /api/v1/session, or send an API key as "
			   "Authorization: Bearer.");
	return false;
}

// Fills auth; answers by itself (false) when there is no such token or the database is away.
static bool look_up(struct dashboard *dashboard, struct http_request *request, struct auth *auth)
{
	char token[TOKEN_TEXT_BYTES];
	const char *kind = find_token(request, token);

	if (!kind)
		return refuse_anonymous(dashboard, request);
	crypto_sha256_hex(token, strlen(token), auth->token_hash);
	crypto_wipe(token, sizeof(token));

	auto_pg_result struct pg_result *found = NULL;
	const char *const params[] = {auth->token_hash, kind};

	if (!api_query_again(dashboard, request, &found, TOKEN_SQL, 2, params))
		return false;
	const char *role = pg_rows(found) > 0 ? pg_text(found, 0, ROLE) : NULL;
	const char *own = role ? pg_text(found, 0, OWN_ROLE) : NULL, *list = role ? pg_text(found, 0, SCOPES) : NULL;

	if (!role || !auth_role_parse(role, &auth->role) || (own && !auth_role_parse(own, &auth->most)))
		return refuse_anonymous(dashboard, request);
	(void)snprintf(auth->user, sizeof(auth->user), "%s", pg_text(found, 0, USER));
	auth->expires_us = pg_int(found, 0, EXPIRES);
	auth->second_factor = pg_bool(found, 0, FACTOR);
	auth->grouped = pg_bool(found, 0, GROUPED);
	(void)snprintf(auth->scopes, sizeof(auth->scopes), "%s", list ? list : "");
	auth->by_cookie = strcmp(kind, "session") == 0;
	(void)snprintf(auth->scope.tenant, sizeof(auth->scope.tenant), "%s", pg_text(found, 0, TENANT));
	if (snprintf(auth->scope.groups, sizeof(auth->scope.groups), "%s", pg_text(found, 0, GROUPS)) <
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
	if (auth->most != 0 && auth->role > auth->most) // roles in groups are of the first three, which rise
		auth->role = auth->most;
	if (allowed & (int)auth->role)
		return true;
	(void)snprintf(detail, sizeof(detail), "The role %s may not do this; ask an administrator for another.",
		       auth_role_name(auth->role));
	return refuse(request, detail);
}

// ---- what a key may do ----

static const struct {
	const char *prefix, *scope;
} scopes[] = {
	{"/api/v1/commands", "commands"},
	{"/api/v1/campaigns", "commands"},
	{"/api/v1/devices/{id}/wake", "commands"},
	{"/api/v1/tokens", "enrolment"},
	{"/api/v1/registrations", "enrolment"},
	{"/api/v1/preapprovals", "enrolment"},
	{"/api/v1/enrollment", "enrolment"},
	{"/api/v1/certificates", "enrolment"},
	{"/api/v1/alert", "alerts"},
	{"/api/v1/silences", "alerts"},
	{"/api/v1/channels", "alerts"},
	{"/api/v1/users", "people"},
	{"/api/v1/sessions", "people"},
	{"/api/v1/session", "people"},
	{"/api/v1/api-keys", "people"},
	{"/api/v1/account", "people"},
	{"/api/v1/admin-keys", "people"},
	{"/api/v1/tenants", "people"},
};

const char *auth_scope_of(const char *method, const char *pattern, int tag)
{
	if (strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 || (tag & ROUTE_CHANGES_NOTHING))
		return "read";
	for (size_t i = 0; i < sizeof(scopes) / sizeof(scopes[0]); i++) {
		if (strncmp(pattern, scopes[i].prefix, strlen(scopes[i].prefix)) == 0)
			return scopes[i].scope;
	}
	return "devices";
}

bool auth_scopes_hold(const char *list, const char *scope)
{
	size_t length = strlen(scope);

	for (const char *at = list; (at = strstr(at, scope)); at += length) {
		if ((at == list || at[-1] == ',') && (at[length] == ',' || at[length] == '\0'))
			return true;
	}
	return *list == '\0';
}

// ---- may they ----

static bool key_may(struct http_request *request, const struct auth *auth)
{
	const char *scope = auth_scope_of(http_method(request), http_route_pattern(request), http_route_tag(request));
	char detail[200];

	// Whoever is bound to a group must not make somebody who is not.
	if (auth->grouped && strcmp(scope, "people") == 0)
		return refuse(request, "An API key for the devices of one group may not change accounts or keys.");
	if (auth_scopes_hold(auth->scopes, scope))
		return true;
	(void)snprintf(detail, sizeof(detail), "This API key is for %s; this request needs \"%s\".", auth->scopes,
		       scope);
	return refuse(request, detail);
}

// Administrators who have to set up a second factor first do that, and nothing else.
static bool factor_may(const struct dashboard *dashboard, struct http_request *request, const struct auth *auth)
{
	static const char *const open[] = {"/api/v1/session", "/api/v1/account"};

	if (!dashboard->config.require_totp || auth->role != ROLE_ADMINISTRATOR || auth->second_factor ||
	    !auth->by_cookie)
		return true;
	for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
		if (strncmp(http_route_pattern(request), open[i], strlen(open[i])) == 0)
			return true;
	}
	return refuse(request, "Administrators need a second factor here: set it up on /account first.");
}

// By a proxy on this machine, whose clients are anywhere; one that is not among listen.proxies too.
static bool was_forwarded(const struct http_request *request)
{
	return http_header(request, "X-Forwarded-For") || http_header(request, "Forwarded") ||
	       http_header(request, "Via");
}

// Routes that need no login; *good is whether this request may go on.
static bool is_open(struct dashboard *dashboard, struct http_request *request, int allowed, bool *good)
{
	*good = true;
	if (allowed == ACCESS_LOOPBACK && (!auth_is_loopback(http_peer(request)) || was_forwarded(request)))
		*good = refuse(request, "Only for this machine: ask for it on the loopback address.");
	else if (allowed == ACCESS_SIGNED || (allowed == ACCESS_PUBLIC && changes_something(request)))
		*good = quota_take_address(dashboard, request);
	if (allowed != ACCESS_PUBLIC && allowed != ACCESS_LOOPBACK && allowed != ACCESS_SIGNED)
		return false;
	if (dashboard->entered)
		scope_leave(dashboard->pg);
	dashboard->entered = false;
	return true;
}

bool auth_before(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	int allowed = http_route_tag(request) & ~(ROUTE_CHANGES_NOTHING | ROUTE_KEPT);
	bool good;

	if (is_open(dashboard, request, allowed, &good))
		return good;
	dashboard->entered = true;

	auto_free struct auth *auth = calloc(1, sizeof(*auth));

	if (!auth) {
		http_reply_problem(request, 503, "Out of memory: try again later.");
		return false;
	}
	if (!look_up(dashboard, request, auth) || !quota_take(dashboard, request, auth) ||
	    !is_allowed(dashboard, request, auth, allowed) || (!auth->by_cookie && !key_may(request, auth)) ||
	    !factor_may(dashboard, request, auth))
		return false;
	if (auth->by_cookie && changes_something(request) && !auth_check_origin(request, false))
		return false;
	http_known(request);
	http_set_context(request, steal(auth), free);
	return true;
}

const struct auth *auth_of(const struct http_request *request)
{
	return http_context(request);
}
