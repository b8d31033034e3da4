"""A device that is nobody's but paho's: its telemetry is stored once, it gets `stored`, and what it gets wrong is told."""
import json
import time

import pytest
from stack import Device, run, wait_for


@pytest.fixture(scope="module")
def device(stack):
    with Device(stack, "paho-1") as connected:
        yield connected


def test_telemetry_is_stored_once_and_acknowledged(stack, device):
    reading = device.next(battery_pct=81.5, charging=True, mem_total=4 << 30, shelf="b7")
    device.publish("telemetry", reading)
    device.wait_stored()
    device.publish("telemetry", reading)  # the same again, as after a lost acknowledgement
    device.publish("telemetry", [device.next(cpu_pct=n) for n in range(100)])
    device.wait_stored()
    rows = stack.rows("select seq, battery_pct, charging, mem_total, custom from telemetry where device = %s order by seq",
                      device.name)
    assert len(rows) == 101
    assert rows[0] == (1, 81.5, True, 4 << 30, {"shelf": "b7"})
    assert [row[0] for row in rows] == list(range(1, 102))
    assert stack.value("select sum(duplicates) from ledger where device = %s", device.name) == 1
    latest = stack.rows("select cpu_pct, custom from device_state where device = %s", device.name)
    assert latest[0][0] == 99


def test_a_gap_is_never_called_stored(stack, device):
    held_back = device.next(load1=0.5)
    after = device.next(load1=0.6)
    mark = held_back["seq"] - 1
    device.publish("telemetry", after)
    wait_for(lambda: stack.rows("select from telemetry where device = %s and seq = %s", device.name, after["seq"]),
             "the later message's row")
    assert device.stored() == mark
    device.publish("telemetry", held_back)
    device.publish("telemetry", after)
    device.wait_stored()


def test_plain_client_without_seq(stack, device):
    device.publish("telemetry", {"temperature_c": 21.25})
    wait_for(lambda: stack.value("select count(*) from telemetry where device = %s and temperature_c = 21.25",
                                 device.name) == 1, "the plain reading's row")


def test_other_kinds(stack, device):
    device.publish("event", device.next(type="app.crashed", app="till"))
    device.publish("inventory/software", device.next(packages={"till": "1.2"}))
    device.wait_stored()
    assert stack.value("select body->>'app' from event where device = %s and type = 'app.crashed'", device.name) == "till"
    assert stack.value("select body->'packages'->>'till' from inventory where device = %s", device.name) == "1.2"


def test_a_clock_that_ran_ahead_does_not_block_tomorrows_partition(stack, device):
    """Rows of a day that has no partition yet wait in the default one and move over when the day comes near."""
    ahead = int(time.time() * 1000) + 30 * 86_400_000
    device.publish("telemetry", device.next(shelf="ahead") | {"ts": ahead})
    device.wait_stored()
    where = "select tableoid::regclass::text from telemetry where device = %s and custom->>'shelf' = 'ahead'"
    assert stack.value(where, device.name) == "telemetry_default"
    stack.rows("select ensure_partitions(31)::text")
    assert stack.value(where, device.name).startswith("telemetry_2")


BAD = {
    "broken JSON": ("telemetry", '{"ts": 1'),
    "not an object": ("telemetry", '"hello"'),
    "wrong type": ("telemetry", '{"battery_pct": "full"}'),
    "NaN": ("telemetry", '{"cpu_pct": NaN}'),
    "out of range": ("telemetry", '{"battery_pct": 180}'),
    "duplicate key": ("telemetry", '{"cpu_pct": 1, "cpu_pct": 2}'),
    "NUL in text": ("telemetry", '{"note": "a\\u0000b"}'),
    "not UTF-8": ("telemetry", b'{"note": "\xff\xfe"}'),
    "empty array": ("telemetry", "[]"),
    "array too long": ("telemetry", json.dumps([{"load1": 1}] * 101)),
    "seq without epoch": ("telemetry", '{"seq": 1, "ts": 1767225600000}'),
    "time before 1970": ("telemetry", '{"ts": -5}'),
    "event without type": ("event", '{"ts": 1767225600000}'),
    "result of nothing": ("result", '{"state": "succeeded"}'),
    "empty": ("telemetry", ""),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_quarantined_and_stops_nothing(stack, device, name):
    kind, payload = BAD[name]
    before = stack.value("select coalesce(max(id), 0) from quarantine")
    device.publish(kind, payload)
    device.publish("telemetry", device.next(uptime_s=1))
    device.wait_stored()
    found = stack.rows("select device, topic, reason, payload from quarantine where id > %s", before)
    assert len(found) == 1, found
    assert found[0][:2] == (device.name, f"fleet/v1/{device.name}/{kind}")
    assert len(found[0][2]) > 8, "the reason says something"
    assert bytes(found[0][3]) == (payload if isinstance(payload, bytes) else payload.encode())


@pytest.mark.parametrize("topic,payload,code", [
    ("fleet/v1/paho-2/telemetry", 1_000_000 * "x", "RC:149"),   # 0x95 packet too large
    ("fleet/v1/paho-2/nonsense", "{}", "RC:135"),               # 0x87 not authorized
    ("fleet/v1/paho-1/telemetry", '{"load1":1}', "RC:135"),     # another device's topic
    ("$CONTROL/muster/v1", '{"op":"revoke","device":"paho-1"}', "RC:135"),
], ids=["too large", "unknown topic", "another device's topic", "broker control"])
def test_refused_by_the_broker_with_a_reason_the_sender_sees(stack, topic, payload, code):
    folder = stack.state / "test-devices"
    if not (folder / "paho-2.crt").exists():
        stack.enroll("paho-2")
    done = run("mosquitto_pub", "-V", "5", "-d", "-q", "1", "-h", "localhost", "-p", stack.ports["devices"],
               "-i", "paho-2", "-t", topic, "-s", "--cafile", stack.state / "ca/service.crt",
               "--cert", folder / "paho-2.crt", "--key", folder / "paho-2.key", input=payload, check=False)
    said = (done.stdout + done.stderr)[-600:]
    assert code in said


def test_a_device_reads_only_its_own(stack, device):
    """Subscribing to everything is granted; delivery is what counts."""
    with Device(stack, "paho-3") as spy:
        spy.client.subscribe([("#", 1), ("fleet/#", 1), ("$SYS/#", 1), (f"fleet/v1/{device.name}/stored", 1)])
        device.publish("telemetry", device.next(uptime_s=2))
        spy.publish("telemetry", spy.next(uptime_s=3))
        device.wait_stored()
        spy.wait_stored()
        topics = {topic for topic, _ in spy.messages}
        assert topics and all(topic.startswith("fleet/v1/paho-3/") for topic in topics), topics


def refused(stack, name, **options):
    device = Device(stack, name, **options)
    try:
        with device:
            return str(device.reason)
    except OSError as error:  # the TLS handshake was refused
        return type(error).__name__


def test_another_devices_certificate_is_refused(stack, device):
    certificate, key, _ = stack.enroll("paho-4")
    assert refused(stack, "paho-4", certificate=certificate, key=key, client_id="paho-1") == "Not authorized"
    assert device.client.is_connected(), "the true owner was not pushed out"


def test_a_device_is_not_a_service(stack):
    certificate, key, _ = stack.enroll("paho-5")
    done = run("mosquitto_pub", "-V", "5", "-q", "1", "-h", "localhost", "-p", stack.ports["services"], "-i", "svc.ingest",
               "-t", "fleet/v1/paho-5/telemetry", "-m", "{}", "--cafile", stack.state / "ca/service.crt",
               "--cert", certificate, "--key", key, check=False)
    assert done.returncode != 0


def test_presence_follows_the_session(stack):
    def presence():
        rows = stack.rows("select presence from device_state where device = 'paho-6'")
        return rows and rows[0][0]

    with Device(stack, "paho-6") as device:
        device.client.publish("fleet/v1/paho-6/status", "online", qos=1, retain=True)
        wait_for(lambda: presence() == "online", "online")
        device.client.publish("fleet/v1/paho-6/status", "offline", qos=1, retain=True)
        wait_for(lambda: presence() == "offline", "offline")
