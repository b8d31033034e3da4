// muster-agent-enroll, which "muster-agent enroll" and "muster-agent register" become.
#include "agent/arguments.h"
#include "agent/enroll.h"
#include "agent/fetch.h"
#include "agent/options.h"
#include "agent/register.h"
#include "common/daemon.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MAX_S 31536000 // a year

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static int usage(const char *what)
{
	(void)fprintf(stderr, "muster-agent enroll: %s\nTry 'muster-agent enroll --help'.\n", what);
	return 2;
}

static int run(const struct agent_options *options, const char *token, const char *wish, bool again)
{
	struct error error = {0};
	struct identity identity auto_identity = {0};
	bool already = false;
	if (!enroll(options, token, wish, again, &identity, &already, &error)) {
		(void)fprintf(stderr, "muster-agent enroll: %s\n", error.what);
		return 1;
	}
	printf(already ? "already enrolled as %s; nothing to do\n" : "enrolled as %s; next: muster-agent run\n",
	       identity.device);
	return 0;
}

static int enroll_main(int argc, char **argv)
{
	static const char summary[] =
		"Gets this device a certificate from the bridge. The key is made here and stays here.\n\n"
		"  --token-file FILE  file with the enrolment token, not readable by others; - is standard input\n"
		"  --token TOKEN      the token itself; others on this machine may see it for a moment\n"
		"  --device ID        the name to ask for; otherwise the server chooses\n"
		"  --again            for a device that is enrolled, and whose certificate does not hold any more: "
		"with a\n"
		"                     token bound to its id. What it has not reported yet stays. Stop the agent "
		"first\n";
	struct agent_options options;
	struct daemon daemon = {"muster-agent enroll", summary, &agent_options_table, &options};
	const char *token_text = NULL;
	const char *token_file = NULL;
	const char *wish = NULL;
	bool again = false;
	const struct argument arguments[] = {
		{"--token", &token_text, NULL},
		{"--token-file", &token_file, NULL},
		{"--device", &wish, NULL},
		{"--again", NULL, &again},
	};
	int exit_code = 0;

	argc = arguments_take(arguments, COUNT(arguments), argc, argv);
	char *token = token_text ? strdup(token_text) : NULL;
	if (token_text)
		crypto_wipe((char *)token_text, strlen(token_text)); // out of /proc/<pid>/cmdline
	if (!daemon_start(&daemon, argc, argv, &exit_code)) {
		free(token);
		return exit_code;
	}

	struct error error = {0};
	struct identity known auto_identity = {0};
	identity_init(&known, options.state_dir, options.root);
	bool needed = again || !identity_exists(&known);
	if (token && token_file) {
		exit_code = usage("give --token or --token-file, not both");
	} else if (!token && !token_file && needed) {
		exit_code =
			usage("give the enrolment token with --token-file FILE (- is standard input) or --token TOKEN");
	} else {
		if (token_file && needed) {
			token = enroll_read_token(token_file, &error);
			if (!token)
				(void)fprintf(stderr, "muster-agent enroll: the token can't be read: %s\n", error.what);
		}
		exit_code = token || !needed ? run(&options, token, wish, again) : 1;
	}
	if (token)
		crypto_wipe(token, strlen(token));
	free(token);
	config_done(&agent_options_table, &options);
	return exit_code;
}

// ---- register ----

static void pause_for(void *user, int64_t ms)
{
	(void)poll(NULL, 0, ms > INT_MAX ? INT_MAX : (int)ms);
}

static void say(void *user, const char *text)
{
	(void)printf("%s\n", text);
	(void)fflush(stdout);
}

static int exec_agent(int argc, char **argv)
{
	char path[PATH_MAX];
	char **copy = calloc((size_t)argc + 2, sizeof(*copy));
	ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path) - sizeof("muster-agent"));
	if (bytes > 0 && copy) {
		path[bytes] = '\0';
		char *slash = strrchr(path, '/');
		(void)snprintf(slash + 1, sizeof(path) - (size_t)(slash + 1 - path), "muster-agent");
		copy[0] = path;
		copy[1] = (char *)"run";
		for (int i = 1; i < argc; i++)
			copy[i + 1] = argv[i];
		(void)execv(path, copy);
	}
	perror("muster-agent register: cannot run muster-agent, which belongs beside muster-agent-enroll");
	free(copy);
	return 1;
}

static int report(enum register_outcome outcome, const struct identity *identity, const struct error *error, bool runs)
{
	switch (outcome) {
	case REGISTER_ENROLLED:
	case REGISTER_ALREADY:
		(void)printf("%s as %s%s\n", outcome == REGISTER_ENROLLED ? "enrolled" : "already enrolled",
			     identity->device, runs ? "" : "; next: muster-agent run");
		(void)fflush(stdout);
		return 0;
	case REGISTER_WAITING:
		(void)fprintf(stderr, "muster-agent register: nobody has decided yet; the next call goes on waiting\n");
		return 6;
	case REGISTER_REJECTED:
		(void)fprintf(stderr, "muster-agent register: %s\n", error->what);
		return 4;
	default:
		(void)fprintf(stderr, "muster-agent register: %s\n", error->what);
		return 1;
	}
}

static int register_usage(const char *what)
{
	(void)fprintf(stderr, "muster-agent register: %s\nTry 'muster-agent register --help'.\n", what);
	return 2;
}

static int register_main(int argc, char **argv)
{
	static const char summary[] =
		"Asks to be let in without a token, waits until a person has decided, and takes the certificate.\n"
		"The key is made here and stays here. May be killed and started again at any time.\n\n"
		"  --device ID        the name to ask for\n"
		"  --serial SERIAL    the serial number that people know this device by; otherwise the hardware's\n"
		"  --wait SECONDS     give up waiting after that long (exit code 6); otherwise never\n"
		"  --run              then become muster-agent run, with the same options\n";
	struct agent_options options;
	struct daemon daemon = {"muster-agent register", summary, &agent_options_table, &options};
	struct register_wish wish = {.wait_s = -1};
	const char *wait = NULL;
	bool runs = false;
	const struct argument arguments[] = {
		{"--device", &wish.device, NULL},
		{"--serial", &wish.serial, NULL},
		{"--wait", &wait, NULL},
		{"--run", NULL, &runs},
	};
	struct crash crash = {0};
	struct error error = {0};
	int exit_code = 0;
	char *end = NULL;

	argc = arguments_take(arguments, COUNT(arguments), argc, argv);
	if (wait)
		wish.wait_s = strtol(wait, &end, 10);
	if (wait && (end == wait || *end || wish.wait_s < 0 || wish.wait_s > WAIT_MAX_S))
		return register_usage("--wait takes seconds, 0 to 31536000");
	// NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
	if (!crash_init(&crash, getenv("MUSTER_CRASH_AT"), &error))
		return register_usage(error.what);
	if (!daemon_start(&daemon, argc, argv, &exit_code))
		return exit_code;
	struct identity identity auto_identity = {0};
	const struct register_hooks hooks = {.pause = pause_for, .tell = say, .crash = &crash};
	enum register_outcome outcome = register_device(&options, &wish, &hooks, &identity, &error);
	exit_code = report(outcome, &identity, &error, runs);
	config_done(&agent_options_table, &options);
	return exit_code == 0 && runs ? exec_agent(argc, argv) : exit_code;
}

// The verb is the first argument; without one it is "enroll".
int main(int argc, char **argv)
{
	if (argc > 1 && strcmp(argv[1], "renew") == 0) // only by the agent itself
		return fetch_main();
	bool verb = argc > 1 && (strcmp(argv[1], "enroll") == 0 || strcmp(argv[1], "register") == 0);
	bool registers = verb && strcmp(argv[1], "register") == 0;

	if (verb) {
		argv[1] = argv[0];
		argv++;
		argc--;
	}
	return registers ? register_main(argc, argv) : enroll_main(argc, argv);
}
