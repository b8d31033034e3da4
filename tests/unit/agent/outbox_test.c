#include "agent/outbox.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct place {
	char folder[64];
	char path[96];
	struct outbox_options options;
	struct outbox *outbox;
	struct error error;
};

static void reopen(struct place *place, struct error *reset)
{
	outbox_free(place->outbox);
	place->outbox = outbox_open(&place->options, reset, &place->error);
	if (!place->outbox)
		print_error("%s\n", place->error.what);
	assert_non_null(place->outbox);
}

static int set_up(void **state)
{
	struct place *place = calloc(1, sizeof(*place));
	(void)snprintf(place->folder, sizeof(place->folder), "/tmp/muster-outbox-XXXXXX");
	assert_non_null(mkdtemp(place->folder));
	(void)snprintf(place->path, sizeof(place->path), "%s/outbox.db", place->folder);
	place->options = (struct outbox_options){.path = place->path, .rows_max = 100, .bytes_max = 1 << 20};
	reopen(place, NULL);
	*state = place;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"outbox.db", "outbox.db-wal", "outbox.db-shm", "outbox.db.lock",
					    "outbox.db.damaged", "outbox.db.damaged-wal", "outbox.db.damaged-shm"};
	struct place *place = *state;
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

static int64_t push(struct place *place, int64_t ts)
{
	struct json *body auto_json = json_new_object();
	int64_t seq = 0;
	json_set_int(body, "ts", ts);
	assert_true(outbox_push(place->outbox, "fleet/v1/x/telemetry", body, &seq, &place->error));
	return seq;
}

static void assert_next(struct place *place, int64_t after, int64_t seq, int64_t ts)
{
	struct outbox_message message;
	char expected[160];
	assert_true(outbox_next(place->outbox, after, &message, &place->error));
	assert_int_equal(message.seq, seq);
	if (seq == 0)
		return;
	(void)snprintf(expected, sizeof(expected), "{\"epoch\":\"%s\",\"seq\":%" PRId64 ",\"ts\":%" PRId64 "}",
		       outbox_epoch(place->outbox), seq, ts);
	assert_string_equal(message.payload, expected);
	assert_int_equal(message.payload_bytes, strlen(expected));
	assert_string_equal(message.topic, "fleet/v1/x/telemetry");
}

static void assert_stored(struct place *place, const char *epoch, int64_t seq, int64_t deletes)
{
	int64_t deleted = -1;
	assert_true(outbox_stored(place->outbox, epoch, seq, &deleted, &place->error));
	assert_int_equal(deleted, deletes);
}

static void numbers_and_keeps(void **state)
{
	struct place *place = *state;
	char epoch[EPOCH_MAX + 1];
	struct stat info;
	assert_int_equal(stat(place->path, &info), 0);
	assert_int_equal(info.st_mode & 07777, 0600);
	assert_int_equal(push(place, 10), 1);
	assert_int_equal(push(place, 20), 2);
	(void)snprintf(epoch, sizeof(epoch), "%s", outbox_epoch(place->outbox));

	reopen(place, NULL);
	assert_string_equal(outbox_epoch(place->outbox), epoch);
	assert_int_equal(outbox_rows(place->outbox), 2);
	assert_int_equal(outbox_oldest_seq(place->outbox), 1);
	assert_int_equal(outbox_next_seq(place->outbox), 3);
	assert_next(place, 0, 1, 10);
	assert_next(place, 1, 2, 20);
	assert_next(place, 2, 0, 0);
	assert_int_equal(push(place, 30), 3);
}

static void only_stored_empties_it(void **state)
{
	struct place *place = *state;
	for (int i = 1; i <= 5; i++)
		(void)push(place, i);
	char epoch[EPOCH_MAX + 1];
	(void)snprintf(epoch, sizeof(epoch), "%s", outbox_epoch(place->outbox));
	assert_stored(place, "0f8cafe0-0000-4000-8000-000000000000", 5, 0);
	assert_stored(place, epoch, 0, 0);
	assert_stored(place, epoch, 3, 3);
	assert_stored(place, epoch, 3, 0);
	assert_stored(place, epoch, 2, 0);
	assert_int_equal(outbox_oldest_seq(place->outbox), 4);
	reopen(place, NULL);
	assert_int_equal(outbox_oldest_seq(place->outbox), 4);
	assert_stored(place, epoch, 5, 2);
	assert_int_equal(outbox_rows(place->outbox), 0);
	assert_int_equal(outbox_bytes(place->outbox), 0);
	assert_int_equal(outbox_oldest_seq(place->outbox), 6);
	reopen(place, NULL); // an empty outbox remembers how far it was
	assert_int_equal(push(place, 6), 6);
}

static void full_drops_the_oldest_and_counts(void **state)
{
	struct place *place = *state;
	place->options.rows_max = 3;
	reopen(place, NULL);
	for (int i = 1; i <= 5; i++)
		(void)push(place, i);
	assert_int_equal(outbox_rows(place->outbox), 3);
	assert_int_equal(outbox_oldest_seq(place->outbox), 3);
	assert_int_equal(outbox_dropped(place->outbox), 2);
	assert_next(place, 0, 3, 3);
	reopen(place, NULL);
	assert_int_equal(outbox_dropped(place->outbox), 2);
}

static void bytes_are_bounded_too(void **state)
{
	struct place *place = *state;
	place->options.bytes_max = 25;
	reopen(place, NULL);
	(void)push(place, 1); // "ts":1} is 7 bytes
	(void)push(place, 2);
	(void)push(place, 3);
	assert_int_equal(outbox_bytes(place->outbox), 21);
	(void)push(place, 100000);
	assert_int_equal(outbox_bytes(place->outbox), 19);
	assert_int_equal(outbox_oldest_seq(place->outbox), 3);
	int64_t bytes = 0;
	assert_true(outbox_bytes_to(place->outbox, 3, &bytes, &place->error));
	assert_int_equal(bytes, 7);

	struct json *body auto_json = json_new_object();
	json_set_string(body, "text", "more than all of it would hold");
	assert_false(outbox_push(place->outbox, "fleet/v1/x/event", body, NULL, &place->error));
	assert_int_equal(place->error.kind, ERROR_INVALID);
	assert_int_equal(outbox_dropped(place->outbox), 2); // what can't be sent ever drops nothing
	struct json *empty auto_json = json_new_object();
	assert_false(outbox_push(place->outbox, "fleet/v1/x/event", empty, NULL, &place->error));
}

static void bytes_are_not_characters(void **state)
{
	struct place *place = *state;
	struct json *body auto_json = json_new_object();
	json_set_string(body, "x", "\xc3\xa4\xc3\xb6\xc3\xbc");
	assert_true(outbox_push(place->outbox, "fleet/v1/x/event", body, NULL, &place->error));
	int64_t bytes = outbox_bytes(place->outbox);
	reopen(place, NULL);
	assert_int_equal(outbox_bytes(place->outbox), bytes);
	assert_stored(place, outbox_epoch(place->outbox), 1, 1);
	assert_int_equal(outbox_bytes(place->outbox), 0);
}

static void a_rollback_takes_all_back(void **state)
{
	struct place *place = *state;
	(void)push(place, 1);
	assert_true(outbox_begin(place->outbox, &place->error));
	assert_int_equal(push(place, 2), 2);
	assert_true(outbox_set_int(place->outbox, "counter", 9, &place->error));
	outbox_rollback(place->outbox);
	assert_int_equal(outbox_rows(place->outbox), 1);
	assert_int_equal(outbox_get_int(place->outbox, "counter", -1), -1);
	assert_int_equal(push(place, 3), 2); // no gap
}

static void keeps_values(void **state)
{
	struct place *place = *state;
	assert_null(outbox_get(place->outbox, "boot_id"));
	assert_true(outbox_set(place->outbox, "boot_id", "a", &place->error));
	assert_true(outbox_set(place->outbox, "boot_id", "b", &place->error));
	assert_true(outbox_set_int(place->outbox, "n", INT64_MAX, &place->error));
	reopen(place, NULL);
	char *boot_id auto_free = outbox_get(place->outbox, "boot_id");
	assert_string_equal(boot_id, "b");
	assert_true(outbox_get_int(place->outbox, "n", 0) == INT64_MAX);
}

static void one_process_at_a_time(void **state)
{
	struct place *place = *state;
	struct outbox *second = outbox_open(&place->options, NULL, &place->error);
	assert_null(second);
	assert_int_equal(place->error.kind, ERROR_EXISTS);
}

static void overwrite(const char *path, off_t at, size_t bytes)
{
	char noise[512];
	memset(noise, 0xa5, sizeof(noise));
	int fd = open(path, O_WRONLY);
	assert_true(fd >= 0);
	for (size_t done = 0; done < bytes; done += sizeof(noise))
		assert_int_equal(pwrite(fd, noise, sizeof(noise), at + (off_t)done), sizeof(noise));
	assert_int_equal(close(fd), 0);
}

static void damage_makes_a_new_epoch(void **state)
{
	static const off_t places[] = {0, 4096, 8192}; // the header, the first tables
	struct place *place = *state;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		char epoch[EPOCH_MAX + 1];
		struct error reset = {0};
		(void)snprintf(epoch, sizeof(epoch), "%s", outbox_epoch(place->outbox));
		for (int n = 0; n < 50; n++)
			(void)push(place, n);
		outbox_free(steal(place->outbox));
		overwrite(place->path, places[i], 4096);
		reopen(place, &reset);
		assert_int_not_equal(reset.kind, ERROR_NONE);
		assert_string_not_equal(outbox_epoch(place->outbox), epoch);
		assert_int_equal(outbox_next_seq(place->outbox), 1);
	}
	char damaged[128];
	(void)snprintf(damaged, sizeof(damaged), "%s.damaged", place->path);
	assert_int_equal(access(damaged, F_OK), 0);
	struct error reset = {0};
	reopen(place, &reset); // the new one is good
	assert_int_equal(reset.kind, ERROR_NONE);
}

static void an_older_copy_gets_a_new_epoch(void **state)
{
	struct place *place = *state;
	char epoch[EPOCH_MAX + 1];
	for (int i = 1; i <= 4; i++)
		(void)push(place, i * 10);
	(void)snprintf(epoch, sizeof(epoch), "%s", outbox_epoch(place->outbox));
	assert_stored(place, epoch, 2, 2);
	assert_stored(place, epoch, 900, 0); // so 3 and 4 were given before, to other messages
	assert_string_not_equal(outbox_epoch(place->outbox), epoch);
	assert_int_equal(outbox_rows(place->outbox), 2);
	assert_next(place, 0, 1, 30);
	assert_next(place, 1, 2, 40);
	assert_int_equal(push(place, 50), 3);
	reopen(place, NULL);
	assert_next(place, 2, 3, 50);
}

static void put(struct place *place, int n, const char *state)
{
	struct outbox_command command = {.params = (char *)"{}", .result = (char *)"{\"a\":1}", .result_seq = n};
	(void)snprintf(command.id, sizeof(command.id), "id-%d", n);
	(void)snprintf(command.action, sizeof(command.action), "ping");
	(void)snprintf(command.state, sizeof(command.state), "%s", state);
	assert_true(outbox_command_put(place->outbox, &command, &place->error));
}

static void remembers_commands(void **state)
{
	struct place *place = *state;
	struct outbox_command command = {0};
	bool found = true;
	assert_true(outbox_command_open(place->outbox, &found, &command, &place->error));
	assert_false(found);
	put(place, 1, "accepted");
	put(place, 2, "running");
	put(place, 1, "succeeded");
	reopen(place, NULL);
	assert_true(outbox_command_find(place->outbox, "id-1", &found, &command, &place->error));
	assert_true(found);
	assert_string_equal(command.state, "succeeded");
	assert_string_equal(command.result, "{\"a\":1}");
	outbox_command_done(&command);
	assert_true(outbox_command_open(place->outbox, &found, &command, &place->error));
	assert_true(found);
	assert_string_equal(command.id, "id-2");
	outbox_command_done(&command);
	assert_true(outbox_command_find(place->outbox, "id-3", &found, &command, &place->error));
	assert_false(found);
}

static void forgets_only_old_finished_commands(void **state)
{
	struct place *place = *state;
	struct outbox_command command = {0};
	bool found = false;
	assert_true(outbox_begin(place->outbox, &place->error));
	put(place, 1, "running");
	for (int i = 2; i <= OUTBOX_COMMANDS_MAX + 2; i++)
		put(place, i, i % 2 == 0 ? "cancelled" : "succeeded"); // whether they came or not
	assert_true(outbox_commit(place->outbox, &place->error));
	assert_true(outbox_command_find(place->outbox, "id-1", &found, &command, &place->error));
	assert_true(found);
	outbox_command_done(&command);
	assert_true(outbox_command_find(place->outbox, "id-2", &found, &command, &place->error));
	assert_false(found);
	assert_true(outbox_command_find(place->outbox, "id-3", &found, &command, &place->error));
	assert_true(found);
	outbox_command_done(&command);
}

static void others_may_look(void **state)
{
	struct place *place = *state;
	struct outbox_state seen = {.rows = -1};
	struct json *body auto_json = json_new_object();
	json_set_int(body, "ts", 1);
	assert_true(outbox_peek(place->path, &seen, &place->error));
	assert_int_equal(seen.rows, 0);
	assert_int_equal(seen.gone_seq, 0);
	assert_int_equal(seen.reading_seq, 0);
	for (int i = 0; i < 3; i++)
		assert_true(outbox_push(place->outbox, "t", body, NULL, &place->error));
	assert_true(outbox_set_int(place->outbox, OUTBOX_READING, 2, &place->error));
	assert_true(outbox_stored(place->outbox, outbox_epoch(place->outbox), 1, NULL, &place->error));
	assert_true(outbox_peek(place->path, &seen, &place->error));
	assert_int_equal(seen.rows, 2);
	assert_int_equal(seen.gone_seq, 1);
	assert_int_equal(seen.reading_seq, 2);
	assert_true(outbox_stored(place->outbox, outbox_epoch(place->outbox), 3, NULL, &place->error));
	assert_true(outbox_peek(place->path, &seen, &place->error));
	assert_int_equal(seen.gone_seq, 3);
	assert_false(outbox_peek("/nonexistent/outbox.db", &seen, &place->error));
	assert_int_equal(place->error.kind, ERROR_NOT_FOUND);
	char *empty auto_free = NULL; // as an agent that begins leaves it for a moment
	assert_true(asprintf(&empty, "%s.begun", place->path) > 0);
	FILE *file = fopen(empty, "w");
	assert_non_null(file);
	assert_int_equal(fclose(file), 0);
	assert_false(outbox_peek(empty, &seen, &place->error));
	assert_int_equal(place->error.kind, ERROR_NOT_FOUND);
	assert_int_equal(unlink(empty), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(numbers_and_keeps),
		TEST(only_stored_empties_it),
		TEST(full_drops_the_oldest_and_counts),
		TEST(bytes_are_bounded_too),
		TEST(bytes_are_not_characters),
		TEST(a_rollback_takes_all_back),
		TEST(keeps_values),
		TEST(one_process_at_a_time),
		TEST(damage_makes_a_new_epoch),
		TEST(an_older_copy_gets_a_new_epoch),
		TEST(remembers_commands),
		TEST(others_may_look),
		TEST(forgets_only_old_finished_commands),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
