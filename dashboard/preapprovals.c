#include "dashboard/preapprovals.h"

#include "common/preapproval.h"
#include "dashboard/api.h"
#include "dashboard/auth.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define FAULTS_MAX_BYTES 8192
#define SERIAL_BYTES_MAX 128

// $1 limit, $2 and $3 created_at and serial number of the last one seen, $4 how it begins, $5 "waiting" or "used".
// Newest first.
static const char LIST_SQL[] =
	"select jsonb_build_object('serial', p.serial, 'device', p.device, 'tags', p.tags, 'created_by', p.created_by,"
	" 'created_at', p.created_at, 'used_at', p.used_at),"
	" (extract(epoch from p.created_at) * 1000000)::bigint || '.' || p.serial from preapproved p"
	" where ($2::bigint is null or (p.created_at <= timestamptz 'epoch' + $2::bigint * interval '1 microsecond'"
	"  and (p.created_at < timestamptz 'epoch' + $2::bigint * interval '1 microsecond' or p.serial > $3)))"
	" and ($4::text is null or starts_with(p.serial, $4) or p.device = $4)"
	" and ($5::text is null or (p.used_at is not null) = ($5 = 'used'))"
	" order by p.created_at desc, p.serial limit $1::integer + 1";

void preapprovals_list(struct http_request *request, void *user)
{
	static const char *const states[] = {"waiting", "used", NULL};
	const char *after = api_text(request, "after"), *state = api_text(request, "state");
	char cursor[API_CURSOR_MAX], limit_text[24], *serial = NULL;
	int64_t limit = 0, ignored = 0;

	if (!api_limit(request, &limit) || !api_choice(request, "state", states))
		return;
	(void)snprintf(cursor, sizeof(cursor), "%s", after ? after : "");
	serial = strchr(cursor, '.'); // the serial number itself may hold others
	if (serial)
		*serial++ = '\0';
	if (after && (!serial || !api_parse_int(cursor, &ignored))) {
		(void)api_bad_cursor(request);
		return;
	}
	(void)snprintf(limit_text, sizeof(limit_text), "%lld", (long long)limit);

	auto_pg_result struct pg_result *rows = NULL;
	const char *const params[] = {limit_text, after ? cursor : NULL, serial, api_text(request, "q"), state};

	if (api_query_again(user, request, &rows, LIST_SQL, 5, params))
		api_reply_page(request, rows, limit);
}

// One transaction: all lines or none, and the audit with them.
static bool import(struct dashboard *dashboard, struct http_request *request, const struct preapprovals *list,
		   struct preapproval_counts *counts, struct buf *faults, struct error *error)
{
	const char *actor = auth_of(request)->user;
	char told[PREAPPROVAL_TOLD_BYTES];

	if (!pg_ready(dashboard->pg, error) || !pg_begin(dashboard->pg, error))
		return false;
	if (preapprovals_import(dashboard->pg, list, actor, counts, faults, error)) {
		preapprovals_told(counts, told);
		if (api_audit(dashboard, request, actor, "preapproval.import", "", told, error))
			return pg_commit(dashboard->pg, error);
	}
	pg_rollback(dashboard->pg);
	return false;
}

// What is wrong is told line by line.
static void refuse(struct http_request *request, struct buf *faults)
{
	auto_buf struct buf detail;

	buf_init(&detail, FAULTS_MAX_BYTES + 64);
	buf_add_str(&detail, "Nothing was imported. ");
	buf_add_str(&detail, buf_str(faults));
	http_reply_problem(request, 422, buf_str(&detail));
}

void preapprovals_create(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	size_t len_bytes = 0;
	const char *body = http_body(request, &len_bytes);
	struct preapprovals list auto_preapprovals = {0};
	struct preapproval_counts counts = {0};
	auto_buf struct buf faults;
	struct error error = {0};
	char told[PREAPPROVAL_TOLD_BYTES];

	const char *type = http_header(request, "Content-Type");

	buf_init(&faults, FAULTS_MAX_BYTES);
	if (!type || strncasecmp(type, "text/csv", strlen("text/csv")) != 0) {
		http_reply_problem(request, 415, "Send CSV (Content-Type: text/csv).");
		return;
	}
	if (len_bytes == 0 || memchr(body, '\0', len_bytes)) {
		http_reply_problem(request, 422,
				   "Send lines of serial,device,tags in UTF-8, of which the last two may be "
				   "missing.");
		return;
	}
	bool sound = preapprovals_parse(body, &list, &faults);
	if (sound && import(dashboard, request, &list, &counts, &faults, &error)) {
		log_info("preapproval.import", "added", log_number(counts.added), "changed", log_number(counts.changed),
			 "user", auth_of(request)->user, "request_id", http_request_id(request));
		preapprovals_told(&counts, told);
		api_reply_text(request, 200, told);
	} else if (!sound || error.kind == ERROR_EXISTS) {
		refuse(request, &faults);
	} else if (pg_sqlstate_is(&error, "42501")) { // a row that the policies keep
		http_reply_problem(request, 422,
				   "Nothing was imported: one of these serial numbers stands on a list "
				   "that is not yours.");
	} else {
		api_reply_error(dashboard, request, &error);
	}
}

void preapprovals_delete(struct http_request *request, void *user)
{
	struct dashboard *dashboard = user;
	const char *serial = http_param(request, "serial");
	struct error error = {0};
	bool done = strlen(serial) <= SERIAL_BYTES_MAX && pg_ready(dashboard->pg, &error) &&
		    pg_begin(dashboard->pg, &error) && preapproval_remove(dashboard->pg, serial, &error) &&
		    api_audit(dashboard, request, auth_of(request)->user, "preapproval.remove", serial, "{}", &error) &&
		    pg_commit(dashboard->pg, &error);

	if (done) {
		http_reply(request, 204, NULL, NULL, 0);
		return;
	}
	pg_rollback(dashboard->pg);
	if (error.kind == ERROR_NOT_FOUND || strlen(serial) > SERIAL_BYTES_MAX)
		http_reply_problem(request, 404,
				   "This serial number is not on the list; GET /api/v1/preapprovals shows it.");
	else
		api_reply_error(dashboard, request, &error);
}
