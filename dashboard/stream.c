// A set of changes goes like this: each kind that somebody wants, and that may have changed, is asked for once; each
// audience gets the text of what it may see and wants; then streams that came, or want something else, since the set
// before are sent what changed since their Last-Event-ID, again with one statement a kind for all of them.
#include "dashboard/stream.h"

#include "common/clock.h"
#include "common/limits.h"
#include "dashboard/api.h"
#include "dashboard/audience.h"
#include "dashboard/auth.h"
#include "dashboard/feed.h"
#include "dashboard/interest.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SET_EVERY_MS 250
#define SET_EVERY_BUSY_MS 1000
#define RESYNC_EVERY_MS 5000 // of one audience: whoever is told asks for all that it shows
#define RETRY_MS 500
#define TICK_MS 5000 // a sign of life; sessions; changes that nobody notified
// A row may be committed after the id that was sent meanwhile by so much: a tick, and the feed's own overlap.
#define REPLAY_OVERLAP_US 6000000
#define REPLAY_MAX_US (600 * INT64_C(1000000))
#define RECENT_MAX_S 60
#define CHANGED_US 10000000 // what changed before a change of interest and may be news to it
#define ID_BYTES 16
#define MD5_TEXT_BYTES 33
#define NAMES_MAX_BYTES ((size_t)64 * 1024 * 1024)

// Of each session that counts, all that its rights come from: who has others is judged anew.
static const char VALID_SQL[] =
	"select encode(t.token_hash, 'hex'), md5((to_jsonb(t) - 'last_used')::text || u.role || coalesce(u.tenant, '*')"
	" || coalesce((select string_agg(r.group_name || ':' || r.role, ',' order by r.group_name) from user_right r"
	"  where r.user_name = u.name), '')) from access_token t join user_account u on u.name = t.user_name"
	" where t.token_hash in (select decode(hash, 'hex') from unnest($1::text[]) hash)"
	" and t.revoked_at is null and t.expires_at > now() and u.enabled";

struct stream {
	struct stream *next, *previous; // of its audience
	struct streams *streams;
	struct audience *audience;
	struct http_stream *http;
	char id[2 * ID_BYTES + 1];
	char token_hash[SHA256_HEX_BYTES];
	int64_t expires_us;
	char rights[MD5_TEXT_BYTES]; // as VALID_SQL had them when it was opened
	bool greeted;
	bool waits;	  // for what changed since after_us; the next set brings it
	int64_t after_us; // 0: nothing of the past
};

struct streams {
	struct dashboard *dashboard;
	struct feed *feed;
	struct loop_timer *set_timer, *tick_timer;
	struct audience *first;
	size_t count, max;
	int64_t last_set_ms;
	int64_t full_us; // all that changed before was sent
	bool full;	 // the next set asks for every kind
	bool busy, scheduled;
	struct metric *open_gauge, *events_counter;
};

// Of every stream: stream is the name of the variable; the body may end that one.
#define FOR_EACH_AUDIENCE(name, streams) \
	for (struct audience *name = (streams)->first, *name##_next = NULL; \
	     name && (name##_next = name->next, true); name = name##_next)
#define FOR_EACH_STREAM(name, audience) \
	for (struct stream *name = (audience)->first, *name##_next = NULL; \
	     name && (name##_next = name->next, true); name = name##_next)

void stream_frame(struct buf *out, const char *event, int64_t id, const char *data)
{
	if (id > 0)
		buf_addf(out, "id: %" PRId64 "\n", id);
	buf_addf(out, "event: %s\ndata: ", event);
	buf_add_str(out, data);
	buf_add_str(out, "\n\n");
}

static void schedule(struct streams *streams)
{
	int64_t every_ms = feed_is_away(streams->feed) ? RETRY_MS : streams->busy ? SET_EVERY_BUSY_MS : SET_EVERY_MS;
	int64_t wait_ms = streams->last_set_ms + every_ms - clock_mono_ms();

	if (streams->scheduled)
		return;
	streams->scheduled = true;
	loop_timer_once(streams->set_timer, wait_ms > 0 ? wait_ms : 0);
}

// To those that have been told what they asked for; everybody: to the others too.
static void broadcast(struct audience *audience, const struct buf *text, bool everybody)
{
	struct http_frame *frame cleanup(http_frame_free_cleanup) =
		text->len_bytes > 0 && !text->overflowed ? http_frame_new(text->data, text->len_bytes) : NULL;

	if (!frame)
		return;
	FOR_EACH_STREAM(stream, audience) {
		if (everybody || !stream->waits)
			(void)http_stream_send_frame(stream->http, frame);
	}
}

static void tell_all(struct streams *streams, const char *event, int64_t id, const char *data)
{
	auto_buf struct buf text;

	buf_init(&text, 256);
	stream_frame(&text, event, id, data);
	FOR_EACH_AUDIENCE(audience, streams)
		broadcast(audience, &text, true);
}

// ---- sets ----

// What all of them want of a kind together. names: the devices, where some want no others, as a text[].
struct wish {
	bool all;
	struct buf names;
};

static void add_names(const struct interest *interest, struct buf *names)
{
	for (size_t i = 0; i < interest->device_count; i++)
		buf_addf(names, "%c%s", names->len_bytes == 0 ? '{' : ',', interest->devices[i]);
}

static bool waits_in(const struct audience *audience)
{
	FOR_EACH_STREAM(stream, audience) {
		if (stream->waits && stream->after_us > 0)
			return true;
	}
	return false;
}

// waiting: of those alone that wait. Names may come twice, which costs the database nothing.
static void gather(const struct streams *streams, enum feed_kind kind, bool waiting, struct wish *out)
{
	*out = (struct wish){0};
	buf_init(&out->names, NAMES_MAX_BYTES);
	FOR_EACH_AUDIENCE(audience, streams) {
		bool all = audience->interest.all & (1U << kind), named = audience->interest.named & (1U << kind);

		if ((!all && !named) || (waiting && !waits_in(audience)))
			continue;
		out->all |= all;
		if (named)
			add_names(&audience->interest, &out->names);
	}
	if (out->names.len_bytes > 0)
		buf_add_str(&out->names, "}");
}

static void fill_frames(struct streams *streams, enum feed_kind kind, const struct feed_rows *rows, bool named,
			int64_t id)
{
	FOR_EACH_AUDIENCE(audience, streams) {
		unsigned bits = named ? audience->interest.named : audience->interest.all | audience->interest.named;

		if (!(bits & (1U << kind)))
			continue;
		if (!audience_add(audience, kind, rows, true, 0, id, &audience->frames) ||
		    (rows->more && (named || (audience->interest.all & (1U << kind)))))
			audience->behind = true;
	}
}

static bool ask(struct streams *streams, enum feed_kind kind, int64_t id, struct error *error)
{
	struct wish wish;
	struct feed_rows any auto_feed_rows = {0}, named auto_feed_rows = {0};
	bool ok = true;

	gather(streams, kind, false, &wish);
	if (!wish.all)
		feed_skip(streams->feed, kind, false);
	if (wish.all) {
		ok = feed_changes(streams->feed, kind, NULL, &any, error);
		if (ok && !any.more)
			fill_frames(streams, kind, &any, false, id);
		else if (ok)
			streams->busy = true;
	}
	if (ok && wish.names.len_bytes > 0 && (!wish.all || any.more)) {
		ok = feed_changes(streams->feed, kind, buf_str(&wish.names), &named, error);
		if (ok)
			fill_frames(streams, kind, &named, true, id);
	} else {
		feed_skip(streams->feed, kind, true); // none, or all were among the others
	}
	// Too many to be sent: whoever wants all is told so.
	FOR_EACH_AUDIENCE(audience, streams)
		audience->behind |= any.more && (audience->interest.all & (1U << kind));
	buf_done(&wish.names);
	return ok;
}

static void send_frames(struct streams *streams, int64_t id)
{
	int64_t now_ms = clock_mono_ms();

	FOR_EACH_AUDIENCE(audience, streams) {
		if (audience->frames.overflowed)
			audience->behind = true;
		if (audience->behind && (audience->resync_ms == 0 || now_ms - audience->resync_ms >= RESYNC_EVERY_MS)) {
			buf_clear(&audience->frames);
			stream_frame(&audience->frames, "resync", id, "{}");
			audience->behind = false;
			audience->resync_ms = now_ms;
		}
		if (audience->frames.len_bytes > 0)
			metric_add(streams->events_counter, (double)audience->count);
		broadcast(audience, &audience->frames, false);
		buf_done(&audience->frames);
		buf_init(&audience->frames, HTTP_STREAM_UNSENT_MAX);
		streams->busy |= audience->behind;
	}
}

// ---- what was missed ----

static void greet(struct stream *stream, struct buf *replay, bool replayed, int64_t id)
{
	auto_buf struct buf text;
	char data[96];

	buf_init(&text, HTTP_STREAM_UNSENT_MAX);
	if (replayed)
		buf_add(&text, buf_str(replay), replay->len_bytes);
	(void)snprintf(data, sizeof(data), "{\"replayed\":%s,\"stream\":\"%s\"}", replayed ? "true" : "false",
		       stream->id);
	if (!stream->greeted)
		stream_frame(&text, "ready", id, data);
	else if (!replayed)
		stream_frame(&text, "resync", id, "{}");
	stream->greeted = true;
	stream->waits = false;
	(void)http_stream_send(stream->http, buf_str(&text), text.len_bytes);
}

// False when not all of it is there, or it is too large.
static bool make_replay(const struct audience *audience, const struct feed_rows past[FEED_KINDS], int64_t after_us,
			int64_t id, struct buf *out)
{
	int64_t since_us = after_us - REPLAY_OVERLAP_US;

	buf_clear(out);
	for (enum feed_kind kind = 0; kind < FEED_KINDS; kind++) {
		if (!((audience->interest.all | audience->interest.named) & (1U << kind)))
			continue;
		if (past[kind].whole_us > since_us ||
		    !audience_add(audience, kind, &past[kind], false, since_us, id, out))
			return false;
	}
	return true;
}

static bool read_past(struct streams *streams, int64_t since_us, struct feed_rows past[FEED_KINDS],
		      struct error *error)
{
	bool ok = true;

	for (enum feed_kind kind = 0; ok && kind < FEED_KINDS; kind++) {
		struct wish wish;

		gather(streams, kind, true, &wish);
		if (wish.all || wish.names.len_bytes > 0)
			ok = feed_again(streams->feed, kind, wish.all ? NULL : buf_str(&wish.names), since_us,
					&past[kind], error);
		buf_done(&wish.names);
	}
	return ok;
}

static int64_t first_waited_us(const struct streams *streams, bool *waits)
{
	int64_t first_us = INT64_MAX;

	FOR_EACH_AUDIENCE(audience, streams) {
		FOR_EACH_STREAM(stream, audience) {
			*waits |= stream->waits;
			if (stream->waits && stream->after_us > 0 && stream->after_us < first_us)
				first_us = stream->after_us;
		}
	}
	return first_us;
}

static bool replay(struct streams *streams, int64_t id, struct error *error)
{
	struct feed_rows past[FEED_KINDS] = {0};
	auto_buf struct buf text;
	bool waits = false, ok = true;
	int64_t first_us = first_waited_us(streams, &waits);

	buf_init(&text, HTTP_STREAM_UNSENT_MAX / 2);
	if (waits && first_us < INT64_MAX)
		ok = read_past(streams, first_us - REPLAY_OVERLAP_US, past, error);
	FOR_EACH_AUDIENCE(audience, streams) {
		int64_t made_us = 0; // text is for this one
		bool whole = false;

		FOR_EACH_STREAM(stream, audience) {
			if (!ok || !stream->waits)
				continue;
			if (stream->after_us > 0 && stream->after_us != made_us) {
				whole = make_replay(audience, past, stream->after_us, id, &text);
				made_us = stream->after_us;
			}
			greet(stream, &text, stream->after_us > 0 && whole, id);
		}
	}
	for (enum feed_kind kind = 0; kind < FEED_KINDS; kind++)
		feed_rows_done(&past[kind]);
	return ok;
}

static unsigned wanted_kinds(const struct streams *streams)
{
	unsigned wanted = 0;

	FOR_EACH_AUDIENCE(audience, streams)
		wanted |= audience->interest.all | audience->interest.named;
	return wanted;
}

static bool send_set(struct streams *streams, struct error *error)
{
	bool full = streams->full;
	int64_t id = feed_now_us(streams->feed);
	unsigned kinds = wanted_kinds(streams) & (full ? ~0U : feed_due_kinds(streams->feed));

	streams->busy = streams->full = false;
	for (enum feed_kind kind = 0; kind < FEED_KINDS; kind++) {
		if (full && !(kinds & (1U << kind))) {
			feed_skip(streams->feed, kind, false);
			feed_skip(streams->feed, kind, true);
		}
		if ((kinds & (1U << kind)) && !ask(streams, kind, id, error))
			return false;
	}
	if (full)
		streams->full_us = id;
	send_frames(streams, id);
	if (!replay(streams, id, error))
		return false;
	if (streams->busy)
		schedule(streams);
	return feed_hear(streams->feed, error);
}

static void on_set(void *user)
{
	struct streams *streams = user;
	struct error error = {0};

	streams->scheduled = false;
	streams->last_set_ms = clock_mono_ms();
	if (feed_ready(streams->feed) && streams->count > 0 && !send_set(streams, &error)) {
		streams->full = true;
		feed_lost(streams->feed, &error);
	}
}

static void on_due(void *user)
{
	schedule(user);
}

static void on_away(void *user, bool away)
{
	tell_all(user, "database", 0, away ? "{\"up\":false}" : "{\"up\":true}");
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
	FOR_EACH_AUDIENCE(audience, streams) {
		FOR_EACH_STREAM(stream, audience) {
			if (strcmp(stream->token_hash, token_hash) == 0)
				end(stream);
		}
	}
}

// Each stream's row among those found; NULL: its session is no more.
static bool look(struct stream *stream, const struct pg_result *valid, bool *changed)
{
	for (size_t i = 0; i < pg_rows(valid); i++) {
		if (strcmp(stream->token_hash, pg_text(valid, i, 0)) != 0)
			continue;
		*changed = strcmp(stream->rights, pg_text(valid, i, 1)) != 0;
		return true;
	}
	return false;
}

// valid NULL: the database is away; what was valid stays so until it expires.
static void check(struct stream *stream, const struct pg_result *valid)
{
	bool changed = false;

	if (stream->expires_us / 1000 <= clock_wall_ms() || (valid && !look(stream, valid, &changed)))
		end(stream);
	else if (changed) // its page comes back, and is judged by what it may now
		http_stream_close(stream->http);
}

static struct pg_result *valid_sessions(struct streams *streams)
{
	struct pg_result *valid = NULL;
	const char *before = "";
	auto_buf struct buf hashes;

	buf_init(&hashes, NAMES_MAX_BYTES);
	FOR_EACH_AUDIENCE(audience, streams) {
		FOR_EACH_STREAM(stream, audience) {
			if (strcmp(stream->token_hash, before) != 0)
				buf_addf(&hashes, "%c%s", hashes.len_bytes == 0 ? '{' : ',', stream->token_hash);
			before = stream->token_hash;
		}
	}
	buf_add_str(&hashes, "}");
	if (feed_is_away(streams->feed) || !PG_QUERY(feed_pg(streams->feed), &valid, NULL, VALID_SQL, buf_str(&hashes)))
		return NULL;
	return valid;
}

static void on_tick(void *user)
{
	struct streams *streams = user;
	struct error error = {0};

	if (streams->count > 0) {
		auto_pg_result struct pg_result *valid = valid_sessions(streams);

		FOR_EACH_AUDIENCE(audience, streams) {
			FOR_EACH_STREAM(stream, audience)
				check(stream, valid);
		}
		tell_all(streams, "beat", streams->full_us, "{}");
	}
	if (!feed_is_away(streams->feed) && streams->count > 0 && !feed_set_clock(streams->feed, &error))
		feed_lost(streams->feed, &error);
	streams->full = true;
	schedule(streams);
}

// ---- opening, changing and closing ----

static void leave(struct stream *stream)
{
	struct audience *audience = stream->audience;
	struct streams *streams = stream->streams;

	if (stream->previous)
		stream->previous->next = stream->next;
	else
		audience->first = stream->next;
	if (stream->next)
		stream->next->previous = stream->previous;
	stream->next = stream->previous = NULL;
	stream->audience = NULL;
	if (--audience->count > 0)
		return;
	if (audience->previous)
		audience->previous->next = audience->next;
	else
		streams->first = audience->next;
	if (audience->next)
		audience->next->previous = audience->previous;
	audience_free(audience);
}

// The audience with this interest, made if there is none; takes interest over.
static struct audience *find_audience(struct streams *streams, const struct scope *scope, const char *user,
				      struct interest *interest)
{
	FOR_EACH_AUDIENCE(audience, streams) {
		if (audience_is(audience, scope, user, interest))
			return audience;
	}
	struct audience *audience = audience_new(scope, user, interest);

	if (!audience)
		return NULL;
	audience->next = streams->first;
	if (audience->next)
		audience->next->previous = audience;
	streams->first = audience;
	return audience;
}

static void join(struct stream *stream, struct audience *audience)
{
	stream->audience = audience;
	stream->next = audience->first;
	if (stream->next)
		stream->next->previous = stream;
	audience->first = stream;
	audience->count++;
}

static void on_closed(void *user)
{
	struct stream *stream = user;
	struct streams *streams = stream->streams;

	leave(stream);
	streams->count--;
	metric_set(streams->open_gauge, (double)streams->count);
	free(stream);
}

// From where on the past is wanted; 0: not at all, or more than is kept in reach.
static bool read_after(struct streams *streams, struct http_request *request, int64_t *after_us)
{
	const char *last_id = http_header(request, "Last-Event-ID");
	int64_t recent_s = 0, now_us = feed_now_us(streams->feed);

	if (!last_id)
		last_id = api_text(request, "after");
	if (!api_int(request, "recent_s", 1, RECENT_MAX_S, &recent_s))
		return false;
	*after_us = recent_s > 0 ? now_us - recent_s * 1000000 : 0;
	if (last_id && !api_parse_int(last_id, after_us)) {
		http_reply_problem(request, 400, "Last-Event-ID must be the id of an earlier event.");
		return false;
	}
	if (now_us - *after_us > REPLAY_MAX_US)
		*after_us = 0;
	return true;
}

// False: the request is answered.
static bool read_rights(struct streams *streams, struct http_request *request, char rights[MD5_TEXT_BYTES])
{
	auto_pg_result struct pg_result *rows = NULL;
	struct error error = {0};
	char list[SHA256_HEX_BYTES + 2];

	(void)snprintf(list, sizeof(list), "{%s}", auth_of(request)->token_hash);
	if (!feed_ready(streams->feed) || !PG_QUERY(feed_pg(streams->feed), &rows, &error, VALID_SQL, list)) {
		error.kind = ERROR_UNREACHABLE;
		api_reply_error(streams->dashboard, request, &error);
		return false;
	}
	if (pg_rows(rows) == 0)
		http_reply_problem(request, 401, "This session has just ended; log in again.");
	else
		(void)snprintf(rights, MD5_TEXT_BYTES, "%s", pg_text(rows, 0, 1));
	return pg_rows(rows) > 0;
}

static bool refuse_interest(struct http_request *request, const struct error *error)
{
	http_reply_problem(request, error->kind == ERROR_DENIED ? 403 : error->kind == ERROR_FAILED ? 503 : 400,
			   error->what);
	return false;
}

static bool read_interest(struct http_request *request, struct interest *interest)
{
	struct error error = {0};

	return (interest_add_lists(interest, api_text(request, "topics"), api_text(request, "device"),
				   (int)auth_of(request)->role, &error) &&
		interest_finish(interest, &error)) ||
	       refuse_interest(request, &error);
}

static struct stream *make_stream(struct streams *streams, const struct auth *auth)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	unsigned char id[ID_BYTES];

	if (!stream)
		return NULL;
	crypto_random(id, sizeof(id));
	crypto_hex(id, sizeof(id), stream->id);
	stream->streams = streams;
	(void)snprintf(stream->token_hash, sizeof(stream->token_hash), "%s", auth->token_hash);
	stream->expires_us = auth->expires_us;
	stream->waits = true;
	return stream;
}

void stream_open(struct http_request *request, void *user)
{
	static const char hello[] = "retry: 2000\n\n";
	struct dashboard *dashboard = user;
	struct streams *streams = dashboard->streams;
	struct interest interest auto_interest = {0};
	char rights[MD5_TEXT_BYTES];
	int64_t after_us = 0;

	if (streams->count >= streams->max) {
		http_reply_header(request, "Retry-After", "30");
		http_reply_problem(request, 503, "Too many live streams are open; close some pages.");
		return;
	}
	if (!read_after(streams, request, &after_us) || !read_interest(request, &interest) ||
	    !read_rights(streams, request, rights))
		return;
	const struct auth *auth = auth_of(request);
	struct stream *stream = make_stream(streams, auth);
	struct audience *audience = stream ? find_audience(streams, &auth->scope, auth->user, &interest) : NULL;

	if (!audience) {
		free(stream);
		http_reply_problem(request, 503, "Out of memory: try again later.");
		return;
	}
	memcpy(stream->rights, rights, sizeof(rights));
	stream->after_us = after_us;
	join(stream, audience);
	stream->http = http_stream_start(request, on_closed, stream);
	if (!stream->http) { // the client is gone already
		leave(stream);
		free(stream);
		return;
	}
	if (streams->count++ == 0) { // nobody was served meanwhile: begin here
		for (enum feed_kind kind = 0; kind < FEED_KINDS; kind++) {
			feed_skip(streams->feed, kind, false);
			feed_skip(streams->feed, kind, true);
		}
	}
	metric_set(streams->open_gauge, (double)streams->count);
	(void)http_stream_send(stream->http, hello, sizeof(hello) - 1);
	schedule(streams);
}

static struct stream *find_stream(struct streams *streams, const char *id, const char *token_hash)
{
	FOR_EACH_AUDIENCE(audience, streams) {
		FOR_EACH_STREAM(stream, audience) {
			if (strcmp(stream->id, id) == 0)
				return strcmp(stream->token_hash, token_hash) == 0 ? stream : NULL;
		}
	}
	return NULL;
}

static bool add_texts(const struct json *list, struct interest *interest, int roles, bool topics, struct error *error)
{
	for (size_t i = 0; i < json_array_length(list); i++) {
		const char *text = NULL;

		if (!json_as_string(json_array_at(list, i), &text))
			return error_set(error, ERROR_INVALID, "\"topics\" and \"devices\" are lists of texts.");
		if (!(topics ? interest_add_topic(interest, text, roles, error) :
			       interest_add_device(interest, text, error)))
			return false;
	}
	return true;
}

static bool read_change(struct http_request *request, struct interest *interest)
{
	auto_json struct json *body = http_body_json(request);
	int roles = (int)auth_of(request)->role;
	struct error error = {0};

	if (!body)
		return false;
	return (add_texts(json_member(body, "topics"), interest, roles, true, &error) &&
		add_texts(json_member(body, "devices"), interest, roles, false, &error) &&
		interest_finish(interest, &error)) ||
	       refuse_interest(request, &error);
}

// What the stream shall be sent from now on. What changed shortly before is sent again, for whoever asked for the rows
// that it shows before it could say so here.
void stream_change(struct http_request *request, void *user)
{
	struct streams *streams = ((struct dashboard *)user)->streams;
	struct stream *stream = find_stream(streams, http_param(request, "id"), auth_of(request)->token_hash);
	struct interest interest auto_interest = {0};

	if (!stream) {
		http_reply_problem(request, 404, "This stream is no more; open one with GET /api/v1/stream.");
		return;
	}
	if (!read_change(request, &interest))
		return;
	struct audience *audience = find_audience(streams, &stream->audience->scope, auth_of(request)->user, &interest);

	if (!audience) {
		http_reply_problem(request, 503, "Out of memory: try again later.");
		return;
	}
	if (audience != stream->audience) {
		leave(stream);
		join(stream, audience);
		if (!stream->waits)
			stream->after_us = feed_now_us(streams->feed) - CHANGED_US;
		stream->waits = true;
		schedule(streams);
	}
	http_reply(request, 204, NULL, NULL, 0);
}

struct streams *streams_new(struct dashboard *dashboard, size_t max, struct error *error)
{
	struct streams *streams = calloc(1, sizeof(*streams));
	const struct feed_owner owner = {on_due, on_away, streams};

	if (!streams) {
		error_set(error, ERROR_FAILED, "out of memory");
		return NULL;
	}
	streams->dashboard = dashboard;
	streams->max = max;
	streams->open_gauge = metrics_gauge(dashboard->metrics, "muster_dashboard_streams", NULL, "Open live streams.");
	streams->events_counter = metrics_counter(dashboard->metrics, "muster_dashboard_stream_events_total", NULL,
						  "Events sent to live streams.");
	streams->feed = feed_new(dashboard, &owner, error);
	streams->set_timer = loop_timer_new(dashboard->loop, on_set, streams, error);
	streams->tick_timer = loop_timer_new(dashboard->loop, on_tick, streams, error);
	if (!streams->feed || !streams->set_timer || !streams->tick_timer) {
		streams_free(streams);
		return NULL;
	}
	loop_timer_every(streams->tick_timer, TICK_MS);
	schedule(streams);
	return streams;
}

void streams_free(struct streams *streams)
{
	if (!streams)
		return;
	loop_timer_free(streams->set_timer);
	loop_timer_free(streams->tick_timer);
	feed_free(streams->feed);
	free(streams);
}
