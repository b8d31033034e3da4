#include "agent/agent.h"
#include "agent/arguments.h"
#include "agent/check.h"
#include "agent/options.h"
#include "agent/provision.h"
#include "agent/push.h"
#include "agent/settings.h"
#include "agent/unenroll.h"
#include "common/daemon.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/mqtt.h"
#include "common/push_token.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char summary[] =
	"Reports this device to its fleet and obeys signed commands.\n\n"
	"Commands:\n"
	"  run        run until SIGTERM (needs an enrolled device)\n"
	"  enroll     get this device a certificate: --token-file FILE (- is standard input) or --token TOKEN,\n"
	"             and --device ID to wish for a name; --again where the certificate does not hold any more\n"
	"  register   ask for one without a token, and wait until a person has decided: --device ID, --serial SERIAL,\n"
	"             --wait SECONDS, --run\n"
	"  request    print what to ask the bridge for, less the token: for a device that another machine enrols;\n"
	"             --device ID to wish for a name\n"
	"  install    take the bridge's answer from standard input\n"
	"  check      say what this device is to its fleet, what is wrong, and the cure; --json\n"
	"  wake       connect now, if the agent sleeps; report now, if it does not\n"
	"  push-token say where a push reaches this device: --token TOKEN, --token-file FILE (- is standard input), "
	"or\n"
	"             --clear\n"
	"  unenroll   wipe key, certificate, outbox and counter; --force while the agent runs\n\n"
	"Options:";

static const char *wish;
static const char *push_text, *push_file;
static bool as_json, force, clear;

static const struct argument arguments[] = {
	{"--device", &wish, NULL},
	{"--json", NULL, &as_json},
	{"--force", NULL, &force},
	{"--token", &push_text, NULL},
	{"--token-file", &push_file, NULL},
	{"--clear", NULL, &clear},
};

static int fail(const char *command, const struct error *error)
{
	(void)fprintf(stderr, "muster-agent %s: %s\n", command, error->what);
	return 1;
}

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

// ---- the commands ----

static int run(const struct agent_options *options)
{
	struct error error = {0};
	mqtt_library_init();
	bool leave = false;
	int wiped = 0;
	const char *crash_at = getenv("MUSTER_CRASH_AT"); // NOLINT(concurrency-mt-unsafe): one thread
	bool ok = agent_run(options, crash_at, &leave, &error);
	mqtt_library_cleanup();
	if (ok && leave) {
		ok = unenroll(options, false, &wiped, &error);
		log_info("agent.left", "wiped", log_number(wiped));
	}
	if (!ok)
		log_error("agent.failed", "error", error.what, "where", error.where[0] ? error.where : NULL);
	if (ok)
		return 0;
	return error.kind == ERROR_DENIED ? CHECK_EXIT_NOT_ALLOWED : 1;
}

// What set_config has changed counts for more than the file, and the command line for more than both; if it can't be
// read, the file is all there is.
static void load_settings(struct agent_options *options, int argc, char **argv)
{
	struct error error = {0};
	enum log_level level;
	if (!settings_load(options, &error))
		log_warn("settings.unusable", "error", error.what);
	else if (!has_option(argc, argv, "--log-level") && log_level_parse(options->log_level, &level))
		log_init("muster-agent", level);
}

static int request(const struct agent_options *options)
{
	struct error error = {0};
	struct identity identity auto_identity = {0};
	identity_init(&identity, options->state_dir, options->root);
	if (identity_exists(&identity)) {
		if (identity_load(&identity, &error))
			(void)error_set(&error, ERROR_EXISTS, "this device is enrolled as %s: nothing to ask for "
					"(muster-agent unenroll makes it a stranger again)", identity.device);
		return fail("request", &error);
	}
	struct json *body auto_json = provision_request(&identity, wish, &error);
	if (!body)
		return fail("request", &error);
	printf("%s\n", json_text(body));
	return 0;
}

static int install(const struct agent_options *options)
{
	static char text[HTTP_BODY_MAX_BYTES + 1];
	struct error error = {0};
	struct identity identity auto_identity = {0};
	identity_init(&identity, options->state_dir, options->root);
	size_t len_bytes = fread(text, 1, sizeof(text), stdin);
	struct json *answer auto_json = len_bytes < sizeof(text) ? json_parse(text, len_bytes, &error) : NULL;
	if (!answer || !provision_install(&identity, answer, &error)) {
		if (len_bytes == sizeof(text))
			(void)error_set(&error, ERROR_LIMIT, "it is larger than %d bytes", HTTP_BODY_MAX_BYTES);
		(void)error_prefix(&error, "the answer on standard input can't be used");
		return fail("install", &error);
	}
	printf("enrolled as %s; next: muster-agent run\n", identity.device);
	return 0;
}

static int run_check(const struct agent_options *options)
{
	struct check_report report;
	check(options, &report);
	check_print(&report, as_json);
	return report.exit_code;
}

static int run_unenroll(const struct agent_options *options)
{
	struct error error = {0};
	int wiped = 0;
	if (!unenroll(options, force, &wiped, &error))
		return fail("unenroll", &error);
	if (wiped == 0)
		printf("there was nothing to wipe in %s\n", options->state_dir);
	else
		printf("wiped %d files in %s; the fleet still knows this device: muster device revoke\n", wiped,
		       options->state_dir);
	return 0;
}

static int run_wake(const struct agent_options *options)
{
	struct error error = {0};
	return push_wake(options, &error) ? 0 : fail("wake", &error);
}

static int run_push_token(const struct agent_options *options)
{
	char text[PUSH_TOKEN_MAX + 2] = "";
	struct error error = {0};
	if (push_file) {
		FILE *file auto_fclose =
			strcmp(push_file, "-") == 0 ? fdopen(dup(STDIN_FILENO), "r") : fopen(push_file, "re");
		if (!file || fread(text, 1, sizeof(text) - 1, file) == 0)
			(void)error_set(&error, ERROR_INVALID, "%.200s holds no token", push_file);
		text[strcspn(text, "\r\n")] = '\0';
	} else if (push_text) {
		(void)snprintf(text, sizeof(text), "%s", push_text);
	}
	if (error.kind == ERROR_NONE && (*text == '\0') != clear)
		(void)error_set(&error, ERROR_INVALID, "say --token TOKEN, --token-file FILE or --clear");
	if (error.kind != ERROR_NONE || !push_token_set(options, text, &error))
		return fail("push-token", &error);
	printf("%s\n",
	       clear ? "no push reaches this device any more" : "kept; the server learns it with the next hello");
	return 0;
}

static const struct command {
	const char *name;
	int (*run)(const struct agent_options *options); // NULL: muster-agent-enroll does it
} commands[] = {
	{"run", run},         {"enroll", NULL},     {"register", NULL},         {"request", request},
	{"install", install}, {"check", run_check}, {"unenroll", run_unenroll},
	{"wake", run_wake},   {"push-token", run_push_token},
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COUNT(commands); i++) {
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct rlimit no_core = {0}; // it would hold the key
	struct agent_options options;
	struct daemon daemon = {"muster-agent", summary, &agent_options_table, &options};
	const struct command *command = argc > 1 ? find_command(argv[1]) : NULL;
	int exit_code = 0;

	(void)setrlimit(RLIMIT_CORE, &no_core);
	if (command && !command->run)
		return exec_enroll(argv);
	if (command) {
		argv[1] = argv[0];
		argv++;
		argc = arguments_take(arguments, COUNT(arguments), argc - 1, argv);
	}
	if (!daemon_start(&daemon, argc, argv, &exit_code))
		return exit_code;
	if (!command) {
		(void)fprintf(stderr, "muster-agent: say what to do: run, enroll, register, request, install, check, "
				      "wake, push-token or unenroll\nTry 'muster-agent --help'.\n");
		exit_code = 2;
	} else {
		if (command->run == run)
			load_settings(&options, argc, argv);
		exit_code = command->run(&options);
	}
	config_done(&agent_options_table, &options);
	return exit_code;
}
