#include "tools/sim/telemetry.h"

#include "common/json.h"
#include "common/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define START_MS 1767225600000
#define STEP_MS 30000

static void check_ranges(const struct reading *reading)
{
	assert_true(reading->battery_pct >= 0 && reading->battery_pct <= 100);
	assert_true(reading->cpu_pct >= 0 && reading->cpu_pct <= 100);
	assert_true(reading->load1 >= 0 && reading->load1 <= 64);
	assert_true(reading->mem_available > 0 && reading->mem_available < reading->mem_total);
	assert_true(reading->disk_free > 0 && reading->disk_free < reading->disk_total);
	assert_true(reading->rssi_dbm >= -100 && reading->rssi_dbm <= -30);
	assert_true(reading->temperature_c > -10 && reading->temperature_c < 80);
	assert_true(reading->uptime_s >= 0);
}

static void test_stays_in_ranges(void **state)
{
	struct telemetry telemetry;
	struct reading reading;
	bool seen[3] = {false};

	for (uint64_t seed = 0; seed < 100; seed++) {
		telemetry_init(&telemetry, seed, START_MS);
		seen[telemetry.profile] = true;
		for (int64_t i = 1; i <= 3000; i++) { // 25 hours
			telemetry_next(&telemetry, START_MS + i * STEP_MS, &reading);
			check_ranges(&reading);
			assert_int_equal(reading.ts_ms, START_MS + i * STEP_MS);
		}
	}
	assert_true(seen[TELEMETRY_PHONE] && seen[TELEMETRY_KIOSK] && seen[TELEMETRY_BOX]);
}

static void test_same_seed_same_readings(void **state)
{
	char texts[3][1024];
	const uint64_t seeds[3] = {42, 42, 43};

	for (int i = 0; i < 3; i++) {
		struct telemetry telemetry;
		struct reading reading;
		auto_buf struct buf text;

		buf_init(&text, sizeof(texts[i]));
		telemetry_init(&telemetry, seeds[i], START_MS);
		for (int64_t k = 1; k <= 50; k++)
			telemetry_next(&telemetry, START_MS + k * STEP_MS, &reading);
		telemetry_write(&reading, "e", 1, 0, &text);
		memcpy(texts[i], buf_str(&text), text.len_bytes + 1);
	}
	assert_string_equal(texts[0], texts[1]);
	assert_string_not_equal(texts[0], texts[2]);
}

static void test_batteries_drain_and_charge(void **state)
{
	struct telemetry telemetry;
	struct reading reading;
	int changes = 0;

	for (uint64_t seed = 0;; seed++) {
		telemetry_init(&telemetry, seed, START_MS);
		if (telemetry.profile == TELEMETRY_PHONE)
			break;
	}
	double before = telemetry.battery_pct;
	bool charging = telemetry.charging;
	for (int64_t i = 1; i <= 10000; i++) { // three and a half days
		telemetry_next(&telemetry, START_MS + i * STEP_MS, &reading);
		if (charging && reading.charging)
			assert_true(reading.battery_pct >= before);
		if (!charging && !reading.charging)
			assert_true(reading.battery_pct <= before);
		changes += reading.charging != charging;
		charging = reading.charging;
		before = reading.battery_pct;
	}
	assert_in_range(changes, 4, 100);
}

static void test_no_time_no_change_of_the_battery(void **state)
{
	struct telemetry telemetry;
	struct reading reading;

	telemetry_init(&telemetry, 3, START_MS);
	double before = telemetry.battery_pct;
	for (int i = 0; i < 100; i++)
		telemetry_next(&telemetry, START_MS - i * 1000, &reading); // a clock that runs back
	assert_true(reading.battery_pct == before);
	assert_true(reading.uptime_s >= 0);
}

static void test_reboot_starts_the_uptime_anew(void **state)
{
	struct telemetry telemetry;
	struct reading reading;

	telemetry_init(&telemetry, 3, START_MS);
	telemetry_rebooted(&telemetry, START_MS + 1000);
	telemetry_next(&telemetry, START_MS + 6000, &reading);
	assert_int_equal(reading.uptime_s, 5);
}

// As the protocol wants it, by the strict parser that ingest uses too.
static void test_writes_the_protocol(void **state)
{
	for (uint64_t seed = 0; seed < 20; seed++) {
		struct telemetry telemetry;
		struct reading reading;
		auto_buf struct buf text;
		const char *string;
		int64_t number;
		double value;
		bool flag;

		buf_init(&text, 4096);
		telemetry_init(&telemetry, seed, START_MS);
		telemetry_next(&telemetry, START_MS + STEP_MS, &reading);
		telemetry_write(&reading, "0f8c", 9007199254740991, 0xdeadbeef, &text);
		assert_false(text.overflowed);
		auto_json struct json *json = json_parse(text.data, text.len_bytes, NULL);
		assert_non_null(json);
		assert_true(json_member_string(json, "epoch", &string));
		assert_string_equal(string, "0f8c");
		assert_true(json_member_int(json, "seq", &number));
		assert_true(number == 9007199254740991);
		assert_true(json_member_int(json, "ts", &number));
		assert_true(number == START_MS + STEP_MS);
		assert_true(json_member_double(json, "cpu_pct", &value));
		assert_true(json_member_int(json, "mem_available", &number));
		assert_true(json_member_string(json, "check", &string));
		assert_string_equal(string, "00000000deadbeef");
		bool battery = telemetry.profile != TELEMETRY_BOX;
		assert_int_equal(json_member_bool(json, "charging", &flag), battery);
		assert_int_equal(json_member_double(json, "battery_pct", &value), battery);
		assert_int_equal(json_member_double(json, "rssi_dbm", &value), battery);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stays_in_ranges),
		cmocka_unit_test(test_same_seed_same_readings),
		cmocka_unit_test(test_batteries_drain_and_charge),
		cmocka_unit_test(test_no_time_no_change_of_the_battery),
		cmocka_unit_test(test_reboot_starts_the_uptime_anew),
		cmocka_unit_test(test_writes_the_protocol),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
