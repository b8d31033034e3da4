#include "ingest/output.h"

#include "common/limits.h"
#include "tests/unit/ingest/parsing.h"

static void test_a_chunk(void **state)
{
	parsing.detail = "c-1";
	accepts(&output_kind, "{\"epoch\":\"e\",\"seq\":4,\"ts\":1,\"command\":\"c-1\",\"n\":7,\"data\":\"hello\\n\"}");
	const struct output *output = parsing.message.rows;
	stamped(0, "e", 4, 1);
	assert_string_equal(output->command, "c-1");
	assert_int_equal(output->n, 7);
	assert_string_equal(output->data, "hello\n");
	assert_false(output->last || output->cut);
	accepts(&output_kind, "{\"command\":\"c-1\",\"n\":8,\"data\":\"\",\"end\":true,\"cut\":true}");
	output = parsing.message.rows;
	assert_true(output->last && output->cut);
}

static void test_what_is_refused(void **state)
{
	parsing.detail = "c-1";
	refuses(&output_kind, "{\"command\":\"c-2\",\"n\":0,\"data\":\"\"}", "topic");
	refuses(&output_kind, "{\"n\":0,\"data\":\"\"}", "topic");
	refuses(&output_kind, "{\"command\":\"c-1\",\"n\":-1,\"data\":\"\"}", "n is not");
	refuses(&output_kind, "{\"command\":\"c-1\",\"n\":65536,\"data\":\"\"}", "n is not");
	refuses(&output_kind, "{\"command\":\"c-1\",\"n\":0}", "data");
	refuses(&output_kind, "{\"command\":\"c-1\",\"n\":0,\"data\":\"\",\"end\":1}", "end");
	static char text[STREAM_DATA_MAX_BYTES + 100];
	int used = sprintf(text, "{\"command\":\"c-1\",\"n\":0,\"data\":\"");
	memset(text + used, 'x', STREAM_DATA_MAX_BYTES + 1);
	(void)strcpy(text + used + STREAM_DATA_MAX_BYTES + 1, "\"}");
	refuses(&output_kind, text, "data");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_chunk),
		cmocka_unit_test(test_what_is_refused),
	};
	return cmocka_run_group_tests(tests, parsing_setup, parsing_teardown);
}
