#include "common/daemon.h"
#include "common/log.h"
#include "common/mqtt.h"
#include "ingest/ingest.h"

#include <stdlib.h>

static void config_cleanup(struct options *options)
{
	config_done(&options_table, options);
}

static bool run(const struct options *options, struct error *error)
{
	int signal_fd auto_close = daemon_signal_fd(error);
	if (signal_fd < 0)
		return false;
	struct ingest *ingest cleanup(ingest_free_cleanup) = ingest_new(options, signal_fd, error);
	if (!ingest)
		return false;
	log_info("started", "version", MUSTER_VERSION, "broker", options->broker_host, "port",
		 log_number(options->broker_port));
	daemon_ready();
	bool ok = ingest_run(ingest, error);
	daemon_stopping();
	return ok;
}

int main(int argc, char **argv)
{
	struct options options cleanup(config_cleanup) = {0};
	const struct daemon daemon = {"muster-ingest", "Stores what devices report, exactly once, in PostgreSQL.",
				      &options_table, &options};
	struct error error = {0};
	int exit_code;
	if (!daemon_start(&daemon, argc, argv, &exit_code))
		return exit_code;
	mqtt_library_init();
	bool ok = run(&options, &error);
	if (ok)
		log_info("stopped");
	else
		log_error("failed", "error", error.what, "where", error.where);
	mqtt_library_cleanup();
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
