#include "tools/bench/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void publish_comes_back_as_it_went(void **state)
{
	char payload[300];
	uint8_t wire[PACKET_MAX_BYTES];
	memset(payload, 'x', sizeof(payload));
	const struct packet_publish publish = {
		.topic = "fleet/v1/a/telemetry",
		.response_topic = "fleet/v1/a/stored",
		.qos = 1,
		.mid = 0x1234,
		.payload = payload,
		.payload_bytes = sizeof(payload),
	};
	size_t len_bytes = packet_publish(wire, &publish);
	struct packet packet;
	struct packet_message message;
	bool broken = false;
	assert_true(packet_next(wire, len_bytes, &packet, &broken));
	assert_int_equal(packet.type, PACKET_PUBLISH);
	assert_int_equal(packet.total_bytes, len_bytes);
	assert_true(packet_read_publish(&packet, &message));
	assert_int_equal(message.mid, 0x1234);
	assert_int_equal(message.topic_bytes, strlen(publish.topic));
	assert_memory_equal(message.topic, publish.topic, message.topic_bytes);
	assert_int_equal(message.payload_bytes, sizeof(payload));
	assert_memory_equal(message.payload, payload, sizeof(payload));
}

static void part_of_a_packet_waits_for_the_rest(void **state)
{
	uint8_t wire[PACKET_MAX_BYTES];
	size_t len_bytes = packet_connect(wire, "bench-00001", "bench-00001", 50);
	struct packet packet;
	bool broken = false;
	for (size_t i = 0; i < len_bytes; i++)
		assert_false(packet_next(wire, i, &packet, &broken));
	assert_true(packet_next(wire, len_bytes, &packet, &broken));
	assert_false(broken);
	assert_int_equal(packet.type, PACKET_CONNECT);
}

static void endless_length_is_broken(void **state)
{
	static const uint8_t wire[] = {0x30, 0xff, 0xff, 0xff, 0xff, 0x01};
	struct packet packet;
	bool broken = false;
	assert_false(packet_next(wire, sizeof(wire), &packet, &broken));
	assert_true(broken);
}

static void short_publish_is_refused(void **state)
{
	static const uint8_t wire[] = {0x32, 0x04, 0x00, 0x09, 'a', 'b'};
	struct packet packet;
	struct packet_message message;
	bool broken = false;
	assert_true(packet_next(wire, sizeof(wire), &packet, &broken));
	assert_false(packet_read_publish(&packet, &message));
}

static void reasons_are_read(void **state)
{
	uint8_t wire[PACKET_MAX_BYTES];
	static const uint8_t refused[] = {0x20, 0x03, 0x00, 0x87, 0x00};
	struct packet packet;
	bool broken = false;
	assert_true(packet_next(wire, packet_suback(wire, 7), &packet, &broken));
	assert_int_equal(packet_mid(&packet), 7);
	assert_int_equal(packet_reason(&packet), 0);
	assert_true(packet_next(refused, sizeof(refused), &packet, &broken));
	assert_int_equal(packet_reason(&packet), 0x87);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(publish_comes_back_as_it_went),  cmocka_unit_test(part_of_a_packet_waits_for_the_rest),
		cmocka_unit_test(endless_length_is_broken),	  cmocka_unit_test(short_publish_is_refused),
		cmocka_unit_test(reasons_are_read),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
