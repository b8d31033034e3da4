"""Operators with plain mosquitto_pub, mosquitto_sub and mosquitto_rr; commands are checked, signed, answered, closed."""
import base64
import json
import subprocess
import time

import pytest
from stack import Device, run, wait_for

STACK_ARGS = ["--sims", "2", "--no-agent"]


@pytest.fixture(scope="module")
def alice(stack):
    stack.muster("operator", "add", "alice")
    return Operator(stack, "alice")


class Operator:
    def __init__(self, stack, name, port=None):
        self.stack, self.name = stack, f"op.{name}"
        self.access = ["-V", "5", "-h", "localhost", "-p", str(port or stack.ports["services"]), *stack.operator_files(name)]

    def ask(self, request, answers):
        """Publishes a request; returns the first `answers` replies, as mosquitto_sub prints them."""
        subscriber = subprocess.Popen(  # line by line, so that its "Subscribed" is seen in time
            ["stdbuf", "-oL", "mosquitto_sub", *self.access, "-q", "1", "-d", "-W", "180", "-C", str(answers), "-t", f"ops/v1/{self.name}/reply"],
            stdout=subprocess.PIPE, text=True)
        try:
            lines = iter(subscriber.stdout.readline, "")
            for line in lines:
                if "SUBACK" in line or line.startswith("Subscribed"):
                    break
            text = request if isinstance(request, str) else json.dumps(request)
            run("mosquitto_pub", *self.access, "-q", "1", "-t", f"ops/v1/{self.name}/request", "-s", input=text)
            return [json.loads(line) for line in lines if line.startswith("{")]
        finally:
            subscriber.kill()
            subscriber.wait()


def test_ping_by_mosquitto_pub(stack, alice):
    replies = alice.ask({"device": "sim-001", "action": "ping", "request": "r-1"}, 4)
    assert [reply["state"] for reply in replies] == ["queued", "sent", "accepted", "succeeded"]
    assert {reply["request"] for reply in replies} == {"r-1"} and {reply["device"] for reply in replies} == {"sim-001"}
    assert replies[-1]["output"]["pong"] is True
    history = [row[0] for row in stack.rows(
        "select state from command_event where command = %s order by id", replies[0]["command"])]
    assert history == ["requested", "queued", "sent", "accepted", "succeeded"] or history == [
        "queued", "sent", "accepted", "succeeded"], history


def test_mosquitto_rr_gets_its_answer(stack, alice):
    done = run("mosquitto_rr", *alice.access, "-q", "1", "-W", "180", "-t", f"ops/v1/{alice.name}/request",
               "-e", f"ops/v1/{alice.name}/rr-7", "-m", '{"device":"sim-002","action":"ping"}')
    assert json.loads(done.stdout.splitlines()[0])["state"] == "queued"


@pytest.mark.parametrize("request_text,word", [
    ('{"device":"sim-001"', "JSON"),
    ('{"device":"nobody-7","action":"ping"}', "nobody-7"),
    ('{"device":"sim-001","action":"explode"}', "explode"),
    ('{"device":"sim-001","action":"set_interval","params":{"seconds":"soon"}}', "seconds"),
    ('{"device":"sim-001","action":"ping","ttl_s":0}', "ttl_s"),
    ('{"action":"ping"}', "device"),
    ('{"device":"sim-001","action":"ping","surprise":1}', "surprise"),
    (r'{"device":"sim-001","action":"ping","request":"a\u0085b"}', "request"),  # the broker would cut commander's session at it
])
def test_bad_requests_are_answered(stack, alice, request_text, word):
    before = stack.value("select count(*) from command")
    (reply,) = alice.ask(request_text, 1)
    assert reply["error"] and word in reply["error"] + reply["detail"], reply
    assert stack.value("select count(*) from command") == before


def test_an_operator_speaks_only_for_itself(stack, alice):
    stack.muster("operator", "add", "mallory")
    mallory = Operator(stack, "mallory")
    for topic in ("ops/v1/op.alice/request", "fleet/v1/sim-001/command", "fleet/v1/sim-001/telemetry", "$CONTROL/muster/v1"):
        done = run("mosquitto_pub", *mallory.access, "-d", "-q", "1", "-t", topic, "-m", "{}", check=False)
        assert "RC:135" in done.stdout, topic
    # A response topic elsewhere is not followed.
    run("mosquitto_pub", *mallory.access, "-q", "1", "-t", "ops/v1/op.mallory/request", "-D", "publish", "response-topic",
        "fleet/v1/sim-001/command", "-m", '{"device":"sim-001","action":"ping","request":"m"}')
    (reply,) = alice.ask({"device": "sim-001", "action": "explode"}, 1)  # behind it in the same queue
    assert reply["error"]
    assert stack.value("select count(*) from event where device = 'sim-001' and type = 'command.refused'") == 0


def claims(jws):
    header, payload, _ = jws.split(".")
    return [json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in (header, payload)]


def test_offline_device_gets_it_later_signed_for_it_alone(stack, alice, tmp_path):
    stack.enroll("late-1")
    folder = stack.state / "test-devices"
    files = {"certificate": folder / "late-1.crt", "key": folder / "late-1.key"}
    with Device(stack, "late-1", **files):
        pass  # its session exists from now on
    sent = stack.muster_json("command", "send", "late-1", "ping")
    wait_for(lambda: stack.value("select state from command where id = %s", sent["id"]) == "sent", "sent")
    with Device(stack, "late-1", **files) as device:
        wait_for(lambda: device.received("command"), "the command")
        jws = device.received("command")[0].decode()
        header, body = claims(jws)
        assert header["alg"] == "EdDSA" and header["typ"] == "muster-command+jws"
        assert body["sub"] == "late-1" and body["jti"] == sent["id"] and body["exp"] > time.time()
        device.publish("result", device.next(command=body["jti"], state="succeeded", output={"pong": True}))
        wait_for(lambda: stack.value("select state from command where id = %s", sent["id"]) == "succeeded", "succeeded")
        # A late progress report does not move a finished command.
        device.publish("result", device.next(command=body["jti"], state="running"))
        device.wait_stored()
        wait_for(lambda: stack.value("select count(*) from command_result where applied_at is null") == 0, "applied")
        assert stack.value("select state from command where id = %s", sent["id"]) == "succeeded"


def test_nobody_else_closes_a_command(stack):
    sent = stack.muster_json("command", "send", "late-1", "ping")
    with Device(stack, "thief-1") as thief:
        thief.publish("result", thief.next(command=sent["id"], state="succeeded"))
        thief.wait_stored()
        wait_for(lambda: stack.value("select count(*) from command_result where applied_at is null") == 0, "applied")
        assert stack.value("select state from command where id = %s", sent["id"]) in ("queued", "sent")


def test_expiry(stack):
    sent = stack.muster_json("command", "send", "late-1", "ping", "--ttl", "1s")
    wait_for(lambda: stack.value("select state from command where id = %s", sent["id"]) == "expired", "expired")


@pytest.mark.parametrize("damage", ["signature", "payload", "alg-none", "not-a-jws"])
def test_forged_command_is_refused_and_reported(stack, damage):
    """Published with commander's own broker rights, so that only the signature stands between."""
    jws = stack.value("select jws from command where device = 'sim-001' and jws is not null limit 1")
    header, payload, signature = jws.split(".")
    if damage == "signature":
        signature = ("A" if signature[5] != "A" else "B").join([signature[:5], signature[6:]])
    elif damage == "payload":
        body = claims(jws)[1] | {"n": 1 << 40, "jti": "00000000-0000-4000-8000-000000000000"}
        payload = base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=")
    elif damage == "alg-none":
        header, signature = base64.urlsafe_b64encode(b'{"alg":"none","typ":"muster-command+jws"}').decode().rstrip("="), ""
    forged = "hello" if damage == "not-a-jws" else f"{header}.{payload}.{signature}"
    before = stack.value("select count(*) from event where device = 'sim-001' and type = 'command.refused'")
    files = stack.state / "certs"
    run("mosquitto_pub", "-V", "5", "-h", "localhost", "-p", stack.ports["services"], "-i", "svc.commander.test", "-q", "1",
        "--cafile", stack.state / "ca/service.crt", "--cert", files / "commander.crt", "--key", files / "commander.key",
        "-t", "fleet/v1/sim-001/command", "-m", forged)
    wait_for(lambda: stack.value("select count(*) from event where device = 'sim-001' and type = 'command.refused'") > before,
             "the device's event")
    reason = stack.value("select body->>'reason' from event where device = 'sim-001' and type = 'command.refused' order by received_at desc limit 1")
    assert reason
