// muster-sim: thousands of simulated devices in one process, for demonstrations, benchmarks and fault tests.

#include "common/log.h"
#include "common/mqtt.h"
#include "tools/sim/options.h"
#include "tools/sim/swarm.h"

#include <signal.h>
#include <stdio.h>

static int run(const struct options *options)
{
	struct error error = {.kind = ERROR_NONE};
	struct swarm swarm;
	bool complete = false;

	if (!swarm_init(&swarm, options, &error)) {
		log_error("start.failed", "error", error.what);
		return 1;
	}
	bool ok = swarm_run(&swarm, &complete, &error);
	swarm_print_summary(&swarm, stdout);
	if (!ok)
		log_error("run.failed", "error", error.what);
	swarm_done(&swarm);
	// Without a limit there is nothing to complete: being told to end is a good end, unless a drain was asked for.
	bool must_complete = options->limit > 0 || options->drain_s > 0;
	return ok && (complete || !must_complete) ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct options options;
	struct error error = {.kind = ERROR_NONE};

	switch (options_parse(argc, argv, &options, &error)) {
	case OPTIONS_HELP:
		options_print_help(stdout);
		return 0;
	case OPTIONS_VERSION:
		printf("muster-sim %s\n", MUSTER_VERSION);
		return 0;
	case OPTIONS_BAD:
		(void)fprintf(stderr, "muster-sim: %s\nTry 'muster-sim --help'.\n", error.what);
		return 2;
	case OPTIONS_GO:
		break;
	}
	log_init("muster-sim", LOG_INFO);
	(void)signal(SIGPIPE, SIG_IGN);
	mqtt_library_init();
	int exit_code = run(&options);
	mqtt_library_cleanup();
	return exit_code;
}
