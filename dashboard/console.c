#include "dashboard/console.h"

#include "common/clock.h"
#include "common/console.h"
#include "common/topic.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/console_places.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAMES_MAX_BYTES 8192
#define CLIENTS_MAX_BYTES ((size_t)CONSOLE_PLACES_MAX * (CONSOLE_CLIENT_BYTES + 1) + 2)

// Written before it is looked at what may be seen: whoever takes rights or a device away from then on finds the
// credentials.
static const char OPEN_SQL[] = "select tenant, groups from open_console($1, $2, $3, to_timestamp($4::bigint),"
			       " $5)";
// What there is of $1 for whoever asks, and at which broker: where it was last heard to come online, or where it
// belongs.
static const char DEVICES_SQL[] = "select x.device, d.device is not null, coalesce(s.cell, d.cell)"
				  " from unnest($1::text[]) with ordinality x (device, n)"
				  " left join device d on d.device = x.device"
				  " left join device_state s on s.device = d.device order by x.n";
enum device_column { DEVICE, SEEN, CELL };
// Every device there is: only for who sees all, where there is one tenant.
static const char TENANTS_SQL[] = "select count(*) from tenant";

bool console_load(struct dashboard *dashboard, struct error *error)
{
	const struct dashboard_config *config = &dashboard->config;
	struct console_places *places = calloc(1, sizeof(*places));

	if (!places)
		return error_errno(error, ENOMEM, "cannot hold the addresses of consoles");
	dashboard->console_places = places;
	if (!console_places_parse(config->console_url, config->console_cells, places, error))
		return false;
	if (places->count == 0)
		return true;
	if (!config->console_key_file)
		return error_set(error, ERROR_INVALID, "console.url and console.cells need console.key_file");
	for (size_t i = 0; i < places->count; i++) {
		if (!assets_allow_console(dashboard->assets, places->items[i].url, error))
			return false;
	}
	dashboard->console_signer = jws_signer_load(config->console_key_file, error);
	return dashboard->console_signer;
}

void console_unload(struct dashboard *dashboard)
{
	jws_signer_free(dashboard->console_signer);
	free(dashboard->console_places);
}

// ---- what is asked for ----

// What is wanted, and the credentials that it takes: one for each place, of which some stay without devices.
struct opening {
	bool all;
	int64_t cell; // with all: of this cell alone; 0: of each
	size_t count;
	char devices[CONSOLE_DEVICES_MAX][DEVICE_ID_MAX + 1];
	int64_t cells[CONSOLE_DEVICES_MAX]; // where they are
	struct console_grant grants[CONSOLE_PLACES_MAX]; // as console_places
	char *tokens[CONSOLE_PLACES_MAX];		 // of those that are given
};

static void opening_free(struct opening *opening)
{
	for (size_t i = 0; opening && i < CONSOLE_PLACES_MAX; i++) {
		if (opening->tokens[i])
			crypto_wipe(opening->tokens[i], strlen(opening->tokens[i]));
		free(opening->tokens[i]);
	}
	free(opening);
}
DEFINE_CLEANUP(struct opening, opening_free)
#define auto_opening cleanup(opening_free_cleanup)

static bool add_device(struct opening *opening, const char *device, struct error *error)
{
	if (!topic_is_device_id(device))
		return error_set(error, ERROR_INVALID, "\"%.64s\" is no device id.", device);
	for (size_t i = 0; i < opening->count; i++) {
		if (strcmp(opening->devices[i], device) == 0)
			return true;
	}
	if (opening->count == CONSOLE_DEVICES_MAX)
		return error_set(error, ERROR_INVALID, "A console shows at most %d devices.", CONSOLE_DEVICES_MAX);
	(void)snprintf(opening->devices[opening->count++], sizeof(opening->devices[0]), "%s", device);
	return true;
}

static bool read_all(const struct json *body, const struct console_places *places, struct opening *opening,
		     struct error *error)
{
	const struct json *all = json_member(body, "all"), *cell = json_member(body, "cell");

	if (all && !json_as_bool(all, &opening->all))
		return error_set(error, ERROR_INVALID, "\"all\" must be true or false.");
	if (!cell)
		return true;
	if (!opening->all || !json_as_int(cell, &opening->cell) || !console_places_find(places, opening->cell))
		return error_set(error, ERROR_INVALID,
				 "\"cell\" goes with \"all\": true, and is one whose console has an address "
				 "(console.cells).");
	return true;
}

static bool read_body(const struct json *body, const struct console_places *places, struct opening *opening,
		      struct error *error)
{
	const struct json *list = json_member(body, "devices");
	const char *device = NULL;

	if (!read_all(body, places, opening, error) ||
	    (json_member_string(body, "device", &device) && !add_device(opening, device, error)))
		return false;
	for (size_t i = 0; i < json_array_length(list); i++) {
		if (!json_as_string(json_array_at(list, i), &device))
			return error_set(error, ERROR_INVALID, "\"devices\" must be a list of device ids.");
		if (!add_device(opening, device, error))
			return false;
	}
	return opening->all != (opening->count > 0) ||
	       error_set(error, ERROR_INVALID, "Say \"device\", \"devices\" (a list), or \"all\": true.");
}

static void prepare(const struct dashboard *dashboard, const struct auth *auth, struct opening *opening)
{
	int64_t now_s = clock_wall_ms() / 1000, ends_s = now_s + dashboard->config.console_lifetime_s;

	if (ends_s > auth->expires_us / 1000000) // not longer than the login
		ends_s = auth->expires_us / 1000000;
	for (size_t i = 0; i < dashboard->console_places->count; i++) {
		struct console_grant *grant = &opening->grants[i];

		(void)snprintf(grant->user, sizeof(grant->user), "%s", auth->user);
		grant->issued_s = now_s;
		grant->expires_s = ends_s;
		grant->cell = dashboard->console_places->items[i].cell;
		console_client_id(grant->client_id);
	}
}

// ---- whether it may be ----

static void add_names(struct buf *out, const struct opening *opening)
{
	buf_add_str(out, "{");
	for (size_t i = 0; i < opening->count; i++)
		buf_addf(out, "%s%s", i == 0 ? "" : ",", opening->devices[i]);
	buf_add_str(out, "}");
}

// From here on whatever ends the login, changes its rights or takes one of the devices away ends these credentials.
// False: the request is answered.
static bool note(struct dashboard *dashboard, struct http_request *request, const struct opening *opening)
{
	const struct auth *auth = auth_of(request);
	auto_pg_result struct pg_result *rows = NULL;
	char clients[CLIENTS_MAX_BYTES] = "", ends[24];
	auto_buf struct buf names;
	size_t used = 0;

	buf_init(&names, NAMES_MAX_BYTES);
	add_names(&names, opening);
	for (size_t i = 0; i < dashboard->console_places->count; i++)
		used += (size_t)snprintf(clients + used, sizeof(clients) - used, "%c%s", i == 0 ? '{' : ',',
					 opening->grants[i].client_id);
	(void)snprintf(clients + used, sizeof(clients) - used, "}");
	(void)snprintf(ends, sizeof(ends), "%lld", (long long)opening->grants[0].expires_s);

	const char *const params[] = {auth->token_hash, auth->by_cookie ? "session" : "api", clients, ends,
				      buf_str(&names)};

	if (!api_query(dashboard, request, &rows, OPEN_SQL, 5, params))
		return false;
	if (pg_rows(rows) > 0 && strcmp(pg_text(rows, 0, 0), auth->scope.tenant) == 0 &&
	    strcmp(pg_text(rows, 0, 1), auth->scope.groups) == 0)
		return true;
	http_reply_problem(request, 401, "The login ended just now, or its rights changed: ask again, or log in.");
	return false;
}

static bool find_devices(struct dashboard *dashboard, struct http_request *request, struct opening *opening)
{
	auto_pg_result struct pg_result *rows = NULL;
	auto_buf struct buf names;
	char detail[160];

	buf_init(&names, NAMES_MAX_BYTES);
	add_names(&names, opening);

	const char *const params[] = {buf_str(&names)};

	if (!api_query_again(dashboard, request, &rows, DEVICES_SQL, 1, params))
		return false;
	for (size_t i = 0; i < opening->count; i++) {
		if (!pg_bool(rows, i, SEEN)) {
			(void)snprintf(detail, sizeof(detail),
				       "There is no device %s; GET /api/v1/devices lists them all.",
				       pg_text(rows, i, DEVICE));
			http_reply_problem(request, 404, detail);
			return false;
		}
		opening->cells[i] = pg_int(rows, i, CELL);
	}
	return true;
}

// False: the request is answered.
static bool may_see(struct dashboard *dashboard, struct http_request *request, struct opening *opening)
{
	auto_pg_result struct pg_result *rows = NULL;

	if (!opening->all)
		return find_devices(dashboard, request, opening);
	if (!api_query_again(dashboard, request, &rows, TENANTS_SQL, 0, NULL))
		return false;
	if (scope_is_all(&auth_of(request)->scope) && pg_int(rows, 0, 0) == 1)
		return true;
	http_reply_problem(request, 403, "You see only a part of all devices: name those that you want.");
	return false;
}

// To each place its devices, and its credential where it has some. False: none has, and the request is answered.
static bool divide(struct dashboard *dashboard, struct http_request *request, struct opening *opening)
{
	const struct console_places *places = dashboard->console_places;
	struct error error = {0};
	size_t given = 0;

	for (size_t i = 0; i < places->count; i++) {
		struct console_grant *grant = &opening->grants[i];

		grant->all = opening->all && (opening->cell == 0 || opening->cell == grant->cell);
		for (size_t n = 0; n < opening->count; n++) {
			if (opening->cells[n] == grant->cell)
				memcpy(grant->devices[grant->count++], opening->devices[n], sizeof(grant->devices[0]));
		}
		if (!grant->all && grant->count == 0)
			continue;
		opening->tokens[i] = console_sign(dashboard->console_signer, grant, &error);
		if (!opening->tokens[i]) {
			api_reply_error(dashboard, request, &error);
			return false;
		}
		given++;
	}
	if (given == 0)
		http_reply_problem(request, 409, "These devices are in cells whose console has no address here: an "
						 "administrator sets console.cells of muster-dashboard.");
	return given > 0;
}

// ---- the answer ----

static void add_list(struct buf *out, const char (*devices)[DEVICE_ID_MAX + 1], size_t count, const char *before,
		     const char *after)
{
	buf_add_str(out, "[");
	for (size_t i = 0; i < count; i++)
		buf_addf(out, "%s\"%s%s%s\"", i == 0 ? "" : ",", before, devices[i], after);
	buf_add_str(out, "]");
}

static bool audit(struct dashboard *dashboard, struct http_request *request, const struct opening *opening,
		  struct error *error)
{
	auto_buf struct buf detail;

	buf_init(&detail, NAMES_MAX_BYTES);
	buf_add_str(&detail, "{\"devices\":");
	if (opening->all)
		buf_add_str(&detail, "\"all\"");
	else
		add_list(&detail, opening->devices, opening->count, "", "");
	buf_add_str(&detail, "}");
	return api_audit(dashboard, request, auth_of(request)->user, "console.open",
			 opening->all ? "all devices" : opening->devices[0], buf_str(&detail), error);
}

static void add_connections(struct buf *out, const struct console_places *places, const struct opening *opening)
{
	const char *comma = "";

	for (size_t i = 0; i < places->count; i++) {
		const struct console_grant *grant = &opening->grants[i];

		if (!opening->tokens[i])
			continue;
		buf_addf(out, "%s{\"cell\":%d,\"url\":\"%s\",\"client_id\":\"%s\",", comma, (int)places->items[i].cell,
			 places->items[i].url, grant->client_id);
		buf_addf(out, "\"username\":\"%s\",\"password\":\"%s\",\"topics\":", grant->user, opening->tokens[i]);
		if (grant->all)
			buf_add_str(out, "[\"fleet/v1/#\"]");
		else
			add_list(out, grant->devices, grant->count, "fleet/v1/", "/#");
		buf_add_str(out, "}");
		comma = ",";
	}
}

static void reply(struct dashboard *dashboard, struct http_request *request, const struct opening *opening)
{
	char expires[CLOCK_RFC3339_BYTES];
	const char *comma = "";
	auto_buf struct buf answer;

	buf_init(&answer, API_ANSWER_MAX_BYTES);
	clock_format_rfc3339(opening->grants[0].expires_s * 1000, expires);
	buf_addf(&answer, "{\"expires_at\":\"%s\",\"connections\":[", expires);
	add_connections(&answer, dashboard->console_places, opening);
	buf_add_str(&answer, "],\"unreachable\":[");
	for (size_t i = 0; i < opening->count; i++) {
		if (console_places_find(dashboard->console_places, opening->cells[i]))
			continue;
		buf_addf(&answer, "%s{\"device\":\"%s\",\"cell\":%lld}", comma, opening->devices[i],
			 (long long)opening->cells[i]);
		comma = ",";
	}
	buf_add_str(&answer, "]}");
	api_reply_text(request, 201, buf_str(&answer));
}

void console_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_json struct json *body = http_body_json(request);
	auto_opening struct opening *opening = calloc(1, sizeof(*opening));
	struct error error = {0};

	if (!body)
		return;
	if (!dashboard->console_signer) {
		http_reply_problem(request, 404, "There is no live console here: an administrator sets console.url and "
						 "console.key_file of muster-dashboard.");
		return;
	}
	if (!opening) {
		(void)error_errno(&error, ENOMEM, "cannot open a console");
		api_reply_error(dashboard, request, &error);
		return;
	}
	if (!read_body(body, dashboard->console_places, opening, &error)) {
		http_reply_problem(request, 422, error.what);
		return;
	}
	prepare(dashboard, auth_of(request), opening);
	if (!note(dashboard, request, opening) || !may_see(dashboard, request, opening) ||
	    !divide(dashboard, request, opening))
		return;
	if (audit(dashboard, request, opening, &error))
		reply(dashboard, request, opening);
	else
		api_reply_error(dashboard, request, &error);
}
