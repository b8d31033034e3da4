#include "tools/stack.h"

#include "common/crypto.h"
#include "common/file.h"
#include "common/json.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PORTS_FILE "ports.json"
#define PORTS_FILE_MAX_BYTES 4096
#define PORT_NEXT_TRIES 100
#define PORT_RANDOM_MIN 12000
#define PORT_RANDOM_MAX 31999 // net.ipv4.ip_local_port_range begins at 32768

static const struct {
	const char *name;
	int usual;
} ports[STACK_PORTS] = {
	[STACK_DEVICES] = {"devices", 8883},
	[STACK_SERVICES] = {"services", 8884},
	[STACK_WEBSOCKETS] = {"websockets", 8083},
	[STACK_DASHBOARD] = {"dashboard", 8443},
	[STACK_BRIDGE] = {"bridge", 8444},
	[STACK_INGEST_METRICS] = {"ingest_metrics", 8451},
	[STACK_COMMANDER_METRICS] = {"commander_metrics", 8452},
	[STACK_CANARY_METRICS] = {"canary_metrics", 8453},
	[STACK_CONSOLE] = {"console", 8084},
};

const char *stack_port_name(enum stack_port port)
{
	return ports[port].name;
}

bool stack_ports_load(struct stack *stack, struct error *error)
{
	struct stack_path path = stack_path(stack, PORTS_FILE);
	if (!file_exists(path.text))
		return true;
	size_t length = 0;
	auto_free char *text = file_read(path.text, PORTS_FILE_MAX_BYTES, &length, error);
	auto_json struct json *saved = text ? json_parse(text, length, error) : NULL;
	if (!saved)
		return error_prefix(error, "%s", path.text);
	for (int i = 0; i < STACK_PORTS; i++) {
		int64_t port = 0;
		if (json_member_int(saved, ports[i].name, &port) && port > 0 && port <= UINT16_MAX)
			stack->ports[i] = (int)port;
	}
	return true;
}

static bool save(const struct stack *stack, struct error *error)
{
	auto_json struct json *saved = json_new_object();
	for (int i = 0; i < STACK_PORTS; i++)
		json_set_int(saved, ports[i].name, stack->ports[i]);
	const char *text = json_text(saved);
	return file_write(stack_path(stack, PORTS_FILE).text, text, strlen(text), 0600, error);
}

// A socket that holds the port's name among the stacks of this machine (of this network namespace, as ports are)
// for as long as the process lives: what listens on the port itself comes later, and goes and comes back. -1 when
// another stack holds it. An abstract address (unix(7)) leaves nothing behind.
static int hold(int port)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int length = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "muster-port-%d", port);
	auto_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (const struct sockaddr *)&address,
			   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length)) != 0)
		return -1;
	return steal_fd(fd);
}

// A socket that holds the port until the choice is complete; -1 when it is taken. All addresses, because a
// listener on any of them is in the way.
static int claim(int port)
{
	const struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_ANY)};
	const int on = 1;
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	// As servers do: connections in TIME_WAIT are no obstacle.
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 1) != 0)
		return -1;
	return steal_fd(fd);
}

static int random_port(void)
{
	uint32_t number = 0;
	crypto_random(&number, sizeof(number));
	return PORT_RANDOM_MIN + (int)(number % (PORT_RANDOM_MAX - PORT_RANDOM_MIN + 1));
}

static int choose(struct stack *stack, enum stack_port which, bool any)
{
	bool saved = stack->ports[which] != 0;
	int first = saved ? stack->ports[which] : any ? random_port() : ports[which].usual;
	for (int i = 0; i < PORT_NEXT_TRIES; i++) {
		int port = i == 0 ? first : any ? random_port() : first + i;
		auto_close int held = port <= UINT16_MAX ? hold(port) : -1;
		int fd = held >= 0 ? claim(port) : -1;
		if (fd >= 0) {
			stack->ports[which] = port;
			stack->held[which] = steal_fd(held);
			stack->moved[which] = !any && i > 0;
			return fd;
		}
	}
	return -1;
}

void stack_ports_release(struct stack *stack)
{
	for (int i = 0; i < STACK_PORTS; i++) {
		if (stack->held[i] > 0)
			(void)close(stack->held[i]);
		stack->held[i] = 0;
	}
}

bool stack_ports_choose(struct stack *stack, bool any, struct error *error)
{
	int claimed[STACK_PORTS];
	int count = 0;
	bool ok = true;
	for (; ok && count < STACK_PORTS; count++) {
		claimed[count] = choose(stack, (enum stack_port)count, any);
		if (claimed[count] < 0) {
			ok = error_set(error, ERROR_EXISTS, "the %s port %d and the %d behind it are taken",
				       ports[count].name, ports[count].usual, PORT_NEXT_TRIES - 1);
			break;
		}
	}
	while (count > 0)
		(void)close(claimed[--count]);
	return ok && save(stack, error);
}
