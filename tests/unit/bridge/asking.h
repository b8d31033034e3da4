// For what answers HTTP requests from the database: a PostgreSQL with the schema, a worker, an HTTP server whose only
// handler is the test's, and a client, all turned by one loop.
#pragma once

#include "bridge/worker.h"
#include "common/clock.h"
#include "common/http.h"
#include "common/metrics.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/postgres.h"
#include "tests/unit/support/schema.h"

static struct scratch *scratch;
static struct postgres postgres;
static struct pg *admin;
static struct loop *loop;
static struct metrics *metrics;
static struct worker *worker;
static struct http_server *server;
static http_handler *handler; // of every request
static size_t notified[2], connected;

#define UNTIL(condition)                                                                                               \
	do {                                                                                                           \
		int64_t until_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;                                              \
		struct error turn_error = {0};                                                                         \
		while (!(condition)) {                                                                                 \
			if (clock_mono_ms() > until_ms)                                                                \
				fail_msg("never came: %s", #condition);                                                \
			if (!loop_run_once(loop, 5, &turn_error))                                                      \
				fail_msg("%s", turn_error.what);                                                       \
		}                                                                                                      \
	} while (0)

static inline void on_request(struct http_request *request, void *user)
{
	handler(request, user);
}

static inline void on_notified(size_t channel, void *user)
{
	notified[channel]++;
}

static inline void on_connected(void *user)
{
	connected++;
}

static inline void sql(const char *text)
{
	struct error error = {0};
	if (!pg_exec(admin, text, &error))
		fail_msg("%s: %s", text, error.what);
}

// Loop and server, in a folder of its own.
static inline bool asking_open(void)
{
	static const struct http_route routes[] = {{"GET", "/x", on_request, 0}, {"POST", "/x", on_request, 0}};
	static const struct http_options http = {
		.address = "127.0.0.1", .routes = routes, .route_count = 2, .body_max_bytes = 65536};
	struct error error = {0};
	return scratch_setup((void **)&scratch) == 0 && (loop = loop_new(&error)) && (metrics = metrics_new()) &&
	       (server = http_server_new(loop, &http, &error));
}

static inline void asking_close(void)
{
	http_server_free(server);
	loop_free(loop);
	metrics_free(metrics);
}

static inline int asking_setup(void **state)
{
	static const char *const channels[] = {"muster_command", "muster_revocation", NULL};
	struct error error = {0};
	char conninfo[160];
	if (!asking_open() || !postgres_init(&postgres, scratch->folder))
		return -1;
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d dbname=postgres user=muster", postgres.port);
	admin = pg_new(conninfo, "test", &error);
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (!pg_ready(admin, &error) && clock_mono_ms() < deadline_ms)
		process_pause();
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d dbname=postgres user=muster_bridge",
		       postgres.port);
	const struct worker_options options = {.conninfo = conninfo,
					       .application_name = "test-worker",
					       .channels = channels,
					       .notified = on_notified,
					       .connected = on_connected};
	if (!schema_init(admin, &error) || !(worker = worker_new(loop, &options, &error))) {
		(void)fprintf(stderr, "%s\n", error.what);
		return -1;
	}
	return 0;
}

static inline int asking_teardown(void **state)
{
	worker_free(worker);
	asking_close();
	pg_free(admin);
	postgres_stop(&postgres);
	return scratch_teardown((void **)&scratch);
}

// ---- whatever was submitted so far is done ----

static inline bool fence_run(struct worker_job *job, struct pg *pg, struct error *error)
{
	return true;
}

static inline void fence_done(struct worker_job *job, bool ok, const struct error *error)
{
	job->next = job;
}

static inline void settle(void)
{
	struct worker_job fence = {.run = fence_run, .done = fence_done};
	assert_true(worker_submit(worker, &fence));
	UNTIL(fence.next == &fence);
}

// ---- a client ----

struct client {
	int fd;
	char text[4096]; // what came
	size_t len;
};

static inline struct client client_ask(const char *method, const char *query, const char *headers, const char *body)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons((uint16_t)http_server_port(server)),
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct client client = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
	char text[2048];
	int len = snprintf(text, sizeof(text), "%s /x%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %zu\r\n\r\n%s", method,
			   query, headers, strlen(body), body);
	assert_int_equal(connect(client.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(send(client.fd, text, (size_t)len, 0), len);
	return client;
}

static inline bool client_answered(struct client *client)
{
	ssize_t got =
		recv(client->fd, client->text + client->len, sizeof(client->text) - 1 - client->len, MSG_DONTWAIT);
	if (got > 0)
		client->len += (size_t)got;
	client->text[client->len] = '\0';
	const char *end = strstr(client->text, "\r\n\r\n");
	const char *length = strstr(client->text, "Content-Length: ");
	return end && length && strlen(end + 4) >= strtoul(length + 16, NULL, 10);
}

// Waits for the answer, closes; the status.
static inline int client_status(struct client *client)
{
	UNTIL(client_answered(client));
	(void)close(client->fd);
	return atoi(client->text + 9);
}
