#include "common/pg.h"
#include "tests/unit/scratch.h"
#include "tests/unit/support/postgres.h"

#include <poll.h>

static struct postgres postgres;

static struct pg *new_pg(const char *more)
{
	char conninfo[256];
	struct error error = {0};
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=muster dbname=postgres %s",
		       postgres.port, more);
	struct pg *pg = pg_new(conninfo, "pg-test", &error);
	if (!pg)
		fail_msg("%s", error.what);
	return pg;
}

// Until it connects: the backoff may have to pass.
static void await_ready(struct pg *pg)
{
	struct error error = {0};
	int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS;
	while (!pg_ready(pg, &error)) {
		if (clock_mono_ms() > deadline_ms)
			fail_msg("%s", error.what);
		assert_int_equal(error.kind, ERROR_UNREACHABLE);
		process_pause();
	}
}

static struct pg *connected(void)
{
	struct pg *pg = new_pg("");
	await_ready(pg);
	return pg;
}

static void exec(struct pg *pg, const char *sql)
{
	struct error error = {0};
	if (!pg_exec(pg, sql, &error))
		fail_msg("%s: %s", sql, error.what);
}

static int64_t number(struct pg *pg, const char *sql)
{
	struct error error = {0};
	struct pg_result *auto_pg_result result = NULL;
	if (!pg_query(pg, &result, &error, sql, 0, NULL))
		fail_msg("%s: %s", sql, error.what);
	assert_int_equal(pg_rows(result), 1);
	return pg_int(result, 0, 0);
}

static void test_values(void **state)
{
	struct pg *pg = connected();
	struct error error = {0};
	struct pg_result *auto_pg_result result = NULL;
	assert_true(PG_QUERY(pg, &result, &error, "select $1::text, $2::bigint, $3::bool, $4::text", "a'b", "-42",
			     "true", NULL));
	assert_int_equal(pg_rows(result), 1);
	assert_string_equal(pg_text(result, 0, 0), "a'b");
	assert_int_equal(pg_int(result, 0, 1), -42);
	assert_true(pg_bool(result, 0, 2));
	assert_null(pg_text(result, 0, 3));
	assert_int_equal(pg_int(result, 0, 3), 0);
	assert_false(pg_bool(result, 0, 3));
	assert_null(pg_text(result, 1, 0));
	assert_null(pg_text(result, 0, 4));

	exec(pg, "create temp table v (n int); insert into v select generate_series(1, 5)");
	struct pg_result *auto_pg_result updated = NULL;
	assert_true(PG_QUERY(pg, &updated, &error, "update v set n = n where n > $1", "2"));
	assert_int_equal(pg_affected(updated), 3);
	assert_true(PG_QUERY(pg, NULL, &error, "delete from v where n = $1", "1"));
	assert_int_equal(number(pg, "select count(*) from v"), 4);
	assert_int_equal(number(pg, "select count(*) from pg_stat_activity where application_name = 'pg-test'"), 1);
	pg_free(pg);
}

static void test_prepared(void **state)
{
	struct pg *pg = connected();
	struct error error = {0};
	const char *const params[] = {"20", "22"};
	struct pg_result *auto_pg_result result = NULL;
	assert_true(pg_prepare(pg, "add", "select $1::int + $2::int", &error));
	assert_true(pg_run(pg, &result, &error, "add", 2, params));
	assert_int_equal(pg_int(result, 0, 0), 42);
	assert_false(pg_run(pg, NULL, &error, "unknown", 0, NULL));
	assert_true(pg_sqlstate_is(&error, "26000"));
	pg_free(pg);
}

static void test_errors(void **state)
{
	struct pg *pg = connected();
	struct error error = {0};
	exec(pg, "create temp table e (n int primary key check (n > 0)); insert into e values (1)");

	assert_false(pg_exec(pg, "insert into e values (1)", &error));
	assert_int_equal(error.kind, ERROR_EXISTS);
	assert_true(pg_sqlstate_is(&error, "23505"));
	assert_true(pg_error_is_data(&error));
	assert_non_null(strstr(error.what, "duplicate key"));
	assert_null(strchr(error.what, '\n'));

	assert_false(pg_exec(pg, "insert into e values (-1)", &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_true(pg_error_is_data(&error));

	assert_false(pg_exec(pg, "select * from nowhere", &error));
	assert_true(pg_sqlstate_is(&error, "42P01"));
	assert_false(pg_error_is_data(&error));

	assert_false(pg_exec(pg, "set statement_timeout = 50; select pg_sleep(30)", &error));
	assert_int_equal(error.kind, ERROR_TIMEOUT);
	assert_true(pg_connected(pg));
	pg_free(pg);
}

static void test_transactions(void **state)
{
	struct pg *pg = connected();
	struct error error = {0};
	exec(pg, "create temp table t (n int)");

	assert_true(pg_begin(pg, &error));
	exec(pg, "insert into t values (1)");
	pg_rollback(pg);
	assert_int_equal(number(pg, "select count(*) from t"), 0);

	assert_true(pg_begin(pg, &error));
	exec(pg, "insert into t values (1)");
	assert_true(pg_commit(pg, &error));
	assert_int_equal(number(pg, "select count(*) from t"), 1);

	// The server answers COMMIT with ROLLBACK here, and with success.
	assert_true(pg_begin(pg, &error));
	exec(pg, "insert into t values (2)");
	assert_false(pg_exec(pg, "select 1 / 0", &error));
	assert_false(pg_commit(pg, &error));
	assert_int_equal(number(pg, "select count(*) from t"), 1);
	pg_rollback(pg);
	assert_true(pg_connected(pg));
	pg_free(pg);
}

static void test_copy(void **state)
{
	enum { ROWS = 300000 };
	struct pg *pg = connected();
	struct error error = {0};
	struct buf auto_buf rows;
	buf_init(&rows, 16 << 20);
	for (int i = 0; i < ROWS; i++)
		assert_true(buf_addf(&rows, "%d\tsome text to make it long\n", i));
	exec(pg, "create temp table c (n int primary key, t text)");

	assert_true(pg_copy_start(pg, "copy c from stdin", &error));
	if (!pg_copy_write(pg, rows.data, rows.len_bytes, &error) || !pg_copy_end(pg, &error))
		fail_msg("%s", error.what);
	assert_int_equal(number(pg, "select count(*) from c"), ROWS);

	// A bad row fails at the end; the connection stays.
	assert_true(pg_begin(pg, &error));
	assert_true(pg_copy_start(pg, "copy c from stdin", &error));
	assert_true(pg_copy_write(pg, "x\ty\n", 4, &error));
	assert_false(pg_copy_end(pg, &error));
	assert_true(pg_error_is_data(&error));
	pg_rollback(pg);
	assert_int_equal(number(pg, "select count(*) from c"), ROWS);

	// Given up half way.
	assert_true(pg_begin(pg, &error));
	assert_true(pg_copy_start(pg, "copy c from stdin", &error));
	assert_true(pg_copy_write(pg, "-1\ty\n", 5, &error));
	pg_rollback(pg);
	assert_true(pg_connected(pg));
	assert_int_equal(number(pg, "select count(*) from c"), ROWS);

	assert_false(pg_copy_start(pg, "select 1", &error));
	assert_false(pg_copy_start(pg, "copy nowhere from stdin", &error));
	assert_true(pg_sqlstate_is(&error, "42P01"));
	assert_false(pg_exec(pg, "copy c from stdin", &error)); // costs the connection
	await_ready(pg);
	pg_free(pg);
}

static bool prepare_all(struct pg *pg, void *user, struct error *error)
{
	int *calls = user;
	(*calls)++;
	return pg_exec(pg, "listen news", error) && pg_prepare(pg, "one", "select 1", error);
}

static bool never(struct pg *pg, void *user, struct error *error)
{
	return pg_exec(pg, "select 1 / 0", error);
}

static void test_reconnect(void **state)
{
	struct pg *pg = new_pg("");
	struct pg *admin = connected();
	struct error error = {0};
	int calls = 0;
	assert_false(pg_connected(pg));
	assert_int_equal(pg_fd(pg), -1);
	assert_false(pg_exec(pg, "select 1", &error));
	assert_int_equal(error.kind, ERROR_UNREACHABLE);

	pg_on_connect(pg, prepare_all, &calls);
	await_ready(pg);
	assert_int_equal(calls, 1);
	char pid[24];
	(void)snprintf(pid, sizeof(pid), "%lld", (long long)number(pg, "select pg_backend_pid()"));
	assert_true(PG_QUERY(admin, NULL, &error, "select pg_terminate_backend($1::int, 5000)", pid));
	// Found out by the statement, or by pg_ready before it.
	assert_false(pg_run(pg, NULL, &error, "one", 0, NULL));
	assert_int_equal(error.kind, ERROR_UNREACHABLE);
	assert_false(pg_connected(pg));
	await_ready(pg);
	assert_int_equal(calls, 2);
	assert_true(pg_run(pg, NULL, &error, "one", 0, NULL));

	(void)snprintf(pid, sizeof(pid), "%lld", (long long)number(pg, "select pg_backend_pid()"));
	assert_true(PG_QUERY(admin, NULL, &error, "select pg_terminate_backend($1::int, 5000)", pid));
	await_ready(pg);
	assert_int_equal(calls, 3);
	assert_int_equal(number(pg, "select 1"), 1);
	pg_rollback(pg);
	pg_disconnect(pg);
	pg_rollback(pg);
	pg_on_connect(pg, never, NULL);
	assert_false(pg_ready(pg, &error));
	assert_false(pg_connected(pg));
	pg_free(pg);
	pg_free(admin);
}

struct news {
	int count;
	char payload[32];
};

static void on_news(void *user, const char *channel, const char *payload)
{
	struct news *news = user;
	assert_string_equal(channel, "news");
	news->count++;
	(void)snprintf(news->payload, sizeof(news->payload), "%s", payload);
}

static void test_notifications(void **state)
{
	struct pg *pg = connected();
	struct pg *other = connected();
	struct error error = {0};
	struct news news = {0};
	exec(pg, "listen news");
	exec(other, "notify news, 'first'");
	struct pollfd watch = {.fd = pg_fd(pg), .events = POLLIN};
	assert_int_equal(poll(&watch, 1, PROCESS_DEADLINE_MS), 1);
	assert_true(pg_notifications(pg, on_news, &news, &error));
	assert_int_equal(news.count, 1);
	assert_string_equal(news.payload, "first");
	assert_true(pg_notifications(pg, on_news, &news, &error));
	assert_int_equal(news.count, 1);
	pg_free(pg);
	pg_free(other);
}

static void test_backoff(void **state)
{
	char conninfo[128];
	struct error error = {0};
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=muster", process_free_port());
	struct pg *pg = pg_new(conninfo, "pg-test", &error);
	assert_non_null(pg);
	// Tries are ever further apart, and what comes between them returns at once with the last reason.
	int64_t start_ms = clock_mono_ms();
	while (clock_mono_ms() - start_ms < 300) {
		assert_false(pg_ready(pg, &error));
		assert_int_equal(error.kind, ERROR_UNREACHABLE);
		assert_non_null(strstr(error.what, "refused"));
	}
	pg_free(pg);
	assert_null(pg_new("no equals sign", "pg-test", &error));
	assert_int_equal(error.kind, ERROR_INVALID);
	pg_free(NULL);
}

// A server that stops answering without closing: TCP alone would wait for ever.
static void test_silent_server(void **state)
{
	struct pg *pg = new_pg("");
	struct error error = {0};
	await_ready(pg);
	pg_set_timeout(pg, 300);
	int64_t start_ms = clock_mono_ms();
	assert_false(pg_exec(pg, "select pg_sleep(60)", &error));
	assert_true(clock_mono_ms() - start_ms < 55000);
	assert_int_equal(error.kind, ERROR_UNREACHABLE);
	assert_false(pg_connected(pg));
	pg_free(pg);

	// Nor does a listener that never speaks keep it for long.
	char conninfo[128];
	int port;
	int listener = process_listen(&port);
	(void)snprintf(conninfo, sizeof(conninfo), "host=127.0.0.1 port=%d user=muster connect_timeout=2", port);
	pg = pg_new(conninfo, "pg-test", &error);
	start_ms = clock_mono_ms();
	assert_false(pg_ready(pg, &error));
	assert_true(clock_mono_ms() - start_ms < 55000);
	assert_int_equal(error.kind, ERROR_UNREACHABLE);
	pg_free(pg);
	(void)close(listener);
}

static void count_call(void *user)
{
	++*(int *)user;
}

static void test_while_waiting(void **state)
{
	struct pg *pg = connected();
	int calls = 0;
	pg_while_waiting(pg, count_call, &calls);
	exec(pg, "select 1");
	assert_int_equal(calls, 0);
	exec(pg, "select pg_sleep(2.5)");
	assert_in_range(calls, 1, 2);
	pg_free(pg);
}

// A thread that waits for the server ends when others want it to.
static void test_interrupted(void **state)
{
	struct pg *pg = connected();
	struct error error = {0};
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	pg_interrupt_fd(pg, fds[0]);
	assert_int_equal(number(pg, "select 7"), 7);
	assert_int_equal(write(fds[1], "x", 1), 1);
	int64_t start_ms = clock_mono_ms();
	assert_false(pg_exec(pg, "select pg_sleep(60)", &error));
	assert_true(clock_mono_ms() - start_ms < 55000);
	assert_int_equal(error.kind, ERROR_UNREACHABLE);
	assert_false(pg_connected(pg));
	pg_interrupt_fd(pg, -1);
	await_ready(pg);
	assert_int_equal(number(pg, "select 7"), 7);
	pg_free(pg);
	(void)close(fds[0]);
	(void)close(fds[1]);
}

static void test_server_restart(void **state)
{
	struct pg *pg = connected();
	struct error error = {0};
	postgres_stop(&postgres);
	assert_false(pg_ready(pg, &error));
	assert_false(pg_connected(pg));
	assert_true(postgres_start(&postgres));
	await_ready(pg);
	assert_int_equal(number(pg, "select 7"), 7);
	pg_free(pg);
}

static int setup(void **state)
{
	if (scratch_setup(state) != 0)
		return -1;
	const struct scratch *scratch = *state;
	return postgres_init(&postgres, scratch->folder) ? 0 : -1;
}

static int teardown(void **state)
{
	postgres_stop(&postgres);
	return scratch_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),	      cmocka_unit_test(test_prepared),
		cmocka_unit_test(test_errors),	      cmocka_unit_test(test_transactions),
		cmocka_unit_test(test_copy),	      cmocka_unit_test(test_reconnect),
		cmocka_unit_test(test_notifications), cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_silent_server), cmocka_unit_test(test_server_restart),
		cmocka_unit_test(test_while_waiting),
		cmocka_unit_test(test_interrupted),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}
