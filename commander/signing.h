// The key that signs commands, the counters that it gives, and the announcements of whom devices are to obey
// (docs/protocol.md, section 19; docs/decisions/0024). Beside the key's file stand two more, for what must not depend
// on the database, which may be restored from an old copy:
//
//   <key>.counter   no n was given above this number
//   <key>.signers   the announcements, a JWS each line; `muster signing-key` writes them
//
// All three are looked at once a second: a key is replaced by renaming another over it.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"
#include "common/file.h"
#include "common/jws.h"
#include "common/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct commander;
struct json;

struct signing {
	struct jws_signer *signer;
	char *counter_file, *signers_file;
	struct file_stamp key_stamp, signers_stamp;
	bool announced;	   // there is a file of announcements
	bool taken;	   // what is in the files is in the database
	int64_t counter;   // no n is given up to this number
	int64_t reserved;  // n up to this one may be given without a write
	int64_t version;   // of the newest announcement in the database
	int64_t looked_ms; // monotonic: when devices were looked through for older ones
	struct log_fault fault;
};

bool signing_init(struct signing *signing, const char *key_file, struct error *error) must_check;
void signing_done(struct signing *signing);

// The n after last, for one device: above all that were given for it before, also those that the database has
// forgotten.
bool signing_counter(struct signing *signing, int64_t last, int64_t *n, struct error *error) must_check;

// Another connection to the database: it may be another database, too.
void signing_connected(struct commander *commander);
// Once a second: whether the files have changed, or devices may lack announcements.
void signing_tick(struct commander *commander);
// Inside the transaction, when DUE_SIGNERS is set.
bool signing_run(struct commander *commander, struct error *error) must_check;
