"""A database that is away for longer than the broker's patience with a silent client: ingest says nothing that would acknowledge
anything, and yet its session holds."""
import contextlib
import os
import pathlib
import signal

import paho.mqtt.client as paho
import pytest

from stack import Device, Stack, run, wait_for

KEEPALIVE_S = 10  # the broker cuts after 15 s of silence: ingest may be held up for 5 s


@pytest.fixture(scope="module")
def stack():
    os.environ["MUSTER_INGEST_BROKER_KEEPALIVE_S"] = str(KEEPALIVE_S)
    try:
        with Stack("test_keepalive", ["--sims", "0", "--no-agent"]) as running:
            yield running
    finally:
        del os.environ["MUSTER_INGEST_BROKER_KEEPALIVE_S"]


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
