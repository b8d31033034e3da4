// Against a real PostgreSQL with the project's migrations.
#include "ingest/gap.h"

#include "tests/unit/ingest/storing.h"

// "from-to state" of each gap in order, and whether the ledger counts those that wait.
static void gaps_are(const char *expected)
{
	says("select coalesce(string_agg(from_seq || '-' || to_seq || ' ' || state, ', ' order by from_seq, id), '') "
	     "from ledger_gap where device = 'd1' and epoch = 'e'",
	     expected);
	assert_int_equal(number("select count(*) from ledger l where gaps <> (select count(*) from ledger_gap g "
				"where g.device = l.device and g.epoch = l.epoch and state in ('open', 'lost'))"), 0);
}

static void test_contiguous(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	for (int batch_number = 0; batch_number < 3; batch_number++) {
		for (int i = 1; i <= 5; i++)
			take_seq(5 * batch_number + i);
		commit(store);
	}
	gaps_are("");
	says("select concat_ws(' ', first_seq, highest, received, late, duplicates) from ledger", "1 15 15 0 0");
}

static void test_opened_shrunk_split_closed(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take_seq(1);
	take_seq(10);
	commit(store);
	gaps_are("2-9 open");
	take_seq(2);
	commit(store);
	gaps_are("3-9 open");
	take_seq(6);
	take_seq(12);
	commit(store);
	gaps_are("3-5 open, 7-9 open, 11-11 open");
	take_seq(6); // again
	commit(store);
	gaps_are("3-5 open, 7-9 open, 11-11 open");
	for (int seq = 3; seq <= 12; seq++) // as after a reconnect: everything above the mark
		take_seq(seq);
	commit(store);
	assert_int_equal(mark(), 12);
	gaps_are("3-5 closed, 7-9 closed, 11-11 closed");
	assert_int_equal(number("select count(*) from ledger_gap where closed_at is null"), 0);
	says("select concat_ws(' ', first_seq, late, duplicates, received) from ledger", "1 9 4 16");
}

static void test_begins_in_the_middle(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take_seq(5);
	commit(store);
	gaps_are("1-4 open");
	assert_int_equal(number("select first_seq from ledger"), 5);
	take_seq(3);
	commit(store);
	gaps_are("1-2 open, 4-4 open");
	assert_int_equal(number("select first_seq from ledger"), 3);
}

static void test_dropped(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take_seq(1);
	take_seq(4);
	take_seq(10);
	commit(store);
	gaps_are("2-3 open, 5-9 open");
	take_hello(7);
	commit(store);
	gaps_are("2-3 dropped, 5-6 dropped, 7-9 open");
	assert_int_equal(number("select dropped from ledger"), 4);
	take_hello(15); // beyond all that came
	commit(store);
	gaps_are("2-3 dropped, 5-6 dropped, 7-9 dropped, 11-14 dropped");
	assert_int_equal(number("select dropped from ledger"), 11);
	take_seq(15);
	commit(store);
	assert_int_equal(mark(), 15);
	gaps_are("2-3 dropped, 5-6 dropped, 7-9 dropped, 11-14 dropped");
}

static void sweep(struct store *store, size_t expected)
{
	struct error error = {0};
	size_t lost = 0;
	assert_true(store_sweep_gaps(store, 3600, &lost, &error));
	assert_int_equal(lost, expected);
}

static void test_lost_and_found(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take_seq(1);
	take_seq(5);
	commit(store);
	sweep(store, 0);
	exec("update ledger_gap set opened_at = now() - interval '3601 s'");
	sweep(store, 1);
	gaps_are("2-4 lost");
	sweep(store, 0);
	take_seq(3); // it is not given up
	commit(store);
	gaps_are("2-2 lost, 4-4 lost");
	take_seq(2);
	take_seq(4);
	commit(store);
	gaps_are("2-2 closed, 4-4 closed");
	assert_int_equal(mark(), 5);
}

static void test_other_epochs_are_let_be(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take_seq(2);
	take("fleet/v1/d1/telemetry", "{\"epoch\":\"f\",\"seq\":2,\"ts\":1}");
	take("fleet/v1/d2/telemetry", "{\"epoch\":\"e\",\"seq\":2,\"ts\":1}");
	commit(store);
	take_seq(1);
	commit(store);
	gaps_are("1-1 closed");
	assert_int_equal(number("select count(*) from ledger_gap where state = 'open'"), 2);
}

// A device that sends only every third number costs 1,000 rows, and its gaps still close.
static void test_bounded(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	enum { COUNT = 1300 };
	for (int i = 1; i <= COUNT; i++) {
		take_seq(3 * i);
		if (i % BATCH_MAX == 0)
			commit(store);
	}
	assert_int_equal(number("select count(*) from ledger_gap"), 1000);
	assert_int_equal(number("select max(to_seq) from ledger_gap"), 3 * COUNT - 1);
	assert_int_equal(number("select count(*) from ledger_gap a join ledger_gap b on a.id < b.id and "
				"int8range(a.from_seq, a.to_seq, '[]') && int8range(b.from_seq, b.to_seq, '[]')"), 0);
	for (int seq = 1; seq <= 3 * COUNT; seq++) {
		take_seq(seq);
		if (seq % BATCH_MAX == 0)
			commit(store);
	}
	assert_int_equal(mark(), 3 * COUNT);
	assert_int_equal(number("select count(*) from ledger_gap where state <> 'closed'"), 0);
	assert_int_equal(number("select count(*) from telemetry"), 3 * COUNT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_contiguous, setup),
		cmocka_unit_test_setup(test_opened_shrunk_split_closed, setup),
		cmocka_unit_test_setup(test_begins_in_the_middle, setup),
		cmocka_unit_test_setup(test_dropped, setup),
		cmocka_unit_test_setup(test_lost_and_found, setup),
		cmocka_unit_test_setup(test_other_epochs_are_let_be, setup),
		cmocka_unit_test_setup(test_bounded, setup),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
