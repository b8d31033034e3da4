// The local stack as a whole: up, down, status, reset, login-link, and single parts for tests.
#include "common/clock.h"
#include "common/file.h"
#include "tools/account.h"
#include "tools/cli.h"
#include "tools/table.h"
#include "tools/text.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define POLL_MS 20
#define DOWN_TIMEOUT_MS 60000
#define RESTART_TIMEOUT_MS 60000
#define LINK_LIFETIME_S 900
#define PORTS_TEXT_BYTES 80

// ---- status ----

static const struct json *find_part(const struct json *facts, const char *name)
{
	const struct json *parts = json_member(facts, "parts");
	for (size_t i = 0; i < json_array_length(parts); i++) {
		const char *part = "";
		if (json_member_string(json_array_at(parts, i), "name", &part) && strcmp(part, name) == 0)
			return json_array_at(parts, i);
	}
	return NULL;
}

// The running stack's facts; ERROR_UNREACHABLE when nothing runs.
static struct json *running(const struct cli *cli, struct error *error)
{
	if (!cli_may_look(cli, error))
		return NULL;
	if (!stack_exists(&cli->stack) || stack_supervisor(&cli->stack) == 0) {
		error_set(error, ERROR_UNREACHABLE, "no stack runs in %s", cli->stack.root);
		return NULL;
	}
	return stack_status(&cli->stack, error);
}

static const char *port_of(const char *part, const struct json *ports, char out[PORTS_TEXT_BYTES])
{
	static const struct {
		const char *part;
		const char *ports[4];
		const char *labels[4];
	} map[] = {{"broker",
		    {"devices", "services", "websockets", "console"},
		    {"devices ", "services ", "websockets ", "console "}},
		   {"dashboard", {"dashboard"}, {""}},
		   {"bridge", {"bridge"}, {""}},
		   {"ingest", {"ingest_metrics"}, {"metrics "}},
		   {"commander", {"commander_metrics"}, {"metrics "}},
		   {"canary", {"canary_metrics"}, {"metrics "}}};
	int used = 0;
	out[0] = '\0';
	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
		if (strcmp(map[i].part, part) != 0)
			continue;
		for (size_t k = 0; k < 4 && map[i].ports[k]; k++) {
			int64_t port = 0;
			if (json_member_int(ports, map[i].ports[k], &port))
				used += snprintf(out + used, PORTS_TEXT_BYTES - (size_t)used, "%s%s%d",
						 used > 0 ? ", " : "", map[i].labels[k], (int)port);
		}
	}
	return out;
}

// Those that are not well, as each said, or as its silence does; together where they say the same.
static const char sql_troubled[] =
	"select coalesce(json_agg(json_build_object('parts', parts, 'why', why) order by parts), '[]') from (select"
	" string_agg(distinct part, ', ') as parts, why from (select part, case when seen_at < now() - interval"
	" '30 seconds' then 'has not spoken for half a minute: look whether it runs, and at its log' else why end as "
	"why"
	" from part_state where seen_at > now() - interval '1 day' and (state <> 'ok' or seen_at < now() - interval"
	" '30 seconds')) s group by why) p";

// Into the facts, as "troubled"; null while the database does not answer, which error says.
static void add_troubled(struct cli *cli, struct json *facts, struct error *error)
{
	auto_pg_result struct pg_result *row = NULL;
	struct pg *pg cleanup(pg_free_cleanup) = cli_open(cli, error) ? cli_database(cli, "muster_admin", error) : NULL;
	bool known = pg && pg_query(pg, &row, error, sql_troubled, 0, NULL);

	if (known)
		json_set(facts, "troubled", json_parse(pg_text(row, 0, 0), strlen(pg_text(row, 0, 0)), error));
	else
		json_set_string(facts, "troubled", NULL);
}

static void print_troubled(const struct json *troubled, const struct error *error)
{
	if (error->kind != ERROR_NONE)
		(void)printf("\nhow the parts are is not known: %s\n", error->what);
	for (size_t i = 0; i < json_array_length(troubled); i++) {
		const struct json *item = json_array_at(troubled, i);

		(void)printf("\nnot well: %s: %s\n", text_member(item, "parts"), text_member(item, "why"));
	}
}

static void print_status(const struct cli *cli, const struct json *facts)
{
	static const struct table_column columns[] = {{.name = "part"},
						      {.name = "state"},
						      {.name = "pid", .number = true},
						      {.name = "up"},
						      {.name = "restarts", .number = true},
						      {.name = "ports"}};
	const struct json *parts = json_member(facts, "parts");
	const char *state = "";
	const char *address = "";
	auto_table struct table *table = table_new("parts", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < json_array_length(parts); i++) {
		const struct json *part = json_array_at(parts, i);
		const char *name = "";
		const char *part_state = "";
		int64_t pid = 0;
		int64_t started_ms = 0;
		int64_t restarts = 0;
		char pid_text[24] = "";
		struct text uptime = {""};
		char restarts_text[24];
		char port_text[PORTS_TEXT_BYTES];
		(void)json_member_string(part, "name", &name);
		(void)json_member_string(part, "state", &part_state);
		(void)json_member_int(part, "restarts", &restarts);
		if (json_member_int(part, "pid", &pid) && pid > 0 && json_member_int(part, "started_ms", &started_ms)) {
			(void)snprintf(pid_text, sizeof(pid_text), "%d", (int)pid);
			uptime = text_duration((clock_wall_ms() - started_ms) / 1000);
		}
		(void)snprintf(restarts_text, sizeof(restarts_text), "%d", (int)restarts);
		TABLE_ROW(table, name, part_state, pid_text, uptime.s, restarts_text,
			  port_of(name, json_member(facts, "ports"), port_text));
	}
	table_print(table, false);
	(void)json_member_string(facts, "state", &state);
	(void)json_member_string(facts, "dashboard", &address);
	(void)printf("\n%s: dashboard %s\ndata and logs: %s\n", state, address, cli->stack.root);
}

static int status_run(struct cli *cli)
{
	struct error error = {0};
	auto_json struct json *facts = running(cli, &error);
	if (!facts)
		return cli_fail(cli, &error, NULL);
	add_troubled(cli, facts, &error);
	if (cli->json) {
		cli_print_json(facts);
	} else {
		print_status(cli, facts);
		print_troubled(json_member(facts, "troubled"), &error);
	}
	return CLI_OK;
}

// ---- down, reset ----

// Until the last process of the stack has let go of the lock that all of them inherit.
static bool stop(const struct cli *cli, bool *was_running, struct error *error)
{
	int hold = -1;
	if (!cli_may_look(cli, error))
		return false;
	pid_t supervisor = stack_exists(&cli->stack) ? stack_supervisor(&cli->stack) : 0;
	*was_running = supervisor != 0;
	if (supervisor == 0)
		return true;
	if (kill(supervisor, SIGTERM) != 0 && errno != ESRCH)
		return error_errno(error, errno, "cannot stop the supervisor (process %d)", supervisor);
	if (!stack_hold(&cli->stack, DOWN_TIMEOUT_MS, &hold, error))
		return false;
	(void)close(hold);
	return true;
}

static int down_run(struct cli *cli)
{
	struct error error;
	bool was_running = false;
	if (!stop(cli, &was_running, &error))
		return cli_fail(cli, &error, error.kind == ERROR_DENIED ? NULL : "muster status shows what still runs");
	if (cli->json)
		(void)printf("{\"was_running\":%s}\n", was_running ? "true" : "false");
	else
		(void)printf("%s\n", was_running ? "stopped" : "nothing was running");
	return CLI_OK;
}

static int reset_run(struct cli *cli)
{
	struct error error;
	char question[STACK_PATH_MAX + 64];
	bool was_running = false;
	if (!file_exists(cli->stack.root)) {
		(void)printf("%s\n", cli->json ? "{\"deleted\":false}" : "there is nothing to delete");
		return CLI_OK;
	}
	if (!cli_may_look(cli, &error))
		return cli_fail(cli, &error, NULL);
	// The programs alone are what root leaves when up fails early.
	if (!stack_exists(&cli->stack) && !file_exists(stack_path(&cli->stack, "bin/muster").text)) {
		error_set(&error, ERROR_INVALID, "%s was not made by muster up, so it is not deleted", cli->stack.root);
		return cli_fail(cli, &error, "delete it by hand if it is to go");
	}
	(void)snprintf(question, sizeof(question), "Delete %s with all its data, keys and certificates?",
		       cli->stack.root);
	if (!cli_confirm(cli, question, &error))
		return cli_fail(cli, &error, CLI_YES);
	if (!stop(cli, &was_running, &error) || !stack_delete(&cli->stack, args_value(&cli->args, "state"), &error))
		return cli_fail(cli, &error, "run it as the owner of the folder, or as root");
	(void)printf("%s\n", cli->json ? "{\"deleted\":true}" : "deleted");
	return CLI_OK;
}

// ---- single parts ----

static int64_t part_pid(const struct json *facts, const char *name)
{
	int64_t pid = 0;
	(void)json_member_int(find_part(facts, name), "pid", &pid);
	return pid;
}

static bool part_ready(const struct json *facts, const char *name)
{
	const char *state = "";
	return json_member_string(find_part(facts, name), "state", &state) && strcmp(state, "ready") == 0;
}

// The facts, with an error when there is no such part.
static struct json *facts_with(const struct cli *cli, const char *name, struct error *error)
{
	auto_json struct json *facts = running(cli, error);
	if (!facts)
		return NULL;
	if (!find_part(facts, name)) {
		error_set(error, ERROR_NOT_FOUND, "the stack has no part \"%s\"", name);
		return NULL;
	}
	return steal(facts);
}

static int part_fail(const struct cli *cli, const struct error *error)
{
	return cli_fail(cli, error, error->kind == ERROR_NOT_FOUND ? "muster status shows the parts" : NULL);
}

static void print_pid(const struct cli *cli, const char *name, int64_t pid)
{
	auto_json struct json *json = json_new_object();
	json_set_string(json, "part", name);
	json_set_int(json, "pid", pid);
	if (cli->json)
		cli_print_json(json);
	else
		(void)printf("%lld\n", (long long)pid);
}

static int pid_run(struct cli *cli)
{
	struct error error;
	const char *name = cli->args.operands[0];
	auto_json struct json *facts = facts_with(cli, name, &error);
	if (!facts)
		return part_fail(cli, &error);
	print_pid(cli, name, part_pid(facts, name));
	return CLI_OK;
}

static int restart_run(struct cli *cli)
{
	struct error error;
	const char *name = cli->args.operands[0];
	auto_json struct json *facts = facts_with(cli, name, &error);
	if (!facts)
		return part_fail(cli, &error);
	pid_t old = (pid_t)part_pid(facts, name);
	// PostgreSQL would wait for its clients at SIGTERM.
	if (old > 0 && kill(old, strcmp(name, "postgres") == 0 ? SIGINT : SIGTERM) != 0 && errno != ESRCH) {
		error_errno(&error, errno, "cannot stop %s (process %d)", name, old);
		return cli_fail(cli, &error, NULL);
	}
	int64_t deadline = clock_mono_ms() + RESTART_TIMEOUT_MS;
	for (;;) {
		auto_json struct json *now = facts_with(cli, name, &error);
		if (now && part_pid(now, name) != old && part_ready(now, name)) {
			if (cli->json)
				print_pid(cli, name, part_pid(now, name));
			else
				(void)printf("%s was started again\n", name);
			return CLI_OK;
		}
		if (clock_mono_ms() >= deadline) {
			error_set(&error, ERROR_TIMEOUT, "%s is not ready again after %d s", name,
				  RESTART_TIMEOUT_MS / 1000);
			return cli_fail(cli, &error, "see its log in the state folder");
		}
		(void)poll(NULL, 0, POLL_MS);
	}
}

// ---- login-link ----

static int login_link_run(struct cli *cli)
{
	struct error error;
	const char *user = cli->args.operand_count ? cli->args.operands[0] : STACK_ADMIN;
	if (!cli_open(cli, &error))
		return cli_fail(cli, &error, NULL);
	struct pg *pg cleanup(pg_free_cleanup) = cli_database(cli, "muster_admin", &error);
	auto_free char *link = pg ? stack_login_link(&cli->stack, pg, user, LINK_LIFETIME_S, &error) : NULL;
	if (!link && pg && pg_sqlstate_is(&error, "23503")) {
		error_set(&error, ERROR_NOT_FOUND, "there is no user \"%s\"", user);
		return cli_fail(cli, &error, "muster user add NAME --role ROLE makes one");
	}
	if (!link)
		return cli_fail(cli, &error, NULL);
	if (cli->json)
		(void)printf("{\"login_link\":\"%s\",\"expires_s\":%d}\n", link, LINK_LIFETIME_S);
	else
		(void)printf("%s\n", link);
	return CLI_OK;
}

static const struct args_option up_options[] = {
	{"detach", NULL, "return when ready; muster down stops it"},
	{"check", NULL, "prove the whole way, then stop everything: exit 0 when it held"},
	{"sims", "N", "simulated devices (20)"},
	{"sim-interval-ms", "N", "between two of their messages (10000)"},
	{"sim-arg", "ARG", "passed on to muster-sim; may be repeated"},
	{"no-agent", NULL, "do not enrol this machine"},
	{"no-canary", NULL, "do not prove that revocations hold"},
	{"auto-ports", NULL, "free ports away from the usual ones (for tests beside a running stack)"},
	{NULL, NULL, NULL},
};
static const struct args_option reset_options[] = {
	{"yes", NULL, "do not ask"},
	{NULL, NULL, NULL},
};

const struct cli_verb cmd_stack[] = {
	{"up", NULL, NULL, 0, 0, "start the local stack: database, broker, daemons, devices", up_options, up_run},
	{"down", NULL, NULL, 0, 0, "stop it", NULL, down_run},
	{"status", NULL, NULL, 0, 0, "its parts: process, uptime, restarts, ports", NULL, status_run},
	{"reset", NULL, NULL, 0, 0, "stop it and delete its data", reset_options, reset_run},
	{"login-link", NULL, "[USER]", 0, 1, "a link that logs into the dashboard once", NULL, login_link_run},
	{"completion", NULL, NULL, 0, 0, "what bash needs to complete all this: source <(muster completion)", NULL,
	 completion_run},
	{"stack", "pid", "PART", 1, 1, "process id of one part", NULL, pid_run},
	{"stack", "restart", "PART", 1, 1, "stop one part and wait until it is ready again", NULL, restart_run},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
