"""security.md 14, 15 and 17, against the real agent over the real broker: what an attacker who can publish on a device's command
topic, or who has copies of old commands, can have done there. (16 is in test_signing.py; every single bit is flipped in
unit.common.command.) The witness is a file that the device's action writes.
"""
import contextlib
import json
import random
import shutil
import sqlite3
import ssl
import time

import paho.mqtt.client as paho
import pytest
from agent import Agent
from signing import SIGNERS, Key, b64, claims, compact, unb64
from stack import wait_for

FLIPS = 400


class Attacker:
    """Publishes with commander's own certificate, which is more than an attacker has."""

    def __init__(self, stack, device):
        self.topic = f"fleet/v1/{device}/command"
        self.client = paho.Client(f"svc.commander.{device}", protocol=paho.MQTTv5)
        context = ssl.create_default_context(cafile=str(stack.state / "ca/service.crt"))
        context.load_cert_chain(str(stack.state / "certs/commander.crt"), str(stack.state / "certs/commander.key"))
        self.client.tls_set_context(context)
        self.client.connect("localhost", stack.ports["services"])
        self.client.loop_start()

    def send(self, *payloads):
        sent = [self.client.publish(self.topic, payload, qos=1) for payload in payloads]
        wait_for(lambda: all(one.is_published() for one in sent), "the broker to have it all")

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


class Target(Agent):
    """An agent whose reboot leaves a mark instead."""

    def __init__(self, stack, name):
        self.marker = stack.state / f"marker-{name}"
        script = f"echo x >> {self.marker}"
        super().__init__(stack, name, f'reboot_command = [ "/bin/sh", "-c", "{script}" ];')
        self.key, self.n = Key(stack.state / "keys/command.pem"), int(time.time() * 1000)

    def effects(self):
        return self.marker.read_text().count("x") if self.marker.exists() else 0

    def signed(self, action="reboot", **members):
        self.n += 1
        return self.key.command(members.pop("device", self.name), members.pop("n", self.n), action, **members)

    def said(self, jws):
        """What it answered to this command, in order."""
        return [row[0] for row in self.results(claims(jws)["jti"])]

    def wait_said(self, jws, states):
        try:
            wait_for(lambda: self.said(jws)[-len(states):] == states, f"{states} in answer")
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.results(claims(jws)['jti'])}, {self.refusals()[-3:]}") from None

    def counter(self):
        with contextlib.closing(sqlite3.connect(self.state / "outbox.db", timeout=180)) as outbox:
            return int(dict(outbox.execute("select name, value from value"))["counter"])


@pytest.fixture(scope="module")
def target(stack):
    with Target(stack, "kiosk-1") as agent:
        wait_for(lambda: stack.rows("select from device_state where device = 'kiosk-1' and presence = 'online'"), "the agent")
        yield agent


@pytest.fixture(scope="module")
def attacker(stack, target):
    one = Attacker(stack, target.name)
    yield one
    one.stop()


def obeys(target, attacker):
    """The control: what is right is obeyed, once."""
    before = target.effects()
    jws = target.signed()
    attacker.send(jws)
    target.wait_said(jws, ["accepted", "running", "succeeded"])
    assert target.effects() == before + 1
    return jws


def test_14_flipped_bits_over_the_broker(stack, target, attacker):
    before, jws = target.effects(), target.signed()
    picked = random.Random(14).sample(range(8 * len(jws)), FLIPS)
    altered = []
    for bit in picked:
        flipped = bytearray(jws.encode())
        flipped[bit // 8] ^= 1 << bit % 8
        altered.append(bytes(flipped))
    attacker.send(*altered, jws[:-1], jws + "A", jws[: len(jws) // 2], "", "..", jws.replace(".", ".."), "x" * 70_000)
    attacker.send(jws)  # in order, so whatever came before is decided by then
    target.wait_said(jws, ["accepted", "running", "succeeded"])
    assert target.effects() == before + 1
    assert target.refusals(), "it says that it was attacked"


def altered(jws, head=None, body=None):
    """The same signature over something else."""
    first, second, signature = jws.split(".")
    first = b64(compact(json.loads(unb64(first)) | head)) if head else first
    second = b64(compact(json.loads(unb64(second)) | body)) if body else second
    return ".".join((first, second, signature))


def test_14_another_device_key_type_or_algorithm(stack, target, attacker, tmp_path):
    before = target.effects()
    mallory = Key.new(tmp_path / "mallory.pem")
    good = target.signed()
    attacker.send(
        target.signed(device="kiosk-2"), altered(good, body={"sub": "kiosk-2"}), altered(good, body={"n": target.n + 5}),
        altered(good, body={"action": "ping"}), altered(good, head={"kid": mallory.kid}), altered(good, head={"alg": "none"}),
        altered(good, head={"alg": "HS256"}), altered(good, head={"crit": ["exp"]}),
        b64('{"alg":"none","typ":"muster-command+jws"}') + "." + good.split(".")[1] + ".",
        mallory.command(target.name, target.n + 1, "reboot"), mallory.sign(claims(good), kid=target.key.kid),
        target.key.sign(claims(good), "muster-config+jws"), target.key.sign(claims(good), "JWT"), target.key.sign(claims(good), SIGNERS))
    control = obeys(target, attacker)
    assert target.effects() == before + 1 and claims(control)["jti"] != claims(good)["jti"] and target.said(good) == []


def test_14_expired_and_not_a_period(stack, target, attacker):
    before, now = target.effects(), int(time.time())
    late = target.signed(ttl_s=-1)
    past = target.signed(iat=now - 100, exp=now - 50)
    attacker.send(late, past, target.signed(exp="never"), target.signed(iat=now, exp=now))
    target.wait_said(past, ["rejected"])
    obeys(target, attacker)
    assert target.effects() == before + 1


def test_14_replayed_also_after_restart_and_kill(stack, target, attacker):
    jws, older = obeys(target, attacker), target.signed(n=target.n - 50)
    before = target.effects()
    attacker.send(jws, older)
    target.wait_said(older, ["rejected"])
    for stop in (target.stop, target.kill):
        stop()
        target.start()
        again = target.signed(n=claims(jws)["n"])
        attacker.send(jws, older, again)
        target.wait_said(again, ["rejected"])
    assert target.effects() == before, "what was done once is not done again"
    obeys(target, attacker)


def test_14_replayed_after_the_outbox_was_lost(stack, target, attacker):
    jws = obeys(target, attacker)
    before = target.effects()
    target.stop()
    for path in target.state.glob("outbox.db*"):
        path.unlink()
    target.start()
    probe = target.signed(n=target.n - 1)
    attacker.send(jws, probe)
    target.wait_said(probe, ["rejected"])
    assert target.effects() == before


def test_14_replayed_after_a_wipe_and_a_new_enrolment(stack, target, attacker):
    """A device that is new, under the same name, has no memory of what it obeyed: the server's is given to it."""
    command = target.order("reboot")
    wait_for(lambda: target.command(command)[0] == "succeeded", "the command")
    jws, before = target.command(command)[2], target.effects()
    target.stop()
    shutil.rmtree(target.state)
    target.enroll()
    hellos = "select count(*) from event where device = %s and type = 'hello'"
    said = stack.value(hellos, target.name)
    target.start()
    wait_for(lambda: stack.value(hellos, target.name) > said, "it to be back")
    attacker.send(jws)
    wait_for(lambda: "rejected" in target.said(jws), "the refusal of what was obeyed in an earlier life")
    assert target.effects() == before
    command = target.order("reboot")
    wait_for(lambda: target.command(command)[0] == "succeeded", "the control")
    target.n = target.command(command)[1] + 1000  # what this test signs itself comes after it
    assert target.effects() == before + 1


def test_15_the_counter_is_durable_before_the_act(stack, target, attacker):
    before = target.effects()
    target.stop()
    target.start(MUSTER_CRASH_AT="command.stored")
    jws = target.signed()
    attacker.send(jws)
    wait_for(lambda: target.process.poll() is not None, "the agent to die between storing and acting")
    assert target.counter() == claims(jws)["n"], "on the disk"
    assert target.effects() == before, "and nothing was done"
    target.start()
    target.wait_said(jws, ["failed"])  # it cannot know how far it got, so it does not begin again
    attacker.send(jws)
    probe = target.signed("ping", n=target.n)
    attacker.send(probe)
    target.wait_said(probe, ["rejected"])
    assert target.effects() == before
    obeys(target, attacker)


def test_17_actions_outside_the_allow_list(stack, target, attacker):
    mark = stack.state / "marker-shell"
    words = f"; touch {mark} #"
    before = target.effects()
    forbidden = [
        target.signed("wipe"), target.signed("shutdown"), target.signed("run", params={"argv": ["/bin/sh", "-c", f"touch {mark}"]}),
        target.signed("lock"), target.signed("fly"), target.signed("../../bin/sh"), target.signed("set_interval; reboot"),
        target.signed("set_interval", params={"seconds": f"5{words}"}), target.signed("set_interval", params={"seconds": 5, "x": words}),
        target.signed("reboot", params={"reason": f"$(touch {mark})"}), target.signed("ping", params={"text": f"`touch {mark}`"})]
    attacker.send(*forbidden)
    for jws in forbidden:
        if claims(jws)["action"] in ("../../bin/sh", "set_interval; reboot"):
            continue  # no names at all: refused without an answer
        target.wait_said(jws, ["rejected"])
    assert not mark.exists() and target.effects() == before
    obeys(target, attacker)


def test_17_what_is_not_in_the_configuration_is_rejected(stack):
    with Agent(stack, "narrow-1", actions=("ping",)) as narrow:
        wait_for(lambda: stack.rows("select from event where device = %s and type = 'hello'", narrow.name), "the agent")
        attacker = Attacker(stack, narrow.name)
        key, n = Key(stack.state / "keys/command.pem"), int(time.time() * 1000)
        refused = key.command(narrow.name, n, "set_interval", {"seconds": 9})
        obeyed = key.command(narrow.name, n + 1)
        attacker.send(refused, obeyed)
        wait_for(lambda: [row[0] for row in narrow.results(claims(obeyed)["jti"])] == ["accepted", "succeeded"], "the ping")
        state, _, body = narrow.results(claims(refused)["jti"])[0]
        assert state == "rejected" and "not allowed by this device's configuration" in body["reason"]
        attacker.stop()
