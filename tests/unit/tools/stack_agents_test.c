#include "tests/unit/scratch.h"
#include "tools/stack.h"

#define PACKAGE "android-arm64/muster-agent-android-arm64"

static struct stack stack_in(void **state)
{
	static const char *const folders[] = {"state/agents", "build/x/bin", "build/" PACKAGE};
	struct scratch *scratch = *state;
	struct stack stack = {.ports = {0}};
	struct error error = {0};
	(void)snprintf(stack.root, sizeof(stack.root), "%s/state", scratch->folder);
	(void)snprintf(stack.bin, sizeof(stack.bin), "%s/build/x/bin", scratch->folder);
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		char *path auto_free = scratch_path(state, folders[i]);
		assert_true(file_mkdirs(path, 0700, &error));
	}
	return stack;
}

static void assert_copied(const struct stack *stack, const char *name, const char *expected)
{
	struct error error = {0};
	struct stack_path path = stack_path(stack, "agents/%s", name);
	char *text auto_free = expected ? file_read(path.text, 64, NULL, &error) : NULL;
	if (expected)
		assert_string_equal(text, expected);
	else
		assert_false(file_exists(path.text));
}

static void brings_what_was_built(void **state)
{
	struct stack stack = stack_in(state);
	struct error error = {0};
	assert_true(stack_agents_copy(&stack, &error));
	assert_copied(&stack, "muster-agent-android-arm64.json", NULL);
	free(scratch_write(state, "build/" PACKAGE "/manifest.json", "first", 0644));
	free(scratch_write(state, "build/" PACKAGE ".tar.gz", "archive", 0644));
	assert_true(stack_agents_copy(&stack, &error));
	assert_copied(&stack, "muster-agent-android-arm64.json", "first");
	assert_copied(&stack, "muster-agent-android-arm64.tar.gz", "archive");
}

// The build has no archive then, and the manifest says that the former one is not to be given out.
static void brings_the_word_that_there_is_none(void **state)
{
	struct stack stack = stack_in(state);
	struct error error = {0};
	free(scratch_write(state, "build/" PACKAGE "/manifest.json", "incomplete", 0644));
	free(scratch_write(state, "state/agents/muster-agent-android-arm64.tar.gz", "older", 0644));
	assert_true(stack_agents_copy(&stack, &error));
	assert_copied(&stack, "muster-agent-android-arm64.json", "incomplete");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(brings_what_was_built),
		TEST(brings_the_word_that_there_is_none),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
