#include "tools/log_text.h"

#include "common/json.h"

#include <string.h>

#define CLOCK_OFFSET 11 // of "08:15:30" in an RFC 3339 time
#define CLOCK_BYTES 8

static bool is_head(const char *name)
{
	return strcmp(name, "ts") == 0 || strcmp(name, "level") == 0 || strcmp(name, "program") == 0 ||
	       strcmp(name, "event") == 0;
}

static void add_value(struct buf *out, const struct json *value)
{
	const char *text = NULL;
	if (json_as_string(value, &text) && text[0] != '\0' && !strpbrk(text, " \"=")) {
		buf_add_str(out, text);
		return;
	}
	auto_json struct json *copy = json_copy(value);
	buf_add_str(out, json_text(copy));
}

void log_text(const char *line, size_t bytes, struct buf *out)
{
	const char *event = NULL;
	const char *level = "info";
	const char *ts = "";
	auto_json struct json *json = bytes > 0 && line[0] == '{' ? json_parse(line, bytes, NULL) : NULL;
	if (!json_member_string(json, "event", &event)) {
		buf_add(out, line, bytes);
		return;
	}
	(void)json_member_string(json, "level", &level);
	if (json_member_string(json, "ts", &ts) && strlen(ts) > CLOCK_OFFSET + CLOCK_BYTES) {
		buf_add(out, ts + CLOCK_OFFSET, CLOCK_BYTES);
		buf_add_str(out, " ");
	}
	if (strcmp(level, "info") != 0)
		buf_addf(out, "%s ", level);
	buf_add_str(out, event);
	for (struct json_iterator it = json_begin(json); json_next(&it);) {
		if (is_head(it.name))
			continue;
		buf_addf(out, " %s=", it.name);
		add_value(out, it.value);
	}
}
