#include "common/package.h"

#include "tests/unit/scratch.h"

static void put(void **state, const char *manifest, const char *archive)
{
	if (manifest)
		free(scratch_write(state, "muster-agent-android-arm64.json", manifest, 0644));
	if (archive)
		free(scratch_write(state, "muster-agent-android-arm64.tar.gz", archive, 0644));
}

static struct packages *packages_in(void **state)
{
	struct scratch *scratch = *state;
	struct packages *packages = packages_new(scratch->folder, NULL);
	assert_non_null(packages);
	return packages;
}

static void gives_what_is_whole(void **state)
{
	struct packages *packages cleanup(packages_free_cleanup) = packages_in(state);
	struct error error = {0};
	assert_null(packages_take(packages, 0, &error));
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
	put(state, "{\"abi\":\"arm64\",\"version\":\"0.1.0\",\"complete\":true}", "hello");
	struct package *package auto_package = packages_take(packages, 0, &error);
	assert_non_null(package);
	assert_string_equal(package->abi, "arm64-v8a");
	assert_string_equal(package->file, "muster-agent-android-arm64.tar.gz");
	assert_string_equal(package->version, "0.1.0");
	assert_string_equal(package->sha256, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
	assert_int_equal(package->len_bytes, 5);
	struct package *again auto_package = packages_find(packages, "muster-agent-android-arm64.tar.gz", &error);
	assert_ptr_equal(again, package);
	assert_null(packages_take(packages, 1, &error));
}

static void only_known_names(void **state)
{
	static const char *const names[] = {"",
					    "..",
					    "../muster-agent-android-arm64.tar.gz",
					    "muster-agent-android-arm64.json",
					    "muster-agent-android-mips.tar.gz",
					    "muster-agent-android-arm64.tar.gz/"};
	struct packages *packages cleanup(packages_free_cleanup) = packages_in(state);
	struct error error = {0};
	put(state, "{\"abi\":\"arm64\",\"version\":\"0.1.0\",\"complete\":true}", "hello");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_null(packages_find(packages, names[i], &error));
		assert_int_equal(error.kind, ERROR_NOT_FOUND);
	}
	struct packages *none cleanup(packages_free_cleanup) = packages_new(NULL, &error);
	assert_null(packages_take(none, 0, &error));
}

static void what_is_not_whole_stays(void **state)
{
	static const char *const manifests[] = {
		"{\"abi\":\"arm64\",\"version\":\"0.1.0\",\"complete\":false}",
		"{\"abi\":\"arm64\",\"version\":\"0.1.0\"}",
		"{\"abi\":\"armv7\",\"version\":\"0.1.0\",\"complete\":true}",
		"{\"abi\":\"arm64\",\"complete\":true}",
		"{",
	};
	struct packages *packages cleanup(packages_free_cleanup) = packages_in(state);
	struct error error = {0};
	for (size_t i = 0; i < sizeof(manifests) / sizeof(manifests[0]); i++) {
		put(state, manifests[i], "hello");
		assert_null(packages_take(packages, 0, &error));
		assert_true(error.what[0]);
	}
}

static void a_change_is_seen_and_what_is_held_stays(void **state)
{
	struct packages *packages = packages_in(state);
	struct error error = {0};
	put(state, "{\"abi\":\"arm64\",\"version\":\"0.1.0\",\"complete\":true}", "hello");
	struct package *old auto_package = packages_take(packages, 0, &error);
	put(state, NULL, "hello again");
	struct package *new auto_package = packages_take(packages, 0, &error);
	assert_non_null(new);
	assert_memory_equal(new->data, "hello again", new->len_bytes);
	assert_memory_equal(old->data, "hello", old->len_bytes);
	put(state, "{\"abi\":\"arm64\",\"version\":\"0.1.0\",\"complete\":false}", NULL);
	assert_null(packages_take(packages, 0, &error));
	assert_int_equal(error.kind, ERROR_DENIED);
	packages_free(packages);
	assert_memory_equal(new->data, "hello again", new->len_bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(gives_what_is_whole),
		TEST(only_known_names),
		TEST(what_is_not_whole_stays),
		TEST(a_change_is_seen_and_what_is_held_stays),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
