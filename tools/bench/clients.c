#include "tools/bench/clients.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

#define IN_BYTES ((size_t)16 * 1024)
#define EVENTS_MAX 512
#define SAMPLES_MAX ((size_t)1 << 21)
#define CONNECT_TIMEOUT_MS 60000
#define ANSWER_TIMEOUT_MS 30000
#define OPENING_MAX 100

struct client {
	struct wire wire;
	bool watched_out;
	bool opened, busy;
	int64_t number, due_ns; // of the request under way
	struct client *next;	// that has nothing to do
};

struct clients {
	struct clients_options options;
	struct client *all, *idle;
	int epoll;
	size_t ready, busy;
	const struct clients_phase *phase;
	struct clients_result result;
	int64_t next;	// request
	bool exhausted; // there are no more
	float *samples; // ms
	size_t sample_count;
	struct error failure;
};

static int64_t now_ns(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static bool flush(struct clients *clients, struct client *client)
{
	if (!wire_flush(&client->wire, &clients->failure))
		return false;
	if (client->wire.wants_out == client->watched_out)
		return true;
	struct epoll_event event = {.events = EPOLLIN | (client->wire.wants_out ? EPOLLOUT : 0U), .data.ptr = client};
	client->watched_out = client->wire.wants_out;
	return epoll_ctl(clients->epoll, EPOLL_CTL_MOD, client->wire.fd, &event) == 0 ||
	       error_errno(&clients->failure, errno, "epoll");
}

static void rest(struct clients *clients, struct client *client)
{
	client->busy = false;
	client->next = clients->idle;
	clients->idle = client;
}

// ---- asking ----

static bool ask(struct clients *clients, struct client *client, int64_t due_ns)
{
	char text[CLIENTS_REQUEST_BYTES];
	const struct clients_phase *phase = clients->phase;
	size_t len_bytes = phase->request(phase->user, clients->next, text, sizeof(text));
	if (len_bytes == 0) {
		clients->exhausted = true;
		rest(clients, client);
		return true;
	}
	client->number = clients->next++;
	client->due_ns = due_ns;
	client->busy = true;
	clients->busy++;
	wire_put(&client->wire, text, len_bytes);
	return flush(clients, client);
}

// ---- answers ----

// The length of the whole answer, 0 while it is not there.
static size_t answer_bytes(const char *data, size_t len_bytes, int *status, size_t *body_bytes)
{
	static const char name[] = "Content-Length: ";
	const char *end = memmem(data, len_bytes, "\r\n\r\n", 4);
	if (!end || len_bytes < 12)
		return 0;
	const char *length = memmem(data, (size_t)(end - data), name, sizeof(name) - 1);
	*status = (int)strtol(data + 9, NULL, 10);
	*body_bytes = length ? strtoul(length + sizeof(name) - 1, NULL, 10) : 0;
	size_t total_bytes = (size_t)(end - data) + 4 + *body_bytes;
	return total_bytes <= len_bytes ? total_bytes : 0;
}

static bool take_answer(struct clients *clients, struct client *client)
{
	size_t len_bytes;
	int status = 0;
	size_t body_bytes = 0;
	const char *data = (const char *)wire_data(&client->wire, &len_bytes);
	size_t total_bytes = client->busy ? answer_bytes(data, len_bytes, &status, &body_bytes) : 0;
	const struct clients_phase *phase = clients->phase;
	if (total_bytes == 0)
		return true;
	int64_t at_ns = now_ns();
	if (status >= 200 && status < 300) {
		clients->result.answered++;
		if (clients->sample_count < SAMPLES_MAX)
			clients->samples[clients->sample_count++] = (float)((double)(at_ns - client->due_ns) / 1e6);
	} else {
		clients->result.refused++;
		clients->result.refusal = status;
	}
	if (phase->answer)
		phase->answer(phase->user, client->number, status, data + total_bytes - body_bytes, body_bytes);
	wire_take(&client->wire, total_bytes);
	clients->busy--;
	if (phase->rate == 0 && !clients->exhausted)
		return ask(clients, client, at_ns);
	rest(clients, client);
	return true;
}

static bool serve(struct clients *clients, struct client *client, uint32_t events)
{
	if (!client->wire.greeted) {
		if (!wire_greet(&client->wire, &clients->failure))
			return false;
		if (client->wire.greeted) {
			clients->ready++;
			rest(clients, client);
		}
	}
	bool more = client->wire.greeted && (events & (EPOLLIN | EPOLLHUP | EPOLLERR));
	while (more) {
		if (!wire_read(&client->wire, &more, &clients->failure) || !take_answer(clients, client))
			return false;
	}
	return flush(clients, client);
}

static bool turn(struct clients *clients, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	int count = epoll_wait(clients->epoll, events, EVENTS_MAX, timeout_ms);
	if (count < 0 && errno != EINTR)
		return error_errno(&clients->failure, errno, "epoll");
	for (int i = 0; i < count; i++)
		if (!serve(clients, events[i].data.ptr, events[i].events))
			return false;
	return true;
}

// ---- connecting ----

static bool open_one(struct clients *clients, struct client *client)
{
	client->opened = true;
	if (!wire_connect(&client->wire, clients->options.port, clients->options.tls, NULL, IN_BYTES,
			  &clients->failure))
		return false;
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = client};
	client->watched_out = true;
	return epoll_ctl(clients->epoll, EPOLL_CTL_ADD, client->wire.fd, &event) == 0 ||
	       error_errno(&clients->failure, errno, "epoll");
}

static bool open_all(struct clients *clients)
{
	int64_t deadline_ns = now_ns() + CONNECT_TIMEOUT_MS * INT64_C(1000000);
	size_t opened = 0;
	while (clients->ready < clients->options.connections) {
		while (opened < clients->options.connections && opened - clients->ready < OPENING_MAX)
			if (!open_one(clients, &clients->all[opened++]))
				return false;
		if (!turn(clients, 100))
			return false;
		if (now_ns() > deadline_ns)
			return error_set(&clients->failure, ERROR_TIMEOUT, "%zu of %zu connections within %d s",
					 clients->ready, clients->options.connections, CONNECT_TIMEOUT_MS / 1000);
	}
	return true;
}

struct clients *clients_new(const struct clients_options *options, struct error *error)
{
	struct clients *clients cleanup(clients_free_cleanup) = calloc(1, sizeof(*clients));
	if (clients) {
		clients->options = *options;
		clients->epoll = epoll_create1(EPOLL_CLOEXEC);
		clients->all = calloc(options->connections, sizeof(*clients->all));
		clients->samples = malloc(SAMPLES_MAX * sizeof(*clients->samples));
	}
	if (!clients || clients->epoll < 0 || !clients->all || !clients->samples) {
		error_errno(error, ENOMEM, "cannot make the clients");
		return NULL;
	}
	if (open_all(clients))
		return steal(clients);
	if (error)
		*error = clients->failure;
	return NULL;
}

void clients_free(struct clients *clients)
{
	if (!clients)
		return;
	for (size_t i = 0; clients->all && i < clients->options.connections; i++)
		if (clients->all[i].opened)
			wire_close(&clients->all[i].wire);
	if (clients->epoll >= 0)
		(void)close(clients->epoll);
	free(clients->all);
	free(clients->samples);
	free(clients);
}

// ---- phases ----

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a;
	float y = *(const float *)b;
	return (x > y) - (x < y);
}

static void summarize(struct clients *clients)
{
	struct load_latency *latency = &clients->result.latency;
	size_t count = clients->sample_count;
	if (count == 0)
		return;
	qsort(clients->samples, count, sizeof(*clients->samples), by_value);
	*latency = (struct load_latency){
		.samples = (int64_t)count,
		.p50_ms = clients->samples[count / 2],
		.p95_ms = clients->samples[count * 95 / 100],
		.p99_ms = clients->samples[count * 99 / 100],
		.max_ms = clients->samples[count - 1],
	};
}

static struct client *take_idle(struct clients *clients)
{
	struct client *client = clients->idle;
	clients->idle = client->next;
	return client;
}

// Asks what is due; a request that finds no free connection is measured from when it was due all the same.
static bool push(struct clients *clients, int64_t start_ns, int64_t end_ns)
{
	double rate = clients->phase->rate;
	int64_t now = now_ns();
	while (clients->idle && !clients->exhausted && (end_ns == 0 || now < end_ns)) {
		int64_t due_ns = rate > 0 ? start_ns + (int64_t)((double)clients->next * 1e9 / rate) : now;
		if (due_ns > now)
			break;
		if (!ask(clients, take_idle(clients), due_ns))
			return false;
	}
	return true;
}

bool clients_run(struct clients *clients, const struct clients_phase *phase, struct clients_result *out,
		 struct error *error)
{
	int64_t start_ns = now_ns();
	int64_t end_ns = phase->duration_ms ? start_ns + phase->duration_ms * 1000000 : 0;
	int64_t progress_ns = start_ns;
	clients->phase = phase;
	clients->result = (struct clients_result){0};
	clients->next = 0;
	clients->exhausted = false;
	clients->sample_count = 0;
	bool ok = true;
	while (ok) {
		int64_t now = now_ns();
		if (end_ns && now >= end_ns)
			clients->exhausted = true;
		if (clients->exhausted && clients->busy == 0)
			break;
		int64_t before = clients->result.answered + clients->result.refused;
		ok = push(clients, start_ns, end_ns) && turn(clients, phase->rate > 0 ? 1 : 100);
		if (clients->result.answered + clients->result.refused != before)
			progress_ns = now;
		if (ok && now - progress_ns > ANSWER_TIMEOUT_MS * INT64_C(1000000))
			ok = error_set(&clients->failure, ERROR_TIMEOUT, "no answer within %d s",
				       ANSWER_TIMEOUT_MS / 1000);
	}
	clients->result.elapsed_s = (double)(now_ns() - start_ns) / 1e9;
	summarize(clients);
	*out = clients->result;
	if (!ok && error)
		*error = clients->failure;
	return ok;
}
