#include "tools/bench/uplink.h"

#include "common/clock.h"

#include <poll.h>
#include <string.h>

#define AHEAD_MAX 20000 // published and not delivered: what the broker may have to queue
#define DRAIN_TIMEOUT_MS 300000
#define MILLION 1e6

struct run {
	struct stage *stage;
	const struct uplink_options *options;
	struct uplink_result *out;
	struct load *load;
	const _Atomic int64_t *delivered;
};

static struct load *connect_all(const struct run *run, int port, struct error *error)
{
	const struct load_options options = {
		.port = port,
		.connections = run->options->connections,
		.tls = run->options->tls ? stage_tls(run->stage) : NULL,
		.certificate = stage_certificate,
		.user = run->stage,
	};
	return load_new(&options, error);
}

// As many as go through: first to warm up, then to measure.
static bool flat_out(struct run *run, const _Atomic int64_t *delivered, double *per_s, struct error *error)
{
	struct load_phase phase = {
		.duration_ms = run->options->warm_ms,
		.delivered = delivered,
		.ahead_max = AHEAD_MAX,
	};
	struct load_result result;
	if (!load_run(run->load, &phase, &result, error))
		return false;
	phase.duration_ms = run->options->phase_ms;
	if (!load_run(run->load, &phase, &result, error))
		return false;
	*per_s = (double)result.delivered / result.elapsed_s;
	return true;
}

// What the generator reaches when nothing but itself limits it.
static bool measure_generator(struct run *run, struct error *error)
{
	if (!stage_peer_start(run->stage, peer_sink, run->options->tls, error))
		return false;
	run->load = connect_all(run, stage_sink_port(run->stage), error);
	bool ok = run->load && flat_out(run, NULL, &run->out->generator_per_s, error);
	load_free(steal(run->load));
	stage_peer_stop(run->stage);
	return ok || error_prefix(error, "the null sink");
}

static bool measure_limit(struct run *run, struct error *error)
{
	if (!stage_peer_start(run->stage, peer_count, run->options->tls, error))
		return false;
	bool ok = flat_out(run, run->delivered, &run->out->limit_per_s, error) &&
		  load_drain(run->load, run->delivered, DRAIN_TIMEOUT_MS, error);
	stage_peer_stop(run->stage);
	return ok || error_prefix(error, "the broker's limit");
}

// Ingest counts from its own start, and so does load_restart.
static bool start_ingest(struct run *run, struct error *error)
{
	return stage_ingest_start(run->stage, run->options->tls, error) &&
	       stage_peer_start(run->stage, peer_watch, false, error);
}

static void stop_ingest(struct run *run)
{
	stage_peer_stop(run->stage);
	stage_ingest_stop(run->stage);
}

static bool measure_committed(struct run *run, struct error *error)
{
	struct uplink_result *out = run->out;
	struct stage_usage before, after;
	int64_t rows_before, bytes_before, wal_before, rows, bytes, wal;
	stage_usage(run->stage, &before);
	int64_t published = load_published(run->load);
	int64_t transactions = atomic_load(&stage_board(run->stage)->transactions);
	if (!stage_database_rows(run->stage, &rows_before, &bytes_before, &wal_before, error) ||
	    !flat_out(run, run->delivered, &out->committed_per_s, error) ||
	    !load_drain(run->load, run->delivered, DRAIN_TIMEOUT_MS, error))
		return error_prefix(error, "committed throughput");
	stage_usage(run->stage, &after);
	if (!stage_database_rows(run->stage, &rows, &bytes, &wal, error))
		return false;
	double messages = (double)(load_published(run->load) - published);
	out->ingest_cpu_s = (after.ingest_s - before.ingest_s) / messages * MILLION;
	out->database_cpu_s = (after.database_s - before.database_s) / messages * MILLION;
	out->broker_cpu_s = (after.broker_s - before.broker_s) / messages * MILLION;
	transactions = atomic_load(&stage_board(run->stage)->transactions) - transactions;
	out->batch = transactions > 0 ? messages / (double)transactions : 0;
	out->db_bytes = (double)(bytes - bytes_before) / messages;
	out->wal_bytes = (double)(wal - wal_before) / messages;
	return true;
}

static bool measure_latency(struct run *run, struct error *error)
{
	const double rates[UPLINK_RATES] = {1000, 10000, 0.8 * run->out->limit_per_s};
	for (int i = 0; i < UPLINK_RATES; i++) {
		const struct load_phase phase = {
			.rate = rates[i],
			.duration_ms = run->options->phase_ms,
			.delivered = run->delivered,
			.answers = true,
		};
		struct load_result result;
		struct uplink_latency *latency = &run->out->latency[i];
		if (!load_run(run->load, &phase, &result, error) ||
		    !load_drain(run->load, run->delivered, DRAIN_TIMEOUT_MS, error))
			return error_prefix(error, "latency at %.0f/s", rates[i]);
		latency->rate = rates[i];
		latency->committed_per_s = (double)result.delivered / result.elapsed_s;
		latency->time = result.latency;
		latency->unanswered = result.unanswered;
	}
	return true;
}

// Ingest is away, its session stays, the broker queues; then it comes back.
static bool measure_backlog(struct run *run, struct error *error)
{
	struct stage_usage usage;
	struct load_result ignored;
	const struct load_phase phase = {
		.messages = run->options->backlog,
		.ahead_max = AHEAD_MAX,
	};
	if (run->options->backlog == 0)
		return true;
	run->out->messages += load_published(run->load);
	stop_ingest(run);
	if (!load_restart(run->load, error) || !load_run(run->load, &phase, &ignored, error))
		return error_prefix(error, "making the backlog");
	int64_t published = load_published(run->load);
	int64_t begin_ms = clock_mono_ms();
	if (!start_ingest(run, error))
		return false;
	while (atomic_load(run->delivered) < published) {
		if (clock_mono_ms() - begin_ms > DRAIN_TIMEOUT_MS)
			return error_set(error, ERROR_TIMEOUT, "the backlog was not drained within %d s",
					 DRAIN_TIMEOUT_MS / 1000);
		if (!load_drain(run->load, NULL, 1, error))
			return false;
		(void)poll(NULL, 0, 10);
	}
	run->out->backlog = published;
	run->out->backlog_per_s = (double)published / ((double)(clock_mono_ms() - begin_ms) / 1000);
	stage_usage(run->stage, &usage);
	run->out->backlog_rss_bytes = usage.ingest_rss_bytes;
	return true;
}

static bool measure_ingest(struct run *run, struct error *error)
{
	struct stage_usage usage;
	int64_t bytes, wal;
	if (!load_restart(run->load, error) || !start_ingest(run, error) || !measure_committed(run, error) ||
	    !measure_latency(run, error))
		return false;
	stage_usage(run->stage, &usage);
	run->out->rss_bytes = usage.ingest_rss_bytes;
	if (!measure_backlog(run, error))
		return false;
	if (run->out->backlog_rss_bytes > run->out->rss_bytes)
		run->out->rss_bytes = run->out->backlog_rss_bytes;
	stop_ingest(run);
	run->out->messages += load_published(run->load);
	if (!stage_database_rows(run->stage, &run->out->rows, &bytes, &wal, error))
		return false;
	return run->out->rows == run->out->messages ||
	       error_set(error, ERROR_FAILED, "%lld messages were published and %lld are in the database",
			 (long long)run->out->messages, (long long)run->out->rows);
}

bool uplink_run(struct stage *stage, const struct uplink_options *options, struct uplink_result *out,
		struct error *error)
{
	struct run run = {
		.stage = stage,
		.options = options,
		.out = out,
		.delivered = &stage_board(stage)->delivered,
	};
	memset(out, 0, sizeof(*out));
	if (!measure_generator(&run, error) || !stage_database_clear(stage, error) ||
	    !stage_broker_start(stage, options->tls, error))
		return false;
	run.load = connect_all(&run, stage_device_port(stage, options->tls), error);
	bool ok = run.load && measure_limit(&run, error) && measure_ingest(&run, error);
	load_free(run.load);
	stage_peer_stop(stage);
	stage_ingest_stop(stage);
	stage_broker_stop(stage);
	return ok;
}
