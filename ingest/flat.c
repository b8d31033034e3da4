#include "ingest/flat.h"

#include <string.h>

// Up to here a double holds every integer and every power of ten, so that one division rounds as strtod does.
#define REAL_DIGITS_MAX 15
#define INTEGER_DIGITS_MAX 18

static bool take(struct flat *flat, char wanted)
{
	if (flat->at == flat->end || *flat->at != wanted)
		return false;
	flat->at++;
	return true;
}

static bool take_word(struct flat *flat, const char *word, size_t len_bytes)
{
	if ((size_t)(flat->end - flat->at) < len_bytes || memcmp(flat->at, word, len_bytes) != 0)
		return false;
	flat->at += len_bytes;
	return true;
}

static void skip_space(struct flat *flat)
{
	while (flat->at < flat->end && *flat->at == ' ')
		flat->at++;
}

static bool take_string(struct flat *flat, const char **text, size_t *len_bytes)
{
	if (!take(flat, '"'))
		return false;
	*text = flat->at;
	while (flat->at < flat->end && *flat->at >= 0x20 && *flat->at < 0x7f && *flat->at != '"' && *flat->at != '\\')
		flat->at++;
	*len_bytes = (size_t)(flat->at - *text);
	return take(flat, '"');
}

static int take_digits(struct flat *flat, int64_t *value, int max)
{
	int count = 0;
	for (; flat->at < flat->end && *flat->at >= '0' && *flat->at <= '9'; flat->at++) {
		if (++count > max)
			return 0;
		*value = 10 * *value + (*flat->at - '0');
	}
	return count;
}

static bool take_number(struct flat *flat, struct scalar *out)
{
	static const double powers[REAL_DIGITS_MAX] = {1,   1e1, 1e2, 1e3,  1e4,  1e5,	1e6, 1e7,
						       1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14};
	bool negative = take(flat, '-');
	const char *first = flat->at;
	int64_t value = 0;
	int digits = take_digits(flat, &value, INTEGER_DIGITS_MAX);
	if (digits == 0 || (*first == '0' && digits > 1))
		return false;
	int decimals = 0;
	if (take(flat, '.')) {
		decimals = digits < REAL_DIGITS_MAX ? take_digits(flat, &value, REAL_DIGITS_MAX - digits) : 0;
		if (decimals == 0)
			return false;
	}
	out->type = decimals > 0 ? SCALAR_REAL : SCALAR_INTEGER;
	out->integer = negative ? -value : value;
	out->real = (double)value / powers[decimals];
	if (negative && (decimals > 0 || value > 0)) // -0 is an integer, and those know one zero only
		out->real = -out->real;
	return true; // an exponent that follows is not plain: what comes next is neither "," nor "}"
}

static bool take_value(struct flat *flat, struct scalar *out)
{
	if (flat->at < flat->end && *flat->at == '"') {
		out->type = SCALAR_TEXT;
		return take_string(flat, &out->text, &out->text_bytes);
	}
	out->boolean = take_word(flat, "true", 4);
	if (out->boolean || take_word(flat, "false", 5)) {
		out->type = SCALAR_BOOLEAN;
		return true;
	}
	return take_number(flat, out);
}

enum flat_step flat_next(struct flat *flat, struct flat_member *out)
{
	if (!flat->begun) {
		flat->begun = true;
		if (!take(flat, '{'))
			return FLAT_OTHER;
	} else {
		skip_space(flat);
		if (take(flat, '}'))
			return flat->at == flat->end ? FLAT_END : FLAT_OTHER;
		if (!take(flat, ','))
			return FLAT_OTHER;
	}
	skip_space(flat);
	if (!take_string(flat, &out->name, &out->name_bytes))
		return FLAT_OTHER;
	skip_space(flat);
	if (!take(flat, ':'))
		return FLAT_OTHER;
	skip_space(flat);
	out->value = (struct scalar){0};
	return take_value(flat, &out->value) ? FLAT_MEMBER : FLAT_OTHER;
}
