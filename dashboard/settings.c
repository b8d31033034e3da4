#include "dashboard/settings.h"

#include "common/json.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"

#include <string.h>

#define DETAIL_MAX_BYTES 32768 // notes of 4,000 characters, some of them escaped

// What is absent ($2 to $4, $6, $8 null) stays; $5: the window is taken away, $7: the name.
static const char CHANGE_SQL[] =
	"update device d set command_policy = coalesce($2, d.command_policy), time_zone = coalesce($3, d.time_zone),"
	" maintenance_window = case when $5 then null else coalesce($4::jsonb, d.maintenance_window) end,"
	" display_name = case when $7 then null else coalesce($6, d.display_name) end, notes = coalesce($8, d.notes)"
	" where d.device = $1"
	" returning json_build_object('device', d.device, 'command_policy', d.command_policy, 'time_zone', d.time_zone,"
	" 'maintenance_window', d.maintenance_window, 'display_name', d.display_name, 'notes', d.notes)";

struct settings {
	const char *policy, *time_zone, *window, *name, *notes; // NULL: stays
	bool no_window, no_name;
	struct json *window_copy; // owned
};

static bool read_settings(const struct json *json, struct settings *out, struct error *error)
{
	for (struct json_iterator it = json_begin(json); json_next(&it);) {
		if (strcmp(it.name, "command_policy") == 0 && json_as_string(it.value, &out->policy))
			continue;
		if (strcmp(it.name, "time_zone") == 0 && json_as_string(it.value, &out->time_zone))
			continue;
		if (strcmp(it.name, "display_name") == 0 && json_as_string(it.value, &out->name))
			continue;
		if (strcmp(it.name, "notes") == 0 && json_as_string(it.value, &out->notes))
			continue;
		if (strcmp(it.name, "display_name") == 0 && json_type(it.value) == JSON_NULL) {
			out->no_name = true;
		} else if (strcmp(it.name, "maintenance_window") == 0 && json_type(it.value) == JSON_NULL) {
			out->no_window = true;
		} else if (strcmp(it.name, "maintenance_window") == 0 && json_type(it.value) == JSON_OBJECT) {
			out->window_copy = json_copy(it.value);
			out->window = json_text(out->window_copy);
		} else {
			return error_set(
				error, ERROR_INVALID,
				"\"%.64s\" is not known, or of another type: command_policy, time_zone and notes are "
				"texts, display_name is a text or null, maintenance_window is an object or null.",
				it.name);
		}
	}
	return true;
}

static void reply_bad(struct dashboard *dashboard, struct http_request *request, const struct error *error)
{
	static const struct {
		const char *constraint, *detail;
	} table[] = {
		{"command_policy", "\"command_policy\" must be \"one\" or \"burst\"."},
		{"time_zone", "\"time_zone\" must be a name of the tz database, such as \"Europe/Berlin\"."},
		{"maintenance_window", "\"maintenance_window\" must be such as "
				       "{\"days\":[1,2,3,4,5],\"from\":\"02:00\",\"to\":\"05:00\"}, days from "
				       "1 (Monday) to 7."},
		{"display_name", "\"display_name\" must be 1 to 100 characters in one line; null takes it away."},
		{"notes", "\"notes\" must be plain text of up to 4,000 characters."},
	};

	for (size_t i = 0; pg_error_is_data(error) && i < sizeof(table) / sizeof(table[0]); i++) {
		if (strstr(error->what, table[i].constraint)) {
			http_reply_problem(request, 422, table[i].detail);
			return;
		}
	}
	api_reply_error(dashboard, request, error);
}

static void change(struct dashboard *dashboard, struct http_request *request, const struct settings *settings,
		   struct json *json)
{
	const char *id = http_param(request, "id");
	auto_pg_result struct pg_result *row = NULL;
	struct error error = {0};
	const char *const params[] = {id, settings->policy, settings->time_zone, settings->window,
				      settings->no_window ? "true" : "false", settings->name,
				      settings->no_name ? "true" : "false", settings->notes};
	bool done = pg_ready(dashboard->pg, &error) && pg_begin(dashboard->pg, &error) &&
		    pg_query(dashboard->pg, &row, &error, CHANGE_SQL, sizeof(params) / sizeof(params[0]), params);

	if (done && pg_rows(row) > 0)
		done = api_audit(dashboard, request, auth_of(request)->user, "device.set", id, json_text(json),
				 &error) &&
		       pg_commit(dashboard->pg, &error);
	if (!done || pg_rows(row) == 0)
		pg_rollback(dashboard->pg);
	if (!done)
		reply_bad(dashboard, request, &error);
	else
		api_reply_row(request, row, "There is no device with this id; GET /api/v1/devices lists them.");
}

void settings_change(struct http_request *request, void *user)
{
	struct settings settings = {0};
	auto_json struct json *json = http_body_json(request);
	struct error error = {0};

	if (!json)
		return;
	bool sound = read_settings(json, &settings, &error);
	auto_json struct json *copy = settings.window_copy;

	if (sound && strlen(json_text(json)) <= DETAIL_MAX_BYTES)
		change(user, request, &settings, json);
	else
		http_reply_problem(request, 422, sound ? "The settings are too large." : error.what);
}
