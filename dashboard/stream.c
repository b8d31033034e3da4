// How nothing is missed: changed_at is set when a transaction begins, so a later commit may carry an earlier time.
// Each query therefore looks back OVERLAP_US behind the latest change seen, and what the query before it gave
// already is left out. A client that reconnects is sent everything since its last id, less the same overlap.
#include "dashboard/stream.h"

#include "common/clock.h"
#include "common/limits.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/commands.h"
#include "dashboard/devices.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OVERLAP_US 1000000
#define CHANGES_MAX 500 // of one kind in one set; above, browsers are told to ask again
#define CHANGES_MAX_TEXT "501"
#define SET_EVERY_MS 250
#define SET_EVERY_BUSY_MS 1000
#define RETRY_MS 500
#define CHECK_EVERY_MS 5000 // sessions, and changes that nobody notified
#define HEARTBEAT_EVERY_MS 15000
#define STREAMS_MAX 512
#define REPLAY_MAX_US (3600 * INT64_C(1000000))
#define KEY_MAX 64
#define FRAME_MAX_BYTES (HTTP_STREAM_UNSENT_MAX / 3) // of one kind: a set, or a replay, never cuts its stream by itself

static const char NOW_SQL[] = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
static const char VALID_SQL[] =
	"select encode(t.token_hash, 'hex') from access_token t join user_account u on u.name = t.user_name"
	" where t.token_hash in (select decode(hash, 'hex') from unnest($1::text[]) hash)"
	" and t.revoked_at is null and t.expires_at > now() and u.enabled";

enum kind { DEVICES, COMMANDS, KINDS };
static const struct {
	const char *event, *sql;
} kinds[KINDS] = {{"devices", devices_changed_sql}, {"commands", commands_changed_sql}};

struct sent {
	char key[KEY_MAX];
	int64_t changed_us;
};

struct stream {
	struct stream *next, *previous;
	struct streams *streams;
	struct http_stream *http;
	char token_hash[SHA256_HEX_BYTES];
	int64_t expires_us;
};

struct streams {
	struct dashboard *dashboard;
	struct pg *pg;
	struct loop_watch *watch; // of the connection's descriptor; NULL while there is none
	struct loop_timer *set_timer, *check_timer, *heartbeat_timer;
	struct stream *first;
	size_t count;
	int64_t cursor_us; // latest change sent
	int64_t last_set_ms;
	struct sent *sent[KINDS]; // the rows of the query before, by key
	size_t sent_count[KINDS];
	bool away, busy, scheduled;
	struct log_fault fault;
	struct metric *open_gauge, *events_counter;
};

void stream_frame(struct buf *out, const char *event, int64_t id, const char *data)
{
	if (id > 0)
		buf_addf(out, "id: %" PRId64 "\n", id);
	buf_addf(out, "event: %s\ndata: ", event);
	buf_add_str(out, data);
	buf_add_str(out, "\n\n");
}

static void broadcast(struct streams *streams, const struct buf *frames)
{
	struct stream *next = NULL;

	if (frames->len_bytes == 0 || frames->overflowed)
		return;
	for (struct stream *stream = streams->first; stream; stream = next) {
		next = stream->next; // sending cuts a stream that is too far behind
		(void)http_stream_send(stream->http, buf_str(frames), frames->len_bytes);
	}
	metric_add(streams->events_counter, (double)streams->count);
}

static void broadcast_event(struct streams *streams, const char *event, const char *data)
{
	auto_buf struct buf frame;

	buf_init(&frame, 256);
	stream_frame(&frame, event, streams->cursor_us, data);
	broadcast(streams, &frame);
}

// ---- the database side ----

static void schedule(struct streams *streams)
{
	int64_t every_ms = streams->away ? RETRY_MS : streams->busy ? SET_EVERY_BUSY_MS : SET_EVERY_MS;
	int64_t wait_ms = streams->last_set_ms + every_ms - clock_mono_ms();

	if (streams->scheduled)
		return;
	streams->scheduled = true;
	loop_timer_once(streams->set_timer, wait_ms > 0 ? wait_ms : 0);
}

static void on_notification(void *user, const char *channel, const char *payload)
{
	schedule(user);
}

static void lost(struct streams *streams, const struct error *error)
{
	log_fault(&streams->fault, "stream.database", error);
	loop_watch_free(streams->watch);
	streams->watch = NULL;
	pg_disconnect(streams->pg);
	if (!streams->away) {
		streams->away = true;
		broadcast_event(streams, "database", "{\"up\":false}");
	}
	schedule(streams);
}

static void on_readable(int fd, int ready, void *user)
{
	struct streams *streams = user;
	struct error error = {0};

	if (!pg_notifications(streams->pg, on_notification, streams, &error))
		lost(streams, &error);
}

static bool on_connect(struct pg *pg, void *user, struct error *error)
{
	return api_on_connect(pg, user, error) && scope_enter_all(pg, error) &&
	       pg_exec(pg, "listen muster_state", error) &&
	       pg_exec(pg, "listen muster_command", error);
}

static bool connect_database(struct streams *streams, struct error *error)
{
	if (!pg_ready(streams->pg, error))
		return false;
	if (!streams->watch) {
		streams->watch = loop_watch_new(streams->dashboard->loop, pg_fd(streams->pg), LOOP_READ, on_readable,
						streams, error);
		if (!streams->watch)
			return false;
	}
	log_fault_over(&streams->fault, "stream.database");
	if (streams->away) {
		streams->away = false;
		broadcast_event(streams, "database", "{\"up\":true}");
	}
	return true;
}

static bool query_changes(struct pg *pg, enum kind kind, int64_t since_us, struct pg_result **rows,
			  struct error *error)
{
	char since[24];

	(void)snprintf(since, sizeof(since), "%" PRId64, since_us - OVERLAP_US);
	return PG_QUERY(pg, rows, error, kinds[kind].sql, since, CHANGES_MAX_TEXT);
}

static int compare_sent(const void *a, const void *b)
{
	return strcmp(((const struct sent *)a)->key, ((const struct sent *)b)->key);
}

static bool was_sent(const struct streams *streams, enum kind kind, const struct sent *row)
{
	const struct sent *found = streams->sent_count[kind] == 0 ?
					   NULL :
					   bsearch(row, streams->sent[kind], streams->sent_count[kind], sizeof(*row),
						   compare_sent);

	return found && found->changed_us == row->changed_us;
}

// Adds the rows that were not sent before as one event, and remembers all of them. False when they are too large.
static bool add_changes(struct streams *streams, enum kind kind, const struct pg_result *rows, struct buf *out)
{
	auto_buf struct buf data;
	size_t count = pg_rows(rows), fresh = 0;
	struct sent *seen = calloc(count + 1, sizeof(*seen));

	buf_init(&data, FRAME_MAX_BYTES);
	if (!seen)
		return false;
	for (size_t i = 0; i < count; i++) {
		(void)snprintf(seen[i].key, sizeof(seen[i].key), "%s", pg_text(rows, i, 0));
		seen[i].changed_us = pg_int(rows, i, 1);
		if (was_sent(streams, kind, &seen[i]))
			continue;
		buf_add_str(&data, fresh++ == 0 ? "[" : ",");
		buf_add_str(&data, pg_text(rows, i, 2));
		if (seen[i].changed_us > streams->cursor_us)
			streams->cursor_us = seen[i].changed_us;
	}
	qsort(seen, count, sizeof(*seen), compare_sent);
	free(streams->sent[kind]);
	streams->sent[kind] = seen;
	streams->sent_count[kind] = count;
	if (fresh == 0)
		return true;
	if (!buf_add_str(&data, "]"))
		return false;
	stream_frame(out, kinds[kind].event, streams->cursor_us, buf_str(&data));
	return true;
}

static bool send_set(struct streams *streams, struct error *error)
{
	auto_buf struct buf frames;
	int64_t since_us = streams->cursor_us;

	buf_init(&frames, HTTP_STREAM_UNSENT_MAX);
	streams->busy = false;
	for (enum kind kind = DEVICES; kind < KINDS; kind++) {
		auto_pg_result struct pg_result *rows = NULL;

		if (!query_changes(streams->pg, kind, since_us, &rows, error))
			return false;
		if (pg_rows(rows) <= CHANGES_MAX && add_changes(streams, kind, rows, &frames))
			continue;
		streams->busy = true;
		streams->sent_count[kind] = 0;
		if (pg_rows(rows) > 0 && pg_int(rows, 0, 1) > streams->cursor_us)
			streams->cursor_us = pg_int(rows, 0, 1);
	}
	if (streams->busy)
		stream_frame(&frames, "resync", streams->cursor_us, "{}");
	broadcast(streams, &frames);
	// The query may have taken notifications off the socket, which then does not become readable for them.
	return pg_notifications(streams->pg, on_notification, streams, error);
}

static void on_set(void *user)
{
	struct streams *streams = user;
	struct error error = {0};

	streams->scheduled = false;
	streams->last_set_ms = clock_mono_ms();
	if (!connect_database(streams, &error) || (streams->count > 0 && !send_set(streams, &error)))
		lost(streams, &error);
}

// ---- sessions ----

static void end(struct stream *stream)
{
	static const char frame[] = "event: end\ndata: {}\n\n";

	if (http_stream_send(stream->http, frame, sizeof(frame) - 1))
		http_stream_close(stream->http);
}

void streams_end_session(struct streams *streams, const char *token_hash)
{
	struct stream *next = NULL;

	for (struct stream *stream = streams->first; stream; stream = next) {
		next = stream->next;
		if (strcmp(stream->token_hash, token_hash) == 0)
			end(stream);
	}
}

static bool is_valid(const struct stream *stream, const struct pg_result *valid)
{
	if (stream->expires_us / 1000 <= clock_wall_ms())
		return false;
	for (size_t i = 0; valid && i < pg_rows(valid); i++) {
		if (strcmp(stream->token_hash, pg_text(valid, i, 0)) == 0)
			return true;
	}
	return !valid; // the database is away: what was valid stays so until it expires
}

static void on_check(void *user)
{
	struct streams *streams = user;
	auto_pg_result struct pg_result *valid = NULL;
	auto_buf struct buf hashes;
	struct stream *next = NULL;

	buf_init(&hashes, STREAMS_MAX * (SHA256_HEX_BYTES + 1) + 2);
	if (streams->count == 0)
		return;
	for (const struct stream *stream = streams->first; stream; stream = stream->next)
		buf_addf(&hashes, "%c%s", stream == streams->first ? '{' : ',', stream->token_hash);
	buf_add_str(&hashes, "}");
	if (!streams->away && !PG_QUERY(streams->pg, &valid, NULL, VALID_SQL, buf_str(&hashes)))
		valid = NULL;
	for (struct stream *stream = streams->first; stream; stream = next) {
		next = stream->next;
		if (!is_valid(stream, valid))
			end(stream);
	}
	schedule(streams);
}

static void on_heartbeat(void *user)
{
	auto_buf struct buf comment;

	buf_init(&comment, 8);
	buf_add_str(&comment, ":\n\n");
	broadcast(user, &comment);
}

// ---- opening and closing ----

static void on_closed(void *user)
{
	struct stream *stream = user;
	struct streams *streams = stream->streams;

	if (stream->previous)
		stream->previous->next = stream->next;
	else
		streams->first = stream->next;
	if (stream->next)
		stream->next->previous = stream->previous;
	streams->count--;
	metric_set(streams->open_gauge, (double)streams->count);
	free(stream);
}

// Everything since after_us, for one stream alone. False when that is too much, so that the client must ask again.
static bool add_replay(struct streams *streams, int64_t after_us, int64_t now_us, struct buf *out)
{
	if (after_us <= 0 || now_us - after_us > REPLAY_MAX_US)
		return false;
	for (enum kind kind = DEVICES; kind < KINDS; kind++) {
		auto_pg_result struct pg_result *rows = NULL;
		auto_buf struct buf data;

		if (!query_changes(streams->dashboard->pg, kind, after_us, &rows, NULL) || pg_rows(rows) > CHANGES_MAX)
			return false;
		if (pg_rows(rows) == 0)
			continue;
		buf_init(&data, FRAME_MAX_BYTES);
		for (size_t i = 0; i < pg_rows(rows); i++) {
			buf_add_str(&data, i == 0 ? "[" : ",");
			buf_add_str(&data, pg_text(rows, i, 2));
		}
		buf_add_str(&data, "]");
		if (data.overflowed)
			return false;
		stream_frame(out, kinds[kind].event, pg_int(rows, 0, 1), buf_str(&data));
	}
	return !out->overflowed;
}

static void greet(struct stream *stream, int64_t after_us, int64_t now_us)
{
	struct streams *streams = stream->streams;
	auto_buf struct buf frames;

	buf_init(&frames, HTTP_STREAM_UNSENT_MAX);
	buf_add_str(&frames, "retry: 2000\n\n");
	bool replayed = add_replay(streams, after_us, now_us, &frames);

	if (!replayed) {
		buf_clear(&frames);
		buf_add_str(&frames, "retry: 2000\n\n");
	}
	stream_frame(&frames, "ready", streams->cursor_us, replayed ? "{\"replayed\":true}" : "{\"replayed\":false}");
	(void)http_stream_send(stream->http, buf_str(&frames), frames.len_bytes);
}

void stream_open(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	struct streams *streams = dashboard->streams;
	const char *last_id = http_header(request, "Last-Event-ID");
	auto_pg_result struct pg_result *now = NULL;
	int64_t after_us = 0;

	if (streams->count >= STREAMS_MAX) {
		http_reply_header(request, "Retry-After", "30");
		http_reply_problem(request, 503, "Too many live streams are open; close some pages.");
		return;
	}
	if (!last_id)
		last_id = api_text(request, "after");
	if (last_id && !api_parse_int(last_id, &after_us)) {
		http_reply_problem(request, 400, "Last-Event-ID must be the id of an earlier event.");
		return;
	}
	if (!api_query(dashboard, request, &now, NOW_SQL, 0, NULL))
		return;
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream) {
		http_reply_problem(request, 503, "Out of memory: try again later.");
		return;
	}
	stream->streams = streams;
	(void)snprintf(stream->token_hash, sizeof(stream->token_hash), "%s", auth_of(request)->token_hash);
	stream->expires_us = auth_of(request)->expires_us;
	stream->http = http_stream_start(request, on_closed, stream);
	if (!stream->http) { // the client is gone already
		free(stream);
		return;
	}
	if (streams->count == 0) // nobody was served meanwhile: begin here
		streams->cursor_us = pg_int(now, 0, 0);
	stream->next = streams->first;
	if (stream->next)
		stream->next->previous = stream;
	streams->first = stream;
	streams->count++;
	metric_set(streams->open_gauge, (double)streams->count);
	greet(stream, after_us, pg_int(now, 0, 0));
}

struct streams *streams_new(struct dashboard *dashboard, struct error *error)
{
	struct streams *streams = calloc(1, sizeof(*streams));

	if (!streams) {
		error_set(error, ERROR_FAILED, "out of memory");
		return NULL;
	}
	streams->dashboard = dashboard;
	streams->open_gauge = metrics_gauge(dashboard->metrics, "muster_dashboard_streams", NULL, "Open live streams.");
	streams->events_counter = metrics_counter(dashboard->metrics, "muster_dashboard_stream_events_total", NULL,
						  "Events sent to live streams.");
	streams->pg = pg_new(dashboard->config.database_conninfo, "muster-dashboard stream", error);
	streams->set_timer = loop_timer_new(dashboard->loop, on_set, streams, error);
	streams->check_timer = loop_timer_new(dashboard->loop, on_check, streams, error);
	streams->heartbeat_timer = loop_timer_new(dashboard->loop, on_heartbeat, streams, error);
	if (!streams->pg || !streams->set_timer || !streams->check_timer || !streams->heartbeat_timer) {
		streams_free(streams);
		return NULL;
	}
	pg_on_connect(streams->pg, on_connect, streams);
	pg_set_timeout(streams->pg, API_ANSWER_TIMEOUT_MS);
	loop_timer_every(streams->check_timer, CHECK_EVERY_MS);
	loop_timer_every(streams->heartbeat_timer, HEARTBEAT_EVERY_MS);
	schedule(streams);
	return streams;
}

void streams_free(struct streams *streams)
{
	if (!streams)
		return;
	loop_watch_free(streams->watch);
	loop_timer_free(streams->set_timer);
	loop_timer_free(streams->check_timer);
	loop_timer_free(streams->heartbeat_timer);
	pg_free(streams->pg);
	for (enum kind kind = DEVICES; kind < KINDS; kind++)
		free(streams->sent[kind]);
	free(streams);
}
