"""Who gets in where, with openssl s_client and mosquitto_pub: TLS versions, certificates that do not hold, names that are
none, one certificate in two places, and no port that needs not be open."""
import os
import pathlib
import subprocess

import pytest
from stack import Device, run, wait_for
from x509 import PRINTABLE, forge

TLS_PORTS = ("devices", "services", "websockets", "console", "bridge", "dashboard")
WITH_CERTIFICATES = ("devices", "services", "websockets", "bridge")


def s_client(stack, port, *arguments):
    """A handshake, and what the server says to it within a moment: (done, output)."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"localhost:{stack.ports[port]}", "-CAfile", str(stack.state / "ca/service.crt"),
         "-verify_return_error", *map(str, arguments)],
        input=b"", capture_output=True, timeout=180)
    text = (done.stdout + done.stderr).decode(errors="replace")
    return done.returncode == 0 and "Cipher is (NONE)" not in text and "alert" not in text, text


@pytest.fixture(scope="module")
def good(stack):
    """A certificate that holds for each kind of port: of a device, and of an operator."""
    certificate, key, _ = stack.enroll("door-1")
    stack.muster("operator", "add", "olga")
    operator = stack.state / "operators/olga.crt", stack.state / "operators/olga.key"
    return {"devices": (certificate, key), "bridge": (certificate, key), "services": operator, "websockets": operator}


@pytest.mark.parametrize("port", TLS_PORTS)
def test_tls_before_1_2_is_refused(stack, good, port):
    shown = ("-cert", good[port][0], "-key", good[port][1]) if port in good else ()
    for version in ("-tls1", "-tls1_1"):
        accepted, text = s_client(stack, port, version, "-cipher", "ALL:@SECLEVEL=0", *shown)
        assert not accepted, text
    for version in ("-tls1_2", "-tls1_3"):  # negative control: the same call gets in
        accepted, text = s_client(stack, port, version, *shown)
        assert accepted, text


def bad_certificates(stack, port):
    """label: (certificate, key) for each way of being wrong."""
    kind = "device" if port in ("devices", "bridge") else "service"
    name = b"door-2" if kind == "device" else b"op.olga"
    ca, key = stack.state / f"ca/{kind}.crt", stack.state / f"ca/{kind}.key"
    folder = stack.state / "test-devices"
    foreign = folder / f"foreign-{port}.crt", folder / f"foreign-{port}.key"
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "5",
        "-subj", f"/CN=Muster {kind} CA", "-keyout", foreign[1], "-out", foreign[0])
    other = "service" if kind == "device" else "device"

    def made(label, **options):
        return forge(ca, key, folder, f"{label}-{port}", name, **options)

    return {
        "foreign": forge(*foreign, folder, f"of-foreign-{port}", name),
        "self-signed": foreign,
        "of the other CA": forge(stack.state / f"ca/{other}.crt", stack.state / f"ca/{other}.key", folder,
                                 f"other-{port}", name),
        "expired": made("expired", start=-9, end=-1),
        "not yet valid": made("early", start=1, end=9),
        "for servers": made("usage", usage="server"),
    }


@pytest.mark.parametrize("port", WITH_CERTIFICATES)
def test_certificates_that_do_not_hold_are_refused(stack, good, port):
    if port != "bridge":  # where one may be shown, but need not
        accepted, text = s_client(stack, port, "-tls1_2")
        assert not accepted, text
    for why, (certificate, key) in bad_certificates(stack, port).items():
        accepted, text = s_client(stack, port, "-tls1_2", "-cert", certificate, "-key", key)
        assert not accepted, f"{why} on {port}: {text}"
    # Negative control: one made in the same way, without a fault, passes TLS.
    kind = "device" if port in ("devices", "bridge") else "service"
    certificate, key = forge(stack.state / f"ca/{kind}.crt", stack.state / f"ca/{kind}.key", stack.state / "test-devices",
                             f"sound-{port}", b"door-3")
    accepted, text = s_client(stack, port, "-tls1_2", "-cert", certificate, "-key", key)
    assert accepted, text


def publish(stack, certificate, key, client_id, port="devices", topic="fleet/v1/door-4/telemetry"):
    return subprocess.run(
        ["mosquitto_pub", "-V", "5", "-d", "-q", "1", "-h", "localhost", "-p", str(stack.ports[port]), "-i", client_id,
         "-t", topic, "-m", '{"load1":1}', "--cafile", str(stack.state / "ca/service.crt"), "--cert", str(certificate),
         "--key", str(key)], capture_output=True, timeout=180)


HOSTILE = {
    "plus": (b"+", "+"), "hash": (b"#", "#"), "slash": (b"fleet/v1", "fleet/v1"), "nul": (b"door-4\0x", "door-4"),
    "nul first": (b"\0door-4", "door-4"), "1 kB": (b"a" * 1024, "a" * 1024), "64 bytes": (b"a" * 64, "a" * 64),
    "broken UTF-8": (b"door-4\xff\xfe", "door-4"), "upper case": (b"Door-4", "Door-4"), "empty": (b"", "door-4"),
    "service": (b"svc.ingest", "svc.ingest"), "operator": (b"op.olga", "op.olga"), "space": (b"door-4 ", "door-4"),
}


@pytest.mark.parametrize("label", HOSTILE)
def test_names_that_are_none(stack, label):
    name, client_id = HOSTILE[label]
    ca = stack.state / "ca/device.crt", stack.state / "ca/device.key"
    certificate, key = forge(*ca, stack.state / "test-devices", f"hostile-{label.replace(' ', '-')}", name,
                             name_type=PRINTABLE if label == "upper case" else 0x0C)
    done = publish(stack, certificate, key, client_id)
    assert done.returncode != 0, done.stdout
    for topic in ("+", "#", "$SYS/#"):
        assert publish(stack, certificate, key, client_id, topic=topic.replace("+", "x").replace("#", "x")).returncode != 0
    assert stack.value("select count(*) from telemetry where device like 'door-4%%'") == 0
    assert stack.value("select count(*) from quarantine where topic like 'fleet/v1/door-4%%'") == 0


def test_the_same_forging_with_a_sound_name_gets_in(stack):
    """Negative control of the above."""
    ca = stack.state / "ca/device.crt", stack.state / "ca/device.key"
    certificate, key = forge(*ca, stack.state / "test-devices", "sound", b"door-5")
    assert publish(stack, certificate, key, "door-5", topic="fleet/v1/door-5/telemetry").returncode == 0


@pytest.mark.parametrize("client_id", ["door-6", "door-1.x", "svc.ingest", "op.olga", "DOOR-1", "door-1 ", ""])
def test_a_client_id_other_than_the_name(stack, good, client_id):
    with Device(stack, "door-6b"):
        done = publish(stack, *good["devices"], client_id, topic="fleet/v1/door-1/telemetry")
    assert done.returncode != 0, done.stdout


def test_one_certificate_in_two_places(stack, good):
    """MQTT 5 section 3.1.4: the newer session ends the older, so that there are never two at once."""
    certificate, key = good["devices"]
    with Device(stack, "door-1", certificate, key) as first:
        first.client.reconnect_delay_set(60, 60)
        lost = []
        first.client.on_disconnect = lambda client, userdata, reason, properties=None: lost.append(reason)
        with Device(stack, "door-1", certificate, key) as second:
            wait_for(lambda: lost, "the older session to be ended")
            wait_for(lambda: "Client door-1 already connected, closing old connection" in (stack.state / "log/broker.log").read_text(),
                     "the broker to tell why")
            second.publish("telemetry", second.next(uptime_s=1))
            second.wait_stored()


def test_no_port_is_open_that_needs_not_be(stack):
    """Of all processes of the stack, judged by the kernel: the ports that `muster up` tells, and PostgreSQL on none."""
    pids = {str(stack.pid(part)) for part in ("broker", "postgres", "ingest", "commander", "bridge", "dashboard")}
    inodes = set()
    for pid in pids:
        for descriptor in pathlib.Path(f"/proc/{pid}/fd").iterdir():
            try:
                target = os.readlink(descriptor)
            except OSError:
                continue
            if target.startswith("socket:["):
                inodes.add(target[8:-1])
    listening = {}
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in pathlib.Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            address, port = fields[1].rsplit(":", 1)
            # TCP_LISTEN; a UDP socket without a peer takes from anybody.
            if fields[9] in inodes and (fields[3] == "0A" if table.startswith("tcp") else int(fields[2].split(":")[1], 16) == 0):
                listening[int(port, 16)] = (table, address)
    assert set(listening) == set(stack.ports.values()), listening
    loopback = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")
    assert all(address in loopback for _, address in listening.values()), listening


# ---- every device against every other, judged by delivery ----

VICTIM_TOPICS = ("status", "telemetry", "event", "inventory/hardware", "result", "stream/a", "csr", "stored", "command",
                 "config", "certificate", "limit")


def test_what_a_device_publishes_elsewhere_reaches_nobody(stack):
    with Device(stack, "victim-1") as victim, Device(stack, "thief-1") as thief:
        victim.client.subscribe([(f"fleet/v1/victim-1/{kind}", 1) for kind in VICTIM_TOPICS])
        for kind in VICTIM_TOPICS:
            for retain in (False, True):
                thief.client.publish(f"fleet/v1/victim-1/{kind}", '{"load1":66.625}', qos=1, retain=retain)
        for topic in ("$SYS/x", "$CONTROL/muster/v1", "$share/g/fleet/v1/victim-1/command", "svc/v1/svc.bridge/x",
                      "ops/v1/op.olga/reply"):
            thief.client.publish(topic, '{"op":"revoke","device":"victim-1"}', qos=1)
        thief.publish("telemetry", thief.next(uptime_s=1))
        thief.wait_stored()  # behind all of these
        victim.publish("telemetry", victim.next(uptime_s=1))
        victim.wait_stored()
        assert all(b"66.625" not in payload for _, payload in victim.messages), victim.messages
        assert victim.client.is_connected(), "not revoked"
    assert stack.value("select count(*) from telemetry where device = 'victim-1' and load1 = 66.625") == 0
    assert stack.value("select count(*) from quarantine where device = 'victim-1'") == 0
    # What was retained, nobody finds: not even a service that may read it.
    files = ["--cafile", stack.state / "ca/service.crt", "--cert", stack.state / "certs/ingest.crt", "--key",
             stack.state / "certs/ingest.key"]
    kept = run("mosquitto_sub", "-V", "5", "-h", "localhost", "-p", stack.ports["services"], "-i", "svc.ingest.look", *files,
               "-t", "fleet/v1/victim-1/#", "--retained-only", "-W", "2", check=False)
    assert "66.625" not in kept.stdout


def test_a_will_on_anothers_topic_is_not_delivered(stack):
    stack.enroll("thief-2")
    folder = stack.state / "test-devices"
    with Device(stack, "victim-2") as victim:
        victim.client.subscribe([("fleet/v1/victim-2/command", 1), ("fleet/v1/victim-2/status", 1)])
        for topic in ("fleet/v1/victim-2/status", "fleet/v1/victim-2/command"):
            thief = Device(stack, "thief-2", folder / "thief-2.crt", folder / "thief-2.key")
            thief.client.will_set(topic, "offline", qos=1, retain=True)
            with thief:
                thief.client._sock_close()  # without DISCONNECT: the broker is to publish the will
        with Device(stack, "thief-2", folder / "thief-2.crt", folder / "thief-2.key") as again:
            again.publish("telemetry", again.next(uptime_s=1))
            again.wait_stored()
        victim.publish("telemetry", victim.next(uptime_s=2))
        victim.wait_stored()
        assert not [topic for topic, payload in victim.messages if payload == b"offline"], victim.messages


def test_what_a_device_subscribes_elsewhere_is_not_delivered(stack):
    filters = ["#", "+/+/+/+", "fleet/v1/victim-3/#", "$share/spies/fleet/v1/#", "$share/spies/#", "$SYS/#", "$CONTROL/#",
               "ops/#", "svc/#", "fleet/v1/+/command", "fleet/v1/victim-3/stored"]
    with Device(stack, "victim-3") as victim, Device(stack, "spy-3") as spy:
        spy.client.subscribe([(filter, 1) for filter in filters])
        victim.client.publish("fleet/v1/victim-3/status", "online", qos=1, retain=True)
        victim.publish("event", victim.next(type="boot"))
        victim.publish("telemetry", victim.next(load1=0.5))
        victim.wait_stored()
        stack.muster("command", "send", "victim-3", "ping")
        wait_for(lambda: victim.received("command"), "the victim's command")
        spy.publish("telemetry", spy.next(uptime_s=1))
        spy.wait_stored()
        topics = {topic for topic, _ in spy.messages}
        assert topics and all(topic.startswith("fleet/v1/spy-3/") for topic in topics), topics
