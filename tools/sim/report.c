#include "tools/sim/report.h"

#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/result_text.h"
#include "tools/sim/device.h"

#include <inttypes.h>
#include <string.h>

static void write_ledger(struct device *device, int64_t seq, const char *text, size_t len_bytes)
{
	char sha256[SHA256_HEX_BYTES];

	if (device->shared->ledger.fd < 0)
		return;
	crypto_sha256_hex(text, len_bytes, sha256);
	ledger_addf(&device->shared->ledger, "%s %s %" PRId64 " %s\n", device->identity.device, device->outbox.epoch,
		    seq, sha256);
}

static void push(struct device *device, enum topic_kind kind, const struct buf *payload, int64_t seq_count)
{
	if (payload->overflowed ||
	    !outbox_push(&device->outbox, kind, payload->data, payload->len_bytes, seq_count, clock_boot_ms())) {
		shared_fail(device->shared, "no memory for a message");
		return;
	}
	device_touch(device);
}

// Not for guessing, only different in each reading.
static uint64_t next_check(struct device *device)
{
	uint64_t x = device->check;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return device->check = x;
}

void report_readings(struct device *device, int64_t count, int64_t now_ms)
{
	struct buf *payload = &device->shared->scratch;
	struct reading reading;

	buf_clear(payload);
	if (count > 1)
		buf_add_str(payload, "[");
	for (int64_t i = 0; i < count; i++) {
		int64_t seq = device->outbox.next_seq + i;
		int64_t before_ms = (count - 1 - i) * device->interval_ms / count;

		if (i > 0)
			buf_add_str(payload, ",");
		size_t start = payload->len_bytes;
		telemetry_next(&device->telemetry, now_ms - before_ms, &reading);
		telemetry_write(&reading, device->outbox.epoch, seq, next_check(device), payload);
		write_ledger(device, seq, payload->data + start, payload->len_bytes - start);
	}
	if (count > 1)
		buf_add_str(payload, "]");
	push(device, TOPIC_TELEMETRY, payload, count);
	device->readings += count;
	device->shared->totals.readings += (uint64_t)count;
}

// {"epoch":..,"seq":..,"ts":..
static struct buf *begin(struct device *device)
{
	struct buf *payload = &device->shared->scratch;

	buf_clear(payload);
	buf_addf(payload, "{\"epoch\":\"%s\",\"seq\":%" PRId64 ",\"ts\":%" PRId64, device->outbox.epoch,
		 device->outbox.next_seq, clock_wall_ms());
	return payload;
}

static void end(struct device *device, enum topic_kind kind, struct buf *payload)
{
	buf_add_str(payload, "}");
	write_ledger(device, device->outbox.next_seq, payload->data, payload->len_bytes);
	push(device, kind, payload, 1);
}

void report_event(struct device *device, const char *type, const char *reason)
{
	struct buf *payload = begin(device);

	buf_addf(payload, ",\"type\":\"%s\"", type);
	if (reason) {
		buf_add_str(payload, ",\"reason\":");
		json_quote(payload, reason);
	}
	end(device, TOPIC_EVENT, payload);
}

void report_result(struct device *device, const char *command, const char *members)
{
	struct buf *payload = begin(device);
	struct error error = {.kind = ERROR_NONE};

	buf_addf(payload, ",\"command\":\"%s\",%s", command, members);
	if (device->identity.key &&
	    !result_text_sign(device->identity.key, device->identity.device, payload, &error)) {
		shared_fail(device->shared, "a result cannot be signed");
		return;
	}
	end(device, TOPIC_RESULT, payload);
}

bool report_hello(struct device *device)
{
	const struct outbox *outbox = &device->outbox;
	struct buf *payload = &device->shared->scratch;
	char fingerprint[SHA256_HEX_BYTES];

	device_fingerprint(device->identity.device, fingerprint);
	buf_clear(payload);
	buf_addf(payload,
		 "{\"type\":\"hello\",\"ts\":%" PRId64 ",\"epoch\":\"%s\",\"oldest_seq\":%" PRId64
		 ",\"next_seq\":%" PRId64 ",\"dropped\":0,\"agent_version\":\"sim-%s\",\"interval_s\":%" PRId64
		 ",\"boot_id\":\"%s\",\"fingerprint\":\"%s\",\"actions\":[\"ping\",\"set_interval\",\"reboot\"]",
		 clock_wall_ms(), outbox->epoch, outbox_oldest_seq(outbox), outbox->next_seq, MUSTER_VERSION,
		 device->interval_ms < 1000 ? 1 : device->interval_ms / 1000, device->boot_id, fingerprint);
	buf_addf(payload, ",\"signers\":%" PRId64, device->identity.signers);
	if (device->identity.certificate[0] && device->identity.trust[0])
		buf_addf(payload, ",\"certificate\":\"%s\",\"trust\":\"%s\"", device->identity.certificate,
			 device->identity.trust);
	buf_add_str(payload, "}");
	device->shared->totals.hellos++;
	return device_publish(device, TOPIC_EVENT, buf_str(payload), payload->len_bytes, 0, NULL);
}
