#include "common/file.h"

#include "tests/unit/scratch.h"

#include <dirent.h>

static void reads_what_was_written(void **state)
{
	char *path auto_free = scratch_path(state, "a");
	struct error error;
	assert_true(file_write(path, "x\0y", 3, 0640, &error));
	size_t len = 0;
	char *text auto_free = file_read(path, 3, &len, &error);
	assert_non_null(text);
	assert_int_equal(len, 3);
	assert_memory_equal(text, "x\0y", 4);

	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 07777, 0640);
}

static void an_empty_file_is_an_empty_text(void **state)
{
	char *path auto_free = scratch_write(state, "a", "", 0600);
	size_t len = 7;
	char *text auto_free = file_read(path, 0, &len, NULL);
	assert_non_null(text);
	assert_string_equal(text, "");
	assert_int_equal(len, 0);
}

static void the_ceiling_is_kept(void **state)
{
	char *path auto_free = scratch_write(state, "a", "12345", 0600);
	struct error error;
	assert_null(file_read(path, 4, NULL, &error));
	assert_int_equal(error.kind, ERROR_LIMIT);
}

static void what_is_missing_is_not_found(void **state)
{
	char *path auto_free = scratch_path(state, "none");
	struct error error;
	assert_null(file_read(path, 100, NULL, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	assert_null(file_read_secret(path, 100, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	assert_false(file_exists(path));
}

static void writing_replaces_and_leaves_nothing_beside(void **state)
{
	struct scratch *scratch = *state;
	char *path auto_free = scratch_write(state, "a", "old and longer", 0600);
	assert_true(file_write(path, "new", 3, 0600, NULL));
	char *text auto_free = file_read(path, 100, NULL, NULL);
	assert_string_equal(text, "new");

	int entries = 0;
	DIR *folder = opendir(scratch->folder);
	while (readdir(folder))
		entries++;
	(void)closedir(folder);
	assert_int_equal(entries, 3); // ".", ".." and the file
}

static void a_failed_write_keeps_the_old(void **state)
{
	struct scratch *scratch = *state;
	char *folder auto_free = scratch_path(state, "folder");
	struct error error;
	assert_true(file_mkdirs(folder, 0700, &error));
	char *inside auto_free = scratch_write(state, "folder/kept", "kept", 0600);
	// A folder with something in it can't be renamed over.
	assert_false(file_write(folder, "x", 1, 0600, &error));
	assert_true(file_exists(inside));

	int entries = 0;
	DIR *listing = opendir(scratch->folder);
	while (readdir(listing))
		entries++;
	(void)closedir(listing);
	assert_int_equal(entries, 3);
}

static void secrets_must_be_private(void **state)
{
	static const mode_t open_modes[] = {0640, 0604, 0660, 0601, 0610};
	struct error error;
	for (size_t i = 0; i < sizeof(open_modes) / sizeof(open_modes[0]); i++) {
		char *path auto_free = scratch_write(state, "secret", "s3cret", open_modes[i]);
		assert_null(file_read_secret(path, 100, &error));
		assert_int_equal(error.kind, ERROR_DENIED);
		assert_null(strstr(error.what, "s3cret"));
	}
	char *path auto_free = scratch_write(state, "secret", "s3cret\n\n", 0600);
	char *secret auto_free = file_read_secret(path, 100, &error);
	assert_non_null(secret);
	assert_string_equal(secret, "s3cret\n"); // one newline goes
}

static void a_secret_is_a_file_without_nul(void **state)
{
	struct scratch *scratch = *state;
	struct error error;
	assert_null(file_read_secret(scratch->folder, 100, &error));
	char *path auto_free = scratch_path(state, "nul");
	assert_true(file_write(path, "a\0b", 3, 0600, &error));
	assert_null(file_read_secret(path, 100, &error));
	assert_int_equal(error.kind, ERROR_INVALID);
}

static void folders_are_made_all_the_way(void **state)
{
	char *path auto_free = scratch_path(state, "a/b/c");
	struct error error;
	assert_true(file_mkdirs(path, 0700, &error));
	assert_true(file_mkdirs(path, 0700, &error)); // again is fine
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	assert_true(S_ISDIR(status.st_mode));
	assert_int_equal(status.st_mode & 0777, 0700);

	char *trailing auto_free = scratch_path(state, "d/e/");
	assert_true(file_mkdirs(trailing, 0700, &error));
	char *file auto_free = scratch_write(state, "file", "x", 0600);
	char *below auto_free = scratch_path(state, "file/sub");
	assert_false(file_mkdirs(below, 0700, &error));
	assert_false(file_mkdirs(file, 0700, &error));
	assert_false(file_mkdirs("", 0700, &error));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(reads_what_was_written, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(an_empty_file_is_an_empty_text, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(the_ceiling_is_kept, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(what_is_missing_is_not_found, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(writing_replaces_and_leaves_nothing_beside, scratch_setup,
						scratch_teardown),
		cmocka_unit_test_setup_teardown(a_failed_write_keeps_the_old, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(secrets_must_be_private, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_secret_is_a_file_without_nul, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(folders_are_made_all_the_way, scratch_setup, scratch_teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
