// muster-bridge: brings devices in. Today that is enrolment over HTTPS: a device sends a token and the public key
// that it made, and gets a certificate.

#include "bridge/options.h"
#include "bridge/server.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/mqtt.h"


static int run(const struct options *options)
{
	struct error error = {.kind = ERROR_NONE};
	auto_loop struct loop *loop = loop_new(&error);
	struct server server;

	if (!loop || !loop_stop_on_signals(loop, &error) || !server_init(&server, loop, options, &error)) {
		log_error("start.failed", "error", error.what, "where", error.where[0] ? error.where : NULL);
		return 1;
	}
	log_info("start", "address", options->listen_address, "port", log_number(http_server_port(server.http)));
	daemon_ready();
	bool ok = loop_run(loop, &error);
	daemon_stopping();
	server_done(&server);
	if (!ok)
		log_error("loop.failed", "error", error.what);
	else
		log_info("stop");
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct options options;
	const struct daemon daemon = {
		.name = "muster-bridge",
		.summary = "Enrols devices over HTTPS.",
		.table = &options_table,
		.config = &options,
	};
	int exit_code = 1;

	if (!daemon_start(&daemon, argc, argv, &exit_code))
		return exit_code;
	mqtt_library_init();
	exit_code = run(&options);
	mqtt_library_cleanup();
	config_done(&options_table, &options);
	return exit_code;
}
