// muster-agent-enroll, which "muster-agent enroll" becomes.
#include "agent/enroll.h"
#include "agent/options.h"
#include "common/daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct arguments {
	const char *token, *token_file, *device;
	int rest; // of argc: what daemon_start gets
};

static const char *value_of(const char *name, int argc, char **argv, int *at)
{
	size_t bytes = strlen(name);
	if (!argv[*at] || strncmp(argv[*at], name, bytes) != 0)
		return NULL;
	if (argv[*at][bytes] == '=')
		return argv[*at] + bytes + 1;
	if (argv[*at][bytes] != '\0')
		return NULL;
	return *at + 1 < argc ? argv[++*at] : "";
}

// Takes our own options out of argv.
static void take_arguments(struct arguments *arguments, int argc, char **argv)
{
	int kept = 1;
	for (int i = 1; i < argc; i++) {
		const char *value;
		if ((value = value_of("--token", argc, argv, &i)))
			arguments->token = value;
		else if ((value = value_of("--token-file", argc, argv, &i)))
			arguments->token_file = value;
		else if ((value = value_of("--device", argc, argv, &i)))
			arguments->device = value;
		else
			argv[kept++] = argv[i];
	}
	arguments->rest = kept;
}

static int usage(const char *what)
{
	(void)fprintf(stderr, "muster-agent enroll: %s\nTry 'muster-agent enroll --help'.\n", what);
	return 2;
}

static int run(const struct agent_options *options, const struct arguments *arguments, const char *token)
{
	struct error error = {0};
	struct identity identity auto_identity = {0};
	bool already = false;
	if (!enroll(options, token, arguments->device, &identity, &already, &error)) {
		(void)fprintf(stderr, "muster-agent enroll: %s\n", error.what);
		return 1;
	}
	printf(already ? "already enrolled as %s; nothing to do\n" : "enrolled as %s; next: muster-agent run\n",
	       identity.device);
	return 0;
}

int main(int argc, char **argv)
{
	static const char summary[] =
		"Gets this device a certificate from the bridge. The key is made here and stays here.\n\n"
		"  --token-file FILE  file with the enrolment token, not readable by others; - is standard input\n"
		"  --token TOKEN      the token itself; others on this machine may see it for a moment\n"
		"  --device ID        the name to ask for; otherwise the server chooses\n";
	struct agent_options options;
	struct daemon daemon = {"muster-agent enroll", summary, &agent_options_table, &options};
	struct arguments arguments = {0};
	int exit_code = 0;

	take_arguments(&arguments, argc, argv);
	char *token = arguments.token ? strdup(arguments.token) : NULL;
	if (arguments.token)
		crypto_wipe((char *)arguments.token, strlen(arguments.token)); // out of /proc/<pid>/cmdline
	argv[arguments.rest] = NULL;
	if (!daemon_start(&daemon, arguments.rest, argv, &exit_code)) {
		free(token);
		return exit_code;
	}

	struct error error = {0};
	struct identity known auto_identity = {0};
	identity_init(&known, options.state_dir);
	if (token && arguments.token_file) {
		exit_code = usage("give --token or --token-file, not both");
	} else if (!token && !arguments.token_file && !identity_exists(&known)) {
		exit_code =
			usage("give the enrolment token with --token-file FILE (- is standard input) or --token TOKEN");
	} else {
		if (arguments.token_file && !identity_exists(&known)) {
			token = enroll_read_token(arguments.token_file, &error);
			if (!token)
				(void)fprintf(stderr, "muster-agent enroll: the token can't be read: %s\n", error.what);
		}
		exit_code = token || identity_exists(&known) ? run(&options, &arguments, token) : 1;
	}
	if (token)
		crypto_wipe(token, strlen(token));
	free(token);
	config_done(&agent_options_table, &options);
	return exit_code;
}
