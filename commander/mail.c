#include "commander/mail.h"

#include "commander/commander.h"
#include "commander/mail_message.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SENDS_MAX 4
#define RETRY_MAX_S 3600
#define LEASE_SPARE_S 5 // beyond the time that a message may take
#define TIDY_EVERY_MS 3600000
#define PASSWORD_MAX_BYTES 1024
#define BREAKER_FAILURES 3

static const char expire_sql[] =
	"update mail set next_at = 'infinity', body = '', error = 'it expired' || case when error = '' then '' else"
	" ', and before: ' || error end where sent_at is null and next_at <= now() and expires_at <= now()";
// $1 how many, $2 the lease in seconds.
static const char claim_sql[] =
	"with due as (select id from mail where sent_at is null and next_at <= now() order by next_at"
	" limit $1 for update skip locked)"
	" update mail m set attempts = m.attempts + 1, next_at = now() + make_interval(secs => $2) from due"
	" where m.id = due.id returning m.id, m.recipient, m.subject, m.body,"
	" (extract(epoch from m.created_at) * 1000)::bigint, m.attempts, m.about, m.request_id";
enum column { ID, RECIPIENT, SUBJECT, BODY, CREATED_MS, ATTEMPTS, ABOUT, REQUEST_ID };
static const char sent_sql[] =
	"update mail set sent_at = now(), body = '', error = '' where id = $1 and sent_at is null";
static const char refused_sql[] =
	"update mail set next_at = 'infinity', body = '', error = $2 where id = $1 and sent_at is null";
static const char later_sql[] =
	"update mail set next_at = now() + make_interval(secs => $3), error = $2 where id = $1 and sent_at is null";
static const char tidy_sql[] = "delete from mail where created_at < now() - interval '30 days' and (sent_at is not "
			       "null or next_at = 'infinity')";

struct mail_sending {
	struct mail_sending *next;
	struct commander *commander;
	char id[24], recipient[256], about[64], request_id[REQUEST_ID_MAX + 1];
	int64_t attempts;
	struct buf message;
	struct smtp_outcome outcome;
};

static void sending_free(void *user)
{
	struct mail_sending *sending = user;

	if (!sending)
		return;
	if (sending->message.data)
		crypto_wipe(sending->message.data, sending->message.capacity_bytes);
	buf_done(&sending->message);
	free(sending);
}

static void free_all(struct mail_sending **list)
{
	while (*list) {
		struct mail_sending *sending = *list;

		*list = sending->next;
		sending_free(sending);
	}
}

// ---- what is decided ----

// Mailbox and message: what is wrong with them is so tomorrow too (RFC 5321 section 4.2.3).
enum mail_verdict mail_judge(const struct smtp_outcome *outcome)
{
	if (outcome->sent)
		return MAIL_SENT;
	if (outcome->error.kind == ERROR_INVALID)
		return MAIL_REFUSED;
	if (outcome->error.kind == ERROR_DENIED || outcome->error.kind == ERROR_TIMEOUT)
		return MAIL_AWAY;
	if ((outcome->reply >= 550 && outcome->reply <= 553) || outcome->reply == 556)
		return MAIL_REFUSED;
	return outcome->reply >= 400 && outcome->reply != 421 ? MAIL_LATER : MAIL_AWAY;
}

int64_t mail_retry_s(int64_t retry_s, int64_t attempts)
{
	int64_t wait_s = retry_s;

	for (int64_t i = 1; i < attempts && wait_s < RETRY_MAX_S; i++)
		wait_s *= 2;
	if (wait_s > RETRY_MAX_S)
		wait_s = RETRY_MAX_S;
	return (wait_s * 500 + clock_backoff_ms(0, wait_s * 500, wait_s * 500) + 999) / 1000;
}

// ---- what came of a mail ----

static void count_outcome(struct commander *commander, enum mail_verdict verdict)
{
	static const char *const labels[] = {[MAIL_SENT] = "outcome=\"sent\"",
					     [MAIL_REFUSED] = "outcome=\"refused\"",
					     [MAIL_LATER] = "outcome=\"later\"",
					     [MAIL_AWAY] = "outcome=\"away\""};

	metric_add(metrics_counter(commander->metrics, "muster_mails_total", labels[verdict],
				   "Tries to hand over an e-mail, by what came of them"),
		   1);
}

static void on_done(void *user, const struct smtp_outcome *outcome)
{
	struct mail_sending *sending = user;
	struct commander *commander = sending->commander;
	struct mail *mail = &commander->mail;
	enum mail_verdict verdict = mail_judge(outcome);

	sending->outcome = *outcome;
	if (verdict == MAIL_AWAY) {
		breaker_failure(&mail->breaker, clock_mono_ms());
		log_fault(&mail->fault, "mail.away", &outcome->error);
	} else {
		breaker_success(&mail->breaker);
		log_fault_over(&mail->fault, "mail.away");
	}
	count_outcome(commander, verdict);
	// No address: it is somebody's.
	log_write(verdict == MAIL_SENT ? LOG_INFO : LOG_WARN, "mail.send", "mail", sending->id, "about", sending->about,
		  "request_id", sending->request_id[0] ? sending->request_id : NULL, "attempt",
		  log_number(sending->attempts), "reply", outcome->reply ? log_number(outcome->reply) : NULL, "error",
		  outcome->sent ? NULL : outcome->error.what, (const char *)NULL);
	sending->next = mail->ended;
	mail->ended = sending;
	loop_timer_once(commander->tick, 0);
}

static bool store_outcome(struct commander *commander, const struct mail_sending *sending, struct error *error)
{
	const struct smtp_outcome *outcome = &sending->outcome;
	char reason[400], wait[24];

	(void)snprintf(wait, sizeof(wait), "%" PRId64,
		       mail_retry_s(commander->options->smtp_retry_s, sending->attempts));
	(void)snprintf(reason, sizeof(reason), outcome->reply ? "%.350s (reply %d)" : "%.350s", outcome->error.what,
		       outcome->reply);
	switch (mail_judge(outcome)) {
	case MAIL_SENT:
		return PG_QUERY(commander->pg, NULL, error, sent_sql, sending->id);
	case MAIL_REFUSED:
		return PG_QUERY(commander->pg, NULL, error, refused_sql, sending->id, reason);
	default:
		return PG_QUERY(commander->pg, NULL, error, later_sql, sending->id, reason, wait);
	}
}

static bool store_outcomes(struct commander *commander, struct error *error)
{
	for (const struct mail_sending *sending = commander->mail.ended; sending; sending = sending->next) {
		if (!store_outcome(commander, sending, error))
			return error_prefix(error, "storing what came of a mail");
		commander->mail.look = true; // there is room for another
	}
	return true;
}

// ---- sending ----

static bool claim_one(struct commander *commander, const struct pg_result *rows, size_t row, struct error *error)
{
	struct mail_sending *sending = calloc(1, sizeof(*sending));
	const struct mail_message message = {
		.id = pg_text(rows, row, ID),
		.created_ms = pg_int(rows, row, CREATED_MS),
		.now_ms = clock_wall_ms(),
		.from = commander->options->smtp_from,
		.to = pg_text(rows, row, RECIPIENT),
		.subject = pg_text(rows, row, SUBJECT),
		.body = pg_text(rows, row, BODY),
	};

	if (!sending)
		return error_set(error, ERROR_FAILED, "no memory for a mail");
	sending->next = commander->mail.claimed;
	commander->mail.claimed = sending;
	sending->commander = commander;
	(void)snprintf(sending->id, sizeof(sending->id), "%s", message.id);
	(void)snprintf(sending->recipient, sizeof(sending->recipient), "%s", message.to);
	(void)snprintf(sending->about, sizeof(sending->about), "%s", pg_text(rows, row, ABOUT));
	(void)snprintf(sending->request_id, sizeof(sending->request_id), "%s", pg_text(rows, row, REQUEST_ID));
	sending->attempts = pg_int(rows, row, ATTEMPTS);
	buf_init(&sending->message, MAIL_MESSAGE_MAX_BYTES);
	if (!mail_message_build(&message, &sending->message, &sending->outcome.error))
		buf_clear(&sending->message); // it is refused when its turn comes
	return true;
}

static bool claim(struct commander *commander, struct error *error)
{
	struct mail *mail = &commander->mail;
	auto_pg_result struct pg_result *rows = NULL;
	unsigned room = breaker_room(&mail->breaker, SENDS_MAX - (unsigned)smtp_under_way(mail->smtp), clock_mono_ms());
	char limit[16], lease[24];

	if (room == 0)
		return true;
	(void)snprintf(limit, sizeof(limit), "%u", room);
	(void)snprintf(lease, sizeof(lease), "%ld", commander->options->smtp_timeout_s + LEASE_SPARE_S);
	if (!PG_QUERY(commander->pg, &rows, error, claim_sql, limit, lease))
		return error_prefix(error, "reading the mails that are due");
	for (size_t row = 0; row < pg_rows(rows); row++) {
		if (!claim_one(commander, rows, row, error))
			return false;
	}
	return true;
}

static bool tidy(struct commander *commander, struct error *error)
{
	struct mail *mail = &commander->mail;
	int64_t now_ms = clock_mono_ms();

	if (mail->tidied_ms != 0 && now_ms - mail->tidied_ms < TIDY_EVERY_MS)
		return true;
	mail->tidied_ms = now_ms;
	return pg_exec(commander->pg, tidy_sql, error);
}

// ---- the step ----

void mail_look(struct mail *mail)
{
	mail->look = true;
}

bool mail_is_due(const struct mail *mail)
{
	return mail->look || mail->ended;
}

bool mail_run(struct commander *commander, struct error *error)
{
	struct mail *mail = &commander->mail;

	if (!mail_is_due(mail))
		return true;
	if (!store_outcomes(commander, error) || !pg_exec(commander->pg, expire_sql, error) ||
	    (mail->smtp && !claim(commander, error)) || !tidy(commander, error))
		return false;
	mail->look = false;
	return true;
}

void mail_committed(struct commander *commander)
{
	struct mail *mail = &commander->mail;

	free_all(&mail->ended);
	while (mail->claimed) {
		struct mail_sending *sending = mail->claimed;
		struct smtp_outcome outcome = {.error = sending->outcome.error};

		mail->claimed = sending->next;
		if (outcome.error.kind == ERROR_NONE) {
			breaker_asks(&mail->breaker, clock_mono_ms());
			if (smtp_start(mail->smtp, commander->options->smtp_from, sending->recipient,
				       buf_str(&sending->message), sending->message.len_bytes, sending, &outcome.error))
				continue;
		}
		on_done(sending, &outcome);
	}
}

void mail_rolled_back(struct mail *mail)
{
	free_all(&mail->claimed);
	mail->look = true;
}

// ---- what is shown ----

void mail_show_metrics(struct commander *commander)
{
	struct mail *mail = &commander->mail;

	if (!mail->smtp)
		return;
	metric_set(metrics_gauge(commander->metrics, "muster_mail_breaker_state", NULL,
				 "0 closed, 1 half open, 2 open: mails wait"),
		   breaker_state(&mail->breaker, clock_mono_ms()));
	metric_set(
		metrics_gauge(commander->metrics, "muster_mails_under_way", NULL, "Mails on their way to the server"),
		(double)smtp_under_way(mail->smtp));
}

struct json *mail_health(struct mail *mail)
{
	struct json *body = json_new_object();
	int64_t now_ms = clock_mono_ms();

	if (!mail->smtp) {
		json_set_string(body, "state", "off");
		return body;
	}
	enum breaker_state state = breaker_state(&mail->breaker, now_ms);
	json_set_string(body, "state", state == BREAKER_OPEN ? "paused" : "ready");
	json_set_string(body, "breaker", breaker_state_name(state));
	json_set_int(body, "paused_ms", breaker_wait_ms(&mail->breaker, now_ms));
	json_set_int(body, "under_way", (int64_t)smtp_under_way(mail->smtp));
	return body;
}

// ---- making ----

static struct smtp *make_smtp(struct commander *commander, struct error *error)
{
	const struct options *options = commander->options;
	char *password auto_secret = NULL;
	struct smtp_options smtp = {
		.url = options->smtp_url,
		.ca_file = options->smtp_ca_file,
		.plain = !options->smtp_starttls,
		.user = options->smtp_user,
		.timeout_ms = (int)options->smtp_timeout_s * 1000,
		.sends_max = SENDS_MAX,
	};

	if (!options->smtp_from || !strchr(options->smtp_from, '@')) {
		(void)error_set(error, ERROR_INVALID, "smtp.from must be the address that mails come from");
		return NULL;
	}
	if (!options->smtp_user != !options->smtp_password_file) {
		(void)error_set(error, ERROR_INVALID, "smtp.user and smtp.password_file belong together");
		return NULL;
	}
	if (options->smtp_password_file) {
		password = file_read_secret(options->smtp_password_file, PASSWORD_MAX_BYTES, error);
		if (!password)
			return NULL;
	}
	smtp.password = password;
	smtp.helo = strchr(options->smtp_from, '@') + 1;
	return smtp_new(commander->loop, &smtp, on_done, error);
}

void mail_init(struct commander *commander)
{
	struct mail *mail = &commander->mail;
	struct error error = {0};

	breaker_init(&mail->breaker, BREAKER_FAILURES, commander->options->smtp_breaker_open_s * 1000,
		     commander->options->smtp_breaker_open_s * 16000);
	if (!commander->options->smtp_url) {
		log_info("mail.off", "reason", "smtp.url is not set: nobody gets e-mail");
		return;
	}
	mail->smtp = make_smtp(commander, &error);
	if (mail->smtp)
		log_info("mail.on", "server", commander->options->smtp_url, "from", commander->options->smtp_from);
	else
		log_error("mail.off", "error", error.what);
}

void mail_done(struct mail *mail)
{
	smtp_free(mail->smtp, sending_free);
	free_all(&mail->claimed);
	free_all(&mail->ended);
}
