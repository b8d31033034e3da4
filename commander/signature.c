#include "commander/signature.h"

#include "commander/cell.h"
#include "commander/commander.h"

#include "common/signature.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_MAX 200
#define BATCH "200"
#define LIST_MAX_BYTES 131072

// A row for each certificate of the device that held at any time from when the command was asked for until the result
// came: no clock of the device is asked, and a key that was given up before cannot speak. None: one row without.
static const char select_sql[] =
	"with r as (select device, epoch, seq, ts, command, signed, body ->> 'sig' as sig, received_at from "
	"command_result"
	" where verdict = 'unchecked' and " CELL_HAS(
		"command_result.device",
		"1") " order by received_at, device, epoch, seq limit " BATCH " for update skip locked)"
		     " select r.device, r.epoch, r.seq, r.command, r.signed, r.sig, t.serial, t.pem from r"
		     " left join command c on c.id ="
		     " case when r.command ~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' then "
		     "r.command::uuid end"
		     " left join certificate t on t.device = r.device and t.created_at <= r.received_at"
		     " and t.not_after >= coalesce(c.created_at, r.received_at)"
		     " and coalesce(t.revoked_at >= coalesce(c.created_at, r.received_at), true)"
		     " order by r.received_at, r.device, r.epoch, r.seq, t.created_at desc";
enum column { DEVICE, EPOCH, SEQ, COMMAND, SIGNED, SIG, SERIAL, PEM };

static const char verdict_sql[] =
	"with m as (select * from json_to_recordset($1::json) as j(device text, epoch text, seq bigint, serial text)),"
	" u as (update command_result r set verdict = case when m.serial is null then 'refused' else 'verified' end,"
	" certificate = m.serial, applied_at = case when m.serial is null then now() end"
	" from m where r.device = m.device and r.epoch = m.epoch and r.seq = m.seq"
	" returning r.device, r.epoch, r.seq, r.command, r.state, r.verdict)"
	" insert into event (device, epoch, seq, ts, received_at, measured_at, type, body)"
	" select device, '-signature-' || left(md5(epoch), 12), seq, now(), now(), now(), 'result.refused',"
	" jsonb_build_object('command', command, 'state', state, 'reason',"
	" 'its signature is by none of the certificates that this device had') from u where verdict = 'refused'"
	" on conflict do nothing";

static bool same_result(const struct pg_result *rows, size_t a, size_t b)
{
	return strcmp(pg_text(rows, a, SEQ), pg_text(rows, b, SEQ)) == 0 &&
	       strcmp(pg_text(rows, a, EPOCH), pg_text(rows, b, EPOCH)) == 0 &&
	       strcmp(pg_text(rows, a, DEVICE), pg_text(rows, b, DEVICE)) == 0;
}

static bool fits(const struct pg_result *rows, size_t row)
{
	const char *text = pg_text(rows, row, SIGNED);

	return text && pg_text(rows, row, SIG) && pg_text(rows, row, PEM) &&
	       signature_check(pg_text(rows, row, PEM), text, strlen(text), pg_text(rows, row, SIG), NULL);
}

// Takes the rows of one result; *next is the first of another.
static void judge(struct commander *commander, const struct pg_result *rows, size_t row, size_t *next, struct buf *out)
{
	const char *serial = NULL;

	for (*next = row; *next < pg_rows(rows) && same_result(rows, row, *next); (*next)++) {
		if (!serial && fits(rows, *next))
			serial = pg_text(rows, *next, SERIAL);
	}
	(void)buf_addf(out, "%c{\"device\":", row == 0 ? '[' : ',');
	(void)json_quote(out, pg_text(rows, row, DEVICE));
	(void)buf_add_str(out, ",\"epoch\":");
	(void)json_quote(out, pg_text(rows, row, EPOCH));
	(void)buf_addf(out, ",\"seq\":%s,\"serial\":", pg_text(rows, row, SEQ));
	(void)(serial ? json_quote(out, serial) : buf_add_str(out, "null"));
	(void)buf_add_str(out, "}");
	metric_add(metrics_counter(commander->metrics, "muster_result_signatures_total",
				   serial ? "verdict=\"verified\"" : "verdict=\"refused\"",
				   "Signed results that were checked"),
		   1);
	if (!serial)
		log_warn("sec.result.refused", "device", pg_text(rows, row, DEVICE), "command",
			 pg_text(rows, row, COMMAND), "reason",
			 "its signature is by none of the device's certificates");
}

bool signature_run(struct commander *commander, bool *more, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	auto_buf struct buf list = {0};
	const char *params[] = {commander->cell};
	size_t next = 0;
	size_t count = 0;

	if (!pg_query(commander->pg, &rows, error, select_sql, 1, params))
		return error_prefix(error, "reading signed results");
	if (pg_rows(rows) == 0)
		return true;
	buf_init(&list, LIST_MAX_BYTES);
	for (size_t row = 0; row < pg_rows(rows); row = next, count++)
		judge(commander, rows, row, &next, &list);
	(void)buf_add_str(&list, "]");
	if (list.overflowed)
		return error_set(error, ERROR_LIMIT, "the list of signed results is too long");
	params[0] = buf_str(&list);
	*more = count == BATCH_MAX;
	return pg_query(commander->pg, NULL, error, verdict_sql, 1, params) ||
	       error_prefix(error, "marking signed results");
}
