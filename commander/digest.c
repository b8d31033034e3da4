#include "commander/digest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const words[] = {
	[DIGEST_RAISED] = "raised", [DIGEST_CLEARED] = "cleared", [DIGEST_STILL] = "active"};

// ---- the subject ----

// Titles hold what devices and people said: one line, and no character cut in two.
static void add_line(char *out, size_t out_bytes, const char *text)
{
	size_t used = strlen(out), end;

	for (; *text && used + 1 < out_bytes; text++)
		out[used++] = (char)((unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text);
	out[used] = '\0';
	if (!*text || used == 0)
		return;
	for (end = used; end > 0 && ((unsigned char)out[end - 1] & 0xc0) == 0x80;)
		end--;
	if (end > 0 && (unsigned char)out[end - 1] >= 0xc0)
		out[end - 1] = '\0';
}

// The gravest of those that the message is about first.
static const char *gravest(const struct digest *digest)
{
	static const char *const severities[] = {"critical", "warning"};

	for (size_t i = 0; i < 2; i++) {
		for (size_t k = 0; k < digest->count; k++) {
			if (digest->items[k].what != DIGEST_CLEARED &&
			    strcmp(digest->items[k].severity, severities[i]) == 0)
				return severities[i];
		}
	}
	return "info";
}

// "5,000"
static const char *grouped(int64_t number, char out[32])
{
	char digits[24];
	int length = snprintf(digits, sizeof(digits), "%" PRId64, number), used = 0;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0 && digits[i - 1] != '-')
			out[used++] = ',';
		out[used++] = digits[i];
	}
	out[used] = '\0';
	return out;
}

static void add_counts(const struct digest *digest, char *out, size_t out_bytes)
{
	const int64_t counts[] = {digest->raised, digest->still, digest->cleared};
	static const char *const names[] = {"new", "still active", "cleared"};
	bool first = true;

	for (size_t i = 0; i < 3; i++) {
		char text[64], number[32];

		if (counts[i] == 0)
			continue;
		(void)snprintf(text, sizeof(text), "%s%s %s", first ? "" : ", ", grouped(counts[i], number), names[i]);
		add_line(out, out_bytes, text);
		first = false;
	}
}

static bool of_same_rule(const struct digest_item *one, const struct digest_item *other)
{
	return one->what == other->what && strcmp(one->rule, other->rule) == 0 &&
	       strcmp(one->severity, other->severity) == 0;
}

// The rule that all of them are of; NULL when there are several. Each rule has at least one among the items, or there
// are more than are listed.
static const char *only_rule(const struct digest *digest)
{
	int64_t listed = 0;

	for (size_t i = 0; i < digest->count; i++) {
		bool known = false;

		if (strcmp(digest->items[i].rule, digest->items[0].rule) != 0)
			return NULL;
		for (size_t k = 0; k < i; k++)
			known = known || of_same_rule(&digest->items[k], &digest->items[i]);
		listed += known ? 0 : digest->items[i].of_rule;
	}
	return digest->count > 0 && listed == digest->raised + digest->cleared + digest->still ? digest->items[0].rule
											       : NULL;
}

void digest_subject(const struct digest *digest, char out[DIGEST_SUBJECT_BYTES])
{
	int64_t all = digest->raised + digest->cleared + digest->still;

	out[0] = '\0';
	if (digest->test) {
		add_line(out, DIGEST_SUBJECT_BYTES, "[Muster] Test of the channel ");
		add_line(out, DIGEST_SUBJECT_BYTES, digest->channel);
		return;
	}
	if (all == digest->cleared) {
		add_line(out, DIGEST_SUBJECT_BYTES, "[Muster] cleared: ");
	} else {
		add_line(out, DIGEST_SUBJECT_BYTES, "[Muster] ");
		add_line(out, DIGEST_SUBJECT_BYTES, gravest(digest));
		add_line(out, DIGEST_SUBJECT_BYTES, ": ");
	}
	if (all == 1 && digest->count == 1) {
		add_line(out, DIGEST_SUBJECT_BYTES, digest->items[0].object);
		add_line(out, DIGEST_SUBJECT_BYTES, ": ");
		add_line(out, DIGEST_SUBJECT_BYTES, digest->items[0].title);
		return;
	}
	add_line(out, DIGEST_SUBJECT_BYTES, only_rule(digest) ? only_rule(digest) : "alerts");
	add_line(out, DIGEST_SUBJECT_BYTES, ": ");
	add_counts(digest, out, DIGEST_SUBJECT_BYTES);
}

// ---- the text ----

static void add_clean(struct buf *out, const char *text)
{
	for (; *text; text++)
		(void)buf_add(out, (unsigned char)*text < ' ' || *text == 0x7f ? " " : text, 1);
}

// "2026-01-05T12:00:00Z" as "2026-01-05 12:00 UTC".
static void add_time(const char *rfc3339, struct buf *out)
{
	if (strlen(rfc3339) < 16)
		add_clean(out, rfc3339);
	else
		(void)buf_addf(out, "%.10s %.5s UTC", rfc3339, rfc3339 + 11);
}

static void add_item(const struct digest *digest, const struct digest_item *item, struct buf *out)
{
	(void)buf_add_str(out, "    ");
	add_clean(out, item->object);
	(void)buf_add_str(out, ": ");
	add_clean(out, item->title);
	if (item->cleared_at) {
		(void)buf_add_str(out, "; over at ");
		add_time(item->cleared_at, out);
	} else if (item->what == DIGEST_STILL) {
		(void)buf_add_str(out, "; told before, raised at ");
		add_time(item->raised_at, out);
	}
	(void)buf_add_str(out, "\n");
	if (digest->public_url && item->of_rule <= DIGEST_LINKED_MAX)
		(void)buf_addf(out, "      %s/alerts/%s\n", digest->public_url, item->id);
}

// All of one rule, its name and what it looks for said once.
static void add_rule(const struct digest *digest, size_t first, struct buf *out)
{
	const struct digest_item *head = &digest->items[first];
	int64_t shown = 0;
	char number[32];

	(void)buf_addf(out, "\n  %s: ", head->severity);
	add_clean(out, head->rule);
	if (head->looks_for && head->looks_for[0]) {
		(void)buf_add_str(out, " (");
		add_clean(out, head->looks_for);
		(void)buf_add_str(out, ")");
	}
	(void)buf_add_str(out, "\n");
	for (size_t i = first;
	     i < digest->count && shown < DIGEST_LISTED_MAX && out->len_bytes < DIGEST_TEXT_MAX_BYTES - 4096; i++) {
		if (!of_same_rule(&digest->items[i], head))
			continue;
		add_item(digest, &digest->items[i], out);
		shown++;
	}
	if (shown < head->of_rule)
		(void)buf_addf(out, "    and %s more\n", grouped(head->of_rule - shown, number));
}

static void add_section(const struct digest *digest, enum digest_what what, const char *title, int64_t all,
			struct buf *out)
{
	int64_t told = 0;
	char number[32];

	if (all == 0)
		return;
	(void)buf_addf(out, "%s (%s)\n", title, grouped(all, number));
	for (size_t i = 0; i < digest->count && out->len_bytes < DIGEST_TEXT_MAX_BYTES - 4096; i++) {
		bool known = digest->items[i].what != what;

		for (size_t k = 0; k < i && !known; k++)
			known = of_same_rule(&digest->items[k], &digest->items[i]);
		if (known)
			continue;
		add_rule(digest, i, out);
		told += digest->items[i].of_rule;
	}
	if (told < all)
		(void)buf_addf(out, "\n  and %s of other rules\n", grouped(all - told, number));
	(void)buf_add_str(out, "\n");
}

void digest_text(const struct digest *digest, struct buf *out)
{
	if (digest->test)
		(void)buf_add_str(out, "This is a test: alerts of this channel arrive here.\n\n");
	add_section(digest, DIGEST_RAISED, "New", digest->raised, out);
	add_section(digest, DIGEST_STILL, "Still active, and acknowledged by nobody", digest->still, out);
	add_section(digest, DIGEST_CLEARED, "Cleared", digest->cleared, out);
	if (digest->public_url)
		(void)buf_addf(out, "All alerts: %s/alerts\n", digest->public_url);
	(void)buf_add_str(out, "You get this through the channel \"");
	add_clean(out, digest->channel);
	(void)buf_add_str(out, "\" of Muster.\n");
}

// ---- the CloudEvent ----

static struct json *event_item(const struct digest *digest, const struct digest_item *item)
{
	struct json *json = json_new_object();
	auto_buf struct buf link;

	buf_init(&link, 1024);
	json_set_string(json, "id", item->id);
	json_set_string(json, "what", words[item->what]);
	json_set_string(json, "severity", item->severity);
	json_set_string(json, "rule", item->rule);
	json_set_string(json, "looks_for", item->looks_for);
	json_set_string(json, "kind", item->kind);
	json_set_string(json, "object", item->object);
	json_set_string(json, "device", item->device);
	json_set_string(json, "title", item->title);
	json_set_string(json, "raised_at", item->raised_at);
	json_set_string(json, "cleared_at", item->cleared_at);
	if (digest->public_url && buf_addf(&link, "%s/alerts/%s", digest->public_url, item->id))
		json_set_string(json, "url", buf_str(&link));
	return json;
}

struct json *digest_event(const struct digest *digest)
{
	struct json *event = json_new_object();
	struct json *data = json_new_object();
	struct json *alerts = json_new_array();

	json_set_string(event, "specversion", "1.0");
	json_set_string(event, "id", digest->id);
	json_set_string(event, "source", digest->public_url ? digest->public_url : "/muster");
	json_set_string(event, "type", digest->test ? "muster.alerts.test" : "muster.alerts");
	json_set_string(event, "subject", digest->channel);
	json_set_string(event, "time", digest->time);
	json_set_string(event, "datacontenttype", "application/json");
	json_set_string(data, "tenant", digest->tenant);
	json_set_int(data, "raised", digest->raised);
	json_set_int(data, "cleared", digest->cleared);
	json_set_int(data, "still", digest->still);
	json_set_bool(data, "truncated", (int64_t)digest->count < digest->raised + digest->cleared + digest->still);
	for (size_t i = 0; i < digest->count; i++)
		json_append(alerts, event_item(digest, &digest->items[i]));
	json_set(data, "alerts", alerts);
	json_set(event, "data", data);
	return event;
}
