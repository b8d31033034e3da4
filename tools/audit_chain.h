// The chain of the audit, checked without the database's help: each link's hash is the SHA-256 of a text in which the
// row, its position and the hash before it stand (docs/protocol.md, section 24). Pure.
#pragma once

#include "common/crypto.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUDIT_LINE_MAX_BYTES ((size_t)256 * 1024)

struct audit_point { // a place of the chain that can be kept elsewhere: "<position>:<hash>"
	int64_t position;
	char hash[SHA256_HEX_BYTES];
};
// Where every chain begins: position 0, and zeros.
extern const struct audit_point audit_beginning;
bool audit_point_parse(const char *text, struct audit_point *out) must_check;

struct audit_link {
	struct audit_point point;
	char prev[SHA256_HEX_BYTES];
	const char *text; // what is hashed; NULL: the row is gone
	size_t text_bytes;
};

// One line of an export, {"hash":"<hex>","row":<text>}; text stays in line.
bool audit_line_parse(const char *line, size_t len_bytes, struct audit_link *out, struct error *error) must_check;

struct audit_chain {
	struct audit_point last;     // that was found right, or where it begins
	struct audit_point expected; // position 0: none
	bool met;		     // the expected point was seen, with that hash
	int64_t rows;
};

void audit_chain_begin(struct audit_chain *chain, const struct audit_point *last, const struct audit_point *expected);
// The next link. False when it is not the one that belongs there: error says which position is wrong, and how.
bool audit_chain_add(struct audit_chain *chain, const struct audit_link *link, struct error *error) must_check;
// After the last. False when the expected point was not among them: rows are missing at the end.
bool audit_chain_end(const struct audit_chain *chain, struct error *error) must_check;
