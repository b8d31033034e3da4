// The format is PostgreSQL's documentation of COPY, "Binary Format"; fields are in network byte order.
#include "ingest/copy.h"

#include <endian.h>
#include <string.h>

#define FLUSH_BYTES ((size_t)64 * 1024)
#define BUFFER_MAX_BYTES ((size_t)4 * 1024 * 1024) // a row holds at most one message's text, some of it twice

static const int64_t epoch_2000_ms = 946684800000; // PostgreSQL counts from 2000-01-01

void copy_init(struct copy *copy)
{
	*copy = (struct copy){0};
	buf_init(&copy->buf, BUFFER_MAX_BYTES);
}

void copy_done(struct copy *copy)
{
	buf_done(&copy->buf);
}

bool copy_start(struct copy *copy, struct pg *pg, const char *sql, struct error *error)
{
	static const char header[] = "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0"; // its last NUL is the literal's own
	copy->pg = pg;
	copy->failed = false;
	buf_clear(&copy->buf);
	(void)buf_add(&copy->buf, header, sizeof(header));
	return pg_copy_start(pg, sql, error);
}

static void flush(struct copy *copy)
{
	if (copy->failed)
		return;
	if (copy->buf.overflowed)
		copy->failed = !error_set(&copy->error, ERROR_LIMIT, "a row is too large to copy");
	else
		copy->failed = !pg_copy_write(copy->pg, copy->buf.data, copy->buf.len_bytes, &copy->error);
	buf_clear(&copy->buf);
}

static void put_length(struct copy *copy, int32_t len_bytes)
{
	uint32_t wire = htobe32((uint32_t)len_bytes);
	(void)buf_add(&copy->buf, &wire, sizeof(wire));
}

bool copy_end(struct copy *copy, struct error *error)
{
	static const char trailer[] = {'\377', '\377'};
	(void)buf_add(&copy->buf, trailer, sizeof(trailer));
	flush(copy);
	if (copy->failed) {
		if (error)
			*error = copy->error;
		return false;
	}
	return pg_copy_end(copy->pg, error);
}

void copy_row(struct copy *copy, int columns)
{
	if (copy->buf.len_bytes > FLUSH_BYTES)
		flush(copy);
	uint16_t wire = htobe16((uint16_t)columns);
	(void)buf_add(&copy->buf, &wire, sizeof(wire));
}

void copy_null(struct copy *copy)
{
	put_length(copy, -1);
}

void copy_bytes(struct copy *copy, const void *data, size_t len_bytes)
{
	put_length(copy, (int32_t)len_bytes);
	if (len_bytes > 0)
		(void)buf_add(&copy->buf, data, len_bytes);
}

void copy_text(struct copy *copy, const char *text)
{
	if (text)
		copy_bytes(copy, text, strlen(text));
	else
		copy_null(copy);
}

void copy_json(struct copy *copy, const char *text)
{
	static const char version = 1; // of jsonb's wire form: the text follows
	if (!text) {
		copy_null(copy);
		return;
	}
	size_t len_bytes = strlen(text);
	put_length(copy, (int32_t)(len_bytes + 1));
	(void)buf_add(&copy->buf, &version, 1);
	(void)buf_add(&copy->buf, text, len_bytes);
}

void copy_int4(struct copy *copy, int32_t value)
{
	uint32_t wire = htobe32((uint32_t)value);
	copy_bytes(copy, &wire, sizeof(wire));
}

void copy_int8(struct copy *copy, int64_t value)
{
	uint64_t wire = htobe64((uint64_t)value);
	copy_bytes(copy, &wire, sizeof(wire));
}

void copy_real(struct copy *copy, float value)
{
	uint32_t wire;
	memcpy(&wire, &value, sizeof(wire));
	wire = htobe32(wire);
	copy_bytes(copy, &wire, sizeof(wire));
}

void copy_bool(struct copy *copy, bool value)
{
	char wire = value ? 1 : 0;
	copy_bytes(copy, &wire, 1);
}

void copy_time(struct copy *copy, int64_t wall_ms)
{
	copy_int8(copy, (wall_ms - epoch_2000_ms) * 1000);
}
