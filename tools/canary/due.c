#include "tools/canary/due.h"

#include <stdio.h>
#include <string.h>

void due_init(struct due *due, int64_t every_ms, int64_t gap_ms)
{
	*due = (struct due){.every_ms = every_ms, .gap_ms = gap_ms};
}

void due_ask(struct due *due, const char *cause)
{
	due->asked = true;
	if (cause[0])
		(void)snprintf(due->cause, sizeof(due->cause), "%s", cause);
}

int64_t due_at_ms(const struct due *due)
{
	if (!due->begun)
		return 0;
	return due->last_ms + (due->asked || due->every_ms < due->gap_ms ? due->gap_ms : due->every_ms);
}

void due_begin(struct due *due, int64_t now_ms, char out[PROOF_CAUSE_BYTES])
{
	memcpy(out, due->cause, PROOF_CAUSE_BYTES);
	due->cause[0] = '\0';
	due->asked = false;
	due->begun = true;
	due->last_ms = now_ms;
}
