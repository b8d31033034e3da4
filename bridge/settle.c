#include "bridge/settle.h"

#include "common/clock.h"
#include "common/limits.h"

#include <stdio.h>
#include <stdlib.h>

#define WAIT_MS 5000 // a broker that runs confirms within some milliseconds
#define LOOK_EVERY_MS 20
#define WAITING_MAX 1000

static const char sql_unsettled[] =
	"select 1 from revocation r join device d on d.device = r.name where r.kind = 'device' and r.name = $1"
	" and r.change > coalesce((select max(e.change) from revocation_effect e where e.cell = d.cell), 0)";

struct waiting {
	struct waiting *next;
	struct http_request *request;
	struct json *json;
	int status;
	char device[DEVICE_ID_MAX + 1];
	int64_t deadline_ms;
};

struct settle {
	struct pg *pg;
	struct loop_timer *timer;
	struct waiting *list;
	size_t count;
};

static void reply_late(struct http_request *request)
{
	http_reply_header(request, "Retry-After", "2");
	http_reply_problem(request, 503, "the device is enrolled, but its broker has not confirmed yet that its earlier"
					 " certificate is shut out; ask again with the same key");
}

static bool is_settled(const struct settle *settle, const char *device)
{
	auto_pg_result struct pg_result *rows = NULL;

	return PG_QUERY(settle->pg, &rows, NULL, sql_unsettled, device) && pg_rows(rows) == 0;
}

// False while it has to wait on.
static bool answer(const struct settle *settle, struct waiting *waiting)
{
	if (is_settled(settle, waiting->device)) {
		http_reply_json(waiting->request, waiting->status, steal(waiting->json));
		return true;
	}
	if (clock_mono_ms() < waiting->deadline_ms)
		return false;
	reply_late(waiting->request);
	return true;
}

static void look(void *user)
{
	struct settle *settle = user;

	for (struct waiting **link = &settle->list; *link;) {
		struct waiting *waiting = *link;

		if (!answer(settle, waiting)) {
			link = &waiting->next;
			continue;
		}
		*link = waiting->next;
		settle->count--;
		json_free(waiting->json);
		free(waiting);
	}
	if (settle->list)
		loop_timer_once(settle->timer, LOOK_EVERY_MS);
}

struct settle *settle_new(struct loop *loop, struct pg *pg, struct error *error)
{
	struct settle *settle = calloc(1, sizeof(*settle));

	if (!settle) {
		(void)error_set(error, ERROR_FAILED, "no memory for the answers that wait");
		return NULL;
	}
	settle->pg = pg;
	settle->timer = loop_timer_new(loop, look, settle, error);
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

	if (is_settled(settle, device)) {
		http_reply_json(request, status, steal(held));
		return;
	}
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
	loop_timer_once(settle->timer, LOOK_EVERY_MS);
}
