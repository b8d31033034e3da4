#include "common/config.h"
#include "tests/unit/scratch.h"
#include "tools/stack.h"

struct values {
	char *conninfo;
	char *ca_file;
	long port;
};

static const struct config_option options[] = {
	{"database.conninfo", CONFIG_STRING, offsetof(struct values, conninfo), NULL, 0, 0, true, ""},
	{"listen.port", CONFIG_INT, offsetof(struct values, port), NULL, 1, 65535, true, ""},
	{"listen.address", CONFIG_STRING, offsetof(struct values, ca_file), NULL, 0, 0, false, ""},
	{"tls.cert_file", CONFIG_STRING, offsetof(struct values, ca_file), NULL, 0, 0, false, ""},
	{"tls.key_file", CONFIG_STRING, offsetof(struct values, ca_file), NULL, 0, 0, false, ""},
};
static const struct config_table table = {"teststack", options, 2};

static struct stack stack_in(void **state, const char *name)
{
	struct scratch *scratch = *state;
	struct stack stack = {.bin = "/b"};
	struct error error;
	(void)snprintf(stack.root, sizeof(stack.root), "%s/%s", scratch->folder, name);
	assert_true(stack_prepare(&stack, &error));
	for (int i = 0; i < STACK_PORTS; i++)
		stack.ports[i] = 20000 + i;
	return stack;
}

// Of the dashboard's file only these two lines, so that the table above need not know the rest.
static char *excerpt(void **state, const char *text)
{
	char lines[1024] = "";
	char *copy auto_free = strdup(text);
	char *rest = copy;
	for (char *line; (line = strsep(&rest, "\n"));) {
		if (strncmp(line, "database", 8) == 0)
			(void)snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "%s\n", line);
	}
	(void)snprintf(lines + strlen(lines), sizeof(lines) - strlen(lines), "listen = { port = 1; };\n");
	return scratch_write(state, "excerpt.conf", lines, 0600);
}

static void paths_with_quotes_and_spaces_hold(void **state)
{
	struct stack stack = stack_in(state, "a 'b\"c");
	struct error error = {0};
	struct values values;
	char expected[256];
	if (!stack_config_write(&stack, &error))
		fail_msg("%s", error.what);
	char *text auto_free = file_read(stack_path(&stack, "conf/dashboard.conf").text, 16384, NULL, &error);
	char *path auto_free = excerpt(state, text);
	if (!config_load(&table, path, &values, &error))
		fail_msg("%s: %s", error.where, error.what);
	struct scratch *scratch = *state;
	(void)snprintf(expected, sizeof(expected),
		       "host='%s/a \\'b\"c/run' port=5432 dbname=muster user=muster_dashboard", scratch->folder);
	assert_string_equal(values.conninfo, expected);
	config_done(&table, &values);
}

static void each_part_has_its_ports_and_role(void **state)
{
	static const struct {
		const char *file;
		const char *words[3];
	} cases[] = {{"ingest", {"port = 20001;", "user=muster_ingest", "svc.ingest"}},
		     {"commander", {"port = 20001;", "user=muster_commander", "keys/command.pem"}},
		     {"bridge", {"port = 20004;", "user=muster_bridge", "ca/device.key"}},
		     {"dashboard", {"port = 20003;", "user=muster_dashboard", "certs/server.key"}},
		     {"canary", {"localhost:20004", "port = 20000;", "user=muster_canary"}},
		     {"agent", {"localhost:20004", "port = 20000;", "ca/service.crt"}}};
	struct stack stack = stack_in(state, "s");
	struct error error = {0};
	assert_true(stack_config_write(&stack, &error));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct stack_path path = stack_path(&stack, "conf/%s.conf", cases[i].file);
		char *text auto_free = file_read(path.text, 16384, NULL, &error);
		for (size_t k = 0; k < 3; k++) {
			if (!text || !strstr(text, cases[i].words[k]))
				fail_msg("%s lacks %s", path.text, cases[i].words[k]);
		}
	}
}

static void the_broker_gets_every_word(void **state)
{
	struct stack stack = stack_in(state, "s");
	struct error error = {0};
	if (!stack_broker_configure(&stack, &error))
		fail_msg("%s", error.what);
	char *text auto_free = file_read(stack_path(&stack, "broker/mosquitto.conf").text, 65536, NULL, &error);
	assert_non_null(strstr(text, "listener 20000 "));
	assert_non_null(strstr(text, "listener 20001 "));
	assert_non_null(strstr(text, "plugin /b/muster-guard.so"));
	assert_null(strstr(text, "@STATE@"));
	assert_null(strstr(text, "_PORT@"));
	// The revocation list is the guard's once it exists.
	struct stack_path revoked = stack_path(&stack, "broker/revoked");
	assert_true(file_write(revoked.text, "device x\n", 9, 0600, &error));
	assert_true(stack_broker_configure(&stack, &error));
	char *kept auto_free = file_read(revoked.text, 100, NULL, &error);
	assert_string_equal(kept, "device x\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)
int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(paths_with_quotes_and_spaces_hold),
		TEST(each_part_has_its_ports_and_role),
		TEST(the_broker_gets_every_word),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
