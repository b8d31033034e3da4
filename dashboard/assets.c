#include "dashboard/assets.h"

#include "common/crypto.h"
#include "common/http_parse.h"
#include "dashboard/dashboard.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_MAX_BYTES 256
#define PAGE "index.html"
#define HOST_MAX 200
// Names of files in /assets hold a hash of their content, so they never change; the page itself is asked for anew.
#define CACHE_FOR_EVER "public, max-age=31536000, immutable"
#define CACHE_ASK_AGAIN "no-cache"
#define CONTENT_SECURITY_POLICY \
	"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'%s; " \
	"base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// "name type plain gzip\n"; returns the length of the line, 0 when it is malformed.
static size_t parse_header(struct asset *asset, const char *pack, size_t left_bytes)
{
	char line[HEADER_MAX_BYTES], name[HEADER_MAX_BYTES], type[HEADER_MAX_BYTES], rest[2];
	const char *end = memchr(pack, '\n', left_bytes < sizeof(line) ? left_bytes : sizeof(line) - 1);

	if (!end)
		return 0;
	size_t length = (size_t)(end - pack);

	memcpy(line, pack, length);
	line[length] = '\0';

	char *plain = NULL, *gzip = NULL, *after = NULL;

	if (sscanf(line, "%255s %255s %m[0-9] %m[0-9]%1s", name, type, &plain, &gzip, rest) == 4 &&
	    strlen(name) < sizeof(asset->name) && strlen(type) < sizeof(asset->content_type)) {
		memcpy(asset->name, name, strlen(name) + 1);
		memcpy(asset->content_type, type, strlen(type) + 1);
		asset->plain_bytes = strtoull(plain, &after, 10);
		asset->gzip_bytes = strtoull(gzip, &after, 10);
	} else {
		length = 0;
	}
	free(plain);
	free(gzip);
	return length ? length + 1 : 0;
}

static void set_policy(struct assets *assets)
{
	(void)snprintf(assets->policy, sizeof(assets->policy), CONTENT_SECURITY_POLICY, assets->consoles);
}

bool assets_parse(struct assets *assets, const char *pack, size_t pack_bytes, struct error *error)
{
	struct assets parsed = {.count = 0};
	size_t at = 0;

	while (at < pack_bytes && pack[at] != '\n') {
		if (parsed.count == ASSETS_MAX)
			return error_set(error, ERROR_LIMIT, "the page has more than %d files", ASSETS_MAX);
		struct asset *asset = &parsed.items[parsed.count++];
		size_t header_bytes = parse_header(asset, pack + at, pack_bytes - at);

		if (header_bytes == 0)
			return error_set(error, ERROR_INVALID, "malformed header in the packed page at byte %zu", at);
		at += header_bytes;
		if (asset->plain_bytes > pack_bytes - at || asset->gzip_bytes > pack_bytes - at - asset->plain_bytes)
			return error_set(error, ERROR_INVALID, "the packed page is cut short in %s", asset->name);
		asset->plain = pack + at;
		asset->gzip = pack + at + asset->plain_bytes;
		at += asset->plain_bytes + asset->gzip_bytes;

		char hash[SHA256_HEX_BYTES];

		crypto_sha256_hex(asset->plain, asset->plain_bytes, hash);
		(void)snprintf(asset->etag, sizeof(asset->etag), "\"%.32s\"", hash);
	}
	if (!assets_find(&parsed, PAGE))
		return error_set(error, ERROR_INVALID, "the packed page has no " PAGE);
	*assets = parsed;
	set_policy(assets);
	return true;
}

// What stands in the policy is an origin alone: scheme, host and port (CSP Level 3, section 2.3.1).
bool assets_allow_console(struct assets *assets, const char *url, struct error *error)
{
	static const char scheme[] = "wss://", path[] = "/abcdefghijklmnopqrstuvwxyz";
	static const char host[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:-[]";
	bool secure = strncmp(url, scheme, sizeof(scheme) - 1) == 0;
	size_t host_bytes = secure ? strspn(url + sizeof(scheme) - 1, host) : 0;
	const char *end = url + sizeof(scheme) - 1 + host_bytes;

	if (host_bytes == 0 || host_bytes > HOST_MAX || end[strspn(end, path)] != '\0' || (*end && *end != '/'))
		return error_set(error, ERROR_INVALID, "a console's address must be wss://<host>:<port>, not %.100s",
				 url);

	size_t used = strlen(assets->consoles), origin_bytes = sizeof(scheme) - 1 + host_bytes;

	if (used + 1 + origin_bytes >= sizeof(assets->consoles))
		return error_set(error, ERROR_LIMIT, "the addresses of all consoles are longer than %d bytes",
				 ASSETS_ORIGINS_MAX_BYTES);
	(void)snprintf(assets->consoles + used, sizeof(assets->consoles) - used, " %.*s", (int)origin_bytes, url);
	set_policy(assets);
	return true;
}

const struct asset *assets_find(const struct assets *assets, const char *name)
{
	for (size_t i = 0; i < assets->count; i++) {
		if (strcmp(assets->items[i].name, name) == 0)
			return &assets->items[i];
	}
	return NULL;
}

static void reply(struct http_request *request, const struct assets *assets, const struct asset *asset,
		  const char *cache)
{
	const char *known = http_header(request, "If-None-Match");
	bool gzip = asset->gzip_bytes > 0 && http_accepts_gzip(http_header(request, "Accept-Encoding"));

	http_reply_header(request, "Cache-Control", cache);
	http_reply_header(request, "ETag", asset->etag);
	http_reply_header(request, "Vary", "Accept-Encoding");
	http_reply_header(request, "Content-Security-Policy", assets->policy);
	if (known && strstr(known, asset->etag)) {
		http_reply(request, 304, NULL, NULL, 0);
		return;
	}
	if (gzip)
		http_reply_header(request, "Content-Encoding", "gzip");
	http_reply(request, 200, asset->content_type, gzip ? asset->gzip : asset->plain,
		   gzip ? asset->gzip_bytes : asset->plain_bytes);
}

void assets_page(struct http_request *request, void *user)
{
	const struct dashboard *dashboard = user;

	reply(request, dashboard->assets, assets_find(dashboard->assets, PAGE), CACHE_ASK_AGAIN);
}

void assets_file(struct http_request *request, void *user)
{
	const struct dashboard *dashboard = user;
	const struct asset *asset = assets_find(dashboard->assets, http_param(request, "name"));

	if (!asset)
		http_reply_problem(request, 404, "There is no such file; reload the page to get the current ones.");
	else
		reply(request, dashboard->assets, asset, CACHE_FOR_EVER);
}
