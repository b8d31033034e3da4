// What is asked of TCP sockets beside reading and writing.
#pragma once

#include <stdbool.h>
#include <stdint.h>

// Does host have IPv4 and IPv6 addresses? False also when it does not resolve.
bool socket_has_both_families(const char *host);
// Small answers leave at once, and a connection to a peer that has vanished ends.
void socket_tune(int fd);
// Nothing more will come, and what is written is refused.
bool socket_peer_gone(int fd);
// Says that nothing more will be written, and lets the peer close first: until deadline_ms, of the monotonic clock.
// What the peer sends is thrown away. A socket that is closed at once answers it with a reset, at which the peer may
// forget what it has not read yet.
void socket_await_close(int fd, int64_t deadline_ms);
