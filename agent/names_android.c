// getaddrinfo and freeaddrinfo of this program, in place of the C library's: a static program has no other that works
// without the C library's own files, none of which Android has.
#include "agent/names.h"

#include "agent/netd.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What getaddrinfo has no argument for. Written once, before the first connection.
static struct {
	const char *root, *host;
	char *const *addresses;
} names = {.root = ""};

static bool parse_numeric(const char *text, struct netd_address *out)
{
	*out = (struct netd_address){.family = AF_INET};
	if (inet_pton(AF_INET, text, &out->ipv4) == 1)
		return true;
	out->family = AF_INET6;
	return inet_pton(AF_INET6, text, &out->ipv6) == 1;
}

bool names_init(const char *root, const char *host, char *const *addresses, struct error *error)
{
	struct netd_address ignored;
	for (char *const *address = addresses; address && *address; address++) {
		if (!parse_numeric(*address, &ignored))
			return error_set(error, ERROR_INVALID,
					 "\"%.64s\" in broker.addresses is no IPv4 or IPv6 address", *address);
	}
	names.root = root;
	names.host = host;
	names.addresses = addresses && *addresses ? addresses : NULL;
	return true;
}

static size_t find(const char *node, int flags, int family, struct netd_address out[NETD_ADDRESSES_MAX])
{
	struct error ignored = {0};
	size_t count = 0;
	if (parse_numeric(node, &out[0]))
		return 1;
	if (flags & AI_NUMERICHOST)
		return 0;
	if (names.addresses && strcmp(node, names.host) == 0) {
		while (count < NETD_ADDRESSES_MAX && names.addresses[count] &&
		       parse_numeric(names.addresses[count], &out[count]))
			count++;
		return count;
	}
	return netd_ask(names.root, node, family, out, &count, &ignored) ? count : 0;
}

// In one piece with its address.
struct entry {
	struct addrinfo info;
	union {
		struct sockaddr any;
		struct sockaddr_in ipv4;
		struct sockaddr_in6 ipv6;
	} address;
};

static struct entry *make_entry(const struct netd_address *address, uint16_t port, const struct addrinfo *hints)
{
	struct entry *entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->info.ai_family = address->family;
	entry->info.ai_socktype = hints && hints->ai_socktype ? hints->ai_socktype : SOCK_STREAM;
	entry->info.ai_protocol = hints ? hints->ai_protocol : 0;
	entry->info.ai_addr = &entry->address.any;
	if (address->family == AF_INET) {
		entry->info.ai_addrlen = sizeof(entry->address.ipv4);
		entry->address.ipv4 = (struct sockaddr_in){
			.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = address->ipv4};
	} else {
		entry->info.ai_addrlen = sizeof(entry->address.ipv6);
		entry->address.ipv6 = (struct sockaddr_in6){.sin6_family = AF_INET6,
							    .sin6_port = htons(port),
							    .sin6_addr = address->ipv6,
							    .sin6_scope_id = address->scope};
	}
	return entry;
}

void freeaddrinfo(struct addrinfo *list)
{
	while (list) {
		struct addrinfo *next = list->ai_next;
		free(list);
		list = next;
	}
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **out)
{
	struct netd_address addresses[NETD_ADDRESSES_MAX];
	int family = hints ? hints->ai_family : AF_UNSPEC;
	char *end = NULL;
	unsigned long port = service ? strtoul(service, &end, 10) : 0;
	if (service && (end == service || *end || port > UINT16_MAX))
		return EAI_SERVICE;
	if (!node) // nobody here listens
		return EAI_NONAME;
	size_t count = find(node, hints ? hints->ai_flags : 0, family, addresses);
	struct addrinfo *first = NULL;
	struct addrinfo **last = &first;
	for (size_t i = 0; i < count; i++) {
		if (family != AF_UNSPEC && addresses[i].family != family)
			continue;
		struct entry *entry = make_entry(&addresses[i], (uint16_t)port, hints);
		if (!entry) {
			freeaddrinfo(first);
			return EAI_MEMORY;
		}
		*last = &entry->info;
		last = &entry->info.ai_next;
	}
	if (!first)
		return EAI_NONAME;
	*out = first;
	return 0;
}
