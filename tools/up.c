#include "tools/up.h"

#include "common/clock.h"
#include "common/file.h"
#include "common/http_client.h"
#include "common/limits.h"
#include "tools/account.h"
#include "tools/authority.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINK_LIFETIME_S 900
#define HEALTH_POLL_MS 25

void up_step(struct up *up, const char *name)
{
	int64_t now = clock_mono_ms();
	if (up->step_count < UP_STEPS_MAX)
		up->steps[up->step_count++] = (struct up_step){name, now - up->step_ms};
	up->step_ms = now;
	if (!up->cli->json && isatty(STDERR_FILENO))
		(void)fprintf(stderr, "\r\033[K%s: %.1f s\r", name, (double)(now - up->begin_ms) / 1000);
}

static bool daemon_start(struct up *up, const char *name, enum up_stage stage, struct error *error)
{
	char program[STACK_PATH_MAX + 32];
	char label[32];
	struct stack_path config = stack_path(&up->stack, "conf/%s.conf", name);
	(void)snprintf(program, sizeof(program), "%s/muster-%s", up->stack.bin, name);
	(void)snprintf(label, sizeof(label), "%s", name);
	char *const argv[] = {program, (char *)"--config", config.text, NULL};
	// They are made to survive SIGKILL, so none can outlive the supervisor by being slow.
	const struct part_spec spec = {.name = name,
				       .argv = argv,
				       .stop_signal = SIGTERM,
				       .orphan_signal = SIGKILL,
				       .stage = stage,
				       .notifies = true};
	return supervisor_start(up->supervisor, &spec, error);
}

static bool broker_start(struct up *up, struct error *error)
{
	char program[] = "/usr/sbin/mosquitto";
	struct stack_path config = stack_path(&up->stack, "broker/mosquitto.conf");
	char *const argv[] = {program, (char *)"-c", config.text, NULL};
	// SIGTERM also when orphaned: it saves its sessions.
	const struct part_spec spec = {.name = "broker",
				       .argv = argv,
				       .stop_signal = SIGTERM,
				       .orphan_signal = SIGTERM,
				       .stage = UP_STAGE_BROKER,
				       .notifies = true};
	return supervisor_start(up->supervisor, &spec, error);
}

static bool initdb_start(struct up *up, struct error *error)
{
	char **argv = stack_initdb_argv(&up->stack);
	const struct part_spec spec = {.name = "initdb",
				       .argv = argv,
				       .stop_signal = SIGTERM,
				       .orphan_signal = SIGKILL,
				       .stage = UP_STAGE_DATABASE,
				       .once = true};
	bool ok = supervisor_start(up->supervisor, &spec, error);
	stack_argv_free(argv);
	return ok;
}

static bool before_postgres(void *user, struct error *error)
{
	return stack_database_cure(user, error);
}

static bool postgres_start(struct up *up, struct error *error)
{
	char **argv = stack_postgres_argv(&up->stack);
	// SIGINT: fast shutdown, with a checkpoint and without waiting for clients.
	const struct part_spec spec = {.name = "postgres",
				       .argv = argv,
				       .stop_signal = SIGINT,
				       .orphan_signal = SIGINT,
				       .stage = UP_STAGE_DATABASE,
				       .notifies = true,
				       .before = before_postgres,
				       .user = &up->stack};
	bool ok = supervisor_start(up->supervisor, &spec, error);
	stack_argv_free(argv);
	return ok;
}

// initdb, keys and certificates at once, then the servers.
static bool servers(struct up *up, struct error *error)
{
	struct stack *stack = &up->stack;
	up->first = !stack_database_exists(stack);
	if (up->first && !initdb_start(up, error))
		return false;
	if (!stack_identity_files(stack, error))
		return error_prefix(error, "making keys and certificates");
	if (!stack_agents_copy(stack, error) || !stack_broker_configure(stack, error) ||
	    !stack_config_write(stack, error) || !broker_start(up, error))
		return false;
	up_step(up, "keys and certificates");
	if (up->first && (!supervisor_wait_end(up->supervisor, "initdb", UP_READY_TIMEOUT_MS, error) ||
			  !stack_database_adopt(stack, error)))
		return false;
	if (!stack_database_configure(stack, error) || !postgres_start(up, error) ||
	    !supervisor_wait_ready(up->supervisor, UP_READY_TIMEOUT_MS, error))
		return false;
	if (!stack_database_migrate(stack, error)) {
		up->next = "run the version that made this database; ./muster reset deletes its data and starts from "
			   "nothing";
		return false;
	}
	auto_free char *conninfo = stack_conninfo(stack, "muster_admin", "muster");
	up->admin = pg_new(conninfo, "muster up", error);
	if (!up->admin || !pg_ready(up->admin, error) || !stack_identity_account(stack, up->admin, error) ||
	    !authority_record(stack, up->admin, error))
		return false;
	up_step(up, "database and broker");
	return true;
}

// A daemon is ready although broker or database are away, because it waits for them as long as it takes. Here they are
// not away, and what devices say before it has subscribed would have to be sent again.
static bool wait_healthy(struct up *up, const char *name, enum stack_port port, struct error *error)
{
	char url[64];
	int status = 0;
	int64_t deadline = clock_mono_ms() + UP_READY_TIMEOUT_MS;
	(void)snprintf(url, sizeof(url), "http://" STACK_LISTEN ":%d", up->stack.ports[port]);
	struct http_client *client cleanup(http_client_free_cleanup) = http_client_new(url, NULL, NULL, error);
	if (!client)
		return false;
	for (;;) {
		struct error ignored;
		auto_buf struct buf answer = {0};
		buf_init(&answer, HTTP_BODY_MAX_BYTES);
		if (http_client_request(client, "GET", "/health", NULL, &status, &answer, &ignored) && status == 200)
			return true;
		if (clock_mono_ms() >= deadline) {
			error_set(error, ERROR_TIMEOUT, "%s is not healthy after %d s: %.200s", name,
				  UP_READY_TIMEOUT_MS / 1000, buf_str(&answer));
			(void)snprintf(error->where, sizeof(error->where), "%s", name);
			return false;
		}
		if (!supervisor_turn(up->supervisor, HEALTH_POLL_MS))
			return error_set(error, ERROR_FAILED, "stopped before it was ready");
	}
}

static bool daemons(struct up *up, struct error *error)
{
	static const char *const names[] = {"ingest", "commander", "bridge", "dashboard"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!daemon_start(up, names[i], UP_STAGE_DAEMONS, error))
			return false;
	}
	if (!supervisor_wait_ready(up->supervisor, UP_READY_TIMEOUT_MS, error) ||
	    !wait_healthy(up, "ingest", STACK_INGEST_METRICS, error) ||
	    !wait_healthy(up, "commander", STACK_COMMANDER_METRICS, error))
		return false;
	up_step(up, "ingest, commander, bridge, dashboard");
	return !up->canary || daemon_start(up, "canary", UP_STAGE_DEVICES, error);
}

static bool bring_up(struct up *up, struct error *error)
{
	if (!servers(up, error) || !daemons(up, error) || !up_devices(up, error) || !up_check(up, error))
		return false;
	up->login_link = stack_login_link(&up->stack, up->admin, STACK_ADMIN, LINK_LIFETIME_S, error);
	return up->login_link != NULL;
}

// Tells the parent of --detach how it went, and lets go of its terminal.
static void let_go(const struct up *up, int report, int exit_code)
{
	if (report < 0)
		return;
	if (exit_code == CLI_OK) {
		int null = open("/dev/null", O_RDWR | O_CLOEXEC);
		int log = open(stack_path(&up->stack, "log/supervisor.log").text,
			       O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
		if (null >= 0 && log >= 0) {
			(void)dup2(null, STDIN_FILENO);
			(void)dup2(log, STDOUT_FILENO);
			(void)dup2(log, STDERR_FILENO);
		}
	}
	char code = (char)exit_code;
	(void)!write(report, &code, 1);
	(void)close(report);
}

static int run_supervised(struct up *up, int report)
{
	struct error error = {0};
	up->begin_ms = up->step_ms = clock_mono_ms();
	up->supervisor = supervisor_new(&up->stack, &error);
	if (!up->supervisor || !stack_ports_choose(&up->stack, up->any_ports, &error) || !bring_up(up, &error)) {
		up_print_failure(up, &error);
		supervisor_free(steal(up->supervisor));
		let_go(up, report, CLI_FAILED);
		return CLI_FAILED;
	}
	supervisor_publish(up->supervisor, up_facts(up), "ready");
	if (up->cli->json)
		up_print_json(up);
	else
		up_print_block(up);
	pg_free(steal(up->admin));
	let_go(up, report, CLI_OK);
	supervisor_echo(up->supervisor, !up->detach && !up->cli->json && !up->check);
	while (!up->check && supervisor_turn(up->supervisor, -1))
		;
	if (!up->cli->json && !up->detach && !up->check)
		(void)printf("stopping\n");
	supervisor_free(steal(up->supervisor));
	return CLI_OK;
}

// --detach: the child becomes the supervisor in a session of its own; Ctrl-C until it is ready stops it.
static int run_detached(struct up *up)
{
	int ends[2];
	struct error error;
	sigset_t mask;
	(void)sigemptyset(&mask);
	(void)sigaddset(&mask, SIGINT);
	(void)sigaddset(&mask, SIGTERM);
	if (pipe2(ends, O_CLOEXEC) != 0 || sigprocmask(SIG_BLOCK, &mask, NULL) != 0) {
		error_errno(&error, errno, "cannot start in the background");
		return cli_fail(up->cli, &error, NULL);
	}
	pid_t child = fork();
	if (child == 0) {
		(void)close(ends[0]);
		(void)setsid();
		_exit(run_supervised(up, ends[1]));
	}
	auto_close int report = ends[0];
	auto_close int signals = signalfd(-1, &mask, SFD_CLOEXEC);
	(void)close(ends[1]);
	char code = CLI_FAILED;
	for (;;) {
		struct pollfd fds[2] = {{.fd = report, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
		struct signalfd_siginfo info;
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[1].revents && read(signals, &info, sizeof(info)) > 0)
			(void)kill(child, SIGTERM);
		if (fds[0].revents) {
			(void)!read(report, &code, 1); // none: it died, and code says so
			break;
		}
	}
	return code;
}

// What run/up.json of the running stack says, and a fresh link to log in.
static int already_up(struct up *up)
{
	struct error error = {0};
	const char *address = "?";
	auto_json struct json *facts = stack_status(&up->stack, &error);
	if (up->check) {
		error_set(&error, ERROR_EXISTS, "a stack runs in %s, and --check proves one of its own",
			  up->stack.root);
		return cli_fail(up->cli, &error, "stop it with muster down, or name another folder: --state DIR");
	}
	if (!facts)
		return cli_fail(up->cli, &error,
				"another muster up has just begun in this folder; wait for it, or muster down");
	json_set_bool(facts, "already_running", true);
	(void)json_member_string(facts, "dashboard", &address);
	if (up->cli->json)
		cli_print_json(facts);
	else
		(void)printf("Muster is up already: %s\nmuster login-link makes a link that logs in, muster status "
			     "shows the "
			     "parts, muster down stops it.\n",
			     address);
	return CLI_OK;
}

static bool read_options(struct up *up, struct error *error)
{
	const struct args *args = &up->cli->args;
	up->check = args_has(args, "check");
	up->detach = args_has(args, "detach") && !up->check;
	up->any_ports = args_has(args, "auto-ports");
	up->agent = !args_has(args, "no-agent");
	up->canary = !args_has(args, "no-canary");
	return args_int(args, "sims", 0, 10000, 20, &up->sims, error) &&
	       args_int(args, "sim-interval-ms", 0, 86400000, 10000, &up->sim_interval_ms, error);
}

int up_run(struct cli *cli)
{
	struct error error = {0};
	struct up up = {.cli = cli, .stack = cli->stack};
	if (!read_options(&up, &error))
		return cli_usage(cli, &error);
	(void)umask(077);
	if (geteuid() == 0) {
		stack_hand_over(&up.stack, cli->argc, cli->argv, &error);
		return cli_fail(cli, &error,
				"./muster up makes the system user; otherwise name a folder of a user's: --state DIR");
	}
	if (!stack_prepare(&up.stack, &error))
		return cli_fail(cli, &error, "name a folder of your own: muster up --state DIR");
	if (stack_supervisor(&up.stack) != 0)
		return already_up(&up);
	if (!stack_ports_load(&up.stack, &error))
		return cli_fail(cli, &error, "delete that file: new ports are chosen then");
	int exit_code = up.detach ? run_detached(&up) : run_supervised(&up, -1);
	pg_free(up.admin);
	free(up.login_link);
	return exit_code;
}
