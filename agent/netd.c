#include "agent/netd.h"

#include "common/clock.h"
#include "common/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define CODE_BYTES 4 // "222" and a NUL
#define CODE_RESULT "222"
#define CODE_FAILED "401"
#define HOST_MAX 253

// Android's struct sockaddr_in and sockaddr_in6 are the kernel's, in the byte order of the machine.
struct cursor {
	const uint8_t *at;
	size_t left_bytes;
};

static bool take(struct cursor *cursor, void *out, size_t len_bytes)
{
	if (len_bytes > cursor->left_bytes)
		return false;
	if (out)
		memcpy(out, cursor->at, len_bytes);
	cursor->at += len_bytes;
	cursor->left_bytes -= len_bytes;
	return true;
}

static bool take_number(struct cursor *cursor, uint32_t *out)
{
	uint32_t number;
	if (!take(cursor, &number, sizeof(number)))
		return false;
	*out = ntohl(number);
	return true;
}

static bool set_address(const uint8_t *bytes, size_t len_bytes, struct netd_address *out)
{
	sa_family_t family;
	if (len_bytes < sizeof(family))
		return false;
	memcpy(&family, bytes, sizeof(family));
	if (family == AF_INET && len_bytes == sizeof(struct sockaddr_in)) {
		struct sockaddr_in address;
		memcpy(&address, bytes, sizeof(address));
		*out = (struct netd_address){.family = AF_INET, .ipv4 = address.sin_addr};
		return true;
	}
	if (family == AF_INET6 && len_bytes == sizeof(struct sockaddr_in6)) {
		struct sockaddr_in6 address;
		memcpy(&address, bytes, sizeof(address));
		*out = (struct netd_address){
			.family = AF_INET6, .ipv6 = address.sin6_addr, .scope = address.sin6_scope_id};
		return true;
	}
	return false;
}

// *known: it is of a family that we know.
static bool take_entry(struct cursor *cursor, struct netd_address *out, bool *known)
{
	uint32_t ignored;
	uint32_t address_bytes;
	uint32_t name_bytes;
	for (int i = 0; i < 4; i++) {
		if (!take_number(cursor, &ignored))
			return false;
	}
	if (!take_number(cursor, &address_bytes) || address_bytes > cursor->left_bytes)
		return false;
	*known = set_address(cursor->at, address_bytes, out);
	return take(cursor, NULL, address_bytes) && take_number(cursor, &name_bytes) && take(cursor, NULL, name_bytes);
}

bool netd_parse(const void *answer, size_t len_bytes, struct netd_address out[NETD_ADDRESSES_MAX], size_t *count,
		struct error *error)
{
	struct cursor cursor = {answer, len_bytes};
	char code[CODE_BYTES];
	size_t found = 0;
	uint32_t more = 0;
	if (!take(&cursor, code, sizeof(code)) || code[CODE_BYTES - 1] != '\0')
		return error_set(error, ERROR_INVALID, "the name service gave no answer");
	if (strcmp(code, CODE_FAILED) == 0)
		return error_set(error, ERROR_NOT_FOUND, "the name does not resolve");
	if (strcmp(code, CODE_RESULT) != 0)
		return error_set(error, ERROR_INVALID, "the name service gave an unknown answer");
	for (;;) {
		struct netd_address address;
		bool known = false;
		if (!take_number(&cursor, &more) || (more != 0 && !take_entry(&cursor, &address, &known)))
			return error_set(error, ERROR_INVALID, "the name service's answer is cut off");
		if (more == 0)
			break;
		if (known && found < NETD_ADDRESSES_MAX)
			out[found++] = address;
	}
	if (found == 0)
		return error_set(error, ERROR_NOT_FOUND, "the name has no address");
	*count = found;
	return true;
}

// Words are parted by white space and quotes; a name with such in it is none.
static bool is_name(const char *host)
{
	size_t len_bytes = strlen(host);
	return len_bytes > 0 && len_bytes <= HOST_MAX &&
	       strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:%") == len_bytes;
}

static int open_socket(const char *root, struct error *error)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int used = snprintf(address.sun_path, sizeof(address.sun_path), "%s/dev/socket/dnsproxyd", root);
	if (used < 0 || (size_t)used >= sizeof(address.sun_path)) {
		error_set(error, ERROR_INVALID, "the path of the name service's socket is too long");
		return -1;
	}
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		error_errno(error, errno, "cannot reach the name service at %s", address.sun_path);
		return -1;
	}
	return steal_fd(fd);
}

// Until the answer is whole, or the other end closes.
static bool receive(int fd, struct netd_address out[NETD_ADDRESSES_MAX], size_t *count, struct error *error)
{
	uint8_t answer[NETD_ANSWER_MAX_BYTES];
	size_t len_bytes = 0;
	int64_t deadline_ms = clock_mono_ms() + NETD_TIMEOUT_MS;
	for (;;) {
		int64_t left_ms = deadline_ms - clock_mono_ms();
		struct pollfd watch = {.fd = fd, .events = POLLIN};
		if (left_ms <= 0)
			return error_set(error, ERROR_TIMEOUT, "no answer of the name service within %d ms",
					 NETD_TIMEOUT_MS);
		if (poll(&watch, 1, (int)left_ms) <= 0)
			continue;
		ssize_t got = recv(fd, answer + len_bytes, sizeof(answer) - len_bytes, 0);
		if (got < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (got < 0)
			return error_errno(error, errno, "cannot read the name service's answer");
		len_bytes += (size_t)got;
		struct error why = {0};
		if (netd_parse(answer, len_bytes, out, count, &why))
			return true;
		if (why.kind == ERROR_NOT_FOUND || got == 0 || len_bytes == sizeof(answer)) {
			*error = why;
			return false;
		}
	}
}

bool netd_ask(const char *root, const char *host, int family, struct netd_address out[NETD_ADDRESSES_MAX],
	      size_t *count, struct error *error)
{
	char request[HOST_MAX + 64];
	if (!is_name(host))
		return error_set(error, ERROR_INVALID, "\"%.64s\" is no host name", host);
	// Host, no service, flags, family, socket type, protocol, and the network: 0 is the default one.
	int bytes = snprintf(request, sizeof(request), "getaddrinfo %s ^ 0 %d %d 0 0", host, family, SOCK_STREAM);
	auto_close int fd = open_socket(root, error);
	if (fd < 0)
		return false;
	if (send(fd, request, (size_t)bytes + 1, MSG_NOSIGNAL) != bytes + 1)
		return error_errno(error, errno, "cannot ask the name service");
	return receive(fd, out, count, error);
}
