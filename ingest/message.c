#include "ingest/message.h"

#include "common/clock.h"
#include "common/limits.h"

#include <string.h>

static bool is_epoch(const char *text, size_t len)
{
	if (len < 1 || len > EPOCH_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	return true;
}

static bool is_seq(int64_t seq)
{
	return seq >= 1 && seq <= SEQ_MAX;
}

static bool is_ts(int64_t ts_ms)
{
	return ts_ms >= 0 && ts_ms <= TS_MAX_MS;
}

static bool parse_number(const struct json *object, bool alone_ok, struct arena *arena, struct stamp *out,
			 struct error *error)
{
	const struct json *epoch = json_member(object, "epoch");
	const struct json *seq = json_member(object, "seq");
	const char *text;
	int64_t number = 0;
	if (!epoch && !seq)
		return true;
	if (!epoch || (!seq && !alone_ok))
		return error_set(error, ERROR_INVALID, "epoch and seq belong together: %s is missing",
				 epoch ? "seq" : "epoch");
	if (!json_as_string(epoch, &text) || !is_epoch(text, strlen(text)))
		return error_set(error, ERROR_INVALID, "epoch is not a string of 1 to %d letters, digits and -",
				 EPOCH_MAX);
	if (seq && (!json_as_int(seq, &number) || !is_seq(number)))
		return error_set(error, ERROR_INVALID, "seq is not an integer from 1 to 2^53 - 1");
	out->epoch = arena_string(arena, text);
	out->seq = number;
	out->numbered = seq;
	return true;
}

static bool parse_ts(const struct json *object, int64_t received_ms, struct stamp *out, struct error *error)
{
	const struct json *ts = json_member(object, "ts");
	const char *text;
	if (!ts) {
		if (out->numbered)
			return error_set(error, ERROR_INVALID, "ts is missing: it is required with seq");
		out->ts_ms = received_ms;
		return true;
	}
	int64_t ts_ms = 0;
	bool known = json_type(ts) == JSON_STRING
			     ? json_as_string(ts, &text) && clock_parse_rfc3339(text, strlen(text), &ts_ms)
			     : json_as_int(ts, &ts_ms);
	if (!known)
		return error_set(error, ERROR_INVALID, "ts is neither milliseconds since 1970 nor RFC 3339");
	if (!is_ts(ts_ms))
		return error_set(error, ERROR_INVALID, "ts is before 1970 or after 9999");
	out->ts_ms = ts_ms;
	return true;
}

bool stamp_parse(const struct json *object, int64_t received_ms, bool alone_ok, struct arena *arena,
		 struct stamp *out, struct error *error)
{
	*out = (struct stamp){0};
	return parse_number(object, alone_ok, arena, out, error) && parse_ts(object, received_ms, out, error);
}

static bool is_member(const struct flat_member *member, const char *name, size_t len_bytes)
{
	return member->name_bytes == len_bytes && memcmp(member->name, name, len_bytes) == 0;
}

bool stamp_take(const struct flat_member *member, struct arena *arena, struct stamp *out)
{
	const struct scalar *value = &member->value;
	if (is_member(member, "epoch", 5) && !out->epoch && value->type == SCALAR_TEXT &&
	    is_epoch(value->text, value->text_bytes))
		out->epoch = arena_copy(arena, value->text, value->text_bytes);
	else if (is_member(member, "seq", 3) && !out->numbered && value->type == SCALAR_INTEGER &&
		 is_seq(value->integer))
		out->seq = value->integer;
	else if (is_member(member, "ts", 2) && out->ts_ms == 0 && value->type == SCALAR_INTEGER &&
		 is_ts(value->integer) && value->integer > 0)
		out->ts_ms = value->integer;
	else
		return false;
	out->numbered = out->seq > 0;
	return true;
}

bool stamp_is_whole(const struct stamp *stamp)
{
	return stamp->epoch && stamp->numbered && stamp->ts_ms > 0;
}

bool number_parse(const char *text, int64_t *out)
{
	size_t len = strspn(text, "0123456789");
	if (len < 1 || len > 18 || text[len] != '\0')
		return false;
	int64_t value = 0;
	for (size_t i = 0; i < len; i++)
		value = 10 * value + (text[i] - '0');
	*out = value;
	return true;
}

bool message_is_plausible(int64_t ts_ms, int64_t received_ms)
{
	return ts_ms >= received_ms - TS_BEHIND_MS && ts_ms <= received_ms + TS_AHEAD_MS;
}

void message_measure(struct message *message)
{
	int64_t newest_ms = 0;
	for (size_t i = 0; i < message->count; i++) {
		const struct stamp *stamp = &message->stamps[i];
		if (!message_is_plausible(stamp->ts_ms, message->received_ms) && stamp->ts_ms > newest_ms)
			newest_ms = stamp->ts_ms;
	}
	for (size_t i = 0; i < message->count; i++) {
		struct stamp *stamp = &message->stamps[i];
		int64_t before_ms = newest_ms - stamp->ts_ms;
		if (before_ms > TS_BEHIND_MS) // the clock was set in between
			before_ms = 0;
		stamp->measured_ms = message_is_plausible(stamp->ts_ms, message->received_ms)
					     ? stamp->ts_ms
					     : message->received_ms - message->age_ms - before_ms;
	}
}

bool stamp_is_member(const char *name)
{
	return strcmp(name, "ts") == 0 || strcmp(name, "seq") == 0 || strcmp(name, "epoch") == 0;
}

struct json *message_object(const struct input *in, bool alone_ok, size_t row_bytes, struct arena *arena,
			    struct message *out, struct error *error)
{
	struct json *object auto_json = json_parse(in->payload, in->payload_bytes, error);
	if (!object)
		return NULL;
	if (json_type(object) != JSON_OBJECT) {
		error_set(error, ERROR_INVALID, "not a JSON object");
		return NULL;
	}
	out->stamps = arena_alloc(arena, sizeof(*out->stamps));
	out->rows = arena_alloc(arena, row_bytes);
	out->count = 1;
	if (!stamp_parse(object, in->received_ms, alone_ok, arena, out->stamps, error))
		return NULL;
	return steal(object);
}

const char *message_rest(const struct json *object, bool (*skip)(const char *name), struct arena *arena)
{
	struct json *rest auto_json = json_new_object();
	for (struct json_iterator it = json_begin(object); json_next(&it);)
		if (!skip(it.name))
			json_set(rest, it.name, json_copy(it.value));
	return arena_string(arena, json_text(rest));
}

void message_refuse(struct message *message, struct arena *arena, const char *reason)
{
	char *text = arena_string(arena, reason);
	for (char *c = text; *c; c++)
		if (*c < 0x20 || *c > 0x7e)
			*c = '?';
	message->refusal = text;
}
