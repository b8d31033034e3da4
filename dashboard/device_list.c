// A page is found in the roster, which is one scan however it is filtered and ordered, and shown from the tables that
// hold the truth, by key. A cursor is the last row's "<device>", or "<device>.<key>" in an order that has a key; a
// device that has none comes last, rising or falling.
#include "dashboard/device_list.h"

#include "common/clock.h"
#include "common/topic.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"
#include "dashboard/device_summary.h"
#include "dashboard/selection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CURSOR_MAX 512 // a name of some hundred bytes, and the id
#define FIELDS_MAX_BYTES 16384
#define MARKS_MIN 50

static const struct order {
	const char *name; // "-" before it: falling
	const char *key;  // of the roster; NULL: the device itself
	const char *type;
} orders[] = {
	{"device", NULL, NULL},
	{"name", "r.name", "text"},
	{"status",
	 "case r.presence when 2 then case when r.stale_at < now() then 1 else 0 end when 1 then 2 else 3 end",
	 "integer"},
	{"last_seen", "r.seen", "timestamptz"},
	{"battery", "r.battery", "real"},
	{"cpu", "r.cpu", "real"},
	{"memory", "r.memory", "real"},
	{"disk", "r.disk", "real"},
	{"uptime", "r.uptime", "bigint"},
	{"version", "r.agent_key", "text"},
	{"enrolled_at", "r.enrolled_at", "timestamptz"},
};

static const struct field {
	const char *name, *sql;
} fields[] = {
	{"device", "d.device"},
	{"display_name", "d.display_name"},
	{"tags", "d.tags"},
	{"enabled", "d.enabled"},
	{"disabled", DEVICE_DISABLED_SQL},
	{"enrolled_at", "d.enrolled_at"},
	{"status", DEVICE_STATUS_SQL},
	{"presence", "coalesce(s.presence, 'never')"},
	{"why", DEVICE_WHY_SQL},
	{"evidence", DEVICE_EVIDENCE_SQL},
	{"session", "s.session"},
	{"since", "s.presence_since"},
	{"first_seen", "s.first_seen"},
	{"last_seen", DEVICE_SEEN_SQL},
	{"stale_at", DEVICE_STALE_AT_SQL},
	{"interval_s", "s.interval_s"},
	{"agent_version", "s.agent_version"},
	{"changed_at", "s.changed_at"},
	{"cell", "coalesce(s.cell, d.cell)"},
	{"latest", DEVICE_LATEST_SQL},
	{"ts", "s.ts"},
	{"battery_pct", "s.battery_pct"},
	{"charging", "s.charging"},
	{"cpu_pct", "s.cpu_pct"},
	{"load1", "s.load1"},
	{"mem_total", "s.mem_total"},
	{"mem_available", "s.mem_available"},
	{"disk_total", "s.disk_total"},
	{"disk_free", "s.disk_free"},
	{"uptime_s", "s.uptime_s"},
	{"network_type", "s.network_type"},
	{"rssi_dbm", "s.rssi_dbm"},
	{"temperature_c", "s.temperature_c"},
	{"custom", "s.custom"},
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

// ---- what is asked for ----

static const struct field *find_field(const char *name, size_t length)
{
	for (size_t i = 0; i < FIELDS; i++) {
		if (strlen(fields[i].name) == length && strncmp(fields[i].name, name, length) == 0)
			return &fields[i];
	}
	return NULL;
}

bool device_list_fields(const char *names, struct buf *out, struct error *error)
{
	bool used[FIELDS] = {false};

	for (const char *at = names;;) {
		size_t length = strcspn(at, ",");
		const struct field *field = find_field(at, length);

		if (!field)
			return error_set(error, ERROR_INVALID,
					 "\"fields\" names \"%.*s\", which a device in a list does not have; it has"
					 " those of a whole answer, those of \"latest\", enrolled_at and cell.",
					 length < 64 ? (int)length : 64, at);
		if (!used[field - fields])
			(void)buf_addf(out, "%s'%s', %s", out->len_bytes == 0 ? "json_build_object(" : ", ",
				       field->name, field->sql);
		used[field - fields] = true;
		if (at[length] == '\0')
			break;
		at += length + 1;
	}
	return buf_add_str(out, ")") || error_set(error, ERROR_LIMIT, "\"fields\" is too long.");
}

// Answers 400 itself when there is none of that name.
static const struct order *find_order(struct http_request *request, bool *falling)
{
	const char *sort = api_text(request, "sort");

	*falling = sort && sort[0] == '-';
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		if (strcmp(orders[i].name, sort ? sort + *falling : "device") == 0)
			return &orders[i];
	}
	http_reply_problem(request, 400,
			   "\"sort\" is one of device, name, status, last_seen, battery, cpu, memory, disk, uptime, "
			   "version, enrolled_at, with - before it for falling order.");
	return NULL;
}

bool device_list_cursor(char *cursor, bool keyed, const char **key)
{
	char *dot = strchr(cursor, '.');

	if (dot && !keyed)
		return false;
	if (dot)
		*dot = '\0';
	*key = dot ? dot + 1 : NULL;
	return topic_is_device_id(cursor);
}

static void add_after(struct selection *selection, const struct order *order, bool falling, const char *device,
		      const char *key)
{
	const char *compare = falling ? " < " : " > ";

	if (!order->key) {
		selection_add(selection, " and r.device");
		selection_add(selection, compare);
		selection_param(selection, device, "text");
		return;
	}
	selection_add(selection, " and (");
	selection_add(selection, order->key);
	if (key) {
		selection_add(selection, compare);
		selection_param(selection, key, order->type);
		selection_add(selection, " or (");
		selection_add(selection, order->key);
		selection_add(selection, ") is null or (");
		selection_add(selection, order->key);
		selection_add(selection, " = ");
		selection_param(selection, key, order->type);
	} else {
		selection_add(selection, " is null");
	}
	selection_add(selection, " and r.device > ");
	selection_param(selection, device, "text");
	selection_add(selection, key ? "))" : ")");
}

// "<key>, <device>" of an order, nothing before its values last.
static void add_order(struct selection *selection, const struct order *order, bool falling, const char *key,
		      const char *device)
{
	selection_add(selection, " order by ");
	if (order->key) {
		selection_add(selection, key);
		selection_add(selection, falling ? " desc nulls last, " : " nulls last, ");
	}
	selection_add(selection, device);
	selection_add(selection, !order->key && falling ? " desc" : "");
}

// ---- a page ----

static bool add_page(struct selection *selection, struct dashboard *dashboard, struct http_request *request,
		     const struct order *order, bool falling, char *after)
{
	const char *key = NULL;

	selection_add(selection, ", k.device || coalesce('.' || k.key::text, '') from (select r.device, ");
	selection_add(selection, order->key ? order->key : "null::text");
	selection_add(selection, " as key from device_roster r");
	if (!selection_where_asked(selection, dashboard, request, false))
		return false;
	if (after && !device_list_cursor(after, order->key != NULL, &key))
		return api_bad_cursor(request);
	if (after)
		add_after(selection, order, falling, after, key);
	add_order(selection, order, falling, "2", "1");
	return true;
}

void device_list_get(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *after = api_text(request, "after"), *names = api_text(request, "fields");
	char cursor[CURSOR_MAX], limit_text[SELECTION_NUMBER_BYTES];
	auto_pg_result struct pg_result *rows = NULL;
	auto_selection struct selection selection;
	auto_buf struct buf columns;
	struct error error = {0};
	int64_t limit = 0;
	bool falling = false;

	selection_init(&selection);
	buf_init(&columns, FIELDS_MAX_BYTES);
	if (!selection_check_status(request) || !api_limit(request, &limit))
		return;
	const struct order *order = find_order(request, &falling);

	if (!order)
		return;
	if (names && !device_list_fields(names, &columns, &error)) {
		http_reply_problem(request, 400, error.what);
		return;
	}
	if (after && strlen(after) >= sizeof(cursor)) {
		(void)api_bad_cursor(request);
		return;
	}
	(void)snprintf(cursor, sizeof(cursor), "%s", after ? after : "");
	selection_add(&selection, "select ");
	selection_add(&selection, names ? buf_str(&columns) : DEVICE_SUMMARY_SQL);
	if (!add_page(&selection, dashboard, request, order, falling, after ? cursor : NULL))
		return;
	selection_add(&selection, " limit ");
	selection_number(&selection, limit + 1, limit_text);
	selection_add(&selection, ") k join device d on d.device = k.device left join device_state s on s.device = "
				  "d.device");
	add_order(&selection, order, falling, "k.key", "k.device");
	if (selection_run(&selection, dashboard, request, &rows))
		api_reply_page(request, rows, limit);
}

// ---- how many ----

// Many look at the same, and each of them again and again: answers hold for some seconds. By user, because not all see
// the same.
#define COUNTS_MAX 64
#define COUNT_FRESH_MS 3000
#define MARKS_FRESH_MS 15000
#define COUNT_ANSWER_MAX_BYTES ((size_t)256 * 1024) // 2,000 marks
#define COUNT_KEY_MAX 6144

struct count {
	struct buf key, answer;
	int64_t at_ms;
};

struct counts {
	struct count of[COUNTS_MAX];
	size_t next; // to be replaced
};

struct counts *counts_new(void)
{
	struct counts *counts = calloc(1, sizeof(*counts));

	for (size_t i = 0; counts && i < COUNTS_MAX; i++) {
		buf_init(&counts->of[i].key, COUNT_KEY_MAX);
		buf_init(&counts->of[i].answer, COUNT_ANSWER_MAX_BYTES);
	}
	return counts;
}

void counts_free(struct counts *counts)
{
	for (size_t i = 0; counts && i < COUNTS_MAX; i++) {
		buf_done(&counts->of[i].key);
		buf_done(&counts->of[i].answer);
	}
	free(counts);
}

void counts_forget(struct counts *counts)
{
	for (size_t i = 0; i < COUNTS_MAX; i++)
		counts->of[i].at_ms = INT64_MIN;
}

static void make_key(struct http_request *request, struct buf *key)
{
	static const char *const names[] = {"query", "q", "status", "sort", "marks"};

	(void)buf_add_str(key, auth_of(request)->user);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = api_text(request, names[i]);

		(void)buf_addf(key, "\n%s", value ? value : "");
	}
}

static const char *find_answer(struct counts *counts, const struct buf *key, int64_t fresh_ms)
{
	int64_t since_ms = clock_mono_ms() - fresh_ms;

	for (size_t i = 0; i < COUNTS_MAX; i++) {
		const struct count *count = &counts->of[i];

		if (count->at_ms > since_ms && strcmp(buf_str(&count->key), buf_str(key)) == 0)
			return buf_str(&count->answer);
	}
	return NULL;
}

static void keep_answer(struct counts *counts, const struct buf *key, const struct buf *answer)
{
	struct count *count = &counts->of[counts->next];

	counts->next = (counts->next + 1) % COUNTS_MAX;
	buf_clear(&count->key);
	buf_clear(&count->answer);
	(void)buf_add_str(&count->key, buf_str(key));
	(void)buf_add_str(&count->answer, buf_str(answer));
	count->at_ms = count->key.overflowed || count->answer.overflowed ? INT64_MIN : clock_mono_ms();
}

static bool count_all(struct dashboard *dashboard, struct http_request *request, struct pg_result **row)
{
	auto_selection struct selection selection;

	selection_init(&selection);
	selection_add(&selection, "select count(*) filter (where true");
	selection_status(&selection, api_text(request, "status"));
	selection_add(&selection,
		      "), json_build_object('all', count(*), " DEVICE_ROSTER_COUNTS_SQL ") from device_roster r");
	return selection_where_asked(&selection, dashboard, request, true) &&
	       selection_run(&selection, dashboard, request, row);
}

// The cursors of each "every"-th device.
static bool find_marks(struct dashboard *dashboard, struct http_request *request, const struct order *order,
		       bool falling, int64_t every, struct pg_result **row)
{
	auto_selection struct selection selection;
	char every_text[SELECTION_NUMBER_BYTES];

	selection_init(&selection);
	selection_add(&selection, "select coalesce(json_agg(m.device || coalesce('.' || m.key::text, '') order by m.n),"
				  " '[]') from (select k.device, k.key, row_number() over (");
	add_order(&selection, order, falling, "k.key", "k.device");
	selection_add(&selection, ") as n from (select r.device, ");
	selection_add(&selection, order->key ? order->key : "null::text");
	selection_add(&selection, " as key from device_roster r");
	if (!selection_where_asked(&selection, dashboard, request, false))
		return false;
	selection_add(&selection, ") k) m where m.n % ");
	selection_number(&selection, every, every_text);
	selection_add(&selection, " = 0");
	return selection_run(&selection, dashboard, request, row);
}

void device_list_count(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	auto_pg_result struct pg_result *row = NULL, *marks = NULL;
	auto_buf struct buf key, answer;
	int64_t every = 0;
	bool falling = false;

	buf_init(&key, COUNT_KEY_MAX);
	buf_init(&answer, COUNT_ANSWER_MAX_BYTES);
	const struct order *order = find_order(request, &falling);

	if (!order || !selection_check_status(request) || !api_int(request, "marks", MARKS_MIN, API_LIMIT_MAX, &every))
		return;
	make_key(request, &key);
	const char *known = key.overflowed
				    ? NULL
				    : find_answer(dashboard->counts, &key, every > 0 ? MARKS_FRESH_MS : COUNT_FRESH_MS);

	if (known) {
		api_reply_text(request, 200, known);
		return;
	}
	if (!count_all(dashboard, request, &row) ||
	    (every > 0 && !find_marks(dashboard, request, order, falling, every, &marks)))
		return;
	(void)buf_addf(&answer, "{\"count\":%s,\"by_status\":%s", pg_text(row, 0, 0), pg_text(row, 0, 1));
	(void)buf_addf(&answer, ",\"marks\":%s}", marks ? pg_text(marks, 0, 0) : "null");
	if (answer.overflowed) {
		http_reply_problem(request, 413, "There are too many marks; ask for fewer with a greater \"marks\".");
		return;
	}
	keep_answer(dashboard->counts, &key, &answer);
	api_reply_text(request, 200, buf_str(&answer));
}
