#include "common/preapproval.h"

#include "tests/unit/scratch.h"

static struct preapprovals parsed(const char *text)
{
	struct preapprovals list;
	auto_buf struct buf faults;

	buf_init(&faults, 4096);
	if (!preapprovals_parse(text, &list, &faults))
		fail_msg("%s", buf_str(&faults));
	return list;
}

// What is said of a list that is refused.
static const char *faults_of(const char *text)
{
	static char said[4096];
	struct preapprovals list auto_preapprovals;
	auto_buf struct buf faults;

	buf_init(&faults, sizeof(said));
	assert_false(preapprovals_parse(text, &list, &faults));
	(void)snprintf(said, sizeof(said), "%s", buf_str(&faults));
	return said;
}

static void assert_item(const struct preapproval *item, size_t line, const char *serial, const char *device,
			const char *tags)
{
	assert_int_equal(item->line, line);
	assert_string_equal(item->serial, serial);
	assert_string_equal(item->device, device);
	assert_string_equal(item->tags, tags);
}

static void test_reads_what_spreadsheets_write(void **state)
{
	struct preapprovals list auto_preapprovals = parsed("\xef\xbb\xbfSerial,Device,Tags\r\n"
							    "SN-1,till-1,shop;north\r\n"
							    "\r\n"
							    "# a remark\r\n"
							    "\"SN \"\"2\"\"\" , till-2,\"shop,south\"\r\n"
							    "SN-3\r\n"
							    "SN-4,,spare");

	assert_int_equal(list.count, 4);
	assert_item(&list.items[0], 2, "SN-1", "till-1", "shop,north");
	assert_item(&list.items[1], 5, "SN \"2\"", "till-2", "shop,south");
	assert_item(&list.items[2], 6, "SN-3", "", "");
	assert_item(&list.items[3], 7, "SN-4", "", "spare");
}

static void test_a_heading_is_optional_and_only_the_first(void **state)
{
	struct preapprovals list auto_preapprovals = parsed("SN-1\nserial\n");

	assert_int_equal(list.count, 2);
	assert_item(&list.items[1], 2, "serial", "", "");
	struct preapprovals none auto_preapprovals = parsed("");
	assert_int_equal(none.count, 0);
}

static void test_every_fault_has_its_line(void **state)
{
	const char *said = faults_of("serial,device,tags\n"
				     "SN-1,Till_1\n"
				     ",till-2\n"
				     "SN-3,till-3,a,b\n"
				     "\"SN-4,till-4\n"
				     "SN-5,till-5\n"
				     "SN-5,till-5\n");

	assert_non_null(strstr(said, "line 2: the device id must match [a-z0-9][a-z0-9-]{0,62} (Till_1)\n"));
	assert_non_null(strstr(said, "line 3: the serial number is missing\n"));
	assert_non_null(strstr(said, "line 4: more than the three columns serial,device,tags\n"));
	assert_non_null(strstr(said, "line 5: a quoted field is not closed"));
	assert_non_null(strstr(said, "line 7: the serial number stands in line 6 already (SN-5)\n"));
	assert_non_null(strstr(said, "line 7: the device id stands in line 6 already (till-5)\n"));
	assert_null(strstr(said, "line 6:"));
	assert_non_null(strstr(faults_of("S\033N,till"), "control characters"));
}

static void test_many_faults_are_counted(void **state)
{
	char text[40 * 8] = "";

	for (int i = 0; i < 30; i++)
		(void)strcat(text, ",x\n");
	const char *said = faults_of(text);
	assert_non_null(strstr(said, "line 20:"));
	assert_null(strstr(said, "line 21:"));
	assert_non_null(strstr(said, "and 39 more\n")); // 30 without serial, 29 with a device id that was there before
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_reads_what_spreadsheets_write),
		cmocka_unit_test(test_a_heading_is_optional_and_only_the_first),
		cmocka_unit_test(test_every_fault_has_its_line),
		cmocka_unit_test(test_many_faults_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
