#include "agent/agent_internal.h"

#include "agent/action.h"
#include "agent/lock.h"
#include "agent/memory.h"
#include "agent/push.h"
#include "agent/system.h"
#include "common/clock.h"
#include "common/daemon.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- what changes while it runs ----

static void on_interval_changed(void *user, int64_t seconds)
{
	struct agent *agent = user;
	agent->facts.interval_s = seconds;
	agent_heartbeat_later(agent, clock_mono_ms());
	uplink_hello(&agent->uplink);
	log_info("interval.changed", "interval_s", log_number(seconds));
}

static void on_settings_changed(void *user, const struct json *settings)
{
	struct agent *agent = user;
	int64_t replay_per_s;
	const char *text;
	enum log_level level;
	if (json_member_int(settings, "outbox.replay_per_s", &replay_per_s))
		agent->uplink.replay_per_s = replay_per_s;
	if (json_member_string(settings, "log_level", &text) && log_level_parse(text, &level))
		log_init("muster-agent", level);
	log_info("settings.changed");
}

static void on_signers_changed(void *user)
{
	struct agent *agent = user;
	char version[24];
	(void)snprintf(version, sizeof(version), "%" PRId64, agent->identity.signers);
	agent->facts.signers = agent->identity.signers;
	uplink_hello(&agent->uplink);
	log_info("signers.changed", "version", version, "keys", log_number((int64_t)agent->identity.command_key_count));
	(void)agent_push_event(agent, "signers.changed", "version", version);
}

// By the key of the connection: it is in memory there anyway, and its certificate is known to the server.
static bool sign_result(void *user, const void *data, size_t len_bytes, char out[SIGNATURE_TEXT_MAX],
			struct error *error)
{
	struct agent *agent = user;
	return tls_sign(agent->tls, data, len_bytes, out, error);
}

// ---- the loop ----

static int timeout_ms(const struct agent *agent)
{
	int64_t now_ms = clock_mono_ms();
	int64_t wait_ms = agent->heartbeat_ms - now_ms;
	int64_t deadline_ms = uplink_deadline_ms(&agent->uplink);
	int64_t mqtt_ms = mqtt_timeout_ms(agent->mqtt);
	int64_t child_ms = executor_timeout_ms(&agent->executor);
	int64_t watch_ms = watch_timeout_ms(&agent->watch, now_ms);
	if (deadline_ms != INT64_MAX && deadline_ms - now_ms < wait_ms)
		wait_ms = deadline_ms - now_ms;
	if (mqtt_ms >= 0 && mqtt_ms < wait_ms)
		wait_ms = mqtt_ms;
	if (child_ms >= 0 && child_ms < wait_ms)
		wait_ms = child_ms;
	if (watch_ms >= 0 && watch_ms < wait_ms)
		wait_ms = watch_ms;
	int64_t wake_ms = wake_socket_timeout_ms(&agent->wake, now_ms);
	if (wake_ms >= 0 && wake_ms < wait_ms)
		wait_ms = wake_ms;
	if (contact_deadline_ms(&agent->contact) - now_ms < wait_ms)
		wait_ms = contact_deadline_ms(&agent->contact) - now_ms;
	int64_t platform_ms = platform_timeout_ms(&agent->platform, now_ms);
	if (platform_ms >= 0 && (platform_ms < wait_ms || !platform_ready(&agent->platform)))
		wait_ms = platform_ms;
	if (wait_ms < 0)
		return 0;
	return wait_ms > 60000 ? 60000 : (int)wait_ms;
}

static void send_waiting(struct agent *agent)
{
	struct error error = {0};
	uint64_t published = agent->uplink.published;
	if (uplink_pump(&agent->uplink, clock_mono_ms(), clock_wall_ms(), &error))
		log_fault_over(&agent->send_fault, "uplink.send");
	else
		log_fault(&agent->send_fault, "uplink.send", &error);
	mqtt_write(agent->mqtt);
	if (agent->uplink.published > published)
		crash_here(&agent->crash, CRASH_PUBLISH);
}

// False when even a new outbox could not be made.
static bool replace_damaged(struct agent *agent, struct error *error)
{
	if (!outbox_damaged(agent->outbox))
		return true;
	if (!outbox_reset(agent->outbox, error))
		return error_prefix(error, "the outbox is damaged, and a new one can't be made");
	log_error("outbox.reset", "cause", "damaged while in use", "epoch", outbox_epoch(agent->outbox));
	agent->first_told = false;
	(void)agent_push_event(agent, "outbox.reset", "reason", "damaged while in use");
	agent->executor.counter_unsaved = true;
	return outbox_set_int(agent->outbox, "counter", agent->executor.counter_high, error) &&
	       outbox_set_int(agent->outbox, "server_time", agent->executor.server_time_s, error) &&
	       outbox_set_int(agent->outbox, "session", agent->session_reserved, error) &&
	       outbox_set_int(agent->outbox, "interval_s", agent->facts.interval_s, error);
}

// ---- waking and sleeping ----

static void on_wake(void *user)
{
	struct agent *agent = user;
	contact_wake(&agent->contact, clock_mono_ms());
}

static bool on_push_token(void *user, const char *token, struct error *error)
{
	struct agent *agent = user;
	char *copy auto_free = strdup(token);
	if (!copy)
		return error_errno(error, ENOMEM, "cannot keep the push token");
	if (!push_token_store(agent->identity.state_dir, token, error))
		return false;
	free(agent->push_token);
	agent->push_token = steal(copy);
	agent->facts.push_token = agent->push_token;
	uplink_hello(&agent->uplink);
	contact_wake(&agent->contact, clock_mono_ms()); // so that it is told
	log_info("push_token.changed", "set", *token ? "yes" : "no");
	return true;
}

static void wake_up(struct agent *agent, int64_t now_ms)
{
	wake_socket_poll(&agent->wake, now_ms);
	if (!contact_woken(&agent->contact, now_ms))
		return;
	log_info("agent.woken", "connected", mqtt_connected(agent->mqtt) ? "yes" : "no");
	if (mqtt_connected(agent->mqtt))
		agent->heartbeat_ms = now_ms; // also finds out whether the connection still holds
	else
		mqtt_connect_now(agent->mqtt);
}

static void fall_asleep(struct agent *agent)
{
	bool connected = mqtt_connected(agent->mqtt);
	bool idle = outbox_rows(agent->outbox) == 0 && agent->uplink.unacknowledged == 0 && !agent->uplink.hello_due &&
		    executor_timeout_ms(&agent->executor) < 0;
	struct error fault = {0};
	if (!contact_sleep(&agent->contact, connected, idle, clock_mono_ms()))
		return;
	session_end(agent, "sleep");
	uplink_disconnected(&agent->uplink);
	if (!session_next(agent, &fault))
		log_fault(&agent->send_fault, "uplink.send", &fault);
	log_info("agent.sleeps", "connected", connected ? "yes" : "no");
	daemon_status("asleep until the next heartbeat");
}

static bool turn(struct agent *agent, int signal_fd, bool *stop, struct error *error)
{
	struct error fault = {0};
	struct pollfd watches[] = {
		{.fd = signal_fd, .events = POLLIN},
		{.fd = mqtt_fd(agent->mqtt), .events = (short)mqtt_poll_events(agent->mqtt)},
		{.fd = executor_fd(&agent->executor), .events = POLLIN},
		{.fd = agent->fetch.fd, .events = POLLIN},
		{.fd = platform_fd(&agent->platform), .events = POLLIN},
		{.fd = watch_fd(&agent->watch), .events = POLLIN},
		{.fd = wake_socket_fd(&agent->wake), .events = POLLIN},
	};
	if (poll(watches, sizeof(watches) / sizeof(watches[0]), timeout_ms(agent)) < 0 && errno != EINTR)
		return error_errno(error, errno, "cannot wait for events");
	*stop = watches[0].revents != 0 || executor_may_leave(&agent->executor);

	if (!mqtt_connected(agent->mqtt))
		memory_settle(); // a handshake needs the most: let no two steps of it add up
	(void)mqtt_read(agent->mqtt, AGENT_READ_MAX);
	if (!executor_poll(&agent->executor, &fault))
		agent_outbox_result(agent, false, &fault);
	int64_t now_ms = clock_mono_ms();
	platform_poll(&agent->platform, now_ms);
	watch_poll(&agent->watch, now_ms);
	wake_up(agent, now_ms);
	if (now_ms >= agent->heartbeat_ms && platform_ready(&agent->platform)) {
		agent_heartbeat(agent, now_ms);
		if (contact_heartbeat(&agent->contact, now_ms))
			mqtt_connect_now(agent->mqtt);
	}
	send_waiting(agent);
	session_poll_bridge(agent);
	session_renewal_result(
		agent, renew_tick(&agent->renew, mqtt_connected(agent->mqtt), clock_mono_ms(), clock_wall_ms(), &fault),
		&fault);
	mqtt_tick(agent->mqtt);
	// After the answer has left.
	if (executor_save_counter(&agent->executor, &fault))
		log_fault_over(&agent->counter_fault, "counter.write");
	else
		log_fault(&agent->counter_fault, "counter.write", &fault);
	fall_asleep(agent);
	return replace_damaged(agent, error);
}

// ---- making it ----

static bool read_facts(struct agent *agent, struct error *error)
{
	agent->facts = (struct uplink_facts){
		.interval_s = outbox_get_int(agent->outbox, "interval_s", agent->options->interval_s),
		.boot_id = agent->boot_id,
		.fingerprint = agent->fingerprint,
		.certificate = agent->renew.info.serial,
		.not_after = agent->renew.not_after,
		.trust = agent->renew.trust,
		.actions = agent->options->actions,
		.signers = agent->identity.signers,
	};
	const char *device = agent->identity.device;
	return (topic_build(agent->telemetry_topic, TOPIC_TELEMETRY, device, NULL) &&
		topic_build(agent->event_topic, TOPIC_EVENT, device, NULL)) ||
	       error_set(error, ERROR_INVALID, "%s is no device id", device);
}

static bool open_outbox(struct agent *agent, struct error *reset, struct error *error)
{
	char *boot_id auto_free = system_read(agent->root, "/proc/sys/kernel/random/boot_id");
	(void)snprintf(agent->boot_id, sizeof(agent->boot_id), "%s", boot_id ? boot_id : "");
	struct outbox_options options = {
		.path = agent->identity.outbox_file,
		.boot_id = *agent->boot_id ? agent->boot_id : NULL,
		.rows_max = agent->options->outbox_rows_max,
		.bytes_max = agent->options->outbox_bytes_max,
		.crash = &agent->crash,
	};
	agent->outbox = outbox_open(&options, reset, error);
	return agent->outbox != NULL;
}

static bool start_executor(struct agent *agent, struct error *error)
{
	struct executor_options options = {
		.outbox = agent->outbox,
		.identity = &agent->identity,
		.root = agent->root,
		.boot_id = agent->boot_id,
		.config = agent->options,
		.crash = &agent->crash,
		.interval_changed = on_interval_changed,
		.settings_changed = on_settings_changed,
		.signers_changed = on_signers_changed,
		.sign = sign_result,
		.user = agent,
	};
	return executor_init(&agent->executor, &options, error);
}

static bool start_watch(struct agent *agent, struct error *error)
{
	const struct watch_port port = {agent_tell_about_app, agent};
	const struct plan place = {
		.root = agent->root,
		.android = agent->platform.android,
		.device = agent->identity.device,
		.options = agent->options,
	};
	return watch_init(&agent->watch, &place, agent->outbox, &port, error);
}

// Without it the device is still reached at its heartbeats: no reason not to run.
static void open_wake_socket(struct agent *agent)
{
	const struct agent_options *options = agent->options;
	char *path auto_free = NULL;
	struct error error = {0};
	if (!options->wake_socket && asprintf(&path, "%s/wake.sock", agent->identity.state_dir) < 0)
		path = NULL;
	const char *at = options->wake_socket ? options->wake_socket : path;
	if (!at || !wake_socket_open(&agent->wake, at, options->wake_group ? 0660 : 0600, &error))
		log_error("wake.socket", "error", error.what);
}

static void read_mode(struct agent *agent)
{
	const char *mode = agent->options->connection_mode;
	bool on_demand = strcmp(mode, "on_demand") == 0;
	contact_init(&agent->contact, on_demand, agent->options->stay_s, clock_mono_ms());
	agent->facts.mode = on_demand ? mode : NULL;
	agent->push_token = push_token_load(agent->identity.state_dir);
	agent->facts.push_token = agent->push_token;
}

static bool start(struct agent *agent, const char *crash_at, struct error *error)
{
	struct error reset = {0};
	if (!crash_init(&agent->crash, crash_at, error) || !agent_action_check_list(agent->options->actions, error))
		return false;
	identity_init(&agent->identity, agent->options->state_dir, agent->options->root);
	if (!identity_exists(&agent->identity))
		return error_set(error, ERROR_NOT_FOUND,
				 "this device is not enrolled (there is no %s): run \"muster-agent "
				 "enroll\" with a token first",
				 agent->identity.identity_file);
	agent->lock_fd = lock_take(agent->identity.state_dir, error);
	if (agent->lock_fd < 0 || !identity_load(&agent->identity, error) || !open_outbox(agent, &reset, error) ||
	    !read_facts(agent, error))
		return false;
	read_mode(agent);
	if (reset.kind != ERROR_NONE) {
		log_error("outbox.reset", "cause", reset.what, "epoch", outbox_epoch(agent->outbox));
		(void)agent_push_event(agent, "outbox.reset", "reason", reset.what);
	}
	platform_init(&agent->platform, agent->root);
	collect_init(&agent->collect, agent->root, &agent->platform);
	agent_report_boot(agent);
	open_wake_socket(agent);
	memory_settle(); // opening the outbox and setting up TLS need the most: let them not add up
	return session_start(agent, error) && start_executor(agent, error) && start_watch(agent, error);
}

static void stop(struct agent *agent)
{
	daemon_stopping();
	session_end(agent, "goodbye");
	log_info("agent.stopped", "device", agent->identity.device);
}

static void agent_done(struct agent *agent)
{
	watch_done(&agent->watch);
	wake_socket_done(&agent->wake);
	free(agent->push_token);
	executor_done(&agent->executor);
	platform_done(&agent->platform);
	mqtt_free(agent->mqtt);
	fetch_done(&agent->fetch);
	renew_done(&agent->renew);
	tls_free(agent->tls);
	uplink_done(&agent->uplink);
	outbox_free(agent->outbox);
	identity_done(&agent->identity);
	close_cleanup(&agent->lock_fd);
}

bool agent_run(const struct agent_options *options, const char *crash_at, bool *leave, struct error *error)
{
	struct agent agent cleanup(agent_done) = {
		.options = options,
		.lock_fd = -1,
		.root = options->root ? options->root : "",
		.executor = {.tasks = {.epoll_fd = -1}},
		.platform = {.fd = -1},
		.watch = {.job = JOB_NONE},
	};
	const struct wake_handlers handlers = {on_wake, on_push_token, &agent};
	auto_close int signal_fd = daemon_signal_fd(error);
	wake_socket_init(&agent.wake, &handlers);
	fetch_init(&agent.fetch);
	if (signal_fd < 0 || !start(&agent, crash_at, error))
		return false;
	log_info("agent.started", "device", agent.identity.device, "version", MUSTER_VERSION, "epoch",
		 outbox_epoch(agent.outbox), "waiting", log_number(outbox_rows(agent.outbox)));
	daemon_ready();

	bool stopping = false;
	while (!stopping) {
		if (!turn(&agent, signal_fd, &stopping, error))
			return false;
	}
	*leave = executor_may_leave(&agent.executor);
	stop(&agent);
	return true;
}
