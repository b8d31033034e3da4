#include "tools/cli.h"

#include "common/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const struct cli_verb *const cli_tables[] = {
	// clang-format off
	cmd_stack,
	cmd_device,
	cmd_registration,
	cmd_revocation,
	cmd_command,
	cmd_command_queue,
	cmd_history,
	cmd_admin_key,
	cmd_token,
	cmd_enroll,
	cmd_group,
	cmd_campaign,
	cmd_user,
	cmd_tenant,
	cmd_operator,
	cmd_alert,
	cmd_audit,
	cmd_api_key,
	cmd_ca,
	cmd_signing_key,
	cmd_db,
	cmd_bench,
	cmd_export,
	NULL,
	// clang-format on
};

// Of the launcher, ./muster in the source tree.
static const char *const launcher_verbs[][2] = {
	{"test", "every test there is (./muster in the source tree)"},
	{"faults", "show that faults lose nothing and double nothing (./muster in the source tree)"},
};
#define LAUNCHER_VERBS (sizeof(launcher_verbs) / sizeof(launcher_verbs[0]))

const struct args_option cli_common_options[] = {
	{"state", "DIR", "folder of the local stack (default: $MUSTER_STATE, then .muster)"},
	{"json", NULL, "for programs: JSON on stdout, and on stderr when it fails"},
	{"help", NULL, "this text"},
	{NULL, NULL, NULL},
};
static const struct args_option no_options[] = {{NULL, NULL, NULL}};

// ---- help ----

#define NAME_FORMAT "%-32s" // the longest

static void print_usage_line(const struct cli_verb *verb, FILE *out)
{
	(void)fprintf(out, "muster %s%s%s%s%s", verb->noun, verb->verb ? " " : "", verb->verb ? verb->verb : "",
		      verb->operands ? " " : "", verb->operands ? verb->operands : "");
}

static void print_verbs(const char *noun, FILE *out)
{
	CLI_FOR_EACH_VERB(verb)
	{
		char name[80];
		if (strcmp(verb->noun, noun) != 0)
			continue;
		(void)snprintf(name, sizeof(name), "%s%s%s%s%s", verb->noun, verb->verb ? " " : "",
			       verb->verb ? verb->verb : "", verb->operands ? " " : "",
			       verb->operands ? verb->operands : "");
		(void)fprintf(out, "  " NAME_FORMAT " %s\n", name, verb->summary);
	}
}

bool cli_is_first(const struct cli_verb *wanted)
{
	CLI_FOR_EACH_VERB(verb)
	{
		if (strcmp(verb->noun, wanted->noun) == 0)
			return verb == wanted;
	}
	return false;
}

static void print_help(FILE *out)
{
	(void)fprintf(out, "usage: muster <verb>, or muster <noun> <verb>; --help behind it says more\n\n");
	CLI_FOR_EACH_VERB(verb)
	{
		if (cli_is_first(verb))
			print_verbs(verb->noun, out);
	}
	for (size_t i = 0; i < LAUNCHER_VERBS; i++)
		(void)fprintf(out, "  " NAME_FORMAT " %s\n", launcher_verbs[i][0], launcher_verbs[i][1]);
	(void)fprintf(out, "\n");
	args_print_options(cli_common_options, out);
	(void)fprintf(out, "\nExit codes: 0 ok, 1 failed, 2 wrong usage, 3 not found, 4 not allowed, 5 unreachable,\n"
			   "6 timed out, 7 partly.\n");
}

static void print_verb_help(const struct cli_verb *verb)
{
	(void)printf("usage: ");
	print_usage_line(verb, stdout);
	(void)printf(" [options]\n%s\n\n", verb->summary);
	if (verb->options)
		args_print_options(verb->options, stdout);
	args_print_options(cli_common_options, stdout);
}

// ---- errors ----

enum cli_exit cli_exit_of(enum error_kind kind)
{
	switch (kind) {
	case ERROR_NONE:
		return CLI_OK;
	case ERROR_NOT_FOUND:
		return CLI_NOT_FOUND;
	case ERROR_DENIED:
		return CLI_DENIED;
	case ERROR_UNREACHABLE:
		return CLI_UNREACHABLE;
	case ERROR_TIMEOUT:
		return CLI_TIMED_OUT;
	default:
		return CLI_FAILED;
	}
}

static void usual_next(const struct cli *cli, enum error_kind kind, char *out, size_t out_bytes)
{
	const char *root = cli->stack.root;
	if (kind == ERROR_DENIED)
		(void)snprintf(out, out_bytes, "run it as the owner of %s, or as root", root);
	else if (kind == ERROR_UNREACHABLE && stack_supervisor(&cli->stack) == 0)
		(void)snprintf(out, out_bytes, "muster up starts it");
	else
		(void)snprintf(out, out_bytes, "muster status shows what runs; the logs are in %s/log", root);
}

static void print_error(bool json_wanted, const struct error *error, const char *next, int exit_code)
{
	if (!json_wanted) {
		(void)fprintf(stderr, "muster: %s\n  next: %s\n", error->what, next);
		return;
	}
	auto_json struct json *json = json_new_object();
	json_set_string(json, "error", error->what);
	json_set_string(json, "kind", error_kind_name(error->kind));
	json_set_string(json, "next", next);
	json_set_int(json, "exit_code", exit_code);
	(void)fprintf(stderr, "%s\n", json_text(json));
}

int cli_fail(const struct cli *cli, const struct error *error, const char *next)
{
	char usual[STACK_PATH_MAX + 64];
	enum cli_exit code = cli_exit_of(error->kind);
	usual_next(cli, error->kind, usual, sizeof(usual));
	print_error(cli->json, error, next ? next : usual, code);
	return code;
}

int cli_usage(const struct cli *cli, const struct error *error)
{
	char next[160];
	const struct cli_verb *verb = cli->verb;
	(void)snprintf(next, sizeof(next), "muster %s%s%s --help", verb->noun, verb->verb ? " " : "",
		       verb->verb ? verb->verb : "");
	print_error(cli->json, error, next, CLI_USAGE);
	return CLI_USAGE;
}

bool cli_confirm(const struct cli *cli, const char *question, struct error *error)
{
	char answer[8] = "";
	if (args_has(&cli->args, "yes"))
		return true;
	if (!isatty(STDIN_FILENO))
		return error_set(error, ERROR_FAILED, "nothing was changed: there is no terminal to ask at");
	(void)printf("%s [y/N] ", question);
	(void)fflush(stdout);
	return (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y')) ||
	       error_set(error, ERROR_FAILED, "nothing was changed");
}

void cli_print_json(struct json *json)
{
	(void)printf("%s\n", json_text(json));
	(void)fflush(stdout);
}

// ---- the local stack ----

bool cli_may_look(const struct cli *cli, struct error *error)
{
	if (access(cli->stack.root, X_OK) == 0 || errno == ENOENT)
		return true;
	return error_errno(error, errno, "cannot look into the state folder %s", cli->stack.root);
}

bool cli_open(struct cli *cli, struct error *error)
{
	if (!cli_may_look(cli, error))
		return false;
	if (!stack_exists(&cli->stack) || stack_supervisor(&cli->stack) == 0)
		return error_set(error, ERROR_UNREACHABLE, "no stack runs in %s", cli->stack.root);
	return stack_become_owner(&cli->stack, error) && stack_ports_load(&cli->stack, error);
}

struct pg *cli_database(struct cli *cli, const char *role, struct error *error)
{
	auto_free char *conninfo = stack_conninfo(&cli->stack, role, "muster");
	struct pg *pg cleanup(pg_free_cleanup) = pg_new(conninfo, "muster", error);
	if (!pg || !pg_ready(pg, error))
		return NULL;
	return steal(pg);
}

// ---- finding the verb ----

static bool is_noun(const char *word)
{
	CLI_FOR_EACH_VERB(verb)
	{
		if (strcmp(verb->noun, word) == 0 && verb->verb)
			return true;
	}
	return false;
}

// *words: how many of the command line name the verb.
static const struct cli_verb *find_verb(int argc, char **argv, int *words)
{
	CLI_FOR_EACH_VERB(verb)
	{
		*words = verb->verb ? 2 : 1;
		if (argc > *words && strcmp(verb->noun, argv[1]) == 0 &&
		    (!verb->verb || strcmp(verb->verb, argv[2]) == 0))
			return verb;
	}
	return NULL;
}

static bool wants_json(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--json") == 0)
			return true;
	}
	return false;
}

// "muster device" and "muster device fly".
static int no_verb_of_noun(int argc, char **argv)
{
	struct error error = {0};
	const char *noun = argv[1];
	const char *word = argc > 2 && argv[2][0] != '-' ? argv[2] : NULL;
	char next[160] = "";
	if (argc > 2 && (strcmp(argv[2], "--help") == 0 || strcmp(argv[2], "-h") == 0)) {
		print_verbs(noun, stdout);
		return CLI_OK;
	}
	if (word)
		error_set(&error, ERROR_INVALID, "%s has no verb \"%s\"", noun, word);
	else
		error_set(&error, ERROR_INVALID, "%s needs a verb, and options stand behind it", noun);
	if (wants_json(argc, argv)) {
		(void)snprintf(next, sizeof(next), "muster %s --help", noun);
		print_error(true, &error, next, CLI_USAGE);
		return CLI_USAGE;
	}
	(void)fprintf(stderr, "muster: %s; there are:\n", error.what);
	print_verbs(noun, stderr);
	return CLI_USAGE;
}

// The noun of which word is the plural, or a beginning; NULL: none.
static const char *meant(const char *word)
{
	size_t length = strlen(word);
	CLI_FOR_EACH_VERB(verb)
	{
		size_t noun_length = strlen(verb->noun);
		if (length > 1 && (strncmp(verb->noun, word, length) == 0 ||
				   (length == noun_length + 1 && strncmp(verb->noun, word, noun_length) == 0)))
			return verb->noun;
	}
	return NULL;
}

static int no_verb(int argc, char **argv)
{
	struct error error = {0};
	char next[160] = "muster --help lists them all";
	if (argc < 2) {
		print_help(stderr);
		return CLI_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0 || strcmp(argv[1], "-h") == 0) {
		print_help(stdout);
		return CLI_OK;
	}
	if (strcmp(argv[1], "--version") == 0) {
		(void)printf("muster " MUSTER_VERSION "\n");
		return CLI_OK;
	}
	if (is_noun(argv[1]))
		return no_verb_of_noun(argc, argv);
	if (argv[1][0] == '-')
		error_set(&error, ERROR_INVALID, "%s stands before the verb: options go behind it", argv[1]);
	else
		error_set(&error, ERROR_INVALID, "there is no verb \"%s\"", argv[1]);
	if (meant(argv[1]))
		(void)snprintf(next, sizeof(next), "muster %s --help, if that is meant; muster --help lists them all",
			       meant(argv[1]));
	for (size_t i = 0; i < LAUNCHER_VERBS; i++) {
		if (strcmp(argv[1], launcher_verbs[i][0]) == 0)
			(void)snprintf(next, sizeof(next), "./muster %s, in the source tree", argv[1]);
	}
	print_error(wants_json(argc, argv), &error, next, CLI_USAGE);
	return CLI_USAGE;
}

static bool check_operands(const struct cli *cli, struct error *error)
{
	size_t count = cli->args.operand_count;
	if (count < cli->verb->operands_min)
		return error_set(error, ERROR_INVALID, count > 0 ? "more is needed: %s" : "%s is missing",
				 cli->verb->operands);
	if (count > cli->verb->operands_max)
		return error_set(error, ERROR_INVALID, "\"%s\" is one word too many",
				 cli->args.operands[cli->verb->operands_max]);
	return true;
}

int cli_main(int argc, char **argv)
{
	struct error error = {0};
	struct cli cli = {.argc = argc, .argv = argv};
	int words = 0;
	cli.verb = find_verb(argc, argv, &words);
	if (!cli.verb)
		return no_verb(argc, argv);
	cli.json = wants_json(argc, argv); // also for what is wrong with the other options
	const struct args_option *const option_tables[] = {cli.verb->options ? cli.verb->options : no_options,
							   cli_common_options};
	if (!args_parse(&cli.args, option_tables, 2, argc - 1 - words, argv + 1 + words, &error))
		return cli_usage(&cli, &error);
	if (args_has(&cli.args, "help")) {
		print_verb_help(cli.verb);
		return CLI_OK;
	}
	cli.json = args_has(&cli.args, "json");
	if (!check_operands(&cli, &error))
		return cli_usage(&cli, &error);
	if (!stack_resolve(&cli.stack, args_value(&cli.args, "state"), &error))
		return cli_fail(&cli, &error, "name another state folder: --state DIR");
	return cli.verb->run(&cli);
}
