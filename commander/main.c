#include "commander/commander.h"
#include "commander/options.h"

#include "common/daemon.h"
#include "common/log.h"
#include "common/mqtt.h"

#include <stdlib.h>

static bool run(const struct options *options, struct error *error)
{
	struct commander *commander = calloc(1, sizeof(*commander)); // the inbox makes it large
	bool ok;

	if (!commander)
		return error_set(error, ERROR_FAILED, "out of memory");
	ok = commander_init(commander, options, error);
	if (ok) {
		log_info("commander.started", "version", MUSTER_VERSION);
		ok = loop_run(commander->loop, error);
		daemon_stopping();
		log_info("commander.stopped", "reason", ok ? "signal" : error->what);
	}
	commander_done(commander);
	free(commander);
	return ok;
}

int main(int argc, char **argv)
{
	struct options options;
	const struct daemon daemon = {
		.name = "muster-commander",
		.summary = "Signs commands, sends them to devices and closes them with what the devices report.",
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
		log_error("commander.failed", "error", error.what);
	mqtt_library_cleanup();
	config_done(&options_table, &options);
	return ok ? 0 : 1;
}
