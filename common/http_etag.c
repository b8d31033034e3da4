#include "common/http_internal.h"

#include "common/crypto.h"

#include <stdio.h>
#include <string.h>

#define TAG_HEX 32 // of the SHA-256: 128 bits tell contents apart

bool http_unchanged(struct http_request *request, int status, const char *content_type, const void *body,
		    size_t len_bytes, bool packed)
{
	char hash[SHA256_HEX_BYTES], tag[TAG_HEX + 16];

	if (status != 200 || !content_type || strcmp(content_type, "application/json") != 0)
		return false;
	crypto_sha256_hex(body, len_bytes, hash);
	// Each encoding is a representation of its own (RFC 9110, section 8.8.3.3).
	(void)snprintf(tag, sizeof(tag), "\"%.*s%s\"", TAG_HEX, hash, packed ? "-gzip" : "");
	http_reply_header(request, "ETag", tag);
	http_reply_header(request, "Cache-Control", "private, no-cache");
	return http_etag_matches(http_header(request, "If-None-Match"), tag);
}
