// muster bench: see docs/performance.md.
#include "tools/args.h"
#include "tools/bench/commands.h"
#include "tools/bench/dashboard.h"
#include "tools/bench/enroll.h"
#include "tools/bench/machine.h"
#include "tools/bench/report.h"
#include "tools/bench/revoke.h"
#include "tools/cmd_bench.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECTIONS_MAX 50000
#define ROWS_MAX 4

struct plan {
	struct report_row rows[ROWS_MAX];
	size_t count, devices, ingests;
	bool tls, json;
};

static void add_row(struct plan *plan, bool tls, long connections, const struct uplink_options *common)
{
	struct uplink_options *options = &plan->rows[plan->count++].options;
	*options = *common;
	options->tls = tls;
	options->connections = (size_t)connections;
	plan->tls = plan->tls || tls;
	if (options->connections > plan->devices)
		plan->devices = options->connections;
}

static bool make_plan(const struct args *args, struct plan *plan, struct error *error)
{
	bool quick = args_has(args, "quick");
	const char *transport = args_value(args, "transport");
	long connections, seconds, backlog, ingests;
	if (!args_int(args, "connections", 1, CONNECTIONS_MAX, 0, &connections, error) ||
	    !args_int(args, "ingests", 1, STAGE_INGESTS_MAX, 1, &ingests, error) ||
	    !args_int(args, "seconds", 1, 3600, quick ? 2 : 10, &seconds, error) ||
	    !args_int(args, "backlog", 0, 1000000, quick ? 50000 : 1000000, &backlog, error))
		return false;
	if (transport && strcmp(transport, "plain") != 0 && strcmp(transport, "mtls") != 0 &&
	    strcmp(transport, "both") != 0)
		return error_set(error, ERROR_INVALID, "--transport is plain, mtls or both");
	const struct uplink_options common = {
		.warm_ms = quick ? 1000 : 3000,
		.phase_ms = seconds * 1000,
		.backlog = backlog,
	};
	plan->ingests = (size_t)ingests;
	plan->json = args_has(args, "json");
	for (int tls = 0; tls < 2; tls++) {
		if (transport && strcmp(transport, tls ? "plain" : "mtls") == 0)
			continue;
		add_row(plan, tls, connections > 0 ? connections : 100, &common);
		if (connections == 0 && !quick)
			add_row(plan, tls, 10000, &common);
	}
	return true;
}

static bool run(struct plan *plan, struct error *error)
{
	auto_json struct json *machine = machine_describe();
	const struct stage_options options = {.devices = plan->devices, .ingests = plan->ingests, .tls = plan->tls};
	struct stage *stage cleanup(stage_free_cleanup) = stage_new(&options, error);
	bool ok = true;
	if (!stage)
		return false;
	for (size_t i = 0; i < plan->count; i++) {
		struct report_row *row = &plan->rows[i];
		(void)fprintf(stderr, "%s, %zu connections ...\n", row->options.tls ? "mtls" : "plain",
			      row->options.connections);
		if (!uplink_run(stage, &row->options, &row->result, error)) {
			plan->count = i; // what was measured before is still told
			ok = false;
		}
	}
	if (!plan->json) {
		report_print(machine, plan->rows, plan->count);
		return ok;
	}
	auto_json struct json *report = report_json(machine, plan->rows, plan->count);
	(void)printf("%s\n", json_text(report));
	return ok;
}

int main(int argc, char **argv)
{
	struct error error = {0};
	struct args args = {0};
	struct plan plan = {0};
	const struct args_option *const tables[] = {bench_options};
	(void)signal(SIGPIPE, SIG_IGN);
	if (argc > 1 && strcmp(argv[1], "revoke") == 0)
		return revoke_main(argc - 2, argv + 2);
	if (argc > 1 && strcmp(argv[1], "commands") == 0)
		return commands_main(argc - 2, argv + 2);
	if (argc > 1 && strcmp(argv[1], "dashboard") == 0)
		return dashboard_main(argc - 2, argv + 2);
	if (argc > 1 && strcmp(argv[1], "enroll") == 0)
		return enroll_main(argc - 2, argv + 2);
	if (!args_parse(&args, tables, 1, argc - 1, argv + 1, &error) || !make_plan(&args, &plan, &error)) {
		(void)fprintf(stderr, "muster-bench: %s\n  next: muster bench uplink --help\n", error.what);
		return 2;
	}
	if (run(&plan, &error))
		return EXIT_SUCCESS;
	(void)fprintf(stderr, "muster-bench: %s\n", error.what);
	return EXIT_FAILURE;
}
