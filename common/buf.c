#include "common/buf.h"

#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAPACITY_FIRST_BYTES = 64 };

void buf_init(struct buf *buf, size_t max_bytes)
{
	// Halved so that "max + terminator" and doubling can't wrap.
	*buf = (struct buf){.max_bytes = max_bytes < SIZE_MAX / 2 ? max_bytes : SIZE_MAX / 2};
}

void buf_done(struct buf *buf)
{
	free(buf->data);
	*buf = (struct buf){.max_bytes = buf->max_bytes};
}

void buf_clear(struct buf *buf)
{
	buf->len_bytes = 0;
	buf->overflowed = false;
	if (buf->data)
		buf->data[0] = '\0';
}

// Makes room for len_bytes more and the terminator.
static bool reserve(struct buf *buf, size_t len_bytes)
{
	if (buf->overflowed)
		return false;
	if (len_bytes > buf->max_bytes - buf->len_bytes) {
		buf->overflowed = true;
		return false;
	}
	size_t needed = buf->len_bytes + len_bytes + 1;
	if (needed <= buf->capacity_bytes)
		return true;

	size_t capacity = buf->capacity_bytes ? buf->capacity_bytes * 2 : CAPACITY_FIRST_BYTES;
	if (capacity > buf->max_bytes + 1)
		capacity = buf->max_bytes + 1;
	if (capacity < needed)
		capacity = needed;
	char *data = realloc(buf->data, capacity);
	if (!data) {
		buf->overflowed = true;
		return false;
	}
	buf->data = data;
	buf->capacity_bytes = capacity;
	return true;
}

bool buf_add(struct buf *buf, const void *data, size_t len_bytes)
{
	if (!reserve(buf, len_bytes))
		return false;
	if (len_bytes > 0)
		memcpy(buf->data + buf->len_bytes, data, len_bytes);
	buf->len_bytes += len_bytes;
	buf->data[buf->len_bytes] = '\0';
	return true;
}

bool buf_add_str(struct buf *buf, const char *text)
{
	return buf_add(buf, text, strlen(text));
}

bool buf_addf(struct buf *buf, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	bool added = buf_vaddf(buf, format, args);
	va_end(args);
	return added;
}

bool buf_vaddf(struct buf *buf, const char *format, va_list args)
{
	if (buf->overflowed)
		return false;

	va_list again;
	va_copy(again, args);
	int len = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (len < 0) {
		buf->overflowed = true;
		return false;
	}
	if (!reserve(buf, (size_t)len))
		return false;
	(void)vsnprintf(buf->data + buf->len_bytes, (size_t)len + 1, format, args);
	buf->len_bytes += (size_t)len;
	return true;
}

void buf_consume(struct buf *buf, size_t len_bytes)
{
	if (len_bytes >= buf->len_bytes) {
		buf->len_bytes = 0;
		if (buf->data)
			buf->data[0] = '\0';
		return;
	}
	memmove(buf->data, buf->data + len_bytes, buf->len_bytes - len_bytes + 1);
	buf->len_bytes -= len_bytes;
}

const char *buf_str(const struct buf *buf)
{
	return buf->data ? buf->data : "";
}

void buf_format_double(char out[BUF_DOUBLE_BYTES], double value)
{
	// 15 digits are enough for most values that people wrote, 17 for every double.
	for (int digits = 15; digits <= 17; digits++) {
		(void)snprintf(out, BUF_DOUBLE_BYTES, "%.*g", digits, value);
		if (strtod(out, NULL) == value)
			break;
	}
	const char *point = localeconv()->decimal_point;
	char *found = point[0] == '.' ? NULL : strstr(out, point);
	if (found) {
		size_t point_bytes = strlen(point);
		*found = '.';
		memmove(found + 1, found + point_bytes, strlen(found + point_bytes) + 1);
	}
}
