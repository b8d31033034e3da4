#include "tools/device_text.h"

#include "tests/unit/scratch.h"

#define NOW_MS 1795225980000 // 2026-11-21T01:53:00Z

static void check(const char *device, const char *expected)
{
	struct error error = {0};
	struct buf out auto_buf = {0};
	auto_json struct json *json = json_parse(device, strlen(device), &error);
	if (!json)
		fail_msg("%s", error.what);
	buf_init(&out, 10000);
	device_text(json, NOW_MS, &out);
	assert_string_equal(buf_str(&out), expected);
}

static void all_that_is_known(void **state)
{
	check("{\"device\":\"d-1\",\"status\":\"online\",\"why\":\"Its messages arrive.\",\"tags\":[\"lab\",\"b\"],"
	      "\"since\":\"2026-11-21T01:43:00Z\",\"last_seen\":\"2026-11-21T01:52:56Z\",\"interval_s\":30,"
	      "\"agent_version\":\"0.1.0\",\"cell\":1,\"reports_in\":2,\"enrolled_at\":\"2026-11-20T01:53:00Z\","
	      "\"inventory\":{\"network\":{}},"
	      "\"certificate\":{\"serial\":\"a1\",\"not_after\":\"2027-02-19T01:53:01Z\",\"revoked_at\":null},"
	      "\"latest\":{\"ts\":\"2026-11-21T01:52:56Z\",\"battery_pct\":29.1,\"charging\":false,\"cpu_pct\":10.6,"
	      "\"load1\":0.73,\"mem_total\":25276502016,\"mem_available\":24753602560,\"network_type\":\"wifi\","
	      "\"rssi_dbm\":-78,\"uptime_s\":90,\"custom\":{\"fan_rpm\":1200,\"note\":\"a\\u001bb\",\"x\":{\"y\":1}}},"
	      "\"ledger\":[{\"epoch\":\"e-1\",\"first_seq\":1,\"highest\":15,\"stored\":9,\"missing\":1,\"duplicates\":"
	      "1,"
	      "\"dropped\":3,\"lost\":5,"
	      "\"late\":4,\"gaps\":[{\"from\":11,\"to\":12,\"state\":\"lost\",\"opened_at\":\"2026-11-21T01:43:00Z\"},"
	      "{\"from\":14,\"to\":14,\"state\":\"open\",\"opened_at\":\"2026-11-21T01:53:00Z\"},"
	      "{\"from\":3,\"to\":5,\"state\":\"dropped\",\"opened_at\":\"2026-11-21T01:43:00Z\"},"
	      "{\"from\":2,\"to\":2,\"state\":\"closed\",\"opened_at\":\"2026-11-21T01:43:00Z\"}],"
	      "\"first_at\":\"2026-11-21T01:43:00Z\",\"last_at\":\"2026-11-21T01:52:56Z\"}],"
	      "\"commands\":[{\"id\":\"c-1\",\"action\":\"ping\",\"state\":\"rejected\",\"reason\":\"no\","
	      "\"requested_by\":\"admin\",\"created_at\":\"2026-11-21T01:43:00Z\"}]}",
	      "d-1\n\n"
	      "  Status        online since 2026-11-21 01:43:00Z, 10 min ago\n"
	      "                Its messages arrive.\n"
	      "  Tags          lab, b\n"
	      "  Last seen     2026-11-21 01:52:56Z, 4 s ago\n"
	      "  Reports       every 30 s\n"
	      "  Agent         0.1.0\n"
	      "  Cell          1, but it reports in 2\n"
	      "  Enrolled      2026-11-20 01:53:00Z, 1 d ago\n"
	      "  Certificate   a1\n"
	      "                valid until 2027-02-19 01:53:01Z, in 90 d\n"
	      "  Inventory     network (--json shows it)\n"
	      "\nLatest reading, 2026-11-21 01:52:56Z, 4 s ago\n"
	      "  Battery       29.1 %, not charging\n"
	      "  CPU           10.6 %, load 0.73\n"
	      "  Memory        24.8 of 25.3 GB free\n"
	      "  Network       wifi, -78 dBm\n"
	      "  Up for        1 min\n"
	      "  fan_rpm       1200\n"
	      "  note          a?b\n"
	      "  x             {\"y\":1}\n"
	      "\nLedger: its messages by epoch, which is a life of its outbox\n"
	      "  e-1\n"
	      "    begun 2026-11-21 01:43:00Z, 10 min ago, last heard 4 s ago\n"
	      "    numbers 1 to 15: 9 stored, 1 missing, 5 lost (3 dropped by its full outbox)\n"
	      "    4 came late, 1 came again, stored once\n"
	      "    lost      11 to 12, since 2026-11-21 01:43:00Z, 10 min ago\n"
	      "    missing   14, since 2026-11-21 01:53:00Z, now\n"
	      "    dropped   3 to 5, since 2026-11-21 01:43:00Z, 10 min ago\n"
	      "\nLatest commands\n"
	      "  2026-11-21 01:43:00Z, 10 min ago  ping by admin: rejected, no\n"
	      "    c-1\n");
}

static void one_never_heard_of(void **state)
{
	check("{\"device\":\"d-2\",\"enabled\":false,\"status\":\"never\",\"why\":\"\",\"since\":null,"
	      "\"last_seen\":null,\"tags\":[],"
	      "\"certificate\":null,\"latest\":{},\"ledger\":[],\"commands\":[],\"inventory\":{},\"enrolled_at\":null}",
	      "d-2\n\n"
	      "  Status        revoked, never\n"
	      "  Last seen     never\n"
	      "  Enrolled      never\n"
	      "\nLatest reading: none yet\n"
	      "\nLedger: its messages by epoch, which is a life of its outbox\n"
	      "  nothing yet\n"
	      "\nLatest commands\n"
	      "  none yet\n");
}

static void one_that_is_woken(void **state)
{
#define WOKEN(push, last)                                                                                              \
	"{\"device\":\"d-3\",\"status\":\"offline\",\"latest\":{},\"wake\":{\"push\":" push                            \
	",\"delay_ms\":1840,\"delay_count\":7,\"unanswered\":2,\"last\":" last "}}"
#define FACTS(lines)                                                                                                   \
	"d-3\n\n  Status        offline\n  Last seen     never\n" lines                                                \
	"  Enrolled      never\n\nLatest reading: none yet\n"                                                          \
	"\nLedger: its messages by epoch, which is a life of its outbox\n  nothing yet\n\nLatest commands\n  none "    \
	"yet\n"

	check(WOKEN("{\"platform\":\"fcm\",\"retired_at\":null}",
		    "{\"started_at\":\"2026-11-21T01:52:56Z\",\"fcm_status\":\"OK\"}"),
	      FACTS("  Wakes         by fcm, takes 1.8 s (of 7)\n"
		    "                last push 2026-11-21 01:52:56Z, 4 s ago: OK, 2 in a row without\n"
		    "                contact\n"));
	check(WOKEN("{\"platform\":\"fcm\",\"retired_at\":\"2026-11-21T01:52:56Z\",\"retired_reason\":"
		    "\"UNREGISTERED\"}",
		    "null"),
	      FACTS("  Wakes         not any more: its push token was retired 2026-11-21 01:52:56Z,\n"
		    "                4 s ago, UNREGISTERED, takes 1.8 s (of 7)\n"));
	check(WOKEN("null", "null"), FACTS(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(all_that_is_known), cmocka_unit_test(one_never_heard_of),
					   cmocka_unit_test(one_that_is_woken)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
