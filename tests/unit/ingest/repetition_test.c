// Against a real PostgreSQL with the project's migrations.
#include "ingest/repetition.h"

#include "tests/unit/ingest/storing.h"

static void take_every_kind(void)
{
	take("fleet/v1/d1/telemetry",
	     "[{\"epoch\":\"e\",\"seq\":1,\"ts\":1001},{\"epoch\":\"e\",\"seq\":2,\"ts\":1002}]");
	take("fleet/v1/d1/event", "{\"epoch\":\"e\",\"seq\":3,\"ts\":1003,\"type\":\"boot\"}");
	take("fleet/v1/d1/inventory/network", "{\"epoch\":\"e\",\"seq\":4,\"ts\":1004,\"mac\":\"a\"}");
	take("fleet/v1/d1/result", "{\"epoch\":\"e\",\"seq\":5,\"ts\":1005,\"command\":\"c\",\"state\":\"failed\"}");
}

// Retention has removed the rows; the ledger still knows that they came.
static void test_again_without_its_row(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take_every_kind();
	commit(store);
	assert_int_equal(mark(), 5);
	exec("delete from telemetry; delete from event; delete from inventory; delete from command_result");
	take_every_kind();
	take_seq(6); // and in the same batch something new
	take("fleet/v1/d2/telemetry", "{\"epoch\":\"e\",\"seq\":1,\"ts\":1}"); // another device's epoch of that name
	commit(store);
	assert_int_equal(mark(), 6);
	says("select string_agg(device || seq, ' ' order by device) from telemetry", "d16 d21");
	assert_int_equal(
		number("select (select count(*) from event where epoch = 'e') + (select count(*) from inventory) "
		       "+ (select count(*) from command_result)"),
		0);
	says("select concat_ws(' ', received, duplicates) from ledger where device = 'd1'", "11 5");
	take_every_kind(); // nothing but repetitions: answered all the same
	last_mark = 0;
	commit(store);
	assert_int_equal(mark(), 6);
	says("select concat_ws(' ', received, duplicates) from ledger where device = 'd1'", "16 10");
}

// Below the mark, but never here: what a device had dropped is stored when it comes after all, once.
static void test_dropped_comes_after_all(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	take_seq(1);
	take_seq(6);
	commit(store);
	take_hello(6);
	commit(store);
	assert_int_equal(mark(), 6);
	says("select concat_ws(' ', dropped, late) from ledger", "4 0");
	take_seq(1);
	take_seq(3);
	take_seq(4);
	take_seq(6);
	commit(store);
	says("select string_agg(seq::text, ' ' order by seq) from telemetry", "1 3 4 6");
	says("select concat_ws(' ', dropped, late, duplicates) from ledger", "2 2 2");
	says("select string_agg(concat_ws(' ', from_seq, to_seq, state, closed_at is not null), ', ' order by "
	     "from_seq) "
	     "from ledger_gap",
	     "2 2 dropped t, 5 5 dropped t");
	exec("delete from telemetry");
	for (int seq = 1; seq <= 5; seq++)
		take_seq(seq);
	commit(store);
	says("select string_agg(seq::text, ' ' order by seq) from telemetry", "2 5");
	says("select concat_ws(' ', dropped, late, duplicates) from ledger", "0 4 5");
	assert_int_equal(number("select count(*) from ledger_gap where state <> 'closed'"), 0);
	assert_int_equal(mark(), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_again_without_its_row, setup),
		cmocka_unit_test_setup(test_dropped_comes_after_all, setup),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
