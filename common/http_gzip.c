#include "common/http_internal.h"

#include <string.h>
#include <zlib.h>

#define WORTH_BYTES 1024      // below, the header of gzip and the work cost more than they save
#define LEVEL 1		      // a list of devices is a seventh of its size at this level, in a millisecond
#define GZIP_WINDOW (15 + 16) // the largest window, in gzip's form

bool http_compressible(struct http_request *request, const char *content_type, size_t len_bytes)
{
	if (len_bytes <= WORTH_BYTES || !content_type ||
	    strcmp(content_type, "application/json") != 0 ||
	    (strcmp(http_method(request), "GET") != 0 && strcmp(http_method(request), "HEAD") != 0))
		return false;
	http_reply_header(request, "Vary", "Accept-Encoding");
	return http_accepts_gzip(http_header(request, "Accept-Encoding"));
}

bool http_compress(struct http_request *request, const void *body, size_t len_bytes, struct buf *out)
{
	z_stream stream = {0};

	if (deflateInit2(&stream, LEVEL, Z_DEFLATED, GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return false;

	size_t bound_bytes = deflateBound(&stream, len_bytes);
	char *packed auto_free = malloc(bound_bytes);
	bool done = false;

	if (packed) {
		stream.next_in = (Bytef *)body; // zlib forgot a const: it only reads
		stream.avail_in = (uInt)len_bytes;
		stream.next_out = (Bytef *)packed;
		stream.avail_out = (uInt)bound_bytes;
		done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
	}
	(void)deflateEnd(&stream);
	if (!done)
		return false;
	buf_init(out, bound_bytes);
	if (!buf_add(out, packed, stream.total_out))
		return false;
	http_reply_header(request, "Content-Encoding", "gzip");
	return true;
}
