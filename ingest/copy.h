// COPY ... FROM STDIN in binary form: rows of typed fields. Errors are sticky; copy_end tells.
#pragma once

#include "common/pg.h"

// A temporary table that is emptied at COMMIT is emptied at each one, used or not, and where a column has no greatest
// length its second table and that one's index too: 0.13 ms. So what few batches need is emptied when it is needed, and
// the others name their lengths (DEVICE_ID_MAX, EPOCH_MAX) where they can.
#define DEVICE_TYPE "varchar(63)"
#define EPOCH_TYPE "varchar(36)"

struct copy {
	struct pg *pg;
	struct buf buf;
	bool failed;
	struct error error;
};

void copy_init(struct copy *copy);
void copy_done(struct copy *copy);

bool copy_start(struct copy *copy, struct pg *pg, const char *sql, struct error *error) must_check;
bool copy_end(struct copy *copy, struct error *error) must_check;

void copy_row(struct copy *copy, int columns);
void copy_null(struct copy *copy);
void copy_text(struct copy *copy, const char *text); // NULL becomes null
void copy_bytes(struct copy *copy, const void *data, size_t len_bytes);
void copy_json(struct copy *copy, const char *text); // jsonb; NULL becomes null
void copy_int4(struct copy *copy, int32_t value);
void copy_int8(struct copy *copy, int64_t value);
void copy_real(struct copy *copy, float value);
void copy_bool(struct copy *copy, bool value);
void copy_time(struct copy *copy, int64_t wall_ms); // timestamptz
