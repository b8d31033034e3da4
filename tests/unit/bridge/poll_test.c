#include "bridge/poll.h"

#include "tests/unit/bridge/asking.h"

static struct poll *waiting;
static int answered;
static char device[] = "p-0";

static void on_answered(const char *name, void *user)
{
	answered++;
}

static void take(struct http_request *request, void *user)
{
	poll_take(waiting, request, device);
}

static void open_poll(size_t max)
{
	struct error error = {0};
	const struct poll_options options = {
		.worker = worker, .metrics = metrics, .waiting_max = max, .answered = on_answered};
	waiting = poll_new(loop, &options, &error);
	assert_non_null(waiting);
	handler = take;
	answered = 0;
	UNTIL(worker_fresh(worker));
}

static void send_command(const char *name, int n, const char *state)
{
	char text[512];
	(void)snprintf(
		text, sizeof(text),
		"insert into command (device, action, state, n, jws, requested_by) values ('%s', 'ping', '%s', %d, "
		"'jws-%d', 'test')",
		name, state, n, n);
	sql(text);
}

// As the device with this digit.
static struct client ask(char digit, const char *query)
{
	device[2] = digit;
	struct client client = client_ask("GET", query, "", "");
	int before = answered;
	UNTIL(poll_waits(waiting, device) || answered > before);
	return client;
}

static void assert_answer(struct client *client, int status, const char *body)
{
	assert_int_equal(client_status(client), status);
	if (!strstr(client->text, body))
		fail_msg("%s", client->text);
}

static void what_is_sent_is_handed_out(void **state)
{
	open_poll(10);
	send_command("p-1", 1, "succeeded");
	send_command("p-1", 2, "sent");
	send_command("p-1", 3, "queued");
	struct client client = ask('1', "");
	assert_answer(&client, 200, "{\"commands\":[\"jws-2\"]}");
	client = ask('1', "?wait=30");
	assert_answer(&client, 200, "{\"commands\":[\"jws-2\"]}");
	client = ask('1', "?after=2");
	assert_answer(&client, 200, "{\"commands\":[]}");
	client = ask('2', "?wait=0");
	assert_answer(&client, 200, "{\"commands\":[]}");
	settle(); // no question is under way
	poll_free(waiting);
}

static void whoever_waits_gets_what_comes(void **state)
{
	open_poll(10);
	struct client first = ask('3', "?wait=60");
	struct client second = ask('4', "?wait=60");
	send_command("p-4", 1, "sent");
	poll_changed(waiting);
	assert_answer(&second, 200, "jws-1");
	assert_true(poll_waits(waiting, "p-3"));
	struct client again = ask('3', "?wait=1");
	assert_answer(&first, 200, "{\"commands\":[]}"); // the later one takes its place
	assert_answer(&again, 200, "{\"commands\":[]}"); // its time is over
	assert_false(poll_waits(waiting, "p-3"));
	settle(); // no question is under way
	poll_free(waiting);
}

static void ended_and_freed(void **state)
{
	open_poll(10);
	struct client first = ask('5', "?wait=60");
	struct client second = ask('6', "?wait=60");
	poll_end(waiting, "p-5");
	assert_answer(&first, 200, "{\"commands\":[]}");
	poll_end(waiting, "p-5");
	// A question may be under way: it comes back before the table goes.
	struct client third = ask('7', "");
	assert_answer(&third, 200, "{\"commands\":[]}");
	settle(); // no question is under way
	poll_free(waiting);
	assert_answer(&second, 503, "stopping");
}

// The statement fails, the connection lives, and nothing changes any more.
static void a_failed_question_is_asked_again(void **state)
{
	open_poll(10);
	send_command("p-8", 1, "sent");
	sql("alter table command rename column jws to jws_gone");
	struct client client = ask('8', "?wait=60");
	settle();
	assert_false(client_answered(&client));
	sql("alter table command rename column jws_gone to jws");
	assert_answer(&client, 200, "jws-1");
	settle(); // no question is under way
	poll_free(waiting);
}

static void so_many_wait_and_no_more(void **state)
{
	open_poll(2);
	struct client clients[3] = {ask('1', "?wait=60&after=99"), ask('2', "?wait=60&after=99")};
	device[2] = '3';
	clients[2] = client_ask("GET", "?wait=60", "", "");
	assert_answer(&clients[2], 503, "too many");
	poll_end(waiting, "p-1");
	poll_end(waiting, "p-2");
	assert_answer(&clients[0], 200, "[]");
	assert_answer(&clients[1], 200, "[]");
	settle(); // no question is under way
	poll_free(waiting);
}

static void refuses_what_is_no_number(void **state)
{
	static const char *const queries[] = {"?wait=61", "?wait=-1", "?wait=", "?wait=x", "?after=1.5",
					      "?after=9999999999999999999"};
	open_poll(2);
	for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
		struct client client = client_ask("GET", queries[i], "", "");
		assert_answer(&client, 400, "must be");
	}
	settle(); // no question is under way
	poll_free(waiting);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_sent_is_handed_out), cmocka_unit_test(whoever_waits_gets_what_comes),
		cmocka_unit_test(ended_and_freed),	      cmocka_unit_test(so_many_wait_and_no_more),
		cmocka_unit_test(a_failed_question_is_asked_again),
		cmocka_unit_test(refuses_what_is_no_number),
	};
	return cmocka_run_group_tests(tests, asking_setup, asking_teardown);
}
