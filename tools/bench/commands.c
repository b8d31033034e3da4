#include "tools/bench/commands.h"

#include "common/clock.h"
#include "tools/args.h"
#include "tools/bench/load.h"
#include "tools/bench/machine.h"
#include "tools/bench/obeying.h"
#include "tools/bench/process.h"
#include "tools/bench/stage.h"
#include "tools/cmd_bench.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEVICES_MAX 20000
#define SINGLES_MAX 100000
#define CAMPAIGNS_MAX 20
#define WARM_UP 50
#define STEP_TIMEOUT_MS 120000
#define POLL_MS 5

static const char sql_ask[] =
	"insert into command (device, action, requested_by, source) values ($1, 'ping', 'bench', 'sql') returning id";
static const char sql_limit[] = "insert into command_limit (requester, per_minute) values ('bench', 1000000)";
static const char sql_state[] =
	"select (select state from command where id = $1::text::uuid), exists (select from command_result"
	" where device = $2 and command = $1::text and state = 'succeeded')";
static const char sql_campaign[] =
	"insert into campaign (name, action, ttl_s, created_by) values ('bench', 'ping', 3600, 'bench') returning id";
static const char sql_start[] = "select move_campaign($1, 'start', 'bench')";
static const char sql_progress[] =
	"select state, total, released, succeeded, failed + rejected + expired + cancelled from campaign where id = $1";
static const char sql_check[] =
	"select count(*), count(distinct device), count(*) filter (where state = 'succeeded'),"
	" (select count(*) from command_result r where r.command = any (select id::text from command"
	" where campaign = $1)) from command where campaign = $1";
static const char sql_vacuum[] = "vacuum (analyze) command";

struct campaign_run {
	double elapsed_s, released_s;
	struct stage_usage usage;
};

struct bench {
	struct stage *stage;
	pid_t devices_pid;
	_Atomic bool *ready;
	long devices, singles, campaigns;
	double *stored_ms, *closed_ms;
	struct campaign_run runs[CAMPAIGNS_MAX];
	bool json;
};

static double now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

// ---- the devices ----

static bool start_devices(struct bench *bench, struct error *error)
{
	struct obeying_options options = {
		.port = stage_device_port(bench->stage, true),
		.devices = (size_t)bench->devices,
		.tls = stage_tls(bench->stage),
		.certificate = stage_certificate,
		.user = bench->stage,
		.ready = bench->ready,
	};
	int64_t deadline_ms = clock_mono_ms() + STEP_TIMEOUT_MS;
	bench->devices_pid = process_fork(error);
	if (bench->devices_pid < 0)
		return false;
	if (bench->devices_pid == 0) {
		struct error failure = {0};
		obeying_run(&options, &failure);
		(void)fprintf(stderr, "muster-bench: %s\n", failure.what);
		_exit(1);
	}
	while (!atomic_load(bench->ready)) {
		if (waitpid(bench->devices_pid, NULL, WNOHANG) != 0) {
			bench->devices_pid = 0;
			return error_set(error, ERROR_FAILED, "the devices could not connect");
		}
		if (clock_mono_ms() > deadline_ms)
			return error_set(error, ERROR_TIMEOUT, "the devices are not connected");
		(void)poll(NULL, 0, POLL_MS);
	}
	return true;
}

// ---- one by one ----

static void take_note(void *user, const char *channel, const char *payload)
{
	bool *heard = user;
	*heard = true;
}

// Sleeps until ingest or commander have committed something. It may have come in with the answer to the last query, and
// then the socket has nothing more to say.
static bool wait_news(struct pg *pg, struct error *error)
{
	struct pollfd watch = {.fd = pg_fd(pg), .events = POLLIN};
	bool heard = false;
	if (!pg_notifications(pg, take_note, &heard, error) || heard)
		return heard;
	if (poll(&watch, 1, STEP_TIMEOUT_MS) <= 0)
		return error_set(error, ERROR_TIMEOUT, "a command is not answered");
	return pg_notifications(pg, take_note, &heard, error);
}

static bool ask_once(struct bench *bench, long number, double *stored_ms, double *closed_ms, struct error *error)
{
	struct pg *pg = stage_database(bench->stage);
	auto_pg_result struct pg_result *made = NULL;
	char device[LOAD_DEVICE_BYTES];
	double start_ms = now_ms();
	*stored_ms = 0;
	(void)snprintf(device, sizeof(device), LOAD_DEVICE_FORMAT, (size_t)(number % bench->devices));
	if (!PG_QUERY(pg, &made, error, sql_ask, device))
		return false;
	for (;;) {
		auto_pg_result struct pg_result *state = NULL;
		if (!PG_QUERY(pg, &state, error, sql_state, pg_text(made, 0, 0), device))
			return false;
		if (*stored_ms <= 0 && pg_bool(state, 0, 1))
			*stored_ms = now_ms() - start_ms;
		if (strcmp(pg_text(state, 0, 0), "succeeded") == 0) {
			*closed_ms = now_ms() - start_ms;
			return true;
		}
		if (strcmp(pg_text(state, 0, 0), "rejected") == 0)
			return error_set(error, ERROR_FAILED, "device %s: a command was rejected", device);
		if (!wait_news(pg, error))
			return error_prefix(error, "device %s, %s", device, pg_text(state, 0, 0));
	}
}

static bool ask_singly(struct bench *bench, struct error *error)
{
	double ignored[2];
	if (!pg_exec(stage_database(bench->stage), sql_limit, error) ||
	    !pg_exec(stage_database(bench->stage), "listen muster_result; listen muster_command", error))
		return false;
	for (long i = 0; i < WARM_UP; i++) {
		if (!ask_once(bench, i, &ignored[0], &ignored[1], error))
			return false;
	}
	for (long i = 0; i < bench->singles; i++) {
		if (!ask_once(bench, i * 7, &bench->stored_ms[i], &bench->closed_ms[i], error))
			return false;
	}
	return pg_exec(stage_database(bench->stage), "unlisten *", error);
}

// ---- campaigns ----

static bool check_campaign(struct bench *bench, const char *id, struct error *error)
{
	auto_pg_result struct pg_result *found = NULL;
	if (!PG_QUERY(stage_database(bench->stage), &found, error, sql_check, id))
		return false;
	if (pg_int(found, 0, 0) == bench->devices && pg_int(found, 0, 1) == bench->devices &&
	    pg_int(found, 0, 2) == bench->devices && pg_int(found, 0, 3) == 2 * bench->devices)
		return true;
	return error_set(error, ERROR_FAILED, "of %ld devices %s have a command, %s succeeded, with %s results",
			 bench->devices, pg_text(found, 0, 1), pg_text(found, 0, 2), pg_text(found, 0, 3));
}

static void subtract(struct stage_usage *usage, const struct stage_usage *before)
{
	usage->commander_s -= before->commander_s;
	usage->ingest_s -= before->ingest_s;
	usage->database_s -= before->database_s;
	usage->broker_s -= before->broker_s;
}

static bool run_campaign(struct bench *bench, struct campaign_run *run, struct error *error)
{
	struct pg *pg = stage_database(bench->stage);
	auto_pg_result struct pg_result *made = NULL;
	struct stage_usage before;
	if (!pg_exec(pg, sql_vacuum, error) || !pg_query(pg, &made, error, sql_campaign, 0, NULL))
		return false;
	const char *id = pg_text(made, 0, 0);
	stage_usage(bench->stage, &before);
	double start_ms = now_ms();
	if (!PG_QUERY(pg, NULL, error, sql_start, id))
		return false;
	for (;;) {
		auto_pg_result struct pg_result *progress = NULL;
		if (!PG_QUERY(pg, &progress, error, sql_progress, id))
			return false;
		if (run->released_s <= 0 && pg_int(progress, 0, 2) == bench->devices)
			run->released_s = (now_ms() - start_ms) / 1000;
		if (pg_int(progress, 0, 3) == bench->devices)
			break;
		if (pg_int(progress, 0, 4) > 0 || now_ms() - start_ms > STEP_TIMEOUT_MS)
			return error_set(error, ERROR_FAILED,
					 "the campaign is %s: of %s targets %s are released and %s done",
					 pg_text(progress, 0, 0), pg_text(progress, 0, 1), pg_text(progress, 0, 2),
					 pg_text(progress, 0, 3));
		(void)poll(NULL, 0, POLL_MS);
	}
	run->elapsed_s = (now_ms() - start_ms) / 1000;
	stage_usage(bench->stage, &run->usage);
	subtract(&run->usage, &before);
	return check_campaign(bench, id, error);
}

// ---- the report ----

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return (x > y) - (x < y);
}

static double percentile(const double *sorted, long count, double share)
{
	return count > 0 ? sorted[(long)(share * (double)(count - 1) + 0.5)] : 0;
}

static void print(const struct bench *bench)
{
	(void)printf(
		"%ld commands one by one, in ms: result stored p50 %.1f, p99 %.1f; closed p50 %.1f, p99 %.1f, max "
		"%.1f\n",
		bench->singles, percentile(bench->stored_ms, bench->singles, 0.5),
		percentile(bench->stored_ms, bench->singles, 0.99), percentile(bench->closed_ms, bench->singles, 0.5),
		percentile(bench->closed_ms, bench->singles, 0.99), percentile(bench->closed_ms, bench->singles, 1));
	for (long i = 0; i < bench->campaigns; i++) {
		const struct campaign_run *run = &bench->runs[i];
		double each_us = 1e6 / (double)bench->devices;
		(void)printf("campaign to %ld devices: %.2f s, %.0f commands/s; requested within %.2f s; CPU in us a "
			     "command:"
			     " commander %.0f, database %.0f, ingest %.0f, broker %.0f\n",
			     bench->devices, run->elapsed_s, (double)bench->devices / run->elapsed_s, run->released_s,
			     run->usage.commander_s * each_us, run->usage.database_s * each_us,
			     run->usage.ingest_s * each_us, run->usage.broker_s * each_us);
	}
}

static struct json *report(const struct bench *bench)
{
	struct json *json = json_new_object();
	struct json *campaigns = json_new_array();
	json_set(json, "machine", machine_describe());
	json_set_int(json, "singles", bench->singles);
	json_set_double(json, "stored_p50_ms", percentile(bench->stored_ms, bench->singles, 0.5));
	json_set_double(json, "stored_p99_ms", percentile(bench->stored_ms, bench->singles, 0.99));
	json_set_double(json, "closed_p50_ms", percentile(bench->closed_ms, bench->singles, 0.5));
	json_set_double(json, "closed_p99_ms", percentile(bench->closed_ms, bench->singles, 0.99));
	json_set_double(json, "closed_max_ms", percentile(bench->closed_ms, bench->singles, 1));
	json_set_int(json, "devices", bench->devices);
	for (long i = 0; i < bench->campaigns; i++) {
		const struct campaign_run *run = &bench->runs[i];
		struct json *one = json_new_object();
		json_set_double(one, "elapsed_s", run->elapsed_s);
		json_set_double(one, "commands_per_s", (double)bench->devices / run->elapsed_s);
		json_set_double(one, "requested_s", run->released_s);
		json_set_double(one, "commander_cpu_s", run->usage.commander_s);
		json_set_double(one, "database_cpu_s", run->usage.database_s);
		json_set_double(one, "ingest_cpu_s", run->usage.ingest_s);
		json_set_double(one, "broker_cpu_s", run->usage.broker_s);
		json_append(campaigns, one);
	}
	json_set(json, "campaigns", campaigns);
	return json;
}

// ---- all together ----

static bool measure(struct bench *bench, struct error *error)
{
	(void)fprintf(stderr, "%ld devices ...\n", bench->devices);
	if (!stage_broker_start(bench->stage, true, error) || !stage_ingest_start(bench->stage, true, error) ||
	    !stage_commander_start(bench->stage, error) || !start_devices(bench, error) || !ask_singly(bench, error))
		return false;
	qsort(bench->stored_ms, (size_t)bench->singles, sizeof(double), by_size);
	qsort(bench->closed_ms, (size_t)bench->singles, sizeof(double), by_size);
	for (long i = 0; i < bench->campaigns; i++) {
		if (!run_campaign(bench, &bench->runs[i], error))
			return error_prefix(error, "campaign %ld", i + 1);
	}
	return true;
}

static bool run(struct bench *bench, struct error *error)
{
	const struct stage_options options = {.devices = (size_t)bench->devices, .ingests = 1, .tls = true};
	bench->stored_ms = calloc((size_t)bench->singles + 1, sizeof(double));
	bench->closed_ms = calloc((size_t)bench->singles + 1, sizeof(double));
	bench->ready = mmap(NULL, sizeof(*bench->ready), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bench->ready == MAP_FAILED)
		bench->ready = NULL;
	if (!bench->stored_ms || !bench->closed_ms || !bench->ready)
		return error_set(error, ERROR_FAILED, "no memory");
	bench->stage = stage_new(&options, error);
	return bench->stage && measure(bench, error);
}

static void bench_done(struct bench *bench)
{
	process_stop(&bench->devices_pid, SIGKILL, 0);
	stage_free(bench->stage);
	free(bench->stored_ms);
	free(bench->closed_ms);
	if (bench->ready)
		(void)munmap((void *)bench->ready, sizeof(*bench->ready));
}

int commands_main(int argc, char **argv)
{
	struct error error = {0};
	struct args args = {0};
	struct bench bench cleanup(bench_done) = {.devices = 0};
	const struct args_option *const tables[] = {bench_commands_options};
	if (!args_parse(&args, tables, 1, argc, argv, &error) ||
	    !args_int(&args, "devices", 1, DEVICES_MAX, 5000, &bench.devices, &error) ||
	    !args_int(&args, "singles", 1, SINGLES_MAX, 1000, &bench.singles, &error) ||
	    !args_int(&args, "campaigns", 0, CAMPAIGNS_MAX, 3, &bench.campaigns, &error)) {
		(void)fprintf(stderr, "muster-bench: %s\n  next: muster bench commands --help\n", error.what);
		return 2;
	}
	bench.json = args_has(&args, "json");
	if (!run(&bench, &error)) {
		(void)fprintf(stderr, "muster-bench: %s\n", error.what);
		return EXIT_FAILURE;
	}
	if (!bench.json) {
		print(&bench);
		return EXIT_SUCCESS;
	}
	auto_json struct json *json = report(&bench);
	(void)printf("%s\n", json_text(json));
	return EXIT_SUCCESS;
}
