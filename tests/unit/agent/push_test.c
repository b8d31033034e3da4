#include "agent/push.h"

#include "agent/lock.h"
#include "tests/unit/scratch.h"

static void a_token_is_kept_without_an_agent(void **state)
{
	struct scratch *scratch = *state;
	const struct agent_options options = {.state_dir = scratch->folder};
	struct error error = {0};

	assert_null(push_token_load(scratch->folder));
	assert_true(push_token_set(&options, "dQw:APA91b", &error));
	char *token = push_token_load(scratch->folder);
	assert_string_equal(token, "dQw:APA91b");
	free(token);
	assert_true(push_token_set(&options, "", &error));
	token = push_token_load(scratch->folder);
	assert_string_equal(token, "");
	free(token);
	assert_false(push_token_set(&options, "a b", &error));
	assert_int_equal(error.kind, ERROR_INVALID);
}

static void a_file_that_holds_something_else_is_none(void **state)
{
	struct scratch *scratch = *state;

	free(scratch_write(state, "push-token", "\"; drop table", 0600));
	assert_null(push_token_load(scratch->folder));
}

static void with_an_agent_it_goes_through_the_agent(void **state)
{
	struct scratch *scratch = *state;
	const struct agent_options options = {.state_dir = scratch->folder};
	struct error error = {0};
	int lock_fd = lock_take(scratch->folder, &error);

	assert_true(lock_fd >= 0);
	assert_false(push_token_set(&options, "dQw:APA91b", &error)); // this one does not listen
	assert_int_equal(error.kind, ERROR_UNREACHABLE);
	assert_false(push_wake(&options, &error));
	assert_non_null(strstr(error.what, "muster-agent run"));
	(void)close(lock_fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_token_is_kept_without_an_agent, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_file_that_holds_something_else_is_none, scratch_setup,
						scratch_teardown),
		cmocka_unit_test_setup_teardown(with_an_agent_it_goes_through_the_agent, scratch_setup,
						scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
