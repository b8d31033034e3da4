#include "common/result_text.h"

#include "common/signature.h"

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

bool result_text_sign(struct evp_pkey_st *key, const char *device, struct buf *message, struct error *error)
{
	struct buf text auto_buf = {0};
	char signature[SIGNATURE_TEXT_MAX];
	buf_init(&text, RESULT_TEXT_MAX_BYTES);
	if (!buf_addf(&text, "%s}", buf_str(message)))
		return error_set(error, ERROR_LIMIT, "the result is too large to be signed");
	struct json *parsed auto_json = json_parse(buf_str(&text), text.len_bytes, error);
	if (!parsed)
		return false;
	buf_clear(&text);
	if (!result_text(device, parsed, &text))
		return error_set(error, ERROR_INVALID, "the result cannot be signed");
	if (!signature_make(key, buf_str(&text), text.len_bytes, signature, error))
		return false;
	return buf_addf(message, ",\"sig\":\"%s\"", signature) ||
	       error_set(error, ERROR_LIMIT, "there is no room for the signature");
}
