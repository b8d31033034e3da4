// When the next proof is due: on schedule, or because somebody was revoked, and never more often than the gap allows.
// What is asked meanwhile becomes one proof.
#pragma once

#include "tools/canary/proof.h"

#include <stdbool.h>
#include <stdint.h>

struct due {
	int64_t every_ms, gap_ms;
	int64_t last_ms; // when the last one began, monotonic
	bool begun;	 // there was one
	bool asked;
	char cause[PROOF_CAUSE_BYTES]; // of the last who asked
};

void due_init(struct due *due, int64_t every_ms, int64_t gap_ms);
void due_ask(struct due *due, const char *cause); // "" leaves the cause to the others
// 0: at once.
int64_t due_at_ms(const struct due *due);
// It begins now. out: "" on schedule.
void due_begin(struct due *due, int64_t now_ms, char out[PROOF_CAUSE_BYTES]);
