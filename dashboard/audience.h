// The live streams that get the same: the same rows, made into text once for all of them.
#pragma once

#include "common/buf.h"
#include "common/http.h"
#include "dashboard/auth.h"
#include "dashboard/feed.h"
#include "dashboard/interest.h"
#include "dashboard/scope.h"

#include <stdbool.h>
#include <stdint.h>

struct stream;

struct audience {
	struct audience *next, *previous;
	struct scope scope;
	char user[AUTH_USER_MAX]; // whose rows are theirs; "" where none of the interest are anybody's own
	struct interest interest;
	struct stream *first; // its streams
	size_t count;
	struct buf frames;   // of the set that is being made
	bool behind;	     // more changed than was sent: owed a resync
	int64_t resync_ms; // monotonic: when the last one was sent; 0: never
};

// Takes interest over.
struct audience *audience_new(const struct scope *scope, const char *user, struct interest *interest) must_check;
void audience_free(struct audience *audience);

bool audience_is(const struct audience *audience, const struct scope *scope, const char *user,
		 const struct interest *interest);
// May it see this row, and does it want it?
bool audience_wants(const struct audience *audience, enum feed_kind kind, const struct feed_row *row);

// Adds those of rows that it wants as one event; fresh_only: not those sent before. False when they are too large.
bool audience_add(const struct audience *audience, enum feed_kind kind, const struct feed_rows *rows, bool fresh_only,
		  int64_t since_us, int64_t id, struct buf *out);
