#include "tools/sim/swarm.h"

#include "common/clock.h"
#include "common/daemon.h"
#include "common/file.h"
#include "common/json.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>

#define EVENTS_PER_TURN 512
#define DUE_PER_TURN 512
#define WAIT_MAX_MS 1000
#define FDS_SPARE 256       // besides one for each device: files, and names being resolved
#define ENROLL_PATIENCE_MS 120000
#define GOODBYES_MS 10000   // for all devices together
#define SCRATCH_MAX_BYTES PAYLOAD_MAX_BYTES

// --- preparation ----------------------------------------------------------------------------------------------------

static bool raise_descriptors(size_t devices, struct error *error)
{
	rlim_t need = devices + FDS_SPARE;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return error_errno(error, errno, "cannot read the limit of open files");
	if (limit.rlim_cur >= need)
		return true;
	struct rlimit wanted = {.rlim_cur = need, .rlim_max = limit.rlim_max > need ? limit.rlim_max : need};
	if (setrlimit(RLIMIT_NOFILE, &wanted) < 0)
		return error_errno(error, errno,
				   "%zu devices need %llu open files, and the hard limit is %llu (ulimit -Hn)", devices,
				   (unsigned long long)need, (unsigned long long)limit.rlim_max);
	return true;
}

static int open_signals(struct error *error)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
		error_errno(error, errno, "cannot block signals");
		return -1;
	}
	int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		error_errno(error, errno, "cannot make a signal descriptor");
	return fd;
}

static bool open_loop(struct swarm *swarm, struct error *error)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};

	swarm->signal_fd = open_signals(error);
	if (swarm->signal_fd < 0)
		return false;
	swarm->shared.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (swarm->shared.epoll_fd < 0 ||
	    epoll_ctl(swarm->shared.epoll_fd, EPOLL_CTL_ADD, swarm->signal_fd, &event) < 0)
		return error_errno(error, errno, "cannot make the loop");
	return true;
}

static bool name_device(struct swarm *swarm, size_t index, struct error *error)
{
	struct identity *identity = &swarm->devices[index].identity;
	const char *prefix = swarm->shared.options->prefix;

	int len_bytes = snprintf(identity->device, sizeof(identity->device), "%s%03zu", prefix, index + 1);
	if (len_bytes < 0 || (size_t)len_bytes >= sizeof(identity->device) || !topic_is_device_id(identity->device))
		return error_set(error, ERROR_INVALID,
				 "--prefix '%s' does not make a device id: [a-z0-9][a-z0-9-]{0,62}", prefix);
	return true;
}

// Waits between tries; false when a signal said that the program is to end.
static bool pause_for(const struct swarm *swarm, int64_t wait_ms)
{
	struct pollfd watch = {.fd = swarm->signal_fd, .events = POLLIN};
	struct signalfd_siginfo info;

	if (poll(&watch, 1, (int)wait_ms) <= 0)
		return true;
	while (read(swarm->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo != SIGUSR1) // there is nothing to sum up yet
			return false;
	}
	return true;
}

static bool enroll_patiently(struct swarm *swarm, struct http_client *bridge, const char *token, const char *dir,
			     struct identity *identity, struct error *error)
{
	char device[DEVICE_ID_MAX + 1];
	char fingerprint[SHA256_HEX_BYTES];
	int64_t give_up_ms = clock_mono_ms() + ENROLL_PATIENCE_MS;
	struct error last;

	(void)snprintf(device, sizeof(device), "%s", identity->device);
	device_fingerprint(device, fingerprint);
	for (unsigned attempt = 0;; attempt++) {
		last = (struct error){.kind = ERROR_NONE};
		if (identity_enroll(bridge, token, device, fingerprint, dir, identity, &last))
			return true;
		bool worth_it = last.kind == ERROR_UNREACHABLE || last.kind == ERROR_LIMIT ||
				last.kind == ERROR_TIMEOUT;
		if (!worth_it || clock_mono_ms() > give_up_ms ||
		    !pause_for(swarm, 200 + clock_backoff_ms(attempt, 200, 5000)))
			break;
	}
	if (error)
		*error = last;
	return error_prefix(error, "%s cannot enrol", device);
}

// From its folder, or by enrolling. *enrolled: the latter.
static bool find_identity(struct swarm *swarm, struct http_client *bridge, const char *token,
			  struct identity *identity, bool *enrolled, struct error *error)
{
	const struct options *options = swarm->shared.options;
	struct error local = {.kind = ERROR_NONE};
	auto_free char *dir = NULL;

	if (asprintf(&dir, "%s/%s", options->state_dir, identity->device) < 0)
		return error_set(error, ERROR_FAILED, "no memory for a path");
	*enrolled = !identity_load(dir, identity, &local);
	if (*enrolled && local.kind != ERROR_NOT_FOUND) {
		if (error)
			*error = local;
		return false;
	}
	if (*enrolled && !pause_for(swarm, 0))
		return error_set(error, ERROR_FAILED,
				 "interrupted while devices enrol; the others keep their identity");
	if (*enrolled && !enroll_patiently(swarm, bridge, token, dir, identity, error))
		return false;
	return !options->sign || identity_sign(dir, identity, error);
}

static bool enroll_all(struct swarm *swarm, struct error *error)
{
	const struct options *options = swarm->shared.options;
	auto_free char *token = file_read_secret(options->token_file, 4096, error);
	struct http_client *bridge cleanup(http_client_free_cleanup) = NULL;
	size_t enrolled = 0;

	if (!token)
		return false;
	bridge = http_client_new(options->bridge_url, options->ca_file, NULL, error);
	if (!bridge)
		return false;
	for (size_t i = 0; i < swarm->count; i++) {
		bool fresh = false;

		if (!find_identity(swarm, bridge, token, &swarm->devices[i].identity, &fresh, error))
			return false;
		enrolled += fresh;
		if (fresh && enrolled % 1000 == 0)
			log_info("enrolled", "devices", log_number((int64_t)enrolled));
	}
	log_info("enrolled", "devices", log_number((int64_t)enrolled), "known",
		 log_number((int64_t)(swarm->count - enrolled)));
	crypto_wipe(token, strlen(token));
	return true;
}

// The devices that an id belongs to are numbered: the number leads to its device.
static void replay_line(struct swarm *swarm, const char *line)
{
	size_t prefix_bytes = strlen(swarm->shared.options->prefix);

	if (strncmp(line, swarm->shared.options->prefix, prefix_bytes) != 0)
		return;
	unsigned long number = strtoul(line + prefix_bytes, NULL, 10);
	if (number < 1 || number > swarm->count)
		return;
	struct device *device = &swarm->devices[number - 1];
	(void)obey_replay(&device->obey, device->identity.device, line);
}

static bool open_journal(struct swarm *swarm, struct error *error)
{
	const struct options *options = swarm->shared.options;
	auto_free char *path = NULL;
	auto_free char *line = NULL;
	size_t capacity_bytes = 0;

	if (options->plain_port)
		return true;
	if (asprintf(&path, "%s/%scommands.journal", options->state_dir, options->prefix) < 0)
		return error_set(error, ERROR_FAILED, "no memory for a path");
	auto_fclose FILE *file = fopen(path, "re");
	if (!file && errno != ENOENT)
		return error_errno(error, errno, "cannot read %s", path);
	while (file && getline(&line, &capacity_bytes, file) > 0)
		replay_line(swarm, line);
	return ledger_open(&swarm->shared.journal, path, error);
}

static bool open_all(struct swarm *swarm, struct error *error)
{
	const struct options *options = swarm->shared.options;

	swarm->devices = calloc(swarm->count, sizeof(*swarm->devices));
	if (!swarm->devices || !schedule_init(&swarm->shared.schedule, swarm->count))
		return error_set(error, ERROR_FAILED, "no memory for %zu devices", swarm->count);
	for (size_t i = 0; i < swarm->count; i++) {
		swarm->devices[i].watched_fd = -1;
		if (!name_device(swarm, i, error))
			return false;
	}
	if (!raise_descriptors(swarm->count, error) || !open_loop(swarm, error) ||
	    !ledger_open(&swarm->shared.ledger, options->ledger_file, error))
		return false;
	if (options->plain_port) {
		for (size_t i = 0; i < swarm->count; i++)
			swarm->devices[i].identity.port = (int)options->plain_port;
		return true;
	}
	return file_mkdirs(options->state_dir, 0700, error) && open_journal(swarm, error) && enroll_all(swarm, error);
}

bool swarm_init(struct swarm *swarm, const struct options *options, struct error *error)
{
	*swarm = (struct swarm){.count = (size_t)options->count, .signal_fd = -1};
	struct shared *shared = &swarm->shared;

	shared->options = options;
	shared->epoll_fd = -1;
	shared->journal.fd = -1;
	shared->ledger.fd = -1;
	buf_init(&shared->scratch, SCRATCH_MAX_BYTES);
	if (!open_all(swarm, error)) {
		swarm_done(swarm);
		return false;
	}
	swarm->started_ms = clock_mono_ms();
	for (size_t i = 0; i < swarm->count; i++)
		device_init(&swarm->devices[i], shared, (uint64_t)options->seed * 1000003 + i,
			    swarm->started_ms + (int64_t)i * 1000 / options->connect_rate);
	return true;
}

void swarm_done(struct swarm *swarm)
{
	for (size_t i = 0; swarm->devices && i < swarm->count; i++)
		device_done(&swarm->devices[i]);
	free(swarm->devices);
	ledger_close(&swarm->shared.ledger);
	ledger_close(&swarm->shared.journal);
	schedule_done(&swarm->shared.schedule);
	buf_done(&swarm->shared.scratch);
	if (swarm->shared.epoll_fd >= 0)
		(void)close(swarm->shared.epoll_fd);
	if (swarm->signal_fd >= 0)
		(void)close(swarm->signal_fd);
	*swarm = (struct swarm){.signal_fd = -1};
}

// --- the summary ----------------------------------------------------------------------------------------------------

static void sum_outboxes(const struct swarm *swarm, uint64_t *waiting, uint64_t *seqs)
{
	*waiting = 0;
	*seqs = 0;
	for (size_t i = 0; i < swarm->count; i++) {
		*waiting += swarm->devices[i].outbox.count;
		*seqs += (uint64_t)swarm->devices[i].outbox.next_seq - 1;
	}
}

void swarm_print_summary(const struct swarm *swarm, FILE *out)
{
	const struct totals *totals = &swarm->shared.totals;
	uint64_t waiting;
	uint64_t seqs;

	sum_outboxes(swarm, &waiting, &seqs);
	const struct {
		const char *name;
		uint64_t value;
	} rows[] = {
		{"devices", swarm->count},
		{"connected", swarm->shared.connected},
		{"readings", totals->readings},
		{"seqs", seqs}, // readings, events and results: lines in the ledger
		{"sent", totals->sent},
		{"stored", totals->stored},
		{"forgotten", totals->forgotten},
		{"waiting", waiting},
		{"resent", totals->resent},
		{"pubacks", totals->pubacks},
		{"hellos", totals->hellos},
		{"reconnects", totals->reconnects},
		{"commands", totals->commands},
		{"refused", totals->refused},
		{"elapsed_ms", (uint64_t)(clock_mono_ms() - swarm->started_ms)},
	};
	bool json = swarm->shared.options->json;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (json)
			(void)fprintf(out, "%s\"%s\":%" PRIu64, i ? "," : "{", rows[i].name, rows[i].value);
		else
			(void)fprintf(out, "%s%s %" PRIu64, i ? "  " : "", rows[i].name, rows[i].value);
	}
	(void)fputs(json ? "}\n" : "\n", out);
	(void)fflush(out);
}

// --- the loop -------------------------------------------------------------------------------------------------------

static void begin_stop(struct swarm *swarm)
{
	struct shared *shared = &swarm->shared;
	long drain_s = shared->options->drain_s;

	// A second signal ends the patience of the first.
	if (shared->draining || drain_s == 0)
		swarm->stopping = true;
	shared->draining = true;
	swarm->stop_ms = clock_mono_ms() + drain_s * 1000;
	daemon_stopping();
	for (size_t i = 0; i < swarm->count; i++)
		device_touch(&swarm->devices[i]); // each is counted as finished or not
}

static void take_signals(struct swarm *swarm)
{
	struct signalfd_siginfo info;

	while (read(swarm->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGUSR1)
			swarm_print_summary(swarm, stdout);
		else
			begin_stop(swarm);
	}
}

static int wait_ms(const struct swarm *swarm)
{
	const struct schedule_item *first = schedule_first(&swarm->shared.schedule);
	int64_t wait = first ? first->due_ms - clock_mono_ms() : WAIT_MAX_MS;

	if (wait < 0)
		return 0;
	return wait > WAIT_MAX_MS ? WAIT_MAX_MS : (int)wait;
}

static bool take_in(struct swarm *swarm, struct error *error)
{
	struct epoll_event events[EVENTS_PER_TURN];
	int count = epoll_wait(swarm->shared.epoll_fd, events, EVENTS_PER_TURN, wait_ms(swarm));

	if (count < 0 && errno != EINTR)
		return error_errno(error, errno, "the loop cannot wait");
	for (int i = 0; i < count; i++) {
		if (events[i].data.ptr)
			device_io(events[i].data.ptr);
		else
			take_signals(swarm);
	}
	return true;
}

static void make_due(struct swarm *swarm)
{
	int64_t now_ms = clock_mono_ms();

	for (int i = 0; i < DUE_PER_TURN; i++) {
		struct schedule_item *item = schedule_first(&swarm->shared.schedule);

		if (!item || item->due_ms > now_ms)
			return;
		// Scheduled anew by device_send, in the third step of this turn.
		schedule_set(&swarm->shared.schedule, item, SCHEDULE_NEVER);
		device_due((struct device *)item, now_ms);
	}
}

static void send_touched(struct swarm *swarm)
{
	int64_t now_ms = clock_mono_ms();
	struct device *device = steal(swarm->shared.touched);

	while (device) {
		struct device *next = device->next_touched;

		device->touched = false;
		device_send(device, now_ms);
		device = next;
	}
}

static void tell_readiness(struct swarm *swarm)
{
	if (swarm->shared.connected == swarm->count)
		log_fault_over(&swarm->shared.session_fault, "session.lost");
	if (swarm->ready_told || swarm->shared.connected < swarm->count)
		return;
	swarm->ready_told = true;
	log_info("ready", "devices", log_number((int64_t)swarm->count));
	daemon_ready();
}

static bool is_over(const struct swarm *swarm)
{
	const struct shared *shared = &swarm->shared;
	bool ends = shared->options->limit > 0 || shared->draining;

	return swarm->stopping || (ends && shared->finished == swarm->count) ||
	       (shared->draining && clock_mono_ms() >= swarm->stop_ms);
}

static void say_goodbyes(struct swarm *swarm)
{
	int64_t end_ms = clock_mono_ms() + GOODBYES_MS;

	for (size_t i = 0; i < swarm->count; i++)
		device_stop(&swarm->devices[i], clock_mono_ms() < end_ms ? 100 : 0);
}

bool swarm_run(struct swarm *swarm, bool *complete, struct error *error)
{
	struct shared *shared = &swarm->shared;

	while (!is_over(swarm)) {
		if (!take_in(swarm, error))
			return false;
		make_due(swarm);
		if (!ledger_flush(&shared->ledger, error) || !ledger_flush(&shared->journal, error))
			return false;
		send_touched(swarm);
		tell_readiness(swarm);
		if (shared->failure)
			return error_set(error, ERROR_FAILED, "%s", shared->failure);
	}
	*complete = shared->finished == swarm->count;
	say_goodbyes(swarm);
	return true;
}
