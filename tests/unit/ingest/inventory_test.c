#include "ingest/inventory.h"

#include "tests/unit/ingest/parsing.h"

static void test_content(void **state)
{
	accepts(&inventory_kind, "{\"epoch\":\"e\",\"seq\":2,\"ts\":3,\"cpu\":\"x\",\"type\":\"y\","
				 "\"list\":[{\"a\":1}]}");
	const struct inventory *inventory = parsing.message.rows;
	stamped(0, "e", 2, 3);
	assert_string_equal(inventory->kind, "hardware");
	assert_string_equal(inventory->body, "{\"cpu\":\"x\",\"type\":\"y\",\"list\":[{\"a\":1}]}");
	refuses(&inventory_kind, "[]", "not a JSON object");
	refuses(&inventory_kind, "{\"epoch\":\"e\"}", "seq is missing");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_content)};
	return cmocka_run_group_tests(tests, parsing_setup, parsing_teardown);
}
