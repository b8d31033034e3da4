#include "tools/canary/canary.h"
#include "tools/canary/options.h"

#include "common/daemon.h"
#include "common/log.h"
#include "common/mqtt.h"

#include <stdlib.h>

static bool run(const struct options *options, struct error *error)
{
	struct canary *canary = calloc(1, sizeof(*canary));
	bool ok;

	if (!canary)
		return error_set(error, ERROR_FAILED, "out of memory");
	ok = canary_init(canary, options, error);
	if (ok) {
		log_info("canary.started", "version", MUSTER_VERSION);
		daemon_ready(); // it waits for bridge and broker as long as it takes
		ok = loop_run(canary->loop, error);
		daemon_stopping();
		log_info("canary.stopped", "reason", ok ? "signal" : error->what);
	}
	canary_done(canary);
	free(canary);
	return ok;
}

int main(int argc, char **argv)
{
	struct options options;
	const struct daemon daemon = {
		.name = "muster-canary",
		.summary = "Has its own certificate revoked, and tells whether it is cut and let in no more.",
		.table = &options_table,
		.config = &options,
	};
	struct error error = {0};
	int exit_code = 0;
	bool ok;

	if (!daemon_start(&daemon, argc, argv, &exit_code))
		return exit_code;
	mqtt_library_init();
	ok = run(&options, &error);
	if (!ok)
		log_error("canary.failed", "error", error.what);
	mqtt_library_cleanup();
	config_done(&options_table, &options);
	return ok ? 0 : 1;
}
