// What every verb of the CLI shares: its table row, exit codes, messages, and the way to the local stack.
#pragma once

#include "common/error.h"
#include "common/json.h"
#include "common/pg.h"
#include "tools/args.h"
#include "tools/stack.h"

#include <stdbool.h>

// Design, section 7.
enum cli_exit {
	CLI_OK = 0,
	CLI_FAILED = 1,
	CLI_USAGE = 2,
	CLI_NOT_FOUND = 3,
	CLI_DENIED = 4,
	CLI_UNREACHABLE = 5,
	CLI_TIMED_OUT = 6,
	CLI_PARTLY = 7,
};

struct cli;

struct cli_verb {
	const char *noun;     // "device"; a verb without noun stands here: "up"
	const char *verb;     // "list"; NULL for a verb without noun
	const char *operands; // for the usage line, "DEVICE ACTION"
	size_t operands_min, operands_max;
	const char *summary;
	const struct args_option *options; // besides the common ones; NULL: none
	int (*run)(struct cli *cli);	   // returns the exit code
};

struct cli {
	const struct cli_verb *verb;
	struct args args;
	bool json;
	struct stack stack; // paths, and after cli_open ports
	int argc;	    // as main got it
	char **argv;
};

// Tables of verbs, one per noun, each ending with a row whose noun is NULL.
extern const struct cli_verb cmd_stack[];
extern const struct cli_verb cmd_device[];
extern const struct cli_verb cmd_registration[];
extern const struct cli_verb cmd_revocation[];
extern const struct cli_verb cmd_command[];
extern const struct cli_verb cmd_command_queue[];
extern const struct cli_verb cmd_admin_key[];
extern const struct cli_verb cmd_history[];
extern const struct cli_verb cmd_token[];
extern const struct cli_verb cmd_enroll[];
extern const struct cli_verb cmd_user[];
extern const struct cli_verb cmd_tenant[];
extern const struct cli_verb cmd_api_key[];
extern const struct cli_verb cmd_audit[];
extern const struct cli_verb cmd_operator[];
extern const struct cli_verb cmd_ca[];
extern const struct cli_verb cmd_signing_key[];
extern const struct cli_verb cmd_db[];
extern const struct cli_verb cmd_group[];
extern const struct cli_verb cmd_campaign[];
extern const struct cli_verb cmd_export[];
extern const struct cli_verb cmd_alert[];
extern const struct cli_verb cmd_bench[];
// All of them; NULL at the end.
extern const struct cli_verb *const cli_tables[];
#define CLI_FOR_EACH_VERB(verb)                                                                                        \
	for (const struct cli_verb *const *table = cli_tables; *table; table++)                                        \
		for (const struct cli_verb *verb = *table; verb->noun; verb++)
// Whether it is the first of its noun: some nouns have verbs in several tables.
bool cli_is_first(const struct cli_verb *verb);
// Of every verb.
extern const struct args_option cli_common_options[];

// Parses the command line and runs the verb.
int cli_main(int argc, char **argv);

// False (ERROR_DENIED) when the state folder is closed to this user, so that nothing can be said about what is in it.
bool cli_may_look(const struct cli *cli, struct error *error) __attribute__((warn_unused_result));
// Finds the running stack, and becomes its owner when started as root: the database knows people by their OS user,
// and no file may end up as root's.
bool cli_open(struct cli *cli, struct error *error) __attribute__((warn_unused_result));
// A connection as one of the database's roles ("muster_admin", "muster_owner"); after cli_open.
struct pg *cli_database(struct cli *cli, const char *role, struct error *error) __attribute__((warn_unused_result));

// Writes what went wrong and what to do next (JSON on stderr with --json); returns the exit code that fits. next
// NULL: a hint is chosen by the kind.
int cli_fail(const struct cli *cli, const struct error *error, const char *next);
int cli_usage(const struct cli *cli, const struct error *error);
// Whether it is meant: --yes, or "y" at a terminal. Otherwise false with error, which goes to cli_fail with CLI_YES.
bool cli_confirm(const struct cli *cli, const char *question, struct error *error) __attribute__((warn_unused_result));
#define CLI_YES "--yes says that it is meant"
enum cli_exit cli_exit_of(enum error_kind kind);
// `muster up` (up.c).
int up_run(struct cli *cli);
// `muster completion` (completion.c).
int completion_run(struct cli *cli);

// Prints one JSON text and a newline.
void cli_print_json(struct json *json);
