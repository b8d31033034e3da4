// Whom a request is from: addresses as text, without their ports.
#pragma once

#include "common/http_parse.h"

#include <stdbool.h>
#include <stddef.h>

#define HTTP_PEER_BYTES 46 // INET6_ADDRSTRLEN

struct sockaddr;

// IPv4 addresses in IPv6's form as IPv4 addresses.
void http_peer_format(const struct sockaddr *address, size_t address_bytes, char out[HTTP_PEER_BYTES]);

// The key under which an address counts: IPv6 by the 64 bits of its network, since a host there has as many addresses
// as it likes.
void http_peer_network(const char *peer, char out[HTTP_PEER_BYTES]);

// Whether text is an address, or a network: "192.0.2.7", "2001:db8::/48".
bool http_peer_is_network(const char *text);

// Whether address is one of proxies: a NULL-terminated list of addresses and networks. NULL: there
// are none.
bool http_peer_is_proxy(char *const *proxies, const char *address);

// The client behind peer, which is one of proxies: each of them appends to X-Forwarded-For whom it heard, so it is the
// last address there that is none of them; what stands before may be made up. False, with out untouched, where the
// header is missing or that place in it is no address.
bool http_peer_forwarded(char *const *proxies, const struct http_head *head, char out[HTTP_PEER_BYTES]);
