#include "common/metrics.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
	METRICS_MAX = 2000, // labels made from foreign input by mistake must not fill the memory
	BUCKETS = 13,
	SERIES_TEXT_MAX = 512,
};

enum type { COUNTER, GAUGE, HISTOGRAM, ANY };

static const double bucket_bounds[BUCKETS] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
					      0.25,  0.5,    1.0,   2.5,  5.0,	 10.0};

struct metric {
	enum type type;
	char *labels; // "" without
	double value; // of a histogram: the sum
	uint64_t count;
	uint64_t buckets[BUCKETS]; // observations in this bucket alone; what is written is cumulative
	struct metric *next;
};

// All the series of one name: they are written together, as the format demands.
struct family {
	enum type type;
	char *name, *help;
	struct metric *first, *last;
	struct family *next;
};

struct metrics {
	struct family *first, *last;
	size_t count;
	struct metric overflow; // counts what could not be kept apart
};

struct metrics *metrics_new(void)
{
	struct metrics *metrics = calloc(1, sizeof(*metrics));
	if (!metrics)
		abort();
	metrics->overflow.type = ANY;
	return metrics;
}

static void metric_free(struct metric *metric)
{
	if (!metric)
		return;
	free(metric->labels);
	free(metric);
}

static void family_free(struct family *family)
{
	if (!family)
		return;
	free(family->name);
	free(family->help);
	free(family);
}

void metrics_free(struct metrics *metrics)
{
	if (!metrics)
		return;
	for (struct family *family = metrics->first; family;) {
		for (struct metric *metric = family->first; metric;) {
			struct metric *next = metric->next;
			metric_free(metric);
			metric = next;
		}
		struct family *next = family->next;
		family_free(family);
		family = next;
	}
	free(metrics);
}

static struct family *family_find(const struct metrics *metrics, const char *name)
{
	for (struct family *family = metrics->first; family; family = family->next)
		if (strcmp(family->name, name) == 0)
			return family;
	return NULL;
}

static struct family *family_add(struct metrics *metrics, enum type type, const char *name, const char *help)
{
	struct family *family = calloc(1, sizeof(*family));
	if (!family)
		return NULL;
	family->type = type;
	family->name = strdup(name);
	family->help = strdup(help ? help : "");
	if (!family->name || !family->help) {
		family_free(family);
		return NULL;
	}
	if (metrics->last)
		metrics->last->next = family;
	else
		metrics->first = family;
	metrics->last = family;
	return family;
}

static struct metric *series_add(struct family *family, const char *labels)
{
	struct metric *metric = calloc(1, sizeof(*metric));
	if (!metric)
		return NULL;
	metric->type = family->type;
	metric->labels = strdup(labels);
	if (!metric->labels) {
		free(metric);
		return NULL;
	}
	if (family->last)
		family->last->next = metric;
	else
		family->first = metric;
	family->last = metric;
	return metric;
}

static struct metric *get(struct metrics *metrics, enum type type, const char *name, const char *labels,
			  const char *help)
{
	if (!labels)
		labels = "";
	struct family *family = family_find(metrics, name);
	if (family && family->type != type)
		return &metrics->overflow;
	for (struct metric *metric = family ? family->first : NULL; metric; metric = metric->next)
		if (strcmp(metric->labels, labels) == 0)
			return metric;

	if (metrics->count >= METRICS_MAX || strlen(labels) > SERIES_TEXT_MAX)
		return &metrics->overflow;
	if (!family)
		family = family_add(metrics, type, name, help);
	struct metric *metric = family ? series_add(family, labels) : NULL;
	if (!metric)
		return &metrics->overflow;
	metrics->count++;
	return metric;
}

struct metric *metrics_counter(struct metrics *metrics, const char *name, const char *labels, const char *help)
{
	return get(metrics, COUNTER, name, labels, help);
}

struct metric *metrics_gauge(struct metrics *metrics, const char *name, const char *labels, const char *help)
{
	return get(metrics, GAUGE, name, labels, help);
}

struct metric *metrics_histogram(struct metrics *metrics, const char *name, const char *labels, const char *help)
{
	return get(metrics, HISTOGRAM, name, labels, help);
}

void metric_add(struct metric *metric, double value)
{
	if (metric->type == ANY)
		metric->count++;
	else if (value > 0) // a counter never falls; NaN is not above 0 either
		metric->value += value;
}

void metric_set(struct metric *metric, double value)
{
	if (metric->type == ANY)
		metric->count++;
	else
		metric->value = value;
}

void metric_observe(struct metric *metric, double value)
{
	metric->count++;
	if (metric->type == ANY)
		return;
	metric->value += value;
	for (int i = 0; i < BUCKETS; i++) {
		if (value <= bucket_bounds[i]) {
			metric->buckets[i]++;
			return;
		}
	}
}

// ---- Text ----

static void write_value(struct buf *out, double value)
{
	char text[BUF_DOUBLE_BYTES];
	if (isnan(value))
		(void)buf_add_str(out, "NaN\n");
	else if (isinf(value))
		(void)buf_add_str(out, value > 0 ? "+Inf\n" : "-Inf\n");
	else {
		buf_format_double(text, value);
		(void)buf_addf(out, "%s\n", text);
	}
}

// "name_suffix{labels,extra} " with whatever of it there is.
static void write_series(struct buf *out, const char *name, const char *suffix, const char *labels, const char *extra)
{
	(void)buf_addf(out, "%s%s", name, suffix);
	if (*labels || *extra)
		(void)buf_addf(out, "{%s%s%s}", labels, *labels && *extra ? "," : "", extra);
	(void)buf_add_str(out, " ");
}

static void write_histogram(struct buf *out, const char *name, const struct metric *metric)
{
	uint64_t cumulated = 0;
	for (int i = 0; i < BUCKETS; i++) {
		char bound[BUF_DOUBLE_BYTES], le[BUF_DOUBLE_BYTES + 8];
		buf_format_double(bound, bucket_bounds[i]);
		(void)snprintf(le, sizeof(le), "le=\"%s\"", bound);
		cumulated += metric->buckets[i];
		write_series(out, name, "_bucket", metric->labels, le);
		(void)buf_addf(out, "%" PRIu64 "\n", cumulated);
	}
	write_series(out, name, "_bucket", metric->labels, "le=\"+Inf\"");
	(void)buf_addf(out, "%" PRIu64 "\n", metric->count);
	write_series(out, name, "_sum", metric->labels, "");
	write_value(out, metric->value);
	write_series(out, name, "_count", metric->labels, "");
	(void)buf_addf(out, "%" PRIu64 "\n", metric->count);
}

static void write_head(struct buf *out, const char *name, enum type type, const char *help)
{
	static const char *const names[] = {"counter", "gauge", "histogram"};
	(void)buf_addf(out, "# HELP %s ", name);
	for (const char *c = help; *c; c++) {
		if (*c == '\n')
			(void)buf_add_str(out, "\\n");
		else if (*c == '\\')
			(void)buf_add_str(out, "\\\\");
		else
			(void)buf_add(out, c, 1);
	}
	(void)buf_addf(out, "\n# TYPE %s %s\n", name, names[type]);
}

static void write_one(struct buf *out, const char *name, enum type type, const char *help, double value)
{
	write_head(out, name, type, help);
	write_series(out, name, "", "", "");
	write_value(out, value);
}

// ---- The process itself, under the names that every Prometheus client library uses ----

static double resident_bytes(void)
{
	FILE *file cleanup(fclose_cleanup) = fopen("/proc/self/statm", "re");
	char line[128];
	if (!file || !fgets(line, sizeof(line), file))
		return 0;
	char *rest;
	(void)strtoul(line, &rest, 10); // the whole size comes first
	return (double)strtoul(rest, NULL, 10) * (double)sysconf(_SC_PAGESIZE);
}

static size_t open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	if (!folder)
		return 0;
	size_t count = 0;
	while (readdir(folder))
		count++;
	(void)closedir(folder);
	return count > 3 ? count - 3 : 0; // ".", ".." and the folder's own
}

static void write_process(struct buf *out)
{
	struct rusage usage = {0};
	(void)getrusage(RUSAGE_SELF, &usage);
	double cpu_s = (double)usage.ru_utime.tv_sec + (double)usage.ru_stime.tv_sec +
		       ((double)usage.ru_utime.tv_usec + (double)usage.ru_stime.tv_usec) / 1e6;
	struct rlimit descriptors = {0};
	(void)getrlimit(RLIMIT_NOFILE, &descriptors);

	write_one(out, "process_cpu_seconds_total", COUNTER, "User and system CPU time spent.", cpu_s);
	write_one(out, "process_resident_memory_bytes", GAUGE, "Resident memory.", resident_bytes());
	write_one(out, "process_open_fds", GAUGE, "Open file descriptors.", (double)open_descriptors());
	write_one(out, "process_max_fds", GAUGE, "Most file descriptors allowed.", (double)descriptors.rlim_cur);
}

void metrics_write(struct metrics *metrics, struct buf *out)
{
	for (const struct family *family = metrics->first; family; family = family->next) {
		write_head(out, family->name, family->type, family->help);
		for (const struct metric *metric = family->first; metric; metric = metric->next) {
			if (family->type == HISTOGRAM) {
				write_histogram(out, family->name, metric);
				continue;
			}
			write_series(out, family->name, "", metric->labels, "");
			write_value(out, metric->value);
		}
	}
	if (metrics->overflow.count > 0)
		write_one(out, "muster_metrics_overflow_total", COUNTER,
			  "Updates of metrics beyond the ceiling, or of one name used for two types.",
			  (double)metrics->overflow.count);
	write_process(out);
}
