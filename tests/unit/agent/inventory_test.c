#include "agent/inventory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define FIXTURES MUSTER_SOURCE_DIR "/tests/fixtures/linux"

static const char *text(const struct json *json, const char *name)
{
	const char *value = "";
	(void)json_member_string(json, name, &value);
	return value;
}

static void knows_the_hardware(void **state)
{
	struct json *laptop auto_json = json_new_object();
	int64_t count = 0;
	inventory_hardware.read(&(struct platform){.root = FIXTURES "/laptop"}, laptop);
	assert_string_equal(text(laptop, "hostname"), "desk-4");
	assert_string_equal(text(laptop, "os"), "debian");
	assert_string_equal(text(laptop, "os_name"), "Debian GNU/Linux 12 (bookworm)");
	assert_string_equal(text(laptop, "os_version"), "12");
	assert_string_equal(text(laptop, "kernel"), "6.1.0-28-amd64");
	assert_string_equal(text(laptop, "cpu_model"), "11th Gen Intel(R) Core(TM) i5-1135G7 @ 2.40GHz");
	assert_string_equal(text(laptop, "vendor"), "Dell Inc.");
	assert_string_equal(text(laptop, "product"), "Latitude 5420");
	assert_true(json_member_int(laptop, "cpu_count", &count) && count == 2);

	struct json *board auto_json = json_new_object();
	inventory_hardware.read(&(struct platform){.root = FIXTURES "/modem-board"}, board);
	assert_string_equal(text(board, "product"), "Gateway Board Rev 1.2");
	assert_string_equal(text(board, "cpu_model"), "ARMv7 Processor rev 5 (v7l)");
}

static void knows_the_interfaces(void **state)
{
	struct json *content auto_json = json_new_object();
	inventory_network.read(&(struct platform){.root = FIXTURES "/laptop"}, content);
	const struct json *list = json_member(content, "interfaces");
	assert_int_equal(json_array_length(list), 3); // not lo, not the container's
	assert_string_equal(text(json_array_at(list, 0), "name"), "docker0");
	assert_string_equal(text(json_array_at(list, 0), "state"), "down");
	assert_string_equal(text(json_array_at(list, 2), "name"), "wlp0s20f3");
	assert_string_equal(text(json_array_at(list, 2), "mac"), "A0:51:0b:12:34:56");
}

static void is_sent_when_it_changed(void **state)
{
	char folder[] = "/tmp/muster-inventory-XXXXXX";
	char path[96];
	struct error error = {0};
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/outbox.db", folder);
	struct outbox_options options = {.path = path, .rows_max = 100, .bytes_max = 1 << 20};
	struct outbox *outbox = outbox_open(&options, NULL, &error);
	assert_non_null(outbox);

	assert_true(inventory_report(&(struct platform){.root = FIXTURES "/laptop"}, outbox, "kiosk-7", 1, &error));
	assert_int_equal(outbox_rows(outbox), 2);
	assert_true(inventory_report(&(struct platform){.root = FIXTURES "/laptop"}, outbox, "kiosk-7", 2, &error));
	assert_int_equal(outbox_rows(outbox), 2);
	outbox_free(outbox); // also after a restart
	outbox = outbox_open(&options, NULL, &error);
	assert_true(inventory_report(&(struct platform){.root = FIXTURES "/laptop"}, outbox, "kiosk-7", 3, &error));
	assert_int_equal(outbox_rows(outbox), 2);
	assert_true(
		inventory_report(&(struct platform){.root = FIXTURES "/modem-board"}, outbox, "kiosk-7", 4, &error));
	assert_int_equal(outbox_rows(outbox), 4);
	struct outbox_message message;
	assert_true(outbox_next(outbox, 3, &message, &error));
	assert_string_equal(message.topic, "fleet/v1/kiosk-7/inventory/network");
	assert_non_null(strstr(message.payload, "\"ts\":4}"));

	outbox_free(outbox);
	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s/outbox.db.lock", folder);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_the_hardware),
		cmocka_unit_test(knows_the_interfaces),
		cmocka_unit_test(is_sent_when_it_changed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
