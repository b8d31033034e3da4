#include "common/log.h"

#include "common/limits.h"
#include "tests/unit/scratch.h"

#include <fcntl.h>
#include <pty.h>

// What is on stderr between capture_start and capture_end.
struct capture {
	int saved_fd, read_fd;
};

static void capture_fds(struct capture *capture, int read_fd, int write_fd)
{
	(void)fflush(stderr);
	capture->saved_fd = dup(STDERR_FILENO);
	capture->read_fd = read_fd;
	assert_true(capture->saved_fd >= 0);
	assert_int_equal(dup2(write_fd, STDERR_FILENO), STDERR_FILENO);
	(void)close(write_fd);
}

static void capture_start(struct capture *capture)
{
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
	capture_fds(capture, fds[0], fds[1]);
}

static char *capture_end(struct capture *capture)
{
	static char text[4 * LOG_LINE_MAX_BYTES];
	// Read before stderr is given back: a terminal forgets what was written once its last writer is gone.
	ssize_t len = read(capture->read_fd, text, sizeof(text) - 1);
	assert_int_equal(dup2(capture->saved_fd, STDERR_FILENO), STDERR_FILENO);
	(void)close(capture->saved_fd);
	(void)close(capture->read_fd);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

// The one line in text, parsed.
static struct json *parse_line(const char *text)
{
	size_t len = strlen(text);
	assert_true(len > 1 && text[len - 1] == '\n');
	assert_null(memchr(text, '\n', len - 1));
	struct error error = {0};
	struct json *json = json_parse(text, len, &error);
	if (!json)
		fail_msg("%s: %s", error.what, text);
	return json;
}

static void assert_member(const struct json *json, const char *name, const char *wanted)
{
	const char *text;
	if (!json_member_string(json, name, &text))
		fail_msg("no %s", name);
	assert_string_equal(text, wanted);
}

static void a_line_is_json(void **state)
{
	(void)state;
	struct capture capture;
	log_init("muster-test", LOG_INFO);
	capture_start(&capture);
	log_init("muster-test", LOG_INFO); // now that stderr is no terminal
	log_info("command.sent", "device", "d-1", "text", "a\"b\n\x1b[2J\xff", "left_out", NULL, "count",
		 log_number(-5));
	struct json *json auto_json = parse_line(capture_end(&capture));
	assert_member(json, "level", "info");
	assert_member(json, "program", "muster-test");
	assert_member(json, "event", "command.sent");
	assert_member(json, "device", "d-1");
	assert_member(json, "text", "a\"b\n\x1b[2J\xef\xbf\xbd");
	assert_null(json_member(json, "left_out"));
	int64_t count;
	assert_true(json_member_int(json, "count", &count));
	assert_int_equal(count, -5);
	const char *ts;
	assert_true(json_member_string(json, "ts", &ts));
	assert_int_equal(strlen(ts), 24);
}

static void the_level_is_kept(void **state)
{
	(void)state;
	struct capture capture;
	capture_start(&capture);
	log_init("muster-test", LOG_WARN);
	log_info("info");
	log_debug("debug");
	log_warn("warn");
	struct json *json auto_json = parse_line(capture_end(&capture));
	assert_member(json, "event", "warn");

	capture_start(&capture);
	log_init("muster-test", LOG_DEBUG);
	log_debug("debug");
	struct json *debug auto_json = parse_line(capture_end(&capture));
	assert_member(debug, "level", "debug");
}

static void levels_have_names(void **state)
{
	(void)state;
	enum log_level level = LOG_DEBUG;
	assert_true(log_level_parse("error", &level) && level == LOG_ERROR);
	assert_true(log_level_parse("warn", &level) && level == LOG_WARN);
	assert_true(log_level_parse("info", &level) && level == LOG_INFO);
	assert_true(log_level_parse("debug", &level) && level == LOG_DEBUG);
	assert_false(log_level_parse("INFO", &level));
	assert_false(log_level_parse("", &level));
}

static void a_long_line_is_cut_and_stays_json(void **state)
{
	(void)state;
	char text[2 * LOG_LINE_MAX_BYTES];
	memset(text, '\x01', sizeof(text) - 1); // each byte is six in JSON
	text[sizeof(text) - 1] = '\0';
	struct capture capture;
	capture_start(&capture);
	log_init("muster-test", LOG_INFO);
	log_info("event", "long", text, "after", "kept");
	char *line = capture_end(&capture);
	assert_true(strlen(line) <= LOG_LINE_MAX_BYTES);
	struct json *json auto_json = parse_line(line);
	assert_null(json_member(json, "long"));
	assert_member(json, "after", "kept");
	bool truncated = false;
	assert_true(json_member_bool(json, "truncated", &truncated));
	assert_true(truncated);
}

static void eight_numbers_live_at_once(void **state)
{
	(void)state;
	const char *numbers[8];
	for (int i = 0; i < 8; i++)
		numbers[i] = log_number(i);
	for (int i = 0; i < 8; i++)
		assert_int_equal(atoi(numbers[i]), i);
	assert_string_equal(log_number(INT64_MIN), "-9223372036854775808");
}

static void a_terminal_gets_text_without_control_characters(void **state)
{
	(void)state;
	int master, slave;
	if (openpty(&master, &slave, NULL, NULL, NULL) != 0)
		skip();
	struct capture capture;
	capture_fds(&capture, master, slave);
	log_init("muster-test", LOG_INFO);
	log_warn("disk.low", "device", "d-1", "what", "two words", "bad", "\x1b[2J", "n", log_number(3));
	char *line = capture_end(&capture);
	log_init("muster-test", LOG_INFO);
	assert_non_null(strstr(line, " warn  disk.low device=d-1 what=\"two words\" bad=\"\\u001b[2J\" n=3"));
	assert_null(strchr(line, '\x1b'));
}

static void a_fault_is_told_once_and_its_end(void **state)
{
	(void)state;
	struct error error;
	(void)error_set(&error, ERROR_UNREACHABLE, "no route");
	(void)snprintf(error.where, sizeof(error.where), "08006");
	struct log_fault fault = {0};
	struct capture capture;

	capture_start(&capture);
	log_init("muster-test", LOG_INFO);
	log_fault_over(&fault, "database"); // there was none
	for (int i = 0; i < 5; i++)
		log_fault(&fault, "database", &error);
	struct json *first auto_json = parse_line(capture_end(&capture));
	assert_member(first, "event", "database");
	assert_member(first, "level", "error");
	assert_member(first, "kind", "unreachable");
	assert_member(first, "error", "no route");
	assert_member(first, "where", "08006");
	assert_null(json_member(first, "repeated"));

	fault.last_ms -= 61000; // a minute later
	capture_start(&capture);
	log_fault(&fault, "database", &error);
	struct json *second auto_json = parse_line(capture_end(&capture));
	int64_t repeated = 0;
	assert_true(json_member_int(second, "repeated", &repeated));
	assert_int_equal(repeated, 4);

	capture_start(&capture);
	log_fault_over(&fault, "database");
	log_fault_over(&fault, "database");
	struct json *over auto_json = parse_line(capture_end(&capture));
	assert_member(over, "event", "database.recovered");
	assert_member(over, "level", "info");

	capture_start(&capture);
	log_fault(&fault, "database", NULL);
	struct json *again auto_json = parse_line(capture_end(&capture));
	assert_member(again, "event", "database");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_line_is_json),
		cmocka_unit_test(the_level_is_kept),
		cmocka_unit_test(levels_have_names),
		cmocka_unit_test(a_long_line_is_cut_and_stays_json),
		cmocka_unit_test(eight_numbers_live_at_once),
		cmocka_unit_test(a_terminal_gets_text_without_control_characters),
		cmocka_unit_test(a_fault_is_told_once_and_its_end),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
