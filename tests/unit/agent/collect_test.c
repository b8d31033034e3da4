#include "agent/collect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FIXTURES MUSTER_SOURCE_DIR "/tests/fixtures/linux"

static const struct platform linux_machine;

static double number(const struct json *reading, const char *name)
{
	double value = -1;
	assert_true(json_member_double(reading, name, &value));
	return value;
}

static const char *text(const struct json *reading, const char *name)
{
	const char *value = NULL;
	assert_true(json_member_string(reading, name, &value));
	return value;
}

static void reads_a_laptop(void **state)
{
	struct collect collect;
	collect_init(&collect, FIXTURES "/laptop", &linux_machine);
	struct json *reading auto_json = collect_reading(&collect, 1767225600000);
	bool charging = false;

	assert_true(number(reading, "ts") == 1767225600000.0);
	assert_true(number(reading, "battery_pct") == 83); // and not the mouse's
	assert_true(json_member_bool(reading, "charging", &charging) && charging);
	assert_true(number(reading, "mem_total") == 16255224.0 * 1024);
	assert_true(number(reading, "mem_available") == 8388608.0 * 1024);
	assert_true(number(reading, "load1") == 0.52);
	assert_true(number(reading, "uptime_s") == 18243);
	assert_true(number(reading, "temperature_c") == 47.05);
	assert_string_equal(text(reading, "network_type"), "wifi"); // the lower metric of two default routes
	assert_true(number(reading, "rssi_dbm") == -53);
	assert_true(number(reading, "disk_total") >= number(reading, "disk_free"));
	assert_true(number(reading, "disk_free") > 0);
}

static void reads_a_board_with_a_modem(void **state)
{
	struct collect collect;
	collect_init(&collect, FIXTURES "/modem-board", &linux_machine);
	struct json *reading auto_json = collect_reading(&collect, 1);

	assert_string_equal(text(reading, "network_type"), "cellular"); // by its only default route, which is IPv6
	assert_true(number(reading, "temperature_c") == 61.224);
	assert_true(number(reading, "load1") == 3.04);
	assert_null(json_member(reading, "battery_pct"));
	assert_null(json_member(reading, "charging"));
	assert_null(json_member(reading, "rssi_dbm"));
}

static void leaves_out_what_there_is_not(void **state)
{
	struct collect collect;
	collect_init(&collect, FIXTURES "/bare", &linux_machine);
	struct json *reading auto_json = collect_reading(&collect, 1);
	static const char *const absent[] = {"battery_pct",   "cpu_pct",  "load1",	   "mem_total",
					     "mem_available", "uptime_s", "temperature_c", "rssi_dbm"};
	for (size_t i = 0; i < sizeof(absent) / sizeof(absent[0]); i++)
		assert_null(json_member(reading, absent[i]));
	assert_string_equal(text(reading, "network_type"), "none");
	assert_int_equal(collect_uptime_s(FIXTURES "/bare"), -1);
	assert_int_equal(collect_uptime_s(FIXTURES "/modem-board"), 61);
}

static void write_stat(const char *root, const char *line)
{
	char path[256];
	(void)snprintf(path, sizeof(path), "%s/proc/stat", root);
	FILE *file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fprintf(file, "%s\n", line) > 0);
	assert_int_equal(fclose(file), 0);
}

static void cpu_is_the_share_between_two_readings(void **state)
{
	char root[] = "/tmp/muster-collect-XXXXXX";
	char path[256];
	assert_non_null(mkdtemp(root));
	(void)snprintf(path, sizeof(path), "%s/proc", root);
	assert_int_equal(mkdir(path, 0700), 0);

	struct collect collect;
	write_stat(root, "cpu  1000 0 1000 8000 0 0 0 0 0 0");
	collect_init(&collect, root, &linux_machine);
	write_stat(root, "cpu  1100 50 1050 8600 150 20 10 20 900 0"); // 250 of 1000 ticks
	struct json *first auto_json = collect_reading(&collect, 1);
	assert_true(number(first, "cpu_pct") == 25);

	write_stat(root, "cpu  1100 50 1050 8500 150 20 10 20 900 0"); // idle ran backwards: no time has passed
	struct json *second auto_json = collect_reading(&collect, 1);
	assert_null(json_member(second, "cpu_pct"));

	write_stat(root, "cpu  1101 50 1050 8602 150 20 10 20 900 0");
	struct json *third auto_json = collect_reading(&collect, 1);
	assert_true(number(third, "cpu_pct") >= 0 && number(third, "cpu_pct") <= 100);

	(void)snprintf(path, sizeof(path), "%s/proc/stat", root);
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/proc", root);
	assert_int_equal(rmdir(path), 0);
	assert_int_equal(rmdir(root), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_a_laptop),
		cmocka_unit_test(reads_a_board_with_a_modem),
		cmocka_unit_test(leaves_out_what_there_is_not),
		cmocka_unit_test(cpu_is_the_share_between_two_readings),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
