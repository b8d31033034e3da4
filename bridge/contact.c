#include "bridge/contact.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/limits.h"
#include "common/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define uthash_fatal(text) abort() // as wherever memory runs out
#include <uthash.h>

#define SWEEP_MS 1000
#define SWEEP_MAX 1000 // devices in one question
#define ORDER_MS 1000  // how fine the order in the table is
#define SAY_TIMES 3    // signs of life of a device that only polls, within the time after which it is offline

// Of devices that come over HTTP and are held for online: whether the database heard of them from anybody lately. A
// device that comes rarely says so by interval_s in its hello.
static const char sql_silent[] =
	"select device, last_seen < now() - make_interval(secs => greatest($2::integer, 3 * coalesce(interval_s, 0)))"
	" from device_state where device = any ($1::text[]) and presence = 'online'"
	" and exists (select from bearer b where b.device = device_state.device and b.revoked_at is null)";
static const char sql_online[] =
	"select s.device from device_state s where s.presence = 'online'"
	" and exists (select from bearer b where b.device = s.device and b.revoked_at is null) limit $1::integer";

struct contact {
	char device[DEVICE_ID_MAX + 1];
	int64_t seen_ms; // monotonic
	int64_t said_ms; // monotonic: the last sign of life that ingest got
	int64_t session; // numbers this stay (docs/protocol.md section 2)
	UT_hash_handle hh; // in the order of seen_ms
};

struct contacts {
	struct contacts_options options;
	struct loop_timer *timer;
	struct contact *table;
	int64_t offline_ms;
	bool asking;
	struct metric *gauge;
	struct log_fault fault;
};

struct question {
	struct worker_job job;
	struct contacts *contacts;
	struct buf devices; // text[]
	struct pg_result *rows;
};

// ---- the table ----
// The macros of uthash count as the code of whoever uses them.
// NOLINTBEGIN(readability-function-cognitive-complexity,readability-function-size)

static struct contact *find(const struct contacts *contacts, const char *device)
{
	struct contact *contact = NULL;

	HASH_FIND_STR(contacts->table, device, contact);
	return contact;
}

// As the last in the order.
static void enter(struct contacts *contacts, struct contact *contact)
{
	contact->seen_ms = clock_mono_ms();
	HASH_ADD_STR(contacts->table, device, contact);
}

static void leave(struct contacts *contacts, struct contact *contact)
{
	HASH_DEL(contacts->table, contact);
}

// NOLINTEND(readability-function-cognitive-complexity,readability-function-size)

static struct contact *add(struct contacts *contacts, const char *device)
{
	struct contact *contact = NULL;

	if (HASH_COUNT(contacts->table) >= CONTACTS_MAX || !(contact = calloc(1, sizeof(*contact))))
		return NULL;
	(void)snprintf(contact->device, sizeof(contact->device), "%s", device);
	contact->session = clock_wall_ms();
	enter(contacts, contact);
	return contact;
}

// ---- saying ----

static bool say(struct contacts *contacts, const char *device, int64_t session, bool online)
{
	char topic[TOPIC_MAX_BYTES];
	char number[24];
	const struct mqtt_property properties[] = {{"session", number}, {"why", "will"}};
	const char *payload = online ? "online" : "offline";
	struct mqtt_publish message = {
		.topic = topic,
		.payload = payload,
		.payload_bytes = strlen(payload),
		.qos = 1,
		.retain = true,
		.properties = properties,
		.property_count = online ? 1 : 2,
	};

	(void)snprintf(number, sizeof(number), "%" PRId64, session);
	return topic_build(topic, TOPIC_STATUS, device, NULL) && link_ready(contacts->options.link) &&
	       link_publish(contacts->options.link, &message, NULL, NULL);
}

void contacts_seen(struct contacts *contacts, const char *device, bool reports)
{
	struct contact *contact = find(contacts, device);
	int64_t now_ms = clock_mono_ms();
	bool said = reports;

	if (contact && now_ms - contact->seen_ms >= ORDER_MS) {
		leave(contacts, contact);
		enter(contacts, contact);
	} else if (!contact) {
		contact = add(contacts, device);
		if (!contact)
			return;
		said = false; // it came online: commander looks what waits for it
	}
	if (!said && (contact->said_ms == 0 || now_ms - contact->said_ms >= contacts->offline_ms / SAY_TIMES))
		said = say(contacts, device, contact->session, true);
	if (said)
		contact->said_ms = now_ms;
}

// ---- silence ----

static void question_free(struct question *question)
{
	pg_result_free(question->rows);
	buf_done(&question->devices);
	free(question);
}

static bool silent_run(struct worker_job *job, struct pg *pg, struct error *error)
{
	struct question *question = (struct question *)job;
	char seconds[24];

	(void)snprintf(seconds, sizeof(seconds), "%" PRId64, question->contacts->offline_ms / 1000);
	return PG_QUERY(pg, &question->rows, error, sql_silent, buf_str(&question->devices), seconds);
}

// Nothing is known of those asked for: they are looked at again later.
static void take_back(struct contacts *contacts, const char *devices)
{
	char device[DEVICE_ID_MAX + 1];

	for (const char *at = devices + 1; *at && *at != '}';) {
		size_t len = strcspn(at, ",}");

		(void)snprintf(device, sizeof(device), "%.*s", (int)len, at);
		if (!find(contacts, device))
			(void)add(contacts, device);
		at += len + (at[len] == ',' ? 1 : 0);
	}
}

// Asked for and still not seen: with "offline" it is no more ours, without it is looked at again later.
static void silent_done(struct worker_job *job, bool ok, const struct error *error)
{
	struct question *question = (struct question *)job;
	struct contacts *contacts = question->contacts;

	contacts->asking = false;
	if (ok) {
		log_fault_over(&contacts->fault, "silence.unknown");
	} else {
		log_fault(&contacts->fault, "silence.unknown", error);
		take_back(contacts, buf_str(&question->devices));
	}
	for (size_t i = 0; ok && i < pg_rows(question->rows); i++) {
		const char *device = pg_text(question->rows, i, 0);

		if (find(contacts, device))
			continue; // it came meanwhile
		if (!pg_bool(question->rows, i, 1) || !say(contacts, device, clock_wall_ms(), false))
			(void)add(contacts, device);
	}
	metric_set(contacts->gauge, (double)HASH_COUNT(contacts->table));
	question_free(question);
}

static struct question *question_new(struct contacts *contacts)
{
	struct question *question = calloc(1, sizeof(*question));

	if (!question)
		return NULL;
	question->contacts = contacts;
	buf_init(&question->devices, SWEEP_MAX * (DEVICE_ID_MAX + 1) + 2);
	return question;
}

// Takes the silent ones out of the table and into the question.
static size_t gather(struct contacts *contacts, int64_t silent_ms, struct buf *devices)
{
	size_t count = 0;

	for (int i = 0; i < SWEEP_MAX && contacts->table && contacts->table->seen_ms <= silent_ms; i++) {
		struct contact *contact = contacts->table;

		if (contacts->options.here(contact->device, contacts->options.user)) {
			contacts_seen(contacts, contact->device, false);
			continue;
		}
		(void)buf_add_str(devices, count++ == 0 ? "{" : ",");
		(void)buf_add_str(devices, contact->device);
		leave(contacts, contact);
		free(contact);
	}
	(void)buf_add_str(devices, "}");
	return count;
}

static void on_timer(void *user)
{
	struct contacts *contacts = user;
	int64_t silent_ms = clock_mono_ms() - contacts->offline_ms;
	struct question *question = NULL;

	metric_set(contacts->gauge, (double)HASH_COUNT(contacts->table));
	if (contacts->asking || !contacts->table || contacts->table->seen_ms > silent_ms ||
	    !worker_fresh(contacts->options.worker) || !link_ready(contacts->options.link) ||
	    !(question = question_new(contacts)))
		return;
	question->job = (struct worker_job){.run = silent_run, .done = silent_done};
	if (gather(contacts, silent_ms, &question->devices) == 0) {
		question_free(question);
		return;
	}
	contacts->asking = true;
	if (!worker_submit(contacts->options.worker, &question->job)) {
		struct error error = {.kind = ERROR_NONE};

		(void)error_set(&error, ERROR_LIMIT, "too much is asked of the database already");
		silent_done(&question->job, false, &error);
	}
}

// ---- those of another bridge, or of this one before its restart ----

static bool adopt_run(struct worker_job *job, struct pg *pg, struct error *error)
{
	struct question *question = (struct question *)job;
	char limit[16];

	(void)snprintf(limit, sizeof(limit), "%d", CONTACTS_MAX);
	return PG_QUERY(pg, &question->rows, error, sql_online, limit);
}

static void adopt_done(struct worker_job *job, bool ok, const struct error *error)
{
	struct question *question = (struct question *)job;
	struct contacts *contacts = question->contacts;

	for (size_t i = 0; ok && i < pg_rows(question->rows); i++) {
		if (!find(contacts, pg_text(question->rows, i, 0)))
			(void)add(contacts, pg_text(question->rows, i, 0));
	}
	question_free(question);
}

void contacts_adopt(struct contacts *contacts)
{
	struct question *question = question_new(contacts);

	if (!question)
		return;
	question->job = (struct worker_job){.run = adopt_run, .done = adopt_done};
	if (!worker_submit(contacts->options.worker, &question->job))
		question_free(question);
}

// ---- making ----

struct contacts *contacts_new(struct loop *loop, const struct contacts_options *options, struct error *error)
{
	struct contacts *contacts cleanup(contacts_free_cleanup) = calloc(1, sizeof(*contacts));

	if (!contacts) {
		error_errno(error, ENOMEM, "cannot make the table of devices");
		return NULL;
	}
	contacts->options = *options;
	contacts->offline_ms = (int64_t)options->offline_after_s * 1000;
	contacts->gauge = metrics_gauge(options->metrics, "muster_contacts", NULL, "HTTP-only devices that come");
	contacts->timer = loop_timer_new(loop, on_timer, contacts, error);
	if (!contacts->timer)
		return NULL;
	loop_timer_every(contacts->timer, SWEEP_MS);
	return steal(contacts);
}

void contacts_free(struct contacts *contacts)
{
	struct contact *contact = NULL;
	struct contact *next = NULL;

	if (!contacts)
		return;
	HASH_ITER (hh, contacts->table, contact, next) {
		leave(contacts, contact);
		free(contact);
	}
	loop_timer_free(contacts->timer);
	free(contacts);
}
