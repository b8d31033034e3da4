#include "agent/action.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GEOCLUE "/usr/libexec/geoclue-2.0/demos/where-am-i"

// Android: what its location providers knew last. Linux: a GPS receiver through gpsd, otherwise GeoClue.
static bool plan(struct plan *plan, const struct json *params, struct error *error)
{
	char geoclue[PATH_MAX];
	struct error none = {0};
	plan->time_s = 100;
	if (plan->android) {
		if (!plan_tool(plan, error, "dumpsys", NULL))
			return false;
		plan_add(plan, "location", NULL);
		return true;
	}
	if (plan_tool(plan, &none, "gpspipe", NULL)) {
		plan_add(plan, "-w", "-n", "20", NULL);
		return true;
	}
	(void)snprintf(geoclue, sizeof(geoclue), "%s" GEOCLUE, plan->root);
	if (access(geoclue, X_OK) != 0)
		return error_set(error, ERROR_NOT_FOUND, "this device has neither gpspipe nor %s, which would know",
				 GEOCLUE);
	if (!plan_path(plan, geoclue, error))
		return false;
	plan_add(plan, "-t", "60", NULL);
	return true;
}

static bool set_place(struct json *output, double latitude, double longitude, double accuracy_m, const char *source)
{
	if (!(fabs(latitude) <= 90) || !(fabs(longitude) <= 180))
		return false;
	json_set_double(output, "latitude", latitude);
	json_set_double(output, "longitude", longitude);
	if (accuracy_m >= 0 && isfinite(accuracy_m))
		json_set_double(output, "accuracy_m", accuracy_m);
	json_set_string(output, "source", source);
	return true;
}

// "Location[gps 48.137154,11.576124 hAcc=4.5 et=..." (Android 12), "... acc=20 ..." (before)
static bool read_android(const char *text, struct json *output)
{
	for (const char *at = text; (at = strstr(at, "Location[")); at++) {
		char source[32];
		double latitude;
		double longitude;
		double accuracy_m = -1;
		// NOLINTNEXTLINE(cert-err34-c): what is out of range is refused by set_place
		if (sscanf(at, "Location[%31[a-z_] %lf,%lf", source, &latitude, &longitude) != 3)
			continue;
		const char *end = strchr(at, ']');
		const char *accuracy = strstr(at, "cc=");
		if (accuracy && (!end || accuracy < end))
			accuracy_m = strtod(accuracy + 3, NULL);
		if (set_place(output, latitude, longitude, accuracy_m, source))
			return true;
	}
	return false;
}

// gpsd's reports, an object a line; TPV is the one with a position.
static bool read_gpsd(const char *text, struct json *output)
{
	for (const char *line = text; line && *line; line = strchr(line, '\n')) {
		double latitude;
		double longitude;
		double accuracy_m = -1;
		const char *class;
		line += *line == '\n';
		struct json *report auto_json = json_parse(line, strcspn(line, "\r\n"), NULL);
		if (!json_member_string(report, "class", &class) || strcmp(class, "TPV") != 0 ||
		    !json_member_double(report, "lat", &latitude) || !json_member_double(report, "lon", &longitude))
			continue;
		(void)json_member_double(report, "eph", &accuracy_m);
		if (set_place(output, latitude, longitude, accuracy_m, "gps"))
			return true;
	}
	return false;
}

static bool read_geoclue(const char *text, struct json *output)
{
	const char *latitude = strstr(text, "Latitude:");
	const char *longitude = strstr(text, "Longitude:");
	const char *accuracy = strstr(text, "Accuracy:");
	return latitude && longitude &&
	       set_place(output, strtod(latitude + 9, NULL), strtod(longitude + 10, NULL),
			 accuracy ? strtod(accuracy + 9, NULL) : -1, "geoclue");
}

static bool read_place(const char *text, struct json *output, struct error *error)
{
	return read_android(text, output) || read_gpsd(text, output) || read_geoclue(text, output) ||
	       error_set(error, ERROR_NOT_FOUND, "this device does not know where it is");
}

const struct agent_action action_locate = {.name = "locate", .plan = plan, .read = read_place};
