#include "dashboard/health.h"

#include "dashboard/api.h"

#define METRICS_MAX_BYTES ((size_t)1024 * 1024)

void health_live(struct http_request *request, void *user)
{
	api_reply_text(request, 200, "{\"status\":\"ok\"}");
}

void health_ready(struct http_request *request, void *user)
{
	if (api_query_again(user, request, NULL, "select 1", 0, NULL))
		api_reply_text(request, 200, "{\"status\":\"ready\"}");
}

void health_metrics(struct http_request *request, void *user)
{
	const struct dashboard *dashboard = user;
	auto_buf struct buf text;

	buf_init(&text, METRICS_MAX_BYTES);
	metrics_write(dashboard->metrics, &text);
	http_reply(request, 200, "text/plain; version=0.0.4", buf_str(&text), text.len_bytes);
}
