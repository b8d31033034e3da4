#include "agent/uplink.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

// What left through the port: seq of a message, 0 for hello.
#define SENT_MAX 4096
struct place {
	char folder[64];
	char path[96];
	struct outbox *outbox;
	struct uplink uplink;
	struct uplink_facts facts;
	struct error error;
	int64_t sent[SENT_MAX];
	size_t sent_count;
	size_t packets; // an array is one
	char hello[1024];
	bool refuse;
	int64_t now_ms;
};

static bool publish(void *user, const char *topic, const void *payload, size_t payload_bytes, int64_t age_ms,
		    struct error *error)
{
	struct place *place = user;
	if (place->refuse)
		return error_set(error, ERROR_UNREACHABLE, "no connection");
	struct json *json auto_json = json_parse(payload, payload_bytes, error);
	int64_t seq = 0;
	assert_non_null(json);
	place->packets++;
	if (json_type(json) == JSON_ARRAY) {
		assert_string_equal(topic, "fleet/v1/kiosk-7/telemetry");
		assert_in_range(json_array_length(json), 2, READINGS_PER_MESSAGE_MAX);
		assert_true(payload_bytes <= UPLINK_MESSAGE_BYTES_MAX);
		for (size_t i = 0; i < json_array_length(json); i++) {
			assert_true(place->sent_count < SENT_MAX);
			assert_true(json_member_int(json_array_at(json, i), "seq", &place->sent[place->sent_count++]));
		}
		return true;
	}
	if (!json_member_int(json, "seq", &seq)) {
		assert_string_equal(topic, "fleet/v1/kiosk-7/event");
		(void)snprintf(place->hello, sizeof(place->hello), "%.*s", (int)payload_bytes, (const char *)payload);
	}
	assert_true(place->sent_count < SENT_MAX);
	place->sent[place->sent_count++] = seq;
	return true;
}

static void open_outbox(struct place *place, int64_t rows_max)
{
	struct outbox_options options = {.path = place->path, .rows_max = rows_max, .bytes_max = 64 << 20};
	struct uplink_port port = {publish, place};
	uplink_done(&place->uplink);
	outbox_free(place->outbox);
	place->outbox = outbox_open(&options, NULL, &place->error);
	assert_non_null(place->outbox);
	assert_true(uplink_init(&place->uplink, place->outbox, "kiosk-7", &port, &place->facts, NULL, &place->error));
	place->uplink.replay_per_s = 100000; // the tests of the pace set their own
}

static int set_up(void **state)
{
	static char ping[] = "ping";
	static char *actions[] = {ping, NULL};
	struct place *place = calloc(1, sizeof(*place));
	(void)snprintf(place->folder, sizeof(place->folder), "/tmp/muster-uplink-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	(void)snprintf(place->path, sizeof(place->path), "%s/outbox.db", place->folder);
	place->facts =
		(struct uplink_facts){.interval_s = 30, .boot_id = "boot", .fingerprint = "", .actions = actions};
	place->now_ms = 1000000;
	open_outbox(place, 100000);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.db.lock"};
	struct place *place = *state;
	uplink_done(&place->uplink);
	outbox_free(place->outbox);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[160];
		(void)snprintf(path, sizeof(path), "%s/%s", place->folder, names[i]);
		(void)unlink(path);
	}
	int rc = rmdir(place->folder);
	free(place);
	return rc;
}

static void push(struct place *place, int count, size_t bytes)
{
	char *text auto_free = malloc(bytes + 1);
	memset(text, 'x', bytes);
	text[bytes] = '\0';
	assert_true(outbox_begin(place->outbox, &place->error));
	for (int i = 0; i < count; i++) {
		struct json *body auto_json = json_new_object();
		json_set_string(body, "text", text);
		assert_true(outbox_push(place->outbox, "fleet/v1/kiosk-7/telemetry", body, NULL, &place->error));
	}
	assert_true(outbox_commit(place->outbox, &place->error));
}

static void pump(struct place *place)
{
	place->sent_count = place->packets = 0;
	assert_true(uplink_pump(&place->uplink, place->now_ms, 1, &place->error));
}

static void stored(struct place *place, int64_t seq)
{
	char text[128];
	int bytes = snprintf(text, sizeof(text), "{\"epoch\":\"%s\",\"seq\":%" PRId64 "}", outbox_epoch(place->outbox),
			     seq);
	assert_true(uplink_stored(&place->uplink, text, (size_t)bytes, place->now_ms, &place->error));
}

static void acknowledge_all(struct place *place)
{
	while (place->uplink.unacknowledged > 0)
		uplink_acknowledged(&place->uplink);
}

// hello and first..last, in order
static void assert_sent(const struct place *place, bool hello, int64_t first, int64_t last)
{
	size_t at = 0;
	if (hello) {
		assert_true(place->sent_count > 0);
		assert_int_equal(place->sent[at++], 0);
	}
	for (int64_t seq = first; seq <= last; seq++)
		assert_int_equal(place->sent[at++], seq);
	assert_int_equal(place->sent_count, at);
}

static void hello_first_then_in_order(void **state)
{
	struct place *place = *state;
	push(place, 3, 1);
	pump(place);
	assert_int_equal(place->sent_count, 0); // not connected
	uplink_connected(&place->uplink);
	pump(place);
	assert_sent(place, true, 1, 3);
	assert_non_null(strstr(place->hello, "\"oldest_seq\":1,\"next_seq\":4,\"dropped\":0"));
	assert_non_null(
		strstr(place->hello, "\"interval_s\":30,\"signers\":0,\"boot_id\":\"boot\",\"actions\":[\"ping\"]}"));
	push(place, 1, 1);
	pump(place);
	assert_sent(place, false, 4, 4);
	pump(place);
	assert_int_equal(place->sent_count, 0);
	uplink_hello(&place->uplink);
	pump(place);
	assert_sent(place, true, 1, 0);
}

static void hello_tells_how_it_is_reached(void **state)
{
	struct place *place = *state;
	uplink_connected(&place->uplink);
	pump(place);
	assert_null(strstr(place->hello, "push_token"));
	assert_null(strstr(place->hello, "mode"));
	place->facts.mode = "on_demand";
	place->facts.push_token = "dQw:APA91b";
	uplink_hello(&place->uplink);
	pump(place);
	assert_non_null(strstr(place->hello, "\"mode\":\"on_demand\",\"push_token\":\"dQw:APA91b\""));
	place->facts.push_token = ""; // taken back: that is told, too
	uplink_hello(&place->uplink);
	pump(place);
	assert_non_null(strstr(place->hello, "\"push_token\":\"\""));
}

static void push_event(struct place *place)
{
	struct json *body auto_json = json_new_object();
	json_set_string(body, "type", "boot");
	assert_true(outbox_push(place->outbox, "fleet/v1/kiosk-7/event", body, NULL, &place->error));
}

// Only readings, only neighbours; a lone one stays an object.
static void readings_leave_together(void **state)
{
	struct place *place = *state;
	push(place, 3, 1);
	push_event(place);
	push(place, 1, 1);
	push_event(place);
	push_event(place);
	push(place, 101, 1);
	uplink_connected(&place->uplink);
	pump(place);
	assert_sent(place, true, 1, 108);
	// hello, 1-3, 4, 5, 6, 7, 8-107, 108
	assert_int_equal(place->packets, 8);
	push(place, 8, 20000);
	acknowledge_all(place);
	pump(place);
	assert_sent(place, false, 109, 116);
	assert_int_equal(place->packets, 3); // three of them fill 64 kB
}

// Half a second's worth at a time, and never more than the rate, however late the pump is called.
static void a_replay_keeps_its_pace(void **state)
{
	struct place *place = *state;
	place->uplink.replay_per_s = 200;
	push(place, 2000, 1);
	uplink_connected(&place->uplink);
	pump(place);
	assert_sent(place, true, 1, 200);
	int64_t sent = 200;
	for (int turn = 0; turn < 8; turn++) {
		acknowledge_all(place);
		stored(place, sent);
		pump(place);
		assert_int_equal(place->sent_count, 0);
		assert_int_equal(uplink_deadline_ms(&place->uplink), place->now_ms + 500);
		place->now_ms += 499;
		pump(place);
		assert_int_equal(place->sent_count, 0);
		place->now_ms += 1;
		pump(place);
		assert_sent(place, false, sent + 1, sent + 100);
		sent += 100;
	}
	acknowledge_all(place);
	stored(place, sent);
	place->now_ms += 20000;
	pump(place);
	assert_sent(place, false, sent + 1, sent + 200); // no more saved up than one second's worth
}

static void a_large_message_counts_by_its_size(void **state)
{
	struct place *place = *state;
	place->uplink.replay_per_s = 100;
	push(place, 3, 200000); // 195 kB, so close to 2 s each
	uplink_connected(&place->uplink);
	pump(place);
	assert_sent(place, true, 1, 1);
	int64_t wait_ms = uplink_deadline_ms(&place->uplink) - place->now_ms;
	assert_in_range(wait_ms, 900, 1100);
	place->now_ms += wait_ms;
	pump(place);
	assert_sent(place, false, 2, 2);
}

// What waits behind a backlog shows at once, and goes out in its turn as well.
static void hello_shows_the_latest_reading(void **state)
{
	struct place *place = *state;
	struct json *reading auto_json = json_new_object();
	json_set_int(reading, "ts", 7);
	json_set_double(reading, "load1", 0.5);
	place->uplink.replay_per_s = 10;
	push(place, 11, 1);
	uplink_latest(&place->uplink, reading);
	uplink_connected(&place->uplink);
	pump(place);
	assert_sent(place, true, 1, 10);
	assert_non_null(strstr(place->hello, "\"latest\":{\"ts\":7,\"load1\":0.5}}"));
	uplink_latest(&place->uplink, reading); // little waits: it comes by itself
	pump(place);
	assert_int_equal(place->sent_count, 0);
	push(place, 20, 1);
	place->hello[0] = '\0';
	uplink_latest(&place->uplink, reading);
	pump(place);
	assert_sent(place, true, 1, 0);
	assert_non_null(strstr(place->hello, "\"latest\""));

	acknowledge_all(place);
	stored(place, 10);
	place->now_ms += 3600000;
	uplink_hello(&place->uplink);
	pump(place);
	acknowledge_all(place);
	stored(place, 20);
	place->now_ms += 3600000;
	uplink_hello(&place->uplink);
	pump(place);
	acknowledge_all(place);
	stored(place, 30);
	uplink_hello(&place->uplink);
	pump(place);
	assert_null(strstr(place->hello, "\"latest\""));
}

static void what_nobody_received_goes_out_again_soon(void **state)
{
	struct place *place = *state;
	push(place, 2, 1);
	uplink_undelivered(&place->uplink, place->now_ms); // not connected: nothing to do
	uplink_connected(&place->uplink);
	pump(place);
	acknowledge_all(place);
	uplink_undelivered(&place->uplink, place->now_ms);
	assert_int_equal(uplink_deadline_ms(&place->uplink), place->now_ms + UPLINK_UNDELIVERED_MS);
	place->now_ms += UPLINK_UNDELIVERED_MS;
	pump(place);
	assert_sent(place, true, 1, 2);
	acknowledge_all(place);
	uplink_undelivered(&place->uplink, place->now_ms);
	assert_int_equal(uplink_deadline_ms(&place->uplink), place->now_ms + (int64_t)2 * UPLINK_UNDELIVERED_MS);
}

// A fault that stays must not make the agent's loop spin.
static void a_refusing_port_is_not_asked_at_once_again(void **state)
{
	struct place *place = *state;
	push(place, 1, 1);
	uplink_connected(&place->uplink);
	pump(place);
	push(place, 1, 1);
	place->refuse = true;
	assert_false(uplink_pump(&place->uplink, place->now_ms, 1, &place->error));
	assert_true(uplink_deadline_ms(&place->uplink) >= place->now_ms + 1000);
	place->refuse = false;
	place->now_ms += 2000;
	pump(place);
	assert_sent(place, false, 2, 2);
}

static void a_window_of_rows(void **state)
{
	struct place *place = *state;
	push(place, UPLINK_ROWS_MAX + 100, 1);
	uplink_connected(&place->uplink);
	pump(place);
	assert_sent(place, true, 1, UPLINK_ROWS_MAX);
	assert_int_equal(place->packets, 1 + UPLINK_ROWS_MAX / READINGS_PER_MESSAGE_MAX);
	acknowledge_all(place);
	pump(place);
	assert_int_equal(place->sent_count, 0); // PUBACK alone opens nothing
	stored(place, 60);
	pump(place);
	assert_sent(place, false, UPLINK_ROWS_MAX + 1, UPLINK_ROWS_MAX + 60);
}

static void a_window_of_bytes(void **state)
{
	struct place *place = *state;
	push(place, 20, 100000);
	uplink_connected(&place->uplink);
	pump(place);
	assert_sent(place, true, 1, 11); // the one that passes 1 MiB is the last
	acknowledge_all(place);
	stored(place, 5);
	pump(place);
	assert_sent(place, false, 12, 16);
}

static void what_is_not_stored_goes_out_again(void **state)
{
	struct place *place = *state;
	push(place, 4, 1);
	uplink_connected(&place->uplink);
	pump(place);
	acknowledge_all(place);
	stored(place, 1);
	pump(place);

	// 30 s, then doubling to 5 min
	static const int64_t waits_ms[] = {30000, 60000, 120000, 240000, 300000, 300000};
	for (size_t i = 0; i < sizeof(waits_ms) / sizeof(waits_ms[0]); i++) {
		assert_int_equal(uplink_deadline_ms(&place->uplink), place->now_ms + waits_ms[i]);
		place->now_ms += waits_ms[i] - 1;
		pump(place);
		assert_int_equal(place->sent_count, 0);
		place->now_ms += 1;
		pump(place);
		assert_sent(place, true, 2, 4);
		acknowledge_all(place);
	}
	stored(place, 2); // progress: back to 30 s
	pump(place);
	assert_int_equal(uplink_deadline_ms(&place->uplink), place->now_ms + 30000);
	stored(place, 4);
	pump(place);
	assert_true(uplink_deadline_ms(&place->uplink) == INT64_MAX);
}

static void reconnecting_starts_from_the_oldest(void **state)
{
	struct place *place = *state;
	push(place, 3, 1);
	uplink_connected(&place->uplink);
	pump(place);
	acknowledge_all(place);
	stored(place, 1);
	uplink_disconnected(&place->uplink);
	pump(place);
	assert_int_equal(place->sent_count, 0);
	uplink_connected(&place->uplink);
	pump(place);
	assert_sent(place, true, 2, 3);
}

// libmosquitto sends those again itself.
static void flapping_piles_nothing_up(void **state)
{
	struct place *place = *state;
	push(place, 3, 1);
	uplink_connected(&place->uplink);
	pump(place);
	for (int i = 0; i < 100; i++) {
		uplink_disconnected(&place->uplink);
		uplink_connected(&place->uplink);
		pump(place);
		assert_sent(place, true, 1, 0);
	}
	acknowledge_all(place);
	pump(place);
	assert_sent(place, false, 1, 3);

	uplink_disconnected(&place->uplink);
	uplink_connected(&place->uplink);
	pump(place);
	place->now_ms += 30000; // no PUBACK either: not waited for any longer
	pump(place);
	assert_sent(place, true, 1, 3);
}

static void dropping_is_told(void **state)
{
	struct place *place = *state;
	open_outbox(place, 3);
	push(place, 3, 1);
	uplink_connected(&place->uplink);
	pump(place);
	acknowledge_all(place);
	push(place, 2, 1);
	pump(place);
	assert_sent(place, false, 4, 5);
	place->now_ms += UPLINK_DROP_HELLO_MS;
	assert_true(uplink_deadline_ms(&place->uplink) <= place->now_ms);
	pump(place);
	assert_sent(place, true, 1, 0);
	assert_non_null(strstr(place->hello, "\"oldest_seq\":3,\"next_seq\":6,\"dropped\":2"));
}

static void a_new_epoch_starts_over(void **state)
{
	struct place *place = *state;
	push(place, 3, 1);
	uplink_connected(&place->uplink);
	pump(place);
	acknowledge_all(place);
	stored(place, 77); // an older copy of the outbox
	pump(place);
	assert_sent(place, true, 1, 3);
}

static void a_lost_connection_loses_nothing(void **state)
{
	struct place *place = *state;
	push(place, 3, 1);
	uplink_connected(&place->uplink);
	place->refuse = true;
	assert_false(uplink_pump(&place->uplink, place->now_ms, 1, &place->error));
	assert_int_equal(place->error.kind, ERROR_UNREACHABLE);
	place->refuse = false;
	pump(place);
	assert_sent(place, true, 1, 3);
}

static void nonsense_in_stored_is_refused(void **state)
{
	static const char *const wrong[] = {"",
					    "{",
					    "[]",
					    "7",
					    "{\"epoch\":\"x\"}",
					    "{\"seq\":1}",
					    "{\"epoch\":1,\"seq\":1}",
					    "{\"epoch\":\"x\",\"seq\":\"1\"}",
					    "{\"epoch\":\"x\",\"seq\":1.5}"};
	struct place *place = *state;
	push(place, 1, 1);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_false(uplink_stored(&place->uplink, wrong[i], strlen(wrong[i]), 1, &place->error));
	assert_int_equal(outbox_rows(place->outbox), 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hello_first_then_in_order),
		TEST(hello_tells_how_it_is_reached),
		TEST(readings_leave_together),
		TEST(a_replay_keeps_its_pace),
		TEST(a_large_message_counts_by_its_size),
		TEST(hello_shows_the_latest_reading),
		TEST(what_nobody_received_goes_out_again_soon),
		TEST(a_refusing_port_is_not_asked_at_once_again),
		TEST(a_window_of_rows),
		TEST(a_window_of_bytes),
		TEST(what_is_not_stored_goes_out_again),
		TEST(reconnecting_starts_from_the_oldest),
		TEST(flapping_piles_nothing_up),
		TEST(dropping_is_told),
		TEST(a_new_epoch_starts_over),
		TEST(a_lost_connection_loses_nothing),
		TEST(nonsense_in_stored_is_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
