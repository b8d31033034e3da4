#include "common/result_text.h"

#include <string.h>

static bool is_left_out(const char *name)
{
	return strcmp(name, "epoch") == 0 || strcmp(name, "seq") == 0 || strcmp(name, "sig") == 0;
}

bool result_text(const char *device, const struct json *message, struct buf *out)
{
	struct json *text auto_json = json_new_object();
	if (json_type(message) != JSON_OBJECT || json_member(message, "typ") || json_member(message, "device"))
		return false;
	json_set_string(text, "typ", RESULT_TYP);
	json_set_string(text, "device", device);
	for (struct json_iterator it = json_begin(message); json_next(&it);) {
		if (!is_left_out(it.name))
			json_set(text, it.name, json_copy(it.value));
	}
	return buf_add_str(out, json_text(text));
}
