// The page: files that dashboard/web/build.mjs packed into one blob, which the build embeds into the program.
// The pack is a sequence of "<name> <content type> <plain bytes> <gzip bytes>\n" + plain + gzip, ended by "\n".
#pragma once

#include "common/error.h"
#include "common/http.h"

#include <stdbool.h>
#include <stddef.h>

#define ASSETS_MAX 128
#define ASSET_NAME_MAX 63
#define ASSETS_ORIGINS_MAX_BYTES 2048

struct asset {
	char name[ASSET_NAME_MAX + 1];
	char content_type[64];
	char etag[36]; // with its quotes
	const char *plain, *gzip; // inside the pack
	size_t plain_bytes, gzip_bytes;
};

struct assets {
	struct asset items[ASSETS_MAX];
	size_t count;
	char consoles[ASSETS_ORIGINS_MAX_BYTES]; // addresses besides the server's own, with a blank before each
	char policy[ASSETS_ORIGINS_MAX_BYTES + 512]; // Content-Security-Policy
};

// The pack must outlive assets.
bool assets_parse(struct assets *assets, const char *pack, size_t pack_bytes, struct error *error) must_check;
// Lets the page connect to this address, too: wss://<host>:<port>, with a path or without.
bool assets_allow_console(struct assets *assets, const char *url, struct error *error) must_check;
const struct asset *assets_find(const struct assets *assets, const char *name);

http_handler assets_page;  // every path of the page itself: index.html
http_handler assets_file;  // /assets/{name}
