#include "tools/table.h"

#include "tests/unit/scratch.h"

#include <fcntl.h>
#include <unistd.h>

static const struct table_column columns[] = {
	{.name = "id"}, {.name = "uses_left", .number = true}, {.name = "valid", .boolean = true}};

// What table_print writes onto stdout, malloc'd.
static char *printed(void **state, bool json, bool filled)
{
	auto_table struct table *table = table_new("items", columns, 3);
	char *path auto_free = scratch_path(state, "out");
	struct error error;
	if (filled) {
		TABLE_ROW(table, "a\"1\n<", "12", "1");
		TABLE_ROW(table, "Zürich, 85 °C, \x1b[2J", "", "0");
		TABLE_ROW(table, NULL, NULL, NULL);
	}
	(void)fflush(stdout);
	int saved auto_close = dup(STDOUT_FILENO);
	int file auto_close = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(saved >= 0 && file >= 0 && dup2(file, STDOUT_FILENO) >= 0);
	table_print(table, json);
	assert_true(dup2(saved, STDOUT_FILENO) >= 0);
	return file_read(path, 4096, NULL, &error);
}

static void json_has_types_and_is_json(void **state)
{
	char *text auto_free = printed(state, true, true);
	struct error error = {0};
	size_t length = strlen(text);
	while (length > 0 && text[length - 1] == '\n')
		length--;
	auto_json struct json *json = json_parse(text, length, &error);
	if (!json)
		fail_msg("%s in %s", error.what, text);
	const struct json *items = json_member(json, "items");
	int64_t number = 0;
	bool valid = false;
	const char *id = NULL;
	assert_int_equal(json_array_length(items), 3);
	assert_true(json_member_int(json_array_at(items, 0), "uses_left", &number) && number == 12);
	assert_true(json_member_bool(json_array_at(items, 0), "valid", &valid) && valid);
	assert_true(json_member_string(json_array_at(items, 0), "id", &id));
	assert_string_equal(id, "a\"1\n<");
	assert_int_equal(json_type(json_member(json_array_at(items, 1), "uses_left")), JSON_NULL);
}

static void empty_is_json_too(void **state)
{
	char *text auto_free = printed(state, true, false);
	struct error error = {0};
	auto_json struct json *json = json_parse(text, strlen(text), &error);
	if (!json)
		fail_msg("%s in \"%s\"", error.what, text);
	assert_int_equal(json_type(json_member(json, "items")), JSON_ARRAY);
}

static void people_get_headings(void **state)
{
	char *text auto_free = printed(state, false, true);
	assert_memory_equal(text, "ID", 2);
	assert_non_null(strstr(text, "USES LEFT"));
	assert_non_null(strstr(text, "Zürich, 85 °C")); // whatever the locale
	assert_null(strchr(text, '\x1b'));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {TEST(json_has_types_and_is_json), TEST(empty_is_json_too),
					   TEST(people_get_headings)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
