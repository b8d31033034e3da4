// muster bench: hands over to muster-bench, so that nobody carries the load generator who does not use it.
#include "tools/cmd_bench.h"

#include "tools/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct args_option bench_options[] = {
	{"transport", "KIND", "plain, mtls or both (default: both)"},
	{"connections", "N", "devices connected at a time (default: one run with 100, one with 10000)"},
	{"seconds", "N", "length of each measurement (default: 10)"},
	{"ingests", "N", "so many share the broker's messages, 1 or 2 (default: 1)"},
	{"backlog", "N", "messages that wait when ingest comes back; 0: leave it out (default: 1000000)"},
	{"quick", NULL, "under a minute: 100 connections, 2 seconds, a backlog of 50000"},
	{"json", NULL, "for programs: JSON on stdout"},
	{NULL, NULL, NULL},
};

const struct args_option bench_revoke_options[] = {
	{"devices", "N", "connected ones (default: 1000)"},
	{"json", NULL, "for programs: JSON on stdout"},
	{NULL, NULL, NULL},
};

const struct args_option bench_enroll_options[] = {
	{"connections", "N", "kept alive, for heartbeats (default: 256)"},
	{"seconds", "N", "length of each measurement of heartbeats (default: 10)"},
	{"enrollments", "N", "devices that are enrolled (default: 2000)"},
	{"json", NULL, "for programs: JSON on stdout"},
	{NULL, NULL, NULL},
};

const struct args_option bench_commands_options[] = {
	{"devices", "N", "of a campaign (default: 5000)"},
	{"campaigns", "N", "one after the other (default: 3)"},
	{"singles", "N", "commands one by one (default: 1000)"},
	{"sign", NULL, "the devices sign their results, and commander verifies them"},
	{"wakes", "N", "commands to agents that sleep, each woken by a push; 0: leave it out (default: 100)"},
	{"agents", "N", "that sleep (default: 8)"},
	{"push-simulator", "PROGRAM", "the push service, as tools/bench/simulator.h says (default: that of the tests)"},
	{"json", NULL, "for programs: JSON on stdout"},
	{NULL, NULL, NULL},
};

const struct args_option bench_dashboard_options[] = {
	{"devices", "N", "of the fleet (default: 100000)"},
	{"streams", "N", "open pages that are told of changes; 0: leave them out (default: 1000)"},
	{"json", NULL, "for programs: JSON on stdout"},
	{NULL, NULL, NULL},
};

// verb NULL: none is handed over.
static int hand_over(struct cli *cli, const char *verb)
{
	struct error error = {0};
	size_t at = 0;
	char program[STACK_PATH_MAX + 16];
	(void)snprintf(program, sizeof(program), "%s/muster-bench", cli->stack.bin);
	auto_free char **argv = calloc((size_t)cli->argc, sizeof(*argv)); // "bench uplink" go, NULL comes
	if (!argv)
		return CLI_FAILED;
	argv[at++] = program;
	if (verb)
		argv[at++] = (char *)verb;
	memcpy(argv + at, cli->argv + 3, (size_t)(cli->argc - 3) * sizeof(*argv));
	(void)fflush(NULL);
	(void)execv(program, argv);
	error_errno(&error, errno, "cannot execute %s", program);
	return cli_fail(cli, &error, "build everything: ./muster test does");
}

static int uplink_run(struct cli *cli)
{
	return hand_over(cli, NULL);
}

static int revoke_run(struct cli *cli)
{
	return hand_over(cli, "revoke");
}

static int enroll_run(struct cli *cli)
{
	return hand_over(cli, "enroll");
}

static int dashboard_run(struct cli *cli)
{
	return hand_over(cli, "dashboard");
}

static int commands_run(struct cli *cli)
{
	return hand_over(cli, "commands");
}

const struct cli_verb cmd_bench[] = {
	{"bench", "uplink", NULL, 0, 0, "measure telemetry from publish to COMMIT on this machine", bench_options,
	 uplink_run},
	{"bench", "revoke", NULL, 0, 0, "measure how soon a revoked device is cut on this machine",
	 bench_revoke_options, revoke_run},
	{"bench", "enroll", NULL, 0, 0, "measure enrolment, and heartbeats over HTTP until COMMIT, on this machine",
	 bench_enroll_options, enroll_run},
	{"bench", "commands", NULL, 0, 0, "measure commands from the request to the stored result on this machine",
	 bench_commands_options, commands_run},
	{"bench", "dashboard", NULL, 0, 0, "measure the page with a large fleet on this machine",
	 bench_dashboard_options, dashboard_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
