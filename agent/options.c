#include "agent/options.h"

#include "agent/tasks.h"
#include "agent/uplink.h"
#include "common/limits.h"
#include "common/log.h"

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define AT(member) offsetof(struct agent_options, member)

static const struct config_option options[] = {
	{"state_dir", CONFIG_STRING, AT(state_dir), "/var/lib/muster-agent", 0, 4000, false,
	 "folder of the device's key, certificates and outbox"},
	{"bridge.url", CONFIG_STRING, AT(bridge_url), NULL, 0, 1000, false,
	 "where to enrol: https://<host>:<port>"},
	{"bridge.ca_file", CONFIG_STRING, AT(bridge_ca_file), NULL, 0, 4000, false,
	 "PEM file of the only CA that is trusted for bridge.url"},
	{"broker.host", CONFIG_STRING, AT(broker_host), NULL, 0, 253, false,
	 "broker to connect to, instead of the one that enrolment named"},
	{"broker.port", CONFIG_INT, AT(broker_port), "0", 0, 65535, false,
	 "its port; 0: the one that enrolment named"},
	{"broker.addresses", CONFIG_LIST, AT(broker_addresses), NULL, 0, 0, false,
	 "Android: numeric addresses of the broker, instead of asking the device's name service"},
	{"root", CONFIG_STRING, AT(root), NULL, 0, 1000, false,
	 "folder below which the machine's /proc, /sys and /system are, as in a container; none: the machine itself"},
	{"interval_s", CONFIG_INT, AT(interval_s), "30", 1, 86400, false,
	 "seconds between two heartbeats, until set_interval changes it"},
	{"connection.mode", CONFIG_CHOICE, AT(connection_mode), "persistent|on_demand", 0, 0, false,
	 "persistent: always connected; on_demand: connect at each heartbeat or wake-up, and sleep in between"},
	{"connection.stay_s", CONFIG_INT, AT(stay_s), "20", 1, 3600, false,
	 "on_demand: seconds without a command after which the device sleeps again"},
	{"wake.socket", CONFIG_STRING, AT(wake_socket), NULL, 0, 107, false,
	 "unix socket where programs of this device wake the agent; unset: wake.sock in state_dir"},
	{"wake.group", CONFIG_BOOL, AT(wake_group), "false", 0, 0, false,
	 "the socket's group may use it too (mode 0660 instead of 0600)"},
	{"renew_https_after_s", CONFIG_INT, AT(renew_https_after_s), "600", 1, 86400, false,
	 "seconds that a new certificate is waited for over MQTT before bridge.url is asked"},
	{"actions", CONFIG_LIST, AT(actions),
	 "ping,message,lock,ring,locate,restart_service,launch_app,stop_app,restart_app,set_config,set_interval,"
	 "collect_logs",
	 0, 0, false,
	 "actions that a command may order; there are also reboot, shutdown, wipe, install_package, uninstall_package, "
	 "run, unenroll"},
	{"commands.parallel", CONFIG_INT, AT(parallel), "4", 1, TASKS_MAX, false,
	 "commands whose programs may run at the same time; packages, reboot and the like never two at a time"},
	{"reboot_command", CONFIG_LIST, AT(reboot_command), AGENT_REBOOT_DEFAULT, 0, 0, false,
	 "program and arguments that restart the device; no shell is involved"},
	{"wipe_command", CONFIG_LIST, AT(wipe_command), NULL, 0, 0, false,
	 "program and arguments that wipe the device, for the action wipe; none: as Android does, nothing on Linux"},
	{"run.user", CONFIG_STRING, AT(run_user), "nobody", 0, 64, false,
	 "who the programs of the action run are, when the agent is root; otherwise they are who the agent is"},
	{"run.memory_max", CONFIG_INT, AT(run_memory_max), "268435456", 16777216, LONG_MAX, false,
	 "bytes of address space that each of them gets"},
	{"watch.apps", CONFIG_LIST, AT(watch_apps), NULL, 0, 0, false,
	 "apps (Android: packages, Linux: services) that are started again when they are not running"},
	{"watch.tries", CONFIG_INT, AT(watch_tries), "5", 1, 1000, false,
	 "times that an app is started again before it is given up, unless it ran for a minute in between"},
	{"outbox.rows_max", CONFIG_INT, AT(outbox_rows_max), "100000", 1, 10000000, false,
	 "messages that may wait; beyond, the oldest are dropped and counted"},
	{"outbox.bytes_max", CONFIG_INT, AT(outbox_bytes_max), "67108864", 262144, INT32_MAX, false,
	 "bytes of these messages"},
	{"outbox.replay_per_s", CONFIG_INT, AT(replay_per_s), "200", 1, 100000, false,
	 "readings sent a second when many wait, 1 kB of a larger one counting as one"},
	{"log_level", CONFIG_CHOICE, AT(log_level), LOG_LEVELS, 0, 0, false, "from which level on is logged"},
};

_Static_assert(OUTBOX_ROWS_MAX == 100000 && OUTBOX_BYTES_MAX == 67108864, "the defaults above are those of limits.h");
_Static_assert(UPLINK_REPLAY_PER_S == 200, "and of uplink.h");

const struct config_table agent_options_table = {
	.program = "agent",
	.options = options,
	.count = sizeof(options) / sizeof(options[0]),
};

static const struct {
	const char *name;
	bool at_once;
} settable[] = {
	{"interval_s", true},         {"outbox.replay_per_s", true}, {"log_level", true},
	{"commands.parallel", false}, {"watch.tries", false},        {"renew_https_after_s", false},
};

bool agent_options_settable(const char *name, bool *at_once)
{
	for (size_t i = 0; i < sizeof(settable) / sizeof(settable[0]); i++) {
		if (strcmp(settable[i].name, name) == 0) {
			if (at_once)
				*at_once = settable[i].at_once;
			return true;
		}
	}
	return false;
}
