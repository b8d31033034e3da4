#include "tools/bench/report.h"

#include "tools/table.h"

#include <stdio.h>

static const char *transport(const struct report_row *row)
{
	return row->options.tls ? "mtls" : "plain";
}

static double rounded(double value, double steps)
{
	return (double)(int64_t)(value * steps + 0.5) / steps;
}

static struct json *latencies(const struct uplink_result *result)
{
	struct json *all = json_new_object();
	for (int i = 0; i < UPLINK_RATES; i++) {
		const struct uplink_latency *latency = &result->latency[i];
		struct json *one = json_new_object();
		char rate[32];
		(void)snprintf(rate, sizeof(rate), "%.0f", latency->rate);
		json_set_double(one, "p50", rounded(latency->time.p50_ms, 1000));
		json_set_double(one, "p95", rounded(latency->time.p95_ms, 1000));
		json_set_double(one, "p99", rounded(latency->time.p99_ms, 1000));
		json_set_double(one, "max", rounded(latency->time.max_ms, 1000));
		json_set_int(one, "samples", latency->time.samples);
		json_set_int(one, "unanswered", latency->unanswered);
		json_set_int(one, "committed_per_s", (int64_t)latency->committed_per_s);
		json_set(all, i == UPLINK_RATES - 1 ? "80%" : rate, one);
	}
	return all;
}

static struct json *row_json(const struct report_row *row)
{
	const struct uplink_result *result = &row->result;
	struct json *json = json_new_object();
	json_set_string(json, "transport", transport(row));
	json_set_int(json, "connections", (int64_t)row->options.connections);
	json_set_int(json, "generator_per_s", (int64_t)result->generator_per_s);
	json_set_int(json, "limit_per_s", (int64_t)result->limit_per_s);
	json_set_int(json, "committed_per_s", (int64_t)result->committed_per_s);
	json_set_double(json, "ratio", rounded(result->committed_per_s / result->limit_per_s, 1000));
	json_set(json, "latency_ms", latencies(result));
	json_set_double(json, "cpu_s_per_million", rounded(result->ingest_cpu_s + result->database_cpu_s, 100));
	json_set_double(json, "ingest_cpu_s_per_million", rounded(result->ingest_cpu_s, 100));
	json_set_double(json, "database_cpu_s_per_million", rounded(result->database_cpu_s, 100));
	json_set_double(json, "broker_cpu_s_per_million", rounded(result->broker_cpu_s, 100));
	json_set_double(json, "db_bytes_per_message", rounded(result->db_bytes, 1));
	json_set_double(json, "wal_bytes_per_message", rounded(result->wal_bytes, 1));
	json_set_int(json, "messages_per_transaction", (int64_t)result->batch);
	json_set_int(json, "rss_bytes", result->rss_bytes);
	json_set_int(json, "backlog", result->backlog);
	json_set_int(json, "backlog_drained_per_s", (int64_t)result->backlog_per_s);
	json_set_int(json, "messages", result->messages);
	json_set_int(json, "rows", result->rows);
	return json;
}

struct json *report_json(const struct json *machine, const struct report_row *rows, size_t count)
{
	struct json *json = json_new_object();
	struct json *results = json_new_array();
	for (size_t i = 0; i < count; i++)
		json_append(results, row_json(&rows[i]));
	json_set(json, "machine", json_copy(machine));
	json_set(json, "results", results);
	return json;
}

static void print_throughput(const struct report_row *rows, size_t count)
{
	static const struct table_column columns[] = {
		{.name = "transport"},		   {.name = "connections", .number = true},
		{.name = "generator", .number = true}, {.name = "limit", .number = true},
		{.name = "committed", .number = true}, {.name = "ratio", .number = true},
		{.name = "cpu_s/M", .number = true},   {.name = "db_B/msg", .number = true},
		{.name = "rss_MB", .number = true},    {.name = "backlog", .number = true},
		{.name = "drained/s", .number = true},
	};
	auto_table struct table *table = table_new("results", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < count; i++) {
		const struct uplink_result *result = &rows[i].result;
		char cell[10][32];
		(void)snprintf(cell[0], sizeof(cell[0]), "%zu", rows[i].options.connections);
		(void)snprintf(cell[1], sizeof(cell[1]), "%.0f", result->generator_per_s);
		(void)snprintf(cell[2], sizeof(cell[2]), "%.0f", result->limit_per_s);
		(void)snprintf(cell[3], sizeof(cell[3]), "%.0f", result->committed_per_s);
		(void)snprintf(cell[4], sizeof(cell[4]), "%.2f", result->committed_per_s / result->limit_per_s);
		(void)snprintf(cell[5], sizeof(cell[5]), "%.1f", result->ingest_cpu_s + result->database_cpu_s);
		(void)snprintf(cell[6], sizeof(cell[6]), "%.0f", result->db_bytes);
		(void)snprintf(cell[7], sizeof(cell[7]), "%.1f", (double)result->rss_bytes / 1048576);
		(void)snprintf(cell[8], sizeof(cell[8]), "%lld", (long long)result->backlog);
		(void)snprintf(cell[9], sizeof(cell[9]), "%.0f", result->backlog_per_s);
		TABLE_ROW(table, transport(&rows[i]), cell[0], cell[1], cell[2], cell[3], cell[4], cell[5], cell[6],
			  cell[7], cell[8], cell[9]);
	}
	table_print(table, false);
}

static void print_latencies(const struct report_row *rows, size_t count)
{
	static const struct table_column columns[] = {
		{.name = "transport"},		   {.name = "connections", .number = true},
		{.name = "offered/s", .number = true}, {.name = "p50_ms", .number = true},
		{.name = "p95_ms", .number = true},    {.name = "p99_ms", .number = true},
		{.name = "max_ms", .number = true},
	};
	auto_table struct table *table = table_new("latencies", columns, sizeof(columns) / sizeof(columns[0]));
	for (size_t i = 0; i < count * UPLINK_RATES; i++) {
		const struct report_row *row = &rows[i / UPLINK_RATES];
		const struct uplink_latency *latency = &row->result.latency[i % UPLINK_RATES];
		char cell[6][32];
		(void)snprintf(cell[0], sizeof(cell[0]), "%zu", row->options.connections);
		(void)snprintf(cell[1], sizeof(cell[1]), "%.0f", latency->rate);
		(void)snprintf(cell[2], sizeof(cell[2]), "%.1f", latency->time.p50_ms);
		(void)snprintf(cell[3], sizeof(cell[3]), "%.1f", latency->time.p95_ms);
		(void)snprintf(cell[4], sizeof(cell[4]), "%.1f", latency->time.p99_ms);
		(void)snprintf(cell[5], sizeof(cell[5]), "%.1f", latency->time.max_ms);
		TABLE_ROW(table, transport(row), cell[0], cell[1], cell[2], cell[3], cell[4], cell[5]);
	}
	table_print(table, false);
}

void report_print(const struct json *machine, const struct report_row *rows, size_t count)
{
	const char *processor = "";
	const char *kernel = "";
	int64_t cores = 0;
	int64_t memory_bytes = 0;
	(void)json_member_string(machine, "processor", &processor);
	(void)json_member_string(machine, "kernel", &kernel);
	(void)json_member_int(machine, "cores", &cores);
	(void)json_member_int(machine, "memory_bytes", &memory_bytes);
	(void)printf("%s, %lld cores, %.0f GB, Linux %s; every part on this machine\n\n", processor, (long long)cores,
		     (double)memory_bytes / 1e9, kernel);
	print_throughput(rows, count);
	(void)printf("\npublish -> stored received by the device\n\n");
	print_latencies(rows, count);
}
