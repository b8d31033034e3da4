#include "agent/watch.h"

#include "common/clock.h"
#include "tests/unit/scratch.h"

#include <poll.h>

// A machine whose one service is a file: systemctl says it is active while "active" is there, and start makes it unless
// "broken" is.
#define SYSTEMCTL                                                                                        \
	"#!/bin/sh\necho \"$*\" >> %1$s/calls\ncase $1 in is-active) [ -e %1$s/active ] ;; "             \
	"--no-ask-password) [ -e %1$s/broken ] || touch %1$s/active ;; esac\n"

struct place {
	void **state;
	struct agent_options options;
	struct plan plan;
	struct outbox *outbox;
	struct watch watch;
	struct error error;
	int64_t now_ms;
	char told[512];
};

static void tell(void *user, const char *type, const char *app, long tries, const char *reason)
{
	struct place *place = user;
	size_t used = strlen(place->told);
	(void)snprintf(place->told + used, sizeof(place->told) - used, "%s%s %s %ld", used ? ", " : "", type, app,
		       tries);
}

static void touch(struct place *place, const char *name, bool there)
{
	char *path auto_free = scratch_path(place->state, name);
	if (there)
		free(scratch_write(place->state, name, "", 0600));
	else
		(void)unlink(path);
}

static void open_place(void **state, struct place *place, char **apps, bool android)
{
	const char *root = ((struct scratch *)*state)->folder;
	const struct watch_port port = {tell, place};
	char script[1024];
	char *path auto_free = scratch_path(state, "outbox.db");
	char *bin auto_free = scratch_path(state, android ? "system/bin" : "usr/bin");
	const struct outbox_options outbox = {.path = path, .rows_max = 1000, .bytes_max = 1 << 20};
	*place = (struct place){.state = state, .options = {.watch_apps = apps, .watch_tries = 3}, .now_ms = 1000};
	place->plan = (struct plan){.root = root, .android = android, .device = "kiosk-7", .options = &place->options};
	assert_true(file_mkdirs(bin, 0700, &place->error));
	(void)snprintf(script, sizeof(script), SYSTEMCTL, root);
	if (!android)
		free(scratch_write(state, "usr/bin/systemctl", script, 0700));
	place->outbox = outbox_open(&outbox, NULL, &place->error);
	assert_non_null(place->outbox);
	if (!watch_init(&place->watch, &place->plan, place->outbox, &port, &place->error))
		fail_msg("%s", place->error.what);
}

static void close_place(struct place *place)
{
	watch_done(&place->watch);
	outbox_free(place->outbox);
}

// Goes on by that long, the programs taking no time.
static void pass(struct place *place, int64_t ms)
{
	int64_t until_ms = place->now_ms + ms;
	int64_t deadline_ms = clock_mono_ms() + 300000;
	for (;;) {
		watch_poll(&place->watch, place->now_ms);
		int64_t wait_ms = watch_timeout_ms(&place->watch, place->now_ms);
		if (place->watch.job.pid > 0) {
			struct pollfd fd = {.fd = watch_fd(&place->watch), .events = POLLIN};
			assert_true(clock_mono_ms() < deadline_ms);
			(void)poll(&fd, 1, 100);
		} else if (wait_ms < 0 || place->now_ms + wait_ms > until_ms) {
			break;
		} else {
			place->now_ms += wait_ms;
		}
	}
	place->now_ms = until_ms;
}

static void told(struct place *place, const char *expected)
{
	assert_string_equal(place->told, expected);
	place->told[0] = '\0';
}

#define APPS(...) ((char **)(const char *[]){__VA_ARGS__, NULL}) // nobody writes into them

static void one_that_died_is_started_again(void **state)
{
	struct place place;
	open_place(state, &place, APPS("till"), false);
	touch(&place, "active", true);
	pass(&place, 60000);
	told(&place, "");
	touch(&place, "active", false);
	pass(&place, WATCH_EVERY_MS);
	told(&place, "app.crashed till 0, app.relaunched till 1");
	char *active auto_free = scratch_path(state, "active");
	assert_true(file_exists(active));
	pass(&place, WATCH_STABLE_MS + 2 * WATCH_EVERY_MS);
	assert_int_equal(place.watch.apps[0].tries, 0); // it has stayed
	told(&place, "");
	close_place(&place);
}

static void one_that_does_not_stay_is_given_up(void **state)
{
	struct place place;
	open_place(state, &place, APPS("till"), false);
	touch(&place, "broken", true);
	pass(&place, 1000);
	told(&place, "app.relaunched till 1");
	pass(&place, 1500); // the pauses grow: 2, 4, 8 s
	told(&place, "app.relaunched till 2");
	pass(&place, 4000);
	told(&place, "app.relaunched till 3");
	pass(&place, 600000);
	told(&place, "app.given_up till 3");
	assert_int_equal(watch_timeout_ms(&place.watch, place.now_ms), -1);
	close_place(&place);
}

static void one_that_was_ordered_to_stop_stays_so(void **state)
{
	struct place place;
	open_place(state, &place, APPS("till"), false);
	touch(&place, "active", true);
	pass(&place, 1000);
	assert_true(watch_note_order(place.outbox, "till", true, &place.error));
	touch(&place, "active", false);
	pass(&place, 600000);
	told(&place, "");
	assert_true(watch_note_order(place.outbox, "till", false, &place.error));
	pass(&place, WATCH_EVERY_MS);
	told(&place, "app.relaunched till 1");
	close_place(&place);
}

// What the kernel shows needs no program.
static void a_control_group_is_enough(void **state)
{
	struct place place;
	char *folder auto_free = scratch_path(state, "sys/fs/cgroup/system.slice/till.service");
	char *calls auto_free = scratch_path(state, "calls");
	open_place(state, &place, APPS("till"), false);
	assert_true(file_mkdirs(folder, 0700, &place.error));
	free(scratch_write(state, "sys/fs/cgroup/system.slice/till.service/cgroup.events", "populated 1\nfrozen 0\n",
			   0600));
	pass(&place, 60000);
	assert_false(file_exists(calls));
	free(scratch_write(state, "sys/fs/cgroup/system.slice/till.service/cgroup.events", "populated 0\nfrozen 0\n",
			   0600));
	pass(&place, WATCH_EVERY_MS);
	told(&place, "app.crashed till 0, app.relaunched till 1");
	close_place(&place);
}

static void on_android_by_its_process(void **state)
{
	struct place place;
	char *process auto_free = scratch_path(state, "proc/4711");
	open_place(state, &place, APPS("com.example.till"), true);
	free(scratch_write(state, "system/bin/pidof", "#!/bin/sh\n[ \"$1\" = com.example.till ] && echo '4711 4712'\n",
			   0700));
	free(scratch_write(state, "system/bin/am", "#!/bin/sh\nexit 0\n", 0700));
	assert_true(file_mkdirs(process, 0700, &place.error));
	free(scratch_write(state, "proc/4711/cmdline", "com.example.till", 0600));
	pass(&place, 1000);
	assert_int_equal(place.watch.apps[0].pid, 4711);
	free(scratch_write(state, "system/bin/pidof", "#!/bin/sh\nexit 1\n", 0700));
	pass(&place, 60000); // nobody was asked
	told(&place, "");
	free(scratch_write(state, "proc/4711/cmdline", "com.other", 0600));
	pass(&place, WATCH_EVERY_MS);
	told(&place, "app.crashed com.example.till 0, app.relaunched com.example.till 1");
	close_place(&place);
}

static void what_cannot_be_watched_is_refused(void **state)
{
	const char *root = ((struct scratch *)*state)->folder;
	struct agent_options options = {.watch_apps = APPS("a;b")};
	const struct plan place = {.root = root, .options = &options};
	const struct watch_port port = {tell, NULL};
	struct watch watch;
	struct error error = {0};
	assert_false(watch_init(&watch, &place, NULL, &port, &error));
	assert_string_equal(error.what, "watch.apps: \"a;b\" is no name of a systemd unit");
	watch_done(&watch);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_that_died_is_started_again),        TEST(one_that_does_not_stay_is_given_up),
		TEST(one_that_was_ordered_to_stop_stays_so), TEST(a_control_group_is_enough),
		TEST(on_android_by_its_process),             TEST(what_cannot_be_watched_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
