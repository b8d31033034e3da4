// An exported history of commands (docs/protocol.md, section 19), checked without the database that it came from: who
// asked, what was signed, what the device answered, and whether anything is missing or was changed.
#pragma once

#include "common/cleanup.h"
#include "common/command.h"
#include "common/error.h"
#include "common/json.h"
#include "common/pki.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HISTORY_TYP "muster-history+jws"
#define HISTORY_MAX_BYTES ((size_t)512 * 1024 * 1024)
#define HISTORY_FAULTS_MAX 100 // that are told one by one
#define HISTORY_SIGNERS_MAX 64

struct history_trust {
	struct jws_key keys[HISTORY_SIGNERS_MAX];
	int64_t withdrawn_s[HISTORY_SIGNERS_MAX]; // 0: it still counts
	size_t key_count;
	struct pki_bundle authorities; // of devices
};
// keys: a JWK Set, as `muster signing-key list --json` prints it; authorities: PEM.
bool history_trust_parse(const char *keys, size_t keys_bytes, const char *authorities, struct history_trust *out,
			 struct error *error) must_check;
void history_trust_done(struct history_trust *trust);

struct history_fault {
	size_t line; // from 1; 0: of the whole
	char what[256];
};

struct history_report {
	size_t commands, unsent; // unsent: refused, or withdrawn, before they were signed
	size_t devices, partial; // partial: devices whose first command in it is not their first
	size_t verified, unsigned_results, refused; // results
	struct history_fault faults[HISTORY_FAULTS_MAX];
	size_t fault_count; // there may be more than are told
};

// Called for each command, for a list; NULL: not wanted. by is as signed.
typedef void history_seen_fn(void *user, const struct command *command, const char *state);

// Ends each line of text in place. Nothing is wrong when report->fault_count is 0.
void history_verify(char *text, size_t len_bytes, const struct history_trust *trust, history_seen_fn *seen, void *user,
		    struct history_report *report);

// The last line, for the text of the others. malloc'd.
char *history_end(const struct jws_signer *signer, const char *text, size_t len_bytes, size_t lines,
		  struct error *error) must_check;
