"""Limits at the broker: a device that floods is refused with a reason it sees, the fleet sees it as an event, everybody else
goes on undisturbed, and what was refused gets through later."""
import json
import os
import re
import signal
import time

import pytest

from stack import Device, run, wait_for

LIMITS = {"messages_per_s": 20, "messages_burst": 100, "bytes_per_s": 10_000, "bytes_burst": 400_000,
          "requests_per_s": 1, "requests_burst": 5}


@pytest.fixture(scope="module")
def strict(stack):
    """The stack's own broker, with limits that a test can reach."""
    path = stack.state / "broker/mosquitto.conf"
    text = path.read_text()
    for name, value in LIMITS.items():
        text, count = re.subn(rf"^plugin_opt_{name} \d+$", f"plugin_opt_{name} {value}", text, flags=re.M)
        assert count == 1, f"mosquitto.conf does not set {name}"
    path.write_text(text)
    stack.muster("stack", "restart", "broker")
    with Device(stack, "ready-1") as device:  # ingest is back too
        device.publish("telemetry", device.next(load1=1))
        device.wait_stored(60)
    return stack


def publish_lines(stack, name, topic, lines, port=None, files=None):
    """mosquitto_pub sends each line as a message; the reason codes of the PUBACKs, in order."""
    folder = stack.state / "test-devices"
    files = files or ["--cafile", stack.state / "ca/service.crt", "--cert", folder / f"{name}.crt", "--key", folder / f"{name}.key"]
    done = run("mosquitto_pub", "-V", "5", "-d", "-q", "1", "-h", "localhost", "-p", port or stack.ports["devices"], "-i", name,
               "-t", topic, "-l", *files, input="".join(f"{line}\n" for line in lines))
    return [int(code) for code in re.findall(r"PUBACK \(Mid: \d+, RC:(\d+)\)", done.stdout + done.stderr)]


def exceeded(stack, name):
    return stack.rows("select (body->>'messages')::int, (body->>'bytes')::int, body from event "
                      "where device = %s and type = 'limit.exceeded' order by ts", name)


def readings(stack, name):
    return stack.value("select count(*) from telemetry where device = %s", name)


def test_a_flood_is_refused_visibly_and_disturbs_nobody(strict):
    strict.enroll("flood-1")
    with Device(strict, "calm-1") as calm:
        began = time.monotonic()
        codes = publish_lines(strict, "flood-1", "fleet/v1/flood-1/telemetry", [f'{{"n":{n}}}' for n in range(400)])
        took = time.monotonic() - began
        calm.publish("telemetry", calm.next(load1=1))
        calm.wait_stored(10)
    accepted, refused = codes.count(0), codes.count(135)
    assert accepted + refused == 400
    assert 100 <= accepted <= 100 + 20 * took + 1, f"{accepted} of 400 in {took:.1f} s"
    wait_for(lambda: readings(strict, "flood-1") == accepted, "just the accepted ones to be stored")
    # At least one notice; a second only for what came more than a second after the first refusal, a minute later.
    found = wait_for(lambda: exceeded(strict, "flood-1"), "the event")
    assert len(found) == 1
    messages, size, body = found[0]
    assert 0 < messages <= refused and (took > 0.9 or messages == refused)
    assert size == pytest.approx(messages * len('{"n":250}'), rel=0.2)
    assert (body["messages_per_s"], body["bytes_per_s"]) == (20, 10_000)
    assert not exceeded(strict, "calm-1")


def test_bytes_are_limited_too(strict):
    strict.enroll("flood-2")
    text, began = json.dumps({f"note{i}": "x" * 1000 for i in range(90)}), time.monotonic()
    codes = publish_lines(strict, "flood-2", "fleet/v1/flood-2/telemetry", [text] * 8)
    more = int((time.monotonic() - began) * LIMITS["bytes_per_s"] / len(text)) + 1  # what the time that it took lets in besides
    assert 4 <= codes.count(0) < 4 + more and codes.count(0) + codes.count(135) == 8, "400,000 bytes hold four of these"
    told = wait_for(lambda: exceeded(strict, "flood-2"), "the event")[0][0] if codes.count(135) else 0
    assert 0 < told <= codes.count(135) and (more > 1 or told == 4)


def test_an_array_is_no_way_round(strict):
    strict.enroll("flood-4")
    array, began = json.dumps([{"n": n} for n in range(100)]), time.monotonic()
    codes = publish_lines(strict, "flood-4", "fleet/v1/flood-4/telemetry", [array] * 3)
    took = time.monotonic() - began
    assert codes == [0, 135, 135] or took >= 100 / LIMITS["messages_per_s"], "100 readings at once, and the second array would make 200"
    wait_for(lambda: readings(strict, "flood-4") == 100 * codes.count(0), "the first one")


def test_what_was_refused_is_stored_once_it_comes_again(strict):
    with Device(strict, "flood-3") as device:
        sent = [device.next(n=n) for n in range(150)]

        tried = [0.0]

        def again():
            if time.monotonic() - tried[0] > 1:  # as much as a second allows
                tried[0] = time.monotonic()
                for message in sent[device.stored():][:20]:
                    device.publish("telemetry", message)
            return device.stored() == 150

        broker = strict.pid("broker")
        device.client.max_inflight_messages_set(1000)
        os.kill(broker, signal.SIGSTOP)  # so that they come at once
        try:
            for message in sent:
                device.publish("telemetry", message)
        finally:
            os.kill(broker, signal.SIGCONT)
        wait_for(lambda: exceeded(strict, "flood-3"), "the event")
        wait_for(device.stored, "what was let in to be stored")
        assert device.stored() < 150
        wait_for(again, "all to be stored")
        assert readings(strict, "flood-3") == 150
        assert device.client.is_connected(), "refusing does not cut the session"


def test_only_the_broker_tells_of_limits(strict):
    strict.enroll("forger-1")
    assert publish_lines(strict, "forger-1", "fleet/v1/forger-1/limit", ['{"type":"limit.exceeded"}']) == [135]
    bridge = ["--cafile", strict.state / "ca/service.crt", "--cert", strict.state / "certs/ingest.crt",
              "--key", strict.state / "certs/ingest.key"]
    assert publish_lines(strict, "svc.ingest.forger", "fleet/v1/forger-1/limit", ['{"type":"limit.exceeded"}'],
                         strict.ports["services"], bridge) == [135]
    assert not exceeded(strict, "forger-1")


def test_an_operator_has_a_limit_of_its_own(strict):
    strict.muster("operator", "add", "hasty")
    files = strict.operator_files("hasty")
    requests = ['{"device":"calm-1","action":"ping","ttl_s":5}'] * 12
    began = time.monotonic()
    codes = publish_lines(strict, "op.hasty", "ops/v1/op.hasty/request", requests, strict.ports["services"], files)
    assert 5 <= codes.count(0) <= 6 + time.monotonic() - began and codes.count(0) + codes.count(135) == 12
    # Services are not limited: as many as a flood, all of them taken.
    ingest = ["--cafile", strict.state / "ca/service.crt", "--cert", strict.state / "certs/ingest.crt",
              "--key", strict.state / "certs/ingest.key"]
    codes = publish_lines(strict, "svc.ingest.many", "fleet/v1/calm-1/stored", ["{}"] * 300, strict.ports["services"], ingest)
    assert len(codes) == 300 and all(code < 128 for code in codes)


# ---- ingest's own, behind a broker that does not limit ----
OWN = {"messages_per_s": 10, "messages_burst": 100, "bytes_per_s": 10_000, "bytes_burst": 300_000}


@pytest.fixture(scope="module")
def open_broker(stack):
    """A broker without limits, and an ingest with ones that a test can reach."""
    broker, ingest = stack.state / "broker/mosquitto.conf", stack.state / "conf/ingest.conf"
    text, count = re.subn(r"^plugin_opt_(messages|bytes)_per_s \d+$", r"plugin_opt_\1_per_s 0", broker.read_text(), flags=re.M)
    assert count == 2
    broker.write_text(text)
    ingest.write_text(ingest.read_text() + "limit = { " + "".join(f"{name} = {value}; " for name, value in OWN.items()) + "};\n")
    stack.muster("stack", "restart", "broker")
    stack.muster("stack", "restart", "ingest")
    with Device(stack, "ready-2") as device:
        device.publish("telemetry", device.next(load1=1))
        device.wait_stored(60)
    return stack


def metric(stack, name):
    text = run("curl", "-sS", f"http://localhost:{stack.ports['ingest_metrics']}/metrics").stdout
    return float(re.search(rf"^{name} (\S+)$", text, flags=re.M).group(1))


def test_what_gets_past_the_broker_is_stored_and_told(open_broker):
    with Device(open_broker, "loud-1") as loud, Device(open_broker, "calm-2") as calm:
        began = time.monotonic()
        for n in range(60):
            loud.publish("telemetry", [loud.next(n=n) for _ in range(10)])
        calm.publish("telemetry", calm.next(load1=1))
        loud.wait_stored()
        took = time.monotonic() - began
        calm.wait_stored()
        told = wait_for(lambda: exceeded(open_broker, "loud-1"), "the event")
    assert readings(open_broker, "loud-1") == 600, "nothing is refused"
    assert open_broker.rows("select received, duplicates, contiguous from ledger where device = 'loud-1'") == [(600, 0, 600)]
    assert len(told) == 1
    messages, _, body = told[0]
    assert 0 < messages <= 500 and (took > 0.9 or messages >= 500 - 10 * took - 1)
    assert (body["stored"], body["messages_per_s"], body["bytes_per_s"]) == (True, 10, 10_000)
    assert metric(open_broker, "muster_ingest_limit_exceeded_messages_total") == messages
    assert not exceeded(open_broker, "calm-2")


def test_bytes_that_get_past_the_broker_too(open_broker):
    with Device(open_broker, "loud-2") as loud:
        for _ in range(8):
            loud.publish("telemetry", loud.next(**{f"note{i}": "x" * 1000 for i in range(90)}))
        loud.wait_stored()
        messages, size, _ = wait_for(lambda: exceeded(open_broker, "loud-2"), "the event")[0]
    assert messages == 0 and 0 < size <= 8 * 95_000 - 300_000
    assert readings(open_broker, "loud-2") == 8
