#include "tools/audit_chain.h"

#include "common/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
#define HEX "0123456789abcdef"

const struct audit_point audit_beginning = {0, ZEROS};

static bool take_hash(const char *text, char out[SHA256_HEX_BYTES])
{
	if (strspn(text, HEX) < SHA256_HEX_BYTES - 1)
		return false;
	memcpy(out, text, SHA256_HEX_BYTES - 1);
	out[SHA256_HEX_BYTES - 1] = '\0';
	return true;
}

bool audit_point_parse(const char *text, struct audit_point *out)
{
	struct audit_point point = {0};
	char *end = NULL;
	errno = 0;
	point.position = strtoll(text, &end, 10);
	if (errno != 0 || end == text || point.position < 1 || *end != ':' || strlen(end + 1) != SHA256_HEX_BYTES - 1 ||
	    !take_hash(end + 1, point.hash))
		return false;
	*out = point;
	return true;
}

bool audit_line_parse(const char *line, size_t len_bytes, struct audit_link *out, struct error *error)
{
	static const char head[] = "{\"hash\":\"", middle[] = "\",\"row\":";
	const size_t before = sizeof(head) - 1 + SHA256_HEX_BYTES - 1 + sizeof(middle) - 1;
	const char *prev = "";
	if (len_bytes < before + 2 || strncmp(line, head, sizeof(head) - 1) != 0 ||
	    !take_hash(line + sizeof(head) - 1, out->point.hash) ||
	    strncmp(line + before - sizeof(middle) + 1, middle, sizeof(middle) - 1) != 0 || line[len_bytes - 1] != '}')
		return error_set(error, ERROR_INVALID, "this is no line of an exported audit");
	out->text = line + before;
	out->text_bytes = len_bytes - before - 1;
	auto_json struct json *row = json_parse(out->text, out->text_bytes, error);
	if (!row)
		return error_prefix(error, "this is no row");
	if (!json_member_int(row, "position", &out->point.position) || !json_member_string(row, "prev", &prev) ||
	    strlen(prev) != SHA256_HEX_BYTES - 1 || !take_hash(prev, out->prev))
		return error_set(error, ERROR_INVALID, "this row has no position and no hash of the one before");
	return true;
}

void audit_chain_begin(struct audit_chain *chain, const struct audit_point *last, const struct audit_point *expected)
{
	*chain = (struct audit_chain){.last = *last, .expected = expected ? *expected : audit_beginning};
	chain->met = chain->expected.position == last->position && strcmp(chain->expected.hash, last->hash) == 0;
}

bool audit_chain_add(struct audit_chain *chain, const struct audit_link *link, struct error *error)
{
	char computed[SHA256_HEX_BYTES];
	int64_t next = chain->last.position + 1;
	if (link->point.position != next)
		return error_set(error, ERROR_INVALID,
				 "position %" PRId64 " is missing: behind %" PRId64 " comes %" PRId64, next,
				 chain->last.position, link->point.position);
	if (!link->text)
		return error_set(error, ERROR_INVALID, "the row at position %" PRId64 " was deleted", next);
	if (strcmp(link->prev, chain->last.hash) != 0)
		return error_set(error, ERROR_INVALID,
				 "the row at position %" PRId64
				 " does not follow on the one before it: one of them was put there later",
				 next);
	crypto_sha256_hex(link->text, link->text_bytes, computed);
	if (strcmp(computed, link->point.hash) != 0)
		return error_set(error, ERROR_INVALID,
				 "the row at position %" PRId64 " was changed after it was written: %.300s", next,
				 link->text);
	if (chain->expected.position == next && strcmp(chain->expected.hash, computed) != 0)
		return error_set(error, ERROR_INVALID,
				 "position %" PRId64 " has another hash than expected: the chain was made anew up to "
				 "there",
				 next);
	chain->met = chain->met || chain->expected.position == next;
	chain->last = link->point;
	chain->rows++;
	return true;
}

bool audit_chain_end(const struct audit_chain *chain, struct error *error)
{
	if (chain->expected.position == 0 || chain->met)
		return true;
	return error_set(error, ERROR_INVALID,
			 chain->expected.position > chain->last.position
				 ? "the chain ends at position %" PRId64 ", but position %" PRId64
				   " is expected: rows are missing at its end"
				 : "the chain is known from behind position %" PRId64 " on; position %" PRId64
				   " is before that",
			 chain->expected.position > chain->last.position ? chain->last.position
									 : chain->last.position - chain->rows,
			 chain->expected.position);
}
