// JSON as nearly all of it comes: one object without nesting, escapes, exponents or anything rare, read in one pass
// without allocating. It is for speed alone: whatever is not plain is left to common/json.h, which decides what is
// right and says what is wrong. So this reader may give up on anything, but must never accept what that one refuses,
// nor read it differently.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum scalar_type { SCALAR_INTEGER, SCALAR_REAL, SCALAR_BOOLEAN, SCALAR_TEXT };

struct scalar {
	enum scalar_type type;
	int64_t integer;
	double real; // of an integer too
	bool boolean;
	const char *text; // not NUL-terminated
	size_t text_bytes;
};

struct flat {
	const char *at, *end;
	bool begun;
};

struct flat_member {
	const char *name; // not NUL-terminated
	size_t name_bytes;
	struct scalar value;
};

enum flat_step { FLAT_MEMBER, FLAT_END, FLAT_OTHER };

// The next member, the end of the whole text, or something that is not plain. A name that came before is not noticed.
enum flat_step flat_next(struct flat *flat, struct flat_member *out);
