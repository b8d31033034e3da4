// Against a real PostgreSQL with the project's migrations.
#include "ingest/push.h"

#include "tests/unit/ingest/storing.h"

static void hello(const char *device, const char *token)
{
	char topic[64];
	char text[128];
	(void)snprintf(topic, sizeof(topic), "fleet/v1/%s/event", device);
	(void)snprintf(text, sizeof(text), "{\"type\":\"hello\",\"push_token\":\"%s\"}", token);
	take(topic, text);
}

#define SHOWN                                                                                                 \
	"select coalesce(string_agg(concat_ws(' ', device, token, retired_reason), ', ' order by device), '')" \
	" from device_push"

static void test_the_last_token_counts(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	exec("delete from device_push");
	hello("d1", "one");
	hello("d2", "other");
	hello("d1", "two");
	take("fleet/v1/d2/event", "{\"type\":\"hello\"}"); // says nothing new
	commit(store);
	says(SHOWN, "d1 two , d2 other ");
	hello("d1", "three");
	hello("nobody", "four");
	commit(store);
	says(SHOWN, "d1 three , d2 other ");
}

static void test_a_retired_token_stays_so_until_another_comes(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	exec("delete from device_push");
	hello("d1", "one");
	commit(store);
	exec("update device_push set retired_at = now(), retired_reason = 'UNREGISTERED'");
	hello("d1", "one");
	commit(store);
	says(SHOWN, "d1 one UNREGISTERED");
	hello("d1", "two");
	commit(store);
	says(SHOWN, "d1 two ");
	assert_int_equal(number("select count(*) from device_push where retired_at is not null"), 0);
}

static void test_a_device_takes_its_token_back(void **state)
{
	struct store *store cleanup(store_free_cleanup) = new_store(false);
	exec("delete from device_push");
	hello("d1", "one");
	hello("d2", "");
	commit(store);
	hello("d1", "");
	commit(store);
	says(SHOWN, "d1 one the device has it no longer");
	assert_int_equal(number("select count(*) from device_push where retired_at is not null"), 1);
	hello("d1", "one");
	commit(store);
	says(SHOWN, "d1 one ");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_the_last_token_counts, setup),
		cmocka_unit_test_setup(test_a_retired_token_stays_so_until_another_comes, setup),
		cmocka_unit_test_setup(test_a_device_takes_its_token_back, setup),
	};
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
