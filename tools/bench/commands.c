#include "tools/bench/commands.h"

#include "common/clock.h"
#include "common/key.h"
#include "tools/args.h"
#include "tools/bench/asking.h"
#include "tools/bench/load.h"
#include "tools/bench/machine.h"
#include "tools/bench/obeying.h"
#include "tools/bench/process.h"
#include "tools/bench/simulator.h"
#include "tools/bench/stage.h"
#include "tools/bench/waking.h"
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
#define WAKES_MAX 10000
#define WARM_UP 50
#define STEP_TIMEOUT_MS 120000
#define POLL_MS 5

static const char sql_campaign[] =
	"insert into campaign (name, action, ttl_s, created_by) values ('bench', 'ping', 3600, 'bench') returning id";
static const char sql_start[] = "select move_campaign($1, 'start', 'bench')";
static const char sql_progress[] =
	"select state, total, released, succeeded, failed + rejected + expired + cancelled from campaign where id = $1";
static const char sql_check[] =
	"select count(*), count(distinct device), count(*) filter (where state = 'succeeded'),"
	" (select count(*) from command_result r where r.command = any (array(select id::text from command"
	" where campaign = $1)) and r.verdict = $2) from command where campaign = $1";
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
	struct evp_pkey_st *key; // NULL: results are not signed
	struct simulator *simulator; // NULL: nobody is woken
	struct waking waking;
	bool sign, json;
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
		.key = bench->key,
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

static bool ask_singly(struct bench *bench, struct error *error)
{
	struct pg *pg = stage_database(bench->stage);
	if (!asking_begin(pg, error))
		return false;
	for (long i = -WARM_UP; i < bench->singles; i++) {
		struct asking asking;
		char device[LOAD_DEVICE_BYTES];
		(void)snprintf(device, sizeof(device), LOAD_DEVICE_FORMAT,
			       (size_t)((i + WARM_UP) * 7 % bench->devices));
		if (!asking_once(pg, device, &asking, error))
			return false;
		if (i < 0)
			continue;
		bench->stored_ms[i] = asking.stored_ms;
		bench->closed_ms[i] = asking.closed_ms;
	}
	return asking_end(pg, error);
}

// ---- campaigns ----

static bool check_campaign(struct bench *bench, const char *id, struct error *error)
{
	auto_pg_result struct pg_result *found = NULL;
	if (!PG_QUERY(stage_database(bench->stage), &found, error, sql_check, id,
		      bench->sign ? "verified" : "unsigned"))
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

static void print_wakes(const struct waking *waking)
{
	(void)printf("%ld commands to %ld agents that sleep, in ms from the request:", waking->rounds, waking->agents);
	for (size_t step = 0; step < WAKING_STEPS; step++)
		(void)printf("%s %s p50 %.1f, p99 %.1f", step > 0 ? ";" : "", waking_step_name(step),
			     asking_percentile(waking->times_ms[step], waking->rounds, 0.5),
			     asking_percentile(waking->times_ms[step], waking->rounds, 0.99));
	(void)printf("\n");
}

static void print(const struct bench *bench)
{
	(void)printf("%ld commands one by one, in ms: result stored p50 %.1f, p99 %.1f; closed p50 %.1f, p99 %.1f, max "
		     "%.1f\n",
		     bench->singles, asking_percentile(bench->stored_ms, bench->singles, 0.5),
		     asking_percentile(bench->stored_ms, bench->singles, 0.99),
		     asking_percentile(bench->closed_ms, bench->singles, 0.5),
		     asking_percentile(bench->closed_ms, bench->singles, 0.99),
		     asking_percentile(bench->closed_ms, bench->singles, 1));
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
	if (bench->simulator)
		print_wakes(&bench->waking);
}

static struct json *wakes_json(const struct waking *waking)
{
	struct json *json = json_new_object();
	json_set_int(json, "agents", waking->agents);
	json_set_int(json, "commands", waking->rounds);
	for (size_t step = 0; step < WAKING_STEPS; step++) {
		char name[32];
		(void)snprintf(name, sizeof(name), "%s_p50_ms", waking_step_name(step));
		json_set_double(json, name, asking_percentile(waking->times_ms[step], waking->rounds, 0.5));
		(void)snprintf(name, sizeof(name), "%s_p99_ms", waking_step_name(step));
		json_set_double(json, name, asking_percentile(waking->times_ms[step], waking->rounds, 0.99));
	}
	return json;
}

static struct json *report(const struct bench *bench)
{
	struct json *json = json_new_object();
	struct json *campaigns = json_new_array();
	json_set(json, "machine", machine_describe());
	json_set_int(json, "singles", bench->singles);
	json_set_double(json, "stored_p50_ms", asking_percentile(bench->stored_ms, bench->singles, 0.5));
	json_set_double(json, "stored_p99_ms", asking_percentile(bench->stored_ms, bench->singles, 0.99));
	json_set_double(json, "closed_p50_ms", asking_percentile(bench->closed_ms, bench->singles, 0.5));
	json_set_double(json, "closed_p99_ms", asking_percentile(bench->closed_ms, bench->singles, 0.99));
	json_set_double(json, "closed_max_ms", asking_percentile(bench->closed_ms, bench->singles, 1));
	json_set_int(json, "devices", bench->devices);
	json_set_bool(json, "signed", bench->sign);
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
	if (bench->simulator)
		json_set(json, "wakes", wakes_json(&bench->waking));
	return json;
}

// ---- all together ----

static bool measure(struct bench *bench, struct error *error)
{
	(void)fprintf(stderr, "%ld devices ...\n", bench->devices);
	if (!stage_broker_start(bench->stage, true, error) || !stage_ingest_start(bench->stage, true, error) ||
	    !stage_commander_start(bench->stage, NULL, error) || !start_devices(bench, error) ||
	    !ask_singly(bench, error))
		return false;
	asking_sort(bench->stored_ms, bench->singles);
	asking_sort(bench->closed_ms, bench->singles);
	for (long i = 0; i < bench->campaigns; i++) {
		if (!run_campaign(bench, &bench->runs[i], error))
			return error_prefix(error, "campaign %ld", i + 1);
	}
	process_stop(&bench->devices_pid, SIGKILL, 0);
	if (bench->simulator && !waking_run(bench->stage, bench->simulator, &bench->waking, error))
		return error_prefix(error, "waking");
	return true;
}

// Before the stage, which gives up root: the simulator may be where only root can read.
static bool find_simulator(struct bench *bench, const char *program, struct error *error)
{
	auto_free char *found = program || bench->waking.rounds == 0 ? NULL : simulator_find();
	if (bench->waking.rounds == 0)
		return true;
	if (!program && !found) {
		(void)fprintf(stderr, "waking is not measured: this was not built in a clone, which has a simulated "
				      "push service; --push-simulator names another\n");
		return true;
	}
	bench->simulator = simulator_new(program ? program : found, error);
	return bench->simulator;
}

static bool run(struct bench *bench, const char *simulator, struct error *error)
{
	const struct stage_options options = {
		.devices = (size_t)bench->devices, .ingests = 1, .tls = true, .known = bench->sign};
	bench->stored_ms = calloc((size_t)bench->singles + 1, sizeof(double));
	bench->closed_ms = calloc((size_t)bench->singles + 1, sizeof(double));
	bench->ready = mmap(NULL, sizeof(*bench->ready), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (bench->ready == MAP_FAILED)
		bench->ready = NULL;
	if (!bench->stored_ms || !bench->closed_ms || !bench->ready)
		return error_set(error, ERROR_FAILED, "no memory");
	if (!find_simulator(bench, simulator, error))
		return false;
	bench->stage = stage_new(&options, error);
	if (bench->stage && bench->sign)
		bench->key = stage_key(bench->stage, error);
	return bench->stage && (bench->key || !bench->sign) && measure(bench, error);
}

static void bench_done(struct bench *bench)
{
	process_stop(&bench->devices_pid, SIGKILL, 0);
	stage_free(bench->stage);
	simulator_free(bench->simulator);
	waking_done(&bench->waking);
	key_free(bench->key);
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
	    !args_int(&args, "campaigns", 0, CAMPAIGNS_MAX, 3, &bench.campaigns, &error) ||
	    !args_int(&args, "wakes", 0, WAKES_MAX, 100, &bench.waking.rounds, &error) ||
	    !args_int(&args, "agents", 1, WAKING_AGENTS_MAX, 8, &bench.waking.agents, &error)) {
		(void)fprintf(stderr, "muster-bench: %s\n  next: muster bench commands --help\n", error.what);
		return 2;
	}
	bench.json = args_has(&args, "json");
	bench.sign = args_has(&args, "sign");
	if (!run(&bench, args_value(&args, "push-simulator"), &error)) {
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
