// A real PostgreSQL on a private port in a private folder.
#pragma once

#include "tests/unit/support/process.h"

struct postgres {
	char data[128];
	char log[128];
	int port;
	pid_t pid;
};

static const char *const postgres_bin = "/usr/lib/postgresql/15/bin";

static inline bool postgres_start(struct postgres *postgres)
{
	char program[128];
	char port[16];
	char sockets[160];
	(void)snprintf(program, sizeof(program), "%s/postgres", postgres_bin);
	(void)snprintf(port, sizeof(port), "%d", postgres->port);
	(void)snprintf(sockets, sizeof(sockets), "unix_socket_directories=%s", postgres->data);
	const char *argv[] = {program,
			      "-D",
			      postgres->data,
			      "-p",
			      port,
			      "-c",
			      sockets,
			      "-c",
			      "fsync=off",
			      "-c",
			      "listen_addresses=127.0.0.1",
			      "-c",
			      "shared_buffers=16MB",
			      NULL};
	postgres->pid = process_start(argv, postgres->log, SIGQUIT);
	if (postgres->pid > 0 && process_listening(postgres->pid, postgres->port))
		return true;
	process_show(postgres->log);
	return false;
}

// The superuser is "muster", without a password, on 127.0.0.1 only.
static inline bool postgres_init(struct postgres *postgres, const char *folder)
{
	char program[128];
	(void)snprintf(postgres->data, sizeof(postgres->data), "%s/data", folder);
	(void)snprintf(postgres->log, sizeof(postgres->log), "%s/postgres.log", folder);
	(void)snprintf(program, sizeof(program), "%s/initdb", postgres_bin);
	process_hand_over(folder);
	const char *argv[] = {program, "-A",	      "trust",	   "-U", "muster",	 "-E",
			      "UTF8",  "--no-locale", "--no-sync", "-D", postgres->data, NULL};
	pid_t pid = process_start(argv, postgres->log, SIGKILL);
	if (pid < 0 || process_wait(pid) != 0) {
		process_show(postgres->log);
		return false;
	}
	postgres->port = process_free_port();
	return postgres_start(postgres);
}

static inline void postgres_stop(struct postgres *postgres)
{
	process_stop(&postgres->pid, SIGINT); // fast shutdown
}
