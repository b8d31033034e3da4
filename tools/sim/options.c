#include "tools/sim/options.h"

#include "common/limits.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum row_type { ROW_STRING, ROW_INT, ROW_FLAG };

struct row {
	const char *name;
	const char *argument; // as --help shows it; NULL for a flag
	enum row_type type;
	size_t offset;
	long default_value, min, max; // ROW_INT
	const char *description;
};

#define AT(member) offsetof(struct options, member)

static const struct row rows[] = {
	{"state", "DIR", ROW_STRING, AT(state_dir), 0, 0, 0,
	 "keys, certificates and the journal of commands; used again at the next start"},
	{"bridge", "URL", ROW_STRING, AT(bridge_url), 0, 0, 0, "where devices enrol, https://host:port"},
	{"ca", "FILE", ROW_STRING, AT(ca_file), 0, 0, 0, "whom to trust as the bridge, PEM"},
	{"token-file", "FILE", ROW_STRING, AT(token_file), 0, 0, 0, "enrolment token with enough uses"},
	{"count", "N", ROW_INT, AT(count), 10, 1, 50000, "devices"},
	{"prefix", "TEXT", ROW_STRING, AT(prefix), 0, 0, 0, "device ids are TEXT and five digits (sim-)"},
	{"interval-ms", "N", ROW_INT, AT(interval_ms), 30000, 0, 86400000,
	 "time between messages of a device; 0: as fast as they are stored"},
	{"limit", "N", ROW_INT, AT(limit), 0, 0, LONG_MAX,
	 "readings per device; then exit 0 when all are stored; 0: no end"},
	{"batch", "N", ROW_INT, AT(batch), 1, 1, READINGS_PER_MESSAGE_MAX, "readings per message"},
	{"ledger", "FILE", ROW_STRING, AT(ledger_file), 0, 0, 0,
	 "append 'device epoch seq sha256' for each reading, event and result, fsynced before it is sent"},
	{"forget-on-puback", NULL, ROW_FLAG, AT(forget_on_puback), 0, 0, 0,
	 "wrong on purpose: delete at PUBACK and not at stored (negative control)"},
	{"host", "HOST", ROW_STRING, AT(host), 0, 0, 0, "broker, in place of what enrolment said"},
	{"port", "N", ROW_INT, AT(port), 0, 0, 65535, "its TLS port, in place of what enrolment said"},
	{"plain-port", "N", ROW_INT, AT(plain_port), 0, 0, 65535,
	 "its plain TCP port: no TLS, no enrolment, no commands"},
	{"connect-rate", "N", ROW_INT, AT(connect_rate), 200, 1, 100000, "first connects per second"},
	{"window", "N", ROW_INT, AT(window), OUTBOX_IN_FLIGHT_MAX, 1, 100000,
	 "messages of a device that are sent and not stored"},
	{"outbox", "N", ROW_INT, AT(outbox_max), 10000, 1, OUTBOX_ROWS_MAX,
	 "messages that a device keeps; it makes no readings beyond"},
	{"stall-s", "N", ROW_INT, AT(stall_s), 30, 1, 300,
	 "send again when nothing was stored for so long; doubles up to 300 s"},
	{"drain-s", "N", ROW_INT, AT(drain_s), 0, 0, 86400,
	 "after SIGTERM make no readings, and wait so long for the outboxes to empty"},
	{"backoff-ms", "N", ROW_INT, AT(backoff_ms), 0, 0, MQTT_BACKOFF_MAX_MS,
	 "longest wait between two tries to connect; 0: as devices do"},
	{"sign", NULL, ROW_FLAG, AT(sign), 0, 0, 0, "sign results with the key of the certificate, as agents do"},
	{"seed", "N", ROW_INT, AT(seed), 1, 0, LONG_MAX, "of the readings"},
	{"json", NULL, ROW_FLAG, AT(json), 0, 0, 0, "summaries as JSON lines"},
};

void options_print_help(FILE *out)
{
	(void)fprintf(out, "Usage: muster-sim run [options]\n"
			   "Simulates devices: each with its own session, outbox, readings and answers to commands.\n"
			   "SIGUSR1 prints a summary, SIGTERM ends.\n\n");
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct row *row = &rows[i];
		char left[40];

		(void)snprintf(left, sizeof(left), "--%s%s%s", row->name, row->argument ? " " : "",
			       row->argument ? row->argument : "");
		(void)fprintf(out, "  %-20s %s", left, row->description);
		if (row->type == ROW_INT)
			(void)fprintf(out, " [%ld]", row->default_value);
		(void)fputc('\n', out);
	}
	(void)fprintf(out, "  %-20s %s\n  %-20s %s\n\n", "--version", "print the version", "--help", "print this text");
	(void)fprintf(out, "Exit codes: 0 done, 1 failed, 2 wrong usage.\n");
}

static const struct row *find_row(const char *name, size_t len_bytes)
{
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (strlen(rows[i].name) == len_bytes && strncmp(rows[i].name, name, len_bytes) == 0)
			return &rows[i];
	}
	return NULL;
}

static bool store(const struct row *row, const char *value, struct options *out, struct error *error)
{
	char *member = (char *)out + row->offset;
	char *end;

	switch (row->type) {
	case ROW_FLAG:
		*(bool *)member = true;
		return true;
	case ROW_STRING:
		*(const char **)member = value;
		return true;
	default:
		break;
	}
	errno = 0;
	long number = strtol(value, &end, 10);
	if (errno || end == value || *end || number < row->min || number > row->max)
		return error_set(error, ERROR_INVALID, "--%s must be an integer from %ld to %ld, not '%s'", row->name,
				 row->min, row->max, value);
	*(long *)member = number;
	return true;
}

// One option at argv[*at]: "--name value" or "--name=value". Moves *at past it.
static bool parse_one(int argc, char **argv, int *at, struct options *out, struct error *error)
{
	const char *text = argv[*at];

	if (strncmp(text, "--", 2) != 0)
		return error_set(error, ERROR_INVALID, "unexpected argument '%s'", text);
	const char *equals = strchr(text, '=');
	const struct row *row = find_row(text + 2, equals ? (size_t)(equals - text) - 2 : strlen(text) - 2);
	if (!row)
		return error_set(error, ERROR_INVALID, "unknown option '%s'", text);
	(*at)++;
	if (row->type == ROW_FLAG)
		return equals ? error_set(error, ERROR_INVALID, "--%s takes no value", row->name) :
				store(row, NULL, out, error);
	if (equals)
		return store(row, equals + 1, out, error);
	if (*at >= argc)
		return error_set(error, ERROR_INVALID, "--%s needs a value", row->name);
	return store(row, argv[(*at)++], out, error);
}

static bool check_whole(const struct options *options, struct error *error)
{
	if (options->plain_port && options->sign)
		return error_set(error, ERROR_INVALID, "--sign needs certificates, and --plain-port has none");
	if (options->plain_port)
		return options->host || error_set(error, ERROR_INVALID, "--plain-port needs --host");
	if (!options->state_dir || !options->bridge_url || !options->ca_file || !options->token_file)
		return error_set(error, ERROR_INVALID, "--state, --bridge, --ca and --token-file are needed"
						       " (or --plain-port and --host)");
	return true;
}

enum options_verdict options_parse(int argc, char **argv, struct options *out, struct error *error)
{
	struct options options = {.prefix = "sim-"};
	int at = 2;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0)
			return OPTIONS_HELP;
		if (strcmp(argv[i], "--version") == 0)
			return OPTIONS_VERSION;
	}
	if (argc < 2 || strcmp(argv[1], "run") != 0) {
		error_set(error, ERROR_INVALID, "the first argument must be 'run'");
		return OPTIONS_BAD;
	}
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (rows[i].type == ROW_INT)
			*(long *)((char *)&options + rows[i].offset) = rows[i].default_value;
	}
	while (at < argc) {
		if (!parse_one(argc, argv, &at, &options, error))
			return OPTIONS_BAD;
	}
	if (!check_whole(&options, error))
		return OPTIONS_BAD;
	*out = options;
	return OPTIONS_GO;
}
