#include "common/daemon.h"

#include "common/cleanup.h"
#include "common/log.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { EXIT_BAD_CONFIG = 1, EXIT_BAD_USAGE = 2 };

enum option_code { OPTION_CONFIG = 256, OPTION_CHECK, OPTION_SAMPLE, OPTION_LEVEL, OPTION_VERSION, OPTION_HELP };

static const struct option options[] = {
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"check-config", no_argument, NULL, OPTION_CHECK},
	{"sample-config", no_argument, NULL, OPTION_SAMPLE},
	{"log-level", required_argument, NULL, OPTION_LEVEL},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"help", no_argument, NULL, OPTION_HELP},
	{NULL, 0, NULL, 0},
};

struct arguments {
	const char *config_path; // NULL: defaults and environment
	bool check_only, level_given;
	enum log_level level;
};

static void print_help(const struct daemon *daemon)
{
	printf("Usage: %s [--config FILE] [options]\n%s\n\n"
	       "  --config FILE      read the configuration from FILE\n"
	       "  --check-config     check the configuration and exit\n"
	       "  --sample-config    print every option with its default and meaning, and exit\n"
	       "  --log-level LEVEL  error, warn, info (the default) or debug\n"
	       "  --version          print the version and exit\n"
	       "  --help             print this text and exit\n",
	       daemon->name, daemon->summary);
	if (daemon->table->count > 0)
		printf("\nConfiguration options:\n");
	for (size_t i = 0; i < daemon->table->count; i++) {
		const struct config_option *option = &daemon->table->options[i];
		printf("  %-30s %s%s%s%s%s\n", option->name, option->description, option->default_text ? " [" : "",
		       option->default_text ? option->default_text : "", option->default_text ? "]" : "",
		       option->required ? " (required)" : "");
	}
}

static bool usage_error(const struct daemon *daemon, int *exit_code)
{
	(void)fprintf(stderr, "Try '%s --help'.\n", daemon->name);
	*exit_code = EXIT_BAD_USAGE;
	return false;
}

static bool finished(int *exit_code)
{
	*exit_code = fflush(stdout) == 0 ? 0 : EXIT_BAD_CONFIG;
	return false;
}

// False when main is to return *exit_code.
static bool parse_arguments(const struct daemon *daemon, int argc, char **argv, struct arguments *out, int *exit_code)
{
	optind = 0; // glibc: start over, so that tests can call this more than once
	for (;;) {
		switch (getopt_long(argc, argv, "", options, NULL)) {
		case -1:
			if (optind < argc) {
				(void)fprintf(stderr, "%s: unexpected argument '%s'\n", daemon->name, argv[optind]);
				return usage_error(daemon, exit_code);
			}
			return true;
		case OPTION_CONFIG:
			out->config_path = optarg;
			break;
		case OPTION_CHECK:
			out->check_only = true;
			break;
		case OPTION_SAMPLE:
			config_print_sample(daemon->table, stdout);
			return finished(exit_code);
		case OPTION_LEVEL:
			if (!log_level_parse(optarg, &out->level)) {
				(void)fprintf(stderr, "%s: '%s' is no log level: use error, warn, info or debug\n",
					      daemon->name, optarg);
				return usage_error(daemon, exit_code);
			}
			out->level_given = true;
			break;
		case OPTION_VERSION:
			printf("%s %s\n", daemon->name, MUSTER_VERSION);
			return finished(exit_code);
		case OPTION_HELP:
			print_help(daemon);
			return finished(exit_code);
		default:
			return usage_error(daemon, exit_code);
		}
	}
}

bool daemon_start(const struct daemon *daemon, int argc, char **argv, int *exit_code)
{
	struct arguments arguments = {.level = LOG_INFO};
	if (!parse_arguments(daemon, argc, argv, &arguments, exit_code))
		return false;

	struct error error = {0};
	if (!config_load(daemon->table, arguments.config_path, daemon->config, &error)) {
		(void)fprintf(stderr, "%s: %s%s%s\n", daemon->name, error.where, error.where[0] ? ": " : "",
			      error.what);
		*exit_code = EXIT_BAD_CONFIG;
		return false;
	}
	if (arguments.check_only) {
		config_done(daemon->table, daemon->config);
		printf("%s: the configuration is good\n", daemon->name);
		return finished(exit_code);
	}
	const char *level = config_text(daemon->table, daemon->config, "log_level");
	if (level && !arguments.level_given)
		(void)log_level_parse(level, &arguments.level); // a choice of the table: it is one
	log_init(daemon->name, arguments.level);
	// A peer that closes its end must show as EPIPE, never end the process.
	(void)signal(SIGPIPE, SIG_IGN);
	return true;
}

static void notify(const char *text)
{
	const char *path = getenv("NOTIFY_SOCKET");
	if (!path || (path[0] != '/' && path[0] != '@'))
		return;
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len_bytes = strlen(path);
	if (len_bytes >= sizeof(address.sun_path))
		return;
	memcpy(address.sun_path, path, len_bytes);
	if (path[0] == '@') // the abstract name space, unix(7)
		address.sun_path[0] = '\0';
	auto_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return;
	// Nothing depends on the supervisor having heard it.
	(void)sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len_bytes));
}

void daemon_ready(void)
{
	notify("READY=1");
}

void daemon_status(const char *text)
{
	char message[512];
	(void)snprintf(message, sizeof(message), "STATUS=%s", text);
	notify(message);
}

void daemon_stopping(void)
{
	notify("STOPPING=1");
}

int daemon_signal_fd(struct error *error)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
		error_errno(error, errno, "cannot block SIGTERM and SIGINT");
		return -1;
	}
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		error_errno(error, errno, "cannot make a signal descriptor");
	return fd;
}
