#include "common/limits.h"
#include "tests/unit/bridge/asking.h"

#include <signal.h>

struct sum {
	struct worker_job job;
	const char *sql;
	int64_t value;
	int done;
	bool ok;
	enum error_kind kind;
};

static bool sum_run(struct worker_job *job, struct pg *pg, struct error *error)
{
	struct sum *sum = (struct sum *)job;
	auto_pg_result struct pg_result *rows = NULL;
	if (!pg_query(pg, &rows, error, sum->sql, 0, NULL))
		return false;
	sum->value = pg_int(rows, 0, 0);
	return true;
}

static void sum_done(struct worker_job *job, bool ok, const struct error *error)
{
	struct sum *sum = (struct sum *)job;
	sum->done++;
	sum->ok = ok;
	sum->kind = error->kind;
}

static struct sum sum_of(const char *text)
{
	return (struct sum){.job = {.run = sum_run, .done = sum_done}, .sql = text};
}

static void jobs_run_in_order_and_come_back(void **state)
{
	struct sum sums[50];
	UNTIL(connected == 1);
	assert_true(worker_fresh(worker));
	sql("create sequence s");
	sql("grant usage on sequence s to muster_bridge");
	for (size_t i = 0; i < 50; i++) {
		sums[i] = sum_of("select nextval('s')");
		assert_true(worker_submit(worker, &sums[i].job));
	}
	UNTIL(sums[49].done);
	for (size_t i = 0; i < 50; i++) {
		assert_int_equal(sums[i].done, 1);
		assert_true(sums[i].ok);
		assert_int_equal(sums[i].value, i + 1);
	}
	struct sum wrong = sum_of("select nothing");
	assert_true(worker_submit(worker, &wrong.job));
	UNTIL(wrong.done);
	assert_false(wrong.ok);
}

static void notifications_come(void **state)
{
	UNTIL(connected >= 1);
	size_t before = notified[1];
	sql("notify muster_revocation");
	UNTIL(notified[1] == before + 1);
	sql("notify something_else");
	sql("notify muster_revocation");
	UNTIL(notified[1] == before + 2);
}

// Stopped, it does not answer: the loop goes on, and knows. Back, everything may have been notified.
static void a_hung_database_is_noticed(void **state)
{
	size_t before = notified[0];
	size_t connections = connected;
	UNTIL(worker_fresh(worker));
	struct sum backend = sum_of("select pg_backend_pid()");
	assert_true(worker_submit(worker, &backend.job));
	UNTIL(backend.done);
	assert_int_equal(kill((pid_t)backend.value, SIGSTOP), 0);
	struct sum late = sum_of("select 1");
	assert_true(worker_submit(worker, &late.job));
	assert_false(worker_silent(worker));
	UNTIL(!worker_fresh(worker));
	assert_true(worker_silent(worker));
	UNTIL(late.done); // its time was over
	assert_false(late.ok);
	assert_false(worker_silent(worker)); // there is no connection any more: another may be made
	assert_int_equal(kill((pid_t)backend.value, SIGCONT), 0);
	UNTIL(connected > connections && notified[0] > before);
	assert_true(worker_fresh(worker));
}

static void more_than_it_holds_is_refused(void **state)
{
	struct sum *sums = calloc(WORKER_QUEUE_MAX + 2, sizeof(*sums));
	size_t taken = 0;
	sums[0] = sum_of("select pg_sleep(1), 1");
	assert_true(worker_submit(worker, &sums[0].job));
	for (taken = 1; taken < WORKER_QUEUE_MAX + 2; taken++) {
		sums[taken] = sum_of("select 1");
		if (!worker_submit(worker, &sums[taken].job))
			break;
	}
	assert_int_equal(taken, WORKER_QUEUE_MAX);
	UNTIL(sums[taken - 1].done);
	assert_int_equal(sums[taken].done, 0);
	free(sums);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jobs_run_in_order_and_come_back),
		cmocka_unit_test(notifications_come),
		cmocka_unit_test(more_than_it_holds_is_refused),
		cmocka_unit_test(a_hung_database_is_noticed),
	};
	return cmocka_run_group_tests(tests, asking_setup, asking_teardown);
}
