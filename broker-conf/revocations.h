// The broker's revocation list (docs/protocol.md, section 10): a text file, one `device <id>`, `serial <hex>` or
// `stale <id>` a line.
// It fails closed: a list that is missing, cannot be read, does not end in a newline or holds a line that is not
// understood lets nobody in, because nobody can tell who stood in it.
#pragma once

#include "common/cleanup.h"
#include "common/crypto.h"
#include "common/error.h"
#include "common/limits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SERIAL_HEX_MAX 40 // RFC 5280 section 4.1.2.2: 20 octets

enum revocation_kind {
	REVOCATION_DEVICE,
	REVOCATION_SERIAL,
	REVOCATION_STALE, // a device that was let in again: what waits in its session is from before
};

struct revocations;

// Does not read yet.
struct revocations *revocations_new(const char *path, struct error *error) must_check;
void revocations_free(struct revocations *revocations);
DEFINE_CLEANUP(struct revocations, revocations_free)

// Reads the file if it changed since the last time. On failure nothing is known and every check fails.
bool revocations_refresh(struct revocations *revocations, struct error *error) must_check;

// What the last refresh found. True also when that failed: closed.
bool revocations_has(const struct revocations *revocations, enum revocation_kind kind, const char *name);

// One line of the list that shall be there, or shall not.
struct revocation {
	enum revocation_kind kind;
	bool revoked;
	char name[PRINCIPAL_MAX]; // device id, or serial in hex
};

// Makes all changes in one write, durable when it returns true: written beside, fsynced and renamed over, so that a
// crash leaves the old list or the new one, never half a line. through: revocations_applied from then on; -1 leaves it.
// whole: the changes are all there is to know, so that they may take the place of a list that cannot be read. A device
// that is restored becomes stale. Idempotent. ERROR_INVALID when a name is not of its kind. A revocation that could not
// be stored is false, but holds from now on until the broker stops, and is stored with the next change.
bool revocations_apply(struct revocations *revocations, const struct revocation *changes, size_t count, int64_t through,
		       bool whole, struct error *error) must_check;

// Rises each time the list is read anew, because it changed or can be read again.
unsigned revocations_generation(const struct revocations *revocations);

// The number of the last change that is in the list, as its sender counts them; 0: none, or it cannot be read.
int64_t revocations_applied(const struct revocations *revocations);
// Of its devices and serials: how many, and the SHA-256 in hex of their lines, sorted by bytes.
size_t revocations_digest(const struct revocations *revocations, char out[SHA256_HEX_BYTES]);

// Lower case without leading zeros, the form in which serials are compared. False if text is not hex of that size.
bool revocations_serial(const char *text, char out[SERIAL_HEX_MAX + 1]) must_check;
