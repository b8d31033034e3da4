#include "agent/watch.h"

#include "agent/app.h"
#include "agent/system.h"

#include <ctype.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define PRINTED_MAX_BYTES 1024
#define POLL_MS 200 // where the end of a program can only be asked for

// ---- orders ----

// The value's name in the outbox: an activity counts as its app.
static void order_name(const char *app, char out[300])
{
	(void)snprintf(out, 300, "stopped/%.*s", (int)strcspn(app, "/"), app);
}

bool watch_note_order(struct outbox *outbox, const char *app, bool stopped, struct error *error)
{
	char name[300];
	order_name(app, name);
	if (!stopped && outbox_get_int(outbox, name, 0) == 0)
		return true;
	return outbox_set_int(outbox, name, stopped, error);
}

static bool is_stopped_by_order(const struct watch *watch, const struct watch_app *app)
{
	char name[300];
	order_name(app->name, name);
	return outbox_get_int(watch->outbox, name, 0) > 0;
}

// ---- beginning and end ----

bool watch_init(struct watch *watch, const struct plan *place, struct outbox *outbox, const struct watch_port *port,
		struct error *error)
{
	char *const *names = place->options->watch_apps;
	size_t count = 0;
	*watch = (struct watch){.port = *port, .outbox = outbox, .place = *place, .job = JOB_NONE};
	buf_init(&watch->printed, PRINTED_MAX_BYTES);
	for (; names && names[count]; count++) {
		if (!(place->android ? plan_check_package(place, names[count], error)
				     : plan_check_unit(names[count], error)))
			return error_prefix(error, "watch.apps");
	}
	if (count > WATCH_APPS_MAX)
		return error_set(error, ERROR_LIMIT, "watch.apps has more than %d apps", WATCH_APPS_MAX);
	watch->apps = calloc(count + 1, sizeof(*watch->apps));
	if (!watch->apps)
		abort();
	for (; watch->count < count; watch->count++)
		watch->apps[watch->count].name = names[watch->count];
	return true;
}

void watch_done(struct watch *watch)
{
	job_done(&watch->job);
	plan_done(&watch->plan);
	buf_done(&watch->printed);
	free(watch->apps);
	watch->apps = NULL;
	watch->count = 0;
}

// ---- is it there? ----

// By what the kernel shows: of a service its control group, of an app the process that it was last known to be.
static bool is_seen_at_once(const struct watch *watch, struct watch_app *app)
{
	const char *root = watch->place.root;
	char *text auto_free = NULL;
	if (watch->place.android) {
		if (app->pid > 0)
			text = system_read(root, "/proc/%" PRId64 "/cmdline", app->pid);
		return text && strcmp(text, app->name) == 0;
	}
	text = system_read(root, "/sys/fs/cgroup/system.slice/%s%s/cgroup.events", app->name,
			   strchr(app->name, '.') ? "" : ".service");
	return text && strstr(text, "populated 1");
}

static bool plan_question(struct plan *plan, const char *app, struct error *error)
{
	if (plan->android) {
		if (!plan_tool(plan, error, "pidof", NULL))
			return false;
		plan_add(plan, app, NULL);
		return true;
	}
	if (!plan_tool(plan, error, "systemctl", NULL))
		return false;
	plan_add(plan, "is-active", "--quiet", "--", app, NULL);
	return true;
}

static bool run(struct watch *watch, bool starting, int64_t now_ms, struct error *error)
{
	const struct watch_app *app = &watch->apps[watch->current];
	plan_done(&watch->plan);
	watch->plan = watch->place;
	watch->starting = starting;
	watch->deadline_ms = now_ms + WATCH_PROGRAM_MS;
	buf_clear(&watch->printed);
	if (!(starting ? app_start(&watch->plan, app->name, error) : plan_question(&watch->plan, app->name, error)))
		return false;
	const struct job_options options = {
		.path = watch->plan.steps[0].path,
		.argv = watch->plan.steps[0].words,
		.memory_max_bytes = PLAN_MEMORY_MAX_BYTES,
	};
	return job_start(&options, &watch->job, error);
}

static void give_up(const struct watch *watch, struct watch_app *app, const char *reason)
{
	app->given_up = true;
	watch->port.tell(watch->port.user, "app.given_up", app->name, app->tries, reason);
}

// ---- what follows ----

static void found_running(struct watch_app *app, int64_t now_ms)
{
	if (!app->seen)
		app->since_ms = now_ms;
	app->seen = true;
	if (now_ms - app->since_ms >= WATCH_STABLE_MS)
		app->tries = 0;
	app->due_ms = now_ms + WATCH_EVERY_MS;
}

static void found_dead(struct watch *watch, struct watch_app *app, int64_t now_ms)
{
	struct error why = {0};
	bool ordered = is_stopped_by_order(watch, app);
	app->due_ms = now_ms + WATCH_EVERY_MS;
	app->pid = 0;
	if (app->seen && !ordered)
		watch->port.tell(watch->port.user, "app.crashed", app->name, app->tries, NULL);
	app->seen = false;
	if (ordered)
		return;
	if (app->tries >= watch->place.options->watch_tries) {
		give_up(watch, app, "it does not stay");
		return;
	}
	app->tries++;
	int64_t pause_ms = app->tries > 10 ? WATCH_BACKOFF_MAX_MS : (int64_t)WATCH_BACKOFF_MIN_MS << app->tries;
	app->due_ms = now_ms + (pause_ms < WATCH_BACKOFF_MAX_MS ? pause_ms : WATCH_BACKOFF_MAX_MS);
	if (!run(watch, true, now_ms, &why))
		give_up(watch, app, why.what);
}

// "1234 1301": the first is enough.
static int64_t pid_of(const char *printed)
{
	return isdigit((unsigned char)*printed) ? strtoll(printed, NULL, 10) : 0;
}

static void on_end(struct watch *watch, int status, int64_t now_ms)
{
	struct watch_app *app = &watch->apps[watch->current];
	bool well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
	job_done(&watch->job);
	if (watch->starting) {
		watch->port.tell(watch->port.user, "app.relaunched", app->name, app->tries,
				 well ? NULL : "the program that starts it did not end well");
	} else if (well) {
		app->pid = watch->place.android ? pid_of(buf_str(&watch->printed)) : 0;
		found_running(app, now_ms);
	} else {
		found_dead(watch, app, now_ms);
	}
}

static void poll_program(struct watch *watch, int64_t now_ms)
{
	char bytes[PRINTED_MAX_BYTES];
	int status = 0;
	for (size_t got; (got = job_read(&watch->job, bytes, sizeof(bytes))) > 0;)
		(void)buf_add(&watch->printed, bytes, got);
	if (job_ended(&watch->job, &status)) {
		for (size_t got; (got = job_read(&watch->job, bytes, sizeof(bytes))) > 0;)
			(void)buf_add(&watch->printed, bytes, got);
		on_end(watch, status, now_ms);
	} else if (now_ms >= watch->deadline_ms) {
		job_signal(&watch->job, SIGKILL);
	}
}

void watch_poll(struct watch *watch, int64_t now_ms)
{
	if (watch->job.pid > 0)
		poll_program(watch, now_ms);
	for (size_t i = 0; i < watch->count && watch->job.pid <= 0; i++) {
		struct watch_app *app = &watch->apps[i];
		struct error why = {0};
		if (app->given_up || now_ms < app->due_ms)
			continue;
		watch->current = i;
		if (is_seen_at_once(watch, app))
			found_running(app, now_ms);
		else if (!run(watch, false, now_ms, &why))
			give_up(watch, app, why.what);
	}
}

int watch_fd(const struct watch *watch)
{
	return watch->job.exit_fd;
}

int64_t watch_timeout_ms(const struct watch *watch, int64_t now_ms)
{
	int64_t at_ms = INT64_MAX;
	if (watch->job.pid > 0)
		at_ms = watch->job.exit_fd >= 0 ? watch->deadline_ms : now_ms + POLL_MS;
	for (size_t i = 0; watch->job.pid <= 0 && i < watch->count; i++) {
		if (!watch->apps[i].given_up && watch->apps[i].due_ms < at_ms)
			at_ms = watch->apps[i].due_ms;
	}
	if (at_ms == INT64_MAX)
		return -1;
	return at_ms > now_ms ? at_ms - now_ms : 0;
}
