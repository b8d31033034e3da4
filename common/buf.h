// A byte buffer that grows up to the ceiling given at its making, and never beyond.
#pragma once

#include "common/cleanup.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data;        // always NUL-terminated once anything was appended; NULL before
	size_t len_bytes;  // without the terminator
	size_t capacity_bytes;
	size_t max_bytes;
	bool overflowed;   // an append did not fit (or memory ran out); contents are what fitted whole
};

void buf_init(struct buf *buf, size_t max_bytes);
void buf_done(struct buf *buf);
void buf_clear(struct buf *buf); // keeps the memory, clears overflowed

// Append whole or not at all; false once the buffer overflowed. Errors are sticky, so that a writer may check
// buf.overflowed once at its end.
bool buf_add(struct buf *buf, const void *data, size_t len_bytes);
bool buf_add_str(struct buf *buf, const char *text);
bool buf_addf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool buf_vaddf(struct buf *buf, const char *format, va_list args) __attribute__((format(printf, 2, 0)));
// Removes the first len_bytes.
void buf_consume(struct buf *buf, size_t len_bytes);
// "" when empty, never NULL.
const char *buf_str(const struct buf *buf);

#define BUF_DOUBLE_BYTES 40
// The shortest decimal text that reads back as the same finite double, with "." whatever the locale.
void buf_format_double(char out[BUF_DOUBLE_BYTES], double value);

#define auto_buf cleanup(buf_done)
