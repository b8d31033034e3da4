// Events (docs/protocol.md, section 5). hello is stored like any other, and also tells about the device.
#include "ingest/event.h"

#include "common/limits.h"
#include "common/push_token.h"
#include "ingest/binding.h"
#include "ingest/kind.h"

#include <string.h>

#define TYPE_MAX 64
#define AGENT_VERSION_MAX 64
#define INTERVAL_MAX_S 86400
#define SERIAL_DIGITS_MAX 40 // RFC 5280 section 4.1.2.2: 20 octets
#define SHA256_DIGITS 64

static bool is_type(const char *text)
{
	size_t len = strlen(text);
	if (len < 1 || len > TYPE_MAX || strchr("._-", text[0]))
		return false;
	return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789._-") == len;
}

static bool is_body_member(const char *name)
{
	return stamp_is_member(name) || strcmp(name, "type") == 0;
}

static bool is_hello_member(const char *name)
{
	return is_body_member(name) || strcmp(name, "latest") == 0 || strcmp(name, "push_token") == 0;
}

// A reading that waits in the outbox behind many others, and comes in its turn with its own seq.
static bool parse_latest(const struct json *object, const struct input *in, struct arena *arena, struct hello *hello,
			 struct error *error)
{
	const struct json *latest = json_member(object, "latest");
	struct stamp stamp;
	if (!latest)
		return true;
	if (json_type(latest) != JSON_OBJECT || json_member(latest, "epoch") || json_member(latest, "seq"))
		return error_set(error, ERROR_INVALID, "latest is not a reading without epoch and seq");
	struct reading *reading = arena_alloc(arena, sizeof(*reading));
	if (!stamp_parse(latest, in->received_ms, false, arena, &stamp, error) ||
	    !reading_parse(latest, arena, reading, error))
		return error_prefix(error, "latest");
	hello->latest = reading;
	// A clock that is wrong must not outrank all that follows, nor be outranked: it was read just now.
	bool past = stamp.ts_ms < in->received_ms && message_is_plausible(stamp.ts_ms, in->received_ms);
	hello->latest_ms = past ? stamp.ts_ms : in->received_ms;
	return true;
}

// Lower-case hex of min to max digits.
static bool is_hex(const char *text, size_t min, size_t max)
{
	size_t len = strlen(text);
	return len >= min && len <= max && strspn(text, "0123456789abcdef") == len;
}

// An IPv4 or IPv6 address as the broker writes it; that of a link may name the interface (RFC 4007).
static bool is_address(const char *text)
{
	size_t digits = strspn(text, "0123456789abcdefABCDEF.:");
	size_t zone = text[digits] == '%' ? strspn(text + digits + 1, "abcdefghijklmnopqrstuvwxyz0123456789.-") + 1 : 0;

	return digits > 0 && digits + zone <= PEER_MAX && text[digits + zone] == '\0';
}

// Which machine the device is, which certificate it uses, and whom it trusts and obeys.
static bool parse_identity(const struct json *object, struct arena *arena, struct hello *hello, struct error *error)
{
	const struct json *fingerprint = json_member(object, "fingerprint");
	const struct json *certificate = json_member(object, "certificate");
	const struct json *trust = json_member(object, "trust");
	const struct json *signers = json_member(object, "signers");
	const char *text;
	hello->signers = -1;
	if (signers && (!json_as_int(signers, &hello->signers) || hello->signers < 0))
		return error_set(error, ERROR_INVALID, "signers is not an integer from 0");
	if (fingerprint) {
		if (!json_as_string(fingerprint, &text) || !is_hex(text, SHA256_DIGITS, SHA256_DIGITS))
			return error_set(error, ERROR_INVALID, "fingerprint is not 64 hex digits in lower case");
		hello->fingerprint = arena_string(arena, text);
	}
	if (certificate) {
		if (!json_as_string(certificate, &text) || !is_hex(text, 1, SERIAL_DIGITS_MAX))
			return error_set(error, ERROR_INVALID, "certificate is not a serial number in lower-case hex");
		text += strspn(text, "0");
		hello->certificate = arena_string(arena, text);
	}
	if (trust) {
		if (!json_as_string(trust, &text) || !is_hex(text, SHA256_DIGITS, SHA256_DIGITS))
			return error_set(error, ERROR_INVALID, "trust is not a SHA-256 in lower-case hex");
		hello->trust = arena_string(arena, text);
	}
	return true;
}

static bool parse_push_token(const struct json *object, struct arena *arena, struct hello *hello, struct error *error)
{
	const struct json *token = json_member(object, "push_token");
	const char *text;
	if (!token)
		return true;
	if (!json_as_string(token, &text) || (*text && !push_token_ok(text)))
		return error_set(error, ERROR_INVALID, "push_token is not up to %d letters, digits and - _ : . ~ = + /",
				 PUSH_TOKEN_MAX);
	hello->push_token = arena_string(arena, text);
	return true;
}

static bool parse_hello(const struct json *object, const struct input *in, const struct stamp *stamp,
			struct arena *arena, const struct hello **out, struct error *error)
{
	struct hello *hello = arena_alloc(arena, sizeof(*hello));
	const struct json *oldest = json_member(object, "oldest_seq");
	const struct json *interval = json_member(object, "interval_s");
	const struct json *version = json_member(object, "agent_version");
	hello->epoch = stamp->epoch;
	if (oldest && (!stamp->epoch || !json_as_int(oldest, &hello->oldest_seq) || hello->oldest_seq < 1 ||
		       hello->oldest_seq > SEQ_MAX))
		return error_set(error, ERROR_INVALID,
				 "oldest_seq is not an integer from 1 to 2^53 - 1 beside an epoch");
	if (interval) {
		int64_t seconds;
		if (!json_as_int(interval, &seconds) || seconds < 1 || seconds > INTERVAL_MAX_S)
			return error_set(error, ERROR_INVALID, "interval_s is not an integer from 1 to %d",
					 INTERVAL_MAX_S);
		hello->interval_s = (int32_t)seconds;
	}
	hello->peer = in->peer && is_address(in->peer) ? arena_string(arena, in->peer) : "";
	if (!parse_identity(object, arena, hello, error) || !parse_push_token(object, arena, hello, error))
		return false;
	if (version) {
		const char *text;
		if (!json_as_string(version, &text) || strlen(text) > AGENT_VERSION_MAX)
			return error_set(error, ERROR_INVALID, "agent_version is not a string of up to %d bytes",
					 AGENT_VERSION_MAX);
		hello->agent_version = arena_string(arena, text);
	}
	*out = hello;
	return parse_latest(object, in, arena, hello, error);
}

static bool event_parse(const struct input *in, struct arena *arena, struct message *out, struct error *error)
{
	// Only hello may give its epoch alone, and what it is shows after the parsing.
	struct json *object auto_json = message_object(in, true, sizeof(struct event), arena, out, error);
	if (!object)
		return false;
	struct event *event = out->rows;
	const char *type;
	if (!json_member_string(object, "type", &type) || !is_type(type))
		return error_set(error, ERROR_INVALID,
				 "type is missing or not of the form [a-z0-9][a-z0-9._-]{0,63}");
	bool hello = strcmp(type, "hello") == 0;
	if (!hello && out->stamps->epoch && !out->stamps->numbered)
		return error_set(error, ERROR_INVALID, "epoch and seq belong together: seq is missing");
	event->type = arena_string(arena, type);
	event->body = message_rest(object, hello ? is_hello_member : is_body_member, arena);
	return !hello || parse_hello(object, in, out->stamps, arena, &out->hello, error);
}

static void event_tell(const struct message *message, size_t row, struct device_summary *device)
{
	const struct hello *hello = message->hello;
	if (!hello || !message->alive)
		return;
	device_summary_online(device, "hello", 0, message->received_ms, true);
	if (hello->interval_s > 0)
		device->interval_s = hello->interval_s;
	if (hello->agent_version)
		device->agent_version = hello->agent_version;
	if (hello->certificate)
		device->certificate = hello->certificate;
	if (hello->trust)
		device->trust = hello->trust;
	if (hello->signers >= 0) {
		device->has_signers = true;
		device->signers = hello->signers;
	}
	if (hello->latest)
		device_summary_reading(device, hello->latest, hello->latest_ms);
}

static void event_write(struct copy *copy, const struct message *message, size_t row)
{
	const struct stamp *stamp = &message->stamps[row];
	const struct event *event = &((const struct event *)message->rows)[row];
	copy_row(copy, 8);
	copy_text(copy, message->device);
	copy_text(copy, stamp->epoch);
	copy_int8(copy, stamp->seq);
	copy_time(copy, stamp->ts_ms);
	copy_time(copy, message->received_ms);
	copy_time(copy, stamp->measured_ms);
	copy_text(copy, event->type);
	copy_json(copy, event->body);
}

#define COLUMNS "device, epoch, seq, ts, received_at, measured_at, type, body"

const struct kind event_kind = {
	.topic = TOPIC_EVENT,
	.parse = event_parse,
	.tell = event_tell,
	.stage_sql = "create temporary table stage_event (like event)",
	.copy_sql = "truncate stage_event; copy stage_event (" COLUMNS ") from stdin (format binary)",
	.insert_sql = "insert into event (" COLUMNS ") select " COLUMNS " from stage_event on conflict do nothing",
	.direct_sql = "copy event (" COLUMNS ") from stdin (format binary)",
	.write = event_write,
	.repeated_sql = REPEATED_SQL("event", " and t.ts = s.ts"),
};

// What the broker tells of a device: an event like any other, but one that the device itself cannot send.
const struct kind limit_kind = {
	.topic = TOPIC_LIMIT,
	.parse = event_parse,
	.stage_sql = "create temporary table stage_limit (like event)",
	.copy_sql = "truncate stage_limit; copy stage_limit (" COLUMNS ") from stdin (format binary)",
	.insert_sql = "insert into event (" COLUMNS ") select " COLUMNS " from stage_limit on conflict do nothing",
	.write = event_write,
};
