#include "dashboard/audience.h"

#include "common/limits.h"
#include "dashboard/stream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_MAX_BYTES (HTTP_STREAM_UNSENT_MAX / 3) // of one kind: a set, or a replay, never cuts its stream by itself

struct audience *audience_new(const struct scope *scope, const char *user, struct interest *interest)
{
	struct audience *audience = calloc(1, sizeof(*audience));

	if (!audience)
		return NULL;
	audience->scope = *scope;
	(void)snprintf(audience->user, sizeof(audience->user), "%s", interest_is_own(interest) ? user : "");
	audience->interest = *interest;
	*interest = (struct interest){0};
	buf_init(&audience->frames, HTTP_STREAM_UNSENT_MAX);
	return audience;
}

void audience_free(struct audience *audience)
{
	if (!audience)
		return;
	interest_done(&audience->interest);
	buf_done(&audience->frames);
	free(audience);
}

bool audience_is(const struct audience *audience, const struct scope *scope, const char *user,
		 const struct interest *interest)
{
	return strcmp(audience->scope.tenant, scope->tenant) == 0 &&
	       strcmp(audience->scope.groups, scope->groups) == 0 && interest_equal(&audience->interest, interest) &&
	       strcmp(audience->user, interest_is_own(interest) ? user : "") == 0;
}

static bool sees(const struct audience *audience, enum feed_kind kind, const struct feed_row *row)
{
	const struct scope *scope = &audience->scope;

	if (feed_sources[kind].bound == FEED_OWN)
		return row->device && strcmp(audience->user, row->device) == 0;
	return scope_is_all(scope) || (row->tenant && scope_sees(scope, row->tenant, row->groups));
}

bool audience_wants(const struct audience *audience, enum feed_kind kind, const struct feed_row *row)
{
	const struct interest *interest = &audience->interest;

	if (!(interest->all & (1U << kind)) &&
	    !((interest->named & (1U << kind)) && row->device && interest_has_device(interest, row->device)))
		return false;
	return sees(audience, kind, row);
}

bool audience_add(const struct audience *audience, enum feed_kind kind, const struct feed_rows *rows, bool fresh_only,
		  int64_t since_us, int64_t id, struct buf *out)
{
	auto_buf struct buf data;

	buf_init(&data, FRAME_MAX_BYTES);
	// The latest come first in rows, and last on the way.
	for (size_t i = rows->count; i > 0; i--) {
		const struct feed_row *row = &rows->rows[i - 1];

		if ((fresh_only && !row->fresh) || row->changed_us <= since_us || !audience_wants(audience, kind, row))
			continue;
		buf_add_str(&data, data.len_bytes == 0 ? "[" : ",");
		buf_add_str(&data, row->json);
	}
	if (data.len_bytes == 0)
		return !data.overflowed;
	if (!buf_add_str(&data, "]"))
		return false;
	stream_frame(out, feed_sources[kind].name, id, buf_str(&data));
	return !out->overflowed;
}
