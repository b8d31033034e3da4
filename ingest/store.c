#include "ingest/store.h"

#include "common/clock.h"
#include "ingest/binding.h"
#include "ingest/gap.h"
#include "ingest/inlet.h"
#include "ingest/kind.h"
#include "ingest/ledger.h"
#include "ingest/push.h"
#include "ingest/quarantine.h"
#include "ingest/repetition.h"
#include "ingest/state.h"
#include "ingest/status.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The temporary tables are never analysed, and the plans are made once: with these settings each statement walks the
// stage and looks up its rows by index, whatever the planner believes about sizes. The last two free our locks when
// this process is gone or stopped.
#define SESSION_SQL                                                                         \
	"set enable_hashjoin = off; set enable_mergejoin = off; set enable_seqscan = off; " \
	"set enable_bitmapscan = off; set enable_material = off; set jit = off; "           \
	"set plan_cache_mode = force_generic_plan; set synchronous_commit = on; "           \
	"set client_min_messages = warning; "                                               \
	"set client_connection_check_interval = '2s'; set idle_in_transaction_session_timeout = '10s'"

enum { KINDS_MAX = 8 };

// Twins come in flocks, after a reconnect, and meeting one costs a transaction.
enum { CAREFUL_TRANSACTIONS = 16 };

struct store {
	struct pg *pg;
	bool auto_register;
	struct presence *presence;
	struct excess *excess;
	struct binding binding;
	struct copy copy;
	struct summary summary;
	int careful;                    // so many transactions more expect rows that are stored already
	size_t rows[KINDS_MAX];         // of this transaction, by kind
	struct metric *messages[KINDS_MAX];
	struct metric *quarantined, *duplicates, *batches, *rows_total, *commit_seconds, *batch_messages;
};

static void statement_name(char out[32], const char *what, size_t kind)
{
	(void)snprintf(out, 32, "%s_%zu", what, kind);
}

static bool prepare_kind(struct pg *pg, size_t index, struct error *error)
{
	const struct kind *kind = inlet_kind(index);
	char name[32];
	if (!kind->stage_sql)
		return true;
	statement_name(name, "insert", index);
	if (!pg_exec(pg, kind->stage_sql, error) || !pg_prepare(pg, name, kind->insert_sql, error))
		return false;
	statement_name(name, "repeated", index);
	return !kind->repeated_sql || pg_prepare(pg, name, kind->repeated_sql, error);
}

static bool on_connect(struct pg *pg, void *user, struct error *error)
{
	if (!pg_exec(pg, SESSION_SQL, error) || !ledger_prepare(pg, error) || !state_prepare(pg, error) ||
	    !presence_prepare(pg, error) || !binding_prepare(pg, error) || !excess_prepare(pg, error) ||
	    !push_prepare(pg, error))
		return false;
	for (size_t i = 0; i < inlet_kind_count(); i++)
		if (!prepare_kind(pg, i, error))
			return false;
	return true;
}

static void make_metrics(struct store *store, struct metrics *metrics)
{
	for (size_t i = 0; i < inlet_kind_count(); i++) {
		char label[64];
		(void)snprintf(label, sizeof(label), "kind=\"%s\"", topic_kind_name(inlet_kind(i)->topic));
		store->messages[i] = metrics_counter(metrics, "muster_ingest_messages_total", label,
						     "Messages committed, by kind.");
	}
	store->quarantined = metrics_counter(metrics, "muster_ingest_quarantined_total", NULL,
					     "Messages committed to quarantine.");
	store->duplicates = metrics_counter(metrics, "muster_ingest_duplicates_total", NULL,
					    "Rows that were stored already.");
	store->rows_total = metrics_counter(metrics, "muster_ingest_rows_total", NULL,
					    "Rows of telemetry, events, inventories and results taken in.");
	store->batches = metrics_counter(metrics, "muster_ingest_batches_total", NULL, "Transactions committed.");
	store->commit_seconds = metrics_histogram(metrics, "muster_ingest_commit_seconds", NULL,
						  "Time from BEGIN to the end of COMMIT.");
	store->batch_messages = metrics_gauge(metrics, "muster_ingest_batch_messages", NULL,
					      "Messages in the last transaction.");
}

struct store *store_new(const struct store_options *options, struct error *error)
{
	struct store *store = calloc(1, sizeof(*store));
	if (!store) {
		error_errno(error, ENOMEM, "cannot make the store");
		return NULL;
	}
	copy_init(&store->copy);
	summary_init(&store->summary);
	store->auto_register = options->auto_register;
	store->presence = options->presence;
	store->excess = options->excess;
	store->pg = pg_new(options->conninfo, "muster-ingest", error);
	if (!store->pg) {
		store_free(store);
		return NULL;
	}
	pg_on_connect(store->pg, on_connect, store);
	pg_while_waiting(store->pg, options->waiting, options->user);
	make_metrics(store, options->metrics);
	binding_init(&store->binding, options->mismatch_max, options->metrics);
	return store;
}

void store_free(struct store *store)
{
	if (!store)
		return;
	pg_free(store->pg);
	copy_done(&store->copy);
	summary_done(&store->summary);
	free(store);
}

bool store_connect(struct store *store, struct error *error)
{
	return pg_ready(store->pg, error);
}

bool store_tell_part(struct store *store, struct part_state *part, const char *why, struct error *error)
{
	return part_state_tell(part, store->pg, why, NULL, error);
}

bool store_connected(const struct store *store)
{
	return pg_connected(store->pg);
}

bool store_sweep_presence(struct store *store, int64_t mono_ms, struct error *error)
{
	return presence_sweep(store->presence, store->pg, mono_ms, error);
}

bool store_tell_sight(struct store *store, struct sight *sight, int64_t now_ms, struct error *error)
{
	return sight_tell(sight, store->pg, now_ms, error);
}

bool store_tell_excess(struct store *store, int64_t mono_ms, struct error *error)
{
	return excess_tell(store->excess, store->pg, mono_ms, error);
}

bool store_sweep_gaps(struct store *store, int64_t lost_after_s, size_t *lost, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	if (!pg_ready(store->pg, error) || !gap_lose(store->pg, lost_after_s, &rows, error))
		return false;
	*lost = pg_rows(rows);
	return true;
}

bool store_clock_jumped(struct store *store, struct error *error)
{
	return pg_ready(store->pg, error) && presence_clamp(store->pg, error);
}

// ---- the steps of one transaction ----

enum outcome {
	COMMITTED,
	FAILED,
	STRANGERS, // some messages were found to be of devices that may not report: once more without them
	TWINS,     // some rows are stored already: once more, carefully
};

// What this transaction takes in, kept to be counted once it is committed.
struct transaction {
	struct message *messages;
	size_t count;
	struct arena *arena;
	size_t repetitions; // rows that the ledger knows to be stored already
	size_t duplicates;  // rows that met their twins
};

static bool says_gone(const struct message *message)
{
	return message->kind == &status_kind && message->count > 0 && !((const struct status *)message->rows)->online;
}

static void refuse_device(struct transaction *transaction, const char *device, const char *reason)
{
	bool unknown = strcmp(reason, "disabled device") != 0;
	for (size_t i = 0; i < transaction->count; i++) {
		struct message *message = &transaction->messages[i];
		if (message->device && strcmp(message->device, device) == 0 && (unknown || !says_gone(message))) {
			message_refuse(message, transaction->arena, reason);
			message->foreign = true;
		}
	}
}

static enum outcome check_devices(struct store *store, struct transaction *transaction, struct error *error)
{
	auto_pg_result struct pg_result *strangers = NULL;
	if (store->summary.device_count == 0)
		return COMMITTED;
	if (!state_stage(&store->copy, store->pg, &store->summary, store->auto_register, &strangers, error))
		return FAILED;
	for (size_t row = 0; row < pg_rows(strangers); row++)
		refuse_device(transaction, store->summary.devices[pg_int(strangers, row, 0)]->device,
			      pg_text(strangers, row, 1));
	return pg_rows(strangers) > 0 ? STRANGERS : COMMITTED;
}

// What an earlier attempt of this batch found does not count: the database may be another one since.
static bool came_before(const struct transaction *transaction, const struct message *message, size_t row)
{
	return transaction->repetitions > 0 && message->stamps[row].again;
}

static void write_rows(struct copy *copy, const struct transaction *transaction, const struct kind *kind,
		       const struct message *message)
{
	for (size_t row = 0; message->kind == kind && !message->refusal && row < message->count; row++)
		if (!came_before(transaction, message, row))
			kind->write(copy, message, row);
}

// By device: neighbours in the table are neighbours in its indexes then, which saves a fifth of the COPY.
static bool copy_rows(struct store *store, const struct transaction *transaction, const struct kind *kind,
		      const char *sql, struct error *error)
{
	if (!copy_start(&store->copy, store->pg, sql, error))
		return false;
	const struct summary *summary = &store->summary;
	for (size_t i = 0; i < summary->device_count; i++)
		for (size_t at = summary->devices[i]->first; at != SUMMARY_END; at = summary->next[at])
			write_rows(&store->copy, transaction, kind, &transaction->messages[at]);
	return copy_end(&store->copy, error);
}

// By way of the temporary table, so that rows stored already are passed over.
static bool insert_staged(struct store *store, struct transaction *transaction, size_t index, struct error *error)
{
	const struct kind *kind = inlet_kind(index);
	auto_pg_result struct pg_result *result = NULL;
	char name[32];
	if (!copy_rows(store, transaction, kind, kind->copy_sql, error))
		return false;
	statement_name(name, "insert", index);
	if (!pg_run(store->pg, &result, error, name, 0, NULL))
		return false;
	size_t stored_before = store->rows[index] - pg_affected(result);
	if (!kind->repeated_sql || stored_before == 0)
		return true;
	transaction->duplicates += stored_before;
	statement_name(name, "repeated", index);
	return pg_run(store->pg, NULL, error, name, 0, NULL);
}

static size_t count_rows(const struct transaction *transaction, const struct kind *kind)
{
	size_t rows = 0;
	for (size_t i = 0; i < transaction->count; i++) {
		const struct message *message = &transaction->messages[i];
		if (message->kind != kind || message->refusal)
			continue;
		rows += message->count;
		for (size_t row = 0; transaction->repetitions > 0 && row < message->count; row++)
			rows -= came_before(transaction, message, row);
	}
	return rows;
}

static bool insert_kind(struct store *store, struct transaction *transaction, size_t index, struct error *error)
{
	const struct kind *kind = inlet_kind(index);
	size_t rows = count_rows(transaction, kind);
	store->rows[index] = rows;
	if (rows == 0 || !kind->stage_sql)
		return true;
	bool direct = kind->direct_sql && store->careful == 0;
	if (direct ? !copy_rows(store, transaction, kind, kind->direct_sql, error)
		   : !insert_staged(store, transaction, index, error))
		return false;
	return !kind->notify_sql || pg_exec(store->pg, kind->notify_sql, error);
}

static bool insert_all(struct store *store, struct transaction *transaction, struct error *error)
{
	for (size_t i = 0; i < inlet_kind_count(); i++)
		if (!insert_kind(store, transaction, i, error))
			return false;
	return store->summary.refused == 0 ||
	       quarantine_store(&store->copy, store->pg, transaction->messages, transaction->count, error);
}

static enum outcome run_transaction(struct store *store, struct transaction *transaction, struct error *error)
{
	struct summary *summary = &store->summary;
	struct presence_params params;
	summary_make(summary, transaction->messages, transaction->count);
	if (!pg_begin(store->pg, error))
		return FAILED;
	enum outcome checked = check_devices(store, transaction, error);
	if (checked != COMMITTED)
		return checked;
	// The order of locks: ledger rows first, all in order, then the inserts that may meet their twins.
	if (!ledger_lock(&store->copy, store->pg, summary, error) ||
	    !repetition_find(&store->copy, store->pg, summary, transaction->messages, transaction->count,
			     &transaction->repetitions, error) ||
	    !insert_all(store, transaction, error) || !ledger_close_gaps(&store->copy, store->pg, summary, error))
		return FAILED;
	if (summary->hellos > 0 &&
	    (!binding_check(&store->binding, store->pg, transaction->messages, transaction->count, error) ||
	     !push_store(store->pg, transaction->messages, transaction->count, error)))
		return FAILED;
	presence_params(store->presence, clock_mono_ms(), &params);
	if (summary->device_count > 0 &&
	    (!state_update(store->pg, summary, &params, error) || !pg_exec(store->pg, "notify muster_state", error)))
		return FAILED;
	return pg_commit(store->pg, error) ? COMMITTED : FAILED;
}

static void count_transaction(struct store *store, const struct transaction *transaction, int64_t started_ms)
{
	for (size_t i = 0; i < transaction->count; i++) {
		const struct message *message = &transaction->messages[i];
		for (size_t k = 0; k < inlet_kind_count() && !message->refusal; k++)
			if (message->kind == inlet_kind(k))
				metric_add(store->messages[k], 1);
	}
	for (size_t k = 0; k < inlet_kind_count(); k++)
		if (inlet_kind(k)->stage_sql)
			metric_add(store->rows_total, (double)store->rows[k]);
	metric_add(store->quarantined, (double)store->summary.refused);
	if (store->summary.hellos > 0)
		binding_committed(&store->binding);
	metric_add(store->duplicates, (double)(transaction->repetitions + transaction->duplicates));
	metric_add(store->batches, 1);
	metric_set(store->batch_messages, (double)transaction->count);
	metric_observe(store->commit_seconds, (double)(clock_mono_ms() - started_ms) / 1000);
}

static bool meets_twins(struct store *store, const struct error *error)
{
	if (store->careful > 0 || !pg_sqlstate_is(error, "23505"))
		return false;
	store->careful = CAREFUL_TRANSACTIONS;
	return true;
}

static bool commit_range(struct store *store, struct transaction transaction, struct error *error)
{
	int64_t started_ms = clock_mono_ms();
	enum outcome outcome;
	do {
		transaction.duplicates = 0;
		outcome = run_transaction(store, &transaction, error);
		if (outcome != COMMITTED)
			pg_rollback(store->pg);
		if (outcome == FAILED && meets_twins(store, error))
			outcome = TWINS;
	} while (outcome == STRANGERS || outcome == TWINS); // fewer devices each time; twins once
	if (outcome != COMMITTED)
		return false;
	count_transaction(store, &transaction, started_ms);
	excess_count(store->excess, &store->summary, clock_mono_ms());
	if (transaction.duplicates > 0)
		store->careful = CAREFUL_TRANSACTIONS;
	else if (store->careful > 0)
		store->careful--;
	return true;
}

// A message that the database refuses even as a quarantine row, first with and then without its place in the ledger,
// must not stop all others.
static bool isolate(struct message *message, struct arena *arena, const struct error *error)
{
	if (!message->refusal) {
		message_refuse(message, arena, error->what);
		return true;
	}
	if (message->count > 0) {
		message->count = 0;
		return true;
	}
	return false;
}

bool store_batch(struct store *store, struct batch *batch, store_committed_fn *committed, void *user,
		 struct error *error)
{
	size_t size = batch->count - batch->done;
	while (batch->done < batch->count) {
		size_t left = batch->count - batch->done;
		struct transaction transaction = {
			.messages = batch->messages + batch->done,
			.count = size < left ? size : left,
			.arena = &batch->arena,
		};
		struct error local = {0};
		if (!pg_ready(store->pg, error) || !presence_extend(store->presence, store->pg, error))
			return false;
		if (commit_range(store, transaction, &local)) {
			batch->done += transaction.count;
			if (store->summary.held)
				presence_held(store->presence, clock_mono_ms());
			committed(user, &store->summary, transaction.messages, transaction.count);
			size *= 2;
			continue;
		}
		bool isolated = pg_error_is_data(&local);
		if (isolated && transaction.count > 1)
			size = transaction.count / 2;
		else if (isolated)
			isolated = isolate(transaction.messages, transaction.arena, &local);
		if (!isolated) {
			if (error)
				*error = local;
			return false;
		}
	}
	return true;
}
