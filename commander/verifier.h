// Checks the signatures of a batch of results in threads of its own, while whoever asked works on those that are done
// or waits for the database. It keeps nothing from one batch to the next: which certificates may speak for a result is
// for the caller to say, each time anew.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>

struct verifier_check {
	const char *certificates; // PEM, one after the other; NULL: none
	const char *text, *sig;	  // NULL: there is none
	bool good;
	size_t index; // which certificate, from 0, where it is good
	bool done;    // the verifier's
};

struct verifier;

// As many threads as there are cores besides the caller's, at least one and at most VERIFIER_THREADS_MAX.
struct verifier *verifier_new(struct error *error) must_check;
void verifier_free(struct verifier *verifier);
DEFINE_CLEANUP(struct verifier, verifier_free)

// The checks, and what they point to, are the verifier's until verifier_stop.
void verifier_start(struct verifier *verifier, struct verifier_check *checks, size_t count);
// Until the first count checks are done; the caller takes part in these.
void verifier_await(struct verifier *verifier, size_t count);
// Begins no more of them and waits for those at work.
void verifier_stop(struct verifier *verifier);
