// Android's name service: netd, asked over the socket /dev/socket/dnsproxyd as Android's own C library does, which
// knows the DNS servers of the network that the device is in just now. A request is a line of words and a NUL; the
// answer a code of three digits and a NUL, then for each address four 32-bit numbers (flags, family, socket type,
// protocol), the sockaddr and the canonical name, each after its length; numbers in network byte order, each entry
// behind a 1, the last followed by a 0.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define NETD_ADDRESSES_MAX 16
#define NETD_ANSWER_MAX_BYTES 8192 // some 170 addresses
#define NETD_TIMEOUT_MS 10000

struct netd_address {
	int family; // AF_INET or AF_INET6
	union {
		struct in_addr ipv4;
		struct in6_addr ipv6;
	};
	uint32_t scope; // IPv6 link-local: the interface
};

// Pure: the bytes of an answer, of which there may be fewer than announced. ERROR_NOT_FOUND when netd says that the
// name does not resolve, ERROR_INVALID for anything that is no answer.
bool netd_parse(const void *answer, size_t len_bytes, struct netd_address out[NETD_ADDRESSES_MAX], size_t *count,
		struct error *error) must_check;
// Asks for the addresses of host; family AF_UNSPEC, AF_INET or AF_INET6.
bool netd_ask(const char *root, const char *host, int family, struct netd_address out[NETD_ADDRESSES_MAX],
	      size_t *count, struct error *error) must_check;
