#include "agent/system.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LAPTOP MUSTER_SOURCE_DIR "/tests/fixtures/linux/laptop"

static void reads_whole_files_without_their_end(void **state)
{
	char *text auto_free = system_read(LAPTOP, "/sys/class/%s/BAT0/status", "power_supply");
	assert_string_equal(text, "Charging");
	errno = 0;
	assert_null(system_read(LAPTOP, "/no/such/file"));
	assert_int_equal(errno, ENOENT);
	assert_null(system_read(LAPTOP, "/proc")); // a folder
	char *zeros auto_free = system_read("", "/dev/zero"); // endless: cut
	assert_non_null(zeros);
}

static void numbers_are_whole_lines(void **state)
{
	int64_t value = 7;
	assert_true(system_read_int(&value, LAPTOP, "/sys/class/thermal/thermal_zone2/temp"));
	assert_int_equal(value, -273200);
	assert_false(system_read_int(&value, LAPTOP, "/proc/uptime"));
	assert_false(system_read_int(&value, LAPTOP, "/proc/nothing"));
	assert_int_equal(value, -273200);
}

static void lists_are_sorted_and_bounded(void **state)
{
	char **all auto_system_list = system_list(LAPTOP, "/sys/class/power_supply", 10);
	assert_string_equal(all[0], "AC");
	assert_string_equal(all[1], "BAT0");
	assert_string_equal(all[2], "hidpp_battery_0");
	assert_null(all[3]);
	char **two auto_system_list = system_list(LAPTOP, "/sys/class/power_supply", 2);
	assert_non_null(two[1]);
	assert_null(two[2]);
	char **none auto_system_list = system_list(LAPTOP, "/nowhere", 10);
	assert_null(none[0]);
}

static void fields_are_found_by_their_whole_name(void **state)
{
	static const char text[] = "ID_LIKE=x\nID=debian\nNAME=\"a b\"\nMemTotal:  12 kB\nEMPTY=\nLONE=\"";
	char *id auto_free = system_field(text, "ID", '=');
	char *name auto_free = system_field(text, "NAME", '=');
	char *total auto_free = system_field(text, "MemTotal", ':');
	char *empty auto_free = system_field(text, "EMPTY", '=');
	char *lone auto_free = system_field(text, "LONE", '=');
	assert_string_equal(id, "debian");
	assert_string_equal(name, "a b");
	assert_string_equal(total, "12 kB");
	assert_string_equal(empty, "");
	assert_string_equal(lone, "\"");
	assert_null(system_field(text, "Mem", ':'));
	assert_null(system_field("", "ID", '='));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_whole_files_without_their_end),
		cmocka_unit_test(numbers_are_whole_lines),
		cmocka_unit_test(lists_are_sorted_and_bounded),
		cmocka_unit_test(fields_are_found_by_their_whole_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
