// One e-mail as it goes over the wire (RFC 5322, MIME): plain text in UTF-8. Pure.
#pragma once

#include "common/buf.h"
#include "common/error.h"

#include <stdbool.h>
#include <stdint.h>

#define MAIL_MESSAGE_MAX_BYTES 262144 // a body of 64 kB of which each byte is escaped

struct mail_message {
	const char *id; // of the table: Message-ID is made from it, so that a copy of the same mail can be known
	int64_t created_ms, now_ms; // wall
	const char *from, *to;	    // bare addresses
	const char *subject;
	const char *body; // lines end in LF
};

// Appends to out, lines ending in CRLF. ERROR_INVALID: something in it could be taken for another header.
bool mail_message_build(const struct mail_message *message, struct buf *out, struct error *error) must_check;
