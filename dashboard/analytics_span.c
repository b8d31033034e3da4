#include "dashboard/analytics_span.h"

#include "common/clock.h"
#include "common/json.h"
#include "dashboard/api.h"

#include <stdio.h>
#include <string.h>

#define POINTS_DEFAULT 300
#define POINTS_MAX 2000
#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define RANGE_MAX_MS (400 * DAY_MS)	     // as long as rollups of the fleet are kept
#define TIME_MAX_MS INT64_C(253402300799999) // the end of the year 9999

// Whether the scope may be seen, and the first of the person's groups, null where all may.
static const char SCOPE_SQL[] =
	"select coalesce(current_setting('muster.groups', true), '') = '' or ($1 like 'group:%' and substr($1, 7) ="
	" any (string_to_array(current_setting('muster.groups', true), ','))),"
	" 'group:' || nullif(split_part(coalesce(current_setting('muster.groups', true), ''), ',', 1), '')";

static bool read_time(struct http_request *request, const char *name, int64_t *out_ms)
{
	const char *text = api_text(request, name);
	int64_t value = 0;
	char detail[128];

	if (!text)
		return true;
	if ((api_parse_int(text, &value) || clock_parse_rfc3339(text, strlen(text), &value)) && value >= 0 &&
	    value <= TIME_MAX_MS) {
		*out_ms = value;
		return true;
	}
	(void)snprintf(detail, sizeof(detail), "\"%s\" must be milliseconds since 1970 or an RFC 3339 time.", name);
	http_reply_problem(request, 400, detail);
	return false;
}

static int64_t up_to_hour(int64_t ms)
{
	return (ms + HOUR_MS - 1) / HOUR_MS * HOUR_MS;
}

static void write_texts(struct span *span)
{
	clock_format_rfc3339(span->from_ms, span->from);
	clock_format_rfc3339(span->to_ms, span->to);
	(void)snprintf(span->step, sizeof(span->step), "%lld ms", (long long)span->step_ms);
}

void span_whole_days(struct span *span)
{
	int64_t points = (span->to_ms - span->from_ms + span->step_ms - 1) / span->step_ms;

	span->from_ms -= span->from_ms % DAY_MS;
	span->to_ms = (span->to_ms + DAY_MS - 1) / DAY_MS * DAY_MS;
	span->step_ms = ((span->to_ms - span->from_ms + points - 1) / points + DAY_MS - 1) / DAY_MS * DAY_MS;
	write_texts(span);
}

bool span_read(struct http_request *request, int64_t days_default, struct span *out)
{
	int64_t points = POINTS_DEFAULT;

	out->to_ms = clock_wall_ms();
	if (!read_time(request, "to", &out->to_ms))
		return false;
	out->from_ms = out->to_ms > days_default * DAY_MS ? out->to_ms - days_default * DAY_MS : 0;
	if (!read_time(request, "from", &out->from_ms) || !api_int(request, "points", 1, POINTS_MAX, &points))
		return false;
	if (out->from_ms >= out->to_ms || out->to_ms - out->from_ms > RANGE_MAX_MS) {
		http_reply_problem(request, 400, "\"from\" must be before \"to\", at most 400 days.");
		return false;
	}
	out->from_ms -= out->from_ms % HOUR_MS; // the hour in which it begins counts in full
	out->step_ms = up_to_hour((out->to_ms - out->from_ms + points - 1) / points);
	write_texts(out);
	return true;
}

bool span_day(struct http_request *request, char out[16])
{
	const char *text = api_text(request, "day");
	char full[48];
	int64_t ms = clock_wall_ms();

	if (text) {
		(void)snprintf(full, sizeof(full), "%.16sT00:00:00Z", text);
		if (strlen(text) != 10 || !clock_parse_rfc3339(full, strlen(full), &ms)) {
			http_reply_problem(request, 400, "\"day\" must be a day such as 2026-11-21, of UTC.");
			return false;
		}
	}
	clock_format_rfc3339(ms, full);
	(void)snprintf(out, 16, "%.10s", full);
	return true;
}

bool span_scope(struct dashboard *dashboard, struct http_request *request, char out[SPAN_SCOPE_MAX])
{
	const char *asked = api_text(request, "scope");
	auto_pg_result struct pg_result *row = NULL;
	const char *const params[] = {asked ? asked : ""};

	if (asked &&
	    (strlen(asked) >= SPAN_SCOPE_MAX || (strncmp(asked, "tag:", 4) != 0 && strncmp(asked, "group:", 6) != 0 &&
						 strncmp(asked, "os:", 3) != 0 && strncmp(asked, "model:", 6) != 0))) {
		http_reply_problem(
			request, 422,
			"\"scope\" must be tag:<tag>, group:<group>, os:<os> or model:<model>; without it, all "
			"devices are meant.");
		return false;
	}
	if (!api_query(dashboard, request, &row, SCOPE_SQL, 1, params))
		return false;
	if (!pg_bool(row, 0, 0) && asked) {
		http_reply_problem(request, 403,
				   "You may see the devices of your own groups: scope=group:<one of them>.");
		return false;
	}
	(void)snprintf(out, SPAN_SCOPE_MAX, "%s", pg_bool(row, 0, 0) ? params[0] : pg_text(row, 0, 1));
	return true;
}

void span_begin_answer(struct buf *body, const char *metric, const char *unit, const struct span *span)
{
	buf_init(body, API_ANSWER_MAX_BYTES);
	(void)buf_add_str(body, "{\"metric\":");
	(void)json_quote(body, metric);
	(void)buf_add_str(body, ",\"unit\":");
	(void)json_quote(body, unit);
	(void)buf_addf(body, ",\"from\":%lld,\"to\":%lld,\"step_ms\":%lld", (long long)span->from_ms,
		       (long long)span->to_ms, (long long)span->step_ms);
}
