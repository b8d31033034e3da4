#include "agent/stream.h"

#include "tests/unit/scratch.h"

struct place {
	struct scratch *scratch;
	struct outbox *outbox;
	struct stream stream;
	struct error error;
};

static void open_place(void **state, struct place *place)
{
	char *path auto_free = scratch_path(state, "outbox.db");
	const struct outbox_options options = {.path = path, .rows_max = 1000, .bytes_max = 8 << 20};
	*place = (struct place){0};
	place->outbox = outbox_open(&options, NULL, &place->error);
	assert_non_null(place->outbox);
	assert_true(stream_init(&place->stream, place->outbox, "kiosk-7", "C-1", &place->error));
}

static void close_place(struct place *place)
{
	stream_done(&place->stream);
	outbox_free(place->outbox);
}

// The text of all chunks so far, in order; *end and *cut of the last one.
static char *text_of(struct place *place, bool *end, bool *cut)
{
	struct buf text = {0};
	struct outbox_message message;
	int64_t at = 0;
	int64_t n = 0;
	buf_init(&text, 1 << 20);
	*end = *cut = false;
	while (outbox_next(place->outbox, at, &message, &place->error) && message.seq > 0) {
		const char *data = NULL;
		int64_t number = -1;
		struct json *json auto_json = json_parse(message.payload, message.payload_bytes, &place->error);
		assert_string_equal(message.topic, "fleet/v1/kiosk-7/stream/c-1");
		assert_non_null(json);
		assert_true(json_member_int(json, "n", &number) && number == n++);
		assert_true(json_member_string(json, "data", &data));
		assert_true(strlen(data) <= STREAM_DATA_MAX_BYTES);
		(void)buf_add_str(&text, data);
		assert_true(json_member_bool(json, "end", end));
		(void)json_member_bool(json, "cut", cut);
		at = message.seq;
	}
	(void)buf_add_str(&text, "");
	return text.data ? text.data : strdup("");
}

static void chunks_wait_for_others_but_not_long(void **state)
{
	struct place place;
	bool end;
	bool cut;
	open_place(state, &place);
	stream_add(&place.stream, "one ", 4, 1000);
	stream_add(&place.stream, "two", 3, 1100);
	assert_int_equal(outbox_rows(place.outbox), 0);
	assert_int_equal(place.stream.due_ms, 1000 + STREAM_DELAY_MS);
	stream_flush(&place.stream, 1000 + STREAM_DELAY_MS);
	assert_int_equal(outbox_rows(place.outbox), 1);
	assert_int_equal(place.stream.due_ms, 0);
	stream_add(&place.stream, "!", 1, 2000);
	assert_true(stream_end(&place.stream, &place.error));
	char *text auto_free = text_of(&place, &end, &cut);
	assert_string_equal(text, "one two!");
	assert_true(end && !cut);
	assert_int_equal(outbox_rows(place.outbox), 2);
	close_place(&place);
}

static void beyond_the_ceiling_it_is_cut(void **state)
{
	static char bytes[100000];
	struct place place;
	bool end;
	bool cut;
	memset(bytes, 'x', sizeof(bytes));
	open_place(state, &place);
	for (int i = 0; i < 5; i++)
		stream_add(&place.stream, bytes, sizeof(bytes), 1);
	assert_true(stream_end(&place.stream, &place.error));
	char *text auto_free = text_of(&place, &end, &cut);
	assert_int_equal(strlen(text), STREAM_COMMAND_MAX_BYTES);
	assert_true(end && cut);
	close_place(&place);
}

// No character is cut in two, wherever the reads end; what is none becomes one.
static void text_is_utf8(void **state)
{
	static const char bytes[] =
		"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80 \xff\xc0\x80 \xed\xa0\x80 \xf5 \0 end\xe2\x82";
	static const char expected[] =
		"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80 \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
		" \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd \xef\xbf\xbd end"
		"\xef\xbf\xbd\xef\xbf\xbd";
	struct place place;
	bool end;
	bool cut;
	open_place(state, &place);
	for (size_t i = 0; i < sizeof(bytes) - 1; i++) {
		stream_add(&place.stream, bytes + i, 1, 1);
		stream_flush(&place.stream, 1 + STREAM_DELAY_MS);
	}
	assert_true(stream_end(&place.stream, &place.error));
	char *text auto_free = text_of(&place, &end, &cut);
	assert_string_equal(text, expected);
	assert_true(end);
	close_place(&place);
}

static void the_end_may_fail_and_come_again(void **state)
{
	struct place place;
	bool end;
	bool cut;
	open_place(state, &place);
	stream_add(&place.stream, "last words", 10, 1);
	assert_true(outbox_begin(place.outbox, &place.error));
	assert_true(stream_end(&place.stream, &place.error));
	outbox_rollback(place.outbox);
	assert_int_equal(outbox_rows(place.outbox), 0);
	assert_true(stream_end(&place.stream, &place.error));
	char *text auto_free = text_of(&place, &end, &cut);
	assert_string_equal(text, "last words");
	assert_true(end);
	close_place(&place);
}

static void silence_sends_nothing(void **state)
{
	struct place place;
	open_place(state, &place);
	assert_true(stream_end(&place.stream, &place.error));
	place.stream.silent = true;
	stream_add(&place.stream, "kept", 4, 1);
	assert_true(stream_end(&place.stream, &place.error));
	assert_int_equal(outbox_rows(place.outbox), 0);
	assert_string_equal(buf_str(&place.stream.head), "kept");
	close_place(&place);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(chunks_wait_for_others_but_not_long), TEST(beyond_the_ceiling_it_is_cut), TEST(text_is_utf8),
		TEST(the_end_may_fail_and_come_again),     TEST(silence_sends_nothing),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
