#include "dashboard/overview.h"

#include "common/clock.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/devices.h"

#include <stdlib.h>
#include <string.h>

static const char RECEIVED_SQL[] = "select coalesce(sum(received), 0)::bigint from ledger";
// Columns: JSON without its last brace, and how many messages ingest took in since ever.
static const char OVERVIEW_SQL[] =
	"with status as (select d.enabled, " DEVICE_STATUS_SQL " as status from device d left join device_state s"
	"  on s.device = d.device),"
	" ledger_sum as (select coalesce(sum(received), 0)::bigint received,"
	"  coalesce(sum(duplicates), 0)::bigint duplicates, coalesce(sum(dropped), 0)::bigint dropped,"
	"  coalesce(sum(highest - contiguous), 0)::bigint open, coalesce(sum(late), 0)::bigint late from ledger),"
	" missing as (select coalesce(sum(to_seq - from_seq + 1), 0)::bigint lost from ledger_gap where state = "
	"'lost'),"
	" today as (select state from command"
	"  where created_at >= date_trunc('day', now() at time zone 'UTC') at time zone 'UTC')"
	" select json_build_object('at', now(),"
	" 'devices', (select json_build_object('total', count(*), 'online', count(*) filter (where status = 'online'),"
	"  'stale', count(*) filter (where status = 'stale'), 'offline', count(*) filter (where status = 'offline'),"
	"  'never', count(*) filter (where status = 'never'),"
	"  'revoked', count(*) filter (where not enabled)) from status),"
	" 'commands_today', (select json_build_object('total', count(*),"
	"  'open', count(*) filter (where state in ('requested', 'queued', 'sent', 'accepted', 'running')),"
	"  'succeeded', count(*) filter (where state = 'succeeded'),"
	"  'failed', count(*) filter (where state in ('failed', 'rejected', 'expired')),"
	"  'cancelled', count(*) filter (where state = 'cancelled')) from today),"
	" 'ledger', (select json_build_object('stored', received - duplicates, 'received', received,"
	"  'duplicates', duplicates, 'lost', dropped + missing.lost, 'open', open, 'late', late) from ledger_sum, "
	"missing),"
	" 'quarantine', json_build_object('total', (select count(*) from quarantine),"
	"  'last_day', (select count(*) from quarantine where received_at > now() - interval '1 day')),"
	" 'waiting', json_build_object("
	"  'registrations', (select count(*) from registration where state = 'pending'))),"
	" (select received from ledger_sum)";

#define SAMPLE_EVERY_MS 5000
#define WINDOW_MS 60000
#define SAMPLES (WINDOW_MS / SAMPLE_EVERY_MS + 1)
#define FRESH_MS 1000 // any number of browsers cost one query a second for each scope
#define VIEWS 16

struct sample {
	int64_t at_ms; // monotonic; 0: none
	int64_t received;
};

// What the people of one scope are answered.
struct view {
	struct scope scope;
	struct sample samples[SAMPLES]; // a ring
	size_t next;
	int64_t sampled_ms;
	struct buf answer;
	int64_t answered_ms; // 0: never
};

struct overview {
	struct dashboard *dashboard;
	struct loop_timer *timer;
	struct view views[VIEWS]; // the first is of those who see all
};

static void add_sample(struct view *view, int64_t received)
{
	view->sampled_ms = clock_mono_ms();
	view->samples[view->next] = (struct sample){view->sampled_ms, received};
	view->next = (view->next + 1) % SAMPLES;
}

static void on_timer(void *user)
{
	struct overview *overview = user;
	auto_pg_result struct pg_result *sum = NULL;
	struct pg *pg = overview->dashboard->pg;

	overview->dashboard->entered = true;
	// While the database is away there are no samples; requests say so.
	if (scope_enter_all(pg, NULL) && pg_query(pg, &sum, NULL, RECEIVED_SQL, 0, NULL))
		add_sample(&overview->views[0], pg_int(sum, 0, 0));
}

struct overview *overview_new(struct dashboard *dashboard, struct error *error)
{
	struct overview *overview = calloc(1, sizeof(*overview));

	if (!overview) {
		error_set(error, ERROR_FAILED, "out of memory");
		return NULL;
	}
	overview->dashboard = dashboard;
	overview->views[0].scope.tenant[0] = '*';
	for (size_t i = 0; i < VIEWS; i++)
		buf_init(&overview->views[i].answer, API_ANSWER_MAX_BYTES);
	overview->timer = loop_timer_new(dashboard->loop, on_timer, overview, error);
	if (!overview->timer) {
		overview_free(overview);
		return NULL;
	}
	loop_timer_every(overview->timer, SAMPLE_EVERY_MS);
	on_timer(overview);
	return overview;
}

void overview_free(struct overview *overview)
{
	if (!overview)
		return;
	loop_timer_free(overview->timer);
	for (size_t i = 0; i < VIEWS; i++)
		buf_done(&overview->views[i].answer);
	free(overview);
}

static bool is_same(const struct scope *a, const struct scope *b)
{
	return strcmp(a->tenant, b->tenant) == 0 && strcmp(a->groups, b->groups) == 0;
}

// That of the scope, or else the one that was not looked at for longest becomes it.
static struct view *find_view(struct overview *overview, const struct scope *scope)
{
	struct view *oldest = &overview->views[1];

	for (size_t i = 0; i < VIEWS; i++) {
		struct view *view = &overview->views[i];

		if (is_same(&view->scope, scope))
			return view;
		if (i > 0 && view->answered_ms < oldest->answered_ms)
			oldest = view;
	}
	memset(oldest->samples, 0, sizeof(oldest->samples));
	oldest->scope = *scope;
	oldest->sampled_ms = 0;
	oldest->answered_ms = 0;
	return oldest;
}

// What came in since the oldest sample within the last minute.
static void add_rate(struct view *view, int64_t received)
{
	struct sample oldest = {0};
	int64_t now_ms = clock_mono_ms();

	for (size_t i = 0; i < SAMPLES; i++) {
		struct sample sample = view->samples[i];

		if (sample.at_ms > 0 && now_ms - sample.at_ms <= WINDOW_MS + SAMPLE_EVERY_MS / 2 &&
		    (oldest.at_ms == 0 || sample.at_ms < oldest.at_ms))
			oldest = sample;
	}
	int64_t messages = oldest.at_ms > 0 && received > oldest.received ? received - oldest.received : 0;
	int64_t window_s = oldest.at_ms > 0 ? (now_ms - oldest.at_ms + 999) / 1000 : 0;

	buf_addf(&view->answer, ",\"ingest\":{\"messages_last_minute\":%lld,\"window_s\":%lld}}",
		 (long long)messages, (long long)window_s);
	if (view->sampled_ms == 0 || now_ms - view->sampled_ms >= SAMPLE_EVERY_MS)
		add_sample(view, received);
}

void overview_get(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	struct view *view = find_view(dashboard->overview, &auth_of(request)->scope);
	int64_t now_ms = clock_mono_ms();

	if (view->answered_ms == 0 || now_ms - view->answered_ms > FRESH_MS) {
		auto_pg_result struct pg_result *row = NULL;

		if (!api_query(dashboard, request, &row, OVERVIEW_SQL, 0, NULL))
			return;
		buf_clear(&view->answer);
		buf_add_str(&view->answer, pg_text(row, 0, 0));
		view->answer.len_bytes--; // its closing brace
		add_rate(view, pg_int(row, 0, 1));
		view->answered_ms = now_ms;
	}
	api_reply_text(request, 200, buf_str(&view->answer));
}
