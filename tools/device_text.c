#include "tools/device_text.h"

#include "tools/text.h"

#include <stdio.h>
#include <string.h>

#define FACT_MAX_BYTES ((size_t)64 * 1024)

static int64_t number(const struct json *object, const char *name)
{
	int64_t value = 0;
	(void)json_member_int(object, name, &value);
	return value;
}

// A string without its quotes, everything else as JSON.
static void add_value(struct buf *out, const struct json *value)
{
	const char *text = NULL;
	if (json_as_string(value, &text)) {
		text_add_safe(out, text);
		return;
	}
	auto_json struct json *copy = json_copy(value);
	text_add_safe(out, json_text(copy));
}

static void add_fact(struct buf *out, const char *label, const char *words)
{
	auto_buf struct buf safe = {0};
	buf_init(&safe, FACT_MAX_BYTES);
	text_add_safe(&safe, words);
	text_add_fact(out, label, buf_str(&safe));
}

// ---- who it is ----

static void add_names(const struct json *device, struct buf *out)
{
	const struct json *tags = json_member(device, "tags");
	auto_buf struct buf text = {0};
	buf_init(&text, FACT_MAX_BYTES);
	if (text_member(device, "display_name")[0])
		add_fact(out, "Name", text_member(device, "display_name"));
	for (size_t i = 0; i < json_array_length(tags); i++) {
		buf_add_str(&text, i > 0 ? ", " : "");
		add_value(&text, json_array_at(tags, i));
	}
	if (text.len_bytes > 0)
		text_add_fact(out, "Tags", buf_str(&text));
}

static void add_inventory(const struct json *inventory, struct buf *out)
{
	auto_buf struct buf text = {0};
	buf_init(&text, FACT_MAX_BYTES);
	for (struct json_iterator it = json_begin(inventory); json_next(&it);)
		buf_addf(&text, "%s%s", text.len_bytes > 0 ? ", " : "", it.name);
	if (text.len_bytes == 0)
		return;
	buf_add_str(&text, " (--json shows it)");
	add_fact(out, "Inventory", buf_str(&text));
}

// Nothing where there is but one.
static void add_cell(const struct json *device, struct buf *out)
{
	long long cell = number(device, "cell");
	long long reports_in = number(device, "reports_in");
	char text[96];
	if (reports_in > 0 && reports_in != cell)
		(void)snprintf(text, sizeof(text), "%lld, but it reports in %lld", cell, reports_in);
	else if (cell > 1)
		(void)snprintf(text, sizeof(text), "%lld", cell);
	else
		return;
	add_fact(out, "Cell", text);
}

// Since when, by whom, why, and how soon each broker knew.
static void add_revocation(const struct json *device, int64_t now_ms, struct buf *out)
{
	const struct json *disabled = json_member(device, "disabled");
	const struct json *revocation = json_member(device, "revocation");
	const struct json *effects = json_member(revocation, "effects");
	auto_buf struct buf text = {0};
	buf_init(&text, FACT_MAX_BYTES);
	if (json_type(disabled) == JSON_OBJECT) {
		buf_addf(&text, "%s by %s", text_time(text_member(disabled, "at"), now_ms).s,
			 text_member(disabled, "by"));
		if (text_member(disabled, "reason")[0])
			buf_addf(&text, ": %s", text_member(disabled, "reason"));
	} else if (text_member(revocation, "requested_at")[0]) {
		buf_addf(&text, "no; restored %s by %s", text_time(text_member(revocation, "requested_at"), now_ms).s,
			 text_member(revocation, "requested_by"));
	}
	if (text.len_bytes == 0)
		return;
	add_fact(out, "Revoked", buf_str(&text));
	buf_clear(&text);
	for (size_t i = 0; i < json_array_length(effects); i++) {
		const struct json *effect = json_array_at(effects, i);
		double seconds = 0;
		(void)json_member_double(effect, "seconds", &seconds);
		buf_addf(&text, "%scell %lld after %.3f s", i > 0 ? ", " : "in effect in ",
			 (long long)number(effect, "cell"), seconds);
	}
	add_fact(out, "", text.len_bytes > 0 ? buf_str(&text) : "no broker has confirmed it yet");
}

// Another machine that holds its certificate, or the same one with other hardware.
static void add_mismatches(const struct json *device, int64_t now_ms, struct buf *out)
{
	const char *peer = NULL;
	char text[320];
	if (number(device, "mismatches") == 0)
		return;
	(void)json_member_string(device, "mismatch_peer", &peer);
	(void)snprintf(text, sizeof(text), "%lld times it said to be another machine, last %.96s as %.16s...%s%.64s",
		       (long long)number(device, "mismatches"), text_time(text_member(device, "mismatch_at"), now_ms).s,
		       text_member(device, "mismatch_fingerprint"), peer ? " from " : "", peer ? peer : "");
	add_fact(out, "Fingerprint", text);
}

// How it is woken when it sleeps; nothing where there never was a way.
static void add_wake(const struct json *wake, int64_t now_ms, struct buf *out)
{
	const struct json *push = json_member(wake, "push");
	const struct json *last = json_member(wake, "last");
	auto_buf struct buf text = {0};
	buf_init(&text, FACT_MAX_BYTES);
	if (json_type(push) != JSON_OBJECT)
		return;
	if (text_member(push, "retired_at")[0])
		buf_addf(&text, "not any more: its push token was retired %s, %s",
			 text_time(text_member(push, "retired_at"), now_ms).s, text_member(push, "retired_reason"));
	else
		buf_addf(&text, "by %s", text_member(push, "platform"));
	if (number(wake, "delay_count") > 0)
		buf_addf(&text, ", takes %.1f s (of %lld)", (double)number(wake, "delay_ms") / 1000,
			 (long long)number(wake, "delay_count"));
	add_fact(out, "Wakes", buf_str(&text));
	if (json_type(last) != JSON_OBJECT)
		return;
	buf_clear(&text);
	buf_addf(&text, "last push %s: %s", text_time(text_member(last, "started_at"), now_ms).s,
		 text_member(last, "fcm_status")[0] ? text_member(last, "fcm_status") : "under way");
	if (number(wake, "unanswered") > 0)
		buf_addf(&text, ", %lld in a row without contact", (long long)number(wake, "unanswered"));
	add_fact(out, "", buf_str(&text));
}

static void add_identity(const struct json *device, int64_t now_ms, struct buf *out)
{
	const struct json *certificate = json_member(device, "certificate");
	const char *revoked = text_member(certificate, "revoked_at");
	char text[192];
	const char *since = text_member(device, "since");
	bool enabled = true;
	(void)json_member_bool(device, "enabled", &enabled);
	(void)snprintf(text, sizeof(text), "%s%.20s%s%s", enabled ? "" : "revoked, ", text_member(device, "status"),
		       since[0] ? " since " : "", since[0] ? text_time(since, now_ms).s : "");
	add_fact(out, "Status", text);
	if (text_member(device, "why")[0])
		add_fact(out, "", text_member(device, "why"));
	add_revocation(device, now_ms, out);
	add_mismatches(device, now_ms, out);
	add_names(device, out);
	add_fact(out, "Last seen", text_time(text_member(device, "last_seen"), now_ms).s);
	if (number(device, "interval_s") > 0) {
		(void)snprintf(text, sizeof(text), "every %.40s", text_duration(number(device, "interval_s")).s);
		add_fact(out, "Reports", text);
	}
	add_wake(json_member(device, "wake"), now_ms, out);
	if (text_member(device, "agent_version")[0])
		add_fact(out, "Agent", text_member(device, "agent_version"));
	add_cell(device, out);
	add_fact(out, "Enrolled", text_time(text_member(device, "enrolled_at"), now_ms).s);
	if (text_member(certificate, "serial")[0]) {
		add_fact(out, "Certificate", text_member(certificate, "serial"));
		(void)snprintf(text, sizeof(text), "%s %.90s", revoked[0] ? "revoked" : "valid until",
			       text_time(revoked[0] ? revoked : text_member(certificate, "not_after"), now_ms).s);
		add_fact(out, "", text);
	}
	add_inventory(json_member(device, "inventory"), out);
}

// ---- its latest reading ----

// Appends "<before><value> <unit>" when the reading has that member.
static void add_measure(struct buf *out, const struct json *latest, const char *name, const char *before,
			const char *unit)
{
	double value = 0;
	if (json_member_double(latest, name, &value))
		buf_addf(out, "%s%s%.4g%s%s", out->len_bytes > 0 ? ", " : "", before, value, unit[0] ? " " : "", unit);
}

// Ends one line of the reading; it is left out when there is nothing to say.
static void end_fact(struct buf *out, const char *label, struct buf *text)
{
	if (text->len_bytes > 0)
		add_fact(out, label, buf_str(text));
	buf_clear(text);
}

static void add_free(const struct json *latest, const char *free_name, const char *total_name, const char *label,
		     struct buf *out)
{
	double free_bytes = 0;
	double total_bytes = 0;
	if (json_member_double(latest, free_name, &free_bytes) && json_member_double(latest, total_name, &total_bytes))
		add_fact(out, label, text_free_of(free_bytes, total_bytes).s);
}

static void add_custom(const struct json *custom, struct buf *out)
{
	for (struct json_iterator it = json_begin(custom); json_next(&it);) {
		auto_buf struct buf text = {0};
		buf_init(&text, FACT_MAX_BYTES);
		add_value(&text, it.value);
		add_fact(out, it.name, buf_str(&text));
	}
}

static void add_reading(const struct json *latest, int64_t now_ms, struct buf *out)
{
	bool charging = false;
	auto_buf struct buf text = {0};
	buf_init(&text, FACT_MAX_BYTES);
	if (!text_member(latest, "ts")[0]) {
		buf_add_str(out, "\nLatest reading: none yet\n");
		return;
	}
	buf_addf(out, "\nLatest reading, %s\n", text_time(text_member(latest, "ts"), now_ms).s);
	add_measure(&text, latest, "battery_pct", "", "%");
	if (json_member_bool(latest, "charging", &charging))
		buf_addf(&text, "%s%s", text.len_bytes > 0 ? ", " : "", charging ? "charging" : "not charging");
	end_fact(out, "Battery", &text);
	add_measure(&text, latest, "cpu_pct", "", "%");
	add_measure(&text, latest, "load1", "load ", "");
	end_fact(out, "CPU", &text);
	add_free(latest, "mem_available", "mem_total", "Memory", out);
	add_free(latest, "disk_free", "disk_total", "Disk", out);
	buf_add_str(&text, text_member(latest, "network_type"));
	add_measure(&text, latest, "rssi_dbm", "", "dBm");
	end_fact(out, "Network", &text);
	add_measure(&text, latest, "temperature_c", "", "C");
	end_fact(out, "Temperature", &text);
	if (json_member(latest, "uptime_s"))
		add_fact(out, "Up for", text_duration(number(latest, "uptime_s")).s);
	add_custom(json_member(latest, "custom"), out);
}

// ---- what came of its messages and commands ----

#define GAPS_SHOWN 10 // of an epoch; --json shows all

static const char *gap_word(const char *state)
{
	return strcmp(state, "open") == 0 ? "missing" : state;
}

static void add_gaps(const struct json *gaps, int64_t now_ms, struct buf *out)
{
	size_t shown = 0;
	size_t left = 0;
	for (size_t i = 0; i < json_array_length(gaps); i++) {
		const struct json *gap = json_array_at(gaps, i);
		long long from = number(gap, "from");
		long long to = number(gap, "to");
		if (strcmp(text_member(gap, "state"), "closed") == 0)
			continue;
		if (shown == GAPS_SHOWN) {
			left++;
			continue;
		}
		shown++;
		buf_addf(out, "    %-8.16s  %lld", gap_word(text_member(gap, "state")), from);
		if (to > from)
			buf_addf(out, " to %lld", to);
		buf_addf(out, ", since %s\n", text_time(text_member(gap, "opened_at"), now_ms).s);
	}
	if (left > 0)
		buf_addf(out, "    and %zu more gap%s (--json shows them)\n", left, left == 1 ? "" : "s");
}

static void add_epoch(const struct json *epoch, int64_t now_ms, struct buf *out)
{
	long long dropped = number(epoch, "dropped");
	buf_add_str(out, "  ");
	text_add_safe(out, text_member(epoch, "epoch"));
	buf_addf(out, "\n    begun %s,", text_time(text_member(epoch, "first_at"), now_ms).s);
	buf_addf(out, " last heard %s\n", text_ago(text_member(epoch, "last_at"), now_ms).s);
	buf_addf(out, "    numbers %lld to %lld: %lld stored, %lld missing, %lld lost",
		 (long long)number(epoch, "first_seq"), (long long)number(epoch, "highest"),
		 (long long)number(epoch, "stored"), (long long)number(epoch, "missing"),
		 (long long)number(epoch, "lost"));
	if (dropped > 0)
		buf_addf(out, " (%lld dropped by its full outbox)", dropped);
	buf_addf(out, "\n    %lld came late, %lld came again, stored once\n",
		 (long long)number(epoch, "late"), (long long)number(epoch, "duplicates"));
	add_gaps(json_member(epoch, "gaps"), now_ms, out);
}

static void add_ledger(const struct json *ledger, int64_t now_ms, struct buf *out)
{
	buf_add_str(out, "\nLedger: its messages by epoch, which is a life of its outbox\n");
	if (json_array_length(ledger) == 0)
		buf_add_str(out, "  nothing yet\n");
	for (size_t i = 0; i < json_array_length(ledger); i++)
		add_epoch(json_array_at(ledger, i), now_ms, out);
}

static void add_commands(const struct json *commands, int64_t now_ms, struct buf *out)
{
	buf_add_str(out, "\nLatest commands\n");
	if (json_array_length(commands) == 0)
		buf_add_str(out, "  none yet\n");
	for (size_t i = 0; i < json_array_length(commands); i++) {
		const struct json *command = json_array_at(commands, i);
		const char *reason = text_member(command, "reason");
		buf_addf(out, "  %s  %s by %s: %s", text_time(text_member(command, "created_at"), now_ms).s,
			 text_member(command, "action"), text_member(command, "requested_by"),
			 text_member(command, "state"));
		buf_add_str(out, reason[0] ? ", " : "");
		text_add_safe(out, reason);
		buf_addf(out, "\n    %s\n", text_member(command, "id"));
	}
}

void device_text(const struct json *device, int64_t now_ms, struct buf *out)
{
	buf_addf(out, "%s\n\n", text_member(device, "device"));
	add_identity(device, now_ms, out);
	add_reading(json_member(device, "latest"), now_ms, out);
	add_ledger(json_member(device, "ledger"), now_ms, out);
	add_commands(json_member(device, "commands"), now_ms, out);
}
