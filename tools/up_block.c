#include "tools/up.h"

#include "common/clock.h"
#include "common/file.h"
#include "tools/text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TAIL_LINES 15
#define TAIL_MAX_BYTES ((size_t)16 * 1024 * 1024) // above the size at which logs are rotated

static struct json *ports(const struct up *up, bool moved_only)
{
	struct json *json = json_new_object();
	for (int i = 0; i < STACK_PORTS; i++) {
		if (!moved_only || up->stack.moved[i])
			json_set_int(json, stack_port_name((enum stack_port)i), up->stack.ports[i]);
	}
	return json;
}

static struct json *steps(const struct up *up)
{
	struct json *json = json_new_array();
	for (size_t i = 0; i < up->step_count; i++) {
		struct json *step = json_new_object();
		json_set_string(step, "name", up->steps[i].name);
		json_set_int(step, "took_ms", up->steps[i].took_ms);
		json_append(json, step);
	}
	return json;
}

struct json *up_facts(const struct up *up)
{
	char address[64];
	struct json *facts = json_new_object();
	struct json *pings = json_new_object();
	(void)snprintf(address, sizeof(address), "https://localhost:%d", up->stack.ports[STACK_DASHBOARD]);
	json_set_int(pings, "succeeded", up->pings_succeeded);
	json_set_bool(facts, "already_running", false);
	json_set_int(facts, "pid", getpid());
	json_set_string(facts, "dashboard", address);
	json_set_string(facts, "data", up->stack.root);
	json_set(facts, "ports", ports(up, false));
	json_set(facts, "moved_ports", ports(up, true));
	json_set_int(facts, "devices", up->devices);
	json_set_string(facts, "machine", up->machine[0] ? up->machine : NULL);
	json_set(facts, "pings", pings);
	json_set(facts, "steps", steps(up));
	json_set_int(facts, "took_ms", up->step_ms - up->begin_ms);
	return facts;
}

void up_print_json(const struct up *up)
{
	auto_json struct json *facts = up_facts(up);
	struct json *telemetry =
		up->telemetry.json[0] ? json_parse(up->telemetry.json, strlen(up->telemetry.json), NULL) : NULL;
	json_set_string(facts, "login_link", up->login_link);
	if (telemetry)
		json_set(facts, "telemetry", telemetry);
	cli_print_json(facts);
}

// "" when muster finds this folder by itself, otherwise the option that names it.
static const char *state_option(const struct up *up, char out[STACK_PATH_MAX + 16])
{
	struct stack usual;
	struct error ignored;
	out[0] = '\0';
	if (!stack_resolve(&usual, NULL, &ignored) || strcmp(usual.root, up->stack.root) != 0)
		(void)snprintf(out, STACK_PATH_MAX + 16, " --state %s", up->stack.root);
	return out;
}

static void print_next(const struct up *up)
{
	char option[STACK_PATH_MAX + 16];
	const char *state = state_option(up, option);
	(void)printf("\nTo try:\n  ./muster device list%s\n  ./muster command send %s ping --wait%s\n"
		     "  ./muster operator add alice%s    (then, by plain MQTT, what it prints)\n\n",
		     state, up->example[0] ? up->example : "DEVICE", state, state);
	if (up->detach)
		(void)printf("./muster down%s stops it.\n", state);
	else
		(void)printf("Ctrl-C stops it. From here on: what the parts log.\n\n");
}

static void print_machine(const struct up *up)
{
	double total = 0;
	double unused = 0;
	int64_t uptime_s = 0;
	auto_json struct json *reading = json_parse(up->telemetry.json, strlen(up->telemetry.json), NULL);
	(void)printf("  This one   %s", up->machine);
	if (json_member_double(reading, "mem_total", &total) &&
	    json_member_double(reading, "mem_available", &unused))
		(void)printf(", memory %s", text_free_of(unused, total).s);
	if (json_member_double(reading, "disk_total", &total) &&
	    json_member_double(reading, "disk_free", &unused))
		(void)printf(", disk %s", text_free_of(unused, total).s);
	if (json_member_int(reading, "uptime_s", &uptime_s))
		(void)printf(", up for %s", text_duration(uptime_s).s);
	(void)printf("\n");
}

static void print_devices(const struct up *up)
{
	if (up->devices == 0)
		return;
	(void)printf("  Devices    %ld online, each has answered a signed ping%s\n", up->devices,
		     up->sims > 0 ? " (simulated: sim-...)" : "");
	if (up->agent)
		print_machine(up);
}

static void print_login(const struct up *up)
{
	(void)printf("  Dashboard  %s\n", up->login_link);
	(void)printf("             The link logs in once, within 15 minutes; ./muster login-link makes another. The "
		     "browser\n"
		     "             asks about the certificate, unless it trusts %s\n",
		     stack_path(&up->stack, "ca/service.crt").text);
}

void up_print_block(const struct up *up)
{
	(void)printf("%s\n", isatty(STDOUT_FILENO) ? "\r\033[K" : "");
	for (size_t i = 0; i < up->step_count; i++)
		(void)printf("  %6.1f s  %s\n", (double)up->steps[i].took_ms / 1000, up->steps[i].name);
	(void)printf("\nMuster is up after %.1f s.\n\n", (double)(up->step_ms - up->begin_ms) / 1000);
	if (!up->check)
		print_login(up);
	(void)printf("  Data       %s\n", up->stack.root);
	print_devices(up);
	for (int i = 0; i < STACK_PORTS; i++) {
		if (up->stack.moved[i])
			(void)printf("  Moved      %s to port %d: the usual port is taken\n",
				     stack_port_name((enum stack_port)i), up->stack.ports[i]);
	}
	if (up->check) {
		(void)printf("\nThe whole way is proven: enrolled, reported, stored, ordered, obeyed. Stopping.\n");
		(void)fflush(stdout);
		return;
	}
	print_next(up);
	(void)fflush(stdout);
}

// ---- failure ----

static const char *cure(const char *part)
{
	static const struct {
		const char *part;
		const char *cure;
	} cures[] = {
		{"initdb", "correct what it says; ./muster reset deletes the data and starts from nothing"},
		{"postgres", "a damaged database is not repaired here: ./muster reset starts from nothing, keeping pg/ "
			     "aside saves it"},
		{"broker",
		 "check that broker/mosquitto.conf fits the installed Mosquitto 2.0, and that its ports are free"},
		{"enroll", "see log/bridge.log for the other side of the enrolment"},
	};
	for (size_t i = 0; i < sizeof(cures) / sizeof(cures[0]); i++) {
		if (strcmp(cures[i].part, part) == 0)
			return cures[i].cure;
	}
	return "correct what the log says and start again; nothing stored is lost by that";
}

static void print_tail(const char *path)
{
	struct error ignored;
	size_t length = 0;
	auto_free char *text = file_read(path, TAIL_MAX_BYTES, &length, &ignored);
	if (!text || length == 0)
		return;
	const char *start = text + length - 1;
	for (int lines = 0; start > text; start--) {
		if (start[-1] == '\n' && ++lines == TAIL_LINES)
			break;
	}
	(void)fprintf(stderr, "%s%s", start, text[length - 1] == '\n' ? "" : "\n");
}

void up_print_failure(const struct up *up, const struct error *error)
{
	struct stack_path log = stack_path(&up->stack, "log/%s.log", error->where);
	bool has_log = error->where[0] != '\0' && file_exists(log.text);
	if (up->cli->json || !has_log) {
		(void)cli_fail(up->cli, error, up->next ? up->next : has_log ? log.text : NULL);
		return;
	}
	(void)fprintf(stderr, "%s---- the end of %s\n", isatty(STDERR_FILENO) ? "\r\033[K" : "", log.text);
	print_tail(log.text);
	(void)fprintf(stderr, "----\nmuster: up failed: %s\n  log:  %s\n  next: %s\n", error->what, log.text,
		      up->next ? up->next : cure(error->where));
}
