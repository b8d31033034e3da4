// One message about all alerts that came together, as text for an e-mail and as a CloudEvent (1.0, structured JSON) for
// a webhook. Pure.
#pragma once

#include "common/buf.h"
#include "common/json.h"

#include <stddef.h>
#include <stdint.h>

#define DIGEST_ITEMS_MAX 100 // listed; the others are counted
#define DIGEST_LISTED_MAX 20 // of one rule in a mail, which somebody reads
#define DIGEST_LINKED_MAX 5  // of so many each has its own link
#define DIGEST_SUBJECT_BYTES 200
#define DIGEST_TEXT_MAX_BYTES 60000 // a mail has at most 64 kB

enum digest_what { DIGEST_RAISED, DIGEST_CLEARED, DIGEST_STILL };

struct digest_item {
	enum digest_what what;
	const char *id, *severity, *rule, *kind, *object, *device, *title; // device NULL: it is none
	const char *looks_for;						   // the rule in words; NULL: it is no more
	const char *raised_at, *cleared_at;				   // RFC 3339; cleared_at NULL: it is not
	int64_t of_rule; // how many there are of the same rule and what
};

struct digest {
	const char *id;		// of the message: whoever gets it twice knows it by that
	const char *time;	// RFC 3339
	const char *public_url; // NULL: no links
	const char *tenant, *channel;
	bool test; // somebody wants to see whether it arrives
	int64_t raised, cleared, still;
	const struct digest_item *items;
	size_t count;
};

void digest_subject(const struct digest *digest, char out[DIGEST_SUBJECT_BYTES]);
void digest_text(const struct digest *digest, struct buf *out);
struct json *digest_event(const struct digest *digest) must_check;
