#include "bridge/cells.h"

#include "common/buf.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool parse_number(const char *text, long max, long *out)
{
	char *end = NULL;

	if (text[0] < '0' || text[0] > '9' || strlen(text) > 10)
		return false;
	*out = strtol(text, &end, 10);
	return *end == '\0' && *out >= 1 && *out <= max;
}

static bool parse_line(const char *line, struct cell *out)
{
	char id_text[16];
	char port_text[16];
	char rest[2];
	long id = 0;
	long port = 0;

	if (sscanf(line, "%15s %253s %15s %1s", id_text, out->host, port_text, rest) != 3 ||
	    !parse_number(id_text, INT32_MAX, &id) || !parse_number(port_text, UINT16_MAX, &port))
		return false;
	out->id = (int32_t)id;
	out->port = (int)port;
	return true;
}

const struct cell *cells_find(const struct cells *cells, int64_t id)
{
	for (size_t i = 0; i < cells->count; i++) {
		if (cells->cells[i].id == id)
			return &cells->cells[i];
	}
	return NULL;
}

static void write_ids(struct cells *cells)
{
	auto_buf struct buf text = {0};

	buf_init(&text, sizeof(cells->ids));
	for (size_t i = 0; i < cells->count; i++)
		(void)buf_addf(&text, "%c%d", i == 0 ? '{' : ',', (int)cells->cells[i].id);
	(void)buf_add_str(&text, "}");
	(void)snprintf(cells->ids, sizeof(cells->ids), "%s", buf_str(&text));
}

bool cells_parse(char *const *lines, const char *host, int port, struct cells *out, struct error *error)
{
	struct cells cells = {.count = 0};

	for (char *const *line = lines; line && *line; line++) {
		struct cell cell = {.id = 0};

		if (!parse_line(*line, &cell))
			return error_set(error, ERROR_INVALID,
					 "cells: \"%s\" is not \"<id> <host> <port>\", id and port being whole numbers "
					 "from 1", *line);
		if (cells_find(&cells, cell.id))
			return error_set(error, ERROR_INVALID, "cells: there are two cells %d", (int)cell.id);
		if (cells.count == CELLS_MAX)
			return error_set(error, ERROR_LIMIT, "cells: more than %d", CELLS_MAX);
		cells.cells[cells.count++] = cell;
	}
	if (cells.count == 0) {
		cells.cells[0] = (struct cell){.id = 1, .port = port};
		(void)snprintf(cells.cells[0].host, sizeof(cells.cells[0].host), "%s", host ? host : "");
		cells.count = 1;
	}
	write_ids(&cells);
	*out = cells;
	return true;
}
