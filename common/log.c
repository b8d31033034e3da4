#include "common/log.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/json.h"
#include "common/limits.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	FIELD_MAX_BYTES = 2048,	 // one long value must not push the others out of the line
	LINE_RESERVE_BYTES = 32, // for the mark of a line that was cut, and the newline
	NUMBERS = 8,		 // promised by log_number
	NUMBER_BYTES = 24,
	FAULT_INTERVAL_MS = 60 * 1000,
};

// The one global besides constants (style: "the log level"): set by log_init before any thread is started.
static struct {
	const char *program;
	enum log_level level;
	bool text;
} state = {.program = "muster", .level = LOG_INFO};

static _Thread_local char numbers[NUMBERS][NUMBER_BYTES];
static _Thread_local unsigned number_next;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_init(const char *program, enum log_level level)
{
	state.program = program;
	state.level = level;
	state.text = isatty(STDERR_FILENO) == 1;
}

bool log_level_parse(const char *text, enum log_level *out)
{
	for (int i = LOG_ERROR; i <= LOG_DEBUG; i++) {
		if (strcmp(text, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return true;
		}
	}
	return false;
}

const char *log_number(int64_t value)
{
	char *out = numbers[number_next++ % NUMBERS];
	(void)snprintf(out, NUMBER_BYTES, "%lld", (long long)value);
	return out;
}

static bool is_number(const char *value)
{
	return value >= numbers[0] && value < numbers[0] + sizeof(numbers);
}

// Text that needs no quotes on a terminal.
static bool is_plain(const char *value)
{
	if (!*value)
		return false;
	for (const char *c = value; *c; c++)
		if ((unsigned char)*c <= ' ' || (unsigned char)*c >= 0x7f || *c == '"' || *c == '=')
			return false;
	return true;
}

// Appends one field whole, or leaves the line as it was.
static bool add_field(struct buf *line, const char *name, const char *value)
{
	char cut[FIELD_MAX_BYTES];
	if (!is_number(value)) {
		(void)snprintf(cut, sizeof(cut), "%s", value);
		value = cut;
	}
	size_t before = line->len_bytes;
	if (state.text) {
		(void)buf_addf(line, " %s=", name);
		(void)(is_plain(value) ? buf_add_str(line, value) : json_quote(line, value));
	} else {
		(void)buf_add_str(line, ",");
		(void)json_quote(line, name);
		(void)buf_add_str(line, ":");
		(void)(value == cut ? json_quote(line, value) : buf_add_str(line, value));
	}
	if (!line->overflowed)
		return true;
	line->overflowed = false;
	line->len_bytes = before;
	line->data[before] = '\0';
	return false;
}

static void begin_line(struct buf *line, enum log_level level, const char *event)
{
	char ts[CLOCK_RFC3339_BYTES];
	clock_format_rfc3339(clock_wall_ms(), ts);
	if (state.text) {
		(void)buf_addf(line, "%s %-5s %s", ts, level_names[level], event);
		return;
	}
	(void)buf_addf(line, "{\"ts\":\"%s\",\"level\":\"%s\",\"program\":", ts, level_names[level]);
	(void)json_quote(line, state.program);
	(void)buf_add_str(line, ",\"event\":");
	(void)json_quote(line, event);
}

static void end_line(struct buf *line, bool cut)
{
	line->max_bytes += LINE_RESERVE_BYTES;
	line->overflowed = false;
	if (cut)
		(void)buf_add_str(line, state.text ? " truncated=true" : ",\"truncated\":true");
	(void)buf_add_str(line, state.text ? "\n" : "}\n");
	// One write for the line, so that lines of several processes do not mix. A failure has no one to go to.
	ssize_t put;
	do {
		put = write(STDERR_FILENO, buf_str(line), line->len_bytes);
	} while (put < 0 && errno == EINTR);
}

void log_write(enum log_level level, const char *event, ...)
{
	if (level > state.level)
		return;

	int saved_errno = errno;
	struct buf line auto_buf = {0};
	buf_init(&line, LOG_LINE_MAX_BYTES - LINE_RESERVE_BYTES);
	begin_line(&line, level, event);

	bool cut = false;
	va_list args;
	va_start(args, event);
	for (const char *name = va_arg(args, const char *); name; name = va_arg(args, const char *)) {
		const char *value = va_arg(args, const char *);
		if (value && line.data && !add_field(&line, name, value))
			cut = true;
	}
	va_end(args);
	end_line(&line, cut);
	errno = saved_errno;
}

void log_fault(struct log_fault *fault, const char *event, const struct error *error)
{
	int64_t now = clock_mono_ms();
	if (fault->active && now - fault->last_ms < FAULT_INTERVAL_MS) {
		fault->suppressed++;
		return;
	}
	log_error(event, "kind", error ? error_kind_name(error->kind) : NULL, "error", error ? error->what : NULL,
		  "where", error && error->where[0] ? error->where : NULL, "repeated",
		  fault->suppressed ? log_number((int64_t)fault->suppressed) : NULL);
	fault->active = true;
	fault->suppressed = 0;
	fault->last_ms = now;
}

void log_fault_over(struct log_fault *fault, const char *event)
{
	if (!fault->active)
		return;
	char recovered[128];
	(void)snprintf(recovered, sizeof(recovered), "%s.recovered", event);
	log_info(recovered, "repeated", fault->suppressed ? log_number((int64_t)fault->suppressed) : NULL);
	*fault = (struct log_fault){0};
}
