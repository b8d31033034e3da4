#include "tools/bench/waking.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "tools/bench/asking.h"
#include "tools/bench/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define AGENT_FORMAT "sleeper-%ld"
#define NAME_BYTES 32
#define CONFIG_MAX_BYTES ((size_t)8192)
#define STEP_TIMEOUT_MS 60000
#define POLL_MS 20
#define STAY_S "1"

// Single-use; what a token is made of does not matter to the bridge.
static const char sql_token[] =
	"insert into enrollment_token (token_hash, id, device, uses_left, created_by, expires_at)"
	" values (sha256(convert_to($1, 'UTF8')), $2, $2, 1, 'bench', now() + interval '1 hour')";
static const char sql_asleep[] =
	"select exists (select from device_state s join device_push p on p.device = s.device"
	" where s.device = $1 and s.presence = 'offline' and s.presence_why = 'sleep')";
static const char sql_steps[] =
	"select extract(epoch from (select min(d.started_at) from fcm_dispatch d where d.command = c.id)"
	" - c.created_at) * 1000, extract(epoch from (select min(e.received_at) from event e where e.device = c.device"
	" and e.type = 'presence.online' and e.received_at > c.created_at) - c.created_at) * 1000,"
	" extract(epoch from (select e.at from command_event e where e.command = c.id and e.state = 'accepted')"
	" - c.created_at) * 1000 from command c where c.id = $1::text::uuid";

const char *waking_step_name(enum waking_step step)
{
	static const char *const names[] = {"pushed", "contact", "accepted", "stored", "closed"};
	return names[step];
}

static void name_of(long number, char out[NAME_BYTES])
{
	(void)snprintf(out, NAME_BYTES, AGENT_FORMAT, number);
}

// ---- agents ----

static bool write_config(const struct stack *stack, const char *name, struct error *error)
{
	auto_buf struct buf text = {0};
	struct stack_path path = stack_path(stack, "agents/%s/agent.conf", name);
	buf_init(&text, CONFIG_MAX_BYTES);
	buf_addf(&text,
		 "state_dir = \"%s\";\n"
		 "bridge = { url = \"https://localhost:%d\"; ca_file = \"%s/ca/service.crt\"; };\n"
		 "connection = { mode = \"on_demand\"; stay_s = " STAY_S "; };\ninterval_s = 3600;\n",
		 stack_path(stack, "agents/%s", name).text, stack->ports[STACK_BRIDGE], stack->root);
	return file_mkdirs(stack_path(stack, "agents/%s", name).text, 0700, error) &&
	       file_write(path.text, buf_str(&text), text.len_bytes, 0600, error);
}

static pid_t start_agent(const struct stack *stack, const char *name, const char *verb, const char *option,
			 const char *value, struct error *error)
{
	char program[STACK_PATH_MAX + 32];
	struct stack_path config = stack_path(stack, "agents/%s/agent.conf", name);
	char *argv[] = {program,        (char *)verb,  (char *)"--config", config.text,
			(char *)option, (char *)value, NULL};
	(void)snprintf(program, sizeof(program), "%s/muster-agent", stack->bin);
	return process_start(stack, name, argv, SIGKILL, error);
}

static bool agent_does(const struct stack *stack, const char *name, const char *verb, const char *option,
		       const char *value, struct error *error)
{
	int status = -1;
	pid_t pid = start_agent(stack, name, verb, option, value, error);
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return pid > 0 && (status == 0 || process_failed(stack, name, error));
}

// The token of its push service is its name.
static bool enroll(struct stage *stage, const char *name, struct error *error)
{
	const struct stack *stack = stage_stack(stage);
	struct stack_path token = stack_path(stack, "agents/%s/token", name);
	char secret[64];
	int len_bytes = snprintf(secret, sizeof(secret), "bench-%037d-%.10s", 0, name);
	return write_config(stack, name, error) &&
	       PG_QUERY(stage_database(stage), NULL, error, sql_token, secret, name) &&
	       file_write(token.text, secret, (size_t)len_bytes, 0600, error) &&
	       agent_does(stack, name, "enroll", "--token-file", token.text, error) &&
	       agent_does(stack, name, "push-token", "--token", name, error);
}

// ---- the way from the push service to the devices ----

// What on a device the push service's own library does: hands on what came.
static bool start_waker(struct stage *stage, struct simulator *simulator, pid_t *pid, struct error *error)
{
	const struct stack *stack = stage_stack(stage);
	char name[NAME_BYTES];
	*pid = process_fork(error);
	if (*pid != 0)
		return *pid > 0;
	(void)signal(SIGCHLD, SIG_IGN); // nobody waits for those that wake
	while (simulator_next(simulator, name, sizeof(name))) {
		struct error failure = {0};
		if (start_agent(stack, name, "wake", NULL, NULL, &failure) <= 0)
			(void)fprintf(stderr, "muster-bench: %s\n", failure.what);
	}
	_exit(0);
}

static bool write_push_config(const struct stack *stack, struct simulator *simulator, struct buf *config,
			      struct error *error)
{
	struct stack_path credentials = stack_path(stack, "keys/push.json");
	struct stack_path ca = stack_path(stack, "ca/push.crt");
	const char *text = simulator_credentials(simulator);
	buf_addf(config,
		 "fcm: { credentials_file = \"%s\"; endpoint = \"%s\"; ca_file = \"%s\"; device_per_hour = 10000; };\n",
		 credentials.text, simulator_endpoint(simulator), ca.text);
	return file_write(credentials.text, text, strlen(text), 0600, error) &&
	       file_write(ca.text, simulator_ca(simulator), strlen(simulator_ca(simulator)), 0644, error);
}

// ---- the measurement ----

static bool wait_asleep(struct pg *pg, const char *name, struct error *error)
{
	int64_t deadline_ms = clock_mono_ms() + STEP_TIMEOUT_MS;
	for (;;) {
		auto_pg_result struct pg_result *found = NULL;
		if (!PG_QUERY(pg, &found, error, sql_asleep, name))
			return false;
		if (pg_bool(found, 0, 0))
			return true;
		if (clock_mono_ms() > deadline_ms)
			return error_set(error, ERROR_TIMEOUT, "%s does not sleep", name);
		(void)poll(NULL, 0, POLL_MS);
	}
}

static bool take_steps(struct pg *pg, const char *id, long round, struct waking *waking, struct error *error)
{
	auto_pg_result struct pg_result *found = NULL;
	if (!PG_QUERY(pg, &found, error, sql_steps, id))
		return false;
	for (size_t step = WAKING_PUSHED; step <= WAKING_ACCEPTED; step++) {
		const char *text = pg_text(found, 0, step);
		if (!text)
			return error_set(error, ERROR_FAILED, "command %s was never %s", id, waking_step_name(step));
		waking->times_ms[step][round] = strtod(text, NULL);
	}
	return true;
}

static bool measure(struct stage *stage, struct waking *waking, struct error *error)
{
	struct pg *pg = stage_database(stage);
	if (!asking_begin(pg, error))
		return false;
	for (long round = -waking->agents; round < waking->rounds; round++) { // the first is for learning the way
		struct asking asking;
		char name[NAME_BYTES];
		name_of((round + waking->agents) % waking->agents, name);
		if (!wait_asleep(pg, name, error) || !asking_once(pg, name, &asking, error))
			return false;
		if (round < 0)
			continue;
		if (!take_steps(pg, asking.id, round, waking, error))
			return false;
		waking->times_ms[WAKING_STORED][round] = asking.stored_ms;
		waking->times_ms[WAKING_CLOSED][round] = asking.closed_ms;
	}
	for (size_t step = 0; step < WAKING_STEPS; step++)
		asking_sort(waking->times_ms[step], waking->rounds);
	return asking_end(pg, error);
}

static bool start_all(struct stage *stage, struct simulator *simulator, long agents, pid_t *pids, struct error *error)
{
	auto_buf struct buf config = {0};
	char name[NAME_BYTES];
	buf_init(&config, CONFIG_MAX_BYTES);
	stage_commander_stop(stage);
	if (!stage_bridge_start(stage, error) ||
	    !write_push_config(stage_stack(stage), simulator, &config, error) ||
	    !stage_commander_start(stage, buf_str(&config), error))
		return false;
	for (long i = 0; i < agents; i++) {
		name_of(i, name);
		if (!enroll(stage, name, error))
			return error_prefix(error, "%s", name);
		pids[i] = start_agent(stage_stack(stage), name, "run", NULL, NULL, error);
		if (pids[i] <= 0)
			return false;
	}
	return true;
}

bool waking_run(struct stage *stage, struct simulator *simulator, struct waking *waking, struct error *error)
{
	pid_t agents[WAKING_AGENTS_MAX] = {0};
	pid_t waker = 0;
	for (size_t step = 0; step < WAKING_STEPS; step++) {
		waking->times_ms[step] = calloc((size_t)waking->rounds + 1, sizeof(double));
		if (!waking->times_ms[step])
			return error_errno(error, ENOMEM, "cannot begin");
	}
	bool ok = start_waker(stage, simulator, &waker, error) &&
		  start_all(stage, simulator, waking->agents, agents, error) && measure(stage, waking, error);
	for (long i = 0; i < waking->agents; i++)
		process_stop(&agents[i], SIGKILL, 0);
	process_stop(&waker, SIGKILL, 0);
	stage_bridge_stop(stage);
	return ok;
}

void waking_done(struct waking *waking)
{
	for (size_t step = 0; step < WAKING_STEPS; step++)
		free(waking->times_ms[step]);
}
