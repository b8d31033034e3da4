#include "dashboard/console_places.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool add(struct console_places *places, long cell, const char *url, struct error *error)
{
	if (console_places_find(places, cell))
		return error_set(error, ERROR_INVALID,
				 "console.cells: cell %ld has two addresses (console.url is that of "
				 "cell 1)",
				 cell);
	if (places->count == CONSOLE_PLACES_MAX)
		return error_set(error, ERROR_LIMIT, "console.cells: more than %d", CONSOLE_PLACES_MAX);

	struct console_place *place = &places->items[places->count++];

	place->cell = (int32_t)cell;
	(void)snprintf(place->url, sizeof(place->url), "%s", url);
	return true;
}

static bool add_line(struct console_places *places, const char *line, struct error *error)
{
	size_t digits = strspn(line, "0123456789");
	const char *url = line + digits + strspn(line + digits, " ");
	long cell = digits > 0 && digits <= 10 ? strtol(line, NULL, 10) : 0;

	if (cell < 1 || cell > INT32_MAX || url == line + digits || *url == '\0' || strlen(url) > CONSOLE_URL_MAX)
		return error_set(error, ERROR_INVALID,
				 "console.cells: \"%.200s\" is not \"<cell> wss://<host>:<port>\"", line);
	return add(places, cell, url, error);
}

bool console_places_parse(const char *url, char *const *lines, struct console_places *out, struct error *error)
{
	*out = (struct console_places){0};
	if (url && !add(out, 1, url, error))
		return false;
	for (size_t i = 0; lines && lines[i]; i++) {
		if (!add_line(out, lines[i], error))
			return false;
	}
	return true;
}

const struct console_place *console_places_find(const struct console_places *places, int64_t cell)
{
	for (size_t i = 0; i < places->count; i++) {
		if (places->items[i].cell == cell)
			return &places->items[i];
	}
	return NULL;
}
