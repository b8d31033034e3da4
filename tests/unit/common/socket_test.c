#include "common/socket.h"
#include "common/clock.h"
#include "tests/unit/scratch.h"

#include <netinet/in.h>
#include <sys/socket.h>

static int pair[2];

static int setup(void **state)
{
	return socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
}

static int teardown(void **state)
{
	for (int i = 0; i < 2; i++)
		if (pair[i] >= 0)
			(void)close(pair[i]);
	return 0;
}

static void test_families(void **state)
{
	assert_false(socket_has_both_families("127.0.0.1"));
	assert_false(socket_has_both_families("::1"));
	assert_false(socket_has_both_families("does-not-exist.invalid"));
}

static void test_peer_gone(void **state)
{
	assert_false(socket_peer_gone(pair[0]));
	assert_int_equal(write(pair[1], "x", 1), 1);
	(void)close(steal_fd(pair[1]));
	char byte;
	assert_false(socket_peer_gone(pair[0])); // what it has said is still to be read
	assert_int_equal(read(pair[0], &byte, 1), 1);
	assert_true(socket_peer_gone(pair[0]));
}

static void test_await_close(void **state)
{
	char byte;
	int64_t began_ms = clock_mono_ms();
	assert_int_equal(write(pair[1], "ignored", 7), 7);
	socket_await_close(pair[0], began_ms + 100);
	assert_true(clock_mono_ms() - began_ms >= 100);
	assert_int_equal(read(pair[1], &byte, 1), 0); // it was told
	(void)close(steal_fd(pair[1]));
	began_ms = clock_mono_ms();
	socket_await_close(pair[0], began_ms + 60000);
	assert_true(clock_mono_ms() - began_ms < 30000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_families),
		cmocka_unit_test_setup_teardown(test_peer_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_await_close, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
