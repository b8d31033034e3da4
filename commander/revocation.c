#include "commander/revocation.h"

#include "commander/commander.h"
#include "commander/moves.h"

#include "common/clock.h"
#include "common/limits.h"
#include "common/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SINGLES_MAX "100" // changes that are sent one by one; beyond it the list as a whole is cheaper
#define SINGLES 100
#define PART_LINES 4000 // of a list; with up to 50 bytes each well below what the broker takes
#define ANSWER_MS 5000 // after which what was sent is sent again
#define PRUNE_EVERY_MS 3600000
#define VOID_BATCH "500"
#define VOID_MAX 500

static const char changes_sql[] =
	"select kind, name, revoked, change, request_id from revocation where change > $1::bigint"
	" order by change limit " SINGLES_MAX " + 1";
enum change_column { KIND, NAME, REVOKED, CHANGE, REQUEST_ID };
static const char last_sql[] =
	"select coalesce(max(change), 0), count(*) filter (where change > $1::bigint) from revocation";
static const char digest_sql[] = "select encode(sha256(convert_to(coalesce(string_agg(kind || ' ' || name || E'\\n', "
				 "'' order by kind || ' ' || name"
				 " collate \"C\"), ''), 'UTF8')), 'hex') from revocation where revoked";
static const char list_sql[] = "select kind || ' ' || name, revoked, max(change) over () from revocation order by 1";
// Whoever shows devices is told, too.
static const char effects_sql[] =
	"with made as (insert into revocation_effect (cell, change, kind, name, revoked, seconds)"
	" select $1::integer, change, kind, name, revoked,"
	" greatest(0, extract(epoch from clock_timestamp() - requested_at)) from revocation"
	" where change <= $2::bigint"
	" and change > coalesce((select max(change) from revocation_effect where cell = $1::integer), 0)"
	" order by change on conflict do nothing returning kind, name, revoked, seconds),"
	" shown as (update device_state s set changed_at = now() from made where made.kind = 'device'"
	" and s.device = made.name)"
	" select kind, name, revoked, seconds from made";
static const char void_sql[] = "select c.id, c.state from reenrollment r join command c on c.device = r.device and "
			       "c.created_at < r.enrolled_at"
			       " where c.state in ('requested', 'queued', 'sent', 'accepted', 'running')"
			       " order by c.device, c.created_at limit " VOID_BATCH " for update of c";
static const char voided_sql[] =
	"delete from reenrollment r where not exists (select from command c where c.device = r.device"
	" and c.created_at < r.enrolled_at and c.state in ('requested', 'queued', 'sent', 'accepted', 'running'))";
static const char prune_sql[] = "select prune_revocations()";

bool revocation_parse(const char *payload, size_t len_bytes, struct revocation *revocation, struct error *error)
{
	auto_json struct json *object = json_parse(payload, len_bytes, error);
	const char *sha256 = NULL;
	int64_t applied = 0;
	bool readable = false;

	if (!object)
		return false;
	if (json_type(object) != JSON_OBJECT || !json_member_bool(object, "readable", &readable) ||
	    !json_member_int(object, "applied", &applied) || applied < 0 ||
	    !json_member_string(object, "sha256", &sha256) || strlen(sha256) != SHA256_HEX_BYTES - 1)
		return error_set(error, ERROR_INVALID, "not an object with readable, applied and sha256");
	revocation->readable = readable;
	revocation->applied = applied;
	memcpy(revocation->sha256, sha256, SHA256_HEX_BYTES);
	return true;
}

void revocation_connected(struct commander *commander)
{
	struct revocation *revocation = &commander->revocation;

	revocation->told = revocation->listed = false;
	revocation->verify = true;
	revocation->sent = revocation->sent_ms = 0;
}

void revocation_told(struct commander *commander, const char *payload, size_t len_bytes)
{
	struct revocation *revocation = &commander->revocation;
	auto_json struct json *object = NULL;
	struct error error = {0};
	const char *failure = NULL;

	if (!revocation_parse(payload, len_bytes, revocation, &error)) {
		log_warn("revocation.message", "error", error.what);
		return;
	}
	object = json_parse(payload, len_bytes, &error);
	revocation->told = revocation->record = true;
	if (revocation->sent_ms == 0) {
		revocation->verify = true; // not an answer: somebody else changed it
		revocation->listed = false;
	}
	if (json_member_string(object, "error", &failure)) {
		(void)error_set(&error, ERROR_FAILED, "the broker could not apply a revocation: %.400s", failure);
		log_fault(&commander->revocation_fault, "revocation.failed", &error);
		return; // revocation_tick sends it again
	}
	log_fault_over(&commander->revocation_fault, "revocation.failed");
	if (revocation->applied >= revocation->sent)
		revocation->sent = revocation->sent_ms = 0;
	commander_due(commander, DUE_REVOCATION);
}

void revocation_tick(struct commander *commander)
{
	struct revocation *revocation = &commander->revocation;
	int64_t now_ms = clock_mono_ms();

	if (revocation->sent_ms != 0 && now_ms - revocation->sent_ms >= ANSWER_MS) {
		revocation->sent = revocation->sent_ms = 0;
		commander_due(commander, DUE_REVOCATION);
	}
	if (revocation->pruned_ms == 0 || now_ms - revocation->pruned_ms >= PRUNE_EVERY_MS) {
		revocation->pruned_ms = now_ms;
		revocation->prune = revocation->verify = true;
		revocation->listed = false;
		commander_due(commander, DUE_REVOCATION);
	}
}

void revocation_rolled_back(struct commander *commander)
{
	struct revocation *revocation = &commander->revocation;

	revocation->sent = revocation->sent_ms = 0;
	revocation->record = revocation->verify = true;
}

// ---- to the guard ----

static bool send(struct commander *commander, const char *payload, const char *request_id, struct error *error)
{
	const struct outgoing_message message = {
		.topic = TOPIC_CONTROL,
		.payload = payload,
		.request_id = request_id && request_id[0] ? request_id : NULL,
	};

	return outgoing_add(&commander->outgoing, &message) ||
	       error_set(error, ERROR_LIMIT, "too many messages wait to be published");
}

static void note_sent(struct revocation *revocation, int64_t change)
{
	revocation->sent = change;
	revocation->sent_ms = clock_mono_ms();
}

static bool send_changes(struct commander *commander, const struct pg_result *rows, struct error *error)
{
	for (size_t row = 0; row < pg_rows(rows); row++) {
		auto_json struct json *json = json_new_object();

		json_set_string(json, "op", pg_bool(rows, row, REVOKED) ? "revoke" : "restore");
		json_set_string(json, pg_text(rows, row, KIND), pg_text(rows, row, NAME));
		json_set_int(json, "change", pg_int(rows, row, CHANGE));
		if (!send(commander, json_text(json), pg_text(rows, row, REQUEST_ID), error))
			return false;
		note_sent(&commander->revocation, pg_int(rows, row, CHANGE));
	}
	return true;
}

// The lines of one part that are revoked, or those that are not; nothing in them needs quoting.
static void add_lines(struct buf *out, const struct pg_result *rows, size_t part, bool revoked)
{
	const char *comma = "";

	for (size_t row = part * PART_LINES; row < (part + 1) * PART_LINES && row < pg_rows(rows); row++) {
		if (pg_bool(rows, row, 1) != revoked)
			continue;
		(void)buf_addf(out, "%s\"%s\"", comma, pg_text(rows, row, 0));
		comma = ",";
	}
}

static bool send_part(struct commander *commander, const struct pg_result *rows, size_t part, size_t parts,
		      struct error *error)
{
	auto_buf struct buf text = {0};

	buf_init(&text, PAYLOAD_MAX_BYTES);
	(void)buf_addf(&text, "{\"op\":\"list\",\"change\":%lld,\"part\":%zu,\"parts\":%zu,\"revoke\":[",
		       pg_rows(rows) > 0 ? (long long)pg_int(rows, 0, 2) : 0LL, part + 1, parts);
	add_lines(&text, rows, part, true);
	(void)buf_add_str(&text, "],\"restore\":[");
	add_lines(&text, rows, part, false);
	(void)buf_add_str(&text, "]}");
	if (text.overflowed)
		return error_set(error, ERROR_LIMIT, "a part of the revocation list does not fit a message");
	return send(commander, buf_str(&text), NULL, error);
}

static bool send_list(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	size_t parts;

	if (!pg_query(commander->pg, &rows, error, list_sql, 0, NULL))
		return false;
	parts = pg_rows(rows) == 0 ? 1 : (pg_rows(rows) + PART_LINES - 1) / PART_LINES;
	for (size_t part = 0; part < parts; part++) {
		if (!send_part(commander, rows, part, parts, error))
			return false;
	}
	log_info("revocation.list_sent", "names", log_number((int64_t)pg_rows(rows)));
	note_sent(&commander->revocation, pg_rows(rows) > 0 ? pg_int(rows, 0, 2) : 0);
	return true;
}

// The list has every change. Whether it is also the same in all its lines; when sending it whole did not make it so, it
// holds more than the database knows, which only a person may take away.
static bool compare(struct commander *commander, struct error *error)
{
	struct revocation *revocation = &commander->revocation;
	auto_pg_result struct pg_result *rows = NULL;

	if (!pg_query(commander->pg, &rows, error, digest_sql, 0, NULL))
		return false;
	revocation->verify = false;
	revocation->differs = strcmp(pg_text(rows, 0, 0), revocation->sha256) != 0;
	if (!revocation->differs)
		return true;
	if (!revocation->listed) {
		revocation->listed = revocation->verify = true; // once more when it is confirmed
		return send_list(commander, error);
	}
	log_warn("revocation.unknown_names", "reason",
		 "the broker's revocation list holds names that the database does not; they stay revoked: muster device"
		 " restore does not reach them, a line taken out of the list by hand does");
	return true;
}

static bool converge(struct commander *commander, struct error *error)
{
	struct revocation *revocation = &commander->revocation;
	auto_pg_result struct pg_result *last = NULL;
	auto_pg_result struct pg_result *rows = NULL;
	int64_t from = revocation->applied > revocation->sent ? revocation->applied : revocation->sent;
	char from_text[24];
	char applied_text[24];

	(void)snprintf(from_text, sizeof(from_text), "%lld", (long long)from);
	(void)snprintf(applied_text, sizeof(applied_text), "%lld", (long long)revocation->applied);
	if (!PG_QUERY(commander->pg, &last, error, last_sql, applied_text))
		return false;
	revocation->waiting = pg_int(last, 0, 1);
	if (!revocation->readable || revocation->applied > pg_int(last, 0, 0))
		return revocation->sent_ms != 0 || send_list(commander, error);
	if (from < pg_int(last, 0, 0)) {
		if (!PG_QUERY(commander->pg, &rows, error, changes_sql, from_text))
			return false;
		return pg_rows(rows) > SINGLES ? send_list(commander, error) : send_changes(commander, rows, error);
	}
	return !revocation->verify || revocation->sent_ms != 0 || compare(commander, error);
}

// ---- what came of it ----

static bool record_effects(struct commander *commander, struct error *error)
{
	struct revocation *revocation = &commander->revocation;
	auto_pg_result struct pg_result *rows = NULL;
	char cell[24];
	char applied[24];

	// Where there is but one broker (option cell 0), it is cell 1: so devices are enrolled.
	(void)snprintf(cell, sizeof(cell), "%ld", commander->options->cell > 0 ? commander->options->cell : 1);
	(void)snprintf(applied, sizeof(applied), "%lld", (long long)revocation->applied);
	if (!PG_QUERY(commander->pg, &rows, error, effects_sql, cell, applied))
		return false;
	revocation->record = false;
	for (size_t row = 0; row < pg_rows(rows); row++) {
		double seconds = strtod(pg_text(rows, row, 3), NULL);

		log_info(pg_bool(rows, row, 2) ? "revocation.revoked" : "revocation.restored", pg_text(rows, row, 0),
			 pg_text(rows, row, 1), "seconds", pg_text(rows, row, 3));
		metric_observe(metrics_histogram(commander->metrics, "muster_revocation_seconds", NULL,
						 "From a revocation's request until the broker has it on its disk and "
						 "has cut the session"),
			       seconds);
	}
	return pg_rows(rows) == 0 || pg_exec(commander->pg, "notify muster_state", error);
}

// What was ordered before a device was enrolled again is not for whoever holds it now.
static bool void_commands(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	struct transition moves[VOID_MAX];
	size_t count = 0;

	if (!pg_query(commander->pg, &rows, error, void_sql, 0, NULL))
		return false;
	for (size_t row = 0; row < pg_rows(rows) && count < VOID_MAX; row++) {
		enum command_state state;

		if (!command_state_parse(pg_text(rows, row, 1), &state))
			continue;
		moves[count++] = (struct transition){
			.command = pg_text(rows, row, 0),
			.from = state,
			.to = STATE_CANCELLED,
			.cause = "enrolment",
			.reason = "the device was enrolled again",
		};
	}
	if (!moves_make(commander, moves, count, NULL, error) ||
	    !pg_query(commander->pg, NULL, error, voided_sql, 0, NULL))
		return false;
	if (count == VOID_MAX)
		commander_due(commander, DUE_REVOCATION);
	return true;
}

static bool send_kicks(struct commander *commander, struct error *error)
{
	for (size_t i = 0; i < commander->kicks.count; i++) {
		auto_json struct json *json = json_new_object();

		json_set_string(json, "op", "kick");
		json_set_string(json, "device", commander->kicks.ids[i]);
		if (!send(commander, json_text(json), NULL, error))
			return false;
	}
	devices_clear(&commander->kicks);
	return true;
}

bool revocation_run(struct commander *commander, struct error *error)
{
	struct revocation *revocation = &commander->revocation;
	auto_pg_result struct pg_result *pruned = NULL;

	commander->due &= ~(unsigned)DUE_REVOCATION;
	if (!void_commands(commander, error))
		return error_prefix(error, "voiding commands of devices that were enrolled again");
	if (revocation->prune && !pg_query(commander->pg, &pruned, error, prune_sql, 0, NULL))
		return error_prefix(error, "letting expired certificates go");
	revocation->prune = false;
	if (!mqtt_connected(commander->mqtt) || !revocation->told)
		return true; // the guard's next word makes it due again
	return (send_kicks(commander, error) && (!revocation->record || record_effects(commander, error)) &&
		converge(commander, error)) ||
	       error_prefix(error, "bringing the broker's revocation list up to date");
}
