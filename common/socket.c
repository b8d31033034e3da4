#include "common/socket.h"

#include "common/clock.h"

#include <errno.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

bool socket_has_both_families(const char *host)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
	struct addrinfo *list = NULL;
	bool ipv4 = false;
	bool ipv6 = false;
	if (getaddrinfo(host, NULL, &hints, &list) != 0)
		return false;
	for (const struct addrinfo *at = list; at; at = at->ai_next) {
		ipv4 = ipv4 || at->ai_family == AF_INET;
		ipv6 = ipv6 || at->ai_family == AF_INET6;
	}
	freeaddrinfo(list);
	return ipv4 && ipv6;
}

bool socket_peer_gone(int fd)
{
	char byte;
	ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	return got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR);
}

void socket_await_close(int fd, int64_t deadline_ms)
{
	char ignored[4096];
	(void)shutdown(fd, SHUT_WR);
	for (;;) {
		int64_t left_ms = deadline_ms - clock_mono_ms();
		struct pollfd watch = {.fd = fd, .events = POLLIN};
		int ready = left_ms > 0 ? poll(&watch, 1, (int)(left_ms < INT_MAX ? left_ms : INT_MAX)) : 0;
		if (ready < 0 && errno == EINTR)
			continue;
		if (ready <= 0 || recv(fd, ignored, sizeof(ignored), MSG_DONTWAIT) <= 0)
			return;
	}
}

void socket_tune(int fd)
{
	static const struct {
		int level, name, value;
	} settings[] = {
		{IPPROTO_TCP, TCP_NODELAY, 1},	  {SOL_SOCKET, SO_KEEPALIVE, 1}, {IPPROTO_TCP, TCP_KEEPIDLE, 30},
		{IPPROTO_TCP, TCP_KEEPINTVL, 10}, {IPPROTO_TCP, TCP_KEEPCNT, 3},
	};
	for (size_t i = 0; i < sizeof(settings) / sizeof(settings[0]); i++)
		(void)setsockopt(fd, settings[i].level, settings[i].name, &settings[i].value, sizeof(int));
}
