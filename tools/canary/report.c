#include "tools/canary/report.h"

#include "common/buf.h"
#include "common/clock.h"
#include "common/device_status.h"
#include "common/json.h"
#include "common/topic.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define HELLO_MAX_BYTES 2048

void report_init(struct report *report, const char *device)
{
	*report = (struct report){.device = device, .session = clock_wall_ms()};
	crypto_uuid4(report->epoch);
	crypto_uuid4(report->boot_id);
}

bool report_will(struct report *report, struct mqtt *mqtt, struct error *error)
{
	struct device_status will;

	report->session++;
	return device_status_make(report->device, report->session, "offline", "will", &will) &&
	       mqtt_set_will(mqtt, &will.publish, error);
}

static bool publish(const struct report *report, struct mqtt *mqtt, enum topic_kind kind, const char *text,
		    struct error *error)
{
	char topic[TOPIC_MAX_BYTES];
	const struct mqtt_publish message = {
		.topic = topic, .payload = text, .payload_bytes = strlen(text), .qos = 1};

	return topic_build(topic, kind, report->device, NULL) && mqtt_publish(mqtt, &message, NULL, error);
}

static bool hello(const struct report *report, struct mqtt *mqtt, const struct identity *identity,
		  struct error *error)
{
	int64_t next_seq = report->seq + 1;
	auto_buf struct buf text = {0};

	buf_init(&text, HELLO_MAX_BYTES);
	(void)buf_addf(&text,
		       "{\"type\":\"hello\",\"ts\":%" PRId64 ",\"epoch\":\"%s\",\"oldest_seq\":%" PRId64
		       ",\"next_seq\":%" PRId64 ",\"dropped\":0,\"agent_version\":\"canary-%s\",\"interval_s\":%d"
		       ",\"boot_id\":\"%s\",\"actions\":[],\"certificate\":\"%s\",\"trust\":\"%s\"}",
		       clock_wall_ms(), report->epoch, report->waits ? report->seq : next_seq, next_seq, MUSTER_VERSION,
		       REPORT_INTERVAL_S, report->boot_id, identity->serial, identity->trust);
	return publish(report, mqtt, TOPIC_EVENT, buf_str(&text), error);
}

static bool subscribe(const struct report *report, struct mqtt *mqtt, enum topic_kind kind, struct error *error)
{
	char topic[TOPIC_MAX_BYTES];

	return topic_build(topic, kind, report->device, NULL) && mqtt_subscribe(mqtt, topic, 1, error);
}

bool report_begin(struct report *report, struct mqtt *mqtt, const struct identity *identity,
		  struct error *error)
{
	struct device_status status;

	report->due_ms = 0;
	return device_status_make(report->device, report->session, "online", NULL, &status) &&
	       subscribe(report, mqtt, TOPIC_STORED, error) && subscribe(report, mqtt, TOPIC_CERTIFICATE, error) &&
	       mqtt_publish(mqtt, &status.publish, NULL, error) && hello(report, mqtt, identity, error);
}

bool report_goodbye(struct report *report, struct mqtt *mqtt, struct error *error)
{
	struct device_status status;

	return device_status_make(report->device, report->session, "offline", "goodbye", &status) &&
	       mqtt_publish(mqtt, &status.publish, NULL, error);
}

static void make_reading(struct report *report, double cut_s)
{
	char cut[48] = "";

	if (cut_s >= 0)
		(void)snprintf(cut, sizeof(cut), ",\"cut_s\":%.6f", cut_s);
	(void)snprintf(report->reading, sizeof(report->reading),
		       "{\"epoch\":\"%s\",\"seq\":%" PRId64 ",\"ts\":%" PRId64 ",\"uptime_s\":%" PRId64 "%s}",
		       report->epoch, ++report->seq, clock_wall_ms(), clock_boot_ms() / 1000, cut);
	report->waits = true;
}

bool report_reading(struct report *report, struct mqtt *mqtt, double cut_s, int64_t now_ms,
		    struct error *error)
{
	if (now_ms < report->due_ms)
		return true;
	if (!report->waits)
		make_reading(report, cut_s);
	report->due_ms = now_ms + (int64_t)REPORT_INTERVAL_S * 1000;
	return publish(report, mqtt, TOPIC_TELEMETRY, report->reading, error);
}

void report_stored(struct report *report, const char *payload, size_t payload_bytes)
{
	auto_json struct json *json = json_parse(payload, payload_bytes, NULL);
	const char *epoch = "";
	int64_t seq = 0;

	if (json && json_member_string(json, "epoch", &epoch) && strcmp(epoch, report->epoch) == 0 &&
	    json_member_int(json, "seq", &seq) && seq >= report->seq)
		report->waits = false;
}
