#include "common/http_internal.h"

#include <stdlib.h>
#include <string.h>

struct http_frame *http_frame_new(const char *text, size_t len_bytes)
{
	struct http_frame *frame = malloc(sizeof(*frame) + len_bytes);

	if (!frame)
		return NULL;
	frame->holds = 1;
	frame->len_bytes = len_bytes;
	memcpy(frame->text, text, len_bytes);
	return frame;
}

void http_frame_free(struct http_frame *frame)
{
	if (frame && --frame->holds == 0)
		free(frame);
}
