#include "dashboard/quota.h"

#include "common/clock.h"
#include "common/http_peer.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WINDOW_MS INT64_C(60000)
#define PERSON_BURST 10 // minutes

static bool take(struct dashboard *dashboard, struct http_request *request, const char *key, const char *policy,
		 long per_min, int64_t burst_min)
{
	const struct throttle_rate rate = {per_min, WINDOW_MS, per_min * burst_min};
	struct throttle_state state;
	char text[128];

	if (per_min == 0)
		return true;
	bool taken = throttle_take(dashboard->throttle, key, &rate, clock_mono_ms(), &state);

	// draft-ietf-httpapi-ratelimit-headers
	(void)snprintf(text, sizeof(text), "\"%s\";q=%" PRId64 ";w=%" PRId64, policy, rate.burst,
		       burst_min * WINDOW_MS / 1000);
	http_reply_header(request, "RateLimit-Policy", text);
	(void)snprintf(text, sizeof(text), "\"%s\";r=%" PRId64 ";t=%" PRId64, policy, state.remaining,
		       (state.full_ms + 999) / 1000);
	http_reply_header(request, "RateLimit", text);
	if (taken)
		return true;
	metric_add(metrics_counter(dashboard->metrics, "muster_http_limited_total", NULL,
				   "Requests over the limit of who asked."),
		   1);
	(void)snprintf(text, sizeof(text), "%" PRId64, (state.retry_ms + 999) / 1000);
	http_reply_header(request, "Retry-After", text);
	(void)snprintf(text, sizeof(text), "More than %ld requests a minute: try again in %" PRId64 " s.", per_min,
		       (state.retry_ms + 999) / 1000);
	http_reply_problem(request, 429, text);
	return false;
}

bool quota_take(struct dashboard *dashboard, struct http_request *request, const struct auth *auth)
{
	bool admin = auth->role == ROLE_ADMINISTRATOR;
	char key[SHA256_HEX_BYTES + 8];

	// A person by name, so that more sessions are no more requests.
	(void)snprintf(key, sizeof(key), "%s:%s", auth->by_cookie ? "user" : "key",
		       auth->by_cookie ? auth->user : auth->token_hash);
	return take(dashboard, request, key, admin ? "admin" : "general",
		    admin ? dashboard->config.limit_admin_per_min : dashboard->config.limit_general_per_min,
		    auth->by_cookie ? PERSON_BURST : 1);
}

bool quota_take_address(struct dashboard *dashboard, struct http_request *request)
{
	bool admin = http_route_tag(request) == ACCESS_SIGNED;
	char address[HTTP_PEER_BYTES], key[HTTP_PEER_BYTES + 16];

	http_peer_network(http_peer(request), address);
	(void)snprintf(key, sizeof(key), "%s:%s", admin ? "signed" : "address", address);
	return take(dashboard, request, key, admin ? "admin" : "general",
		    admin ? dashboard->config.limit_admin_per_min : dashboard->config.limit_general_per_min, 1);
}

void quota_after(struct dashboard *dashboard, const struct http_request *request, int status)
{
	const char *route = http_route_pattern(request), *method = http_route_method(request);
	bool written = dashboard->audited == request;
	char labels[160];

	dashboard->audited = NULL;
	if (!route || status >= 300 || strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0 ||
	    (http_route_tag(request) & ROUTE_CHANGES_NOTHING))
		return;
	(void)snprintf(labels, sizeof(labels), "method=\"%s\",route=\"%s\",audited=\"%s\"", method, route,
		       written ? "yes" : "no");
	metric_add(metrics_counter(dashboard->metrics, "muster_http_changes_total", labels,
				   "Changes asked for and done, and whether a row of the audit says so."),
		   1);
}
