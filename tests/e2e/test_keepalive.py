"""A database that is away for longer than the broker's patience with a silent client: ingest says nothing that would acknowledge
anything, and yet its session holds. And a broker that stands still, which everybody says, and nobody leaves."""
import contextlib
import json
import os
import pathlib
import signal
import time

import paho.mqtt.client as paho
import pytest

from stack import Device, Stack, run, wait_for

PARTS = ("bridge", "commander", "ingest")
KEEPALIVE_S = 10  # the broker cuts after 15 s of silence: ingest may be held up for 5 s


@pytest.fixture(scope="module")
def stack():
    os.environ["MUSTER_INGEST_BROKER_KEEPALIVE_S"] = str(KEEPALIVE_S)
    for part in PARTS:
        os.environ[f"MUSTER_{part.upper()}_BROKER_SILENT_S"] = "1"
    try:
        with Stack("test_keepalive", ["--sims", "0", "--no-agent"]) as running:
            yield running
    finally:
        del os.environ["MUSTER_INGEST_BROKER_KEEPALIVE_S"]
        for part in PARTS:
            del os.environ[f"MUSTER_{part.upper()}_BROKER_SILENT_S"]


def children(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextlib.contextmanager
def stopped(pids):
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def is_blocked(stack):
    """Ingest answers nobody while it waits for the database within a transaction."""
    port = stack.ports["ingest_metrics"]
    return run("curl", "-sS", "-o", "/dev/null", "--max-time", "0.5", f"http://localhost:{port}/health", check=False).returncode == 28


def outlast(device):
    """Until the broker has cut a client with ingest's keepalive that fell silent after CONNECT."""
    reasons = []
    mute = paho.Client(device.name, protocol=paho.MQTTv5)
    mute.tls_set_context(device.tls)
    mute.on_disconnect = lambda client, userdata, reason, properties=None: reasons.append(reason)
    mute.connect("localhost", device.port, keepalive=KEEPALIVE_S)
    wait_for(lambda: mute.loop_read() or reasons, "the broker to cut a silent client")


def log(stack, part):
    return (stack.state / f"log/{part}.log").read_text(errors="replace")


def sessions(stack):
    """How often ingest has connected, and how often it lost its connection."""
    return log(stack, "broker").count(" as svc.ingest ("), log(stack, "ingest").count("broker.disconnected")


def test_the_session_outlasts_the_database(stack):
    silent = Device(stack, "silent-1")  # enrolled only; outlast() speaks for it
    with Device(stack, "patient-1") as device:
        device.publish("telemetry", device.next(n=0))
        device.wait_stored()
        before, stored = sessions(stack), device.stored()
        assert before[0] > 0
        postmaster = stack.pid("postgres")
        backends = [pid for pid, in stack.rows("select pid from pg_stat_activity where usename = 'muster_ingest'")]
        with stopped([postmaster, *children(postmaster)]):
            device.publish("telemetry", device.next(n=1))
            wait_for(lambda: is_blocked(stack), "ingest to wait for the database")
            outlast(silent)
            device.publish("telemetry", device.next(n=2))
            # Now without a connection that would make it wait, trying to make one.
            for pid in backends:
                os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)
            wait_for(lambda: "database.commit" in log(stack, "ingest"), "ingest to lose the database")
            outlast(silent)
            device.publish("telemetry", device.next(n=3))
            assert device.stored() == stored, "nothing was acknowledged"
        device.wait_stored(60)
        assert sessions(stack) == before
    # A session that was cut would have had its batch delivered again.
    assert stack.rows("select received, duplicates, contiguous from ledger where device = 'patient-1'") == [(4, 0, 4)]
    assert stack.value("select count(*) from telemetry where device = 'patient-1'") == 4


def troubled(stack):
    """On the overview: which part says what."""
    key = (stack.state / "api-token").read_text().strip()
    answer = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", "-H", f"Authorization: Bearer {key}",
                 f"https://localhost:{stack.ports['dashboard']}/api/v1/overview").stdout
    return {part["part"]: part["why"] for part in json.loads(answer).get("system", {"troubled": [{"part": "", "why": ""}]})["troubled"]}


def silent(stack, part):
    port = stack.ports["bridge"] if part == "bridge" else stack.ports[f"{part}_metrics"]
    scheme = "https" if part == "bridge" else "http"
    text = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", f"{scheme}://localhost:{port}/metrics").stdout
    return next(line.split()[1] for line in text.splitlines() if line.startswith("muster_broker_silent ")) == "1"


def test_a_broker_that_stands_still_is_said_and_not_left(stack):
    wait_for(lambda: troubled(stack) == {}, "all to be well")
    before = {part: log(stack, part).count("broker.away") for part in ("bridge", "commander")}
    seen = stack.value("select max(seen_at) from ingest_sight")
    began = time.monotonic()
    with stopped([stack.pid("broker")]):
        wait_for(lambda: [why for why in troubled(stack).values() if "does not answer" in why] and set(troubled(stack)) >= set(PARTS),
                 "every part to say that the broker does not answer")
        assert silent(stack, "commander") and silent(stack, "bridge")
        said = stack.muster("status").stdout
        assert "not well: bridge, commander" in said and "the broker does not answer" in said
    took_s = time.monotonic() - began
    wait_for(lambda: troubled(stack) == {}, "all to be well again")
    assert not any(silent(stack, part) for part in PARTS)
    assert stack.muster_json("status")["troubled"] == [] and "not well" not in stack.muster("status").stdout
    # Their keepalive is a minute: they stayed, unless all this took that long. Ingest, here with a shorter one, may have had to go.
    assert took_s > 30 or before == {part: log(stack, part).count("broker.away") for part in ("bridge", "commander")}
    wait_for(lambda: stack.value("select max(seen_at) from ingest_sight") > seen, "devices to be seen again")
