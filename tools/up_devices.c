#include "tools/up.h"

#include "common/file.h"
#include "common/json.h"
#include "tools/account.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKEN_LIFETIME_S 3600
#define SIM_ARGUMENTS_MAX 96
#define SIM_PREFIX "sim-"
#define SIM_READY_MS 500 // each, beside UP_READY_TIMEOUT_MS: a key, a certificate, a TLS handshake
#define HOST_NAME_KEPT 50 // leaves room for a suffix in a device id
#define IDENTITY_MAX_BYTES ((size_t)64 * 1024)

static const char sql_taken[] = "select 1 from device where device = $1";
static const char sql_sims[] = "select count(distinct device) from certificate where device ~ '^" SIM_PREFIX "[0-9]+$'";

// ---- this machine ----

// "Web Server_1.example.org" -> "web-server-1"
static void device_id_of_host(char out[64])
{
	char host[256] = "";
	size_t used = 0;
	(void)gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = '\0';
	for (const char *c = host; *c && used < HOST_NAME_KEPT; c++) {
		if (isalnum((unsigned char)*c))
			out[used++] = (char)tolower((unsigned char)*c);
		else if (used > 0)
			out[used++] = '-';
	}
	out[used] = '\0';
	if (used == 0)
		(void)snprintf(out, 64, "this-machine");
}

static bool name_machine(struct up *up, struct error *error)
{
	auto_pg_result struct pg_result *taken = NULL;
	device_id_of_host(up->machine);
	if (!PG_QUERY(up->admin, &taken, error, sql_taken, up->machine))
		return false;
	if (pg_rows(taken) > 0) { // an agent whose state was deleted had it
		uint16_t random = 0;
		size_t length = strlen(up->machine);
		crypto_random(&random, sizeof(random));
		(void)snprintf(up->machine + length, sizeof(up->machine) - length, "-%04x", random);
	}
	return true;
}

static bool write_token(struct up *up, const char *device, long uses, const char *path, struct error *error)
{
	const struct enrollment enrollment = {.device = device, .uses = uses, .lifetime_s = TOKEN_LIFETIME_S};
	char token[TOKEN_TEXT_BYTES];
	char id[ENROLLMENT_ID_BYTES];
	return enrollment_create(up->admin, &enrollment, token, id, error) &&
	       file_write(path, token, strlen(token), 0600, error);
}

static bool machine_from_identity(struct up *up, const char *path, struct error *error)
{
	size_t length = 0;
	const char *device = NULL;
	auto_free char *text = file_read(path, IDENTITY_MAX_BYTES, &length, error);
	auto_json struct json *identity = text ? json_parse(text, length, error) : NULL;
	if (!identity)
		return error_prefix(error, "%s", path);
	if (!json_member_string(identity, "device", &device))
		return error_set(error, ERROR_INVALID, "%s names no device", path);
	(void)snprintf(up->machine, sizeof(up->machine), "%s", device);
	return true;
}

// The way of any other device: a single-use token, and the agent's own key and request.
static bool enroll_machine(struct up *up, struct error *error)
{
	char program[STACK_PATH_MAX + 32];
	struct stack_path identity = stack_path(&up->stack, "agent/identity.json");
	struct stack_path config = stack_path(&up->stack, "conf/agent.conf");
	struct stack_path token = stack_path(&up->stack, "run/agent-token");
	if (!file_exists(identity.text)) {
		if (!name_machine(up, error) || !write_token(up, up->machine, 1, token.text, error))
			return false;
		(void)snprintf(program, sizeof(program), "%s/muster-agent", up->stack.bin);
		char *const argv[] = {program,	   (char *)"enroll",	   (char *)"--config",
				      config.text, (char *)"--token-file", token.text,
				      NULL};
		const struct part_spec spec = {.name = "enroll",
					       .argv = argv,
					       .stop_signal = SIGTERM,
					       .orphan_signal = SIGKILL,
					       .stage = UP_STAGE_DEVICES,
					       .once = true};
		if (!supervisor_start(up->supervisor, &spec, error) ||
		    !supervisor_wait_end(up->supervisor, "enroll", UP_READY_TIMEOUT_MS, error))
			return false;
		(void)unlink(token.text);
	}
	return machine_from_identity(up, identity.text, error);
}

static bool agent_start(struct up *up, struct error *error)
{
	char program[STACK_PATH_MAX + 32];
	struct stack_path config = stack_path(&up->stack, "conf/agent.conf");
	(void)snprintf(program, sizeof(program), "%s/muster-agent", up->stack.bin);
	char *const argv[] = {program, (char *)"run", (char *)"--config", config.text, NULL};
	const struct part_spec spec = {.name = "agent",
				       .argv = argv,
				       .stop_signal = SIGTERM,
				       .orphan_signal = SIGKILL,
				       .stage = UP_STAGE_DEVICES,
				       .notifies = true};
	return supervisor_start(up->supervisor, &spec, error);
}

// ---- simulated devices ----

// A token for those that have no certificate yet. The file stays: enrolment goes on where a crash interrupted it.
static bool sim_token(struct up *up, const char *path, struct error *error)
{
	auto_pg_result struct pg_result *known = NULL;
	if (!pg_query(up->admin, &known, error, sql_sims, 0, NULL))
		return false;
	int64_t missing = up->sims - pg_int(known, 0, 0);
	if (missing <= 0 && file_exists(path))
		return true;
	return write_token(up, NULL, missing > 0 ? missing : 1, path, error);
}

static bool sims_start(struct up *up, struct error *error)
{
	char program[STACK_PATH_MAX + 32];
	char bridge[64];
	char count[24];
	char interval[24];
	char port[24];
	struct stack_path state = stack_path(&up->stack, "sim");
	struct stack_path ca = stack_path(&up->stack, "ca/service.crt");
	struct stack_path token = stack_path(&up->stack, "sim/token");
	if (!sim_token(up, token.text, error))
		return false;
	(void)snprintf(program, sizeof(program), "%s/muster-sim", up->stack.bin);
	(void)snprintf(bridge, sizeof(bridge), "https://localhost:%d", up->stack.ports[STACK_BRIDGE]);
	(void)snprintf(count, sizeof(count), "%ld", up->sims);
	(void)snprintf(interval, sizeof(interval), "%ld", up->sim_interval_ms);
	(void)snprintf(port, sizeof(port), "%d", up->stack.ports[STACK_DEVICES]);
	const char *argv[SIM_ARGUMENTS_MAX] = {
		program,	 "run",		 "--state",  state.text,   "--bridge", bridge,	   "--ca",
		ca.text,	 "--token-file", token.text, "--count",	   count,      "--prefix", SIM_PREFIX,
		"--interval-ms", interval,	 "--host",   STACK_LISTEN, "--port",   port,	   NULL};
	size_t used = 20;
	const char *extra;
	for (size_t at = 0; (extra = args_next(&up->cli->args, "sim-arg", &at)) && used < SIM_ARGUMENTS_MAX - 1;)
		argv[used++] = extra;
	const struct part_spec spec = {.name = "sim",
				       .argv = (char *const *)argv,
				       .stop_signal = SIGTERM,
				       .orphan_signal = SIGKILL,
				       .stage = UP_STAGE_DEVICES,
				       .notifies = true};
	return supervisor_start(up->supervisor, &spec, error);
}

bool up_devices(struct up *up, struct error *error)
{
	if (up->sims > 0 && !sims_start(up, error))
		return false;
	if (up->agent && (!enroll_machine(up, error) || !agent_start(up, error)))
		return false;
	if (!supervisor_wait_ready(up->supervisor, UP_READY_TIMEOUT_MS + (int)up->sims * SIM_READY_MS, error))
		return false;
	up->devices = up->sims + (up->agent ? 1 : 0);
	up_step(up, "enrolment");
	return true;
}
