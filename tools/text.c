#include "tools/text.h"

#include "common/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LABEL_COLUMNS 16 // with the two before it and at least one behind it
#define COLUMNS 80
#define MINUTE_S 60
#define HOUR_S 3600
#define DAY_S 86400

static bool parse(const char *rfc3339, int64_t *ms)
{
	return rfc3339 && clock_parse_rfc3339(rfc3339, strlen(rfc3339), ms);
}

static struct text in_one_unit(int64_t seconds)
{
	struct text text;
	if (seconds < MINUTE_S)
		(void)snprintf(text.s, sizeof(text.s), "%d s", (int)seconds);
	else if (seconds < HOUR_S)
		(void)snprintf(text.s, sizeof(text.s), "%d min", (int)(seconds / MINUTE_S));
	else if (seconds < DAY_S)
		(void)snprintf(text.s, sizeof(text.s), "%d h", (int)(seconds / HOUR_S));
	else
		(void)snprintf(text.s, sizeof(text.s), "%lld d", (long long)(seconds / DAY_S));
	return text;
}

struct text text_ago(const char *rfc3339, int64_t now_ms)
{
	struct text text = {""};
	int64_t then_ms = 0;
	if (!parse(rfc3339, &then_ms))
		return text;
	int64_t past_s = (now_ms - then_ms) / 1000;
	if (past_s > 0)
		(void)snprintf(text.s, sizeof(text.s), "%.40s ago", in_one_unit(past_s).s);
	else if (past_s < 0)
		(void)snprintf(text.s, sizeof(text.s), "in %.40s", in_one_unit(-past_s).s);
	else
		(void)snprintf(text.s, sizeof(text.s), "now");
	return text;
}

struct text text_instant(const char *rfc3339)
{
	struct text text = {""};
	int64_t ms = 0;
	if (!parse(rfc3339, &ms))
		return text;
	clock_format_rfc3339(ms, text.s);
	char *between = strchr(text.s, 'T');
	if (between)
		*between = ' ';
	return text;
}

struct text text_time(const char *rfc3339, int64_t now_ms)
{
	struct text text = {"never"};
	struct text instant = text_instant(rfc3339);
	char *fraction = strchr(instant.s, '.');
	if (fraction)
		*fraction = '\0';
	if (instant.s[0])
		(void)snprintf(text.s, sizeof(text.s), "%.30sZ, %.40s", instant.s, text_ago(rfc3339, now_ms).s);
	return text;
}

struct text text_duration(int64_t seconds)
{
	struct text text;
	long long days = seconds / DAY_S;
	int hours = (int)(seconds % DAY_S / HOUR_S);
	int minutes = (int)(seconds % HOUR_S / MINUTE_S);
	if (seconds < HOUR_S)
		return in_one_unit(seconds < 0 ? 0 : seconds);
	if (days == 0)
		(void)snprintf(text.s, sizeof(text.s), minutes > 0 ? "%d h %d min" : "%d h", hours, minutes);
	else
		(void)snprintf(text.s, sizeof(text.s), hours > 0 ? "%lld d %d h" : "%lld d", days, hours);
	return text;
}

// The value in *unit, which is counted in thousands.
static void print_scaled(char out[32], double value)
{
	(void)snprintf(out, 32, value >= 100 ? "%.0f" : "%.1f", value);
}

struct text text_free_of(double free_bytes, double total_bytes)
{
	static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
	struct text text;
	char less[32];
	char more[32];
	size_t unit = 0;
	double scale = 1;
	for (; total_bytes / scale >= 1000 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
		scale *= 1000;
	print_scaled(less, free_bytes / scale);
	print_scaled(more, total_bytes / scale);
	(void)snprintf(text.s, sizeof(text.s), "%s of %s %s free", less, more, units[unit]);
	return text;
}

const char *text_member(const struct json *object, const char *name)
{
	const char *text = "";
	(void)json_member_string(object, name, &text);
	return text;
}

void text_append_pieces(struct json *array, const char *text, const char *separators)
{
	for (const char *at = text; *at;) {
		size_t length = strcspn(at, separators);
		auto_free char *piece = strndup(at, length);
		if (!piece)
			abort();
		if (length > 0)
			json_append_string(array, piece);
		at += length + (at[length] != '\0');
	}
}

void text_add_safe(struct buf *out, const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	for (; *c; c++) {
		bool c1 = c[0] == 0xc2 && c[1] >= 0x80 && c[1] < 0xa0; // U+0080 to U+009F in UTF-8
		if (*c < ' ' || *c == 0x7f || c1)
			buf_add_str(out, "?");
		else
			buf_add(out, c, 1);
		c += c1;
	}
}

void text_add_fact(struct buf *out, const char *label, const char *words)
{
	size_t column = LABEL_COLUMNS;
	buf_addf(out, "  %-*s", LABEL_COLUMNS - 3, label);
	while (*words) {
		size_t length = strcspn(words, " ");
		if (column > LABEL_COLUMNS && column + 1 + length > COLUMNS) {
			buf_addf(out, "\n%*s", LABEL_COLUMNS - 1, "");
			column = LABEL_COLUMNS;
		}
		buf_add_str(out, " ");
		buf_add(out, words, length);
		column += length + 1;
		words += length;
		words += strspn(words, " ");
	}
	buf_add_str(out, "\n");
}
