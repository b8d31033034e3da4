// Against a real PostgreSQL, and a server that answers as a test says.
#include "tests/unit/commander/alerting.h"

#define PRIVATE_REACH "private"

static struct loop *loop;
static struct http_server *server;
static int answers; // how every request is answered
static unsigned asked, strayed;
static char key_path[128];

static void on_hook(struct http_request *request, void *user)
{
	asked++;
	http_reply_header(request, "Location", "/elsewhere");
	http_reply_header(request, "Retry-After", "120");
	http_reply(request, answers, "text/plain", "", 0);
}

static void on_stray(struct http_request *request, void *user)
{
	strayed++;
	http_reply(request, 200, "text/plain", "", 0);
}

static void on_tick(void *user)
{
}

static void reach(const char *text)
{
	static char words[2][8] = {"any", PRIVATE_REACH};

	hook_done(&commander.hook);
	commander.hook = (struct hook){0};
	options.webhook_reach = strcmp(text, words[0]) == 0 ? words[0] : words[1];
	hook_init(&commander);
	assert_non_null(commander.hook.http);
}

static int hook_group_setup(void **state)
{
	static const struct http_route routes[] = {
		{"POST", "/hook", on_hook, 0}, {"POST", "/elsewhere", on_stray, 0}, {"GET", "/elsewhere", on_stray, 0}};
	struct error error = {0};
	char token[TOKEN_TEXT_BYTES];

	if (group_setup(state) != 0)
		return -1;
	crypto_random_token(token);
	(void)snprintf(key_path, sizeof(key_path), "%s/webhook.key", ((struct scratch *)*state)->folder);
	loop = loop_new(&error);
	if (!loop || !file_write(key_path, token, strlen(token), 0600, &error))
		return -1;
	server = http_server_new(loop,
				 &(struct http_options){.address = "127.0.0.1",
							.body_max_bytes = 65536,
							.routes = routes,
							.route_count = sizeof(routes) / sizeof(routes[0])},
				 &error);
	commander.loop = loop;
	commander.tick = loop_timer_new(loop, on_tick, NULL, &error);
	options.webhook_key_file = key_path;
	options.webhook_timeout_s = 5;
	options.webhook_retry_s = 100;
	options.webhook_breaker_open_s = 3600;
	return server && commander.tick ? 0 : -1;
}

static int hook_group_teardown(void **state)
{
	hook_done(&commander.hook);
	loop_timer_free(commander.tick);
	http_server_free(server);
	loop_free(loop);
	return group_teardown(state);
}

static int setup_hook(void **state)
{
	(void)setup(state);
	asked = strayed = 0;
	answers = 204;
	reach("any");
	return 0;
}

static void channel(int64_t id, const char *host)
{
	execf("insert into alert_channel (id, name, kind, url, secret_salt, created_by) overriding system value values "
	      "(%lld,"
	      " 'c%lld', 'webhook', 'http://%s:%d/hook', 'salt', 'test')",
	      (long long)id, (long long)id, host, http_server_port(server));
}

static void message(int64_t to)
{
	execf("insert into alert_digest (channel, raised, cleared, still, subject, body) values (%lld, 1, 0, 0, 's', "
	      "'{}')",
	      (long long)to);
}

static void turn(void)
{
	struct error error = {0};

	hook_look(&commander.hook);
	must(pg_begin(commander.pg, &error) && hook_run(&commander, &error) && pg_commit(commander.pg, &error), &error);
	hook_committed(&commander);
}

// All that is due leaves, and what came of it is stored.
static void deliver(void)
{
	turn();
	for (int64_t deadline_ms = clock_mono_ms() + PROCESS_DEADLINE_MS; commander.hook.under_way;) {
		assert_true(clock_mono_ms() < deadline_ms);
		assert_true(loop_run_once(loop, 20, NULL));
	}
	turn();
}

static void what_it_answers_decides(void **state)
{
	static const struct {
		int status;
		const char *stored;
	} cases[] = {
		{200, "sent 200 "},
		{204, "sent 204 "},
		{302, "waiting 302 it answered 302"}, // nobody goes where it points
		{404, "waiting 404 it answered 404"},
		{410, "failed 410 it answered 410"},
		{500, "waiting 500 it answered 500"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		exec("delete from alert_digest; delete from alert_channel");
		channel((int64_t)i + 1, "127.0.0.1");
		message((int64_t)i + 1);
		answers = cases[i].status;
		deliver();
		says("select state || ' ' || status || ' ' || error from alert_digest", cases[i].stored);
	}
	assert_int_equal(strayed, 0);
	assert_int_equal(asked, sizeof(cases) / sizeof(cases[0]));
}

// Doubling from retry_s to an hour, at least half of it; what is asked for with Retry-After, when that is longer.
static void tries_become_rarer_until_it_expires(void **state)
{
	channel(1, "127.0.0.1");
	message(1);
	answers = 500;
	for (int64_t i = 1, most_s = 100; i <= 8; i++, most_s = most_s * 2 < 3600 ? most_s * 2 : 3600) {
		memset(commander.hook.channels, 0, sizeof(commander.hook.channels)); // the breaker is another test's
		deliver();
		assert_int_equal(number("select attempts from alert_digest"), i);
		int64_t wait_s = number("select extract(epoch from next_at - now())::bigint from alert_digest");

		assert_in_range(wait_s, most_s / 2 > 120 ? most_s / 2 : 120, most_s > 120 ? most_s : 120);
		deliver(); // before its time, nobody tries
		assert_int_equal(asked, i);
		jump((int)wait_s + 1);
	}
	jump(86400);
	deliver();
	says("select state || ': ' || error from alert_digest", "failed: it expired, and before: it answered 500");
}

static void who_fails_is_left_alone_and_holds_up_nobody_else(void **state)
{
	channel(1, "127.0.0.1");
	channel(2, "127.0.0.1");
	answers = 500;
	for (int i = 0; i < 3; i++) {
		message(1);
		deliver();
	}
	assert_int_equal(asked, 3);
	jump(3700);
	answers = 204;
	message(1);
	message(2);
	deliver();
	assert_int_equal(asked, 4);
	says("select string_agg(distinct channel::text, ' ') from alert_digest where state = 'sent'", "2");
}

// The address is judged when it is connected to, so that a name that leads here is refused as the address is.
static void what_is_out_of_reach_is_not_asked(void **state)
{
	static const char *const hosts[] = {"127.0.0.1", "localhost"};

	reach(PRIVATE_REACH);
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		exec("delete from alert_digest; delete from alert_channel");
		channel((int64_t)i + 1, hosts[i]);
		message((int64_t)i + 1);
		deliver();
		says("select state from alert_digest", "waiting");
		says("select (error like '%reach%')::text from alert_digest", "true");
	}
	assert_int_equal(asked, 0);
	reach("any"); // the control
	exec("update alert_digest set next_at = now()");
	deliver();
	assert_int_equal(asked, 1);
}

static void two_commanders_send_one(void **state)
{
	struct error error = {0};

	second.loop = loop;
	second.tick = commander.tick;
	hook_init(&second);
	channel(1, "127.0.0.1");
	message(1);
	hook_look(&second.hook);
	must(pg_begin(second.pg, &error) && hook_run(&second, &error), &error);
	assert_non_null(second.hook.claimed);
	deliver(); // it neither waits nor sends
	assert_int_equal(asked, 0);
	pg_rollback(second.pg);
	hook_rolled_back(&second.hook);
	deliver();
	assert_int_equal(asked, 1);
	hook_done(&second.hook);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(what_it_answers_decides, setup_hook),
		cmocka_unit_test_setup(tries_become_rarer_until_it_expires, setup_hook),
		cmocka_unit_test_setup(who_fails_is_left_alone_and_holds_up_nobody_else, setup_hook),
		cmocka_unit_test_setup(what_is_out_of_reach_is_not_asked, setup_hook),
		cmocka_unit_test_setup(two_commanders_send_one, setup_hook),
	};

	return cmocka_run_group_tests(tests, hook_group_setup, hook_group_teardown);
}
