#include "agent/action.h"

#include <stdio.h>
#include <stdlib.h>

static bool plan(struct plan *plan, const struct json *params, struct error *error)
{
	const char *title = plan_text(params, "title");
	const char *text = plan_text(params, "text");
	if (plan->android) {
		if (!plan_tool(plan, error, "cmd", NULL))
			return false;
		plan_add(plan, "notification", "post", "-t", *title ? title : "Muster", "muster", text, NULL);
		return true;
	}
	// On its standard input: as a word it could be the name of a file.
	if (asprintf(&plan->input, "%s%s%s\n", title, *title ? "\n" : "", text) < 0)
		abort();
	return plan_tool(plan, error, "wall", NULL);
}

const struct agent_action action_message = {.name = "message", .plan = plan};
