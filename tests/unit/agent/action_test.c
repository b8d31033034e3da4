// Each action of programs with the device's own, played by scripts that note how they were called.
#include "agent/action.h"

#include "agent/platform.h"
#include "agent/tasks.h"
#include "common/action.h"
#include "common/clock.h"
#include "tests/unit/scratch.h"

#define WORDS(...) ((char **)(const char *[]){__VA_ARGS__, NULL}) // nobody writes into them

struct bench {
	void **state;
	struct agent_options options;
	struct plan plan;
	struct error error;
};

static void make_tools(void **state, const char *folder, const char *const *tools)
{
	char path[96];
	char *whole auto_free = scratch_path(state, folder);
	assert_true(file_mkdirs(whole, 0700, NULL));
	for (; *tools; tools++) {
		(void)snprintf(path, sizeof(path), "%s/%s", folder, *tools);
		free(scratch_write(state, path, "#!/bin/sh\n", 0700));
	}
}

static void make_linux(void **state)
{
	static const char *const tools[] = {"systemctl", "loginctl", "wall",       "beep",
					    "gpspipe",   "apt-get",  "journalctl", NULL};
	make_tools(state, "usr/bin", tools);
}

static void make_android(void **state)
{
	static const char *const tools[] = {"getprop", "am", "pm", "svc", "input", "cmd", "dumpsys", "logcat", NULL};
	make_tools(state, "system/bin", tools);
}

static bool make_plan(struct bench *bench, const char *name, const char *text)
{
	const char *root = ((struct scratch *)*bench->state)->folder;
	struct json *params auto_json = json_parse(text, strlen(text), &bench->error);
	assert_non_null(params);
	if (!action_check_params(action_find(name), params, &bench->error))
		fail_msg("%s", bench->error.what);
	plan_done(&bench->plan);
	bench->plan = (struct plan){
		.root = root, .android = platform_is_android(root), .device = "kiosk-7", .options = &bench->options};
	return agent_action_find(name)->plan(&bench->plan, params, &bench->error);
}

// expected: the words of each step, " | " between steps; the program is the first.
static void does(struct bench *bench, const char *name, const char *params, const char *expected)
{
	char found[1024] = "";
	if (!make_plan(bench, name, params))
		fail_msg("%s: %s", name, bench->error.what);
	for (size_t i = 0; i < bench->plan.step_count; i++) {
		assert_int_equal(bench->plan.steps[i].path[0], '/');
		for (char **word = bench->plan.steps[i].words; *word; word++) {
			size_t used = strlen(found);
			(void)snprintf(found + used, sizeof(found) - used, "%s%s",
				       word == bench->plan.steps[i].words ? (i > 0 ? " | " : "") : " ", *word);
		}
	}
	assert_string_equal(found, expected);
	plan_done(&bench->plan);
}

static void refuses(struct bench *bench, const char *name, const char *params, const char *says)
{
	if (make_plan(bench, name, params))
		fail_msg("%s %s: was planned", name, params);
	if (!strstr(bench->error.what, says))
		fail_msg("%s: \"%s\" does not say \"%s\"", name, bench->error.what, says);
	plan_done(&bench->plan);
}

#define APT "apt-get -q -y -o APT::Cmd::Pattern-Only=true -o DPkg::Lock::Timeout=60 -o Dpkg::Options::=--force-confold "

static void on_linux(void **state)
{
	char **reboot = WORDS("/sbin/reboot", "-f");
	struct bench bench = {.state = state, .options = {.reboot_command = reboot}};
	make_linux(state);
	assert_true(make_plan(&bench, "message", "{\"text\":\"-x $(id)\",\"title\":\"T\"}"));
	assert_string_equal(bench.plan.input, "T\n-x $(id)\n");
	does(&bench, "message", "{\"text\":\"/etc/passwd\"}", "wall");
	does(&bench, "reboot", "{}", "/sbin/reboot -f");
	does(&bench, "shutdown", "{}", "systemctl --no-ask-password poweroff");
	does(&bench, "lock", "{}", "loginctl --no-ask-password lock-sessions");
	does(&bench, "ring", "{\"seconds\":3}", "beep -f 880 -l 3000");
	does(&bench, "locate", "{}", "gpspipe -w -n 20");
	does(&bench, "restart_service", "{\"service\":\"getty@tty1.service\"}",
	     "systemctl --no-ask-password restart -- getty@tty1.service");
	does(&bench, "launch_app", "{\"app\":\"kiosk\"}", "systemctl --no-ask-password start -- kiosk");
	does(&bench, "stop_app", "{\"app\":\"kiosk\"}", "systemctl --no-ask-password stop -- kiosk");
	does(&bench, "restart_app", "{\"app\":\"kiosk\"}",
	     "systemctl --no-ask-password stop -- kiosk | systemctl --no-ask-password start -- kiosk");
	does(&bench, "install_package", "{\"package\":\"g++\"}", APT "install -- g++");
	does(&bench, "uninstall_package", "{\"package\":\"vim-tiny\"}", APT "remove -- vim-tiny");
	does(&bench, "collect_logs", "{\"lines\":20}", "journalctl --no-pager --quiet -o short-iso -n 20");
	refuses(&bench, "restart_service", "{\"service\":\"a/b\"}", "no name of a systemd unit");
	refuses(&bench, "install_package", "{\"package\":\"vim-\"}", "no name of a Debian package");
	refuses(&bench, "install_package", "{\"package\":\"vim+\"}", "no name of a Debian package");
	refuses(&bench, "install_package", "{\"package\":\"vim/sid\"}", "no name of a Debian package");
	refuses(&bench, "install_package", "{\"package\":\"Vim\"}", "no name of a Debian package");
}

static void on_android(void **state)
{
	char **reboot = WORDS("/sbin/reboot");
	struct bench bench = {.state = state, .options = {.reboot_command = reboot}};
	make_android(state);
	does(&bench, "message", "{\"text\":\"a;b\"}", "cmd notification post -t Muster muster a;b");
	does(&bench, "reboot", "{}", "svc power reboot");
	does(&bench, "shutdown", "{}", "svc power shutdown");
	does(&bench, "lock", "{}", "input keyevent KEYCODE_SLEEP");
	does(&bench, "ring", "{\"seconds\":3}",
	     "am start -a android.intent.action.SET_TIMER --ei android.intent.extra.alarm.LENGTH 1 "
	     "--ez android.intent.extra.alarm.SKIP_UI true");
	does(&bench, "locate", "{}", "dumpsys location");
	does(&bench, "wipe", "{\"device\":\"kiosk-7\"}",
	     "am broadcast -p android -a android.intent.action.FACTORY_RESET -f 0x10000000");
	does(&bench, "launch_app", "{\"app\":\"com.example.till\"}", "am start com.example.till");
	does(&bench, "launch_app", "{\"app\":\"com.example.till/.Main$1\"}", "am start com.example.till/.Main$1");
	does(&bench, "restart_app", "{\"app\":\"com.example.till/.Main\"}",
	     "am force-stop com.example.till | am start com.example.till/.Main");
	does(&bench, "install_package", "{\"package\":\"com.example.till\"}", "pm install-existing com.example.till");
	does(&bench, "uninstall_package", "{\"package\":\"com.example.till\"}", "pm uninstall com.example.till");
	does(&bench, "collect_logs", "{}", "logcat -d -t 500");
	refuses(&bench, "launch_app", "{\"app\":\"till\"}", "no Android package");
	refuses(&bench, "launch_app", "{\"app\":\"com.example.till/\"}", "no activity");
	refuses(&bench, "launch_app", "{\"app\":\"com.example.till/a/b\"}", "no activity");
	refuses(&bench, "launch_app", "{\"app\":\"http://x.y\"}", "no activity");
	refuses(&bench, "uninstall_package", "{\"package\":\"com.example-till\"}", "no Android package");
	refuses(&bench, "restart_service", "{\"service\":\"sshd\"}", "Android has no services");
}

static void absent_tools_are_named(void **state)
{
	struct bench bench = {.state = state};
	refuses(&bench, "message", "{\"text\":\"x\"}", "no wall");
	refuses(&bench, "ring", "{\"seconds\":3}", "no speaker-test or beep");
	refuses(&bench, "locate", "{}", "neither gpspipe nor");
	refuses(&bench, "install_package", "{\"package\":\"vim\"}", "no apt-get");
	refuses(&bench, "reboot", "{}", "empty reboot_command");
}

static void wipe_is_guarded(void **state)
{
	char **wipe = WORDS("/usr/local/sbin/wipe-me", "all");
	struct bench bench = {.state = state};
	refuses(&bench, "wipe", "{\"device\":\"kiosk-7\"}", "no wipe_command");
	bench.options.wipe_command = wipe;
	refuses(&bench, "wipe", "{\"device\":\"kiosk-8\"}", "this device's own id, kiosk-7");
	does(&bench, "wipe", "{\"device\":\"kiosk-7\"}", "/usr/local/sbin/wipe-me all");
}

static void run_takes_full_paths(void **state)
{
	struct bench bench = {.state = state, .options = {.run_memory_max = 1 << 24}};
	does(&bench, "run", "{\"argv\":[\"/bin/echo\",\"$(id)\",\"; reboot\",\"\"]}", "/bin/echo $(id) ; reboot ");
	refuses(&bench, "run", "{\"argv\":[\"echo\"]}", "no full path");
	refuses(&bench, "run", "{\"argv\":[\"../bin/echo\"]}", "no full path");
}

static void is_at(const char *printed, double latitude, double longitude)
{
	struct json *output auto_json = json_new_object();
	struct error error = {0};
	double value = 0;
	if (!action_locate.read(printed, output, &error))
		fail_msg("%s: %s", printed, error.what);
	assert_true(json_member_double(output, "latitude", &value) && value == latitude);
	assert_true(json_member_double(output, "longitude", &value) && value == longitude);
}

static void places_are_read(void **state)
{
	struct json *output auto_json = json_new_object();
	struct error error = {0};
	is_at("Last known:\n  last location=Location[gps 48.137154,11.576124 hAcc=4.5 et=+1h2m alt=520.0]\n", 48.137154,
	      11.576124);
	is_at("    gps: Location[network -33.856784,151.215297 acc=20 et=+9m]\n", -33.856784, 151.215297);
	is_at("{\"class\":\"VERSION\"}\r\n{\"class\":\"TPV\",\"mode\":1}\r\n{\"class\":\"TPV\",\"lat\":1.5,\"lon\":-2."
	      "25,"
	      "\"eph\":8}\n",
	      1.5, -2.25);
	is_at("New location:\nLatitude:    48.1300\xc2\xb0\nLongitude:   11.5700\xc2\xb0\nAccuracy:    25.0 meters\n",
	      48.13, 11.57);
	assert_false(action_locate.read("Location[gps 148.1,11.5 acc=1]", output, &error));
	assert_false(action_locate.read("Location[gps nan,11.5 acc=1]", output, &error));
	assert_false(action_locate.read("last location=null", output, &error));
	assert_string_equal(error.what, "this device does not know where it is");
}

// Whatever anybody can ask for, this agent knows, and the other way round.
static void the_tables_agree(void **state)
{
	char **all = WORDS("ping", "run");
	char **none = WORDS("cancel");
	char **unknown = WORDS("fly");
	struct error error = {0};
	size_t count;
	const struct action *actions = action_table(&count);
	for (size_t i = 0; i < count; i++) {
		const struct agent_action *action = agent_action_find(actions[i].name);
		assert_non_null(action);
		assert_true(!action->run != !action->plan);
		assert_int_equal(action->always, actions[i].internal);
	}
	assert_true(agent_action_check_list(all, &error));
	assert_false(agent_action_check_list(none, &error));
	assert_false(agent_action_check_list(unknown, &error));
	assert_non_null(strstr(error.what, "it has ping, message,"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(on_linux),        TEST(on_android),           TEST(absent_tools_are_named), TEST(wipe_is_guarded),
		TEST(places_are_read), TEST(run_takes_full_paths), TEST(the_tables_agree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
