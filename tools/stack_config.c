#include "tools/stack.h"

#include "common/buf.h"
#include "common/file.h"

#include <stdlib.h>
#include <string.h>

#define STACK_ADDRESS_PER_MIN 600000
#define STACK_REQUESTS_PER_MIN 600000 // of the API: tests and measurements ask from this machine alone
#define CONFIG_MAX_BYTES ((size_t)16 * 1024)

// One libconfig file in the making.
struct conf {
	const struct stack *stack;
	struct buf *text;
};

static void add_string(struct conf *conf, const char *name, const char *value)
{
	buf_addf(conf->text, "%s = \"", name);
	for (const char *c = value; *c; c++) {
		if (*c == '"' || *c == '\\')
			buf_add_str(conf->text, "\\");
		buf_add(conf->text, c, 1);
	}
	buf_add_str(conf->text, "\"; ");
}

static void add_path(struct conf *conf, const char *name, const char *below)
{
	add_string(conf, name, stack_path(conf->stack, "%s", below).text);
}

static void add_port(struct conf *conf, const char *name, enum stack_port port)
{
	buf_addf(conf->text, "%s = %d; ", name, conf->stack->ports[port]);
}

static void begin(struct conf *conf, const char *group)
{
	buf_addf(conf->text, "%s = { ", group);
}

static void end(struct conf *conf)
{
	buf_add_str(conf->text, "};\n");
}

static void add_broker(struct conf *conf, const char *client_id, const char *cert, const char *key)
{
	begin(conf, "broker");
	add_string(conf, "host", STACK_LISTEN); // not localhost, which is ::1 first on most machines
	add_port(conf, "port", STACK_SERVICES);
	add_path(conf, "ca_file", "ca/service.crt");
	add_path(conf, "cert_file", cert);
	add_path(conf, "key_file", key);
	add_string(conf, "client_id", client_id);
	end(conf);
}

static void add_database(struct conf *conf, const char *role)
{
	auto_free char *conninfo = stack_conninfo(conf->stack, role, "muster");
	begin(conf, "database");
	add_string(conf, "conninfo", conninfo ? conninfo : "");
	end(conf);
}

static void add_listener(struct conf *conf, const char *group, enum stack_port port)
{
	begin(conf, group);
	add_string(conf, "address", STACK_LISTEN);
	add_port(conf, "port", port);
	end(conf);
}

static void add_tls(struct conf *conf)
{
	begin(conf, "tls");
	add_path(conf, "cert_file", "certs/server.crt");
	add_path(conf, "key_file", "certs/server.key");
	end(conf);
}

static void add_webhook(struct conf *conf)
{
	begin(conf, "webhook");
	add_path(conf, "key_file", "keys/webhook.key");
	end(conf);
}

static void ingest(struct conf *conf)
{
	add_broker(conf, "svc.ingest", "certs/ingest.crt", "certs/ingest.key");
	add_database(conf, "muster_ingest");
	add_listener(conf, "http", STACK_INGEST_METRICS);
}

static void commander(struct conf *conf)
{
	add_broker(conf, "svc.commander", "certs/commander.crt", "certs/commander.key");
	add_database(conf, "muster_commander");
	add_path(conf, "signing_key_file", "keys/command.pem");
	buf_add_str(conf->text, "\n");
	add_listener(conf, "http", STACK_COMMANDER_METRICS);
	add_webhook(conf);
	buf_addf(conf->text, "public_url = \"https://localhost:%d\";\n", conf->stack->ports[STACK_DASHBOARD]);
}

static void bridge(struct conf *conf)
{
	add_listener(conf, "listen", STACK_BRIDGE);
	add_tls(conf);
	add_database(conf, "muster_bridge");
	begin(conf, "ca");
	add_path(conf, "cert_file", "ca/device.crt");
	add_path(conf, "key_file", "ca/device.key");
	end(conf);
	begin(conf, "trust");
	add_path(conf, "ca_file", "ca/service.crt");
	end(conf);
	begin(conf, "devices");
	add_string(conf, "host", "localhost");
	add_port(conf, "port", STACK_DEVICES);
	end(conf);
	add_broker(conf, "svc.bridge", "certs/bridge.crt", "certs/bridge.key");
	// Simulators and tests enrol thousands of devices from this one address.
	begin(conf, "limits");
	buf_addf(conf->text, "address_per_min = %d; ", STACK_ADDRESS_PER_MIN);
	end(conf);
	add_path(conf, "agents_dir", "agents");
	buf_add_str(conf->text, "\n");
}

static void dashboard(struct conf *conf)
{
	add_listener(conf, "listen", STACK_DASHBOARD);
	add_tls(conf);
	add_database(conf, "muster_dashboard");
	add_path(conf, "admin_key_file", "keys/admin.key");
	buf_addf(conf->text, "\npublic_url = \"https://localhost:%d\";\n", conf->stack->ports[STACK_DASHBOARD]);
	begin(conf, "limits");
	// Tests and benchmarks open more streams at once than one address may.
	buf_addf(conf->text, "general_per_min = %d; admin_per_min = %d; unknown_connections = 0; ",
		 STACK_REQUESTS_PER_MIN, STACK_REQUESTS_PER_MIN);
	end(conf);
	begin(conf, "console");
	buf_addf(conf->text, "url = \"wss://localhost:%d\"; ", conf->stack->ports[STACK_CONSOLE]);
	add_path(conf, "key_file", "keys/console.pem");
	end(conf);
	begin(conf, "exports");
	add_path(conf, "dir", "exports");
	end(conf);
	add_webhook(conf);
	begin(conf, "enrollment");
	buf_addf(conf->text, "bridge_url = \"https://localhost:%d\"; ", conf->stack->ports[STACK_BRIDGE]);
	add_path(conf, "ca_file", "ca/service.crt");
	add_path(conf, "agents_dir", "agents");
	buf_add_str(conf->text, "broker_addresses = [ \"" STACK_LISTEN "\" ]; ");
	end(conf);
}

// Where devices enrol and connect. The broker's port may move between starts; what enrolment said would then be out of
// date.
static void add_device(struct conf *conf)
{
	begin(conf, "bridge");
	buf_addf(conf->text, "url = \"https://localhost:%d\"; ", conf->stack->ports[STACK_BRIDGE]);
	add_path(conf, "ca_file", "ca/service.crt");
	end(conf);
	begin(conf, "broker");
	add_string(conf, "host", STACK_LISTEN);
	add_port(conf, "port", STACK_DEVICES);
	end(conf);
}

static void canary(struct conf *conf)
{
	add_device(conf);
	add_database(conf, "muster_canary");
	add_listener(conf, "http", STACK_CANARY_METRICS);
}

static void agent(struct conf *conf)
{
	add_path(conf, "state_dir", "agent");
	buf_add_str(conf->text, "\n");
	add_device(conf);
}

static bool write_file(const struct stack *stack, const char *name, void (*fill)(struct conf *conf),
		       struct error *error)
{
	auto_buf struct buf text = {0};
	struct conf conf = {.stack = stack, .text = &text};
	buf_init(&text, CONFIG_MAX_BYTES);
	buf_add_str(&text, "# Written by `muster up` at each start.\n");
	fill(&conf);
	if (text.overflowed)
		return error_set(error, ERROR_LIMIT, "the configuration of %s is too large", name);
	return file_write(stack_path(stack, "conf/%s.conf", name).text, text.data, text.len_bytes, 0600, error);
}

bool stack_config_write(const struct stack *stack, struct error *error)
{
	return write_file(stack, "ingest", ingest, error) && write_file(stack, "commander", commander, error) &&
	       write_file(stack, "bridge", bridge, error) && write_file(stack, "dashboard", dashboard, error) &&
	       write_file(stack, "canary", canary, error) && write_file(stack, "agent", agent, error);
}
