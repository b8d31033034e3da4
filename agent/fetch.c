#include "agent/fetch.h"

#include "common/json.h"
#include "common/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOBODY 65534

void fetch_init(struct fetch *fetch)
{
	*fetch = (struct fetch){.fd = -1};
	buf_init(&fetch->answer, HTTP_BODY_MAX_BYTES);
}

static void end(struct fetch *fetch)
{
	if (fetch->child > 0) {
		(void)kill(fetch->child, SIGKILL);
		(void)waitpid(fetch->child, NULL, 0);
	}
	fetch->child = 0;
	close_cleanup(&fetch->fd);
	fetch->fd = -1;
}

void fetch_done(struct fetch *fetch)
{
	end(fetch);
	buf_done(&fetch->answer);
}

static bool program_path(char out[PATH_MAX], struct error *error)
{
	static const char name[] = "muster-agent-enroll";
	ssize_t bytes = readlink("/proc/self/exe", out, PATH_MAX - sizeof(name));
	char *slash = NULL;
	if (bytes > 0) {
		out[bytes] = '\0';
		slash = strrchr(out, '/');
	}
	if (!slash)
		return error_errno(error, errno, "cannot find %s", name);
	memcpy(slash + 1, name, sizeof(name));
	return access(out, X_OK) == 0 || error_errno(error, errno, "cannot run %s", out);
}

_Noreturn static void become(const char *path, int in, int out)
{
	char name[] = "muster-agent-enroll";
	char verb[] = "renew";
	char *const argv[] = {name, verb, NULL};
	char *const environment[] = {NULL};
	sigset_t none;
	bool ok = dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 && sigemptyset(&none) == 0 &&
		  sigprocmask(SIG_SETMASK, &none, NULL) == 0;
	if (ok && geteuid() == 0)
		ok = setgroups(0, NULL) == 0 && setgid(NOBODY) == 0 && setuid(NOBODY) == 0;
	if (ok)
		(void)execve(path, argv, environment);
	_exit(127);
}

static char *request_text(const struct fetch_request *request)
{
	struct json *body auto_json = json_new_object();
	json_set_string(body, "url", request->url);
	json_set_string(body, "key", request->present->key);
	json_set_string(body, "certificate", request->present->certificate);
	json_set_string(body, "ca", request->present->ca);
	json_set_string(body, "csr", request->csr);
	if (request->fingerprint && *request->fingerprint)
		json_set_string(body, "fingerprint", request->fingerprint);
	return strdup(json_text(body));
}

// A pipe takes 64 kB without a reader, and the request is smaller.
static bool send_request(int fd, const struct fetch_request *request, struct error *error)
{
	char *text auto_secret = request_text(request);
	if (!text)
		abort();
	size_t bytes = strlen(text);
	return write(fd, text, bytes) == (ssize_t)bytes ||
	       error_errno(error, errno, "cannot tell the child what to ask");
}

bool fetch_start(struct fetch *fetch, const struct fetch_request *request, int64_t now_ms, struct error *error)
{
	char path[PATH_MAX];
	int in[2];
	int out[2];
	if (fetch->child > 0)
		return true;
	if (!program_path(path, error))
		return false;
	if (pipe2(in, O_CLOEXEC) < 0)
		return error_errno(error, errno, "cannot make a pipe");
	auto_close int child_in = in[0];
	auto_close int to_child = in[1];
	if (pipe2(out, O_CLOEXEC) < 0)
		return error_errno(error, errno, "cannot make a pipe");
	auto_close int from_child = out[0];
	auto_close int child_out = out[1];
	if (fcntl(to_child, F_SETFL, O_NONBLOCK) < 0 || fcntl(from_child, F_SETFL, O_NONBLOCK) < 0 ||
	    !send_request(to_child, request, error))
		return error_prefix(error, "cannot ask over HTTPS");
	pid_t child = fork();
	if (child < 0)
		return error_errno(error, errno, "cannot start a child");
	if (child == 0)
		become(path, child_in, child_out);
	fetch->child = child;
	fetch->fd = steal_fd(from_child);
	fetch->deadline_ms = now_ms + FETCH_TIMEOUT_MS;
	buf_clear(&fetch->answer);
	return true;
}

bool fetch_poll(struct fetch *fetch, int64_t now_ms, char **answer, struct error *error)
{
	char chunk[4096];
	ssize_t got = -1;
	if (fetch->child == 0)
		return true;
	while ((got = read(fetch->fd, chunk, sizeof(chunk))) > 0)
		(void)buf_add(&fetch->answer, chunk, (size_t)got);
	if (got < 0 && (errno == EAGAIN || errno == EINTR) && now_ms < fetch->deadline_ms)
		return true;
	int status = -1;
	if (got == 0) // it has said all, and is about to end
		(void)waitpid(fetch->child, &status, 0);
	if (got == 0)
		fetch->child = 0;
	end(fetch);
	if (got != 0)
		return error_set(error, ERROR_TIMEOUT, "the bridge did not answer in time");
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || fetch->answer.overflowed)
		return error_set(error, ERROR_UNREACHABLE, "the bridge gave no certificate: %.300s",
				 buf_str(&fetch->answer));
	*answer = strdup(buf_str(&fetch->answer));
	return *answer || error_errno(error, ENOMEM, "cannot keep the bridge's answer");
}
