// Where live consoles read: of each cell its broker's listener for browsers (options console.url and console.cells).
#pragma once

#include "common/cleanup.h"
#include "common/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_PLACES_MAX 16
#define CONSOLE_URL_MAX 255

struct console_place {
	int32_t cell;
	char url[CONSOLE_URL_MAX + 1];
};

struct console_places {
	struct console_place items[CONSOLE_PLACES_MAX];
	size_t count;
};

// url: that of cell 1, or NULL. lines: "<cell> <url>", ended by NULL, or NULL. What an address looks like is not
// checked.
bool console_places_parse(const char *url, char *const *lines, struct console_places *out, struct error *error)
	must_check;
const struct console_place *console_places_find(const struct console_places *places, int64_t cell); // NULL: none
