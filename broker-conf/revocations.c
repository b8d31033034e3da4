#include "broker-conf/revocations.h"

#include "common/buf.h"
#include "common/file.h"
#include "common/limits.h"
#include "common/topic.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define ENTRY_MAX_BYTES 80 // "device " and an id of up to 63 bytes, or "serial " and 40 digits
#define APPLIED "# applied "

struct revocations {
	char *path;
	bool open;	   // the list was read whole and understood
	struct stat known; // the file as it was then
	char *text;	   // as read: written back with its comments
	size_t text_bytes;
	char (*entries)[ENTRY_MAX_BYTES]; // normalised lines, sorted
	size_t count;
	int64_t applied;
	unsigned generation;
	// Revoked, but not stored yet (disk full, read-only): they hold until the broker stops, and go into the file
	// with the next change that can be written.
	char (*pending)[ENTRY_MAX_BYTES];
	size_t pending_count;
};

struct revocations *revocations_new(const char *path, struct error *error)
{
	struct revocations *revocations = calloc(1, sizeof(*revocations));

	if (revocations)
		revocations->path = strdup(path);
	if (!revocations || !revocations->path) {
		revocations_free(revocations);
		(void)error_errno(error, ENOMEM, "cannot hold the revocation list");
		return NULL;
	}
	return revocations;
}

static void forget(struct revocations *revocations)
{
	free(revocations->text);
	free(revocations->entries);
	revocations->text = NULL;
	revocations->entries = NULL;
	revocations->text_bytes = revocations->count = 0;
	revocations->applied = 0;
	revocations->open = false;
}

void revocations_free(struct revocations *revocations)
{
	if (!revocations)
		return;
	forget(revocations);
	free(revocations->pending);
	free(revocations->path);
	free(revocations);
}

bool revocations_serial(const char *text, char out[SERIAL_HEX_MAX + 1])
{
	size_t len_bytes = strlen(text);
	size_t i = 0;

	if (len_bytes == 0 || strspn(text, "0123456789abcdefABCDEF") != len_bytes)
		return false;
	while (*text == '0' && text[1] != '\0')
		text++;
	if (strlen(text) > SERIAL_HEX_MAX)
		return false;
	for (; text[i] != '\0'; i++)
		out[i] = (char)tolower((unsigned char)text[i]);
	out[i] = '\0';
	return true;
}

// One line of the file in its normal form.
static bool make_entry(enum revocation_kind kind, const char *name, char out[ENTRY_MAX_BYTES])
{
	char serial[SERIAL_HEX_MAX + 1];

	memset(out, 0, ENTRY_MAX_BYTES);
	if (kind != REVOCATION_SERIAL) {
		if (!topic_is_device_id(name))
			return false;
		(void)snprintf(out, ENTRY_MAX_BYTES, "%s %s", kind == REVOCATION_DEVICE ? "device" : "stale", name);
		return true;
	}
	if (!revocations_serial(name, serial))
		return false;
	(void)snprintf(out, ENTRY_MAX_BYTES, "serial %s", serial);
	return true;
}

static bool parse_line(const char *line, size_t len_bytes, char out[ENTRY_MAX_BYTES])
{
	char copy[ENTRY_MAX_BYTES];

	if (len_bytes >= sizeof(copy) || memchr(line, '\0', len_bytes))
		return false;
	memcpy(copy, line, len_bytes);
	copy[len_bytes] = '\0';
	if (strncmp(copy, "device ", 7) == 0)
		return make_entry(REVOCATION_DEVICE, copy + 7, out);
	if (strncmp(copy, "serial ", 7) == 0)
		return make_entry(REVOCATION_SERIAL, copy + 7, out);
	if (strncmp(copy, "stale ", 6) == 0)
		return make_entry(REVOCATION_STALE, copy + 6, out);
	return false;
}

static bool is_applied(const char *line)
{
	return strncmp(line, APPLIED, strlen(APPLIED)) == 0;
}

static int compare_entries(const void *a, const void *b)
{
	return strcmp(a, b);
}

// Fills entries from text; leaves `open` to its caller.
static bool parse(struct revocations *revocations, struct error *error)
{
	const char *line = revocations->text;
	const char *end = revocations->text + revocations->text_bytes;
	size_t lines = 0;
	size_t number = 0;

	if (end > line && end[-1] != '\n')
		return error_set(error, ERROR_INVALID, "%s is torn: its last line has no end", revocations->path);
	for (const char *at = line; at < end; at++)
		lines += *at == '\n';
	revocations->entries = calloc(lines + 1, sizeof(revocations->entries[0]));
	if (!revocations->entries)
		return error_errno(error, ENOMEM, "cannot hold %zu revocations", lines);
	while (line < end) {
		const char *newline = memchr(line, '\n', (size_t)(end - line));

		number++;
		if (is_applied(line))
			revocations->applied = strtoll(line + strlen(APPLIED), NULL, 10);
		if (*line != '#' &&
		    !parse_line(line, (size_t)(newline - line), revocations->entries[revocations->count++]))
			return error_set(error, ERROR_INVALID,
					 "%s:%zu: neither \"device <id>\", \"serial <hex>\", \"stale <id>\" nor a "
					 "comment",
					 revocations->path, number);
		line = newline + 1;
	}
	qsort(revocations->entries, revocations->count, sizeof(revocations->entries[0]), compare_entries);
	return true;
}

static bool unchanged(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
	       a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

bool revocations_refresh(struct revocations *revocations, struct error *error)
{
	// Opened each time: a list that can no longer be read counts as unreadable at once, cached or not.
	auto_close int fd = open(revocations->path, O_RDONLY | O_CLOEXEC);
	struct stat now;

	if (fd < 0 || fstat(fd, &now) != 0) {
		int code = errno;

		forget(revocations);
		return error_errno(error, code, "cannot read the revocation list %s", revocations->path);
	}
	if (revocations->open && unchanged(&now, &revocations->known))
		return true;
	forget(revocations);
	// The file may change between fstat and this read; then it differs from `known` at the next login and is read
	// again.
	revocations->text = file_read(revocations->path, REVOCATIONS_MAX_BYTES, &revocations->text_bytes, error);
	if (!revocations->text || !parse(revocations, error)) {
		forget(revocations);
		return false;
	}
	revocations->known = now;
	revocations->open = true;
	revocations->generation++;
	return true;
}

static size_t find_pending(const struct revocations *revocations, const char *entry)
{
	size_t i = 0;

	while (i < revocations->pending_count && strcmp(revocations->pending[i], entry) != 0)
		i++;
	return i;
}

static bool is_listed(const struct revocations *revocations, const char *entry)
{
	return revocations->count > 0 && bsearch(entry, revocations->entries, revocations->count,
						 sizeof(revocations->entries[0]), compare_entries);
}

bool revocations_has(const struct revocations *revocations, enum revocation_kind kind, const char *name)
{
	char entry[ENTRY_MAX_BYTES];

	if (!revocations->open || !make_entry(kind, name, entry))
		return true;
	return is_listed(revocations, entry) || find_pending(revocations, entry) < revocations->pending_count;
}

unsigned revocations_generation(const struct revocations *revocations)
{
	return revocations->generation;
}

int64_t revocations_applied(const struct revocations *revocations)
{
	return revocations->applied;
}

size_t revocations_digest(const struct revocations *revocations, char out[SHA256_HEX_BYTES])
{
	auto_buf struct buf text = {0};
	size_t count = 0;

	buf_init(&text, REVOCATIONS_MAX_BYTES);
	for (size_t i = 0; i < revocations->count; i++) {
		const char *entry = revocations->entries[i];

		if (strncmp(entry, "stale ", 6) == 0 || (i > 0 && strcmp(entry, revocations->entries[i - 1]) == 0))
			continue;
		(void)buf_addf(&text, "%s\n", entry);
		count++;
	}
	crypto_sha256_hex(buf_str(&text), text.len_bytes, out);
	return count;
}

// ---- changes ----

struct edit {
	char entry[ENTRY_MAX_BYTES]; // first, for compare_entries
	bool present;
};

struct edits {
	struct edit *list; // sorted
	size_t count;
};

static void edits_done(struct edits *edits)
{
	free(edits->list);
}

static bool make_edits(const struct revocation *changes, size_t count, struct edits *edits, struct error *error)
{
	edits->list = calloc(2 * count + 1, sizeof(*edits->list));
	if (!edits->list)
		return error_errno(error, ENOMEM, "cannot hold %zu revocations", count);
	for (size_t i = 0; i < count; i++) {
		const struct revocation *change = &changes[i];
		struct edit *edit = &edits->list[edits->count++];

		if (!make_entry(change->kind, change->name, edit->entry))
			return error_set(error, ERROR_INVALID, "not a %s: \"%.80s\"",
					 change->kind == REVOCATION_SERIAL ? "certificate serial in hex" : "device id",
					 change->name);
		edit->present = change->revoked;
		if (change->kind == REVOCATION_DEVICE && !change->revoked) {
			edit = &edits->list[edits->count++];
			(void)make_entry(REVOCATION_STALE, change->name, edit->entry);
			edit->present = true;
		}
	}
	qsort(edits->list, edits->count, sizeof(*edits->list), compare_entries);
	return true;
}

static const struct edit *find_edit(const struct edits *edits, const char *entry)
{
	return bsearch(entry, edits->list, edits->count, sizeof(*edits->list), compare_entries);
}

static bool is_done(const struct revocations *revocations, const struct edits *edits, int64_t through)
{
	if (!revocations->open || revocations->pending_count > 0 || (through >= 0 && through != revocations->applied))
		return false;
	for (size_t i = 0; i < edits->count; i++) {
		if (is_listed(revocations, edits->list[i].entry) != edits->list[i].present)
			return false;
	}
	return true;
}

// The lines of the present list that stay: comments, and what no edit speaks of.
static void keep_lines(const struct revocations *revocations, const struct edits *edits, struct buf *out)
{
	char entry[ENTRY_MAX_BYTES];

	for (const char *line = revocations->text ? revocations->text : ""; *line != '\0';
	     line += strcspn(line, "\n") + 1) {
		size_t len_bytes = strcspn(line, "\n");

		if (!is_applied(line) && (!parse_line(line, len_bytes, entry) || !find_edit(edits, entry)))
			(void)buf_add(out, line, len_bytes + 1);
	}
}

static bool write_list(struct revocations *revocations, const struct edits *edits, int64_t through,
		       struct error *error)
{
	auto_buf struct buf text = {0};

	buf_init(&text, REVOCATIONS_MAX_BYTES);
	if (through < 0)
		through = revocations->applied;
	if (through > 0)
		(void)buf_addf(&text, APPLIED "%lld\n", (long long)through);
	keep_lines(revocations, edits, &text);
	for (size_t i = 0; i < revocations->pending_count; i++) {
		if (!find_edit(edits, revocations->pending[i]))
			(void)buf_addf(&text, "%s\n", revocations->pending[i]);
	}
	for (size_t i = 0; i < edits->count; i++) {
		if (edits->list[i].present)
			(void)buf_addf(&text, "%s\n", edits->list[i].entry);
	}
	if (text.overflowed)
		return error_set(error, ERROR_LIMIT, "the revocation list %s is full", revocations->path);
	if (!file_write(revocations->path, buf_str(&text), text.len_bytes, 0600, error))
		return error_prefix(error, "storing the revocation list");
	revocations->pending_count = 0;
	return revocations_refresh(revocations, error);
}

static bool add_pending(struct revocations *revocations, const char *entry)
{
	void *grown = NULL;

	if (find_pending(revocations, entry) < revocations->pending_count)
		return true;
	grown = realloc(revocations->pending, (revocations->pending_count + 1) * sizeof(revocations->pending[0]));
	if (!grown)
		return false;
	revocations->pending = grown;
	memcpy(revocations->pending[revocations->pending_count++], entry, ENTRY_MAX_BYTES);
	return true;
}

// What could not be stored holds all the same, as far as memory goes.
static void hold(struct revocations *revocations, const struct edits *edits)
{
	bool held = true;

	for (size_t i = 0; i < edits->count && held; i++) {
		if (edits->list[i].present && !is_listed(revocations, edits->list[i].entry))
			held = add_pending(revocations, edits->list[i].entry);
	}
}

bool revocations_apply(struct revocations *revocations, const struct revocation *changes, size_t count, int64_t through,
		       bool whole, struct error *error)
{
	struct edits edits cleanup(edits_done) = {0};

	if (!make_edits(changes, count, &edits, error))
		return false;
	if ((revocations_refresh(revocations, error) && is_done(revocations, &edits, through)) ||
	    ((revocations->open || whole) && write_list(revocations, &edits, through, error)))
		return true;
	hold(revocations, &edits);
	return false;
}
