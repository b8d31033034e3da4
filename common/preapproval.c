#include "common/preapproval.h"

#include "common/json.h"
#include "common/topic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SERIAL_MAX 128 // the table's
#define TAG_MAX 64
#define FIELDS 3

// The lines of the file as rows; those whose serial number has let a device in are history.
#define ROWS_SQL "jsonb_to_recordset($1::jsonb) as f (line bigint, serial text, device text, tags text)"
static const char sql_faults[] =
	"select f.line, case when d.device is not null then f.device || ' is a device already; a list takes nobody''s "
	"place'"
	" else f.device || ' is promised to the serial number ' || p.serial end from " ROWS_SQL
	" left join device d on d.device = f.device"
	" left join preapproved p on p.device = f.device and p.serial <> f.serial and p.used_at is null"
	"  and p.serial not in (select g.serial from "
	"jsonb_to_recordset($1::jsonb) as g (serial text))"
	" where (d.device is not null or p.serial is not null)"
	" and not exists (select from preapproved u where u.serial = f.serial and u.used_at is not null) order by "
	"f.line";
static const char sql_import[] =
	"with told as (select serial, nullif(device, '') as device,"
	"  array_remove(string_to_array(tags, ','), '') as tags from " ROWS_SQL "),"
	" before as (select p.*, t.device is not distinct from p.device and t.tags = p.tags as same"
	"  from preapproved p join told t using (serial)),"
	" written as (insert into preapproved as p (serial, device, tags, created_by)"
	"  select serial, device, coalesce(tags, '{}'), $2 from told where serial not in"
	"  (select serial from before where same or used_at is not null)"
	"  on conflict (serial) do update set device = excluded.device, tags = excluded.tags,"
	"  created_by = excluded.created_by, created_at = now() where p.used_at is null returning serial)"
	" select count(*) filter (where b.serial is null), count(*) filter (where b.serial is not null),"
	" (select count(*) from before where same and used_at is null),"
	" (select count(*) from before where used_at is not null)"
	" from written w left join before b using (serial)";
static const char sql_remove[] = "delete from preapproved where serial = $1";

// ---- reading ----

void preapprovals_done(struct preapprovals *list)
{
	for (size_t i = 0; i < list->count; i++) {
		free(list->items[i].serial);
		free(list->items[i].device);
		free(list->items[i].tags);
	}
	free(list->items);
	*list = (struct preapprovals){.items = NULL};
}

struct reader {
	const char *at;
	size_t line;
	size_t fault_count;
	struct buf *faults;
};

static void fault(struct reader *reader, size_t line, const char *what, const char *value)
{
	if (reader->fault_count++ < PREAPPROVAL_FAULTS_MAX)
		(void)buf_addf(reader->faults, "line %zu: %s%s%.64s%s\n", line, what, *value ? " (" : "", value,
			       *value ? ")" : "");
}

static bool ends_line(char c)
{
	return c == '\0' || c == '\n' || c == '\r';
}

// Reads one field up to its comma or the end of the line, which it leaves; white space around it is taken off.
static bool read_field(struct reader *reader, struct buf *out)
{
	buf_clear(out);
	while (*reader->at == ' ' || *reader->at == '\t')
		reader->at++;
	if (*reader->at != '"') {
		size_t length = strcspn(reader->at, ",\r\n");
		const char *next = reader->at + length;

		while (length > 0 && (reader->at[length - 1] == ' ' || reader->at[length - 1] == '\t'))
			length--;
		(void)buf_add(out, reader->at, length);
		reader->at = next;
		return true;
	}
	for (reader->at++; !ends_line(*reader->at); reader->at++) {
		if (*reader->at == '"' && *++reader->at != '"') {
			reader->at += strspn(reader->at, " \t");
			return *reader->at == ',' || ends_line(*reader->at);
		}
		(void)buf_add(out, reader->at, 1);
	}
	return false;
}

static bool is_printable(const char *text)
{
	for (; *text; text++) {
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			return false;
	}
	return true;
}

static char *own(const char *text)
{
	char *copy = strdup(text);

	if (!copy)
		abort();
	return copy;
}

static bool tags_fit(char *tags)
{
	size_t length = 0;

	for (char *c = tags; *c; c++) {
		if (*c == ';')
			*c = ',';
		length = *c == ',' ? 0 : length + 1;
		if (length > TAG_MAX)
			return false;
	}
	return is_printable(tags);
}

static void check(struct reader *reader, struct preapproval *item)
{
	if (!*item->serial)
		fault(reader, item->line, "the serial number is missing", "");
	else if (strlen(item->serial) > SERIAL_MAX || !is_printable(item->serial))
		fault(reader, item->line, "a serial number has at most 128 bytes and no control characters", "");
	if (*item->device && !topic_is_device_id(item->device))
		fault(reader, item->line, "the device id must match [a-z0-9][a-z0-9-]{0,62}", item->device);
	if (!tags_fit(item->tags))
		fault(reader, item->line, "a tag has at most 64 bytes and no control characters", "");
}

static void push(struct preapprovals *list, struct buf fields[FIELDS], size_t line)
{
	if (list->count == list->capacity) {
		list->capacity = list->capacity ? 2 * list->capacity : 64;
		list->items = reallocarray(list->items, list->capacity, sizeof(list->items[0]));
		if (!list->items)
			abort();
	}
	list->items[list->count++] = (struct preapproval){
		.line = line,
		.serial = own(buf_str(&fields[0])),
		.device = own(buf_str(&fields[1])),
		.tags = own(buf_str(&fields[2])),
	};
}

// False when the line is at fault as a whole.
static bool read_line(struct reader *reader, struct buf fields[FIELDS], size_t *count)
{
	for (*count = 0;; reader->at++) {
		if (*count == FIELDS) {
			fault(reader, reader->line, "more than the three columns serial,device,tags", "");
			return false;
		}
		if (!read_field(reader, &fields[*count])) {
			fault(reader, reader->line, "a quoted field is not closed on its line, or something follows it",
			      "");
			return false;
		}
		++*count;
		if (ends_line(*reader->at))
			return true;
	}
}

static bool is_heading(const struct buf fields[FIELDS], size_t count)
{
	static const char *const names[FIELDS] = {"serial", "device", "tags"};

	for (size_t i = 0; i < count; i++) {
		if (strcasecmp(buf_str(&fields[i]), names[i]) != 0)
			return false;
	}
	return true;
}

static void read_lines(struct reader *reader, struct preapprovals *list, struct buf fields[FIELDS])
{
	bool first = true;

	while (*reader->at) {
		size_t count;

		for (size_t i = 0; i < FIELDS; i++)
			buf_clear(&fields[i]);
		reader->line++;
		reader->at += strspn(reader->at, " \t");
		bool empty = ends_line(*reader->at) || *reader->at == '#';
		if (!empty && read_line(reader, fields, &count) && !(first && is_heading(fields, count))) {
			push(list, fields, reader->line);
			check(reader, &list->items[list->count - 1]);
		}
		first = first && empty;
		reader->at += strcspn(reader->at, "\n");
		reader->at += *reader->at == '\n';
	}
}

// ---- what occurs twice ----

static int by_line(const struct preapproval *a, const struct preapproval *b)
{
	return (a->line > b->line) - (a->line < b->line);
}

static int by_serial(const void *a, const void *b)
{
	const struct preapproval *left = a;
	const struct preapproval *right = b;
	int order = strcmp(left->serial, right->serial);

	return order ? order : by_line(left, right);
}

static int by_device(const void *a, const void *b)
{
	const struct preapproval *left = a;
	const struct preapproval *right = b;
	int order = strcmp(left->device, right->device);

	return order ? order : by_line(left, right);
}

static void find_twins(struct reader *reader, const struct preapprovals *list)
{
	size_t bytes = list->count * sizeof(struct preapproval);
	auto_free struct preapproval *sorted = malloc(bytes + 1);
	char what[96];

	if (!sorted)
		abort();
	if (bytes > 0)
		memcpy(sorted, list->items, bytes);
	qsort(sorted, list->count, sizeof(struct preapproval), by_serial);
	for (size_t i = 1; i < list->count; i++) {
		(void)snprintf(what, sizeof(what), "the serial number stands in line %zu already", sorted[i - 1].line);
		if (*sorted[i].serial && strcmp(sorted[i].serial, sorted[i - 1].serial) == 0)
			fault(reader, sorted[i].line, what, sorted[i].serial);
	}
	qsort(sorted, list->count, sizeof(struct preapproval), by_device);
	for (size_t i = 1; i < list->count; i++) {
		(void)snprintf(what, sizeof(what), "the device id stands in line %zu already", sorted[i - 1].line);
		if (*sorted[i].device && strcmp(sorted[i].device, sorted[i - 1].device) == 0)
			fault(reader, sorted[i].line, what, sorted[i].device);
	}
}

bool preapprovals_parse(const char *text, struct preapprovals *out, struct buf *faults)
{
	struct reader reader = {.at = text, .faults = faults};
	struct buf fields[FIELDS];

	*out = (struct preapprovals){.items = NULL};
	if (strncmp(text, "\xef\xbb\xbf", 3) == 0) // spreadsheets put a byte order mark there
		reader.at += 3;
	for (size_t i = 0; i < FIELDS; i++)
		buf_init(&fields[i], PREAPPROVAL_FILE_MAX_BYTES);
	read_lines(&reader, out, fields);
	for (size_t i = 0; i < FIELDS; i++)
		buf_done(&fields[i]);
	find_twins(&reader, out);
	if (reader.fault_count > PREAPPROVAL_FAULTS_MAX)
		(void)buf_addf(faults, "and %zu more\n", reader.fault_count - PREAPPROVAL_FAULTS_MAX);
	return reader.fault_count == 0;
}

// ---- writing ----

static void write_rows(const struct preapprovals *list, struct buf *out)
{
	(void)buf_add_str(out, "[");
	for (size_t i = 0; i < list->count; i++) {
		(void)buf_addf(out, "%s{\"line\":%zu,\"serial\":", i > 0 ? "," : "", list->items[i].line);
		(void)json_quote(out, list->items[i].serial);
		(void)buf_addf(out, ",\"device\":\"%s\",\"tags\":", list->items[i].device);
		(void)json_quote(out, list->items[i].tags);
		(void)buf_add_str(out, "}");
	}
	(void)buf_add_str(out, "]");
}

static bool find_faults(struct pg *pg, const char *rows, struct buf *faults, struct error *error)
{
	auto_pg_result struct pg_result *found = NULL;
	size_t told = 0;

	if (!PG_QUERY(pg, &found, error, sql_faults, rows))
		return false;
	for (; told < pg_rows(found) && told < PREAPPROVAL_FAULTS_MAX; told++)
		(void)buf_addf(faults, "line %s: %s\n", pg_text(found, told, 0), pg_text(found, told, 1));
	if (pg_rows(found) > told)
		(void)buf_addf(faults, "and %zu more\n", pg_rows(found) - told);
	return pg_rows(found) == 0 || error_set(error, ERROR_EXISTS, "%zu of the lines can't be", pg_rows(found));
}

bool preapprovals_import(struct pg *pg, const struct preapprovals *list, const char *actor,
			 struct preapproval_counts *out, struct buf *faults, struct error *error)
{
	auto_pg_result struct pg_result *counts = NULL;
	auto_buf struct buf rows;

	buf_init(&rows, 8 * PREAPPROVAL_FILE_MAX_BYTES);
	write_rows(list, &rows);
	if (rows.overflowed)
		return error_set(error, ERROR_LIMIT, "the list is too long for one import; divide it");
	if (!find_faults(pg, buf_str(&rows), faults, error) ||
	    !PG_QUERY(pg, &counts, error, sql_import, buf_str(&rows), actor))
		return false;
	*out = (struct preapproval_counts){
		.added = (long)pg_int(counts, 0, 0),
		.changed = (long)pg_int(counts, 0, 1),
		.unchanged = (long)pg_int(counts, 0, 2),
		.used = (long)pg_int(counts, 0, 3),
	};
	return true;
}

void preapprovals_told(const struct preapproval_counts *counts, char out[PREAPPROVAL_TOLD_BYTES])
{
	(void)snprintf(out, PREAPPROVAL_TOLD_BYTES, "{\"added\":%ld,\"changed\":%ld,\"unchanged\":%ld,\"used\":%ld}",
		       counts->added, counts->changed, counts->unchanged, counts->used);
}

bool preapproval_remove(struct pg *pg, const char *serial, struct error *error)
{
	auto_pg_result struct pg_result *gone = NULL;

	if (!PG_QUERY(pg, &gone, error, sql_remove, serial))
		return false;
	return pg_affected(gone) > 0 ||
	       error_set(error, ERROR_NOT_FOUND, "the serial number \"%s\" is not on the list", serial);
}
