#include "tests/unit/scratch.h"
#include "tools/stack.h"

#include <unistd.h>

static void a_new_folder_is_resolved_by_its_parent(void **state)
{
	struct scratch *scratch = *state;
	struct stack stack = {0};
	struct error error;
	char *path auto_free = scratch_path(state, "./new/");
	char expected[96];
	(void)snprintf(expected, sizeof(expected), "%s/new", scratch->folder);
	assert_true(stack_resolve(&stack, path, &error));
	assert_string_equal(stack.root, expected);
	assert_true(stack.bin[0] == '/');
	assert_false(stack_exists(&stack));
}

static void a_link_leads_to_its_folder(void **state)
{
	struct scratch *scratch = *state;
	struct stack stack = {0};
	struct error error;
	char *link auto_free = scratch_path(state, "link");
	assert_int_equal(symlink(scratch->folder, link), 0);
	assert_true(stack_resolve(&stack, link, &error));
	assert_string_equal(stack.root, scratch->folder);
}

static void a_path_too_long_for_sockets_is_refused(void **state)
{
	struct stack stack = {0};
	struct error error = {0};
	char *path auto_free =
		scratch_path(state, "a23456789012345678901234567890123456789012345678901234567890123456789");
	assert_false(stack_resolve(&stack, path, &error));
	assert_int_equal(error.kind, ERROR_LIMIT);
	assert_false(stack_resolve(&stack, "/nowhere/at/all", &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
}

static void folders_are_private_and_deleted_with_all(void **state)
{
	struct stack stack = {0};
	struct error error = {0};
	struct stat info;
	char *path auto_free = scratch_path(state, "s");
	char *link auto_free = scratch_path(state, "l");
	char *outside auto_free = scratch_write(state, "outside", "keep", 0600);
	assert_int_equal(symlink(path, link), 0);
	assert_true(stack_resolve(&stack, path, &error));
	assert_true(stack_prepare(&stack, &error));
	assert_true(stack_exists(&stack));
	assert_int_equal(stat(stack_path(&stack, "keys").text, &info), 0);
	assert_int_equal(info.st_mode & 0777, 0700);
	assert_int_equal(symlink(outside, stack_path(&stack, "log/link").text), 0);
	assert_true(file_write(stack_path(&stack, "log/a").text, "x", 1, 0600, &error));
	assert_int_equal(chdir("/"), 0);
	assert_true(stack_delete(&stack, link, &error));
	assert_false(file_exists(path));
	assert_int_not_equal(lstat(link, &info), 0);
	assert_true(file_exists(outside));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_folder_is_resolved_by_its_parent),
		TEST(a_link_leads_to_its_folder),
		TEST(a_path_too_long_for_sockets_is_refused),
		TEST(folders_are_private_and_deleted_with_all),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
