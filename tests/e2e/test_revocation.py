"""Revoked is revoked: cut at once, never let in again, on a broker that was killed, that lost its list or whose list is damaged;
and who comes back gets nothing that was meant for whoever was there before. Clients: paho, mosquitto_pub, openssl s_client."""
import base64
import json
import os
import signal
import subprocess
import threading
import time

import pytest
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from stack import Device, run, wait_for

STACK_ARGS = ["--sims", "0", "--no-agent"]


def try_login(stack, name, certificate=None, key=None):
    """mosquitto_pub: True when the broker let it in, False when it was told that it may not."""
    folder = stack.state / "test-devices"
    done = run("mosquitto_pub", "-V", "5", "-d", "-q", "1", "-h", "localhost", "-p", stack.ports["devices"], "-i", name,
               "-t", f"fleet/v1/{name}/event", "-m", '{"type":"tried"}', "--cafile", stack.state / "ca/service.crt",
               "--cert", certificate or folder / f"{name}.crt", "--key", key or folder / f"{name}.key", check=False)
    said = done.stdout + done.stderr
    if done.returncode == 0 and "PUBACK" in said:
        return True
    assert "not authorised" in said.lower() or "not authorized" in said.lower(), said
    return False


def list_path(stack):
    return stack.state / "broker/revoked"


def effect(stack, name):
    """Seconds from the latest request about this name until the broker had it."""
    rows = stack.rows("select e.seconds from revocation_effect e join revocation r using (change) where r.name = %s", name)
    return rows and (rows[0][0],)


def wait_effect(stack, name, record_property=None):
    seconds = wait_for(lambda: effect(stack, name), f"the broker to confirm {name}")[0]
    if record_property:
        record_property(f"seconds to effect, {name}", seconds)
    return seconds


def revoke(stack, name, why="lost"):
    assert stack.value("select revoke_device(%s, %s, 'test')", name, why) is True


def restore(stack, name):
    assert stack.value("select restore_device(%s, 'found', 'test')", name) is True


def test_revoked_is_cut_and_stays_out(stack, record_property):
    with Device(stack, "lost-1") as device:
        cut = threading.Event()
        device.client.on_disconnect = lambda *_: cut.set()
        revoke(stack, "lost-1")
        wait_for(cut.is_set, "the session to be cut")
        wait_effect(stack, "lost-1", record_property)
    assert not try_login(stack, "lost-1")
    assert "device lost-1\n" in list_path(stack).read_text()


def test_restored_comes_back(stack):
    stack.enroll("found-1")
    assert try_login(stack, "found-1")
    revoke(stack, "found-1")
    wait_effect(stack, "found-1")
    assert not try_login(stack, "found-1")
    restore(stack, "found-1")
    wait_effect(stack, "found-1")
    assert try_login(stack, "found-1")


def test_a_killed_broker_has_not_forgotten(stack):
    stack.enroll("lost-2")
    revoke(stack, "lost-2")
    wait_effect(stack, "lost-2")
    stack.kill("broker")
    wait_for(lambda: try_login_or_none(stack, "lost-2") is False, "the broker to refuse again")


def try_login_or_none(stack, name):
    """None while the broker does not answer."""
    try:
        return try_login(stack, name)
    except AssertionError:
        return None


@pytest.mark.parametrize("damage", ["missing", "torn", "unreadable", "a line taken out"])
def test_a_lost_list_lets_nobody_in_and_is_brought_back(stack, damage):
    name = f"lost-{damage.replace(' ', '-')}"
    stack.enroll(name)
    stack.enroll(f"good-{damage.replace(' ', '-')}")
    revoke(stack, name)
    wait_effect(stack, name)
    path = list_path(stack)
    commander = stack.pid("commander")
    os.kill(commander, signal.SIGSTOP)  # nobody brings it back
    try:
        text = path.read_text()
        if damage == "missing":
            path.unlink()
        elif damage == "torn":
            path.write_text(text[:text.index(f"device {name}") + 9])
        elif damage == "unreadable":
            path.unlink()
            path.mkdir()
        else:
            path.write_text(text.replace(f"device {name}\n", ""))
        if damage != "a line taken out":
            assert not try_login(stack, name)
            assert not try_login(stack, f"good-{damage}"), "nobody can tell who stood in the list"
        if damage == "unreadable":
            path.rmdir()
    finally:
        os.kill(commander, signal.SIGCONT)
    wait_for(lambda: path.exists() and f"device {name}\n" in path.read_text(), "the list to be whole again")
    assert not try_login(stack, name)
    wait_for(lambda: try_login(stack, f"good-{damage.replace(' ', '-')}"), "the others to be let in again")


def test_a_broker_that_was_away_catches_up(stack):
    """What was revoked while the broker was down holds from its first moment of service to commander on; a hundred at once go as
    one list."""
    names = [f"many-{n}" for n in range(120)]
    stack.rows("insert into device (device) select unnest(%s::text[]) returning 1", names)
    stack.enroll("lost-3")
    os.kill(stack.pid("broker"), signal.SIGSTOP)
    try:
        revoke(stack, "lost-3")
        stack.rows("select revoke_device(device, 'all of them', 'test') from device where device like 'many-%%'")
    finally:
        stack.kill("broker")
    wait_effect(stack, "lost-3")
    assert not try_login(stack, "lost-3")
    listed = set(list_path(stack).read_text().splitlines())
    assert {f"device {name}" for name in names} <= listed


def test_revoked_while_commander_is_away(stack):
    stack.enroll("lost-4")
    os.kill(stack.pid("commander"), signal.SIGSTOP)
    try:
        revoke(stack, "lost-4")
        assert try_login(stack, "lost-4"), "the control: without commander nothing comes of it yet"
    finally:
        stack.kill("commander")
    wait_effect(stack, "lost-4")
    assert not try_login(stack, "lost-4")


def test_cli_revokes_and_restores(stack):
    stack.enroll("till-9")
    refused = stack.muster("device", "revoke", "till-9", check=False, stdin=subprocess.DEVNULL)
    assert refused.returncode == 1 and "--yes" in refused.stderr
    said = stack.muster_json("device", "revoke", "till-9", "--reason", "stolen in Ulm", "--yes")
    assert said["revoked"] and said["effects"][0]["cell"] == 1 and said["effects"][0]["seconds"] < 180
    assert not try_login(stack, "till-9")
    shown = stack.muster("device", "show", "till-9").stdout
    assert "Revoked" in shown and "by admin: stolen in Ulm" in shown and "in effect in cell 1 after" in shown
    assert "revoked" in [line for line in stack.muster("device", "list").stdout.splitlines() if line.startswith("till-9")][0]
    assert "stolen in Ulm" in stack.muster("revocation", "list").stdout
    assert [item for item in stack.muster_json("revocation", "list")["items"] if item["name"] == "till-9"]
    again = stack.muster_json("device", "revoke", "till-9", "--yes")
    assert again["change"] == said["change"], "once"
    restored = stack.muster_json("device", "restore", "till-9")
    assert not restored["revoked"]
    assert try_login(stack, "till-9")
    assert stack.muster("device", "revoke", "nobody-1", "--yes", check=False).returncode == 3
    actions = [row[0] for row in stack.rows("select action from audit where target = 'till-9' order by id")]
    assert actions == ["device.revoke", "device.restore"]


def test_only_administrators_restore(stack):
    stack.enroll("till-8")
    stack.muster("user", "add", "olga", "--role", "operator")
    link = stack.muster_json("login-link", "olga")["login_link"]
    jar = stack.state / "jar"
    base = link.split("/login#")[0]
    curl = ["curl", "-sS", "--cacert", stack.state / "ca/service.crt", "-b", jar, "-c", jar, "-H", f"Origin: {base}",
            "-H", "Content-Type: application/json", "-o", "/dev/null", "-w", "%{http_code}"]
    assert run(*curl, "-d", json.dumps({"link": link.split("#")[1]}), f"{base}/api/v1/session").stdout in ("200", "201")
    assert run(*curl, "-d", '{"reason":"x"}', f"{base}/api/v1/devices/till-8/revoke").stdout == "200"
    assert run(*curl, "-d", "{}", f"{base}/api/v1/devices/till-8/restore").stdout == "403"
    assert run(*curl, "-d", '{"reason":7}', f"{base}/api/v1/devices/till-8/revoke").stdout == "422"


@pytest.mark.parametrize("revoked", [False, True], ids=["in use", "revoked"])
def test_who_enrols_again_gets_none_of_the_old_commands(stack, revoked):
    name = f"again-{int(revoked)}"
    old_certificate, old_key, _ = stack.enroll(name)
    old_certificate = old_certificate.rename(old_certificate.with_suffix(".old"))
    old_key = old_key.rename(old_key.with_suffix(".oldkey"))
    with Device(stack, name, old_certificate, old_key):
        pass  # has a session now, in which what comes waits
    first = stack.muster_json("command", "send", name, "ping")["id"]
    second = stack.muster_json("command", "send", name, "ping")["id"]
    wait_for(lambda: stack.value("select state from command where id = %s", first) == "sent", "the first one to be sent")
    if revoked:
        revoke(stack, name)
        wait_effect(stack, name)
    certificate, key, _ = stack.enroll(name)
    with Device(stack, name, certificate, key) as device:  # at once, with the same persistent session
        device.client.publish(f"fleet/v1/{name}/status", "online", qos=1, retain=True)
        wait_for(lambda: {row[0] for row in stack.rows("select state from command where device = %s", name)} == {"cancelled"},
                 "both to be cancelled")
        assert stack.rows("select distinct reason from command where device = %s", name) == [("the device was enrolled again",)]
        third = stack.muster_json("command", "send", name, "ping")["id"]
        wait_for(lambda: device.received("command"), "the new one")
        claims = [json.loads(decode(jws)) for jws in device.received("command")]
        assert {claim["jti"] for claim in claims} == {third}, f"{first} and {second} are not for it"
    assert not try_login(stack, name, old_certificate, old_key)
    assert try_login(stack, name, certificate, key)


def decode(jws):
    body = jws.split(b".")[1]
    return base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4))


def test_a_command_that_waits_survives_a_renewed_connection(stack):
    """The control of the test above: without a new enrolment, what waits in the session comes."""
    certificate, key, _ = stack.enroll("patient-1")
    with Device(stack, "patient-1", certificate, key):
        pass
    sent = stack.muster_json("command", "send", "patient-1", "ping")["id"]
    wait_for(lambda: stack.value("select state from command where id = %s", sent) == "sent", "it to be sent")
    os.kill(stack.pid("commander"), signal.SIGSTOP)  # so that it comes from the session, not again from commander
    try:
        with Device(stack, "patient-1", certificate, key) as device:
            wait_for(lambda: device.received("command"), "the command")
    finally:
        os.kill(stack.pid("commander"), signal.SIGCONT)


def test_a_token_of_no_device_does_not_bring_a_revoked_one_back(stack):
    stack.enroll("gone-1")
    revoke(stack, "gone-1")
    wait_effect(stack, "gone-1")
    _, csr = stack.csr("gone-1-thief")
    status, answer = stack.post("/v1/enroll", {"token": stack.token(), "csr": csr, "device": "gone-1"})
    assert status == 409, answer
    assert not try_login(stack, "gone-1")


def test_enrolment_again_waits_for_the_broker(stack):
    stack.enroll("held-1")
    _, csr = stack.csr("held-1")
    token = stack.token("--device", "held-1")
    os.kill(stack.pid("commander"), signal.SIGSTOP)
    try:
        status, answer = stack.post("/v1/enroll", {"token": token, "csr": csr})
        assert status == 503 and "same key" in answer["detail"]
    finally:
        os.kill(stack.pid("commander"), signal.SIGCONT)
    status, answer = wait_for(lambda: (done := stack.post("/v1/enroll", {"token": token, "csr": csr}))[0] != 503 and done, "the broker")
    assert status == 200 and answer["device"] == "held-1"


def test_five_sessions_on_another_machine_disable(stack, record_property):
    certificate, key, _ = stack.enroll("moved-1")
    own, other = "a" * 64, "b" * 64
    # From where it came is what the broker saw, whatever else it says.
    from_elsewhere = Properties(PacketTypes.PUBLISH)
    from_elsewhere.UserProperty = [("peer", "203.0.113.9")] * 12

    def hello(fingerprint):
        with Device(stack, "moved-1", certificate, key) as device:
            cut = threading.Event()
            device.client.on_disconnect = lambda *_: cut.set()
            device.publish("event", {"type": "hello", "epoch": device.epoch, "fingerprint": fingerprint}, from_elsewhere)
            if fingerprint == own:
                wait_for(lambda: bound("moved-1") == own, "the hello's row")
                assert not cut.is_set()
                return True
            wait_for(cut.is_set, "the session to be cut")
            return False

    def bound(name):
        return stack.value("select fingerprint from device where device = %s", name)

    def count():
        return stack.value("select mismatches from device where device = 'moved-1'")

    assert hello(own)  # binds
    for n in range(1, 6):
        assert stack.value("select enabled from device where device = 'moved-1'")
        wait_for(lambda: stack.value("select coalesce(mismatch_at < now() - interval '1 second', true) from device"
                                     " where device = 'moved-1'"), "the last one to be a second ago")
        assert hello(other) is False
        wait_for(lambda: count() == n, f"mismatch {n} to be counted")
    wait_effect(stack, "moved-1", record_property)
    assert not try_login(stack, "moved-1")
    assert bound("moved-1") == own
    events = stack.rows("select body->>'said', (body->>'count')::int from event where device = 'moved-1'"
                        " and type = 'fingerprint.mismatch' order by 2")
    assert events == [(other, n) for n in range(1, 6)]
    seen = stack.muster_json("device", "show", "moved-1")
    assert seen["mismatch_peer"] in ("127.0.0.1", "::1")
    assert [(one["count"], one["peer"]) for one in seen["mismatch_history"]] == [(n, seen["mismatch_peer"]) for n in range(5, 0, -1)]
    shown = stack.muster("device", "show", "moved-1").stdout
    assert "5 times it said to be another machine" in shown and f"from {seen['mismatch_peer']}" in shown and "by ingest" in shown


def test_openssl_client_is_cut_too(stack):
    """A session of raw TLS and bytes, so that nothing a library does on its own can stand in for the cut."""
    certificate, key, _ = stack.enroll("raw-1")
    connect = bytes.fromhex("00044d51545404020000") + b"\x00\x05raw-1"
    packet = bytes([0x10, len(connect)]) + connect
    client = subprocess.Popen(
        ["openssl", "s_client", "-quiet", "-connect", f"localhost:{stack.ports['devices']}", "-CAfile",
         str(stack.state / "ca/service.crt"), "-cert", str(certificate), "-key", str(key)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        client.stdin.write(packet)
        client.stdin.flush()
        assert client.stdout.read(4) == bytes.fromhex("20020000"), "CONNACK 0"
        begin = time.monotonic()
        revoke(stack, "raw-1")
        assert client.stdout.read(1) == b"", "the end of the stream"
        assert time.monotonic() - begin < 180
        client.wait(180)
    finally:
        client.kill()
        client.wait()
