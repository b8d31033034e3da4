"""Revoked is revoked: cut at once, never let in again, on a broker that was killed, that lost its list or whose list is damaged;
and who comes back gets nothing that was meant for whoever was there before. Clients: paho, mosquitto_pub, openssl s_client."""
import json
import os
import signal
import subprocess
import time

import pytest

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
    seconds = wait_for(lambda: effect(stack, name), f"the broker to confirm {name}", 20)[0]
    if record_property:
        record_property(f"seconds to effect, {name}", seconds)
    return seconds


def revoke(stack, name, why="lost"):
    assert stack.value("select revoke_device(%s, %s, 'test')", name, why) is True


def restore(stack, name):
    assert stack.value("select restore_device(%s, 'found', 'test')", name) is True


def test_revoked_is_cut_and_stays_out(stack, record_property):
    with Device(stack, "lost-1") as device:
        revoke(stack, "lost-1")
        wait_for(lambda: not device.client.is_connected(), "the session to be cut", 5)
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
