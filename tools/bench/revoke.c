#include "tools/bench/revoke.h"

#include "common/clock.h"
#include "tools/args.h"
#include "tools/bench/load.h"
#include "tools/bench/machine.h"
#include "tools/bench/packet.h"
#include "tools/bench/stage.h"
#include "tools/cmd_bench.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DEVICES_MAX 20000
#define IN_BYTES ((size_t)2048)
#define STEP_TIMEOUT_MS 30000
#define AGAIN 20 // revoked devices that try to come back

static const char sql_one[] = "select revoke_device($1, 'bench', 'bench')";
static const char sql_rest[] = "select count(revoke_device(device, 'bench', 'bench')) from device where enabled";
static const char sql_effects[] = "select count(*), percentile_cont(0.5) within group (order by seconds) * 1000,"
				  " percentile_cont(0.99) within group (order by seconds) * 1000, max(seconds) * 1000"
				  " from revocation_effect";

struct bench {
	struct stage *stage;
	struct wire *wires; // by device
	size_t devices, singly;
	double *cut_ms; // of those revoked one by one
	double together_ms; // until the last of the others was cut
	size_t refused; // of those that tried again
	bool json;
};

static double now_ms(void)
{
	struct timespec now;
	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void name_of(size_t number, char out[LOAD_DEVICE_BYTES])
{
	(void)snprintf(out, LOAD_DEVICE_BYTES, LOAD_DEVICE_FORMAT, number);
}

static bool wait_wire(const struct wire *wire, struct error *error)
{
	struct pollfd watched = {.fd = wire->fd, .events = (short)(POLLIN | (wire->wants_out ? POLLOUT : 0))};
	return poll(&watched, 1, STEP_TIMEOUT_MS) > 0 || error_set(error, ERROR_TIMEOUT, "the broker does not answer");
}

// The reason of its CONNACK, -1 when it got none.
static int log_in(struct bench *bench, size_t number, struct wire *wire, struct error *error)
{
	uint8_t connect[PACKET_MAX_BYTES];
	char name[LOAD_DEVICE_BYTES];
	struct packet packet;
	bool broken = false;
	bool more = false;
	name_of(number, name);
	if (!wire_connect(wire, stage_device_port(bench->stage, true), stage_tls(bench->stage),
			  stage_certificate(bench->stage, number), IN_BYTES, error))
		return -1;
	while (!wire->greeted) {
		if (!wait_wire(wire, error) || !wire_greet(wire, error))
			return -1;
	}
	wire_put(wire, connect, packet_connect(connect, name, name, 100));
	for (;;) {
		size_t len_bytes = 0;
		const uint8_t *data = NULL;
		if (!wire_flush(wire, error) || !wait_wire(wire, error) || !wire_read(wire, &more, error))
			return -1;
		data = wire_data(wire, &len_bytes);
		if (packet_next(data, len_bytes, &packet, &broken)) {
			int reason = packet.type == PACKET_CONNACK ? packet_reason(&packet) : -1;
			wire_take(wire, packet.total_bytes);
			return reason;
		}
	}
}

static bool connect_all(struct bench *bench, struct error *error)
{
	for (size_t i = 0; i < bench->devices; i++) {
		int reason = log_in(bench, i, &bench->wires[i], error);
		if (reason > 0)
			return error_set(error, ERROR_DENIED, "the broker refused device %zu: reason 0x%02x", i,
					 (unsigned)reason);
		if (reason < 0)
			return error_prefix(error, "connecting device %zu", i);
	}
	return true;
}

// Until the broker has ended the connection.
static bool wait_cut(struct wire *wire, struct error *error)
{
	struct error end = {0};
	bool more = false;
	for (;;) {
		size_t len_bytes = 0;
		if (!wait_wire(wire, error))
			return error_prefix(error, "a revoked device still has its session");
		if (!wire_read(wire, &more, &end))
			return true;
		(void)wire_data(wire, &len_bytes);
		wire_take(wire, len_bytes); // DISCONNECT
	}
}

static bool revoke_singly(struct bench *bench, struct error *error)
{
	for (size_t i = 0; i < bench->singly; i++) {
		char name[LOAD_DEVICE_BYTES];
		double begin_ms = now_ms();
		name_of(i, name);
		if (!PG_QUERY(stage_database(bench->stage), NULL, error, sql_one, name) ||
		    !wait_cut(&bench->wires[i], error))
			return false;
		bench->cut_ms[i] = now_ms() - begin_ms;
	}
	return true;
}

static bool revoke_rest(struct bench *bench, struct error *error)
{
	double begin_ms = now_ms();
	if (!pg_query(stage_database(bench->stage), NULL, error, sql_rest, 0, NULL))
		return false;
	for (size_t i = bench->singly; i < bench->devices; i++) {
		if (!wait_cut(&bench->wires[i], error))
			return false;
	}
	bench->together_ms = now_ms() - begin_ms;
	return true;
}

static bool try_again(struct bench *bench, struct error *error)
{
	for (size_t i = 0; i < AGAIN && i < bench->devices; i++) {
		struct wire wire = {.fd = -1};
		int reason = log_in(bench, i * (bench->devices / AGAIN), &wire, error);
		wire_close(&wire);
		if (reason == 0)
			return error_set(error, ERROR_FAILED, "a revoked device was let in again");
		bench->refused += reason > 0;
	}
	return true;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;
	return (x > y) - (x < y);
}

static double percentile(const struct bench *bench, double share)
{
	size_t at = (size_t)((double)bench->singly * share);
	return bench->cut_ms[at < bench->singly ? at : bench->singly - 1];
}

static bool report(struct bench *bench, struct error *error)
{
	auto_pg_result struct pg_result *rows = NULL;
	qsort(bench->cut_ms, bench->singly, sizeof(double), by_size);
	if (!pg_query(stage_database(bench->stage), &rows, error, sql_effects, 0, NULL))
		return false;
	if (!bench->json) {
		(void)printf("%zu devices connected by mTLS; %zu revoked one by one, %zu at once\n", bench->devices,
			     bench->singly, bench->devices - bench->singly);
		(void)printf("request to cut, as the device sees it: p50 %.1f ms, p99 %.1f ms, max %.1f ms\n",
			     percentile(bench, 0.5), percentile(bench, 0.99), bench->cut_ms[bench->singly - 1]);
		(void)printf("all at once, until the last was cut: %.1f ms\n", bench->together_ms);
		(void)printf("as commander has recorded it (%s effects): p50 %.1f ms, p99 %.1f ms, max %.1f ms\n",
			     pg_text(rows, 0, 0), strtod(pg_text(rows, 0, 1), NULL), strtod(pg_text(rows, 0, 2), NULL),
			     strtod(pg_text(rows, 0, 3), NULL));
		(void)printf("came back with a revoked certificate: 0; refused in so many words: %zu of %d\n",
			     bench->refused, AGAIN);
		return true;
	}
	auto_json struct json *json = json_new_object();
	json_set(json, "machine", machine_describe());
	json_set_int(json, "devices", (int64_t)bench->devices);
	json_set_int(json, "revoked_singly", (int64_t)bench->singly);
	json_set_double(json, "cut_p50_ms", percentile(bench, 0.5));
	json_set_double(json, "cut_p99_ms", percentile(bench, 0.99));
	json_set_double(json, "cut_max_ms", bench->cut_ms[bench->singly - 1]);
	json_set_double(json, "together_ms", bench->together_ms);
	json_set_int(json, "effects", pg_int(rows, 0, 0));
	json_set_int(json, "refused", (int64_t)bench->refused);
	(void)printf("%s\n", json_text(json));
	return true;
}

static bool measure(struct bench *bench, struct error *error)
{
	(void)fprintf(stderr, "%zu devices ...\n", bench->devices);
	return stage_broker_start(bench->stage, true, error) && stage_commander_start(bench->stage, NULL, error) &&
	       connect_all(bench, error) && revoke_singly(bench, error) && revoke_rest(bench, error) &&
	       try_again(bench, error) && report(bench, error);
}

static void bench_done(struct bench *bench)
{
	for (size_t i = 0; bench->wires && i < bench->devices; i++)
		wire_close(&bench->wires[i]);
	free(bench->wires);
	free(bench->cut_ms);
	stage_free(bench->stage);
}

static bool run(const struct args *args, long devices, struct error *error)
{
	const struct stage_options stage = {.devices = (size_t)devices, .ingests = 1, .tls = true};
	struct bench bench cleanup(bench_done) = {.devices = (size_t)devices, .json = args_has(args, "json")};
	bench.singly = bench.devices - bench.devices / 10;
	bench.wires = calloc(bench.devices, sizeof(*bench.wires));
	bench.cut_ms = calloc(bench.devices, sizeof(double));
	if (!bench.wires || !bench.cut_ms)
		return error_set(error, ERROR_FAILED, "no memory for %ld devices", devices);
	for (size_t i = 0; i < bench.devices; i++)
		bench.wires[i].fd = -1;
	bench.stage = stage_new(&stage, error);
	return bench.stage && measure(&bench, error);
}

int revoke_main(int argc, char **argv)
{
	struct error error = {0};
	struct args args = {0};
	const struct args_option *const tables[] = {bench_revoke_options};
	long devices = 0;
	if (!args_parse(&args, tables, 1, argc, argv, &error) ||
	    !args_int(&args, "devices", AGAIN, DEVICES_MAX, 1000, &devices, &error)) {
		(void)fprintf(stderr, "muster-bench: %s\n  next: muster bench revoke --help\n", error.what);
		return 2;
	}
	if (run(&args, devices, &error))
		return EXIT_SUCCESS;
	(void)fprintf(stderr, "muster-bench: %s\n", error.what);
	return EXIT_FAILURE;
}
