"""The life of a command: order, schedule, window, repetition, timers, cancelling, who may ask, and two commanders at once."""
import base64
import concurrent.futures
import json
import os
import re
import signal
import subprocess
import time
import uuid

import pytest

from stack import Device, free_port, run, wait_for

STACK_ARGS = ["--sims", "20", "--no-agent"]
OPEN = ("requested", "queued", "sent", "accepted", "running")


@pytest.fixture(scope="module", autouse=True)
def quick_commander(stack):
    """Repeats after a second; requests are shared, so that a second commander can join."""
    config = stack.state / "conf/commander.conf"
    config.write_text(config.read_text() + "resend_s = 1;\nshare_requests = true;\n")
    stack.muster("stack", "restart", "commander")


class Obedient(Device):
    """Answers each command with the states that it was told to; knows a command that comes again."""

    def __init__(self, stack, name, answers=("accepted", "succeeded"), **files):
        super().__init__(stack, name, **files)
        self.answers, self.seen, self.copies = answers, {}, []

    def _on_message(self, client, userdata, message):
        super()._on_message(client, userdata, message)
        if not message.topic.endswith("/command"):
            return
        claims = decode(message.payload)
        self.copies.append(message.payload)
        if claims["jti"] not in self.seen:
            self.seen[claims["jti"]] = claims
            for state in self.answers:
                self.say(claims["jti"], state)

    def say(self, command, state, **members):
        self.publish("result", self.next(command=command, state=state, **members))


def decode(jws):
    payload = jws.split(b".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))


def files_of(stack, name):
    """A device that has been enrolled, and has a session at the broker, when it comes."""
    folder = stack.state / "test-devices"
    if not (folder / f"{name}.crt").exists():
        stack.enroll(name)
        with Device(stack, name, folder / f"{name}.crt", folder / f"{name}.key") as device:
            wait_for(device.connected.is_set, "its first session")
    return {"certificate": folder / f"{name}.crt", "key": folder / f"{name}.key"}


def online(stack, device):
    device.publish("event", {"type": "hello", "epoch": device.epoch, "oldest_seq": device.seq + 1, "next_seq": device.seq + 1})
    device.publish("status", "online")
    wait_for(lambda: stack.rows("select from device_state where device = %s and presence = 'online'", device.name), "online")


def state(stack, command):
    return stack.value("select state from command where id = %s", command)


def states(stack, *commands):
    return [state(stack, command) for command in commands]


def comes_to(stack, command, *wanted, seconds=180):
    wait_for(lambda: state(stack, command) in wanted, f"{command} to be {wanted}", seconds)


def history(stack, command):
    return stack.rows("select state, cause from command_event where command = %s order by id", command)


def send(stack, device, *more, action="ping"):
    return stack.muster_json("command", "send", device, action, *more)["id"]


def api(stack, method, path, body=None, *headers):
    """(status, parsed answer)"""
    token = (stack.state / "api-token").read_text().strip()
    words = ["-H", f"Authorization: Bearer {token}", "-H", "Content-Type: application/json"]
    for header in headers:
        words += ["-H", header]
    if body is not None:
        words += ["--data-binary", "@-"]
    done = run("curl", "-sS", "-X", method, "--cacert", stack.state / "ca/service.crt", *words, "-w", "\n%{http_code}",
               f"https://localhost:{stack.ports['dashboard']}{path}", input=json.dumps(body) if body is not None else None)
    text, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(text)


# ---- order ----

def test_one_at_a_time(stack):
    with Obedient(stack, "one-1", answers=()) as device:
        online(stack, device)
        first, second, third = (send(stack, "one-1") for _ in range(3))
        wait_for(lambda: first in device.seen, "the first command")
        device.say(first, "accepted")
        comes_to(stack, first, "accepted")
        assert states(stack, second, third) == ["queued", "queued"]
        device.say(first, "failed", reason="on purpose")
        comes_to(stack, second, "sent")
        device.say(second, "succeeded")
        wait_for(lambda: third in device.seen, "the third command")
        device.say(third, "rejected", reason="on purpose")
        comes_to(stack, third, "rejected")
        assert list(device.seen) == [first, second, third]
        numbers = [claims["n"] for claims in device.seen.values()]
        assert numbers == sorted(set(numbers))


def test_a_burst_comes_at_once_and_in_order(stack):
    with Obedient(stack, "burst-1", answers=()) as device:
        stack.muster("device", "set", "burst-1", "--policy", "burst")
        online(stack, device)
        with stack.connect() as connection, connection.transaction():
            wanted = [connection.execute("insert into command (device, action) values ('burst-1', 'ping') returning id").fetchone()[0]
                      for _ in range(30)]
        wait_for(lambda: len(device.seen) == 30, "all of them")
        assert list(device.seen) == [str(command) for command in wanted], "one transaction, in its order"
        numbers = [claims["n"] for claims in device.seen.values()]
        assert numbers == sorted(set(numbers))
        # A later one was taken, an earlier one was lost: with its old number it would be refused for ever.
        lost, taken = str(wanted[3]), str(wanted[20])
        device.say(taken, "succeeded")
        wait_for(lambda: stack.value("select n from command where id = %s", lost) > max(numbers), "a new number")
        wait_for(lambda: any(decode(copy)["jti"] == lost and decode(copy)["n"] > max(numbers) for copy in device.copies), "it again")
        assert ("queued", "overtaken") in history(stack, lost)


# ---- when ----

def test_not_before_its_time(stack):
    with Obedient(stack, "later-1") as device:
        online(stack, device)
        scheduled = send(stack, "later-1", "--after", "2h")
        wait_for(lambda: stack.rows("select from command where id = %s and state = 'queued' and held", scheduled), "it to wait")
        (left, limit), = stack.rows("select next_at - now(), expires_at - next_at from command where id = %s", scheduled)
        assert 6900 < left.total_seconds() <= 7200 and abs(limit.total_seconds() - 86400) < 5
        now = send(stack, "later-1")
        comes_to(stack, now, "succeeded")  # what waits for its time holds up nobody
        assert state(stack, scheduled) == "queued" and "queued, in " in stack.muster("command", "list", "--device", "later-1").stdout
        stack.rows("update command set next_at = now() where id = %s returning 1", scheduled)
        comes_to(stack, scheduled, "succeeded")
        assert device.seen[scheduled]["n"] > device.seen[now]["n"]

        soon = send(stack, "later-1", "--after", "2s")
        began = time.monotonic()
        comes_to(stack, soon, "succeeded")
        assert time.monotonic() - began > 1
    done = stack.muster("command", "send", "later-1", "ping", "--at", "2199-01-01T00:00:00Z", check=False)
    assert done.returncode == 2 and "within a year" in done.stderr


def window(stack, device, zone, opens, closes):
    """Opens and closes at so many seconds from now, by the device's clock."""
    (first, last, day), = stack.rows(
        "select to_char((now() + %s * interval '1 s') at time zone %s, 'HH24:MI'), to_char((now() + %s * interval '1 s')"
        " at time zone %s, 'HH24:MI'), extract(isodow from (now() + %s * interval '1 s') at time zone %s)::int",
        opens, zone, closes, zone, opens, zone)
    stack.muster("device", "set", device, "--time-zone", zone, "--window", f"{day} {first}-{last}")


def test_only_in_the_maintenance_window(stack):
    with Obedient(stack, "window-1", answers=()) as device:
        online(stack, device)
        done = stack.muster("command", "send", "window-1", "ping", "--in-window", check=False)
        assert done.returncode == 1 and "maintenance window" in done.stderr, done.stderr
        window(stack, "window-1", "Pacific/Auckland", 7200, 10800)
        command = send(stack, "window-1", "--in-window")
        wait_for(lambda: stack.rows("select from command where id = %s and held", command), "it to wait")
        seconds = stack.value("select extract(epoch from next_at - now()) from command where id = %s", command)
        assert 6900 < seconds <= 7200

        window(stack, "window-1", "America/New_York", -3600, 3600)  # now it is open
        stack.rows("update command set next_at = now() where id = %s returning 1", command)
        wait_for(lambda: command in device.seen, "the command")
        assert 3300 < device.seen[command]["exp"] - time.time() <= 3600, "the device must not begin when it has closed"

        # It closed before the device took it.
        window(stack, "window-1", "UTC", 7200, 10800)
        stack.rows("update command set accept_by = now() where id = %s returning 1", command)
        wait_for(lambda: stack.rows("select from command where id = %s and state = 'queued' and held", command), "the next window")
        assert ("queued", "window") in history(stack, command)
        device.say(command, "succeeded")  # it had, and says so late
        comes_to(stack, command, "succeeded")
    for bad in ("8 02:00-05:00", "1-5 2-5", "1-5", "5-1 02:00-05:00", "1 25:00-26:00"):
        assert stack.muster("device", "set", "window-1", "--window", bad, check=False).returncode == 2, bad
    assert stack.muster("device", "set", "window-1", "--time-zone", "Mars/Olympus", check=False).returncode == 2


def test_a_week_later(stack):
    """Clocks are moved in the rows: the device was away for a week, and takes what waited for it."""
    files = files_of(stack, "week-1")
    command = send(stack, "week-1", "--ttl", "20d")
    comes_to(stack, command, "sent")
    week = "interval '7 days'"
    stack.rows(f"update command set created_at = created_at - {week}, sent_at = sent_at - {week}, next_at = next_at - {week},"
               f" accept_by = accept_by - {week}, expires_at = expires_at - {week} where id = %s returning 1", command)
    stack.muster("stack", "restart", "commander")
    assert state(stack, command) == "sent"
    with Obedient(stack, "week-1", **files):
        comes_to(stack, command, "succeeded")


# ---- repetition and timers ----

def test_a_silent_device_gets_it_so_many_times(stack):
    with Obedient(stack, "silent-1", answers=()) as device:
        online(stack, device)
        command = send(stack, "silent-1", "--max-attempts", "3")
        comes_to(stack, command, "expired")
        assert "published 3 times" in stack.value("select reason from command where id = %s", command)
        assert history(stack, command)[-1] == ("expired", "attempts")
        assert len(device.copies) == 3 and len(set(device.copies)) == 1, "byte for byte"
        gaps = [b - a for a, b in zip(*[iter(stack.rows("select sent_at, next_at from command where id = %s", command)[0])] * 2)]
        assert gaps[0].total_seconds() > 1.4, "the distances grow"
        device.say(command, "succeeded")  # what it did is the truth
        comes_to(stack, command, "succeeded")


def test_who_accepts_must_also_finish(stack):
    with Obedient(stack, "slow-1", answers=("accepted",)) as device:
        online(stack, device)
        command, behind = send(stack, "slow-1"), send(stack, "slow-1")
        comes_to(stack, command, "accepted")
        limit = stack.value("select extract(epoch from finish_by - changed_at) from command where id = %s", command)
        assert 100 < limit <= 130, "ping has a minute, and a result another one to arrive"
        device.say(command, "running", progress=40)
        wait_for(lambda: stack.value("select progress from command where id = %s", command) == 40, "its progress")
        device.say(command, "running", progress=80)
        wait_for(lambda: stack.value("select progress from command where id = %s", command) == 80, "more progress")
        assert state(stack, behind) == "queued"
        stack.rows("update command set finish_by = now() where id = %s returning 1", command)
        comes_to(stack, command, "expired")
        assert "no result" in stack.value("select reason from command where id = %s", command)
        comes_to(stack, behind, "accepted")


# ---- cancelling and purging ----

def test_what_was_not_sent_is_cancelled_at_once(stack):
    files_of(stack, "cancel-1")
    first, second = send(stack, "cancel-1"), send(stack, "cancel-1")
    comes_to(stack, first, "sent")
    stack.muster("command", "cancel", second)
    comes_to(stack, second, "cancelled")
    assert stack.value("select reason from command where id = %s", second) == "cancelled by admin"
    assert history(stack, second)[-1] == ("cancelled", "cancel")
    done = stack.muster("command", "cancel", second, check=False)
    assert done.returncode == 1 and "is cancelled" in done.stderr
    assert stack.muster("command", "cancel", str(uuid.uuid4()), check=False).returncode == 3


def test_of_what_was_sent_the_device_is_asked(stack):
    with Obedient(stack, "cancel-2", answers=()) as device:
        online(stack, device)
        stack.rows("insert into command (device, action, params, confirmed) values ('cancel-2', 'ring', '{\"seconds\":60}', true) returning 1")
        (command,) = wait_for(lambda: list(device.seen), "the command")
        device.say(command, "accepted")
        device.say(command, "running")
        comes_to(stack, command, "running")
        stack.muster("command", "cancel", command)
        wait_for(lambda: len(device.seen) == 2, "a command to cancel")
        ask = device.seen[[jti for jti in device.seen if jti != command][0]]
        assert ask["action"] == "cancel" and ask["params"] == {"command": command}
        assert ask["n"] > device.seen[command]["n"] and state(stack, command) == "running"
        device.say(command, "cancelled")
        device.say(ask["jti"], "succeeded")
        comes_to(stack, command, "cancelled")
        comes_to(stack, ask["jti"], "succeeded")
        assert stack.value("select cancels::text from command where id = %s", ask["jti"]) == command

        ping = send(stack, "cancel-2")  # not one that can be ended while it runs
        wait_for(lambda: ping in device.seen, "the ping")
        device.say(ping, "accepted")
        comes_to(stack, ping, "accepted")
        status, problem = api(stack, "POST", f"/api/v1/commands/{ping}/cancel", {})
        assert status == 409 and "accepted" in problem["detail"]
        device.say(ping, "succeeded")
    # Nobody can ask for it but commander.
    status, problem = api(stack, "POST", "/api/v1/commands", {"device": "cancel-2", "action": "cancel", "params": {"command": command}})
    assert status == 422, problem


def test_purging(stack):
    files_of(stack, "purge-1")
    commands = [send(stack, "purge-1") for _ in range(4)]
    comes_to(stack, commands[0], "sent")
    assert stack.muster("command", "purge", "--device", "purge-1", check=False, stdin=subprocess.DEVNULL).returncode == 1
    assert stack.muster_json("command", "purge", "--device", "purge-1", "--yes") == {"cancelling": 3}
    for command in commands[1:]:
        comes_to(stack, command, "cancelled")
    assert state(stack, commands[0]) == "sent"
    stack.rows("update command set created_at = created_at - interval '3 days', finished_at = finished_at - interval '3 days'"
               " where id::text = any(%s) returning 1", commands)
    assert stack.muster_json("command", "purge", "--older", "2d", "--yes") == {"removed": 3}
    assert stack.rows("select id::text from command where device = 'purge-1'") == [(commands[0],)], "what is open stays"
    assert stack.value("select count(*) from audit where action in ('command.purge', 'command.empty')") == 2
    status, problem = api(stack, "DELETE", "/api/v1/commands")
    assert status == 400 and "older_than_s" in problem["detail"]


# ---- who asks ----

def test_the_same_key_is_the_same_command(stack):
    body = {"device": "sim-001", "action": "ping"}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api(stack, "POST", "/api/v1/commands", body, "Idempotency-Key: k-1"), range(8)))
    assert {status for status, _ in answers} == {202} and len({answer["id"] for _, answer in answers}) == 1
    assert send(stack, "sim-001", "--idempotency-key", "k-1") == answers[0][1]["id"]
    for other in ({"device": "sim-002", "action": "ping"}, {"device": "sim-001", "action": "set_interval", "params": {"seconds": 60}}):
        status, problem = api(stack, "POST", "/api/v1/commands", other, "Idempotency-Key: k-1")
        assert status == 422 and "Idempotency-Key" in problem["detail"]


class Ops:
    def __init__(self, stack, name):
        stack.muster("operator", "add", name)
        self.stack, self.name = stack, f"op.{name}"
        self.access = ["-V", "5", "-h", "localhost", "-p", str(stack.ports["services"]), *stack.operator_files(name)]

    def rr(self, request, topic="rr-1"):
        """One request with mosquitto_rr: the first answer on its response topic."""
        done = run("mosquitto_rr", *self.access, "-q", "1", "-W", "180", "-t", f"ops/v1/{self.name}/request",
                   "-e", f"ops/v1/{self.name}/{topic}", "-m", json.dumps(request))
        return json.loads(done.stdout.splitlines()[0])

    def listen(self):
        """mosquitto_sub on everything told to this operator, once it is subscribed."""
        process = subprocess.Popen(["stdbuf", "-oL", "mosquitto_sub", *self.access, "-q", "1", "-d", "-W", "600",
                                    "-t", f"ops/v1/{self.name}/reply"], stdout=subprocess.PIPE, text=True)
        for line in iter(process.stdout.readline, ""):
            if "SUBACK" in line or line.startswith("Subscribed"):
                return process
        raise AssertionError("mosquitto_sub ended")

    def publish(self, request):
        run("mosquitto_pub", *self.access, "-q", "1", "-t", f"ops/v1/{self.name}/request", "-s", input=json.dumps(request))


def answers_of(process, count):
    lines = (line for line in iter(process.stdout.readline, "") if line.startswith("{"))
    return [json.loads(next(lines)) for _ in range(count)]


@pytest.fixture(scope="module")
def alice(stack):
    return Ops(stack, "alice")


def test_what_costs_work_must_be_confirmed_from_everywhere(stack, alice):
    before = stack.value("select count(*) from command where action = 'reboot' and device = 'sim-003'")
    status, problem = api(stack, "POST", "/api/v1/commands", {"device": "sim-003", "action": "reboot"})
    assert status == 422 and '"confirm":true' in problem["detail"]
    done = stack.muster("command", "send", "sim-003", "reboot", check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 2 and "--yes" in done.stderr
    answer = alice.rr({"device": "sim-003", "action": "reboot"})
    assert answer["error"] == "not confirmed" and "confirm" in answer["detail"]
    assert stack.value("select count(*) from command where action = 'reboot' and device = 'sim-003'") == before
    command = stack.value("insert into command (device, action) values ('sim-003', 'reboot') returning id::text")
    comes_to(stack, command, "rejected")
    assert "confirmed" in stack.value("select reason from command where id = %s", command)

    assert alice.rr({"device": "sim-003", "action": "reboot", "confirm": True})["state"] == "queued"
    comes_to(stack, send(stack, "sim-003", "--yes", action="reboot"), "succeeded", "failed")


def test_sql(stack):
    command = stack.value("insert into command (device, action) values ('sim-004', 'ping') returning id::text")
    comes_to(stack, command, "succeeded")
    assert stack.value("select requested_by from command where id = %s", command) == "muster_owner"
    for device, action, params, word in (("nobody-1", "ping", "{}", "nobody-1"), ("sim-004", "explode", "{}", "explode"),
                                         ("sim-004", "set_interval", '{"seconds":1}', "seconds")):
        bad = stack.value("insert into command (device, action, params) values (%s, %s, %s) returning id::text", device, action, params)
        comes_to(stack, bad, "rejected")
        assert word in stack.value("select reason from command where id = %s", bad)


def test_an_operator_schedules_and_cancels(stack, alice):
    listener = alice.listen()
    try:
        alice.publish({"device": "sim-005", "action": "ping", "after_s": 3600, "request": "later"})
        (queued,) = answers_of(listener, 1)
        assert queued["state"] == "queued" and queued["request"] == "later"
        assert alice.rr({"cancel": queued["command"], "request": "no"}) == {"request": "no", "cancelling": queued["command"]}
        (cancelled,) = answers_of(listener, 1)
        assert cancelled["state"] == "cancelled" and cancelled["command"] == queued["command"]
        assert cancelled["reason"] == "cancelled by op.alice"
        assert alice.rr({"cancel": queued["command"]})["error"] == "nothing to cancel"
    finally:
        listener.kill()
        listener.wait()


def test_a_requester_asks_so_often(stack, alice):
    with stack.connect() as connection:
        connection.execute("insert into command_limit values ('busy', 3), ('op.busy', 2)")
        with connection.transaction():
            wanted = [connection.execute("insert into command (device, action, requested_by) values ('sim-006', 'ping', 'busy')"
                                         " returning id::text").fetchone()[0] for _ in range(5)]
    for command in wanted:
        comes_to(stack, command, "succeeded", "rejected")
    assert states(stack, *wanted) == ["succeeded"] * 3 + ["rejected"] * 2
    busy = Ops(stack, "busy")
    answers = [busy.rr({"device": "sim-006", "action": "ping"}, f"rr-{i}") for i in range(3)]
    assert [answer.get("state") or answer["error"] for answer in answers] == ["queued", "queued", "too many requests"]
    stack.rows("insert into command_limit values ('admin', 0) returning 1")
    try:
        token = (stack.state / "api-token").read_text().strip()
        done = run("curl", "-sS", "-i", "--cacert", stack.state / "ca/service.crt", "-H", f"Authorization: Bearer {token}",
                   "-H", "Content-Type: application/json", "-d", '{"device":"sim-006","action":"ping"}',
                   f"https://localhost:{stack.ports['dashboard']}/api/v1/commands")
        assert " 429 " in done.stdout.splitlines()[0] and re.search("(?i)retry-after: 60", done.stdout), done.stdout
    finally:
        stack.rows("delete from command_limit where requester = 'admin' returning 1")


# ---- programs that sign ----

def signed(stack, key, body, at_ms=None, tamper=""):
    """As docs/protocol.md shows it, with openssl and curl."""
    at = str(at_ms or int(time.time() * 1000))
    mac = run("openssl", "dgst", "-sha256", "-hmac", key["secret"], "-r", input=f"{at}.{body}").stdout.split()[0]
    done = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", "-H", "Content-Type: application/json",
               "-H", f"Muster-Key: {key['id']}", "-H", f"Muster-Timestamp: {at}", "-H", f"Muster-Signature: {mac}",
               "--data-binary", "@-", "-w", "\n%{http_code}", f"https://localhost:{stack.ports['dashboard']}/admin/command",
               input=body + tamper)
    text, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(text)


def test_a_program_signs_its_request(stack):
    key = stack.muster_json("admin-key", "create", "--label", "nightly")
    other = stack.muster_json("admin-key", "create")
    body = json.dumps({"device": "sim-007", "action": "ping"})
    now = int(time.time() * 1000)
    status, command = signed(stack, key, body, now)
    assert status == 202 and command["requested_by"] == f"key.{key['id']}" and command["source"] == "admin", command
    comes_to(stack, command["id"], "succeeded")
    assert signed(stack, key, body, now)[0] == 409, "taken once"
    for count, case in enumerate(((key, body, now - 301_000), (key, body, now + 3_600_000), (key, body, now + 1, " "),
                                  ({**key, "secret": other["secret"]}, body), ({**key, "id": other["id"]}, body),
                                  ({**key, "id": "0123456789abcdef"}, body)), 1):
        status, problem = signed(stack, *case)
        assert status == 401, (case, problem)
    metrics = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", f"https://localhost:{stack.ports['dashboard']}/metrics").stdout
    assert f"muster_admin_refused_total {count + 1}" in metrics
    assert signed(stack, key, json.dumps({"device": "sim-007", "action": "reboot"}))[0] == 422, "the same checks"
    assert stack.value("select count(*) from command where requested_by like 'key.%%'") == 1
    stack.muster("admin-key", "revoke", key["id"])
    assert signed(stack, key, body)[0] == 401 and signed(stack, other, body)[0] == 202
    assert {row["label"]: bool(row["revoked_at"]) for row in stack.muster_json("admin-key", "list")["items"]} == {"nightly": True, "": False}
    # Neither the database nor a log knows the secret.
    dump = run("/usr/lib/postgresql/15/bin/pg_dump", "-h", stack.state / "run", "-p", "5432", "-U", "muster_owner", "muster").stdout
    logs = "".join(path.read_text(errors="replace") for path in (stack.state / "log").glob("*.log"))
    assert key["secret"] not in dump + logs and key["id"] in dump
    assert (stack.state / "keys/admin.key").stat().st_mode & 0o077 == 0


# ---- commander dies ----

def test_what_an_operator_missed_is_told_again(stack, alice):
    listener = alice.listen()
    try:
        alice.publish({"device": "sim-008", "action": "ping", "request": "missed"})
        replies = answers_of(listener, 4)
        assert replies[-1]["state"] == "succeeded"
        stack.kill("commander")
        again = answers_of(listener, 1)[0]
        while again["command"] != replies[-1]["command"]:  # others of the last seconds are told, too
            again = answers_of(listener, 1)[0]
        assert again == replies[-1]
    finally:
        listener.kill()
        listener.wait()


class Second:
    """Another muster-commander at the same broker and database."""

    def __init__(self, stack):
        self.port = free_port()
        self.stack, self.process = stack, None
        self.log = open(stack.state / "log/commander-2.log", "ab")

    def start(self):
        environment = os.environ | {"MUSTER_COMMANDER_BROKER_CLIENT_ID": "svc.commander.2", "MUSTER_COMMANDER_HTTP_PORT": str(self.port)}
        self.process = subprocess.Popen([self.stack.bin / "muster-commander", "--config", self.stack.state / "conf/commander.conf"],
                                        stdout=self.log, stderr=self.log, env=environment,
                                        **self.stack.owner())
        wait_for(lambda: '"broker":true' in self.get("/health"), "the second commander")

    def get(self, path):
        return run("curl", "-s", f"http://127.0.0.1:{self.port}{path}", check=False).stdout

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(180)

    def published(self):
        return sum(float(line.split()[1]) for line in self.get("/metrics").splitlines()
                   if line.startswith('muster_commands_total{state="sent"}'))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        self.log.close()


def test_two_commanders_and_a_thousand_commands(stack, alice):
    """Both work, both are killed meanwhile, and each command is executed once, in its device's order."""
    devices = [f"sim-{i:03}" for i in range(1, 21)]
    stack.rows("insert into command_limit values ('crowd', 100000) returning 1")
    with Second(stack) as second:
        worked = 0
        for part in range(10):
            with stack.connect() as connection, connection.transaction():
                for i in range(100):
                    connection.execute("insert into command (device, action, requested_by) values (%s, 'ping', 'crowd')",
                                       (devices[i % 20],))
            if part == 3:
                stack.kill("commander")
            if part == 6:
                worked = second.published()
                second.kill()
                second.start()
        done = "select count(*) from command where requested_by = 'crowd' and state = 'succeeded'"
        wait_for(lambda: stack.value(done) == 1000, "a thousand commands")
        assert worked + second.published() > 0, "the second had its share"

        # Unnamed requests are taken by one of the two.
        since = stack.value("select now()::text")
        for i in range(20):
            alice.publish({"device": devices[i], "action": "ping"})
        mine = "select count(*) from command where requested_by = 'op.alice' and source = 'mqtt' and request_id = ''" \
               " and created_at >= %s::timestamptz and device like 'sim-%%' and reply_topic like '%%/reply'"
        wait_for(lambda: stack.value(mine, since) >= 20, "twenty requests")
        wait_for(lambda: stack.value("select count(*) from command where state = any(%s) and requested_by = 'op.alice'", list(OPEN)) == 0, "all ended")
        assert stack.value(mine, since) == 20
    crowd = "from command c where requested_by = 'crowd'"
    assert stack.value(f"select count(*) from command_event e join command c on c.id = e.command where c.requested_by = 'crowd'"
                       " and e.state = 'succeeded'") == 1000
    assert stack.value(f"select count(*) {crowd} and exists (select from command o where o.device = c.device and o.n = c.n and o.id <> c.id)") == 0
    assert stack.value(f"select count(*) {crowd} and exists (select from command o where o.device = c.device and o.requested_by = 'crowd'"
                       " and o.number > c.number and o.n < c.n)") == 0, "the order of the requests"
    # Simulated devices execute what they have not seen: whoever had executed twice would have said so in two different results.
    assert stack.value("select count(*) from (select r.command from command_result r join command c on c.id::text = r.command where"
                       " c.requested_by = 'crowd' and r.state = 'succeeded' group by r.command having count(distinct r.body) > 1) x") == 0
    assert stack.value("select count(*) from event where type = 'command.refused' and device like 'sim-%%'") == 0
