#include "common/metrics.h"

#include "tests/unit/scratch.h"

#include <math.h>

struct fixture {
	struct metrics *metrics;
	struct buf text;
};

static int setup(void **state)
{
	struct fixture *fixture = calloc(1, sizeof(*fixture));
	if (!fixture)
		return -1;
	fixture->metrics = metrics_new();
	buf_init(&fixture->text, 1 << 20);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	metrics_free(fixture->metrics);
	buf_done(&fixture->text);
	free(fixture);
	return 0;
}

static const char *text_of(struct fixture *fixture)
{
	buf_clear(&fixture->text);
	metrics_write(fixture->metrics, &fixture->text);
	assert_false(fixture->text.overflowed);
	return buf_str(&fixture->text);
}

static void counters_and_gauges(void **state)
{
	struct fixture *fixture = *state;
	struct metric *counter = metrics_counter(fixture->metrics, "muster_messages_total", NULL, "Messages.");
	metric_add(counter, 2);
	metric_add(counter, -5); // a counter does not fall
	metric_add(counter, NAN);
	metric_add(counter, 0.5);
	metric_set(metrics_gauge(fixture->metrics, "muster_queue_messages", NULL, "a\\b\nc"), -7);
	metric_set(metrics_gauge(fixture->metrics, "muster_inf", NULL, ""), INFINITY);
	static const char wanted[] = "# HELP muster_messages_total Messages.\n"
				     "# TYPE muster_messages_total counter\n"
				     "muster_messages_total 2.5\n"
				     "# HELP muster_queue_messages a\\\\b\\nc\n"
				     "# TYPE muster_queue_messages gauge\n"
				     "muster_queue_messages -7\n";
	assert_memory_equal(text_of(fixture), wanted, sizeof(wanted) - 1);
	assert_non_null(strstr(buf_str(&fixture->text), "\nmuster_inf +Inf\n"));
}

static void the_same_name_and_labels_are_the_same_metric(void **state)
{
	struct fixture *fixture = *state;
	struct metric *a = metrics_counter(fixture->metrics, "muster_x_total", "kind=\"a\"", "X.");
	struct metric *other = metrics_counter(fixture->metrics, "muster_other_total", NULL, "Other.");
	struct metric *b = metrics_counter(fixture->metrics, "muster_x_total", "kind=\"b\"", "ignored");
	assert_ptr_equal(metrics_counter(fixture->metrics, "muster_x_total", "kind=\"a\"", NULL), a);
	assert_ptr_not_equal(a, b);
	assert_ptr_not_equal(a, other);
	metric_add(a, 1);
	metric_add(b, 2);
	// One head, and the series of a name together, although another was made in between.
	assert_non_null(strstr(text_of(fixture), "# TYPE muster_x_total counter\nmuster_x_total{kind=\"a\"} 1\n"
						 "muster_x_total{kind=\"b\"} 2\n# HELP muster_other_total"));
	assert_null(strstr(buf_str(&fixture->text), "ignored"));
}

static void histograms_are_cumulative(void **state)
{
	struct fixture *fixture = *state;
	struct metric *histogram = metrics_histogram(fixture->metrics, "muster_t_seconds", "r=\"1\"", "T.");
	metric_observe(histogram, 0.001); // the bound belongs to its bucket
	metric_observe(histogram, 0.0011);
	metric_observe(histogram, 0.3);
	metric_observe(histogram, 99);
	const char *text = text_of(fixture);
	static const char *const lines[] = {
		"# TYPE muster_t_seconds histogram\n",
		"muster_t_seconds_bucket{r=\"1\",le=\"0.001\"} 1\n",
		"muster_t_seconds_bucket{r=\"1\",le=\"0.0025\"} 2\n",
		"muster_t_seconds_bucket{r=\"1\",le=\"0.25\"} 2\n",
		"muster_t_seconds_bucket{r=\"1\",le=\"0.5\"} 3\n",
		"muster_t_seconds_bucket{r=\"1\",le=\"10\"} 3\n",
		"muster_t_seconds_bucket{r=\"1\",le=\"+Inf\"} 4\n",
		"muster_t_seconds_sum{r=\"1\"} 99.3021\n",
		"muster_t_seconds_count{r=\"1\"} 4\n",
	};
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (!strstr(text, lines[i]))
			fail_msg("no %s in %s", lines[i], text);
}

static void beyond_the_ceiling_all_share_one(void **state)
{
	struct fixture *fixture = *state;
	struct metric *last = NULL;
	for (int i = 0; i < 2010; i++) {
		char labels[32];
		(void)snprintf(labels, sizeof(labels), "n=\"%d\"", i);
		last = metrics_counter(fixture->metrics, "muster_many_total", labels, "");
		metric_add(last, 1);
	}
	assert_ptr_equal(metrics_gauge(fixture->metrics, "muster_new", NULL, ""), last);
	const char *text = text_of(fixture);
	assert_non_null(strstr(text, "muster_many_total{n=\"1999\"} 1\n"));
	assert_null(strstr(text, "n=\"2000\""));
	assert_non_null(strstr(text, "\nmuster_metrics_overflow_total 10\n"));
}

static void one_name_is_of_one_type(void **state)
{
	struct fixture *fixture = *state;
	metric_add(metrics_counter(fixture->metrics, "muster_a", NULL, ""), 1);
	metric_set(metrics_gauge(fixture->metrics, "muster_a", NULL, ""), 100);
	metric_observe(metrics_histogram(fixture->metrics, "muster_a", NULL, ""), 1);
	const char *text = text_of(fixture);
	assert_non_null(strstr(text, "\nmuster_a 1\n"));
	assert_non_null(strstr(text, "\nmuster_metrics_overflow_total 2\n"));
}

static double value_of(const char *text, const char *name)
{
	char line[64];
	(void)snprintf(line, sizeof(line), "\n%s ", name);
	const char *found = strstr(text, line);
	if (!found)
		fail_msg("no %s", name);
	return strtod(found + strlen(line), NULL);
}

static void the_process_is_measured(void **state)
{
	struct fixture *fixture = *state;
	const char *text = text_of(fixture);
	double fds = value_of(text, "process_open_fds");
	assert_true(fds >= 3 && fds < value_of(text, "process_max_fds"));
	assert_true(value_of(text, "process_resident_memory_bytes") > 500000);
	assert_true(value_of(text, "process_cpu_seconds_total") >= 0);

	FILE *file = fopen("/dev/null", "re");
	assert_non_null(file);
	assert_true(value_of(text_of(fixture), "process_open_fds") == fds + 1);
	(void)fclose(file);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(counters_and_gauges, setup, teardown),
		cmocka_unit_test_setup_teardown(the_same_name_and_labels_are_the_same_metric, setup, teardown),
		cmocka_unit_test_setup_teardown(histograms_are_cumulative, setup, teardown),
		cmocka_unit_test_setup_teardown(beyond_the_ceiling_all_share_one, setup, teardown),
		cmocka_unit_test_setup_teardown(one_name_is_of_one_type, setup, teardown),
		cmocka_unit_test_setup_teardown(the_process_is_measured, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
