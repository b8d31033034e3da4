// A head that is taken frames its body in one way only; a chunked body comes out the same however it arrives.
#include "common/http_parse.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes);

static void check_head(const uint8_t *data, size_t len_bytes)
{
	char *text = malloc(len_bytes + 1);
	struct http_head head;
	struct http_refusal refusal = {0};
	if (!text)
		return;
	memcpy(text, data, len_bytes);
	text[len_bytes] = '\0';
	if (!http_head_parse(text, len_bytes, &head, &refusal)) {
		if (refusal.status < 400 || !refusal.detail)
			abort();
	} else {
		const char *length = http_head_field(&head, "content-length");
		if (!head.method[0] || head.path[0] != '/' || head.content_length < 0 || (head.chunked && length))
			abort();
		char *path = strdup(head.path);
		if (path && http_decode(path, true) && strlen(path) > strlen(head.path))
			abort();
		free(path);
	}
	free(text);
}

// The body's length, or -1 if malformed, or -2 if not whole.
static int64_t unchunk(const uint8_t *data, size_t len_bytes, size_t step)
{
	struct http_chunks chunks = {0};
	size_t start = 0;
	size_t end = 0;
	int64_t body_bytes = 0;
	for (;;) {
		size_t used_bytes = 0;
		enum http_chunk_result result =
			http_chunks_next(&chunks, (const char *)data + start, end - start, &used_bytes);
		if (used_bytes > end - start)
			abort();
		start += used_bytes;
		if (result == HTTP_CHUNK_DATA)
			body_bytes += (int64_t)used_bytes;
		if (result == HTTP_CHUNK_DONE || result == HTTP_CHUNK_BAD)
			return result == HTTP_CHUNK_DONE ? body_bytes : -1;
		if (used_bytes > 0)
			continue;
		if (end == len_bytes)
			return -2;
		end = len_bytes - end > step ? end + step : len_bytes;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len_bytes)
{
	check_head(data, len_bytes);
	if (unchunk(data, len_bytes, 1) != unchunk(data, len_bytes, len_bytes + 1))
		abort();
	return 0;
}
