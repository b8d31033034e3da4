// The broker's revocation list (docs/protocol.md, section 10): a text file, one `device <id>` or `serial <hex>` a line.
// It fails closed: a list that is missing, cannot be read, does not end in a newline or holds a line that is not
// understood lets nobody in, because nobody can tell who stood in it.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

#define SERIAL_HEX_MAX 40 // RFC 5280 section 4.1.2.2: 20 octets

enum revocation_kind { REVOCATION_DEVICE, REVOCATION_SERIAL };

struct revocations;

// Does not read yet.
struct revocations *revocations_new(const char *path, struct error *error) must_check;
void revocations_free(struct revocations *revocations);
DEFINE_CLEANUP(struct revocations, revocations_free)

// Reads the file if it changed since the last time. On failure nothing is known and every check fails.
bool revocations_refresh(struct revocations *revocations, struct error *error) must_check;

// What the last refresh found. True also when that failed: closed.
bool revocations_has(const struct revocations *revocations, enum revocation_kind kind, const char *name);

// Durable when they return true: written beside, fsynced and renamed over, so that a crash leaves the old list or the
// new one, never half a line. Idempotent. ERROR_INVALID when name is not of that kind. A revocation that could not be
// stored is false, but holds from now on until the broker stops, and is stored with the next change.
bool revocations_add(struct revocations *revocations, enum revocation_kind kind, const char *name,
		     struct error *error) must_check;
bool revocations_remove(struct revocations *revocations, enum revocation_kind kind, const char *name,
			struct error *error) must_check;

// Lower case without leading zeros, the form in which serials are compared. False if text is not hex of that size.
bool revocations_serial(const char *text, char out[SERIAL_HEX_MAX + 1]) must_check;
