#include "agent/netd.h"

#include "common/buf.h"
#include "tests/unit/scratch.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <sys/un.h>

static void add_number(struct buf *answer, uint32_t number)
{
	number = htonl(number);
	assert_true(buf_add(answer, &number, sizeof(number)));
}

static void add_entry(struct buf *answer, const void *address, size_t address_bytes, const char *name)
{
	uint32_t name_bytes = name ? (uint32_t)strlen(name) + 1 : 0;
	add_number(answer, 1);
	for (int i = 0; i < 4; i++)
		add_number(answer, (uint32_t)i);
	add_number(answer, (uint32_t)address_bytes);
	assert_true(buf_add(answer, address, address_bytes));
	add_number(answer, name_bytes);
	assert_true(!name || buf_add(answer, name, name_bytes));
}

static void make_answer(struct buf *answer)
{
	struct sockaddr_in ipv4 = {.sin_family = AF_INET};
	struct sockaddr_in6 ipv6 = {.sin6_family = AF_INET6, .sin6_scope_id = 3};
	static const char packet[20] = {17}; // AF_PACKET
	assert_int_equal(inet_pton(AF_INET, "192.0.2.7", &ipv4.sin_addr), 1);
	assert_int_equal(inet_pton(AF_INET6, "2001:db8::7", &ipv6.sin6_addr), 1);
	buf_init(answer, 4096);
	assert_true(buf_add(answer, "222", 4));
	add_entry(answer, &ipv4, sizeof(ipv4), "broker.example");
	add_entry(answer, packet, sizeof(packet), NULL);
	add_entry(answer, &ipv6, sizeof(ipv6), NULL);
	add_number(answer, 0);
}

static void reads_an_answer(void **state)
{
	struct buf answer auto_buf = {0};
	struct netd_address addresses[NETD_ADDRESSES_MAX];
	struct error error = {0};
	size_t count = 0;
	char text[INET6_ADDRSTRLEN];
	make_answer(&answer);
	assert_true(netd_parse(answer.data, answer.len_bytes, addresses, &count, &error));
	assert_int_equal(count, 2);
	assert_string_equal(inet_ntop(AF_INET, &addresses[0].ipv4, text, sizeof(text)), "192.0.2.7");
	assert_string_equal(inet_ntop(AF_INET6, &addresses[1].ipv6, text, sizeof(text)), "2001:db8::7");
	assert_int_equal(addresses[1].scope, 3);
}

static void takes_no_part_for_the_whole(void **state)
{
	struct buf answer auto_buf = {0};
	struct netd_address addresses[NETD_ADDRESSES_MAX];
	size_t count = 77;
	make_answer(&answer);
	for (size_t bytes = 0; bytes < answer.len_bytes; bytes++) {
		struct error error = {0};
		char *part auto_free = malloc(bytes + 1); // so that a read beyond it is seen
		memcpy(part, answer.data, bytes);
		assert_false(netd_parse(part, bytes, addresses, &count, &error));
		assert_int_equal(error.kind, ERROR_INVALID);
		assert_int_equal(count, 77);
	}
}

static void tells_refusals(void **state)
{
	struct netd_address addresses[NETD_ADDRESSES_MAX];
	struct error error = {0};
	size_t count;
	static const char failed[] = "401\0\0\0\0\4\0\0\0\7";
	assert_false(netd_parse(failed, sizeof(failed), addresses, &count, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	static const char empty[] = "222\0\0\0\0";
	assert_false(netd_parse(empty, sizeof(empty), addresses, &count, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	assert_false(netd_parse("500", 4, addresses, &count, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	static const char huge[] = "222\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\xff\xff\xff\xff";
	assert_false(netd_parse(huge, sizeof(huge), addresses, &count, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
}

struct peer {
	int listener;
	char request[256];
	bool answers;
};

static void *play_netd(void *argument)
{
	struct peer *peer = argument;
	struct buf answer auto_buf = {0};
	make_answer(&answer);
	auto_close int fd = accept(peer->listener, NULL, NULL);
	ssize_t got = recv(fd, peer->request, sizeof(peer->request) - 1, 0);
	if (got <= 0 || !peer->answers)
		return NULL;
	for (size_t i = 0; i < answer.len_bytes; i++) // in the smallest pieces
		(void)send(fd, answer.data + i, 1, MSG_NOSIGNAL);
	return NULL;
}

static void ask(void **state, struct peer *peer, bool expected, struct error *error)
{
	struct scratch *scratch = *state;
	struct netd_address addresses[NETD_ADDRESSES_MAX];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t count = 0;
	char folder[96];
	(void)snprintf(folder, sizeof(folder), "%s/dev", scratch->folder);
	(void)mkdir(folder, 0700);
	(void)snprintf(folder, sizeof(folder), "%s/dev/socket", scratch->folder);
	(void)mkdir(folder, 0700);
	(void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/dnsproxyd", folder);
	(void)unlink(address.sun_path);
	auto_close int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 1), 0);
	peer->listener = listener;
	pthread_t thread;
	assert_int_equal(pthread_create(&thread, NULL, play_netd, peer), 0);
	assert_int_equal(netd_ask(scratch->folder, "broker.example", AF_INET, addresses, &count, error), expected);
	assert_int_equal(pthread_join(thread, NULL), 0);
	if (expected)
		assert_int_equal(count, 2);
}

static void asks_as_android_does(void **state)
{
	struct peer peer = {.answers = true};
	struct error error = {0};
	ask(state, &peer, true, &error);
	assert_string_equal(peer.request, "getaddrinfo broker.example ^ 0 2 1 0 0");

	struct peer silent = {.answers = false};
	ask(state, &silent, false, &error);
	assert_int_equal(error.kind, ERROR_INVALID);
}

static void asks_for_nothing_but_names(void **state)
{
	struct scratch *scratch = *state;
	struct netd_address addresses[NETD_ADDRESSES_MAX];
	size_t count;
	static const char *const cases[] = {"", "a b", "a^", "a\"b", "a\n"};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error error = {0};
		assert_false(netd_ask(scratch->folder, cases[i], AF_UNSPEC, addresses, &count, &error));
		assert_int_equal(error.kind, ERROR_INVALID);
	}
	struct error error = {0};
	assert_false(netd_ask("/nowhere", "broker.example", AF_UNSPEC, addresses, &count, &error));
	assert_non_null(strstr(error.what, "/nowhere/dev/socket/dnsproxyd"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_an_answer),
		cmocka_unit_test(takes_no_part_for_the_whole),
		cmocka_unit_test(tells_refusals),
		cmocka_unit_test_setup_teardown(asks_as_android_does, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(asks_for_nothing_but_names, scratch_setup, scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
