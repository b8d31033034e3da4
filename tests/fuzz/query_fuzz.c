// What compiles has as many values as it says, within its ceilings, and its SQL is made of our own words only: whatever
// stands in the query, no quotation mark or semicolon of it comes out.
#include "common/query.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

static bool find(void *user, enum query_kind kind, const char *name, char **out, struct error *error)
{
	*out = kind == QUERY_FILTER ? strdup(user) : NULL;
	return true;
}

static size_t count(const char *text, char c)
{
	size_t n = 0;
	for (; *text; text++)
		n += *text == c;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	auto_free char *text = malloc(len_bytes + 1);
	struct query query;
	struct error error = {0};
	if (!text)
		return 0;
	memcpy(text, data, len_bytes);
	text[len_bytes] = '\0';
	// A filter that is named stands for the whole query again: circles must end.
	const struct query_options options = {.first_param = 1, .resolve = find, .user = text};
	if (!query_compile(text, &options, &query, &error)) {
		if (error.kind == ERROR_NONE || error.what[0] == '\0')
			abort();
		return 0;
	}
	const char *sql = buf_str(&query.sql);
	if (query.count > QUERY_PARAMS_MAX || query.terms > QUERY_TERMS_MAX || count(sql, '(') != count(sql, ')') ||
	    count(sql, '\'') % 2 != 0 || strpbrk(sql, ";\"\\") || count(sql, '$') != query.count)
		abort();
	query_done(&query);
	return 0;
}
