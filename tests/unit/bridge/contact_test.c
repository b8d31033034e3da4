#include "bridge/contact.h"

#include "tests/unit/bridge/asking.h"
#include "tests/unit/support/broker.h"

// What is said is heard by a second session.

static struct broker broker;
static struct link *bridge;
static struct mqtt *listener;
static struct loop_timer *turns;
static struct contacts *contacts;
static bool listening, is_here;
static int here_asked;
static char heard[16][160]; // "<topic> <payload> <why>"
static size_t heard_count;

static void on_connect(void *user, bool session_present)
{
	struct error error = {0};
	assert_true(mqtt_subscribe(listener, "fleet/v1/+/status", 1, &error));
}

static void on_suback(void *user, int mid, const int *reason_codes, size_t count)
{
	listening = true;
}

static void on_message(void *user, const struct mqtt_message *message)
{
	const char *why = mqtt_property(message, "why");
	assert_non_null(mqtt_property(message, "session"));
	assert_true(heard_count < 16);
	(void)snprintf(heard[heard_count++], sizeof(heard[0]), "%s %.*s %s", message->topic,
		       (int)message->payload_bytes, (const char *)message->payload, why ? why : "-");
}

static void turn_listener(void *user)
{
	(void)mqtt_read(listener, 100);
	mqtt_tick(listener);
	mqtt_write(listener);
}

static bool here(const char *device, void *user)
{
	here_asked++;
	return is_here;
}

static void open_contacts(int offline_after_s)
{
	struct error error = {0};
	const struct contacts_options options = {.link = bridge,
						 .worker = worker,
						 .metrics = metrics,
						 .offline_after_s = offline_after_s,
						 .here = here};
	UNTIL(link_ready(bridge) && listening && worker_fresh(worker));
	contacts = contacts_new(loop, &options, &error);
	assert_non_null(contacts);
	heard_count = 0;
	is_here = false;
	here_asked = 0;
}

static void close_contacts(void)
{
	settle();
	contacts_free(contacts);
}

static bool was_said(const char *text)
{
	for (size_t i = 0; i < heard_count; i++)
		if (strcmp(heard[i], text) == 0)
			return true;
	return false;
}

// A device with a credential, as ingest would have seen it.
static void make_device(const char *name, const char *presence, const char *seen)
{
	char text[512];
	(void)snprintf(
		text, sizeof(text),
		"insert into bearer (token_hash, device, expires_at) values (sha256('%s'), '%s', now() + interval '1 "
		"day'); insert into device_state (device, presence, last_seen) values ('%s', '%s', now() - interval "
		"'%s')",
		name, name, name, presence, seen);
	sql(text);
}

static void online_once_and_offline_by_silence(void **state)
{
	open_contacts(1);
	make_device("one", "online", "1 hour");
	contacts_seen(contacts, "one", true);
	contacts_seen(contacts, "one", true);
	UNTIL(was_said("fleet/v1/one/status online -"));
	assert_int_equal(heard_count, 1);
	UNTIL(was_said("fleet/v1/one/status offline will"));
	close_contacts();
}

static void heard_elsewhere_is_not_offline(void **state)
{
	open_contacts(1);
	make_device("two", "online", "0 s");
	make_device("three", "online", "1 hour");
	sql("update device_state set last_seen = now() + interval '1 hour' where device = 'two'");
	contacts_seen(contacts, "two", true);
	contacts_seen(contacts, "three", true);
	UNTIL(was_said("fleet/v1/three/status offline will"));
	assert_false(was_said("fleet/v1/two/status offline will"));
	sql("update device_state set last_seen = now() - interval '1 hour' where device = 'two'");
	UNTIL(was_said("fleet/v1/two/status offline will")); // it was not forgotten
	close_contacts();
}

static void waiting_is_being_here(void **state)
{
	open_contacts(1);
	make_device("four", "online", "1 hour");
	is_here = true;
	contacts_seen(contacts, "four", false);
	int64_t late_ms = clock_mono_ms() + 3000;
	UNTIL(clock_mono_ms() > late_ms && heard_count >= 2); // signs of life, since it reports nothing
	assert_false(was_said("fleet/v1/four/status offline will"));
	is_here = false;
	UNTIL(was_said("fleet/v1/four/status offline will"));
	close_contacts();
}

static void those_of_before_are_adopted(void **state)
{
	open_contacts(1);
	make_device("five", "online", "1 hour");
	make_device("six", "offline", "1 hour");
	sql("insert into device_state (device, presence, last_seen) values ('mqtt-1', 'online', now() - interval '1 "
	    "hour')");
	contacts_adopt(contacts);
	UNTIL(was_said("fleet/v1/five/status offline will"));
	assert_false(was_said("fleet/v1/six/status offline will"));
	assert_false(was_said("fleet/v1/mqtt-1/status offline will"));
	close_contacts();
}

// The statement fails, the connection lives: nobody adopts anything again.
static void a_failed_question_is_asked_again(void **state)
{
	open_contacts(1);
	make_device("seven", "online", "1 hour");
	sql("alter table device_state rename column interval_s to interval_gone");
	contacts_seen(contacts, "seven", true);
	UNTIL(here_asked > 0); // it is silent, so the question is on its way
	settle();
	sql("alter table device_state rename column interval_gone to interval_s");
	UNTIL(was_said("fleet/v1/seven/status offline will"));
	close_contacts();
}

static int start(void **state)
{
	static char host[] = "127.0.0.1";
	static char name[] = "svc.bridge";
	static const struct mqtt_handlers handlers = {
		.on_connect = on_connect, .on_message = on_message, .on_suback = on_suback};
	static struct options options = {.broker_host = host, .client_id = name};
	struct error error = {0};
	mqtt_library_init();
	if (asking_setup(state) != 0 || !broker_init(&broker, scratch->folder, false))
		return -1;
	options.broker_port = broker.port;
	const struct mqtt_options session = {
		.host = host, .port = broker.port, .client_id = "listener", .keepalive_s = 60, .clean_start = true};
	bridge = link_new(loop, &options, metrics, &error);
	listener = mqtt_new(&session, &handlers, NULL, &error);
	turns = loop_timer_new(loop, turn_listener, NULL, &error);
	if (!bridge || !listener || !turns)
		return -1;
	loop_timer_every(turns, 2);
	return 0;
}

static int stop(void **state)
{
	link_free(bridge);
	mqtt_free(listener);
	loop_timer_free(turns);
	mqtt_library_cleanup();
	broker_stop(&broker);
	return asking_teardown(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(online_once_and_offline_by_silence),
		cmocka_unit_test(heard_elsewhere_is_not_offline),
		cmocka_unit_test(waiting_is_being_here),
		cmocka_unit_test(those_of_before_are_adopted),
		cmocka_unit_test(a_failed_question_is_asked_again),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
