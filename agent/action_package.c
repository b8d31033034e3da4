// install_package, uninstall_package: by the system's own package manager, from where it knows to get them.
#include "agent/action.h"

#define PACKAGE_TIME_S 1700

static bool plan_change(struct plan *plan, const struct json *params, const char *android_verb, const char *linux_verb,
			struct error *error)
{
	const char *package = plan_text(params, "package");
	plan->time_s = PACKAGE_TIME_S;
	plan->sends_output = true;
	plan->outlives = true; // half an installation is worse than one that nobody watches
	if (!plan_check_package(plan, package, error) ||
	    !plan_tool(plan, error, plan->android ? "pm" : "apt-get", NULL))
		return false;
	if (plan->android)
		plan_add(plan, android_verb, package, NULL);
	else // exactly that name: no patterns, no questions
		plan_add(plan, "-q", "-y", "-o", "APT::Cmd::Pattern-Only=true", "-o", "DPkg::Lock::Timeout=60", "-o",
			 "Dpkg::Options::=--force-confold", linux_verb, "--", package, NULL);
	return true;
}

static bool install(struct plan *plan, const struct json *params, struct error *error)
{
	return plan_change(plan, params, "install-existing", "install", error);
}

static bool uninstall(struct plan *plan, const struct json *params, struct error *error)
{
	return plan_change(plan, params, "uninstall", "remove", error);
}

const struct agent_action action_install_package = {.name = "install_package", .plan = install, .alone = true};
const struct agent_action action_uninstall_package = {.name = "uninstall_package", .plan = uninstall, .alone = true};
