// muster-agent-enroll, which "muster-agent enroll" and "muster-agent register" become.
#include "agent/enroll.h"
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

struct arguments {
	const char *token, *token_file, *device, *serial, *wait;
	bool run;
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
		else if ((value = value_of("--serial", argc, argv, &i)))
			arguments->serial = value;
		else if ((value = value_of("--wait", argc, argv, &i)))
			arguments->wait = value;
		else if (argv[i] && strcmp(argv[i], "--run") == 0)
			arguments->run = true;
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

static int enroll_main(int argc, char **argv)
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
	if (arguments.serial || arguments.wait || arguments.run)
		return usage("--serial, --wait and --run belong to muster-agent register");
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
		(void)printf("%s as %s%s\n", outcome == REGISTER_ENROLLED ? "enrolled" : "already enrolled", identity->device,
			     runs ? "" : "; next: muster-agent run");
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
	struct arguments arguments = {0};
	struct crash crash = {0};
	struct error error = {0};
	int exit_code = 0;
	char *end = NULL;

	take_arguments(&arguments, argc, argv);
	argv[arguments.rest] = NULL;
	if (arguments.token || arguments.token_file)
		return register_usage("it takes no token; with one, use muster-agent enroll");
	struct register_wish wish = {.device = arguments.device, .serial = arguments.serial, .wait_s = -1};
	if (arguments.wait)
		wish.wait_s = strtol(arguments.wait, &end, 10);
	if (arguments.wait && (end == arguments.wait || *end || wish.wait_s < 0 || wish.wait_s > WAIT_MAX_S))
		return register_usage("--wait takes seconds, 0 to 31536000");
	// NOLINTNEXTLINE(concurrency-mt-unsafe): one thread
	if (!crash_init(&crash, getenv("MUSTER_CRASH_AT"), &error))
		return register_usage(error.what);
	if (!daemon_start(&daemon, arguments.rest, argv, &exit_code))
		return exit_code;
	struct identity identity auto_identity = {0};
	const struct register_hooks hooks = {.pause = pause_for, .tell = say, .crash = &crash};
	enum register_outcome outcome = register_device(&options, &wish, &hooks, &identity, &error);
	exit_code = report(outcome, &identity, &error, arguments.run);
	config_done(&agent_options_table, &options);
	return exit_code == 0 && arguments.run ? exec_agent(arguments.rest, argv) : exit_code;
}

// The verb is the first argument; without one it is "enroll".
int main(int argc, char **argv)
{
	bool verb = argc > 1 && (strcmp(argv[1], "enroll") == 0 || strcmp(argv[1], "register") == 0);
	bool registers = verb && strcmp(argv[1], "register") == 0;

	if (verb) {
		argv[1] = argv[0];
		argv++;
		argc--;
	}
	return registers ? register_main(argc, argv) : enroll_main(argc, argv);
}
