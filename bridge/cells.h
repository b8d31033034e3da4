// The cells of the installation: brokers, each with its ingest, among which devices are divided at their enrolment.
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CELLS_MAX 64
#define CELLS_TEXT_BYTES 768 // "{2147483647,...}" of all ids

struct cell {
	int32_t id;
	char host[254]; // DNS names have up to 253 bytes
	int port;
};

struct cells {
	struct cell cells[CELLS_MAX];
	size_t count;
	char ids[CELLS_TEXT_BYTES]; // as an array of PostgreSQL
};

// lines: NULL-terminated, each "<id> <host> <port>"; none or NULL: one cell with id 1 at host and port. ERROR_INVALID
// names the line.
bool cells_parse(char *const *lines, const char *host, int port, struct cells *out, struct error *error) must_check;
// NULL when there is none with this id.
const struct cell *cells_find(const struct cells *cells, int64_t id);
