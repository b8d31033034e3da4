#include "commander/notify.h"

#include "commander/commander.h"
#include "commander/digest.h"

#include "common/alert_words.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/query_pg.h"

#include <stdio.h>
#include <string.h>

#define SILENCES "200"
#define SILENCE_EVERY_MS 2000
#define STATEMENT_MAX_BYTES 131072
#define SILENCE_PARAMS 3
#define EVENT_MAX_BYTES 262144
#define ITEMS "100" // DIGEST_ITEMS_MAX
#define LISTED "20" // DIGEST_LISTED_MAX
#define WORDS_MAX_BYTES 400

// ---- silences ----

static const char unsilence_sql[] = "with back as (update alert a set silence = null, changed_at = now() where a.state "
				    "= 'active' and a.silence is not"
				    " null and not exists (select from alert_silence s where s.id = a.silence and "
				    "silence_counts(s)) returning a.id)"
				    " insert into alert_event (alert, type) select id, 'unsilenced' from back";
// The last: whether it covers an alert.
static const char silences_sql[] =
	"select s.id, s.tenant, s.rule, s.query, s.id in (select a.silence from alert a where a.state = 'active'"
	" and a.silence is not null) from alert_silence s where s.until_at > now() and silence_counts(s) order by s.id"
	" limit " SILENCES;
enum silence_column { SILENCE, OF_TENANT, OF_RULE, SILENCE_QUERY, COVERS };
// Names in the query are of the silence's tenant.
static const char tenant_sql[] = "select set_config('muster.tenant', $1, true)";
// $1 silence, $2 tenant, $3 rule; then the condition of the query.
#define SILENCE_HIT                                                                                                    \
	"with hit as materialized (select a.id from alert a left join device d on d.device = a.device"                 \
	" left join device_state s on s.device = d.device where a.state = 'active' and a.tenant = $2"                  \
	" and ($3::bigint is null or a.rule = $3) and a.silence "
// Whom it covers no more, as a device that left the group.
static const char release_sql[] = SILENCE_HIT "= $1 and ";
static const char release_end_sql[] =
	"), back as (update alert a set silence = null, changed_at = now() where a.state = 'active' and a.silence = $1"
	" and not exists (select from hit where hit.id = a.id) returning a.id)"
	" insert into alert_event (alert, type) select id, 'unsilenced' from back";
static const char cover_sql[] = SILENCE_HIT "is null and ";
static const char cover_end_sql[] =
	"), quiet as (update alert a set silence = $1, changed_at = now() from hit where a.id = hit.id returning a.id)"
	" insert into alert_event (alert, type, text) select id, 'silenced', (select reason from alert_silence where"
	" id = $1) from quiet";

// ---- channels ----

static const char pick_sql[] =
	"select c.id, c.tenant, c.name, c.kind, c.wait_s, c.test_at is not null,"
	" c.digest_at + make_interval(secs => c.interval_s) <= now() from alert_channel c where c.enabled"
	" and c.next_at <= now() order by c.next_at limit 1 for update of c skip locked";
enum channel_column { CHANNEL, TENANT, NAME, KIND, WAIT_S, TEST, MAY };
// Whether something waits and has settled, or is to be said again.
static const char ready_sql[] =
	"select coalesce((select max(t.waits_since) <= now() - make_interval(secs => $2::float8) or min(t.waits_since) "
	"<="
	" now() - make_interval(secs => $2::float8 * 4) from alert_told t join alert a on a.id = t.alert"
	" where t.channel = $1 and t.waits_since is not null and (a.silence is null or a.state = 'cleared')), false)"
	" or exists (select from alert_told t join alert_channel c on c.id = t.channel join alert a on a.id = t.alert"
	" where t.channel = $1 and t.told = 'active' and t.told_at <= now() - make_interval(secs => c.repeat_s)"
	" and a.state = 'active' and a.acknowledged_at is null and a.silence is null)";
// All that is to be told is marked as told; the gravest of each rule is listed, so that thousands of one do not hide
// another.
static const char take_sql[] =
	"with w as materialized (select t.alert, case when a.state = 'cleared' then case when t.told = 'active' then 1 "
	"end"
	" when t.told is distinct from 'active' then 0 when t.waits_since is null then 2 end as what"
	" from alert_told t join alert a on a.id = t.alert join alert_channel c on c.id = t.channel where t.channel = "
	"$1"
	" and (t.waits_since is not null or (t.told = 'active' and t.told_at <= now() - make_interval(secs => "
	"c.repeat_s)"
	" and a.state = 'active' and a.acknowledged_at is null)) and (a.silence is null or a.state = 'cleared')),"
	" done as (update alert_told t set told = a.state, told_at = now(), waits_since = null from w join alert a"
	" on a.id = w.alert where t.channel = $1 and t.alert = w.alert),"
	" noted as (insert into alert_event (alert, type, text) select alert, 'told', $2 from w where what is not null)"
	" select w.what, count(*) filter (where w.what = 0) over (), count(*) filter (where w.what = 1) over (),"
	" count(*) filter (where w.what = 2) over (), a.id, a.severity, a.rule_name, a.kind, a.object, a.device, "
	"a.title,"
	" to_char(a.raised_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'),"
	" to_char(a.cleared_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), r.params,"
	" count(*) over (partition by w.what, a.rule_name, a.severity)"
	" from w join alert a on a.id = w.alert left join alert_rule r on r.id = a.rule where w.what is not null"
	" order by row_number() over (partition by w.what, a.rule_name, a.severity order by a.id) > " LISTED ","
	" w.what = 1, severity_rank(a.severity) desc, a.id limit " ITEMS;
enum item_column {
	WHAT,
	RAISED,
	CLEARED,
	STILL,
	ID,
	SEVERITY,
	RULE,
	ALERT_KIND,
	OBJECT,
	DEVICE,
	TITLE,
	RAISED_AT,
	CLEARED_AT,
	PARAMS,
	ALL_OF_RULE,
};
static const char mails_sql[] =
	"insert into mail (recipient, subject, body, about) select address, $2, $3, 'alert' from alert_channel c,"
	" unnest(c.addresses) address where c.id = $1 returning id";
static const char digest_sql[] = "insert into alert_digest (id, channel, raised, cleared, still, subject, body, mails) "
				 "values ($1, $2, $3, $4, $5,"
				 " $6, $7, $8::bigint[])";
static const char next_sql[] =
	"update alert_channel set next_at = now() + interval '1 second', digest_at = case when $2::boolean then now()"
	" else digest_at end, test_at = case when $3::boolean then null else test_at end where id = $1";
// How the mails of a message fared.
static const char mailed_sql[] =
	"update alert_digest g set state = case when x.lost > 0 then 'failed' else 'sent' end, sent_at = x.at,"
	" attempts = x.attempts, error = x.error from (select g.id, count(*) filter (where m.next_at = 'infinity') as "
	"lost,"
	" count(*) filter (where m.sent_at is null and m.next_at < 'infinity') as open, max(m.sent_at) as at,"
	" max(m.attempts) as attempts, coalesce(max(m.error) filter (where m.error <> ''), '') as error from "
	"alert_digest g"
	" left join mail m on m.id = any (g.mails) where g.state = 'waiting' and g.mails <> '{}' group by g.id) x"
	" where g.id = x.id and x.open = 0";

// ---- silences ----

// One that names a group that is no more silences nobody.
static bool silence(struct commander *commander, const struct pg_result *rows, size_t row, bool cover,
		    struct error *error)
{
	const struct query_options options = {
		.first_param = SILENCE_PARAMS + 1, .resolve = query_pg_resolve, .user = commander->pg};
	const char *params[SILENCE_PARAMS + QUERY_PARAMS_MAX] = {
		pg_text(rows, row, SILENCE), pg_text(rows, row, OF_TENANT), pg_text(rows, row, OF_RULE)};
	auto_query struct query query = {0};
	auto_buf struct buf sql;
	struct error own = {0};

	buf_init(&sql, STATEMENT_MAX_BYTES);
	if (!PG_QUERY(commander->pg, NULL, error, tenant_sql, params[1]))
		return false;
	bool names = query_compile(pg_text(rows, row, SILENCE_QUERY), &options, &query, &own);

	if (own.kind == ERROR_UNREACHABLE && error)
		*error = own;
	if (own.kind == ERROR_UNREACHABLE || (!names && cover))
		return own.kind != ERROR_UNREACHABLE;
	(void)buf_addf(&sql, "%s%s%s", cover ? cover_sql : release_sql, names ? buf_str(&query.sql) : "false",
		       cover ? cover_end_sql : release_end_sql);
	for (size_t i = 0; names && i < query.count; i++)
		params[SILENCE_PARAMS + i] = query.params[i];
	return pg_query(commander->pg, NULL, error, buf_str(&sql), SILENCE_PARAMS + (names ? query.count : 0), params);
}

// First all let go, then all cover: whom one covers no more may be another's, and is not told in between.
static bool apply_silences(struct commander *commander, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	int64_t now_ms = clock_mono_ms();

	if (commander->notify.silenced_ms != 0 && now_ms - commander->notify.silenced_ms < SILENCE_EVERY_MS)
		return true;
	commander->notify.silenced_ms = now_ms;
	if (!pg_exec(commander->pg, unsilence_sql, error) || !pg_exec(commander->pg, mailed_sql, error) ||
	    !pg_query(commander->pg, &rows, error, silences_sql, 0, NULL))
		return false;
	for (size_t i = 0; i < pg_rows(rows) * 2; i++) {
		bool cover = i >= pg_rows(rows);
		size_t row = i % pg_rows(rows);

		if ((cover || pg_bool(rows, row, COVERS)) && !silence(commander, rows, row, cover, error))
			return error_prefix(error, "applying silence %s", pg_text(rows, row, SILENCE));
	}
	return true;
}

// ---- one message ----

// What the rule looks for now; "" where it is no more, or of a kind of another version.
static void say_rule(const struct pg_result *rows, size_t row, char out[WORDS_MAX_BYTES])
{
	const char *params = pg_text(rows, row, PARAMS);
	auto_json struct json *parsed = params ? json_parse(params, strlen(params), NULL) : NULL;
	const struct alert_kind *kind = alert_kind_find(pg_text(rows, row, ALERT_KIND));
	auto_buf struct buf words;

	buf_init(&words, WORDS_MAX_BYTES);
	if (parsed && kind)
		alert_words(kind, parsed, &words);
	(void)snprintf(out, WORDS_MAX_BYTES, "%s", words.overflowed ? "" : buf_str(&words));
}

struct items {
	struct digest_item items[DIGEST_ITEMS_MAX];
	char words[DIGEST_ITEMS_MAX][WORDS_MAX_BYTES];
};

static void fill_items(const struct pg_result *rows, struct items *store, struct digest *digest)
{
	struct digest_item *items = store->items;

	digest->count = pg_rows(rows) < DIGEST_ITEMS_MAX ? pg_rows(rows) : DIGEST_ITEMS_MAX;
	digest->items = items;
	for (size_t i = 0; i < digest->count; i++) {
		say_rule(rows, i, store->words[i]);
		items[i] = (struct digest_item){
			.what = (enum digest_what)pg_int(rows, i, WHAT),
			.id = pg_text(rows, i, ID),
			.severity = pg_text(rows, i, SEVERITY),
			.rule = pg_text(rows, i, RULE),
			.kind = pg_text(rows, i, ALERT_KIND),
			.object = pg_text(rows, i, OBJECT),
			.device = pg_text(rows, i, DEVICE),
			.title = pg_text(rows, i, TITLE),
			.raised_at = pg_text(rows, i, RAISED_AT),
			.cleared_at = pg_text(rows, i, CLEARED_AT),
			.looks_for = store->words[i],
			.of_rule = pg_int(rows, i, ALL_OF_RULE),
		};
	}
	if (digest->count == 0)
		return;
	digest->raised = pg_int(rows, 0, RAISED);
	digest->cleared = pg_int(rows, 0, CLEARED);
	digest->still = pg_int(rows, 0, STILL);
}

static bool insert_mails(struct commander *commander, const char *channel, const char *subject, const char *text,
			 struct buf *ids, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;

	if (!PG_QUERY(commander->pg, &rows, error, mails_sql, channel, subject, text))
		return false;
	(void)buf_add_str(ids, "{");
	for (size_t i = 0; i < pg_rows(rows); i++)
		(void)buf_addf(ids, "%s%s", i > 0 ? "," : "", pg_text(rows, i, 0));
	(void)buf_add_str(ids, "}");
	return true;
}

static bool store(struct commander *commander, const char *channel, bool email, const struct digest *digest,
		  struct error *error)
{
	auto_json struct json *event = email ? NULL : digest_event(digest);
	auto_buf struct buf body, mails;
	char subject[DIGEST_SUBJECT_BYTES], raised[24], cleared[24], still[24];

	buf_init(&body, EVENT_MAX_BYTES);
	buf_init(&mails, 4096);
	digest_subject(digest, subject);
	if (email)
		digest_text(digest, &body);
	else
		(void)buf_add_str(&body, json_text(event));
	if (body.overflowed)
		return error_set(error, ERROR_LIMIT, "the message is too large");
	if (email ? !insert_mails(commander, channel, subject, buf_str(&body), &mails, error)
		  : !buf_add_str(&mails, "{}"))
		return false;
	(void)snprintf(raised, sizeof(raised), "%lld", (long long)digest->raised);
	(void)snprintf(cleared, sizeof(cleared), "%lld", (long long)digest->cleared);
	(void)snprintf(still, sizeof(still), "%lld", (long long)digest->still);
	hook_look(&commander->hook);
	mail_look(&commander->mail);
	log_info("alert.digest", "channel", channel, "digest", digest->id, "raised", raised, "cleared", cleared,
		 "still", still);
	metric_add(metrics_counter(commander->metrics, "muster_alert_digests_total",
				   email ? "kind=\"email\"" : "kind=\"webhook\"", "Messages about alerts"),
		   1);
	return PG_QUERY(commander->pg, NULL, error, digest_sql, digest->id, channel, raised, cleared, still, subject,
			buf_str(&body), buf_str(&mails));
}

static bool tell(struct commander *commander, const struct pg_result *channel, bool test, bool *told,
		 struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	struct items items;
	char id[UUID_TEXT_BYTES], now[CLOCK_RFC3339_BYTES];
	struct digest digest = {
		.id = id,
		.time = now,
		.public_url = commander->options->public_url,
		.tenant = pg_text(channel, 0, TENANT),
		.channel = pg_text(channel, 0, NAME),
		.test = test,
	};

	crypto_uuid4(id);
	clock_format_rfc3339(clock_wall_ms(), now);
	if (!test) {
		if (!PG_QUERY(commander->pg, &rows, error, take_sql, pg_text(channel, 0, CHANNEL), digest.channel))
			return false;
		fill_items(rows, &items, &digest);
	}
	*told = test || digest.count > 0;
	return !*told || store(commander, pg_text(channel, 0, CHANNEL), strcmp(pg_text(channel, 0, KIND), "email") == 0,
			       &digest, error);
}

static bool look_at(struct commander *commander, const struct pg_result *channel, struct error *error)
{
	const char *id = pg_text(channel, 0, CHANNEL);
	auto_pg_result struct pg_result *ready = NULL;
	bool told = false, tested = pg_bool(channel, 0, TEST), ignored = false;

	if (tested && !tell(commander, channel, true, &ignored, error))
		return false;
	if (pg_bool(channel, 0, MAY)) {
		if (!PG_QUERY(commander->pg, &ready, error, ready_sql, id, pg_text(channel, 0, WAIT_S)))
			return false;
		if (pg_bool(ready, 0, 0) && !tell(commander, channel, false, &told, error))
			return false;
	}
	return PG_QUERY(commander->pg, NULL, error, next_sql, id, told ? "t" : "f", tested ? "t" : "f");
}

static bool step(struct commander *commander, bool *more, struct error *error)
{
	auto_pg_result struct pg_result *channel = NULL;

	if (!apply_silences(commander, error) || !pg_query(commander->pg, &channel, error, pick_sql, 0, NULL))
		return false;
	*more = pg_rows(channel) > 0;
	return !*more || look_at(commander, channel, error) ||
	       error_prefix(error, "telling the channel %s", pg_text(channel, 0, CHANNEL));
}

// What cannot be told must hold up no command: it is tried again at the next tick.
bool notify_run(struct commander *commander, struct error *error)
{
	struct error own = {0};
	bool more = false;

	if (!(commander->due & DUE_NOTIFY))
		return true;
	if (!pg_exec(commander->pg, "savepoint notify", error))
		return false;
	if (step(commander, &more, &own)) {
		log_fault_over(&commander->notify.fault, "alert.notify");
		if (!more)
			commander->due &= ~(unsigned)DUE_NOTIFY;
		return pg_exec(commander->pg, "release savepoint notify", error);
	}
	if (own.kind == ERROR_UNREACHABLE) {
		if (error)
			*error = own;
		return false;
	}
	commander->due &= ~(unsigned)DUE_NOTIFY;
	log_fault(&commander->notify.fault, "alert.notify", &own);
	return pg_exec(commander->pg, "rollback to savepoint notify", error);
}
