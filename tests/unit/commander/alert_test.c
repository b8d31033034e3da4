// Against a real PostgreSQL with a clock of the test's own: days pass in seconds.
#include "tests/unit/commander/alerting.h"

// ---- states: active and cleared, seen and not ----

// What happens to the device d<n>, or to the rule about it.
static void play(const char *word, int n)
{
	static const struct {
		const char *word, *sql;
	} words[] = {
		{"seen", "update alert set acknowledged_at = now()"},
		{"unseen", "update alert set acknowledged_at = null"},
		{"later", "update alert set cleared_at = cleared_at - interval '700 seconds'"}, // beyond flap_s
		{"off", "update alert_rule r set enabled = false"},
		{"on", "update alert_rule r set enabled = true"},
		{"deleted", "delete from alert_rule r"},
	};
	char name[8];

	(void)snprintf(name, sizeof(name), "d%d", n);
	if (strcmp(word, "goes") == 0) {
		goes(name);
		return;
	}
	if (strcmp(word, "returns") == 0) {
		returns(name);
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strcmp(words[i].word, word) == 0) {
			execf("%s where %s'%s'", words[i].sql,
			      strstr(words[i].sql, "alert_rule") ? "query = 'device:' || " : "object = ", name);
			return;
		}
	}
	fail_msg("no such word: %s", word);
}

// From each state by all that can happen there, and what is noted of it. All at once, each with a device and a rule.
static void every_transition(void **state)
{
	static const struct {
		const char *script, *alerts, *events;
	} cases[] = {
		{"goes", "active", "raised"},
		{"goes goes", "active", "raised"},
		{"goes seen", "active seen", "raised"},
		{"goes returns", "cleared", "raised cleared"},
		{"goes off", "cleared", "raised cleared"},
		{"goes deleted", "cleared", "raised cleared"},
		{"goes seen goes", "active seen", "raised"},
		{"goes seen unseen", "active", "raised"},
		{"goes seen returns", "cleared seen", "raised cleared"},
		{"goes seen off", "cleared seen", "raised cleared"},
		{"goes seen deleted", "cleared seen", "raised cleared"},
		{"goes returns returns", "cleared", "raised cleared"},
		{"goes returns goes", "active", "raised cleared returned"},
		{"goes returns later goes", "cleared, active", "raised cleared raised"},
		{"goes returns seen", "cleared seen", "raised cleared"},
		{"goes returns off", "cleared", "raised cleared"},
		{"goes returns deleted", "cleared", "raised cleared"},
		{"goes off on", "active", "raised cleared returned"},
		{"goes off later on", "cleared, active", "raised cleared raised"},
		{"goes seen returns goes", "active seen", "raised cleared returned"},
		{"goes seen returns unseen", "cleared", "raised cleared"},
		{"goes seen returns later goes", "cleared seen, active", "raised cleared raised"},
		{"goes seen off on", "active seen", "raised cleared returned"},
	};
	enum { CASES = sizeof(cases) / sizeof(cases[0]) };
	char scripts[CASES][64], *rest[CASES], name[16], query[24], sql[256];

	for (int i = 0; i < CASES; i++) {
		(void)snprintf(scripts[i], sizeof(scripts[i]), "%s", cases[i].script);
		(void)snprintf(name, sizeof(name), "d%d", i);
		(void)snprintf(query, sizeof(query), "device:d%d", i);
		rest[i] = scripts[i];
		device(name, 1);
		rule("offline", "{\"for_s\":5,\"goodbye\":\"counts\"}", query);
	}
	for (bool more = true; more;) {
		more = false;
		for (int i = 0; i < CASES; i++) {
			const char *word = strsep(&rest[i], " ");

			if (word)
				play(word, i);
			more = more || rest[i];
		}
		pass(2 * STEP_S); // longer than the rules ask for
	}
	for (int i = 0; i < CASES; i++) {
		print_message("%s\n", cases[i].script);
		(void)snprintf(
			sql, sizeof(sql),
			"select string_agg(state || case when acknowledged_at is null then '' else ' seen' end, ', '"
			" order by id) from alert where object = 'd%d'",
			i);
		says(sql, cases[i].alerts);
		(void)snprintf(
			sql, sizeof(sql),
			"select string_agg(e.type, ' ' order by e.id) from alert_event e join alert a on a.id = e.alert"
			" where a.object = 'd%d'",
			i);
		says(sql, cases[i].events);
	}
}

// What does not go away by itself is cleared by a person, and comes back only for what happens later.
static void a_person_clears_what_does_not_go_away(void **state)
{
	device("d", 1);
	exec("update device set mismatches = 1, mismatch_at = now()");
	rule("fingerprint", "{\"count\":1}", "");
	pass(5);
	alerts("d active");
	exec("update alert set state = 'cleared', cleared_at = now(), cleared_by = 'ada'");
	pass(300);
	alerts("d cleared");
	exec("update device set mismatches = 2, mismatch_at = now()");
	pass(5);
	alerts("d cleared, d active");
}

// ---- for a time ----

static void for_a_time_is_without_a_break(void **state)
{
	device("d", 1);
	rule("offline", "{\"for_s\":60,\"goodbye\":\"counts\"}", "");
	goes("d");
	pass(55);
	alerts("");
	returns("d");
	pass(5);
	goes("d");
	pass(55);
	alerts("");
	pass(10);
	alerts("d active");
	says("select title from alert", "offline since 2026-01-05 12:01 UTC");
}

// A value counts only when the device says so again at the end of the time.
static void a_value_has_to_be_said_again(void **state)
{
	device("d", 1);
	rule("disk", "{\"above\":90,\"for_s\":60,\"margin\":5}", "");
	report("d", "disk_total = 100, disk_free = 5");
	pass(300);
	alerts("");
	report("d", "disk_free = 4");
	pass(5);
	alerts("d active");
}

static void what_is_over_has_to_be_over_by_a_margin(void **state)
{
	device("d", 1);
	rule("disk", "{\"above\":90,\"for_s\":0,\"margin\":5}", "");
	report("d", "disk_total = 100, disk_free = 10"); // at the threshold is not above it
	pass(5);
	alerts("");
	report("d", "disk_free = 9");
	pass(5);
	alerts("d active");
	report("d", "disk_free = 14");
	pass(5);
	alerts("d active");
	report("d", "disk_free = 15");
	pass(5);
	alerts("d cleared");
	report("d", "disk_free = 14"); // and within the margin it does not come back
	pass(5);
	alerts("d cleared");
}

static void below_counts_the_other_way(void **state)
{
	device("d", 1);
	rule("metric", "{\"metric\":\"pressure\",\"when\":\"below\",\"value\":10,\"for_s\":0,\"margin\":2}", "");
	report("d", "custom = '{\"pressure\":9}'");
	pass(5);
	alerts("d active");
	says("select title from alert", "pressure is 9, below 10");
	report("d", "custom = '{\"pressure\":11}'");
	pass(5);
	alerts("d active");
	report("d", "custom = '{\"pressure\":12}'");
	pass(5);
	alerts("d cleared");
	report("d", "custom = '{\"pressure\":\"low\"}'"); // no number is neither
	pass(5);
	alerts("d cleared");
}

// It is over for so long already.
static void was_over_for(int seconds)
{
	execf("update alert_watch set over_at = now() - make_interval(secs => %d)", seconds);
	pass(2);
}

// clear_s seconds the first time, twice as long each time that it comes back soon, up to an hour.
static void who_flaps_has_to_be_quiet_for_longer(void **state)
{
	device("d", 1);
	rule("offline", "{\"for_s\":0,\"goodbye\":\"counts\"}", "");
	exec("update alert_rule set clear_s = 60");
	for (int flaps = 0, quiet_s = 60; flaps < 4; flaps++, quiet_s *= 2) {
		goes("d");
		pass(5);
		alerts("d active");
		assert_int_equal(number("select flaps from alert"), flaps);
		returns("d");
		pass(2);
		was_over_for(quiet_s - 5);
		alerts("d active");
		was_over_for(quiet_s);
		alerts("d cleared");
	}
	exec("update alert set flaps = 12");
	goes("d");
	pass(5);
	returns("d");
	pass(2);
	was_over_for(3590);
	alerts("d active");
	was_over_for(3600);
	alerts("d cleared");
}

static void silence_is_no_report(void **state)
{
	device("d", 1);
	exec("update device_state set interval_s = 30");
	rule("offline", "{\"for_s\":60,\"goodbye\":\"counts\"}", "");
	pass(140); // three intervals and a minute are 150 s
	alerts("");
	pass(60);
	alerts("d active");
	report("d", "load1 = 1");
	pass(5);
	alerts("d cleared");
}

static void a_goodbye_may_be_ignored_and_sleep_is_expected(void **state)
{
	device("leaves", 1);
	device("sleeps", 1);
	rule("offline", "{\"for_s\":0,\"goodbye\":\"ignored\"}", "");
	goes("%");
	exec("update device_state set presence_why = case device when 'leaves' then 'goodbye' else 'sleep' end");
	pass(60);
	alerts("");
}

// ---- time is counted only while somebody could see ----

static void drop(int cell)
{
	seeing &= ~(1U << cell);
}

// The connection of an ingest to its broker is a new one.
static void connects(int cell)
{
	seeing |= 1U << cell;
	execf("update ingest_sight set connected_since = now(), seen_at = now() where cell = %d", cell);
}

// Broker and database restart as ingest does, as far as alerts can tell: nothing is taken in meanwhile, or nobody
// ticks.
enum gone { INGEST, COMMANDER, RECONNECTED };

// The fleet is away with the part, and back half a minute after it.
static void restart(enum gone part)
{
	if (part == INGEST)
		drop(1);
	goes("d%");
	if (part == COMMANDER)
		jump(45);
	else if (part == INGEST)
		pass(45);
	connects(1);
	pass(30);
	returns("d%");
	pass(60);
}

static void a_restart_of_any_part_raises_none(void **state)
{
	static const enum gone parts[] = {INGEST, COMMANDER, RECONNECTED};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		for (int holdoff_s = 60; holdoff_s >= 1; holdoff_s -= 59) {
			(void)setup(state);
			options.alert_holdoff_s = holdoff_s;
			device("d1", 1);
			device("d2", 1);
			rule("offline", "{\"for_s\":10,\"goodbye\":\"counts\"}", "");
			pass(30);
			restart(parts[i]);
			// Without the time to come back, they all would have been raised.
			alerts(holdoff_s > 1 ? "" : "d1 cleared, d2 cleared");
			goes("d2");
			pass(27);
			says("select string_agg(object, ' ') from alert where state = 'active'", "d2");
		}
	}
}

static void cells_have_clocks_of_their_own(void **state)
{
	options.alert_holdoff_s = 60;
	device("one", 1);
	device("two", 2);
	rule("offline", "{\"for_s\":30,\"goodbye\":\"counts\"}", "");
	pass(5);
	drop(2);
	pass(15);
	goes("%");
	pass(40);
	alerts("one active");
	connects(2);
	pass(60); // its holdoff
	alerts("one active");
	pass(40);
	alerts("one active, two active");
}

// It is judged by how long it could be seen to be away, before and after.
static void an_outage_in_the_midst_is_taken_out(void **state)
{
	device("d", 1);
	rule("offline", "{\"for_s\":60,\"goodbye\":\"counts\"}", "");
	goes("d");
	pass(40);
	drop(1);
	pass(90);
	connects(1);
	pass(15); // it counted for 10 s more, and counts again after 10
	alerts("");
	pass(20);
	alerts("d active");
}

static void an_ingest_that_is_gone_for_good_stops_counting(void **state)
{
	device("d", 1);
	exec("insert into ingest_sight values ('svc.ingest.2', 1, now() - interval '1 day', now() - interval '480"
	     " seconds')");
	rule("offline", "{\"for_s\":30,\"goodbye\":\"counts\"}", "");
	pass(20);
	goes("d");
	pass(90); // the other's last word is not ten minutes old
	alerts("");
	pass(90);
	alerts("d active");
}

static void a_clock_that_is_set_back_counts_nothing(void **state)
{
	device("d", 1);
	rule("offline", "{\"for_s\":60,\"goodbye\":\"counts\"}", "");
	pass(5);
	goes("d");
	pass(30);
	jump(-3600);
	pass(5);
	alerts("");
	assert_int_equal(number("select count(*) from alert_clock where clock_ms < 0"), 0);
}

// ---- whom it is about ----

static void a_rule_that_changes_takes_back_what_it_says_no_more(void **state)
{
	device("a", 1);
	device("b", 1);
	exec("update device set tags = array['kiosk'] where device = 'a'");
	int64_t id = rule("disk", "{\"above\":80,\"for_s\":0,\"margin\":0}", "");

	report("a", "disk_total = 100, disk_free = 5");
	report("b", "disk_total = 100, disk_free = 15");
	pass(5);
	alerts("a active, b active");
	execf("update alert_rule set params = params || '{\"above\":90}' where id = %lld", (long long)id);
	pass(5);
	alerts("a active, b cleared");
	execf("update alert_rule set query = 'not tag:kiosk' where id = %lld", (long long)id);
	pass(5);
	alerts("a cleared, b cleared");
	execf("update alert_rule set query = 'group:nowhere' where id = %lld", (long long)id);
	pass(5);
	assert_true(number("select length(error) from alert_rule") > 0);
	execf("update alert_rule set query = '' where id = %lld", (long long)id);
	pass(5);
	alerts("a active, b cleared");
	assert_int_equal(number("select length(error) from alert_rule"), 0);
}

static void a_device_that_is_none_any_more_takes_its_alerts_along(void **state)
{
	device("revoked", 1);
	device("deleted", 1);
	device("moved", 1);
	exec("insert into tenant (name) values ('acme') on conflict do nothing; delete from alert_rule");
	rule("offline", "{\"for_s\":0,\"goodbye\":\"counts\"}", "");
	goes("%");
	pass(5);
	assert_int_equal(number("select count(*) from alert where state = 'active'"), 3);
	exec("update device set enabled = false where device = 'revoked'; update device set tenant = 'acme' where "
	     "device = 'moved'");
	exec("update device_state set changed_at = now() where device in ('revoked', 'moved'); delete from device "
	     "where device ="
	     " 'deleted'");
	pass(5);
	says("select string_agg(object || ': ' || cleared_why, ', ' order by object) from alert where state = "
	     "'cleared'",
	     "deleted: the device was deleted, moved: it is over, revoked: it is over");
}

// What is no report, as a tag that is taken away, is seen when all are looked at.
static void all_are_looked_at_now_and_then(void **state)
{
	device("d", 1);
	exec("update device set tags = array['kiosk']");
	rule("offline", "{\"for_s\":0,\"goodbye\":\"counts\"}", "tag:kiosk");
	goes("d");
	pass(5);
	alerts("d active");
	exec("update device set tags = '{}'");
	pass(18);
	alerts("d active");
	jump(600);
	pass(18);
	alerts("d cleared");
}

static void thousands_are_taken_in_slices(void **state)
{
	exec("insert into device (device) select 'd' || i from generate_series(1, 5000) i;"
	     "insert into device_state (device, presence, presence_why, presence_since, last_seen, interval_s, cell, "
	     "changed_at)"
	     " select 'd' || i, 'offline', 'will', now(), now(), 86400, 1, now() + make_interval(secs => i / 10000.0)"
	     " from generate_series(1, 5000) i");
	rule("offline", "{\"for_s\":0,\"goodbye\":\"counts\"}", "");
	pass(10);
	assert_int_equal(number("select count(*) from alert where state = 'active'"), 5000);
	returns("%");
	pass(10);
	assert_int_equal(number("select count(*) from alert where state = 'active'"), 0);
	assert_int_equal(number("select count(*) from alert"), 5000);
}

// What a look reads is what changed, by an index, however many there are.
static void a_look_reads_what_changed(void **state)
{
	exec("insert into device (device) select 'd' || i from generate_series(1, 5000) i;"
	     "insert into device_state (device, last_seen, interval_s, cell, changed_at) select 'd' || i, now(), "
	     "86400, 1, now()"
	     " from generate_series(1, 5000) i; analyze device_state");
	rule("disk", "{\"above\":80,\"for_s\":0,\"margin\":0}", "");
	pass(60);
	int64_t before = number("select seq_tup_read from pg_stat_user_tables where relname = 'device_state'");

	report("d7", "disk_total = 100, disk_free = 5");
	pass(60);
	alerts("d7 active");
	pg_free(commander.pg); // what it read is counted then
	commander.pg = connect_as("muster_commander");
	int64_t read = number("select seq_tup_read from pg_stat_user_tables where relname = 'device_state'") - before;

	if (read > 10000) // twelve looks at everything are 60,000
		fail_msg("%lld rows were read", (long long)read);
}

// ---- several commanders ----

static void two_commanders_raise_one(void **state)
{
	struct error error = {0};

	device("d", 1);
	rule("offline", "{\"for_s\":0,\"goodbye\":\"counts\"}", "");
	pass(5);
	goes("d");
	jump(2);
	say_sight();
	commander.due |= DUE_ALERTS;
	must(pg_begin(commander.pg, &error) && alert_run(&commander, &error), &error);
	turns(&second); // it neither waits for the first nor does the same
	alerts("");
	must(pg_commit(commander.pg, &error), &error);
	alerts("d active");
	jump(2);
	say_sight();
	turns(&second);
	turns(&commander);
	alerts("d active");
	says("select string_agg(type, ' ' order by id) from alert_event", "raised");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_transition, setup),
		cmocka_unit_test_setup(a_person_clears_what_does_not_go_away, setup),
		cmocka_unit_test_setup(for_a_time_is_without_a_break, setup),
		cmocka_unit_test_setup(a_value_has_to_be_said_again, setup),
		cmocka_unit_test_setup(what_is_over_has_to_be_over_by_a_margin, setup),
		cmocka_unit_test_setup(below_counts_the_other_way, setup),
		cmocka_unit_test_setup(who_flaps_has_to_be_quiet_for_longer, setup),
		cmocka_unit_test_setup(silence_is_no_report, setup),
		cmocka_unit_test_setup(a_goodbye_may_be_ignored_and_sleep_is_expected, setup),
		cmocka_unit_test(a_restart_of_any_part_raises_none),
		cmocka_unit_test_setup(cells_have_clocks_of_their_own, setup),
		cmocka_unit_test_setup(an_outage_in_the_midst_is_taken_out, setup),
		cmocka_unit_test_setup(an_ingest_that_is_gone_for_good_stops_counting, setup),
		cmocka_unit_test_setup(a_clock_that_is_set_back_counts_nothing, setup),
		cmocka_unit_test_setup(a_rule_that_changes_takes_back_what_it_says_no_more, setup),
		cmocka_unit_test_setup(a_device_that_is_none_any_more_takes_its_alerts_along, setup),
		cmocka_unit_test_setup(all_are_looked_at_now_and_then, setup),
		cmocka_unit_test_setup(thousands_are_taken_in_slices, setup),
		cmocka_unit_test_setup(a_look_reads_what_changed, setup),
		cmocka_unit_test_setup(two_commanders_raise_one, setup),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
