#include "common/topic.h"

#include <stdio.h>
#include <string.h>

#define FLEET_PREFIX "fleet/v1/"
#define OPS_PREFIX "ops/v1/"
#define SERVICE_PREFIX "svc/v1/"

enum detail { DETAIL_NONE, DETAIL_INVENTORY, DETAIL_STREAM };

static const struct kind_row {
	const char *prefix;
	const char *name; // the segment after the principal
	enum topic_kind kind;
	enum detail detail;
} kinds[] = {
	{FLEET_PREFIX, "status", TOPIC_STATUS, DETAIL_NONE},
	{FLEET_PREFIX, "telemetry", TOPIC_TELEMETRY, DETAIL_NONE},
	{FLEET_PREFIX, "event", TOPIC_EVENT, DETAIL_NONE},
	{FLEET_PREFIX, "inventory", TOPIC_INVENTORY, DETAIL_INVENTORY},
	{FLEET_PREFIX, "result", TOPIC_RESULT, DETAIL_NONE},
	{FLEET_PREFIX, "stream", TOPIC_STREAM, DETAIL_STREAM},
	{FLEET_PREFIX, "csr", TOPIC_CSR, DETAIL_NONE},
	{FLEET_PREFIX, "stored", TOPIC_STORED, DETAIL_NONE},
	{FLEET_PREFIX, "command", TOPIC_COMMAND, DETAIL_NONE},
	{FLEET_PREFIX, "config", TOPIC_CONFIG, DETAIL_NONE},
	{FLEET_PREFIX, "certificate", TOPIC_CERTIFICATE, DETAIL_NONE},
	{FLEET_PREFIX, "limit", TOPIC_LIMIT, DETAIL_NONE},
	{OPS_PREFIX, "request", TOPIC_REQUEST, DETAIL_NONE},
	{OPS_PREFIX, "reply", TOPIC_REPLY, DETAIL_NONE},
};

enum { KIND_COUNT = sizeof(kinds) / sizeof(kinds[0]) };

static const char *const inventories[] = {"hardware", "network", "services", "software"};

struct span {
	const char *at;
	size_t len;
};

static bool span_is(struct span span, const char *text)
{
	return span.len == strlen(text) && memcmp(span.at, text, span.len) == 0;
}

static bool span_starts(struct span span, const char *text)
{
	size_t len = strlen(text);
	return span.len >= len && memcmp(span.at, text, len) == 0;
}

static struct span span_skip(struct span span, size_t len)
{
	return (struct span){span.at + len, span.len - len};
}

// Takes the segment up to the next "/" off the front; *last tells that there was none.
static struct span take_segment(struct span *rest, bool *last)
{
	const char *slash = rest->len ? memchr(rest->at, '/', rest->len) : NULL;
	*last = !slash;
	struct span segment = {rest->at, slash ? (size_t)(slash - rest->at) : rest->len};
	*rest = span_skip(*rest, segment.len + (slash ? 1 : 0));
	return segment;
}

static bool is_name(struct span span)
{
	if (span.len < 1 || span.len > DEVICE_ID_MAX || span.at[0] == '-')
		return false;
	for (size_t i = 0; i < span.len; i++) {
		char c = span.at[i];
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
			return false;
	}
	return true;
}

static bool is_prefixed_name(struct span span, const char *prefix)
{
	return span_starts(span, prefix) && is_name(span_skip(span, strlen(prefix)));
}

static bool is_principal(struct span span, const char *prefix)
{
	return strcmp(prefix, OPS_PREFIX) == 0 ? is_prefixed_name(span, "op.") : is_name(span);
}

static bool is_detail(struct span span, enum detail detail)
{
	if (detail == DETAIL_STREAM)
		return is_name(span);
	for (size_t i = 0; i < sizeof(inventories) / sizeof(inventories[0]); i++)
		if (span_is(span, inventories[i]))
			return true;
	return false;
}

static void copy_span(char *out, struct span span)
{
	memcpy(out, span.at, span.len);
	out[span.len] = '\0';
}

static const struct kind_row *find_kind(const char *prefix, struct span name)
{
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (strcmp(kinds[i].prefix, prefix) == 0 && span_is(name, kinds[i].name))
			return &kinds[i];
	return NULL;
}

bool topic_parse(const char *text, size_t len_bytes, struct topic *out)
{
	*out = (struct topic){.kind = TOPIC_UNKNOWN};
	if (len_bytes >= TOPIC_MAX_BYTES)
		return false;

	struct span rest = {text, len_bytes};
	const char *prefix = span_starts(rest, FLEET_PREFIX) ? FLEET_PREFIX : OPS_PREFIX;
	if (!span_starts(rest, prefix))
		return false;
	rest = span_skip(rest, strlen(prefix));

	bool last;
	struct span principal = take_segment(&rest, &last);
	if (last || !is_principal(principal, prefix))
		return false;
	const struct kind_row *row = find_kind(prefix, take_segment(&rest, &last));
	if (!row || last != (row->detail == DETAIL_NONE))
		return false;
	if (!last && !is_detail(rest, row->detail))
		return false;

	out->kind = row->kind;
	copy_span(out->principal, principal);
	if (!last)
		copy_span(out->detail, rest);
	return true;
}

static const struct kind_row *row_of(enum topic_kind kind)
{
	for (size_t i = 0; i < KIND_COUNT; i++)
		if (kinds[i].kind == kind)
			return &kinds[i];
	return NULL;
}

bool topic_build(char out[TOPIC_MAX_BYTES], enum topic_kind kind, const char *principal, const char *detail)
{
	const struct kind_row *row = row_of(kind);
	if (!row || !principal || !detail != (row->detail == DETAIL_NONE))
		return false;
	bool filter = strcmp(principal, "+") == 0;
	if (!filter && !is_principal((struct span){principal, strlen(principal)}, row->prefix))
		return false;
	if (detail && !(filter && strcmp(detail, "+") == 0) &&
	    !is_detail((struct span){detail, strlen(detail)}, row->detail))
		return false;
	(void)snprintf(out, TOPIC_MAX_BYTES, "%s%s/%s%s%s", row->prefix, principal, row->name, detail ? "/" : "",
		       detail ? detail : "");
	return true;
}

bool topic_share(char out[TOPIC_MAX_BYTES], const char *group, const char *filter)
{
	if (!topic_is_device_id(group) || strlen(group) + strlen(filter) + sizeof("$share//") > TOPIC_MAX_BYTES)
		return false;
	return snprintf(out, TOPIC_MAX_BYTES, "$share/%s/%s", group, filter) < TOPIC_MAX_BYTES;
}

bool topic_is_device_id(const char *text)
{
	return is_name((struct span){text, strlen(text)});
}

bool topic_is_service(const char *text)
{
	return is_prefixed_name((struct span){text, strlen(text)}, "svc.");
}

bool topic_is_operator(const char *text)
{
	return is_prefixed_name((struct span){text, strlen(text)}, "op.");
}

bool topic_is_service_response(const char *text)
{
	size_t len_bytes = strlen(text);
	struct span rest = {text, len_bytes};
	if (len_bytes >= TOPIC_MAX_BYTES || strpbrk(text, "+#") || !span_starts(rest, SERVICE_PREFIX))
		return false;
	bool last;
	rest = span_skip(rest, strlen(SERVICE_PREFIX));
	struct span service = take_segment(&rest, &last);
	return !last && rest.len > 0 && is_prefixed_name(service, "svc.");
}

bool topic_is_response(const char *text, const char *device)
{
	char stored[TOPIC_MAX_BYTES];
	return (topic_build(stored, TOPIC_STORED, device, NULL) && strcmp(text, stored) == 0) ||
	       topic_is_service_response(text);
}

bool topic_response(char out[TOPIC_MAX_BYTES], const char *service, const char *name)
{
	if (!topic_is_service(service) || !topic_is_device_id(name))
		return false;
	(void)snprintf(out, TOPIC_MAX_BYTES, SERVICE_PREFIX "%s/%s", service, name);
	return true;
}

const char *topic_kind_name(enum topic_kind kind)
{
	const struct kind_row *row = row_of(kind);
	return row ? row->name : "unknown";
}
