#include "common/reach.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

// IANA's special-purpose address registries (RFC 6890). The first that fits counts.
static const struct {
	uint32_t network;
	int bits;
	enum reach least; // with which it may be reached
	bool never;	  // with REACH_ANY only
} ranges[] = {
	{0x00000000, 8, REACH_ANY, true},      // this network
	{0x7f000000, 8, REACH_ANY, true},      // loopback
	{0xa9fe0000, 16, REACH_ANY, true},     // link-local, with the metadata services of clouds
	{0xe0000000, 3, REACH_ANY, true},      // multicast, reserved, broadcast
	{0x0a000000, 8, REACH_PRIVATE, false}, // RFC 1918
	{0xac100000, 12, REACH_PRIVATE, false}, {0xc0a80000, 16, REACH_PRIVATE, false},
	{0x64400000, 10, REACH_PRIVATE, false}, // shared by a carrier's customers
	{0xc0000000, 24, REACH_ANY, true},	// protocol assignments
	{0xc6120000, 15, REACH_PRIVATE, false}, // benchmarks
};

bool reach_parse(const char *text, enum reach *out)
{
	static const char *const names[] = {
		[REACH_ANY] = "any", [REACH_PRIVATE] = "private", [REACH_PUBLIC] = "public"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], text) == 0) {
			*out = (enum reach)i;
			return true;
		}
	}
	return false;
}

static bool allows_4(enum reach reach, uint32_t address)
{
	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		uint32_t mask = UINT32_MAX << (32 - ranges[i].bits);

		if ((address & mask) == ranges[i].network)
			return !ranges[i].never && reach <= ranges[i].least;
	}
	return true;
}

static bool allows_6(enum reach reach, const uint8_t bytes[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, zero[12], nat64[12] = {0x00, 0x64, 0xff, 0x9b};
	uint32_t tail = (uint32_t)bytes[12] << 24 | (uint32_t)bytes[13] << 16 | (uint32_t)bytes[14] << 8 | bytes[15];

	// Whatever leads to an IPv4 address counts as that one.
	if (memcmp(bytes, mapped, 12) == 0 || memcmp(bytes, nat64, 12) == 0)
		return allows_4(reach, tail);
	if (memcmp(bytes, zero, 12) == 0) // unspecified, loopback
		return false;
	if ((bytes[0] & 0xfe) == 0xfc) // unique local
		return reach <= REACH_PRIVATE;
	if (bytes[0] == 0x20 && bytes[1] == 0x02) // 6to4
		return allows_4(reach, (uint32_t)bytes[2] << 24 | (uint32_t)bytes[3] << 16 | (uint32_t)bytes[4] << 8 |
					       bytes[5]);
	return (bytes[0] & 0xe0) == 0x20; // global unicast; not link-local, not multicast
}

bool reach_allows(enum reach reach, const struct sockaddr *address)
{
	if (reach == REACH_ANY)
		return true;
	if (address->sa_family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, address, sizeof(in));
		return allows_4(reach, ntohl(in.sin_addr.s_addr));
	}
	if (address->sa_family == AF_INET6) {
		struct sockaddr_in6 in;

		memcpy(&in, address, sizeof(in));
		return allows_6(reach, in.sin6_addr.s6_addr);
	}
	return false;
}
