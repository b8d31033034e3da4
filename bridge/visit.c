#include "bridge/visit.h"

#include "bridge/server.h"

static void report(struct server *server, struct http_request *request, const char *device, enum topic_kind kind)
{
	contacts_seen(server->contacts, device, true);
	relay_take(server->relay, request, device, kind);
}

static void on_heartbeat(struct http_request *request, const char *device, void *user)
{
	report(user, request, device, TOPIC_TELEMETRY);
}

static void on_event(struct http_request *request, const char *device, void *user)
{
	report(user, request, device, TOPIC_EVENT);
}

static void on_action_result(struct http_request *request, const char *device, void *user)
{
	report(user, request, device, TOPIC_RESULT);
}

static void on_commands(struct http_request *request, const char *device, void *user)
{
	struct server *server = user;

	contacts_seen(server->contacts, device, false);
	poll_take(server->poll, request, device);
}

void visit_heartbeat(struct http_request *request, void *user)
{
	struct server *server = user;

	credentials_check(server->credentials, request, on_heartbeat, server);
}

void visit_event(struct http_request *request, void *user)
{
	struct server *server = user;

	credentials_check(server->credentials, request, on_event, server);
}

void visit_action_result(struct http_request *request, void *user)
{
	struct server *server = user;

	credentials_check(server->credentials, request, on_action_result, server);
}

void visit_commands(struct http_request *request, void *user)
{
	struct server *server = user;

	credentials_check(server->credentials, request, on_commands, server);
}
