// Who is told of alerts, when, and of how many at a time; who is not, and from when on again.
#include "tests/unit/commander/alerting.h"

#define MESSAGES                                                                                                       \
	"select string_agg(raised || ' new ' || cleared || ' over ' || still || ' still', ', ' order by at, id)"       \
	" from alert_digest"

static int64_t offline; // a rule that looks for nothing else

static int64_t channel(const char *name, int wait_s, int interval_s, const char *severity)
{
	char sql[512];

	(void)snprintf(
		sql, sizeof(sql),
		"with c as (insert into alert_channel (name, kind, url, wait_s, interval_s, repeat_s, created_by) "
		"values"
		" ('%s', 'webhook', 'https://example.org/', %d, %d, 3600, 'test') returning id) insert into alert_route"
		" (channel, severity) select id, '%s' from c returning channel",
		name, wait_s, interval_s, severity);
	return number(sql);
}

static int64_t silence(const char *query, const char *for_time, const char *week)
{
	char sql[512];

	(void)snprintf(
		sql, sizeof(sql),
		"insert into alert_silence (query, until_at, week, reason, created_by) values ('%s', now() + interval"
		" '%s', %s, 'test', 'test') returning id",
		query, for_time, week);
	return number(sql);
}

static int setup_offline(void **state)
{
	(void)setup(state);
	offline = rule("offline", "{\"for_s\":0,\"goodbye\":\"counts\"}", "");
	for (int i = 1; i <= 6; i++)
		device((const char[]){'d', (char)('0' + i), '\0'}, 1);
	pass(10);
	return 0;
}

// ---- together ----

static void what_comes_together_is_one_message(void **state)
{
	channel("ops", 30, 1, "info");
	goes("d1");
	pass(20);
	goes("d2");
	pass(20); // 20 s after the last one
	says(MESSAGES, "");
	pass(20);
	says(MESSAGES, "2 new 0 over 0 still");
	returns("%");
	pass(60);
	says(MESSAGES, "2 new 0 over 0 still, 0 new 2 over 0 still");
}

// Something new all the time must not keep everybody waiting for ever: at most four times as long.
static void waiting_for_more_has_an_end(void **state)
{
	channel("ops", 30, 1, "info");
	for (int i = 1; i <= 6; i++) {
		goes((const char[]){'d', (char)('0' + i), '\0'});
		pass(20);
		says(MESSAGES, "");
	}
	pass(9);
	says(MESSAGES, "6 new 0 over 0 still");
}

static void between_two_messages_there_is_a_while(void **state)
{
	channel("ops", 0, 80, "info");
	goes("d1");
	pass(9);
	says(MESSAGES, "1 new 0 over 0 still");
	goes("d2");
	pass(45);
	says(MESSAGES, "1 new 0 over 0 still");
	returns("d1");
	goes("d3");
	pass(45);
	says(MESSAGES, "1 new 0 over 0 still, 2 new 1 over 0 still");
}

static void what_came_and_went_in_between_is_not_mentioned(void **state)
{
	channel("ops", 30, 1, "info");
	goes("d1");
	pass(10);
	returns("d1");
	pass(60);
	says(MESSAGES, "");
	says("select told from alert_told", "cleared");
}

// Said again until somebody sees to it.
static void what_nobody_acknowledges_is_said_again(void **state)
{
	channel("ops", 0, 1, "info");
	goes("d1");
	goes("d2");
	pass(10);
	exec("update alert set acknowledged_at = now() where object = 'd2'");
	jump(3595);
	pass(60);
	says(MESSAGES, "2 new 0 over 0 still, 0 new 0 over 1 still");
}

static void thousands_are_one_message_for_each_channel(void **state)
{
	channel("ops", 5, 1, "info");
	channel("pager", 5, 1, "info");
	exec("insert into device (device) select 'x' || i from generate_series(1, 5000) i;"
	     "insert into device_state (device, presence, presence_why, presence_since, interval_s, cell)"
	     " select 'x' || i, 'offline', 'will', now(), 86400, 1 from generate_series(1, 5000) i");
	pass(27);
	says(MESSAGES, "5000 new 0 over 0 still, 5000 new 0 over 0 still");
	assert_int_equal(number("select min(jsonb_array_length(body::jsonb #> '{data,alerts}')) from alert_digest"),
			 100);
	assert_int_equal(number("select count(*) from alert_told where told = 'active'"), 10000);
}

// ---- who ----

static void a_channel_gets_what_its_routes_say(void **state)
{
	int64_t grave = channel("grave", 0, 1, "critical"), of_rule = channel("of rule", 0, 1, "info");
	int64_t off = channel("off", 0, 1, "info");
	int64_t disk = rule("disk", "{\"above\":90,\"for_s\":0,\"margin\":0}", "");

	execf("update alert_route set rule = %lld where channel = %lld; update alert_channel set enabled = false where "
	      "id = %lld",
	      (long long)disk, (long long)of_rule, (long long)off);
	goes("d1");
	pass(10);
	says(MESSAGES, "");
	report("d2", "disk_total = 100, disk_free = 1");
	pass(10);
	assert_int_equal(number("select min(channel) from alert_digest"), of_rule);
	execf("update alert_rule set severity = 'critical' where id = %lld", (long long)offline);
	goes("d3");
	pass(10);
	assert_int_equal(
		number("select max(raised) from alert_digest where channel = 0 + (select id from alert_channel where"
		       " name = 'grave')"),
		1);
	assert_int_equal(number("select count(*) from alert_digest"), 2);
	assert_true(grave > 0);
}

static void what_a_rule_takes_along_is_told_as_over(void **state)
{
	channel("ops", 0, 1, "info");
	goes("d1");
	goes("d2");
	pass(10);
	exec("update alert set acknowledged_at = now() where object = 'd1'");
	execf("delete from alert_rule where id = %lld", (long long)offline);
	pass(10);
	says(MESSAGES, "2 new 0 over 0 still, 0 new 2 over 0 still");
}

static void a_test_is_told_at_once_and_alone(void **state)
{
	channel("ops", 3600, 3600, "info");
	goes("d1");
	pass(5);
	exec("update alert_channel set test_at = now()");
	pass(5);
	says(MESSAGES, "0 new 0 over 0 still");
	says("select body::jsonb ->> 'type' from alert_digest", "muster.alerts.test");
}

static void two_commanders_make_one_message(void **state)
{
	struct error error = {0};

	channel("ops", 0, 1, "info");
	goes("d1");
	jump(2);
	say_sight();
	commander.due |= DUE_ALERTS;
	must(pg_begin(commander.pg, &error) && alert_run(&commander, &error) && pg_commit(commander.pg, &error),
	     &error);
	jump(2);
	commander.due |= DUE_NOTIFY;
	must(pg_begin(commander.pg, &error) && notify_run(&commander, &error), &error);
	turns(&second); // it neither waits for the first nor says the same
	must(pg_commit(commander.pg, &error), &error);
	pass(20);
	turns(&second);
	says(MESSAGES, "1 new 0 over 0 still");
}

// ---- silence ----

static void what_is_silenced_is_told_when_it_is_not_any_more(void **state)
{
	channel("ops", 0, 1, "info");
	silence("device:d1", "60 seconds", "null");
	pass(5);
	goes("d1");
	goes("d2");
	pass(30);
	says("select string_agg(object || ' ' || (silence is not null), ', ' order by object) from alert",
	     "d1 true, d2 false");
	says(MESSAGES, "1 new 0 over 0 still");
	pass(60);
	says(MESSAGES, "1 new 0 over 0 still, 1 new 0 over 0 still");
	says("select string_agg(type, ' ' order by e.id) from alert_event e join alert a on a.id = e.alert where "
	     "a.object = 'd1'",
	     "raised silenced unsilenced told");
}

static void what_was_over_before_the_silence_ended_is_never_mentioned(void **state)
{
	channel("ops", 0, 1, "info");
	silence("device:d1", "60 seconds", "null");
	pass(5);
	goes("d1");
	pass(20);
	returns("d1");
	pass(90);
	alerts("d1 cleared");
	says(MESSAGES, "");
}

// Told before, silenced, over meanwhile: that it is over is said.
static void what_was_told_before_is_told_as_over(void **state)
{
	channel("ops", 0, 1, "info");
	goes("d1");
	pass(10);
	silence("", "10 minutes", "null");
	pass(10);
	returns("d1");
	pass(10);
	says(MESSAGES, "1 new 0 over 0 still, 0 new 1 over 0 still");
}

static void a_device_that_leaves_what_is_silenced_is_told(void **state)
{
	channel("ops", 0, 1, "info");
	exec("update device set tags = array['repair'] where device in ('d1', 'd2')");
	silence("tag:repair", "1 day", "null");
	pass(5);
	goes("d1");
	goes("d2");
	pass(20);
	says(MESSAGES, "");
	exec("update device set tags = '{}' where device = 'd1'");
	pass(20);
	says("select string_agg(object || ' ' || (silence is not null), ', ' order by object) from alert",
	     "d1 false, d2 true");
	says(MESSAGES, "1 new 0 over 0 still");
}

// Of two silences, the one that still covers it does so without a gap, whichever came first.
static void another_silence_takes_over_without_a_word(void **state)
{
	channel("ops", 0, 1, "info");
	exec("update device set tags = array['repair', 'night'] where device = 'd1'");
	silence("tag:repair", "1 day", "null");
	pass(5);
	goes("d1");
	pass(10);
	exec("update device set tags = array['night'] where device = 'd1'");
	exec("insert into alert_silence (id, query, until_at, reason, created_by) overriding system value values (0,"
	     " 'tag:night', now() + interval '1 day', 'test', 'test')");
	pass(20);
	assert_int_equal(number("select silence from alert"), 0);
	says(MESSAGES, "");
}

static void a_silence_of_a_group_that_is_no_more_ends(void **state)
{
	channel("ops", 0, 1, "info");
	exec("delete from device_group; insert into device_group (name, query, created_by) values ('attic', "
	     "'device:d1', 'test')");
	silence("group:attic", "1 day", "null");
	pass(5);
	goes("d1");
	pass(20);
	says(MESSAGES, "");
	exec("delete from device_group");
	pass(20);
	says(MESSAGES, "1 new 0 over 0 still");
}

// Each night from ten to five: 2026-01-05 is a Monday.
static void a_window_of_the_week_opens_and_closes(void **state)
{
	channel("ops", 0, 1, "info");
	silence("", "30 days", "'{\"days\":[1,2,3,4,5,6,7],\"from\":\"22:00\",\"to\":\"05:00\"}'");
	goes("d1");
	pass(10);
	says(MESSAGES, "1 new 0 over 0 still"); // at noon
	exec("update alert set acknowledged_at = now()");
	jump(10 * 3600); // shortly after ten
	pass(30);
	goes("d2");
	pass(30);
	says(MESSAGES, "1 new 0 over 0 still");
	jump(7 * 3600 - 600);
	pass(60); // ten minutes to five
	says(MESSAGES, "1 new 0 over 0 still");
	jump(600);
	pass(60);
	says(MESSAGES, "1 new 0 over 0 still, 1 new 0 over 0 still");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_comes_together_is_one_message, setup_offline),
		cmocka_unit_test_setup(waiting_for_more_has_an_end, setup_offline),
		cmocka_unit_test_setup(between_two_messages_there_is_a_while, setup_offline),
		cmocka_unit_test_setup(what_came_and_went_in_between_is_not_mentioned, setup_offline),
		cmocka_unit_test_setup(what_nobody_acknowledges_is_said_again, setup_offline),
		cmocka_unit_test_setup(thousands_are_one_message_for_each_channel, setup_offline),
		cmocka_unit_test_setup(a_channel_gets_what_its_routes_say, setup_offline),
		cmocka_unit_test_setup(what_a_rule_takes_along_is_told_as_over, setup_offline),
		cmocka_unit_test_setup(a_test_is_told_at_once_and_alone, setup_offline),
		cmocka_unit_test_setup(two_commanders_make_one_message, setup_offline),
		cmocka_unit_test_setup(what_is_silenced_is_told_when_it_is_not_any_more, setup_offline),
		cmocka_unit_test_setup(what_was_over_before_the_silence_ended_is_never_mentioned, setup_offline),
		cmocka_unit_test_setup(what_was_told_before_is_told_as_over, setup_offline),
		cmocka_unit_test_setup(a_device_that_leaves_what_is_silenced_is_told, setup_offline),
		cmocka_unit_test_setup(another_silence_takes_over_without_a_word, setup_offline),
		cmocka_unit_test_setup(a_silence_of_a_group_that_is_no_more_ends, setup_offline),
		cmocka_unit_test_setup(a_window_of_the_week_opens_and_closes, setup_offline),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
