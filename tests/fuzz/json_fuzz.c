// What parses can be written, and what was written parses to the same text.
#include "common/json.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	struct json *json auto_json = json_parse((const char *)data, len_bytes, NULL);
	if (!json)
		return 0;
	const char *text = json_text(json);
	struct json *again auto_json = json_parse(text, strlen(text), NULL);
	if (!again || strcmp(json_text(again), text) != 0)
		abort();
	struct json *copy auto_json = json_copy(json);
	if (strcmp(json_text(copy), text) != 0)
		abort();

	// Any bytes can be quoted, and are then one valid string.
	char *bytes auto_free = strndup((const char *)data, len_bytes);
	struct buf quoted auto_buf = {0};
	buf_init(&quoted, 6 * len_bytes + 2);
	if (!bytes || !json_quote(&quoted, bytes))
		abort();
	struct json *string auto_json = json_parse(quoted.data, quoted.len_bytes, NULL);
	if (json_type(string) != JSON_STRING)
		abort();
	return 0;
}
