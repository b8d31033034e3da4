#include "bridge/settle.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/pg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 5000 // a broker that runs confirms within some milliseconds
#define LOOK_EVERY_MS 20
#define WAITING_MAX 1000

static const char sql_unsettled[] =
	"select r.name from revocation r join device d on d.device = r.name where r.kind = 'device'"
	" and r.name = any ($1::text[])"
	" and r.change > coalesce((select max(e.change) from revocation_effect e where e.cell = d.cell), 0)";

struct waiting {
	struct waiting *next;
	struct http_request *request;
	struct json *json;
	int status;
	bool asked; // the look under way is about it too
	char device[DEVICE_ID_MAX + 1];
	int64_t deadline_ms;
};

// Whose broker has not confirmed yet: one at a time, about all who wait.
struct look {
	struct worker_job job;
	struct settle *settle;
	struct buf devices; // as an array of PostgreSQL
	struct pg_result *unsettled;
};

struct settle {
	struct worker *worker;
	struct loop_timer *timer;
	struct waiting *list;
	size_t count;
	bool looking;
};

static void reply_late(struct http_request *request)
{
	http_reply_header(request, "Retry-After", "2");
	http_reply_problem(request, 503, "the device is enrolled, but its broker has not confirmed yet that its earlier"
					 " certificate is shut out; ask again with the same key");
}

// ---- looking ----

static bool run_look(struct worker_job *job, struct pg *pg, struct error *error)
{
	struct look *look = (struct look *)job;

	return PG_QUERY(pg, &look->unsettled, error, sql_unsettled, buf_str(&look->devices));
}

static bool is_unsettled(const struct pg_result *unsettled, const char *device)
{
	for (size_t i = 0; i < pg_rows(unsettled); i++) {
		if (strcmp(pg_text(unsettled, i, 0), device) == 0)
			return true;
	}
	return false;
}

// False while it has to wait on. unsettled NULL: nothing is known.
static bool answer(const struct pg_result *unsettled, struct waiting *waiting)
{
	if (unsettled && waiting->asked && !is_unsettled(unsettled, waiting->device)) {
		http_reply_json(waiting->request, waiting->status, steal(waiting->json));
		return true;
	}
	if (clock_mono_ms() < waiting->deadline_ms)
		return false;
	reply_late(waiting->request);
	return true;
}

// What waits on is looked at again; at once when something of it was not part of the last look.
static void answer_all(struct settle *settle, const struct pg_result *unsettled)
{
	int64_t after_ms = LOOK_EVERY_MS;

	for (struct waiting **link = &settle->list; *link;) {
		struct waiting *waiting = *link;

		if (!answer(unsettled, waiting)) {
			after_ms = waiting->asked || !unsettled ? after_ms : 0;
			waiting->asked = false;
			link = &waiting->next;
			continue;
		}
		*link = waiting->next;
		settle->count--;
		json_free(waiting->json);
		free(waiting);
	}
	if (settle->list)
		loop_timer_once(settle->timer, after_ms);
}

static void look_done(struct worker_job *job, bool ok, const struct error *error)
{
	struct look *look = (struct look *)job;

	look->settle->looking = false;
	answer_all(look->settle, ok ? look->unsettled : NULL);
	pg_result_free(look->unsettled);
	buf_done(&look->devices);
	free(look);
}

// Ids need no quoting in an array: [a-z0-9-].
static struct look *look_new(struct settle *settle)
{
	struct look *look = calloc(1, sizeof(*look));

	if (!look)
		abort();
	look->job = (struct worker_job){.run = run_look, .done = look_done};
	look->settle = settle;
	buf_init(&look->devices, (size_t)WAITING_MAX * (DEVICE_ID_MAX + 1) + 2);
	(void)buf_add_str(&look->devices, "{");
	for (struct waiting *waiting = settle->list; waiting; waiting = waiting->next) {
		(void)buf_addf(&look->devices, "%s%s", waiting == settle->list ? "" : ",", waiting->device);
		waiting->asked = true;
	}
	(void)buf_add_str(&look->devices, "}");
	return look;
}

static void look_at_all(void *user)
{
	struct settle *settle = user;

	if (!settle->list || settle->looking)
		return;
	struct look *look = look_new(settle);
	settle->looking = true;
	if (!worker_submit(settle->worker, &look->job))
		look_done(&look->job, false, NULL);
}

// ---- making ----

struct settle *settle_new(struct loop *loop, struct worker *worker, struct error *error)
{
	struct settle *settle = calloc(1, sizeof(*settle));

	if (!settle) {
		(void)error_set(error, ERROR_FAILED, "no memory for the answers that wait");
		return NULL;
	}
	settle->worker = worker;
	settle->timer = loop_timer_new(loop, look_at_all, settle, error);
	if (!settle->timer) {
		free(settle);
		return NULL;
	}
	return settle;
}

void settle_free(struct settle *settle)
{
	if (!settle)
		return;
	while (settle->list) {
		struct waiting *waiting = settle->list;

		settle->list = waiting->next;
		reply_late(waiting->request);
		json_free(waiting->json);
		free(waiting);
	}
	loop_timer_free(settle->timer);
	free(settle);
}

void settle_reply_json(struct settle *settle, struct http_request *request, int status, const char *device,
		       struct json *json)
{
	auto_json struct json *held = json;
	struct waiting *waiting;

	waiting = settle->count < WAITING_MAX ? calloc(1, sizeof(*waiting)) : NULL;
	if (!waiting) {
		reply_late(request);
		return;
	}
	*waiting = (struct waiting){.next = settle->list,
				    .request = request,
				    .json = steal(held),
				    .status = status,
				    .deadline_ms = clock_mono_ms() + WAIT_MS};
	(void)snprintf(waiting->device, sizeof(waiting->device), "%s", device);
	settle->list = waiting;
	settle->count++;
	look_at_all(settle);
}
