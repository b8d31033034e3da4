// The agent's door for what is on the same device: a companion app that a push has reached, or a person. A unix
// socket that takes one line, answers with one, and closes:
//
//   wake                  -> ok              connect now, or report now if there is a connection
//   push-token <TOKEN>    -> ok | error ..   where a push reaches this device; without a token: nowhere any more
//
// Nothing that comes in here is obeyed beyond that: commands come from the broker, signed. One client at a time, for
// a second at most; a flood of them costs the agent an answer each (contact.h limits what it does).
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/push_token.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define WAKE_LINE_MAX (PUSH_TOKEN_MAX + 32)
#define WAKE_PATH_MAX 108 // sockaddr_un

struct wake_handlers {
	void (*wake)(void *user);
	// token: "" for none. False when it could not be kept.
	bool (*push_token)(void *user, const char *token, struct error *error);
	void *user;
};

struct wake_socket {
	int listener, client; // -1: none
	char path[WAKE_PATH_MAX];
	char line[WAKE_LINE_MAX + 1];
	size_t line_bytes;
	int64_t deadline_ms; // of the client
	struct wake_handlers handlers;
};

void wake_socket_init(struct wake_socket *wake, const struct wake_handlers *handlers);
void wake_socket_done(struct wake_socket *wake); // removes it
// Takes the place of a socket that an earlier run left.
bool wake_socket_open(struct wake_socket *wake, const char *path, mode_t mode, struct error *error) must_check;

// Watch wake_socket_fd for reading, and call wake_socket_poll then and after wake_socket_timeout_ms.
int wake_socket_fd(const struct wake_socket *wake);
int wake_socket_timeout_ms(const struct wake_socket *wake, int64_t now_ms); // -1: nothing to wait for
void wake_socket_poll(struct wake_socket *wake, int64_t now_ms);

// The other side: says line to the agent at path. ERROR_UNREACHABLE when no agent listens.
bool wake_socket_ask(const char *path, const char *line, struct error *error) must_check;
