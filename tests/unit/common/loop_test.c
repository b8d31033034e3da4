#include "common/clock.h"
#include "common/loop.h"
#include "tests/unit/scratch.h"

#include <signal.h>
#include <sys/socket.h>

struct seen {
	struct loop *loop;
	struct loop_timer *timer;
	struct loop_watch *watch;
	int calls;
	int ready;
	int stop_at;
};

static struct loop *new_loop(void)
{
	struct error error = {0};
	struct loop *loop = loop_new(&error);
	assert_non_null(loop);
	return loop;
}

static void run(struct loop *loop)
{
	struct error error = {0};
	assert_true(loop_run(loop, &error));
}

static void on_timer(void *user)
{
	struct seen *seen = user;
	if (++seen->calls >= seen->stop_at)
		loop_stop(seen->loop);
}

static void test_timers(void **state)
{
	struct error error = {0};
	struct seen seen = {.loop = new_loop(), .stop_at = 1};
	seen.timer = loop_timer_new(seen.loop, on_timer, &seen, &error);
	assert_non_null(seen.timer);

	int64_t start_ms = clock_mono_ms();
	loop_timer_once(seen.timer, 100000);
	loop_timer_once(seen.timer, 30); // replaces
	run(seen.loop);
	assert_int_equal(seen.calls, 1);
	assert_true(clock_mono_ms() - start_ms >= 29);
	assert_true(clock_mono_ms() - start_ms < 50000);

	seen.calls = 0;
	seen.stop_at = 3;
	loop_timer_every(seen.timer, 5);
	run(seen.loop);
	assert_int_equal(seen.calls, 3);

	loop_timer_stop(seen.timer);
	assert_true(loop_run_once(seen.loop, 30, &error));
	assert_int_equal(seen.calls, 3);

	seen.stop_at = 4;
	loop_timer_once(seen.timer, 0);
	run(seen.loop);
	assert_int_equal(seen.calls, 4);
	loop_timer_free(seen.timer);
	loop_free(seen.loop);
	loop_timer_free(NULL);
	loop_watch_free(NULL);
	loop_free(NULL);
}

static void on_last_timer(void *user)
{
	struct seen *seen = user;
	seen->calls++;
	loop_timer_free(seen->timer); // within its own callback
	loop_stop(seen->loop);
}

static void test_freed_in_callback(void **state)
{
	struct error error = {0};
	struct seen seen = {.loop = new_loop()};
	seen.timer = loop_timer_new(seen.loop, on_last_timer, &seen, &error);
	loop_timer_every(seen.timer, 1);
	run(seen.loop);
	assert_int_equal(seen.calls, 1);
	loop_free(seen.loop);
}

static void on_ready(int fd, int ready, void *user)
{
	struct seen *seen = user;
	char byte;
	seen->calls++;
	seen->ready = ready;
	if (ready & LOOP_READ)
		assert_int_equal(read(fd, &byte, 1), 1);
	loop_stop(seen->loop);
}

static void test_watch(void **state)
{
	struct error error = {0};
	struct seen seen = {.loop = new_loop()};
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	seen.watch = loop_watch_new(seen.loop, pair[0], LOOP_READ, on_ready, &seen, &error);
	assert_non_null(seen.watch);
	assert_true(loop_run_once(seen.loop, 0, &error));
	assert_int_equal(seen.calls, 0);
	assert_int_equal(write(pair[1], "a", 1), 1);
	run(seen.loop);
	assert_int_equal(seen.ready, LOOP_READ);

	assert_true(loop_watch_set(seen.watch, LOOP_READ | LOOP_WRITE));
	run(seen.loop);
	assert_int_equal(seen.ready, LOOP_WRITE);

	assert_true(loop_watch_set(seen.watch, 0));
	assert_int_equal(write(pair[1], "b", 1), 1);
	assert_true(loop_run_once(seen.loop, 20, &error));
	assert_int_equal(seen.calls, 2);
	assert_true(loop_watch_set(seen.watch, LOOP_READ));
	run(seen.loop);
	assert_int_equal(seen.calls, 3);

	loop_watch_free(seen.watch);
	assert_int_equal(write(pair[0], "c", 1), 1); // still open
	loop_free(seen.loop);
	(void)close(pair[0]);
	(void)close(pair[1]);
}

static void on_kill(void *user)
{
	(void)raise(SIGTERM);
}

static void test_signals(void **state)
{
	struct error error = {0};
	struct seen seen = {.loop = new_loop()};
	assert_true(loop_stop_on_signals(seen.loop, &error));
	seen.timer = loop_timer_new(seen.loop, on_kill, &seen, &error);
	loop_timer_once(seen.timer, 1);
	run(seen.loop);
	loop_timer_free(seen.timer);
	loop_free(seen.loop);
}

static void test_stop_before_run(void **state)
{
	struct loop *loop = new_loop();
	loop_stop(loop);
	run(loop); // returns
	loop_free(loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timers),	cmocka_unit_test(test_freed_in_callback), cmocka_unit_test(test_watch),
		cmocka_unit_test(test_signals), cmocka_unit_test(test_stop_before_run),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
