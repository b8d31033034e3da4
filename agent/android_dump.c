#include "agent/android_dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define UNAVAILABLE INT32_MAX // android.telephony.CellInfo.UNAVAILABLE
#define DBM_MIN (-200)
#define DBM_MAX 0

// ---- pieces of text ----

static const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');
	return end ? end + 1 : NULL;
}

// The text behind "name:" on a line of its own, whatever stands before it being white space; NULL without.
static const char *value_of(const char *text, const char *name)
{
	size_t name_bytes = strlen(name);
	for (const char *line = text; line; line = next_line(line)) {
		const char *at = line + strspn(line, " \t");
		if (strncmp(at, name, name_bytes) != 0 || at[name_bytes] != ':')
			continue;
		at += name_bytes + 1;
		return at + strspn(at, " \t");
	}
	return NULL;
}

static bool number_at(const char *at, int64_t *out)
{
	char *end = NULL;
	long long value = at ? strtoll(at, &end, 10) : 0;
	if (!at || end == at)
		return false;
	*out = value;
	return true;
}

static bool number_of(const char *text, const char *name, int64_t *out)
{
	return number_at(value_of(text, name), out);
}

static bool starts(const char *at, const char *start)
{
	return strncmp(at, start, strlen(start)) == 0;
}

// What of [from, to) begins with needle; NULL without.
static const char *find_within(const char *from, const char *to, const char *needle)
{
	return memmem(from, (size_t)(to - from), needle, strlen(needle));
}

// ---- the battery ----

bool android_battery_parse(const char *text, struct android_battery *out)
{
	enum { STATUS_CHARGING = 2 }; // android.os.BatteryManager.BATTERY_STATUS_CHARGING
	struct android_battery battery = {.present = true};
	int64_t level;
	int64_t scale = 100;
	int64_t status = 0;
	int64_t tenths;
	const char *present = value_of(text, "present");
	if (present)
		battery.present = starts(present, "true");
	(void)number_of(text, "scale", &scale);
	(void)number_of(text, "status", &status);
	if (!number_of(text, "level", &level) || scale <= 0 || level < 0 || level > scale)
		return false;
	battery.level_pct = (double)level * 100 / (double)scale;
	battery.charging = status == STATUS_CHARGING;
	battery.has_temperature = number_of(text, "temperature", &tenths) && tenths > -500 && tenths < 1500;
	battery.temperature_c = battery.has_temperature ? (double)tenths / 10 : 0;
	*out = battery;
	return true;
}

// ---- the network ----

static const char *type_of(const char *transports, const char *end)
{
	static const struct {
		const char *word, *type;
	} types[] = {
		{"WIFI", "wifi"},
		{"CELLULAR", "cellular"},
		{"ETHERNET", "ethernet"},
		{"BLUETOOTH", "bluetooth"},
	};
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (find_within(transports, end, types[i].word))
			return types[i].type;
	}
	return "other";
}

// "NetworkAgentInfo{...  network{101}  ...  nc{[ Transports: WIFI Capabilities: ... SignalStrength: -57 ...]} ...": one
// line, whose other parts come in another order with each release.
static bool parse_agent(const char *line, const char *end, struct android_network *out)
{
	static const char transports[] = "Transports: ";
	static const char strength[] = "SignalStrength: ";
	const char *at = find_within(line, end, transports);
	if (!at)
		return false;
	at += strlen(transports);
	const char *word_end = at;
	while (word_end < end && *word_end != ' ')
		word_end++;
	out->type = type_of(at, word_end);
	at = find_within(at, end, strength);
	out->has_signal = at && number_at(at + strlen(strength), &out->signal_dbm) && out->signal_dbm >= DBM_MIN &&
			  out->signal_dbm < DBM_MAX;
	return true;
}

bool android_network_parse(const char *text, struct android_network *out)
{
	int64_t number;
	char name[48];
	const char *value = value_of(text, "Active default network");
	if (!value)
		return false;
	*out = (struct android_network){.type = "none"};
	if (starts(value, "none"))
		return true;
	if (!number_at(value, &number) || number < 0)
		return false;
	(void)snprintf(name, sizeof(name), "network{%lld}", (long long)number);
	for (const char *line = value; line; line = next_line(line)) {
		const char *end = line + strcspn(line, "\n");
		if (find_within(line, end, "NetworkAgentInfo") && find_within(line, end, name) &&
		    parse_agent(line, end, out))
			return true;
	}
	return false;
}

// ---- the cellular signal ----

// "name=-97" or "name = -97", behind what is no letter.
static bool level_of(const char *from, const char *to, const char *name, int64_t *dbm)
{
	size_t name_bytes = strlen(name);
	for (const char *at = from; (at = find_within(at, to, name)); at += name_bytes) {
		const char *value = at + name_bytes;
		if (at[-1] != ' ' || (*value != ' ' && *value != '='))
			continue;
		value += strspn(value, " =");
		return value < to && number_at(value, dbm) && *dbm != UNAVAILABLE && *dbm >= DBM_MIN && *dbm < DBM_MAX;
	}
	return false;
}

static const struct technology {
	const char *group, *level;
} technologies[] = {
	{"CellSignalStrengthNr:", "ssRsrp"}, {"CellSignalStrengthLte:", "rsrp"},
	{"CellSignalStrengthTdscdma:", "rscp"}, {"CellSignalStrengthWcdma:", "rscp"},
	{"CellSignalStrengthCdma:", "cdmaDbm"}, {"CellSignalStrengthGsm:", "rssi"},
};

static bool technology_level(const struct technology *technology, const char *from, const char *to, int64_t *dbm)
{
	const char *group = find_within(from, to, technology->group);
	if (!group)
		return false;
	group += strlen(technology->group);
	const char *next = find_within(group, to, "CellSignalStrength");
	return level_of(group, next ? next : to, technology->level, dbm);
}

// Android 10 and later: "{mCdma=CellSignalStrengthCdma: cdmaDbm=.. ..,mGsm=..,..,primary=CellSignalStrengthLte}". Where
// no primary is said, or it has no level, the first that has one.
static bool groups_level(const char *from, const char *to, int64_t *dbm)
{
	const char *primary = find_within(from, to, "primary=");
	for (size_t i = 0; primary && i < sizeof(technologies) / sizeof(technologies[0]); i++) {
		const char *group = technologies[i].group;
		if (strncmp(primary + strlen("primary="), group, strlen(group) - 1) == 0 &&
		    technology_level(&technologies[i], from, to, dbm))
			return true;
	}
	for (size_t i = 0; i < sizeof(technologies) / sizeof(technologies[0]); i++) {
		if (technology_level(&technologies[i], from, to, dbm))
			return true;
	}
	return false;
}

// Android 8 and 9: numbers by their place, the first the GSM level in ASU (3GPP TS 27.007, 8.5), the ninth LTE's RSRP.
static bool places_level(const char *from, const char *to, int64_t *dbm)
{
	enum { GSM_ASU = 0, LTE_RSRP = 8, ASU_MAX = 31 };
	int64_t values[LTE_RSRP + 1];
	for (size_t i = 0; i <= LTE_RSRP; i++) {
		from += strspn(from, " ");
		if (from >= to || !number_at(from, &values[i]))
			return false;
		from += strcspn(from, " \n");
	}
	if (values[LTE_RSRP] >= DBM_MIN && values[LTE_RSRP] < DBM_MAX) {
		*dbm = values[LTE_RSRP];
		return true;
	}
	*dbm = -113 + 2 * values[GSM_ASU];
	return values[GSM_ASU] >= 0 && values[GSM_ASU] <= ASU_MAX;
}

bool android_signal_parse(const char *text, int64_t *dbm)
{
	static const char start[] = "mSignalStrength=SignalStrength:";
	for (const char *at = text; (at = strstr(at, start));) { // one for each SIM
		at += strlen(start);
		const char *end = at + strcspn(at, "\n");
		if (*at == '{' ? groups_level(at, end, dbm) : places_level(at, end, dbm))
			return true;
	}
	return false;
}

// ---- properties ----

bool android_property(const char *text, const char *name, char out[ANDROID_PROPERTY_MAX])
{
	size_t name_bytes = strlen(name);
	for (const char *line = text; line; line = next_line(line)) {
		if (line[0] != '[' || strncmp(line + 1, name, name_bytes) != 0 ||
		    !starts(line + 1 + name_bytes, "]: ["))
			continue;
		const char *value = line + 1 + name_bytes + strlen("]: [");
		const char *end = value;
		while (*end && !(end[0] == ']' && (end[1] == '\n' || end[1] == '\r' || end[1] == '\0')))
			end++;
		if (!*end || end == value || (size_t)(end - value) >= ANDROID_PROPERTY_MAX)
			return false;
		for (size_t i = 0; i < (size_t)(end - value); i++) // JSON takes nothing but UTF-8
			out[i] = (char)(value[i] >= ' ' && value[i] <= '~' ? value[i] : '?');
		out[end - value] = '\0';
		return true;
	}
	return false;
}

bool android_serial(const char *text, char out[ANDROID_PROPERTY_MAX])
{
	return (android_property(text, "ro.serialno", out) || android_property(text, "ro.boot.serialno", out)) &&
	       strcmp(out, "unknown") != 0;
}

static void add_property(const char *text, const char *name, const char *member, struct json *content)
{
	char value[ANDROID_PROPERTY_MAX];
	if (android_property(text, name, value))
		json_set_string(content, member, value);
}

void android_hardware(const char *text, struct json *content)
{
	static const struct {
		const char *property, *member;
	} members[] = {
		{"ro.build.version.release", "os_version"},
		{"ro.build.version.security_patch", "os_security_patch"},
		{"ro.build.fingerprint", "os_build"},
		{"ro.product.manufacturer", "vendor"},
		{"ro.product.model", "product"},
		{"ro.product.device", "product_device"},
		{"ro.product.cpu.abi", "abi"},
		{"ro.hardware", "board"},
	};
	char value[ANDROID_PROPERTY_MAX];
	json_set_string(content, "os", "android");
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		add_property(text, members[i].property, members[i].member, content);
	if (android_property(text, "ro.build.version.release", value)) {
		char name[ANDROID_PROPERTY_MAX + 16];
		(void)snprintf(name, sizeof(name), "Android %s", value);
		json_set_string(content, "os_name", name);
	}
	if (android_property(text, "ro.build.version.sdk", value))
		json_set_int(content, "android_sdk", strtol(value, NULL, 10));
	if (android_serial(text, value))
		json_set_string(content, "serial", value);
}

// ---- packages ----

struct package {
	const char *name;
	size_t name_bytes;
	int64_t version_code; // -1: not said
	bool system;
};

// "package:/data/app/~~Ug3n==/org.example-x1==/base.apk=org.example versionCode:42": the path may hold "=", the name
// not.
static bool parse_package(const char *line, const char *end, struct package *out)
{
	static const char start[] = "package:";
	static const char version[] = " versionCode:";
	if ((size_t)(end - line) < strlen(start) || !starts(line, start))
		return false;
	line += strlen(start);
	const char *name_end = find_within(line, end, version);
	out->version_code = -1;
	if (name_end && !number_at(name_end + strlen(version), &out->version_code))
		out->version_code = -1;
	if (!name_end)
		name_end = end;
	const char *equals = memrchr(line, '=', (size_t)(name_end - line));
	if (!equals)
		return false;
	out->name = equals + 1;
	out->name_bytes = (size_t)(name_end - out->name);
	out->system = !starts(line, "/data/");
	for (size_t i = 0; i < out->name_bytes; i++) {
		char c = out->name[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
		      c == '_'))
			return false;
	}
	return out->name_bytes > 0 && out->name_bytes <= 255;
}

static int by_name(const void *a, const void *b)
{
	const struct package *left = a;
	const struct package *right = b;
	size_t shorter = left->name_bytes < right->name_bytes ? left->name_bytes : right->name_bytes;
	int order = memcmp(left->name, right->name, shorter);
	if (order != 0)
		return order;
	return (left->name_bytes > right->name_bytes) - (left->name_bytes < right->name_bytes);
}

static void append_package(struct json *list, const struct package *package)
{
	char name[256];
	struct json *entry = json_new_object();
	(void)snprintf(name, sizeof(name), "%.*s", (int)package->name_bytes, package->name);
	json_set_string(entry, "name", name);
	if (package->version_code >= 0)
		json_set_int(entry, "version_code", package->version_code);
	json_set_bool(entry, "system", package->system);
	json_append(list, entry);
}

void android_packages(const char *text, bool truncated, struct json *content)
{
	struct package *packages auto_free = calloc(ANDROID_PACKAGES_MAX, sizeof(*packages));
	size_t count = 0;
	if (!packages)
		abort();
	for (const char *line = text; line; line = next_line(line)) {
		const char *end = strchr(line, '\n');
		if (!end) {
			if (truncated)
				break;
			end = line + strlen(line);
		}
		const char *text_end = end > line && end[-1] == '\r' ? end - 1 : end;
		if (count == ANDROID_PACKAGES_MAX) {
			truncated = true;
			break;
		}
		count += parse_package(line, text_end, &packages[count]);
	}
	qsort(packages, count, sizeof(*packages), by_name);
	struct json *list = json_new_array();
	for (size_t i = 0; i < count; i++)
		append_package(list, &packages[i]);
	json_set(content, "packages", list);
	if (truncated)
		json_set_bool(content, "truncated", true);
}
