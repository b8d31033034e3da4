#include "agent/platform.h"

#include "agent/system.h"
#include "common/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_BYTES 16384
#define SERIAL_TIMEOUT_MS 2000

struct probe {
	const char *argv[8]; // the first below the root
	int64_t every_ms, timeout_ms;
	size_t output_max_bytes; // beyond it is ended, and what came is used
	bool for_reading;
	void (*take)(struct platform *platform, const char *text, bool truncated);
};

static void take_properties(struct platform *platform, const char *text, bool truncated)
{
	char ignored[ANDROID_PROPERTY_MAX];
	if (!android_property(text, "ro.build.version.release", ignored))
		return;
	json_free(platform->hardware);
	platform->hardware = json_new_object();
	android_hardware(text, platform->hardware);
}

static void take_battery(struct platform *platform, const char *text, bool truncated)
{
	platform->battery_known = android_battery_parse(text, &platform->battery) && platform->battery.present;
}

static void take_network(struct platform *platform, const char *text, bool truncated)
{
	platform->network_known = android_network_parse(text, &platform->network);
}

static void take_signal(struct platform *platform, const char *text, bool truncated)
{
	platform->signal_known = android_signal_parse(text, &platform->signal_dbm);
}

static void take_packages(struct platform *platform, const char *text, bool truncated)
{
	struct json *content = json_new_object();
	android_packages(text, truncated, content);
	if (json_array_length(json_member(content, "packages")) == 0) {
		json_free(content);
		return;
	}
	json_free(platform->software);
	platform->software = content;
}

#define SECONDS 1000LL
#define HOURS (3600 * SECONDS)

// In the order in which they are run when several are due.
static const struct probe probes[PLATFORM_PROBES] = {
	{{"/system/bin/dumpsys", "battery"}, 60 * SECONDS, 5 * SECONDS, 16384, true, take_battery},
	{{"/system/bin/dumpsys", "connectivity"}, 300 * SECONDS, 10 * SECONDS, 524288, true, take_network},
	{{"/system/bin/dumpsys", "telephony.registry"}, 300 * SECONDS, 10 * SECONDS, 262144, true, take_signal},
	{{"/system/bin/getprop"}, 24 * HOURS, 5 * SECONDS, 262144, true, take_properties},
	{{"/system/bin/pm", "list", "packages", "-f", "--show-versioncode"}, 6 * HOURS, 30 * SECONDS, 524288, false,
	 take_packages},
};

bool platform_is_android(const char *root)
{
	return system_exists(root, "/system/bin/getprop");
}

void platform_init(struct platform *platform, const char *root)
{
	*platform = (struct platform){
		.root = root,
		.android = platform_is_android(root),
		.running = PLATFORM_PROBES,
		.fd = -1,
		.first_round = true,
	};
}

// ---- children ----

// A session of its own, so that whatever it starts ends with it; signals as at a login.
static bool spawn_into(const char *root, const struct probe *probe, int output_fd, pid_t *child)
{
	char path[PATH_MAX];
	char *argv[sizeof(probe->argv) / sizeof(probe->argv[0])] = {0};
	posix_spawnattr_t attributes;
	posix_spawn_file_actions_t files;
	sigset_t none;
	sigset_t all;
	sigemptyset(&none);
	sigfillset(&all);
	if (snprintf(path, sizeof(path), "%s%s", root, probe->argv[0]) >= (int)sizeof(path))
		return false;
	for (size_t i = 0; probe->argv[i]; i++)
		argv[i] = (char *)probe->argv[i];
	if (posix_spawnattr_init(&attributes) != 0 || posix_spawn_file_actions_init(&files) != 0)
		abort();
	bool ok = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK |
								POSIX_SPAWN_SETSIGDEF) == 0 &&
		  posix_spawnattr_setsigmask(&attributes, &none) == 0 &&
		  posix_spawnattr_setsigdefault(&attributes, &all) == 0 &&
		  posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0) == 0 &&
		  posix_spawn_file_actions_adddup2(&files, output_fd, 1) == 0 &&
		  posix_spawn_file_actions_addopen(&files, 2, "/dev/null", O_WRONLY, 0) == 0 &&
		  posix_spawn(child, path, &files, &attributes, argv, environ) == 0;
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&files);
	return ok;
}

// The child's output; -1 when it can't be started.
static int start_child(const char *root, const struct probe *probe, pid_t *child)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -1;
	auto_close int read_end = ends[0];
	auto_close int write_end = ends[1];
	if (fcntl(read_end, F_SETFL, O_NONBLOCK) < 0 || !spawn_into(root, probe, write_end, child))
		return -1;
	return steal_fd(read_end);
}

static void end_child(pid_t child)
{
	int status;
	(void)kill(-child, SIGKILL);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
	}
}

// Reads what there is. *ended: no more will come, or no more is wanted.
static void read_output(int fd, struct buf *output, bool *ended)
{
	char bytes[READ_BYTES];
	for (;;) {
		ssize_t got = read(fd, bytes, sizeof(bytes));
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && errno == EAGAIN)
			return;
		size_t room = output->max_bytes - output->len_bytes;
		if (got > 0)
			(void)buf_add(output, bytes, (size_t)got < room ? (size_t)got : room);
		if (got <= 0 || (size_t)got >= room) {
			output->overflowed = got > 0;
			*ended = true;
			return;
		}
	}
}

// ---- the probes ----

static void finish(struct platform *platform, int64_t now_ms)
{
	const struct probe *probe = &probes[platform->running];
	end_child(platform->child);
	(void)close(steal_fd(platform->fd));
	probe->take(platform, buf_str(&platform->output), platform->output.overflowed);
	buf_done(&platform->output);
	platform->due_ms[platform->running] = now_ms + probe->every_ms;
	platform->running = PLATFORM_PROBES;
}

static void start_next(struct platform *platform, int64_t now_ms)
{
	platform->first_round = false;
	for (size_t i = 0; i < PLATFORM_PROBES; i++) {
		if (now_ms < platform->due_ms[i])
			continue;
		platform->fd = start_child(platform->root, &probes[i], &platform->child);
		if (platform->fd < 0) {
			platform->due_ms[i] = now_ms + probes[i].every_ms;
			continue;
		}
		platform->running = i;
		platform->deadline_ms = now_ms + probes[i].timeout_ms;
		buf_init(&platform->output, probes[i].output_max_bytes);
		break;
	}
	for (size_t i = 0; i < PLATFORM_PROBES; i++)
		platform->first_round = platform->first_round || (probes[i].for_reading && platform->due_ms[i] == 0);
}

int platform_fd(const struct platform *platform)
{
	return platform->fd;
}

int64_t platform_timeout_ms(const struct platform *platform, int64_t now_ms)
{
	if (!platform->android)
		return -1;
	int64_t at_ms = platform->running < PLATFORM_PROBES ? platform->deadline_ms : INT64_MAX;
	for (size_t i = 0; platform->running == PLATFORM_PROBES && i < PLATFORM_PROBES; i++) {
		if (platform->due_ms[i] < at_ms)
			at_ms = platform->due_ms[i];
	}
	return at_ms > now_ms ? at_ms - now_ms : 0;
}

void platform_poll(struct platform *platform, int64_t now_ms)
{
	if (!platform->android)
		return;
	if (platform->running < PLATFORM_PROBES) {
		bool ended = false;
		read_output(platform->fd, &platform->output, &ended);
		if (!ended && now_ms < platform->deadline_ms)
			return;
		platform->output.overflowed = platform->output.overflowed || !ended;
		finish(platform, now_ms);
	}
	start_next(platform, now_ms);
}

bool platform_ready(const struct platform *platform)
{
	return !platform->android || !platform->first_round;
}

void platform_done(struct platform *platform)
{
	if (platform->running < PLATFORM_PROBES && platform->fd >= 0) {
		end_child(platform->child);
		(void)close(steal_fd(platform->fd));
		buf_done(&platform->output);
		platform->running = PLATFORM_PROBES;
	}
	json_free(platform->hardware);
	json_free(platform->software);
	platform->hardware = NULL;
	platform->software = NULL;
}

// ---- what they told ----

// Where everything of the user lives; the root file system is read-only and always full.
static void add_disk(const char *root, struct json *reading)
{
	char path[PATH_MAX];
	struct statvfs fs;
	if (snprintf(path, sizeof(path), "%s/data", root) >= (int)sizeof(path) || statvfs(path, &fs) < 0)
		return;
	json_set_int(reading, "disk_total", (int64_t)fs.f_blocks * (int64_t)fs.f_frsize);
	json_set_int(reading, "disk_free", (int64_t)fs.f_bavail * (int64_t)fs.f_frsize);
}

void platform_reading(const struct platform *platform, struct json *reading)
{
	if (!platform->android)
		return;
	add_disk(platform->root, reading);
	if (platform->battery_known) {
		json_set_double(reading, "battery_pct", platform->battery.level_pct);
		json_set_bool(reading, "charging", platform->battery.charging);
		if (platform->battery.has_temperature) {
			json_set_double(reading, "battery_temperature_c", platform->battery.temperature_c);
			if (!json_member(reading, "temperature_c")) // Android closes the thermal zones to most
				json_set_double(reading, "temperature_c", platform->battery.temperature_c);
		}
	}
	if (!platform->network_known)
		return;
	json_set_string(reading, "network_type", platform->network.type);
	if (platform->network.has_signal)
		json_set_double(reading, "rssi_dbm", (double)platform->network.signal_dbm);
	else if (platform->signal_known && strcmp(platform->network.type, "cellular") == 0)
		json_set_double(reading, "rssi_dbm", (double)platform->signal_dbm);
}

char *platform_serial(const char *root)
{
	static const struct probe getprop = {{"/system/bin/getprop"}, 0, SERIAL_TIMEOUT_MS, 262144, false, NULL};
	struct buf output auto_buf = {0};
	char serial[ANDROID_PROPERTY_MAX];
	pid_t child = 0;
	if (!platform_is_android(root))
		return NULL;
	auto_close int fd = start_child(root, &getprop, &child);
	if (fd < 0)
		return NULL;
	buf_init(&output, getprop.output_max_bytes);
	int64_t deadline_ms = clock_mono_ms() + getprop.timeout_ms;
	for (bool ended = false; !ended && clock_mono_ms() < deadline_ms;) {
		struct pollfd watch = {.fd = fd, .events = POLLIN};
		(void)poll(&watch, 1, SERIAL_TIMEOUT_MS / 10);
		read_output(fd, &output, &ended);
	}
	end_child(child);
	return android_serial(buf_str(&output), serial) ? strdup(serial) : NULL;
}
