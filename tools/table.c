#include "tools/table.h"

#include <ctype.h>
#include <libsmartcols/libsmartcols.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADING_MAX 32

struct table {
	struct libscols_table *scols;
	const struct table_column *columns;
	size_t count;
};

// libsmartcols fails for lack of memory only.
static void *must(void *made)
{
	if (!made)
		abort();
	return made;
}

struct table *table_new(const char *name, const struct table_column *columns, size_t count)
{
	struct table *table = must(calloc(1, sizeof(*table)));
	table->scols = must(scols_new_table());
	table->columns = columns;
	table->count = count;
	(void)scols_table_set_name(table->scols, name);
	for (size_t i = 0; i < count; i++) {
		struct libscols_column *column = must(scols_table_new_column(table->scols, columns[i].name, 0,
									     columns[i].number ? SCOLS_FL_RIGHT : 0));
		if (columns[i].number)
			(void)scols_column_set_json_type(column, SCOLS_JSON_NUMBER);
		else if (columns[i].boolean)
			(void)scols_column_set_json_type(column, SCOLS_JSON_BOOLEAN);
	}
	return table;
}

void table_free(struct table *table)
{
	if (!table)
		return;
	scols_unref_table(table->scols);
	free(table);
}

void table_row(struct table *table, const char *const *cells)
{
	struct libscols_line *line = must(scols_table_new_line(table->scols, NULL));
	for (size_t i = 0; i < table->count; i++) {
		// An empty number must stay unset: it is null in JSON then.
		if (cells[i] && (cells[i][0] != '\0' || !table->columns[i].number))
			(void)scols_line_set_data(line, i, cells[i]);
	}
}

static char capital(char c)
{
	if (c == '_')
		return ' ';
	return (char)toupper((unsigned char)c);
}

static void head_in_capitals(struct table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		char heading[HEADING_MAX];
		(void)snprintf(heading, sizeof(heading), "%s", table->columns[i].name);
		for (char *c = heading; *c; c++)
			*c = capital(*c);
		(void)scols_column_set_name(scols_table_get_column(table->scols, i), heading);
	}
}

// Texts are UTF-8, as in all that is printed. In the locale C libsmartcols would write "\xc2\xb0" for a degree sign.
static void print_utf8(struct libscols_table *scols)
{
	locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
	locale_t before = utf8 ? uselocale(utf8) : (locale_t)0;

	(void)scols_print_table(scols);
	if (utf8) {
		(void)uselocale(before);
		freelocale(utf8);
	}
}

void table_print(struct table *table, bool json)
{
	(void)scols_table_enable_json(table->scols, json);
	if (!json)
		head_in_capitals(table);
	print_utf8(table->scols);
	(void)fflush(stdout);
}
