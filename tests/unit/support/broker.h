// A real Mosquitto on a private port in a private folder.
#pragma once

#include "tests/unit/support/process.h"

struct broker {
	char folder[64];
	int port;
	int tls_port; // 0: none
	pid_t pid;
};

static inline bool broker_start(struct broker *broker)
{
	char config[128];
	char log[128];
	(void)snprintf(config, sizeof(config), "%s/mosquitto.conf", broker->folder);
	(void)snprintf(log, sizeof(log), "%s/mosquitto.log", broker->folder);
	const char *argv[] = {"/usr/sbin/mosquitto", "-c", config, NULL};
	broker->pid = process_start(argv, log, SIGKILL);
	if (broker->pid > 0 && process_listening(broker->pid, broker->port))
		return true;
	process_show(log);
	return false;
}

// With ca.pem, server.pem and server.key in the folder there is a TLS listener too, which asks for certificates.
static inline bool broker_init(struct broker *broker, const char *folder, bool tls)
{
	char path[128];
	(void)snprintf(broker->folder, sizeof(broker->folder), "%s", folder);
	(void)snprintf(path, sizeof(path), "%s/mosquitto.conf", folder);
	broker->port = process_free_port();
	broker->tls_port = tls ? process_free_port() : 0;
	FILE *config = fopen(path, "we");
	if (!config)
		return false;
	(void)fprintf(config,
		      "per_listener_settings false\nallow_anonymous true\nmax_inflight_messages 1000\n"
		      "max_queued_messages 100000\npersistence true\npersistence_location %s/\nlog_dest stdout\n"
		      "listener %d 127.0.0.1\n",
		      folder, broker->port);
	if (tls)
		(void)fprintf(config,
			      "listener %d 127.0.0.1\ncafile %s/ca.pem\ncertfile %s/server.pem\nkeyfile %s/server.key\n"
			      "require_certificate true\n",
			      broker->tls_port, folder, folder, folder);
	(void)fclose(config);
	process_hand_over(folder);
	process_hand_over(path);
	return broker_start(broker);
}

static inline void broker_stop(struct broker *broker)
{
	process_stop(&broker->pid, SIGTERM);
}
