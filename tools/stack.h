// The local stack: PostgreSQL, the broker, the daemons, an agent and simulated devices, all in one state folder.
// Each step of `muster up` has a file of its own, stack_<step>.c; supervisor.h keeps the processes.
#pragma once

#include "common/error.h"
#include "common/json.h"
#include "common/pg.h"
#include "common/pki.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define STACK_ROOT_MAX 84	 // so that <root>/run/.s.PGSQL.5432.lock fits sockaddr_un (108 bytes)
#define STACK_PATH_MAX 384	 // <root> or the folder of the programs, and a name below it
#define STACK_LISTEN "127.0.0.1" // a local stack is for this machine; devices elsewhere need the packages
#define STACK_ADMIN "admin"	 // the account of whoever runs the stack

enum stack_port {
	STACK_DEVICES,
	STACK_SERVICES,
	STACK_WEBSOCKETS,
	STACK_DASHBOARD,
	STACK_BRIDGE,
	STACK_INGEST_METRICS,
	STACK_COMMANDER_METRICS,
	STACK_CANARY_METRICS,
	STACK_CONSOLE,
	STACK_PORTS, // how many
};

struct stack {
	char root[STACK_PATH_MAX]; // the state folder, absolute, without symbolic links
	char bin[STACK_PATH_MAX];  // folder of the running program, where the others are too
	int ports[STACK_PORTS];	   // 0: not chosen yet
	bool moved[STACK_PORTS];   // the port of the last run, or the usual one, was taken
	int held[STACK_PORTS];	   // sockets that keep the ports from other stacks; 0: none
};

struct stack_path {
	char text[STACK_PATH_MAX];
};
// A path in the state folder: stack_path(stack, "log/%s.log", part).text lives to the end of the expression.
struct stack_path stack_path(const struct stack *stack, const char *format, ...) __attribute__((format(printf, 2, 3)));

// ---- stack_state.c: the folder, who owns it, who runs in it ----

// dir NULL: $MUSTER_STATE, then .muster. The folder need not exist.
bool stack_resolve(struct stack *stack, const char *dir, struct error *error) must_check;
// There is a state folder that `muster up` has made.
bool stack_exists(const struct stack *stack);
// As root: takes on the ids of the folder's owner for good. Otherwise nothing.
bool stack_become_owner(const struct stack *stack, struct error *error) must_check;
// Makes the folder and those in it, as its owner.
bool stack_prepare(const struct stack *stack, struct error *error) must_check;
// The process id of the supervisor that runs in this folder; 0: none.
pid_t stack_supervisor(const struct stack *stack);
// What the supervisor last wrote into run/up.json.
struct json *stack_status(const struct stack *stack, struct error *error) must_check;
// Takes a lock that all processes of the stack inherit. False (ERROR_TIMEOUT) when others still hold it after
// timeout_ms. *fd is to be kept open, and is not close-on-exec.
bool stack_hold(const struct stack *stack, int timeout_ms, int *fd, struct error *error) must_check;
// Deletes the folder, what it links to, and the link.
bool stack_delete(const struct stack *stack, const char *dir, struct error *error) must_check;

// ---- stack_root.c: started as root ----

// PostgreSQL refuses root: finds the user to be, gives the folder to that user (or moves it where that user can
// reach it), puts the programs into <state>/bin and executes the copy with the same arguments. Returns on failure only.
void stack_hand_over(struct stack *stack, int argc, char **argv, struct error *error);

// ---- stack_ports.c ----

const char *stack_port_name(enum stack_port port); // "devices"
// From an earlier run; leaves zeros when there is none.
bool stack_ports_load(struct stack *stack, struct error *error) must_check;
// Keeps those of the earlier run, moves what is taken, chooses the rest, and saves them. any: not the usual ones
// but random ones below the kernel's ephemeral range, so that no outgoing connection can take them between restarts.
// No other stack chooses them until stack_ports_release, or the end of the process.
bool stack_ports_choose(struct stack *stack, bool any, struct error *error) must_check;
void stack_ports_release(struct stack *stack);

// ---- stack_agents.c ----

// Brings the packages of the agent for Android, as far as they were built, into <state>/agents, from where bridge and
// dashboard give them out.
bool stack_agents_copy(const struct stack *stack, struct error *error) must_check;

// ---- stack_database.c ----

bool stack_database_exists(const struct stack *stack);
// malloc'd conninfo for one of the database's roles, on database dbname.
char *stack_conninfo(const struct stack *stack, const char *role, const char *dbname);
// Program and arguments of initdb into pg.new/, and of the server. Elements belong to the array; stack_argv_free.
char **stack_initdb_argv(const struct stack *stack);
char **stack_postgres_argv(const struct stack *stack);
void stack_argv_free(char **argv);
// pg.new/ becomes pg/.
bool stack_database_adopt(const struct stack *stack, struct error *error) must_check;
// Configuration of the server, written at each start.
bool stack_database_configure(const struct stack *stack, struct error *error) must_check;
// Takes away the lock files of a server that is gone, when its process id has another owner by now.
bool stack_database_cure(const struct stack *stack, struct error *error) must_check;
// Makes the database if there is none, and migrates it.
bool stack_database_migrate(const struct stack *stack, struct error *error) must_check;

// ---- stack_identity.c ----

// CAs, certificates and the signing key; renews what ran two thirds of its life, and what another than the current
// service CA has issued.
bool stack_identity_files(const struct stack *stack, struct error *error) must_check;
// A new key and certificate of the servers, whatever the age of the present one.
bool stack_identity_server(const struct stack *stack, struct error *error) must_check;
// A certificate by the service CA ("svc.x", "op.x"), into <prefix>.crt and <prefix>.key.
bool stack_identity_client(const struct stack *stack, const char *name, const char *prefix,
			   struct error *error) must_check;
// <prefix>.crt by the service CA that issues now, anew each time, for <prefix>.key, which is made if there is none.
bool stack_identity_issue(const struct stack *stack, const struct pki_subject *subject, const char *prefix,
			  struct error *error) must_check;
// The administrator's account and its API token.
bool stack_identity_account(const struct stack *stack, struct pg *pg, struct error *error) must_check;

// https://localhost:<port>/login#<token>, which logs in once. malloc'd.
char *stack_login_link(const struct stack *stack, struct pg *pg, const char *user, long lifetime_s,
		       struct error *error) must_check;

// ---- stack_broker.c, stack_config.c ----

bool stack_broker_configure(const struct stack *stack, struct error *error) must_check;
bool stack_config_write(const struct stack *stack, struct error *error) must_check;
