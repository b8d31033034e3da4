#include "dashboard/export_kinds.h"

#include "tests/unit/scratch.h"

static void test_statement(void **state)
{
	const struct export_kind *kind = export_kind_find("telemetry");
	const struct export_column *columns[] = {export_column_find(kind, "device"),
						 export_column_find(kind, "measured_at")};
	const struct query_options options = {.first_param = EXPORT_QUERY_PARAM, .resolve = NULL, .user = NULL};
	auto_buf struct buf sql = {0};
	auto_query struct query query = {0};
	struct error error = {0};

	assert_true(query_compile("tag:kiosk", &options, &query, &error));
	assert_true(export_statement(kind, columns, 2, &query, &sql));
	assert_non_null(strstr(buf_str(&sql), "select (x.device), to_char((x.measured_at) at time zone 'UTC'"));
	assert_non_null(strstr(buf_str(&sql), "$4"));
	assert_null(strstr(buf_str(&sql), "kiosk")); // a value is a parameter
	assert_int_equal(query.count, 1);
}

static void test_every_kind_is_whole(void **state)
{
	static const char *const names[] = {"devices", "telemetry", "commands", "events", "audit"};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const struct export_kind *kind = export_kind_find(names[i]);
		assert_non_null(kind);
		assert_true(kind->column_count <= EXPORT_COLUMNS_MAX);
		for (size_t k = 0; k < kind->column_count; k++)
			assert_ptr_equal(export_column_find(kind, kind->columns[k].name), &kind->columns[k]);
	}
	assert_null(export_kind_find("users"));
	assert_null(export_column_find(export_kind_find("audit"), "password"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_statement),
		cmocka_unit_test(test_every_kind_is_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
