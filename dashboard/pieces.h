// Answers that are put together from statements over much of the fleet. Each statement is a piece: JSON that is kept,
// and shared by everybody who sees the same rows, until it is older than it may be, or than PIECES_REST times what it
// cost. So any number of open pages cost the database no more than one, and one that is dear rests longer. A statement
// that fails rests as well, and what it said before is answered meanwhile.
#pragma once

#include "common/buf.h"
#include "common/cleanup.h"
#include "common/http.h"
#include "dashboard/dashboard.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct piece {
	const char *name;
	const char *sql;  // one row with one column, JSON; no parameters
	int64_t fresh_ms; // it is not asked anew before
};

struct pieces;

// table stays the caller's.
struct pieces *pieces_new(const struct piece *table, size_t count, struct error *error) must_check;
void pieces_free(struct pieces *pieces);
DEFINE_CLEANUP(struct pieces, pieces_free)

// Answers with {"at":..., "all": whether everything is seen} and a member for each piece, as seen by whoever asks.
void pieces_reply(struct pieces *pieces, struct dashboard *dashboard, struct http_request *request);
