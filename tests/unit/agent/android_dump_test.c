#include "agent/android_dump.h"

#include "tests/unit/scratch.h"

#define FIXTURES MUSTER_SOURCE_DIR "/tests/fixtures/android/"

static char *fixture(const char *device, const char *name)
{
	char path[PATH_MAX];
	struct error error = {0};
	size_t len_bytes;
	(void)snprintf(path, sizeof(path), "%s%s/%s", FIXTURES, device, name);
	char *text = file_read(path, 1 << 20, &len_bytes, &error);
	if (!text)
		fail_msg("%s", error.what);
	return text;
}

static void reads_batteries(void **state)
{
	static const struct {
		const char *device;
		double level_pct, temperature_c;
		bool present, charging;
	} cases[] = {
		{"phone-14", 67, 28.7, true, false},
		{"tablet-10", 83, 35.7, true, true}, // of 500, and not what the log below it says
		{"phone-8", 100, 27.4, true, false}, // full
		{"box-12", 100, 0, false, true},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct android_battery battery;
		char *text auto_free = fixture(cases[i].device, "dumpsys-battery");
		assert_true(android_battery_parse(text, &battery));
		assert_true(battery.level_pct == cases[i].level_pct);
		assert_true(battery.has_temperature && battery.temperature_c == cases[i].temperature_c);
		assert_int_equal(battery.present, cases[i].present);
		assert_int_equal(battery.charging, cases[i].charging);
	}
}

static void refuses_what_is_no_battery(void **state)
{
	static const char *const cases[] = {
		"",
		"Can't find service: battery\n",
		"  level: \n  scale: 100\n",
		"  level: 101\n  scale: 100\n",
		"  level: -1\n",
		"  level: 5\n  scale: 0\n",
		"  Sending ACTION: level:72\n",
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct android_battery battery;
		assert_false(android_battery_parse(cases[i], &battery));
	}
}

static void reads_networks(void **state)
{
	static const struct {
		const char *device, *type;
		int64_t signal_dbm; // 0: none
	} cases[] = {
		{"phone-14", "wifi", -57}, // and not the telephone network that stands before it
		{"tablet-10", "cellular", 0},
		{"phone-8", "wifi", -50},
		{"box-12", "none", 0},
	};
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct android_network network;
		char *text auto_free = fixture(cases[i].device, "dumpsys-connectivity");
		assert_true(android_network_parse(text, &network));
		assert_string_equal(network.type, cases[i].type);
		assert_int_equal(network.has_signal, cases[i].signal_dbm != 0);
		if (network.has_signal)
			assert_int_equal(network.signal_dbm, cases[i].signal_dbm);
	}
}

static void refuses_what_tells_no_network(void **state)
{
	static const char *const cases[] = {
		"",
		"Active default network: \n",
		"Active default network: 100\n",
		"Active default network: 100\nNetworkAgentInfo{network{1001} nc{[ Transports: WIFI ]}}\n",
		"Active default network: 100\nNetworkAgentInfo{network{100}\nnc{[ Transports: WIFI ]}}\n",
	};
	struct android_network network;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_false(android_network_parse(cases[i], &network));
	assert_true(android_network_parse("Active default network: 7\nNetworkAgentInfo{network{7} nc{[ Transports: "
					  "LOWPAN SignalStrength: 20]}}",
					  &network));
	assert_string_equal(network.type, "other");
	assert_false(network.has_signal); // no level in dBm is above 0
}

static void reads_signals(void **state)
{
	static const struct {
		const char *device;
		int64_t dbm;
	} cases[] = {
		{"phone-14", -98}, // LTE is its primary, though NR has a level too
		{"tablet-10", -77},
		{"phone-8", -89}, // 12 ASU of GSM
	};
	int64_t dbm;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text auto_free = fixture(cases[i].device, "dumpsys-telephony.registry");
		assert_true(android_signal_parse(text, &dbm));
		assert_int_equal(dbm, cases[i].dbm);
	}
	char *box auto_free = fixture("box-12", "dumpsys-telephony.registry");
	assert_false(android_signal_parse(box, &dbm));
	assert_false(android_signal_parse("mSignalStrength=SignalStrength:", &dbm));
	assert_false(android_signal_parse("mSignalStrength=SignalStrength: 99 0 1 2 3 4 5 6 2147483647 x\n", &dbm));
	assert_false(android_signal_parse("mSignalStrength=SignalStrength:{mLte=CellSignalStrengthLte: rssi=2147483647 "
					  "rsrp=2147483647 level=0,primary=CellSignalStrengthLte}\n",
					  &dbm));
	assert_true(android_signal_parse("mSignalStrength=SignalStrength:{mNr=CellSignalStrengthNr:{ csiRsrp = -3 "
					 "ssRsrp = -73 },primary=CellSignalStrengthNr}",
					 &dbm));
	assert_int_equal(dbm, -73);
}

static const char *text_of(const struct json *json, const char *name)
{
	const char *value = "";
	(void)json_member_string(json, name, &value);
	return value;
}

static void reads_properties(void **state)
{
	char *text auto_free = fixture("phone-14", "getprop");
	char value[ANDROID_PROPERTY_MAX];
	int64_t sdk = 0;
	struct json *content auto_json = json_new_object();
	android_hardware(text, content);
	assert_string_equal(text_of(content, "os"), "android");
	assert_string_equal(text_of(content, "os_name"), "Android 14");
	assert_string_equal(text_of(content, "os_version"), "14");
	assert_string_equal(text_of(content, "os_security_patch"), "2024-08-05");
	assert_string_equal(text_of(content, "vendor"), "Google");
	assert_string_equal(text_of(content, "product"), "Pixel 8");
	assert_string_equal(text_of(content, "abi"), "arm64-v8a");
	assert_string_equal(text_of(content, "serial"), "39041FDJH00231");
	assert_true(json_member_int(content, "android_sdk", &sdk) && sdk == 34);

	assert_true(android_property(text, "vendor.note", value));
	assert_string_equal(value, "first line?second line ]: [ of the same value");
	assert_false(android_property(text, "ro.product", value));
	assert_false(android_property("[a]: [", "a", value));
	assert_false(android_property("[a]: []\n", "a", value));
}

static void knows_a_serial_number(void **state)
{
	char serial[ANDROID_PROPERTY_MAX];
	char *tablet auto_free = fixture("tablet-10", "getprop");
	char *box auto_free = fixture("box-12", "getprop");
	assert_true(android_serial(tablet, serial));
	assert_string_equal(serial, "R52N70ABCDE"); // the boot loader's, where there is no other
	assert_false(android_serial(box, serial));

	struct json *content auto_json = json_new_object();
	android_hardware(box, content);
	assert_string_equal(text_of(content, "product"), "TV box 4K ??"); // nothing but ASCII leaves
	assert_null(json_member(content, "serial"));
}

static void lists_packages(void **state)
{
	char *text auto_free = fixture("phone-14", "pm-list-packages");
	struct json *content auto_json = json_new_object();
	android_packages(text, false, content);
	const struct json *list = json_member(content, "packages");
	int64_t version = 0;
	bool system = true;
	assert_int_equal(json_array_length(list), 6);
	assert_string_equal(text_of(json_array_at(list, 0), "name"), "android"); // sorted
	assert_string_equal(text_of(json_array_at(list, 1), "name"), "com.android.hotspot2.osulogin");
	const struct json *pos = json_array_at(list, 5);
	assert_string_equal(text_of(pos, "name"), "org.example.pos"); // its path is full of "="
	assert_true(json_member_int(pos, "version_code", &version) && version == 10423);
	assert_true(json_member_bool(pos, "system", &system) && !system);
	assert_null(json_member(content, "truncated"));

	char *fault auto_free = fixture("box-12", "pm-list-packages");
	struct json *none auto_json = json_new_object();
	android_packages(fault, false, none);
	assert_int_equal(json_array_length(json_member(none, "packages")), 0);
}

static void says_when_packages_are_cut_off(void **state)
{
	static const char text[] = "package:/data/app/a/base.apk=org.a versionCode:1\r\n"
				   "package:/data/app/b/base.apk=org.b\n"
				   "package:/data/app/c/base.apk=org.c versionCode:1";
	bool truncated = false;
	struct json *content auto_json = json_new_object();
	android_packages(text, true, content);
	const struct json *list = json_member(content, "packages");
	assert_int_equal(json_array_length(list), 2); // of the third, the version may go on
	assert_null(json_member(json_array_at(list, 1), "version_code"));
	assert_true(json_member_bool(content, "truncated", &truncated) && truncated);

	struct buf many auto_buf = {0};
	buf_init(&many, 1 << 20);
	for (int i = 0; i <= ANDROID_PACKAGES_MAX; i++)
		assert_true(buf_addf(&many, "package:/x/%d.apk=p.%d versionCode:1\n", i, i));
	struct json *all auto_json = json_new_object();
	android_packages(buf_str(&many), false, all);
	assert_int_equal(json_array_length(json_member(all, "packages")), ANDROID_PACKAGES_MAX);
	assert_true(json_member_bool(all, "truncated", &truncated) && truncated);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_batteries),
		cmocka_unit_test(refuses_what_is_no_battery),
		cmocka_unit_test(reads_networks),
		cmocka_unit_test(refuses_what_tells_no_network),
		cmocka_unit_test(reads_signals),
		cmocka_unit_test(reads_properties),
		cmocka_unit_test(knows_a_serial_number),
		cmocka_unit_test(lists_packages),
		cmocka_unit_test(says_when_packages_are_cut_off),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
