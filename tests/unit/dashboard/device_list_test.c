#include "dashboard/device_list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void fields_become_members_once_each(void **state)
{
	auto_buf struct buf sql;

	buf_init(&sql, 4096);
	assert_true(device_list_fields("device,battery_pct,device", &sql, NULL));
	assert_string_equal(buf_str(&sql), "json_build_object('device', d.device, 'battery_pct', s.battery_pct)");
}

static void refused_field(const char *names, const char *named)
{
	auto_buf struct buf sql;
	struct error error = {0};

	buf_init(&sql, 4096);
	if (device_list_fields(names, &sql, &error))
		fail_msg("\"%s\" was taken", names);
	assert_int_equal(error.kind, ERROR_INVALID);
	assert_non_null(strstr(error.what, named));
}

static void a_field_that_there_is_not_is_named(void **state)
{
	refused_field("device,fingerprint", "\"fingerprint\"");
	refused_field("devic", "\"devic\"");
	refused_field("device,", "\"\"");
	refused_field(",device", "\"\"");
	refused_field("device'", "\"device'\"");
	refused_field("device, tags", "\" tags\"");
}

static void every_field_fits(void **state)
{
	auto_buf struct buf sql;

	buf_init(&sql, 16384);
	assert_true(device_list_fields(
		"device,display_name,tags,enabled,disabled,enrolled_at,status,presence,why,evidence,"
		"session,since,first_seen,last_seen,stale_at,interval_s,agent_version,changed_at,cell,"
		"latest,ts,battery_pct,charging,cpu_pct,load1,mem_total,mem_available,disk_total,"
		"disk_free,uptime_s,network_type,rssi_dbm,temperature_c,custom",
		&sql, NULL));
}

static void takes(const char *text, bool keyed, const char *device, const char *key)
{
	char cursor[512];
	const char *found = "";

	(void)snprintf(cursor, sizeof(cursor), "%s", text);
	if (!device_list_cursor(cursor, keyed, &found))
		fail_msg("%s was refused", text);
	assert_string_equal(cursor, device);
	if (key)
		assert_string_equal(found, key);
	else
		assert_null(found);
}

static void a_cursor_has_the_device_and_the_key(void **state)
{
	char foreign[] = "Kiosk 7.1", plain[] = "kiosk-7.20", empty[] = "";
	const char *key = NULL;

	takes("kiosk-7", false, "kiosk-7", NULL);
	takes("kiosk-7", true, "kiosk-7", NULL); // it has no key: among the last
	takes("kiosk-7.20.5", true, "kiosk-7", "20.5");
	takes("kiosk-7.a. b, \"c\" 1.2", true, "kiosk-7", "a. b, \"c\" 1.2");
	takes("kiosk-7.", true, "kiosk-7", "");
	assert_false(device_list_cursor(foreign, true, &key));
	assert_false(device_list_cursor(plain, false, &key));
	assert_false(device_list_cursor(empty, true, &key));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_become_members_once_each),
		cmocka_unit_test(a_field_that_there_is_not_is_named),
		cmocka_unit_test(every_field_fits),
		cmocka_unit_test(a_cursor_has_the_device_and_the_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
