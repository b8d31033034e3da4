#include "agent/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ACTIVITY "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.$"

// Its package, malloc'd; NULL when it is no Android app.
static char *package_of(const struct plan *plan, const char *app, struct error *error)
{
	const char *slash = strchr(app, '/');
	char *package auto_free = strndup(app, slash ? (size_t)(slash - app) : strlen(app));
	if (!package)
		abort();
	if (slash && (!slash[1] || slash[1 + strspn(slash + 1, ACTIVITY)])) {
		(void)error_set(error, ERROR_INVALID, "\"%s\" is no activity of an Android app", app);
		return NULL;
	}
	return plan_check_package(plan, package, error) ? steal(package) : NULL;
}

static bool by_systemd(struct plan *plan, const char *verb, const char *app, struct error *error)
{
	if (!plan_check_unit(app, error) || !plan_tool(plan, error, "systemctl", NULL))
		return false;
	plan_add(plan, "--no-ask-password", verb, "--", app, NULL);
	return true;
}

bool app_start(struct plan *plan, const char *app, struct error *error)
{
	if (!plan->android)
		return by_systemd(plan, "start", app, error);
	char *package auto_free = package_of(plan, app, error);
	if (!package || !plan_tool(plan, error, "am", NULL))
		return false;
	plan_add(plan, "start", app, NULL);
	return true;
}

bool app_stop(struct plan *plan, const char *app, struct error *error)
{
	if (!plan->android)
		return by_systemd(plan, "stop", app, error);
	char *package auto_free = package_of(plan, app, error);
	if (!package || !plan_tool(plan, error, "am", NULL))
		return false;
	plan_add(plan, "force-stop", package, NULL);
	return true;
}
