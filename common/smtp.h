// E-mail handed to an SMTP server (RFC 5321) without keeping anybody waiting, over libcurl, driven by common/loop.h.
// TLS is required: smtps:// speaks it from the start, smtp:// by STARTTLS; only to this machine may it be left out.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/loop.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct smtp;

struct smtp_options {
	const char *url;	     // smtp://host:587 or smtps://host:465
	const char *ca_file;	     // the only roots trusted; NULL: the system's
	bool plain;		     // no STARTTLS: refused unless the server is on this machine
	const char *user, *password; // NULL: no AUTH
	const char *helo;	     // our name in EHLO
	int timeout_ms;		     // for all of one message
	size_t sends_max;	     // under way at a time; beyond, smtp_start says ERROR_LIMIT
};

struct smtp_outcome {
	bool sent;	    // the server has taken it
	int reply;	    // the last reply code of the server; 0: it said nothing
	struct error error; // unless sent; ERROR_DENIED: TLS or AUTH failed
};
// Called from the loop, once for each message that was started.
typedef void smtp_fn(void *user, const struct smtp_outcome *outcome);

// Strings are copied.
struct smtp *smtp_new(struct loop *loop, const struct smtp_options *options, smtp_fn *fn,
		      struct error *error) must_check;
// Drops what is under way; free_fn is called with the user of each.
void smtp_free(struct smtp *smtp, void (*free_fn)(void *user));

// from and to: bare addresses. message: headers and body with CRLF, copied.
bool smtp_start(struct smtp *smtp, const char *from, const char *to, const char *message, size_t message_bytes,
		void *user, struct error *error) must_check;
size_t smtp_under_way(const struct smtp *smtp);
