#include "agent/agent.h"
#include "agent/options.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/mqtt.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// Enrolment is a program of its own, beside this one: its HTTP client brings some thirty libraries with it, which would
// be in the memory of every device round the clock. It takes the verb as its first argument.
static int exec_enroll(char **argv)
{
	char path[PATH_MAX];
	ssize_t bytes = readlink("/proc/self/exe", path, sizeof(path) - sizeof("-enroll"));
	if (bytes > 0) {
		path[bytes] = '\0';
		char *slash = strrchr(path, '/');
		(void)snprintf(slash + 1, sizeof(path) - (size_t)(slash + 1 - path), "muster-agent-enroll");
		(void)execv(path, argv);
	}
	perror("muster-agent: cannot run muster-agent-enroll, which belongs beside muster-agent");
	return 1;
}

static bool has_option(int argc, char **argv, const char *name)
{
	size_t bytes = strlen(name);
	for (int i = 1; i < argc; i++) {
		if (strncmp(argv[i], name, bytes) == 0 && (argv[i][bytes] == '\0' || argv[i][bytes] == '='))
			return true;
	}
	return false;
}

static bool set_log_level(const struct agent_options *options, int argc, char **argv)
{
	enum log_level level;
	if (has_option(argc, argv, "--log-level")) // the command line counts for more
		return true;
	if (!log_level_parse(options->log_level, &level)) {
		(void)fprintf(stderr, "muster-agent: log_level \"%s\" is none: use error, warn, info or debug\n",
			      options->log_level);
		return false;
	}
	log_init("muster-agent", level);
	return true;
}

static int run(const struct agent_options *options)
{
	struct error error = {0};
	mqtt_library_init();
	bool ok = agent_run(options, getenv("MUSTER_CRASH_AT"), &error); // NOLINT(concurrency-mt-unsafe): one thread
	mqtt_library_cleanup();
	if (!ok)
		log_error("agent.failed", "error", error.what, "where", error.where[0] ? error.where : NULL);
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	static const char summary[] =
		"Reports this device to its fleet and obeys signed commands.\n\n"
		"Commands:\n"
		"  run                run until SIGTERM (needs an enrolled device)\n"
		"  enroll             get this device a certificate: --token-file FILE (- is standard input) or\n"
		"                     --token TOKEN, and --device ID to wish for a name\n"
		"  register           ask to be let in without a token, wait until a person has decided, and take the\n"
		"                     certificate: --device ID, --serial SERIAL, --wait SECONDS, --run\n\n"
		"Options:";
	struct agent_options options;
	struct daemon daemon = {"muster-agent", summary, &agent_options_table, &options};
	int exit_code = 0;

	if (argc > 1 && (strcmp(argv[1], "enroll") == 0 || strcmp(argv[1], "register") == 0))
		return exec_enroll(argv);
	bool to_run = argc > 1 && strcmp(argv[1], "run") == 0;
	if (to_run) {
		argv[1] = argv[0];
		argv++;
		argc--;
	}
	if (!daemon_start(&daemon, argc, argv, &exit_code))
		return exit_code;
	if (!to_run) {
		(void)fprintf(stderr, "muster-agent: say what to do: run, enroll or register\nTry 'muster-agent --help'.\n");
		exit_code = 2;
	} else {
		exit_code = set_log_level(&options, argc, argv) ? run(&options) : 1;
	}
	config_done(&agent_options_table, &options);
	return exit_code;
}
