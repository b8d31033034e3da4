#include "dashboard/scope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct scope all = {.tenant = "*"}, nobody = {.tenant = ""}, tenant = {.tenant = "acme"},
			  groups = {.tenant = "acme", .groups = "kiosk,lab"};

static void only_all_tenants_without_groups_is_all(void **state)
{
	const struct scope bound = {.tenant = "*", .groups = "lab"};

	assert_true(scope_is_all(&all));
	assert_false(scope_is_all(&nobody));
	assert_false(scope_is_all(&tenant));
	assert_false(scope_is_all(&bound));
}

static void devices_of_other_tenants_are_not_seen(void **state)
{
	assert_true(scope_sees(&all, "acme", NULL));
	assert_true(scope_sees(&tenant, "acme", NULL));
	assert_false(scope_sees(&tenant, "globex", NULL));
	assert_false(scope_sees(&tenant, "acm", NULL));
	assert_false(scope_sees(&tenant, "", NULL));
	assert_false(scope_sees(&nobody, "acme", NULL));
	assert_false(scope_sees(&nobody, "", NULL));
}

static void of_a_tenant_only_the_groups_are_seen(void **state)
{
	static const char *const outside[] = {NULL, "", "kios", "kiosks", "la", "b,lab2", "kiosk-lab", ","};

	assert_true(scope_sees(&groups, "acme", "lab"));
	assert_true(scope_sees(&groups, "acme", "kiosk"));
	assert_true(scope_sees(&groups, "acme", "north,lab"));
	assert_true(scope_sees(&groups, "acme", "kiosk,north"));
	for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
		assert_false(scope_sees(&groups, "acme", outside[i]));
	assert_false(scope_sees(&groups, "globex", "lab"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_all_tenants_without_groups_is_all),
		cmocka_unit_test(devices_of_other_tenants_are_not_seen),
		cmocka_unit_test(of_a_tenant_only_the_groups_are_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
