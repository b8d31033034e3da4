#include "bridge/health.h"

#include "bridge/server.h"
#include "common/clock.h"

#include <arpa/inet.h>

#define METRICS_MAX_BYTES (1024UL * 1024)

bool health_is_loopback(const char *address)
{
	struct in_addr four;
	struct in6_addr six;

	if (inet_pton(AF_INET, address, &four) == 1)
		return ntohl(four.s_addr) >> 24 == 127;
	if (inet_pton(AF_INET6, address, &six) != 1)
		return false;
	return IN6_IS_ADDR_LOOPBACK(&six) || (IN6_IS_ADDR_V4MAPPED(&six) && six.s6_addr[12] == 127);
}

static void answer(struct server *server, struct http_request *request, bool ok, int status)
{
	struct json *json = json_new_object();

	bool ready = link_ready(server->link), broker = ready && !link_trouble(server->link);

	json_set_string(json, "status", ok && broker ? "ok" : "degraded");
	json_set_string(json, "database", ok ? "ok" : "unreachable");
	json_set_string(json, "broker", broker ? "ok" : ready ? "silent" : "unreachable");
	json_set_string(json, "version", MUSTER_VERSION);
	json_set_int(json, "uptime_s", (clock_mono_ms() - server->started_ms) / 1000);
	http_reply_json(request, status, json);
}

// Alive is alive: restarting the bridge does not bring a database back, so this stays 200.
void health_handle(struct http_request *request, void *user)
{
	answer(user, request, server_database_ok(user), 200);
}

void health_handle_ready(struct http_request *request, void *user)
{
	bool ok = server_database_ok(user);

	answer(user, request, ok, ok ? 200 : 503);
}

void health_handle_metrics(struct http_request *request, void *user)
{
	struct server *server = user;
	auto_buf struct buf text;

	buf_init(&text, METRICS_MAX_BYTES);
	if (!health_is_loopback(http_peer(request))) {
		http_reply_problem(request, 403, "metrics are for programs on this machine; ask over 127.0.0.1");
		return;
	}
	metrics_write(server->metrics, &text);
	http_reply(request, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&text), text.len_bytes);
}
