#include "agent/executor.h"

#include "common/clock.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char folder[64];
	struct identity identity;
	struct jws_signer *signer;
	struct outbox *outbox;
	struct executor executor;
	struct executor_options options;
	struct error error;
	struct agent_options config;
	char *actions[8];
	char *reboot_command[4];
	char last_id[COMMAND_ID_BYTES];
	char shell[16], dash_c[4], script[256], marker[96];
	int64_t interval_s, replay_per_s, counter;
};

static void on_interval(void *user, int64_t seconds)
{
	((struct place *)user)->interval_s = seconds;
}

static void on_settings(void *user, const struct json *settings)
{
	(void)json_member_int(settings, "outbox.replay_per_s", &((struct place *)user)->replay_per_s);
}

static void start(struct place *place)
{
	executor_done(&place->executor);
	if (!executor_init(&place->executor, &place->options, &place->error))
		fail_msg("%s", place->error.what);
}

static void open_outbox(struct place *place)
{
	struct outbox_options options = {.path = place->identity.outbox_file, .rows_max = 1000, .bytes_max = 1 << 20};
	outbox_free(place->outbox);
	place->outbox = outbox_open(&options, NULL, &place->error);
	assert_non_null(place->outbox);
	place->options.outbox = place->outbox;
}

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	static char ping[] = "ping";
	static char set_interval[] = "set_interval";
	static char reboot[] = "reboot";
	static char run[] = "run";
	static char set_config[] = "set_config";
	static char unenroll[] = "unenroll";
	(void)snprintf(place->folder, sizeof(place->folder), "/tmp/muster-executor-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	identity_init(&place->identity, place->folder, NULL);
	(void)snprintf(place->identity.device, sizeof(place->identity.device), "kiosk-7");
	char key[96];
	(void)snprintf(key, sizeof(key), "%s/command.pem", place->folder);
	assert_true(jws_signer_create(key, &place->error));
	place->signer = jws_signer_load(key, &place->error);
	assert_non_null(place->signer);
	place->identity.command_keys[0] = *jws_signer_key(place->signer);
	place->identity.command_key_count = 1;

	(void)snprintf(place->marker, sizeof(place->marker), "%s/marker", place->folder);
	(void)snprintf(place->shell, sizeof(place->shell), "/bin/sh");
	(void)snprintf(place->dash_c, sizeof(place->dash_c), "-c");
	(void)snprintf(place->script, sizeof(place->script), "echo x >> %s", place->marker);
	place->reboot_command[0] = place->shell;
	place->reboot_command[1] = place->dash_c;
	place->reboot_command[2] = place->script;
	place->actions[0] = ping;
	place->actions[1] = set_interval;
	place->actions[2] = reboot;
	place->actions[3] = run;
	place->actions[4] = set_config;
	place->actions[5] = unenroll;
	place->config = (struct agent_options){
		.actions = place->actions, .reboot_command = place->reboot_command, .parallel = 4, .state_dir = place->folder};
	place->options = (struct executor_options){
		.identity = &place->identity,
		.root = "",
		.boot_id = "boot-1",
		.config = &place->config,
		.interval_changed = on_interval,
		.settings_changed = on_settings,
		.user = place,
	};
	open_outbox(place);
	place->executor.tasks.epoll_fd = -1;
	start(place);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"outbox.db",    "outbox.db-wal", "outbox.db-shm", "outbox.db.lock",
					    "counter.json", "command.pem",   "marker",        "settings.json"};
	struct place *place = *state;
	executor_done(&place->executor);
	outbox_free(place->outbox);
	jws_signer_free(place->signer);
	identity_done(&place->identity);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[160];
		(void)snprintf(path, sizeof(path), "%s/%s", place->folder, names[i]);
		(void)unlink(path);
	}
	int rc = rmdir(place->folder);
	free(place);
	return rc;
}

// A command as commander makes it; the caller may bend it before it is signed.
static struct command order(struct place *place, const char *action, const char *params)
{
	struct command command = {
		.issued_s = clock_wall_ms() / 1000,
		.expires_s = clock_wall_ms() / 1000 + 60,
		.counter = ++place->counter,
		.params = json_parse(params, strlen(params), &place->error),
	};
	assert_non_null(command.params);
	crypto_uuid4(command.id);
	(void)snprintf(command.device, sizeof(command.device), "kiosk-7");
	(void)snprintf(command.action, sizeof(command.action), "%s", action);
	return command;
}

static char *sign(struct place *place, struct command *command)
{
	char *jws = command_sign(place->signer, command, &place->error);
	assert_non_null(jws);
	command_done(command);
	return jws;
}

static void give(struct place *place, const char *jws)
{
	if (!executor_command(&place->executor, jws, strlen(jws), &place->error))
		fail_msg("%s", place->error.what);
}

static void give_new(struct place *place, const char *action, const char *params)
{
	struct command command = order(place, action, params);
	(void)snprintf(place->last_id, sizeof(place->last_id), "%s", command.id);
	char *jws auto_free = sign(place, &command);
	give(place, jws);
}

static void give_script(struct place *place, const char *script, const char *more)
{
	char params[1024];
	(void)snprintf(params, sizeof(params), "{\"argv\":[\"/bin/sh\",\"-c\",\"%s\"]%s}", script, more);
	give_new(place, "run", params);
}

static void give_cancel(struct place *place, const char *id)
{
	char params[96];
	(void)snprintf(params, sizeof(params), "{\"command\":\"%s\"}", id);
	give_new(place, "cancel", params);
}

// Takes all messages out of the outbox, and compares them with "state state ..." (events: their type).
static void assert_reported(struct place *place, const char *expected)
{
	char found[512] = "";
	struct outbox_message message;
	int64_t at = 0;
	for (;;) {
		assert_true(outbox_next(place->outbox, at, &message, &place->error));
		if (message.seq == 0)
			break;
		struct json *json auto_json = json_parse(message.payload, message.payload_bytes, &place->error);
		const char *word = "?";
		if (strstr(message.topic, "/stream/"))
			word = "output";
		else if (!json_member_string(json, "state", &word) && !json_member_string(json, "type", &word))
			fail_msg("%s", message.payload);
		if (json_member(json, "data"))
			assert_memory_equal(message.topic, "fleet/v1/kiosk-7/stream/", 24);
		else
			assert_string_equal(message.topic, json_member(json, "state") ? "fleet/v1/kiosk-7/result"
										      : "fleet/v1/kiosk-7/event");
		size_t used = strlen(found);
		(void)snprintf(found + used, sizeof(found) - used, "%s%s", used ? " " : "", word);
		at = message.seq;
	}
	assert_string_equal(found, expected);
	assert_true(outbox_stored(place->outbox, outbox_epoch(place->outbox), at, NULL, &place->error));
}

static void last_reason(struct place *place, char *out, size_t out_bytes)
{
	struct outbox_message message;
	const char *reason = "";
	assert_true(outbox_next(place->outbox, outbox_next_seq(place->outbox) - 2, &message, &place->error));
	assert_int_not_equal(message.seq, 0);
	struct json *json auto_json = json_parse(message.payload, message.payload_bytes, &place->error);
	assert_true(json_member_string(json, "reason", &reason));
	(void)snprintf(out, out_bytes, "%s", reason);
}

static size_t marks(const struct place *place)
{
	FILE *file auto_fclose = fopen(place->marker, "r");
	size_t count = 0;
	int c;
	while (file && (c = fgetc(file)) != EOF)
		count += c == 'x';
	return count;
}

static void wait_for_child(struct place *place)
{
	int64_t deadline_ms = clock_mono_ms() + 300000;
	while (executor_timeout_ms(&place->executor) >= 0) {
		struct pollfd watch = {.fd = executor_fd(&place->executor), .events = POLLIN};
		assert_true(clock_mono_ms() < deadline_ms);
		assert_true(poll(&watch, 1, 100) >= 0);
		assert_true(executor_poll(&place->executor, &place->error));
	}
}

static void obeys(void **state)
{
	struct place *place = *state;
	give_new(place, "ping", "{}");
	assert_reported(place, "accepted succeeded");
	give_new(place, "set_interval", "{\"seconds\":77}");
	assert_reported(place, "accepted succeeded");
	assert_int_equal(place->interval_s, 77);
	assert_int_equal(outbox_get_int(place->outbox, "interval_s", 0), 77);
	give_new(place, "reboot", "{}");
	wait_for_child(place);
	assert_reported(place, "accepted running succeeded");
	assert_int_equal(marks(place), 1);
}

static void a_repeated_command_is_only_answered(void **state)
{
	struct place *place = *state;
	struct command command = order(place, "reboot", "{}");
	char *jws auto_free = sign(place, &command);
	give(place, jws);
	wait_for_child(place);
	give(place, jws); // its answer still waits to be sent
	assert_reported(place, "accepted running succeeded");
	give(place, jws);
	assert_reported(place, "succeeded");
	start(place);
	give(place, jws);
	assert_reported(place, "succeeded");
	assert_int_equal(marks(place), 1);
}

static void rejects_with_a_reason(void **state)
{
	struct place *place = *state;
	char reason[256];
	place->actions[2] = place->actions[0]; // no reboot here
	give_new(place, "reboot", "{}");
	last_reason(place, reason, sizeof(reason));
	assert_non_null(strstr(reason, "not allowed by this device's configuration"));
	assert_reported(place, "rejected");
	give_new(place, "fly", "{}");
	last_reason(place, reason, sizeof(reason));
	assert_non_null(strstr(reason, "no action \"fly\""));
	assert_reported(place, "rejected");
	give_new(place, "set_interval", "{\"seconds\":1}");
	assert_reported(place, "rejected");
	assert_int_equal(place->interval_s, 0);

	struct command late = order(place, "ping", "{}");
	late.issued_s -= 100;
	late.expires_s = late.issued_s + 50;
	char *late_jws auto_free = sign(place, &late);
	give(place, late_jws);
	last_reason(place, reason, sizeof(reason));
	assert_non_null(strstr(reason, "expired"));
	assert_reported(place, "rejected");
	assert_int_equal(marks(place), 0);
}

static void old_counters_are_refused(void **state)
{
	struct place *place = *state;
	struct command first = order(place, "ping", "{}");
	struct command second = order(place, "ping", "{}");
	char *first_jws auto_free = sign(place, &first);
	char *second_jws auto_free = sign(place, &second);
	give(place, second_jws);
	assert_reported(place, "accepted succeeded");
	start(place);
	give(place, first_jws);
	assert_reported(place, "rejected");
}

// The outbox is gone with all it knew; what was obeyed must not be obeyed again.
static void replay_is_refused_after_the_outbox_was_lost(void **state)
{
	struct place *place = *state;
	struct command command = order(place, "reboot", "{}");
	char *jws auto_free = sign(place, &command);
	give(place, jws);
	wait_for_child(place);
	assert_true(executor_save_counter(&place->executor, &place->error));
	executor_done(&place->executor);
	outbox_free(steal(place->outbox));
	assert_int_equal(unlink(place->identity.outbox_file), 0);
	open_outbox(place);
	start(place);
	give(place, jws);
	assert_reported(place, "rejected");
	assert_int_equal(marks(place), 1);
	give_new(place, "ping", "{}");
	assert_reported(place, "accepted succeeded");
}

static void commands_from_before_enrolment_are_refused(void **state)
{
	struct place *place = *state;
	place->identity.enrolled_s = clock_wall_ms() / 1000 + 5;
	give_new(place, "ping", "{}");
	assert_reported(place, "rejected");
}

// Wiped and enrolled again under its old name: the server told what was signed for it before.
static void commands_signed_before_enrolment_are_refused(void **state)
{
	struct place *place = *state;
	place->identity.command_counter = place->counter + 1;
	start(place);
	give_new(place, "ping", "{}");
	assert_reported(place, "rejected");
	give_new(place, "ping", "{}");
	assert_reported(place, "accepted succeeded");
}

// The clock went back to 1970: the last signed server time counts.
static void server_time_is_the_floor(void **state)
{
	struct place *place = *state;
	struct command future = order(place, "ping", "{}");
	future.issued_s += 100000;
	future.expires_s += 100000;
	char *future_jws auto_free = sign(place, &future);
	give(place, future_jws);
	assert_reported(place, "accepted succeeded");
	start(place);
	give_new(place, "ping", "{}"); // expired, seen from there
	assert_reported(place, "rejected");
}

static void foreign_commands_are_events_and_bounded(void **state)
{
	struct place *place = *state;
	char reason[256];
	struct command other = order(place, "ping", "{}");
	(void)snprintf(other.device, sizeof(other.device), "kiosk-8");
	char *other_jws auto_free = sign(place, &other);
	give(place, other_jws);
	last_reason(place, reason, sizeof(reason));
	assert_non_null(strstr(reason, "another device"));

	struct command mine = order(place, "ping", "{}");
	char *jws auto_free = sign(place, &mine);
	char *signature = strrchr(jws, '.') + 1;
	*signature = *signature == 'A' ? 'B' : 'A';
	give(place, jws);
	last_reason(place, reason, sizeof(reason));
	assert_non_null(strstr(reason, "signature"));
	for (int i = 0; i < 100; i++)
		give(place, "not.a.command");
	assert_int_equal(outbox_rows(place->outbox), EXECUTOR_REFUSALS_MAX);
	place->executor.refusals_since_ms -= 60000; // a minute later
	give(place, "not.a.command");
	struct outbox_message message;
	assert_true(outbox_next(place->outbox, EXECUTOR_REFUSALS_MAX, &message, &place->error));
	assert_non_null(strstr(message.payload, "\"not_reported\":92"));
}

static void failures_are_told(void **state)
{
	struct place *place = *state;
	char reason[256];
	(void)snprintf(place->script, sizeof(place->script), "exit 3");
	give_new(place, "reboot", "{}");
	wait_for_child(place);
	last_reason(place, reason, sizeof(reason));
	assert_string_equal(reason, "the program ended with status 3");
	assert_reported(place, "accepted running failed");

	(void)snprintf(place->shell, sizeof(place->shell), "/no/such");
	give_new(place, "reboot", "{}");
	assert_reported(place, "accepted running failed");
}

static void one_child_at_a_time(void **state)
{
	struct place *place = *state;
	(void)snprintf(place->script, sizeof(place->script), "while [ ! -e %s ]; do sleep 0.01; done", place->marker);
	give_new(place, "reboot", "{}");
	assert_true(executor_fd(&place->executor) >= 0);
	give_new(place, "reboot", "{}");
	assert_reported(place, "accepted running accepted failed");
	give_new(place, "ping", "{}"); // others are not held up
	assert_reported(place, "accepted succeeded");
	FILE *file = fopen(place->marker, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	wait_for_child(place);
	assert_reported(place, "succeeded");
}

static void output_is_sent_and_told(void **state)
{
	struct place *place = *state;
	char reason[256];
	give_script(place, "echo one; echo two >&2", "");
	wait_for_child(place);
	struct outbox_message message;
	assert_true(outbox_next(place->outbox, 2, &message, &place->error));
	assert_non_null(strstr(message.payload, "\"n\":0,\"data\":\"one\\ntwo\\n\",\"end\":true"));
	assert_true(outbox_next(place->outbox, 3, &message, &place->error));
	assert_non_null(strstr(message.payload, "\"output\":{\"bytes\":8,\"cut\":false,\"status\":0}"));
	assert_reported(place, "accepted running output succeeded");

	give_script(place, "echo no such thing; exit 4", "");
	wait_for_child(place);
	last_reason(place, reason, sizeof(reason));
	assert_string_equal(reason, "the program ended with status 4: no such thing");
	assert_reported(place, "accepted running output failed");
}

static void wait_for_output(struct place *place)
{
	int64_t deadline_ms = clock_mono_ms() + 300000;
	int64_t rows = outbox_rows(place->outbox);
	while (outbox_rows(place->outbox) == rows) {
		struct pollfd watch = {.fd = executor_fd(&place->executor), .events = POLLIN};
		assert_true(clock_mono_ms() < deadline_ms);
		assert_true(poll(&watch, 1, 10) >= 0);
		assert_true(executor_poll(&place->executor, &place->error));
	}
}

static void a_running_command_is_cancelled(void **state)
{
	struct place *place = *state;
	char id[COMMAND_ID_BYTES];
	char reason[256];
	give_script(place, "echo here; exec sleep 300", "");
	(void)snprintf(id, sizeof(id), "%s", place->last_id);
	wait_for_output(place);
	assert_reported(place, "accepted running output");
	give_cancel(place, id);
	wait_for_child(place);
	last_reason(place, reason, sizeof(reason));
	assert_string_equal(reason, "ended while it ran");
	assert_reported(place, "accepted succeeded output cancelled");

	give_cancel(place, id); // it is over
	last_reason(place, reason, sizeof(reason));
	assert_string_equal(reason, "it has ended");
	assert_reported(place, "accepted failed");
	(void)snprintf(place->script, sizeof(place->script), "sleep 300");
	give_new(place, "reboot", "{}");
	give_cancel(place, place->last_id);
	last_reason(place, reason, sizeof(reason));
	assert_string_equal(reason, "reboot can't be cancelled once it runs");
	assert_reported(place, "accepted running accepted failed");
	job_signal(&place->executor.tasks.places[0].job, SIGKILL);
	wait_for_child(place);
}

// The cancel overtakes the command, which comes after a restart.
static void a_command_that_has_not_come_is_cancelled(void **state)
{
	struct place *place = *state;
	char reason[256];
	struct command late = order(place, "reboot", "{}");
	struct command other = order(place, "ping", "{}");
	char id[COMMAND_ID_BYTES];
	(void)snprintf(id, sizeof(id), "%s", late.id);
	char *jws auto_free = sign(place, &late);
	char *replayed auto_free = sign(place, &other);
	give_cancel(place, id);
	assert_reported(place, "accepted cancelled succeeded");

	open_outbox(place);
	start(place);
	assert_reported(place, ""); // it is over for this device
	give(place, jws);
	wait_for_child(place);
	last_reason(place, reason, sizeof(reason));
	assert_string_equal(reason, "cancelled before it came");
	give(place, jws); // its answer is on its way
	assert_reported(place, "cancelled");
	assert_int_equal(marks(place), 0);

	give(place, replayed); // one that was overtaken only
	assert_reported(place, "rejected");
	give_cancel(place, id);
	last_reason(place, reason, sizeof(reason));
	assert_string_equal(reason, "it has ended");
	assert_reported(place, "accepted failed");
}

// One that does not listen is ended by force.
static void time_is_limited(void **state)
{
	struct place *place = *state;
	char reason[256];
	give_script(place, "trap '' TERM; while :; do sleep 0.05; done", ",\"timeout_s\":1");
	wait_for_child(place);
	last_reason(place, reason, sizeof(reason));
	assert_string_equal(reason, "the program did not end within 1 s");
	assert_reported(place, "accepted running failed");
}

static void as_many_at_a_time_as_allowed(void **state)
{
	struct place *place = *state;
	char reason[256];
	place->config.parallel = 2;
	start(place);
	give_script(place, "sleep 300", "");
	give_script(place, "sleep 300", "");
	assert_reported(place, "accepted running accepted running");
	give_script(place, "sleep 300", "");
	last_reason(place, reason, sizeof(reason));
	assert_non_null(strstr(reason, "as many commands are still running as may at the same time (2)"));
	assert_reported(place, "accepted failed");
	executor_done(&place->executor); // they do not outlive it
	place->executor.tasks.epoll_fd = -1;
	start(place);
	last_reason(place, reason, sizeof(reason));
	assert_string_equal(reason, "agent restarted");
	assert_reported(place, "failed failed");
}

static void settings_are_kept(void **state)
{
	struct place *place = *state;
	char reason[256];
	give_new(place, "set_config", "{\"config\":{\"outbox.replay_per_s\":77,\"interval_s\":99}}");
	assert_reported(place, "accepted succeeded");
	assert_int_equal(place->replay_per_s, 77);
	assert_int_equal(place->interval_s, 99);
	assert_int_equal(outbox_get_int(place->outbox, "interval_s", 0), 99);
	give_new(place, "set_config", "{\"config\":{\"actions\":\"run\"}}");
	last_reason(place, reason, sizeof(reason));
	assert_non_null(strstr(reason, "no option that can be set from afar"));
	assert_reported(place, "rejected");
}

static void it_leaves_when_the_server_knows(void **state)
{
	struct place *place = *state;
	assert_false(executor_may_leave(&place->executor));
	give_new(place, "unenroll", "{}");
	assert_false(executor_may_leave(&place->executor));
	start(place); // also after a restart
	assert_false(executor_may_leave(&place->executor));
	assert_reported(place, "accepted succeeded"); // stored
	assert_true(executor_may_leave(&place->executor));
}

// As a killed agent leaves it.
static void leave(struct place *place, const char *action, const char *params, const char *state)
{
	struct outbox_command command = {.params = (char *)params, .result = (char *)"{}"};
	crypto_uuid4(command.id);
	(void)snprintf(command.action, sizeof(command.action), "%s", action);
	(void)snprintf(command.state, sizeof(command.state), "%s", state);
	(void)snprintf(command.boot_id, sizeof(command.boot_id), "boot-1");
	assert_true(outbox_command_put(place->outbox, &command, &place->error));
}

static void a_restart_brings_commands_to_their_end(void **state)
{
	struct place *place = *state;
	leave(place, "set_interval", "{\"seconds\":9}", "accepted");
	start(place);
	assert_reported(place, "succeeded");
	assert_int_equal(place->interval_s, 9);

	char reason[256];
	leave(place, "reboot", "{}", "running");
	start(place);
	last_reason(place, reason, sizeof(reason));
	assert_string_equal(reason, "agent restarted");
	assert_reported(place, "failed");

	leave(place, "reboot", "{}", "running");
	leave(place, "reboot", "{}", "accepted"); // this one had not begun
	place->options.boot_id = "boot-2";
	start(place);
	assert_reported(place, "succeeded failed");
	start(place);
	assert_reported(place, "");
	assert_int_equal(marks(place), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(obeys),
		TEST(a_repeated_command_is_only_answered),
		TEST(rejects_with_a_reason),
		TEST(old_counters_are_refused),
		TEST(replay_is_refused_after_the_outbox_was_lost),
		TEST(commands_from_before_enrolment_are_refused),
		TEST(commands_signed_before_enrolment_are_refused),
		TEST(server_time_is_the_floor),
		TEST(foreign_commands_are_events_and_bounded),
		TEST(failures_are_told),
		TEST(one_child_at_a_time),
		TEST(output_is_sent_and_told),
		TEST(a_running_command_is_cancelled),
		TEST(a_command_that_has_not_come_is_cancelled),
		TEST(time_is_limited),
		TEST(as_many_at_a_time_as_allowed),
		TEST(settings_are_kept),
		TEST(it_leaves_when_the_server_knows),
		TEST(a_restart_brings_commands_to_their_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
