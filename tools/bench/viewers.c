#include "tools/bench/viewers.h"

#include "common/clock.h"
#include "tools/bench/wire.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define IN_BYTES ((size_t)32768)
#define STEP_TIMEOUT_MS 20000
#define TAKES_MAX 100
#define SETTLE_MS 700 // changes of a quarter of a second are told together: each is to be alone

static const char CHANGE_SQL[] =
	"with c as (update device_state set cpu_pct = $2::real, changed_at = now() where device = $1"
	" returning 1) select pg_notify('muster_state', '') from c";

struct viewers {
	const struct viewers_options *options;
	struct wire *wires;
	struct pollfd *watched;
	size_t count;
};

static double now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void watch(struct viewers *viewers, size_t i)
{
	const struct wire *wire = &viewers->wires[i];
	viewers->watched[i] =
		(struct pollfd){.fd = wire->fd, .events = (short)(POLLIN | (wire->wants_out ? POLLOUT : 0))};
}

// Whether text has come, of which all up to its end is taken.
static bool has(struct wire *wire, const char *text)
{
	size_t len_bytes = 0;
	const uint8_t *data = wire_data(wire, &len_bytes);
	const uint8_t *found = memmem(data, len_bytes, text, strlen(text));
	if (found)
		wire_take(wire, (size_t)(found - data) + strlen(text));
	else if (len_bytes > IN_BYTES / 2)
		wire_take(wire, len_bytes - strlen(text)); // of no interest
	return found;
}

// Until all of them have read text; those that have are not looked at again.
static bool await_all(struct viewers *viewers, const char *text, struct error *error)
{
	size_t missing = 0;
	int64_t deadline_ms = clock_mono_ms() + STEP_TIMEOUT_MS;
	for (size_t i = 0; i < viewers->count; i++) {
		watch(viewers, i);
		missing++;
	}
	while (missing > 0) {
		if (clock_mono_ms() > deadline_ms)
			return error_set(error, ERROR_TIMEOUT, "%zu of %zu streams did not hear of a change", missing,
					 viewers->count);
		(void)poll(viewers->watched, viewers->count, 100);
		for (size_t i = 0; i < viewers->count; i++) {
			struct wire *wire = &viewers->wires[i];
			bool more = false;
			if (viewers->watched[i].fd < 0 || !viewers->watched[i].revents)
				continue;
			if (!wire_read(wire, &more, error))
				return error_prefix(error, "stream %zu", i);
			if (!has(wire, text))
				continue;
			viewers->watched[i].fd = -1;
			missing--;
		}
	}
	return true;
}

static bool open_one(struct viewers *viewers, struct error *error)
{
	char request[256];
	struct wire *wire = &viewers->wires[viewers->count];
	const struct viewers_options *options = viewers->options;
	if (!wire_connect(wire, stage_dashboard_port(options->stage), stage_tls(options->stage),
			  stage_certificate(options->stage, 0), IN_BYTES, error))
		return false;
	while (!wire->greeted) {
		struct pollfd one = {.fd = wire->fd, .events = (short)(POLLIN | (wire->wants_out ? POLLOUT : 0))};
		if (poll(&one, 1, STEP_TIMEOUT_MS) <= 0)
			return error_set(error, ERROR_TIMEOUT, "the dashboard does not answer");
		if (!wire_greet(wire, error))
			return false;
	}
	(void)snprintf(request, sizeof(request),
		       "GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s"
		       "\r\n\r\n",
		       options->token);
	wire_put(wire, request, strlen(request));
	if (!wire_flush(wire, error))
		return false;
	viewers->count++;
	return true;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return (x > y) - (x < y);
}

static bool tell(struct viewers *viewers, struct viewers_result *out, struct error *error)
{
	double ms[TAKES_MAX];
	size_t takes = viewers->options->takes < TAKES_MAX ? viewers->options->takes : TAKES_MAX;
	for (size_t i = 0; i < takes; i++) {
		char device[32], value[24], told[64];
		(void)poll(NULL, 0, SETTLE_MS);
		(void)snprintf(device, sizeof(device), "dev-%06zu", 1 + i);
		(void)snprintf(value, sizeof(value), "%zu.5", i);
		(void)snprintf(told, sizeof(told), "\"device\" : \"%s\"", device);
		if (!PG_QUERY(stage_database(viewers->options->stage), NULL, error, CHANGE_SQL, device, value))
			return false;
		double begin_ms = now_ms();
		if (!await_all(viewers, told, error))
			return false;
		ms[i] = now_ms() - begin_ms;
	}
	qsort(ms, takes, sizeof(double), by_size);
	*out = (struct viewers_result){viewers->count, ms[takes / 2], ms[(takes - 1) * 95 / 100], ms[takes - 1]};
	return true;
}

bool viewers_run(const struct viewers_options *options, struct viewers_result *out, struct error *error)
{
	struct viewers viewers = {
		.options = options,
		.wires = calloc(options->streams, sizeof(*viewers.wires)),
		.watched = calloc(options->streams, sizeof(*viewers.watched)),
	};
	bool done = viewers.wires && viewers.watched;
	if (!done)
		error_set(error, ERROR_FAILED, "out of memory");
	for (size_t i = 0; done && i < options->streams; i++)
		done = open_one(&viewers, error);
	// Those that come within a quarter of a second are greeted together.
	done = done && (await_all(&viewers, "event: ready", error) || error_prefix(error, "opening the streams"));
	done = done && tell(&viewers, out, error);
	for (size_t i = 0; viewers.wires && i < options->streams; i++) {
		if (viewers.wires[i].in)
			wire_close(&viewers.wires[i]);
	}
	free(viewers.wires);
	free(viewers.watched);
	return done;
}
