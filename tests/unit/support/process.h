// Programs that a test starts: as an unprivileged user, ended with the test, and waited for with a deadline.
#pragma once

#include "common/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROCESS_DEADLINE_MS 300000 // generous: a loaded machine under sanitizers

static inline void process_pause(void)
{
	struct timespec pause = {.tv_nsec = 5 * 1000 * 1000};
	(void)nanosleep(&pause, NULL);
}

// Of the user that programs are started as; -1 when the test itself is unprivileged.
static inline bool process_user(uid_t *uid, gid_t *gid)
{
	const struct passwd *nobody = geteuid() == 0 ? getpwnam("nobody") : NULL;
	if (!nobody)
		return false;
	*uid = nobody->pw_uid;
	*gid = nobody->pw_gid;
	return true;
}

static inline void process_hand_over(const char *path)
{
	uid_t uid;
	gid_t gid;
	if (process_user(&uid, &gid) && chown(path, uid, gid) != 0) {
		perror(path);
		abort();
	}
}

// Runs argv with its output appended to log_path; death_signal comes when the test dies. -1 on failure.
static inline pid_t process_start(const char *const *argv, const char *log_path, int death_signal)
{
	uid_t uid = 0;
	gid_t gid = 0;
	bool drop = process_user(&uid, &gid);
	pid_t parent = getpid();
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (log < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
		_exit(126);
	if (drop && (setgroups(0, NULL) < 0 || setgid(gid) < 0 || setuid(uid) < 0))
		_exit(126);
	(void)unsetenv("ASAN_OPTIONS");
	// After setuid, which clears it; the parent may have died before.
	if (prctl(PR_SET_PDEATHSIG, death_signal) < 0 || getppid() != parent)
		_exit(126);
	(void)execv(argv[0], (char *const *)argv);
	_exit(127);
}

// The exit status, or -1 when the process had to be killed.
static inline int process_wait(pid_t pid)
{
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	for (;;) {
		int status = 0;
		if (waitpid(pid, &status, WNOHANG) == pid)
			return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
		if (clock_mono_ms() > deadline_ms) {
			(void)kill(pid, SIGKILL);
			(void)waitpid(pid, &status, 0);
			return -1;
		}
		process_pause();
	}
}

static inline void process_stop(pid_t *pid, int signal_number)
{
	if (*pid <= 0)
		return;
	(void)kill(*pid, signal_number);
	(void)process_wait(*pid);
	*pid = 0;
}

static inline struct sockaddr_in process_address(int port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

// A listening socket on a port that the kernel chose, on 127.0.0.1.
static inline int process_listen(int *port)
{
	struct sockaddr_in address = process_address(0);
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 16) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) < 0) {
		perror("listen");
		abort();
	}
	*port = ntohs(address.sin_port);
	return fd;
}

static inline int process_free_port(void)
{
	int port;
	(void)close(process_listen(&port));
	return port;
}

static inline int process_connect(int port)
{
	struct sockaddr_in address = process_address(port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return fd;
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

// Until something listens there; false when the process ends, or time is up.
static inline bool process_listening(pid_t pid, int port)
{
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (clock_mono_ms() < deadline_ms) {
		int fd = process_connect(port);
		if (fd >= 0) {
			(void)close(fd);
			return true;
		}
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return false;
		process_pause();
	}
	return false;
}

static inline void process_show(const char *log_path)
{
	FILE *log = fopen(log_path, "re");
	char line[512];
	while (log && fgets(line, sizeof(line), log))
		(void)fprintf(stderr, "%s: %s", log_path, line);
	if (log)
		(void)fclose(log);
}
