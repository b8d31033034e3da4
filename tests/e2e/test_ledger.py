"""What is missing is known by its range: open, filled late, lost when it does not come; and no clock misplaces anything."""
import json
import os
import signal
import time

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from stack import Device, wait_for

LOST_AFTER_S = 2


@pytest.fixture(scope="module")
def patient(stack):
    """Gaps count as lost after 2 s instead of an hour."""
    conf = stack.state / "conf/ingest.conf"
    conf.write_text(conf.read_text() + f"gap_lost_after_s = {LOST_AFTER_S};\n")
    stack.muster("stack", "restart", "ingest")
    return stack


def gaps(stack, device):
    return stack.rows("select from_seq, to_seq, state from ledger_gap where device = %s order by from_seq", device.name)


def shown(stack, device):
    """The ledger as `muster device show` and so the API tell it."""
    ledger = stack.muster_json("device", "show", device.name)["ledger"]
    assert len(ledger) == 1 and ledger[0]["epoch"] == device.epoch
    return ledger[0]


def age(milliseconds):
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = ("age-ms", str(milliseconds))
    return properties


def test_a_gap_is_opened_and_filled_late(stack):
    with Device(stack, "gap-1") as device:
        messages = [device.next(load1=n / 10) for n in range(10)]
        for message in messages[:3] + messages[7:]:
            device.publish("telemetry", message)
        wait_for(lambda: gaps(stack, device) == [(4, 7, "open")], "the gap of 4 to 7")
        row = shown(stack, device)
        assert (row["first_seq"], row["highest"], row["contiguous"], row["missing"], row["lost"], row["late"]) == (1, 10, 3, 4, 0, 0)
        assert [(gap["from"], gap["to"], gap["state"]) for gap in row["gaps"]] == [(4, 7, "open")]
        device.publish("telemetry", messages[4])
        wait_for(lambda: gaps(stack, device) == [(4, 4, "open"), (6, 7, "open")], "the gap split by what came late")
        for message in messages[3:]:
            device.publish("telemetry", message)
        device.wait_stored()
        wait_for(lambda: {state for _, _, state in gaps(stack, device)} == {"closed"}, "closed gaps")
        row = shown(stack, device)
        assert (row["late"], row["duplicates"], row["lost"], row["received"]) == (4, 4, 0, 14)
    overview = stack.muster("device", "show", "gap-1").stdout
    assert "0 lost" in overview


def test_what_the_device_dropped_is_told_from_what_is_lost(stack):
    with Device(stack, "gap-2") as device:
        device.publish("telemetry", device.next(load1=1))
        device.seq += 3
        device.publish("telemetry", device.next(load1=2))
        wait_for(lambda: gaps(stack, device) == [(2, 4, "open")], "the gap")
        device.publish("event", {"type": "hello", "epoch": device.epoch, "oldest_seq": 5})
        wait_for(lambda: gaps(stack, device) == [(2, 4, "dropped")], "the gap declared dropped")
        row = shown(stack, device)
        assert (row["dropped"], row["lost"], row["missing"]) == (3, 3, 0)


# From here on gaps count as lost soon.

def test_a_gap_that_stays_is_lost_with_its_range(patient):
    stack = patient
    with Device(stack, "gap-3") as device:
        device.publish("telemetry", device.next(load1=1))
        held_back = [device.next(load1=2), device.next(load1=3)]
        device.publish("telemetry", device.next(load1=4))
        wait_for(lambda: gaps(stack, device) == [(2, 3, "lost")], "the lost gap")
        row = shown(stack, device)
        assert row["lost"] == 2
        assert [(gap["from"], gap["to"], gap["state"]) for gap in row["gaps"]] == [(2, 3, "lost")]
        text = stack.muster("device", "show", device.name).stdout
        assert "2 stored, 0 missing, 2 lost" in text and "lost      2 to 3, since" in text
        for message in held_back:  # it is not given up: what comes after all is stored
            device.publish("telemetry", message)
        device.wait_stored()
        assert shown(stack, device)["lost"] == 0


@pytest.mark.parametrize("name,ts", [("clock-1970", 86_400_000), ("clock-2099", 4_070_908_800_000)])
def test_a_wrong_clock_loses_and_misplaces_nothing(stack, name, ts):
    with Device(stack, name) as device:
        for n in range(3):
            device.publish("telemetry", device.next(cpu_pct=n) | {"ts": ts + n * 1000}, age(600_000 if n == 0 else 0))
        device.publish("event", device.next(type="boot") | {"ts": ts + 3000})
        device.wait_stored()
        rows = stack.rows("select (extract(epoch from ts) * 1000)::bigint, extract(epoch from received_at - measured_at)::float8"
                          " from telemetry where device = %s order by seq", name)
        assert [row[0] for row in rows] == [ts, ts + 1000, ts + 2000], "ts is kept as sent"
        assert [row[1] for row in rows] == [600, 0, 0]
        now = int(time.time() * 1000)  # the chart shows each where it was measured, and nothing anywhere else
        points = stack.chart(name, "cpu_pct", now - 20 * 60_000, now + 60_000, points=21)["points"]
        assert [value for _, value, _, _ in points] in ([0, 1.5], [0, 1, 2]), points
        assert -1 <= (now - points[0][0]) // 60_000 - 10 <= 1 and now - points[-1][0] <= 120_000, points
        assert stack.chart(name, "cpu_pct", ts - 60_000, ts + 60_000)["points"] == []
        detail = stack.muster_json("device", "show", name)
        assert detail["latest"]["cpu_pct"] == 2
        assert abs(stack.value("select extract(epoch from now() - ts)::float8 from device_state where device = %s", name)) < 60
        assert stack.value("select measured_at = received_at from event where device = %s and type = 'boot'", name)
        device.publish("telemetry", device.next(cpu_pct=50))  # the clock is set
        device.wait_stored()
        assert stack.muster_json("device", "show", name)["latest"]["cpu_pct"] == 50
    assert detail["ledger"][0]["gaps"] == []


# From here on `stored` says nothing for a minute after it has said something.

@pytest.fixture(scope="module")
def slow(stack):
    conf = stack.state / "conf/ingest.conf"
    conf.write_text(conf.read_text() + "stored_interval_ms = 60000;\n")
    stack.muster("stack", "restart", "ingest")
    return stack


def test_whoever_names_a_response_topic_is_answered_at_once(slow):
    answers = []
    with Device(slow, "asker-1") as device:
        def on_message(client, userdata, message):
            answers.append((json.loads(message.payload)["seq"], getattr(message.properties, "CorrelationData", None)))

        device.client.on_message = on_message
        device.publish("telemetry", device.next(load1=1))
        wait_for(lambda: answers == [(1, None)], "the first answer")
        began = time.monotonic()
        device.publish("telemetry", device.next(load1=2))  # its answer waits
        wait_for(lambda: slow.value("select count(*) from telemetry where device = 'asker-1'") == 2, "the second row")
        ingest = slow.pid("ingest")
        os.kill(ingest, signal.SIGSTOP)  # so that they come in one batch, or a few
        try:
            taken = []
            for number in range(100):
                asking = Properties(PacketTypes.PUBLISH)
                asking.ResponseTopic = "fleet/v1/asker-1/stored"
                asking.CorrelationData = b"\x00%d" % number
                taken.append(device.client.publish("fleet/v1/asker-1/telemetry", json.dumps(device.next(load1=number)), qos=1,
                                                   properties=asking))
            wait_for(lambda: all(one.is_published() for one in taken), "the broker to have them all")
        finally:
            os.kill(ingest, signal.SIGCONT)
        wait_for(lambda: answers[-1] == (102, b"\x0099"), "the last answer, with what it was asked with")
        assert len(answers) < 50, "one for each batch"
        assert [seq for seq, _ in answers] == sorted(seq for seq, _ in answers)
        elsewhere = Properties(PacketTypes.PUBLISH)  # somebody else's topic: as if none had been given
        elsewhere.ResponseTopic = "fleet/v1/gap-1/stored"
        device.publish("telemetry", device.next(load1=1), elsewhere)
        wait_for(lambda: slow.value("select contiguous from ledger where device = 'asker-1'") == 103, "the row")
        assert answers[-1][0] == 102 or time.monotonic() - began > 50
