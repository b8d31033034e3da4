// Asks the bridge for a certificate over HTTPS, in a child: muster-agent-enroll, with no rights and no environment. The
// credential goes to it by a pipe, never by arguments, environment or file.
#pragma once

#include "agent/credential.h"
#include "common/buf.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define FETCH_TIMEOUT_MS 60000

struct fetch {
	pid_t child; // 0: none
	int fd;      // what it prints
	int64_t deadline_ms;
	struct buf answer;
};

struct fetch_request {
	const char *url; // of the bridge
	const struct credential *present;
	const char *csr, *fingerprint; // fingerprint may be NULL or empty
};

void fetch_init(struct fetch *fetch);
void fetch_done(struct fetch *fetch);
// Nothing happens while a child is at it.
bool fetch_start(struct fetch *fetch, const struct fetch_request *request, int64_t now_ms, struct error *error)
	must_check;
// To be called when fd is readable, and now and then. *answer is malloc'd once it has come; false when the child
// failed.
bool fetch_poll(struct fetch *fetch, int64_t now_ms, char **answer, struct error *error) must_check;

// The child's side: the request on standard input, the bridge's answer on standard output. Returns its exit code.
int fetch_main(void);
