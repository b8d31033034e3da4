#include "dashboard/alert_channels.h"

#include "common/alert_kind.h"
#include "common/webhook.h"
#include "dashboard/auth.h"
#include "dashboard/change.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 100
#define ADDRESSES_MAX 50
#define ADDRESS_MAX 254
#define ROUTES_MAX 50
#define LIST_MAX_BYTES 32768
#define OVERLAP_MAX_H 720
#define SALT_BYTES 33 // 32 hex digits and the terminator

// The secret is nowhere: it is said once, when it is made.
#define CHANNEL                                                                                                        \
	"jsonb_build_object('id', c.id, 'name', c.name, 'kind', c.kind, 'addresses', c.addresses, 'url', c.url, "      \
	"'bearer', c.bearer <> '',"                                                                                    \
	" 'wait_s', c.wait_s, 'interval_s', c.interval_s, 'repeat_s', c.repeat_s, 'enabled', c.enabled,"               \
	" 'created_by', c.created_by, 'created_at', c.created_at, 'changed_at', c.changed_at, 'old_secret_until',"     \
	" case when c.old_until > now() then c.old_until end)"
#define ROUTES                                                                                                         \
	" || jsonb_build_object('routes', (select coalesce(jsonb_agg(jsonb_build_object('rule', o.rule, 'severity',"   \
	" o.severity) order by o.id), '[]') from alert_route o where o.channel = c.id))"
#define LAST                                                                                                           \
	" || jsonb_build_object('last', (select " DELIVERY " from alert_digest g where g.channel = c.id"               \
	" order by g.at desc limit 1))"
#define DELIVERY                                                                                                       \
	"jsonb_build_object('id', g.id, 'at', g.at, 'subject', g.subject, 'raised', g.raised, 'cleared', g.cleared,"   \
	" 'still', g.still, 'state', g.state, 'attempts', g.attempts, 'sent_at', g.sent_at, 'status', g.status,"       \
	" 'error', g.error)"

static const char LIST_SQL[] = "select " CHANNEL ROUTES LAST ", c.id from alert_channel c"
			       " where ($1::bigint is null or c.id > $1) order by c.id limit $2::integer + 1";
static const char GET_SQL[] =
	"select " CHANNEL ROUTES LAST ", c.kind, c.url, c.bearer <> '' from alert_channel c where c.id = $1";
// $12: routes as JSON. Routes of rules that are not the asker's do not come about.
#define ROUTE_IN                                                                                                       \
	"insert into alert_route (channel, rule, severity) select c.id, (o ->> 'rule')::bigint,"                       \
	" coalesce(o ->> 'severity', 'info') from c, jsonb_array_elements"
#define ROUTE_OK " where o ->> 'rule' is null or exists (select from alert_rule r where r.id = (o ->> 'rule')::bigint)"
static const char CREATE_SQL[] =
	"with c as (insert into alert_channel (name, kind, addresses, url, wait_s, interval_s, repeat_s, enabled,"
	" created_by, secret_salt, bearer) values ($1, $2, array(select jsonb_array_elements_text($3::jsonb)), $4,"
	" coalesce($5::integer, 30), coalesce($6::integer, 300), coalesce($7::integer, 14400),"
	" coalesce($8::boolean, true), $9, $10, $12) returning *), o as (" ROUTE_IN "($11::jsonb) o" ROUTE_OK ")"
	" select " CHANNEL ", c.id from c";
static const char CHANGE_SQL[] =
	"with c as (update alert_channel set name = coalesce($2, name), addresses = coalesce(case when $3::jsonb is not"
	" null then array(select jsonb_array_elements_text($3::jsonb)) end, addresses), url = coalesce($4, url),"
	" wait_s = coalesce($5::integer, wait_s), interval_s = coalesce($6::integer, interval_s),"
	" repeat_s = coalesce($7::integer, repeat_s), enabled = coalesce($8::boolean, enabled), bearer = coalesce($10, "
	"bearer), changed_at = now()"
	" where id = $1 returning *), gone as (delete from alert_route where $9::jsonb is not null and"
	" channel = (select id from c)), o as (" ROUTE_IN "(coalesce($9::jsonb, '[]')) o" ROUTE_OK ")"
	" select " CHANNEL ", c.id from c";
static const char DELETE_SQL[] = "delete from alert_channel c where id = $1 returning " CHANNEL;
static const char TEST_SQL[] =
	"update alert_channel c set test_at = now() where id = $1 and enabled returning " CHANNEL;
// $3 hours that the one before counts, too.
static const char SECRET_SQL[] =
	"update alert_channel c set old_salt = case when $3::integer > 0 then secret_salt else '' end, old_until ="
	" case when $3::integer > 0 then now() + make_interval(hours => $3::integer) end, secret_salt = $2,"
	" changed_at = now() where id = $1 and kind = 'webhook' returning " CHANNEL;
static const char DELIVERIES_SQL[] =
	"select " DELIVERY " || jsonb_build_object('mails', (select coalesce(jsonb_agg(jsonb_build_object('sent_at',"
	" m.sent_at, 'attempts', m.attempts, 'error', m.error)), '[]') from mail m where m.id = any (g.mails))),"
	" extract(epoch from g.at) from alert_digest g where g.channel = $1 and ($2::float8 is null or"
	" g.at < to_timestamp($2::float8)) order by g.at desc limit $3::integer + 1";

static const char missing[] = "There is no such channel; GET /api/v1/channels lists them.";
static const char taken[] = "There is a channel of this name already; take another.";

struct channel_body {
	const char *name, *url, *enabled;
	const char *times[3]; // wait_s, interval_s, repeat_s
	char numbers[3][24];
	struct buf addresses, routes; // JSON; empty: not given
	const char *bearer;	      // sealed: not given, or "" to take it away
	char sealed[WEBHOOK_SEALED_BYTES];
};

static void channel_body_done(struct channel_body *body)
{
	buf_done(&body->addresses);
	buf_done(&body->routes);
}

// ---- the body ----

static bool is_address(const char *text)
{
	const char *at = strchr(text, '@');
	size_t length = strlen(text);

	return at && at > text && at[1] && !strchr(at + 1, '@') && at - text <= 64 && length <= ADDRESS_MAX &&
	       strcspn(text, " \t\r\n<>,;\"\\") == length;
}

static bool read_addresses(const struct json *list, struct buf *out, struct error *error)
{
	size_t count = list && json_type(list) == JSON_ARRAY ? json_array_length(list) : 0;
	bool ok = count >= 1 && count <= ADDRESSES_MAX;

	(void)buf_add_str(out, "[");
	for (size_t i = 0; ok && i < count; i++) {
		const char *text = "";

		ok = json_as_string(json_array_at(list, i), &text) && is_address(text);
		(void)buf_add_str(out, i > 0 ? "," : "");
		(void)json_quote(out, text);
	}
	(void)buf_add_str(out, "]");
	return (ok && !out->overflowed) ||
	       error_set(error, ERROR_INVALID,
			 "\"addresses\" must be 1 to %d e-mail addresses, each as ada@example.org.", ADDRESSES_MAX);
}

static bool read_routes(const struct json *list, struct buf *out, struct error *error)
{
	size_t count = list && json_type(list) == JSON_ARRAY ? json_array_length(list) : 0;
	bool ok = count >= 1 && count <= ROUTES_MAX;

	(void)buf_add_str(out, "[");
	for (size_t i = 0; ok && i < count; i++) {
		const struct json *route = json_array_at(list, i), *rule = json_member(route, "rule");
		const char *severity = "info";
		int64_t id = 0;
		bool all = !rule || json_type(rule) == JSON_NULL;

		ok = json_type(route) == JSON_OBJECT && (all || json_as_int(rule, &id)) &&
		     (!json_member(route, "severity") || json_member_string(route, "severity", &severity)) &&
		     alert_severity_rank(severity) > 0;
		(void)buf_addf(out, "%s{\"severity\":\"%s\"", i > 0 ? "," : "", ok ? severity : "");
		if (!all)
			(void)buf_addf(out, ",\"rule\":%" PRId64, id);
		(void)buf_add_str(out, "}");
	}
	(void)buf_add_str(out, "]");
	return (ok && !out->overflowed) || error_set(error, ERROR_INVALID,
						     "\"routes\" must be 1 to %d objects as "
						     "{\"rule\":7,\"severity\":\"warning\"}; without \"rule\", of "
						     "all rules; from \"severity\" on.",
						     ROUTES_MAX);
}

static bool read_times(const struct json *json, struct channel_body *body, struct error *error)
{
	static const struct {
		const char *name;
		int64_t min, max;
	} times[] = {{"wait_s", 0, 3600}, {"interval_s", 1, 86400}, {"repeat_s", 60, 2592000}};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		int64_t value = 0;

		if (!json_member(json, times[i].name))
			continue;
		if (!json_member_int(json, times[i].name, &value) || value < times[i].min || value > times[i].max)
			return error_set(error, ERROR_INVALID,
					 "\"%s\" must be an integer from %" PRId64 " to %" PRId64 ".", times[i].name,
					 times[i].min, times[i].max);
		(void)snprintf(body->numbers[i], sizeof(body->numbers[i]), "%" PRId64, value);
		body->times[i] = body->numbers[i];
	}
	return true;
}

static bool read_body(const struct json *json, bool email, bool whole, struct channel_body *body, struct error *error)
{
	const struct json *addresses = json_member(json, "addresses"), *routes = json_member(json, "routes");
	bool enabled = true;

	buf_init(&body->addresses, LIST_MAX_BYTES);
	buf_init(&body->routes, LIST_MAX_BYTES);
	if ((whole || json_member(json, "name")) &&
	    (!json_member_string(json, "name", &body->name) || body->name[0] == '\0' ||
	     strlen(body->name) > NAME_MAX_BYTES || strpbrk(body->name, "\r\n\t")))
		return error_set(error, ERROR_INVALID, "\"name\" must be a text of 1 to %d bytes in one line.",
				 NAME_MAX_BYTES);
	if (json_member(json, "enabled") && !json_member_bool(json, "enabled", &enabled))
		return error_set(error, ERROR_INVALID, "\"enabled\" must be true or false.");
	if (json_member(json, "enabled"))
		body->enabled = enabled ? "t" : "f";
	if (!email && (whole || json_member(json, "url")) &&
	    (!json_member_string(json, "url", &body->url) || !webhook_url_ok(body->url)))
		return error_set(error, ERROR_INVALID, "\"url\" must be https://.. without a user or a fragment.");
	if (email && json_member(json, "bearer"))
		return error_set(error, ERROR_INVALID, "\"bearer\" is of webhooks.");
	if (email && (whole || addresses) && !read_addresses(addresses, &body->addresses, error))
		return false;
	if (routes ? !read_routes(routes, &body->routes, error) : whole && !buf_add_str(&body->routes, "[{}]"))
		return false;
	return read_times(json, body, error);
}

// url: where it goes. From here on the body, which the audit keeps, says no more than that there is one. False:
// answered.
static bool seal_bearer(struct dashboard *dashboard, struct http_request *request, struct json *json, const char *url,
			struct channel_body *body)
{
	const struct json *member = json_member(json, "bearer");
	const char *bearer = "";
	struct error error = {0};

	if (!member)
		return true;
	if (json_type(member) != JSON_NULL && (!json_as_string(member, &bearer) || !webhook_bearer_ok(bearer))) {
		http_reply_problem(
			request, 422,
			"\"bearer\" must be 1 to 512 letters, digits and -._~+/ with = at the end, or null.");
		return false;
	}
	body->bearer = body->sealed;
	if (*bearer && !webhook_seal(&dashboard->webhook_key, url, bearer, body->sealed, &error)) {
		http_reply_problem(request, 500, error.what);
		return false;
	}
	json_set_bool(json, "bearer", *bearer);
	return true;
}

// ---- reading ----

void alert_channels_list(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *after = api_text(request, "after");
	int64_t limit = 0;
	char limit_text[API_LIMIT_BYTES];

	if (!api_numbered_page(request, after, &limit, limit_text))
		return;

	const char *const params[] = {after, limit_text};

	if (api_query_again(user, request, &rows, LIST_SQL, 2, params))
		api_reply_page(request, rows, limit);
}

void alert_channels_deliveries(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *id = api_number_of_path(request, missing);
	int64_t limit = 0;
	char limit_text[24];

	if (!id || !api_limit(request, &limit))
		return;
	const char *after = api_text(request, "after");

	if (after && strspn(after, "0123456789.") != strlen(after)) {
		(void)api_bad_cursor(request);
		return;
	}
	(void)snprintf(limit_text, sizeof(limit_text), "%" PRId64, limit);

	const char *const params[] = {id, after, limit_text};

	if (api_query_again(user, request, &rows, DELIVERIES_SQL, 3, params))
		api_reply_page(request, rows, limit);
}

// ---- changing ----

static void make_salt(char out[SALT_BYTES])
{
	uint8_t random[SALT_BYTES / 2];

	crypto_random(random, sizeof(random));
	crypto_hex(random, sizeof(random), out);
}

// The row, and of a webhook the secret, this once.
static void reply_secret(struct dashboard *dashboard, struct http_request *request, int status, const char *row,
			 const char *salt)
{
	auto_json struct json *parsed = json_parse(row, strlen(row), NULL);
	char secret[TOKEN_TEXT_BYTES];

	webhook_secret(&dashboard->webhook_key, salt, secret);
	json_set_string(parsed, "secret", secret);
	crypto_wipe(secret, sizeof(secret));
	http_reply_header(request, "Cache-Control", "no-store");
	http_reply_json(request, status, steal(parsed));
}

static bool check_key(struct dashboard *dashboard, struct http_request *request)
{
	if (!dashboard->webhook_key.known)
		http_reply_problem(request, 409,
				   "Webhooks are off: set webhook.key_file in the configurations of dashboard and "
				   "commander, the same for both.");
	return dashboard->webhook_key.known;
}

void alert_channels_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *json = http_body_json(request);
	auto_pg_result struct pg_result *rows = NULL;
	struct channel_body body cleanup(channel_body_done) = {0};
	const char *kind = "";
	struct error error = {0};
	char salt[SALT_BYTES];

	if (!json)
		return;
	if (!json_member_string(json, "kind", &kind) || (strcmp(kind, "email") != 0 && strcmp(kind, "webhook") != 0)) {
		http_reply_problem(request, 422, "\"kind\" must be \"email\" or \"webhook\".");
		return;
	}
	bool email = strcmp(kind, "email") == 0;

	if (!read_body(json, email, true, &body, &error)) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	if (!email && (!check_key(dashboard, request) || !seal_bearer(dashboard, request, json, body.url, &body)))
		return;
	make_salt(salt);

	const char *const params[] = {body.name,
				      kind,
				      body.addresses.len_bytes > 0 ? buf_str(&body.addresses) : "[]",
				      body.url ? body.url : "",
				      body.times[0],
				      body.times[1],
				      body.times[2],
				      body.enabled,
				      auth_of(request)->user,
				      email ? "" : salt,
				      buf_str(&body.routes),
				      body.bearer ? body.bearer : ""};
	const struct change change = {.sql = CREATE_SQL,
				      .count = 12,
				      .params = params,
				      .action = "channel.create",
				      .target = body.name,
				      .detail = json_text(json),
				      .missing = missing,
				      .taken = taken};

	if (!change_make(dashboard, request, &change, &rows))
		return;
	if (email)
		api_reply_text(request, 201, pg_text(rows, 0, 0));
	else
		reply_secret(dashboard, request, 201, pg_text(rows, 0, 0), salt);
}

// What is asked of the channel of the path; *rows has the answer. False: answered.
static bool change(struct dashboard *dashboard, struct http_request *request, const struct change *asked,
		   struct pg_result **rows)
{
	char target[48];
	struct change whole = *asked;

	if (!asked->params[0])
		return false;
	(void)snprintf(target, sizeof(target), "channel %.30s", asked->params[0]);
	whole.target = target;
	whole.missing = missing;
	whole.taken = taken;
	return change_make(dashboard, request, &whole, rows);
}

void alert_channels_change(struct http_request *request, void *user)
{
	auto_json struct json *json = http_body_json(request);
	auto_pg_result struct pg_result *row = NULL, *rows = NULL;
	struct channel_body body cleanup(channel_body_done) = {0};
	struct error error = {0};

	if (!json)
		return;
	const char *const id[] = {api_number_of_path(request, missing)};

	if (!id[0] || !api_query(user, request, &row, GET_SQL, 1, id))
		return;
	if (pg_rows(row) == 0) {
		http_reply_problem(request, 404, missing);
		return;
	}
	if (!read_body(json, strcmp(pg_text(row, 0, 1), "email") == 0, false, &body, &error)) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	bool email = strcmp(pg_text(row, 0, 1), "email") == 0;

	if (!email && body.url && strcmp(body.url, pg_text(row, 0, 2)) != 0 && pg_bool(row, 0, 3) &&
	    !json_member(json, "bearer")) {
		http_reply_problem(request, 422,
				   "The bearer secret is for the URL it was set for: with another \"url\" give "
				   "\"bearer\" again, or null.");
		return;
	}
	if (!email && json_member(json, "bearer") &&
	    (!check_key(user, request) ||
	     !seal_bearer(user, request, json, body.url ? body.url : pg_text(row, 0, 2), &body)))
		return;
	const char *const params[] = {
		id[0],	       body.name,     body.addresses.len_bytes > 0 ? buf_str(&body.addresses) : NULL,
		body.url,      body.times[0], body.times[1],
		body.times[2], body.enabled,  body.routes.len_bytes > 0 ? buf_str(&body.routes) : NULL,
		body.bearer};

	const struct change asked = {.sql = CHANGE_SQL,
				     .count = 10,
				     .params = params,
				     .action = "channel.change",
				     .detail = json_text(json)};

	if (change(user, request, &asked, &rows))
		api_reply_row(request, rows, missing);
}

void alert_channels_delete(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {api_number_of_path(request, missing)};

	const struct change asked = {
		.sql = DELETE_SQL, .count = 1, .params = params, .action = "channel.delete", .detail = "{}"};

	if (change(user, request, &asked, &rows))
		api_reply_row(request, rows, missing);
}

// Commander sends it, as it would an alert; its delivery is listed with the others.
void alert_channels_test(struct http_request *request, void *user)
{
	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {api_number_of_path(request, missing)};

	const struct change asked = {
		.sql = TEST_SQL, .count = 1, .params = params, .action = "channel.test", .detail = "{}"};

	if (change(user, request, &asked, &rows))
		api_reply_text(request, 202, pg_text(rows, 0, 0));
}

// {"overlap_h"}: so long the one before counts, too. Without a body: not at all.
void alert_channels_secret(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	size_t body_bytes = 0;
	const char *body = http_body(request, &body_bytes);
	auto_json struct json *json = body && body_bytes > 0 ? http_body_json(request) : json_new_object();
	auto_pg_result struct pg_result *rows = NULL;
	int64_t overlap_h = 0;
	char salt[SALT_BYTES], hours[24];

	if (!json || !check_key(dashboard, request))
		return;
	if (json_member(json, "overlap_h") &&
	    (!json_member_int(json, "overlap_h", &overlap_h) || overlap_h < 0 || overlap_h > OVERLAP_MAX_H)) {
		http_reply_problem(request, 422, "\"overlap_h\" must be an integer from 0 to 720.");
		return;
	}
	(void)snprintf(hours, sizeof(hours), "%" PRId64, overlap_h);

	const char *const params[] = {api_number_of_path(request, missing), salt, hours};
	const struct change asked = {
		.sql = SECRET_SQL, .count = 3, .params = params, .action = "channel.secret", .detail = json_text(json)};

	make_salt(salt);
	if (change(dashboard, request, &asked, &rows))
		reply_secret(dashboard, request, 200, pg_text(rows, 0, 0), salt);
}
