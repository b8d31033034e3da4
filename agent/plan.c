#include "agent/plan.h"

#include "agent/system.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define LOWER "abcdefghijklmnopqrstuvwxyz"
#define DIGITS "0123456789"

void plan_done(struct plan *plan)
{
	for (size_t i = 0; i < plan->step_count; i++) {
		free(plan->steps[i].path);
		for (size_t k = 0; k < plan->steps[i].count; k++)
			free(plan->steps[i].words[k]);
	}
	free(plan->input);
	*plan = (struct plan){0};
}

static char *copy(const char *text)
{
	char *made = strdup(text);
	if (!made)
		abort();
	return made;
}

// Full path of a program of the system, malloc'd; NULL when there is none of that name.
static char *find_program(const struct plan *plan, const char *program)
{
	static const char *const linux_folders[] = {"/usr/bin", "/bin", "/usr/sbin", "/sbin", NULL};
	static const char *const android_folders[] = {"/system/bin", "/system/xbin", NULL};
	const char *const *folders = plan->android ? android_folders : linux_folders;
	for (; *folders; folders++) {
		char path[PATH_MAX];
		if (snprintf(path, sizeof(path), "%s%s/%s", plan->root, *folders, program) < (int)sizeof(path) &&
		    access(path, X_OK) == 0)
			return copy(path);
	}
	return NULL;
}

static bool begin(struct plan *plan, char *path, const char *name, struct error *error)
{
	if (plan->step_count == PLAN_STEPS_MAX) {
		free(path);
		return error_set(error, ERROR_LIMIT, "the action has more than %d steps", PLAN_STEPS_MAX);
	}
	plan->steps[plan->step_count++].path = path;
	plan_add(plan, name, NULL);
	return true;
}

bool plan_tool(struct plan *plan, struct error *error, const char *program, ...)
{
	char names[128] = "";
	va_list args;
	va_start(args, program);
	for (; program; program = va_arg(args, const char *)) {
		char *path = find_program(plan, program);
		size_t used = strlen(names);
		if (path) {
			va_end(args);
			return begin(plan, path, program, error);
		}
		(void)snprintf(names + used, sizeof(names) - used, "%s%s", used > 0 ? " or " : "", program);
	}
	va_end(args);
	return error_set(error, ERROR_NOT_FOUND, "this device has no %s, which would do it", names);
}

bool plan_path(struct plan *plan, const char *path, struct error *error)
{
	if (path[0] != '/')
		return error_set(error, ERROR_INVALID, "\"%.200s\" is no full path of a program", path);
	return begin(plan, copy(path), path, error);
}

static void add(struct plan *plan, const char *word)
{
	size_t *count = &plan->steps[plan->step_count - 1].count;
	if (*count == PLAN_WORDS_MAX)
		abort(); // the table of actions takes fewer
	plan->steps[plan->step_count - 1].words[(*count)++] = copy(word);
}

void plan_add(struct plan *plan, ...)
{
	va_list args;
	va_start(args, plan);
	for (const char *word; (word = va_arg(args, const char *));)
		add(plan, word);
	va_end(args);
}

void plan_add_list(struct plan *plan, char *const *words)
{
	for (; *words && plan->steps[plan->step_count - 1].count < PLAN_WORDS_MAX; words++)
		add(plan, *words);
}

const char *plan_text(const struct json *params, const char *name)
{
	const char *text = "";
	(void)json_member_string(params, name, &text);
	return text;
}

// ---- grammars ----

static bool has_form(const char *text, const char *first, const char *rest)
{
	return *text && strchr(first, *text) && text[strspn(text, rest)] == '\0';
}

bool plan_check_unit(const char *name, struct error *error)
{
	return has_form(name, LETTERS DIGITS "_", LETTERS DIGITS "_.:@-") ||
	       error_set(error, ERROR_INVALID, "\"%s\" is no name of a systemd unit", name);
}

bool plan_check_package(const struct plan *plan, const char *name, struct error *error)
{
	size_t length = strlen(name);
	if (plan->android)
		return (has_form(name, LETTERS, LETTERS DIGITS "_.") && strchr(name, '.')) ||
		       error_set(error, ERROR_INVALID, "\"%s\" is no Android package", name);
	// A last "-" would make apt-get take it away, a single last "+" bring it back.
	bool sign = length > 0 && (name[length - 1] == '-' ||
				   (name[length - 1] == '+' && (length < 2 || name[length - 2] != '+')));
	return (!sign && length >= 2 && has_form(name, LOWER DIGITS, LOWER DIGITS "+.-")) ||
	       error_set(error, ERROR_INVALID, "\"%s\" is no name of a Debian package", name);
}
