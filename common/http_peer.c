#include "common/http_peer.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { IPV4_BYTES = 4, IPV6_BYTES = 16, BITS = 8 };

struct address {
	unsigned char bytes[IPV6_BYTES];
	size_t count; // 4 or 16
};

// IPv4 addresses in IPv6's form are IPv4 addresses.
static bool parse(const char *text, struct address *out)
{
	static const unsigned char mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	*out = (struct address){.count = IPV4_BYTES};
	if (inet_pton(AF_INET, text, out->bytes) == 1)
		return true;
	out->count = IPV6_BYTES;
	if (inet_pton(AF_INET6, text, out->bytes) != 1)
		return false;
	if (memcmp(out->bytes, mapped, sizeof(mapped)) == 0) {
		memmove(out->bytes, out->bytes + sizeof(mapped), IPV4_BYTES);
		out->count = IPV4_BYTES;
	}
	return true;
}

static void format(const struct address *address, char out[HTTP_PEER_BYTES])
{
	(void)inet_ntop(address->count == IPV4_BYTES ? AF_INET : AF_INET6, address->bytes, out, HTTP_PEER_BYTES);
}

void http_peer_format(const struct sockaddr *address, size_t address_bytes, char out[HTTP_PEER_BYTES])
{
	static const char mapped[] = "::ffff:";
	if (getnameinfo(address, (socklen_t)address_bytes, out, HTTP_PEER_BYTES, NULL, 0, NI_NUMERICHOST) != 0)
		(void)snprintf(out, HTTP_PEER_BYTES, "unknown");
	if (strncmp(out, mapped, sizeof(mapped) - 1) == 0 && strchr(out, '.'))
		memmove(out, out + sizeof(mapped) - 1, strlen(out) - sizeof(mapped) + 2);
}

void http_peer_network(const char *peer, char out[HTTP_PEER_BYTES])
{
	struct address address;
	if (!parse(peer, &address)) {
		(void)snprintf(out, HTTP_PEER_BYTES, "%s", peer);
		return;
	}
	if (address.count == IPV6_BYTES)
		memset(address.bytes + IPV6_BYTES / 2, 0, IPV6_BYTES / 2);
	format(&address, out);
}

// "address" or "address/bits".
static bool parse_network(const char *text, struct address *out, size_t *bits)
{
	char name[HTTP_PEER_BYTES];
	const char *slash = strchrnul(text, '/');
	size_t name_bytes = (size_t)(slash - text);
	if (name_bytes >= sizeof(name))
		return false;
	(void)snprintf(name, sizeof(name), "%.*s", (int)name_bytes, text);
	if (!parse(name, out))
		return false;
	*bits = out->count * BITS;
	if (!*slash)
		return true;
	size_t digits = strspn(slash + 1, "0123456789");
	if (digits == 0 || digits > 3 || slash[1 + digits] != '\0' || strtoul(slash + 1, NULL, 10) > *bits)
		return false;
	*bits = strtoul(slash + 1, NULL, 10);
	return true;
}

bool http_peer_is_network(const char *text)
{
	struct address network;
	size_t bits;
	return parse_network(text, &network, &bits);
}

static bool is_within(const struct address *address, const char *text)
{
	struct address network;
	size_t bits;
	if (!parse_network(text, &network, &bits) || network.count != address->count)
		return false;
	size_t whole = bits / BITS;
	unsigned char rest = (unsigned char)(0xff00U >> bits % BITS);
	return memcmp(network.bytes, address->bytes, whole) == 0 &&
	       (whole == network.count || ((network.bytes[whole] ^ address->bytes[whole]) & rest) == 0);
}

static bool is_listed(char *const *proxies, const struct address *address)
{
	for (; proxies && *proxies; proxies++) {
		if (is_within(address, *proxies))
			return true;
	}
	return false;
}

bool http_peer_is_proxy(char *const *proxies, const char *text)
{
	struct address address;
	return parse(text, &address) && is_listed(proxies, &address);
}

// The last element of the list that ends at length, which becomes that of the list before it. False: none is left.
static bool take_last(const char *list, size_t *length, char out[HTTP_PEER_BYTES])
{
	size_t end = *length;
	if (end == 0)
		return false;
	size_t start = end;
	while (start > 0 && list[start - 1] != ',')
		start--;
	*length = start > 0 ? start - 1 : 0;
	while (start < end && (list[start] == ' ' || list[start] == '\t'))
		start++;
	while (end > start && (list[end - 1] == ' ' || list[end - 1] == '\t'))
		end--;
	(void)snprintf(out, HTTP_PEER_BYTES, "%.*s", (int)(end - start), list + start);
	return true;
}

bool http_peer_forwarded(char *const *proxies, const struct http_head *head, char out[HTTP_PEER_BYTES])
{
	char text[HTTP_PEER_BYTES];
	struct address address, found;
	bool any = false, done = false;
	// From the end: a proxy may write a line of its own, behind the others.
	for (size_t i = head->field_count; i-- > 0 && !done;) {
		const struct http_field *field = &head->fields[i];
		size_t length = strcasecmp(field->name, "X-Forwarded-For") == 0 ? strlen(field->value) : 0;
		while (!done && take_last(field->value, &length, text)) {
			done = !parse(text, &address);
			if (done)
				break;
			found = address;
			any = true;
			done = !is_listed(proxies, &address);
		}
	}
	if (any)
		format(&found, out);
	return any;
}
