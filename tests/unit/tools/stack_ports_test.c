#include "tests/unit/scratch.h"
#include "tests/unit/support/process.h"
#include "tools/stack.h"

static struct stack stack_in(void **state)
{
	struct scratch *scratch = *state;
	struct stack stack = {0};
	(void)snprintf(stack.root, sizeof(stack.root), "%s", scratch->folder);
	return stack;
}

static void random_ones_differ_and_are_kept(void **state)
{
	struct stack stack = stack_in(state);
	struct stack again = stack_in(state);
	struct error error;
	assert_true(stack_ports_choose(&stack, true, &error));
	for (int i = 0; i < STACK_PORTS; i++) {
		assert_true(stack.ports[i] >= 12000 && stack.ports[i] < 32768);
		assert_false(stack.moved[i]);
		for (int k = 0; k < i; k++)
			assert_int_not_equal(stack.ports[i], stack.ports[k]);
	}
	stack_ports_release(&stack);
	assert_true(stack_ports_load(&again, &error));
	assert_true(stack_ports_choose(&again, true, &error));
	assert_memory_equal(stack.ports, again.ports, sizeof(stack.ports));
	stack_ports_release(&again);
}

// Nobody listens yet, as when the other stack still makes its database.
static void those_of_another_stack_are_left_alone(void **state)
{
	struct stack stack = stack_in(state);
	struct stack other = stack_in(state);
	struct error error;
	assert_true(stack_ports_choose(&stack, true, &error));
	assert_true(stack_ports_load(&other, &error));
	assert_true(stack_ports_choose(&other, false, &error));
	for (int i = 0; i < STACK_PORTS; i++) {
		assert_int_not_equal(other.ports[i], stack.ports[i]);
		assert_true(other.moved[i]);
	}
	stack_ports_release(&other);
	stack_ports_release(&stack);
}

static void a_taken_one_moves_alone(void **state)
{
	struct stack stack = stack_in(state);
	struct stack again = stack_in(state);
	struct error error;
	int taken = 0;
	assert_true(stack_ports_choose(&stack, true, &error));
	stack_ports_release(&stack);
	assert_true(stack_ports_load(&again, &error));
	int fd auto_close = process_listen(&taken);
	again.ports[STACK_BRIDGE] = taken;
	assert_true(stack_ports_choose(&again, false, &error));
	assert_int_not_equal(again.ports[STACK_BRIDGE], taken);
	assert_true(again.moved[STACK_BRIDGE]);
	assert_int_equal(again.ports[STACK_DEVICES], stack.ports[STACK_DEVICES]);
	stack_ports_release(&again);
}

static void a_broken_file_is_told(void **state)
{
	struct stack stack = stack_in(state);
	struct error error = {0};
	assert_true(stack_ports_load(&stack, &error)); // none
	char *path auto_free = scratch_write(state, "ports.json", "{\"devices\":", 0600);
	assert_false(stack_ports_load(&stack, &error));
	assert_non_null(strstr(error.what, "ports.json"));
	char *other auto_free = scratch_write(state, "ports.json", "{\"devices\":70000,\"bridge\":1234}", 0600);
	assert_true(stack_ports_load(&stack, &error));
	assert_int_equal(stack.ports[STACK_DEVICES], 0);
	assert_int_equal(stack.ports[STACK_BRIDGE], 1234);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(random_ones_differ_and_are_kept),
		TEST(those_of_another_stack_are_left_alone),
		TEST(a_taken_one_moves_alone),
		TEST(a_broken_file_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
