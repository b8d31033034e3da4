#include "agent/platform.h"

#include "agent/collect.h"
#include "agent/fingerprint.h"
#include "agent/inventory.h"
#include "common/clock.h"
#include "tests/unit/scratch.h"

#include <poll.h>
#include <signal.h>

#define FIXTURES MUSTER_SOURCE_DIR "/tests/fixtures/android/"

static void make_program(void **state, const char *name, const char *script)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "system/bin/%s", name);
	free(scratch_write(state, path, script, 0700));
}

// A folder that looks like an Android device: its programs print what was recorded.
static const char *make_device(void **state, const char *device)
{
	static const char *const folders[] = {"system", "system/bin", "data", "proc"};
	struct scratch *scratch = *state;
	char script[512];
	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		char *folder auto_free = scratch_path(state, folders[i]);
		assert_int_equal(mkdir(folder, 0700), 0);
	}
	(void)snprintf(script, sizeof(script), "#!/bin/sh\nexec cat %s%s/dumpsys-$1\n", FIXTURES, device);
	make_program(state, "dumpsys", script);
	(void)snprintf(script, sizeof(script), "#!/bin/sh\nexec cat %s%s/getprop\n", FIXTURES, device);
	make_program(state, "getprop", script);
	(void)snprintf(
		script, sizeof(script),
		"#!/bin/sh\n[ \"$*\" = \"list packages -f --show-versioncode\" ] && exec cat %s%s/pm-list-packages\n",
		FIXTURES, device);
	make_program(state, "pm", script);
	return scratch->folder;
}

// Until nothing is due; now_ms is what the platform is told.
static void run_to_rest(struct platform *platform, int64_t now_ms)
{
	int64_t deadline_ms = clock_mono_ms() + 300000;
	for (;;) {
		platform_poll(platform, now_ms);
		if (platform_fd(platform) < 0 && platform_timeout_ms(platform, now_ms) != 0)
			return;
		struct pollfd watch = {.fd = platform_fd(platform), .events = POLLIN};
		(void)poll(&watch, 1, 100);
		assert_true(clock_mono_ms() < deadline_ms);
	}
}

static double number(const struct json *json, const char *name)
{
	double value = -1000;
	(void)json_member_double(json, name, &value);
	return value;
}

static void android_tells(void **state)
{
	struct platform platform;
	struct collect collect;
	const char *type = "";
	bool charging = true;
	const char *root = make_device(state, "phone-14");
	platform_init(&platform, root);
	assert_true(platform.android);
	assert_false(platform_ready(&platform));
	run_to_rest(&platform, 1);
	assert_true(platform_ready(&platform));

	collect_init(&collect, root, &platform);
	struct json *reading auto_json = collect_reading(&collect, 1);
	assert_true(number(reading, "battery_pct") == 67);
	assert_true(json_member_bool(reading, "charging", &charging) && !charging);
	assert_true(json_member_string(reading, "network_type", &type));
	assert_string_equal(type, "wifi");
	assert_true(number(reading, "rssi_dbm") == -57);
	assert_true(number(reading, "temperature_c") == 28.7);
	assert_true(number(reading, "disk_total") >= number(reading, "disk_free"));
	assert_true(number(reading, "disk_free") > 0);

	struct json *software auto_json = json_new_object();
	assert_true(inventory_software.read(&platform, software));
	assert_int_equal(json_array_length(json_member(software, "packages")), 6);
	struct json *hardware auto_json = json_new_object();
	assert_true(inventory_hardware.read(&platform, hardware));
	assert_true(json_member_string(hardware, "product", &type));
	assert_string_equal(type, "Pixel 8");
	platform_done(&platform);
}

static void a_telephone_network_has_the_radio_s_level(void **state)
{
	struct platform platform;
	platform_init(&platform, make_device(state, "tablet-10"));
	run_to_rest(&platform, 1);
	struct json *reading auto_json = json_new_object();
	platform_reading(&platform, reading);
	assert_true(number(reading, "rssi_dbm") == -77);
	platform_done(&platform);
}

static void a_box_without_battery_reports_none(void **state)
{
	struct platform platform;
	const char *type = "";
	platform_init(&platform, make_device(state, "box-12"));
	run_to_rest(&platform, 1);
	struct json *reading auto_json = json_new_object();
	platform_reading(&platform, reading);
	assert_null(json_member(reading, "battery_pct"));
	assert_true(json_member_string(reading, "network_type", &type));
	assert_string_equal(type, "none");
	assert_null(platform.software); // the package manager was not up yet
	platform_done(&platform);
}

static void programs_are_run_rarely(void **state)
{
	struct platform platform;
	platform_init(&platform, make_device(state, "phone-14"));
	run_to_rest(&platform, 1);
	int64_t wait_ms = platform_timeout_ms(&platform, 1);
	assert_true(wait_ms == 60000); // the battery's
	platform_poll(&platform, wait_ms - 1);
	assert_int_equal(platform_fd(&platform), -1);
	platform_poll(&platform, wait_ms + 1);
	assert_true(platform_fd(&platform) >= 0);
	run_to_rest(&platform, wait_ms + 1);
	platform_done(&platform);
}

static void a_program_that_hangs_is_ended(void **state)
{
	struct platform platform;
	const char *root = make_device(state, "phone-14");
	char *pid_file auto_free = scratch_path(state, "pid");
	char script[256];
	(void)snprintf(script, sizeof(script),
		       "#!/bin/sh\necho '  level: 5'\necho $$ >%s.new\nmv %s.new %s\nsleep 600\n", pid_file, pid_file,
		       pid_file);
	make_program(state, "dumpsys", script);
	platform_init(&platform, root);
	platform_poll(&platform, 1);
	int64_t deadline_ms = clock_mono_ms() + 300000;
	while (!file_exists(pid_file))
		assert_true(clock_mono_ms() < deadline_ms && poll(NULL, 0, 10) == 0);
	pid_t pid;
	FILE *file = fopen(pid_file, "r");
	assert_non_null(file);
	assert_int_equal(fscanf(file, "%d", &pid), 1);
	assert_int_equal(fclose(file), 0);
	assert_true(platform_timeout_ms(&platform, 2) == 4999);
	platform_poll(&platform, 5001);
	assert_true(platform.battery_known); // what it had said by then counts
	assert_int_equal(kill(pid, 0), -1);
	platform_done(&platform); // and with it the one that runs now
}

static void a_program_that_prints_for_ever_is_ended(void **state)
{
	struct platform platform;
	const char *root = make_device(state, "phone-14");
	make_program(state, "pm", "#!/bin/sh\nwhile :; do echo package:/data/a.apk=org.a versionCode:1; done\n");
	platform_init(&platform, root);
	run_to_rest(&platform, 1);
	bool truncated = false;
	assert_non_null(platform.software);
	assert_true(json_member_bool(platform.software, "truncated", &truncated) && truncated);
	platform_done(&platform);
}

static void a_program_that_is_missing_is_done_without(void **state)
{
	struct platform platform;
	const char *root = make_device(state, "phone-14");
	char *dumpsys auto_free = scratch_path(state, "system/bin/dumpsys");
	assert_int_equal(unlink(dumpsys), 0);
	platform_init(&platform, root);
	run_to_rest(&platform, 1);
	assert_true(platform_ready(&platform));
	assert_false(platform.battery_known);
	assert_non_null(platform.hardware);
	platform_done(&platform);
}

static void the_fingerprint_is_the_serial_number_s(void **state)
{
	static const char text[] = "machine-id=\nproduct-uuid=\nboard-serial=39041fdjh00231\nmac=\n";
	char expected[SHA256_HEX_BYTES];
	char read[SHA256_HEX_BYTES];
	bool hidden = true;
	const char *root = make_device(state, "phone-14");
	crypto_sha256_hex(text, strlen(text), expected);
	assert_true(fingerprint_read(root, read, &hidden));
	assert_string_equal(read, expected);
	assert_false(hidden);
}

static void linux_is_left_alone(void **state)
{
	struct scratch *scratch = *state;
	struct platform platform;
	platform_init(&platform, scratch->folder);
	assert_false(platform.android);
	assert_true(platform_ready(&platform));
	assert_int_equal(platform_timeout_ms(&platform, 1), -1);
	platform_poll(&platform, 1);
	assert_int_equal(platform_fd(&platform), -1);
	struct json *content auto_json = json_new_object();
	assert_false(inventory_software.read(&platform, content));
	assert_null(platform_serial(scratch->folder));
	platform_done(&platform);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_SCRATCH(android_tells),
		IN_SCRATCH(a_telephone_network_has_the_radio_s_level),
		IN_SCRATCH(a_box_without_battery_reports_none),
		IN_SCRATCH(programs_are_run_rarely),
		IN_SCRATCH(a_program_that_hangs_is_ended),
		IN_SCRATCH(a_program_that_prints_for_ever_is_ended),
		IN_SCRATCH(a_program_that_is_missing_is_done_without),
		IN_SCRATCH(the_fingerprint_is_the_serial_number_s),
		IN_SCRATCH(linux_is_left_alone),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
