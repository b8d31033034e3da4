#include "tools/bench/simulator.h"

#include "common/clock.h"
#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define IN_TREE "tests/e2e/support/push_simulator.py"
#define READY_TIMEOUT_MS 30000
#define LINE_MAX_BYTES ((size_t)64 * 1024)

struct simulator {
	pid_t pid;
	int input; // of the program; it ends with it
	FILE *output;
	struct json *first; // its first line
	struct json *credentials;
	const char *endpoint, *ca;
};

// Programs are in build/<preset>/bin of the tree.
char *simulator_find(void)
{
	char self[PATH_MAX];
	char path[PATH_MAX];
	ssize_t len_bytes = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len_bytes <= 0)
		return NULL;
	self[len_bytes] = '\0';
	char *slash = strrchr(self, '/');
	*slash = '\0';
	int bytes = snprintf(path, sizeof(path), "%s/../../../" IN_TREE, self);
	return bytes > 0 && (size_t)bytes < sizeof(path) && access(path, X_OK) == 0 ? realpath(path, NULL) : NULL;
}

static _Noreturn void become(const char *program, int input, int output, pid_t parent)
{
	(void)setpgid(0, 0);
	if (prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && getppid() == parent && dup2(input, STDIN_FILENO) >= 0 &&
	    dup2(output, STDOUT_FILENO) >= 0) {
		char *const argv[] = {(char *)program, NULL};
		(void)execv(program, argv);
		(void)fprintf(stderr, "cannot execute %s: %s\n", program, strerrordesc_np(errno));
	}
	_exit(127);
}

static bool start(struct simulator *simulator, const char *program, struct error *error)
{
	int in[2] = {-1, -1};
	int out[2] = {-1, -1};
	pid_t parent = getpid();
	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
		return error_errno(error, errno, "cannot make a pipe");
	simulator->input = in[1];
	simulator->output = fdopen(out[0], "r");
	simulator->pid = simulator->output ? fork() : -1;
	if (simulator->pid == 0)
		become(program, in[0], out[1], parent);
	int failed = errno;
	(void)close(in[0]);
	(void)close(out[1]);
	return simulator->pid > 0 || error_errno(error, failed, "cannot start %s", program);
}

static bool read_first(struct simulator *simulator, const char *program, struct error *error)
{
	struct pollfd watch = {.fd = fileno(simulator->output), .events = POLLIN};
	auto_free char *line = NULL;
	size_t capacity_bytes = 0;
	if (poll(&watch, 1, READY_TIMEOUT_MS) <= 0)
		return error_set(error, ERROR_TIMEOUT, "%s is not ready after %d s", program, READY_TIMEOUT_MS / 1000);
	ssize_t len_bytes = getline(&line, &capacity_bytes, simulator->output);
	if (len_bytes <= 0)
		return error_set(error, ERROR_FAILED, "%s ended; what it printed says why (it needs Debian's"
						      " nghttp2-proxy and what the tests need)",
				 program);
	if ((size_t)len_bytes > LINE_MAX_BYTES || !(simulator->first = json_parse(line, (size_t)len_bytes, NULL)) ||
	    !json_member_string(simulator->first, "endpoint", &simulator->endpoint) ||
	    !json_member_string(simulator->first, "ca", &simulator->ca) ||
	    !json_member(simulator->first, "credentials"))
		return error_set(error, ERROR_INVALID,
				 "the first line of %s is no JSON object with endpoint, ca and credentials", program);
	simulator->credentials = json_copy(json_member(simulator->first, "credentials"));
	return true;
}

struct simulator *simulator_new(const char *program, struct error *error)
{
	struct simulator *simulator = calloc(1, sizeof(*simulator));
	if (!simulator) {
		error_errno(error, ENOMEM, "cannot begin");
		return NULL;
	}
	simulator->input = -1;
	if (start(simulator, program, error) && read_first(simulator, program, error))
		return simulator;
	simulator_free(simulator);
	return NULL;
}

void simulator_free(struct simulator *simulator)
{
	if (!simulator)
		return;
	if (simulator->input >= 0)
		(void)close(simulator->input);
	if (simulator->output)
		(void)fclose(simulator->output);
	while (simulator->pid > 0 && waitpid(simulator->pid, NULL, 0) < 0 && errno == EINTR)
		;
	json_free(simulator->credentials);
	json_free(simulator->first);
	free(simulator);
}

const char *simulator_endpoint(const struct simulator *simulator)
{
	return simulator->endpoint;
}

const char *simulator_ca(const struct simulator *simulator)
{
	return simulator->ca;
}

const char *simulator_credentials(const struct simulator *simulator)
{
	return json_text(simulator->credentials);
}

bool simulator_next(struct simulator *simulator, char *out, size_t out_bytes)
{
	auto_free char *line = NULL;
	size_t capacity_bytes = 0;
	if (getline(&line, &capacity_bytes, simulator->output) <= 0)
		return false;
	line[strcspn(line, "\n")] = '\0';
	(void)snprintf(out, out_bytes, "%s", line);
	return true;
}
