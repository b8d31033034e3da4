"""A device that sleeps gets its command: commander -> push service (a simulator, over real HTTP/2) -> the agent's wake socket ->
the broker. And whatever the push service answers, or commander dies of, no command is lost and none is done twice."""
import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from stack import Device, Stack, run, wait_for
from support.fcm import Fcm

SLEEPER, TOKEN = "sleeper-1", "dQw4w9WgXcQ:APA91b-sleeper_1"
TIMEOUT_S = 5
LEASE_S = 4 * TIMEOUT_S + 5  # of a push
PATIENCE_S = 6  # before somebody who was woken, or is online, is woken once more

ROUNDS = 20
LATENCY_SQL = """
select (extract(epoch from (select min(started_at) from fcm_dispatch d where d.command = c.id) - c.created_at) * 1000)::float8,
    (extract(epoch from e.at - c.created_at) * 1000)::float8
from command c join command_event e on e.command = c.id and e.state = 'succeeded' where c.id::text = any(%s)"""

FCM = f"""
fcm: {{{{ credentials_file = "{{fcm.credentials}}"; endpoint = "https://localhost:{{fcm.port}}"; ca_file = "{{fcm.folder}}/ca.crt";
    timeout_s = {TIMEOUT_S}; device_per_hour = 1000; breaker_failures = 3; breaker_open_s = 2; }}}};
wake: {{{{ after_s = {PATIENCE_S}; retry_s = 3; retry_max_s = {PATIENCE_S}; }}}};
"""


class Agent:
    """An enrolled agent that sleeps between heartbeats, and a push token."""

    def __init__(self, stack, name, token):
        self.stack, self.name, self.process = stack, name, None
        home = stack.state / name
        home.mkdir(mode=0o700)
        self.log, self.config = home / "agent.log", home / "agent.conf"
        self.socket = home / "wake.sock"
        self.config.write_text(f"""
state_dir = "{home}";
bridge: {{ url = "https://localhost:{stack.ports['bridge']}"; ca_file = "{stack.state}/ca/service.crt"; }};
connection: {{ mode = "on_demand"; stay_s = 1; }};
interval_s = 3600;
""")
        (home / "token").write_text(stack.token("--device", name))
        (home / "token").chmod(0o600)
        self.command("enroll", "--token-file", home / "token")
        self.command("push-token", "--token", token)  # no agent runs yet

    def command(self, verb, *arguments, check=True):
        return run(self.stack.bin / "muster-agent", verb, "--config", self.config, *arguments, check=check)

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([self.stack.bin / "muster-agent", "run", "--config", self.config], stdout=log,
                                            stderr=subprocess.STDOUT)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(180)
        self.process = None

    def events(self, event):
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def wait_asleep(self):
        wait_for(lambda: self.stack.rows("select from device_state where device = %s and presence = 'offline' "
                                         "and presence_why = 'sleep'", self.name), f"{self.name} to sleep")


@pytest.fixture(scope="module")
def fcm(stack):
    service = Fcm(stack.state / "fcm", retry_after_s=8).start()
    yield service
    service.close()


@pytest.fixture(scope="module")
def woken(stack, fcm):
    """Commander with credentials, and an agent that sleeps."""
    assert len(logged(stack, "wake.off")) == 1, "without credentials it is said, once"
    assert health(stack)["wake"] == {"state": "off"}
    path = stack.state / "conf/commander.conf"
    path.write_text(path.read_text() + FCM.format(fcm=fcm))
    stack.muster("stack", "restart", "commander")
    wait_for(lambda: health(stack).get("wake", {}).get("state") == "ready", "commander to be able to wake")
    agent = Agent(stack, SLEEPER, TOKEN)
    fcm.wakers[TOKEN] = [stack.bin / "muster-agent", "wake", "--config", agent.config]
    agent.start()
    try:
        agent.wait_asleep()
        yield agent
    except BaseException:
        print(agent.log.read_text()[-3000:])
        raise
    finally:
        if agent.process:
            agent.stop()


@pytest.fixture
def asleep(stack, fcm, woken):
    """Everything as at first: nothing planned, no command open, the breaker closed, the device asleep."""
    fcm.plan()
    stack.rows("update command set expires_at = now(), accept_by = now() where state in ('requested', 'queued', 'sent') returning 1")
    wait_for(lambda: not stack.rows("select from command where state in ('requested', 'queued', 'sent', 'accepted')"),
             "open commands to end")
    stack.rows("update device_wake set failures = 0, unanswered = 0, not_before = null, due_at = null, pushed_at = null "
               "returning 1")
    woken.wait_asleep()
    before = contacts(stack)
    woken.command("wake")
    wait_for(lambda: contacts(stack) > before, "the device")
    woken.wait_asleep()
    if health(stack)["wake"]["breaker"] != "closed":
        stack.muster("stack", "restart", "commander")
        wait_for(lambda: health(stack).get("wake", {}).get("breaker") == "closed", "the breaker to be closed")
    return woken


def contacts(stack):
    """The number of its latest connection: it stays for a second, in which nobody may look."""
    return stack.value("select coalesce(max(session), 0) from device_state where device = %s", SLEEPER)


def logged(stack, event):
    lines = (stack.state / "log/commander.log").read_text().splitlines()
    return [line for line in (json.loads(text) for text in lines if text.startswith("{")) if line["event"] == event]


def fetch(stack, path):
    address = f"http://127.0.0.1:{stack.ports['commander_metrics']}/{path}"
    try:
        with urllib.request.urlopen(address, timeout=180) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.read().decode()
    except OSError:  # it is being started again
        return "{}"


def health(stack):
    return json.loads(fetch(stack, "health"))


def order(stack, device=SLEEPER, ttl="2m"):
    return stack.muster_json("command", "send", device, "ping", "--ttl", ttl)["id"]


def state_of(stack, command):
    return stack.value("select state from command where id = %s", command)


def dispatches(stack, command):
    return stack.rows("select fcm_status, http_status, latency_ms, request_id, action, ended_at is not null from fcm_dispatch "
                      "where command = %s order by started_at", command)


def wait_done(stack, command, seconds=180):
    wait_for(lambda: state_of(stack, command) == "succeeded", "the command to be done", seconds)


def statuses(stack, command):
    return [row[0] for row in dispatches(stack, command)]


def percentile(times, share):
    return sorted(times)[round(share * (len(times) - 1))]


def done_once(stack, command):
    return stack.value("select count(*) from command_event where command = %s and state = 'succeeded'", command) == 1


# ---- the whole loop ----

def test_a_sleeping_device_is_woken_for_its_command(stack, fcm, asleep):
    taken = fcm.pushes()[TOKEN]
    done = stack.muster("command", "send", SLEEPER, "ping", "--wait", "--timeout", "180s", "--json")
    command = json.loads(done.stdout)
    assert command["state"] == "succeeded"
    assert fcm.pushes()[TOKEN] == taken + 1
    (status, http_status, latency, request_id, action, ended), = wait_for(
        lambda: [row for row in dispatches(stack, command["id"]) if row[5]], "the outcome of the push")
    assert (status, http_status, action, ended) == ("OK", 200, "ping", True)
    assert 0 <= latency < 2 * TIMEOUT_S * 1000
    assert request_id == command["request_id"] != ""
    assert wait_for(lambda: stack.value("select woken_at >= created_at from command where id = %s", command["id"]), "woken_at")
    assert wait_for(lambda: stack.value("select delay_count from device_wake where device = %s", SLEEPER), "the delay to be learnt")
    assert 0 < stack.value("select delay_ms from device_wake where device = %s", SLEEPER) < 180000


def test_how_long_it_takes(stack, fcm, asleep, capsys):
    """Request -> push -> the device connects -> the command is executed and closed, by the database's clock."""
    commands = []
    for _ in range(ROUNDS):
        commands.append(order(stack))
        wait_done(stack, commands[-1])
        asleep.wait_asleep()
    pushed, done = zip(*stack.rows(LATENCY_SQL, commands))
    assert len(done) == ROUNDS
    text = ", ".join(f"{what} p50 {percentile(times, 0.5):.0f}, p99 {percentile(times, 0.99):.0f}"
                     for what, times in (("pushed", pushed), ("executed", done)))
    with capsys.disabled():
        print(f"\nwake latency of {ROUNDS} commands, in ms from the request: {text}")
    assert 0 <= percentile(pushed, 0.5) <= percentile(done, 0.5) < 30000


def test_a_push_says_no_more_than_wake(stack, fcm, asleep):
    command = order(stack)
    wait_done(stack, command)
    _, body, headers = fcm.sends[-1]
    ttl = body["message"]["android"].pop("ttl")
    assert ttl.endswith("s") and 0 < int(ttl[:-1]) <= 120
    assert body == {"message": {"token": TOKEN, "data": {"muster": "wake"},
                                "android": {"priority": "HIGH", "collapse_key": "muster-wake"}}}
    assert command not in json.dumps(headers) and headers["x-request-id"] == dispatches(stack, command)[0][3]


def test_its_token_is_nobody_elses_business(stack, asleep):
    assert stack.rows("select token from device_push where device = %s and retired_at is null", SLEEPER) == [(TOKEN,)]
    assert not stack.rows("select from event where body::text like %s", f"%{TOKEN}%")
    assert not stack.rows("select from quarantine where payload::text like %s", f"%{TOKEN}%")
    for log in (stack.state / "log").glob("*.log"):
        assert TOKEN not in log.read_text(errors="replace"), log


def test_sleep_is_told_from_absence(stack, asleep):
    shown = stack.muster_json("device", "show", SLEEPER)
    assert (shown["status"], shown["evidence"]) == ("offline", "sleep")
    assert "sleeps" in shown["why"] and "heartbeat" in shown["why"]
    assert shown["wake"]["push"]["platform"] == "fcm" and shown["wake"]["push"]["retired_at"] is None
    assert shown["wake"]["delay_count"] >= 1
    assert TOKEN not in json.dumps(shown)
    assert "Wakes" in stack.muster("device", "show", SLEEPER).stdout


def test_a_command_shows_its_wakes(stack, asleep):
    command = order(stack)
    wait_done(stack, command)
    wait_for(lambda: dispatches(stack, command)[0][5], "the outcome of the push")
    shown = stack.muster_json("command", "status", command)
    assert [wake["fcm_status"] for wake in shown["wakes"]] == ["OK"] and shown["woken_at"]
    assert "woken" in stack.muster("command", "status", command).stdout


def test_by_hand_without_a_command(stack, fcm, asleep):
    pushed, before = fcm.pushes()[TOKEN], contacts(stack)
    stack.muster("device", "wake", SLEEPER)
    wait_for(lambda: contacts(stack) > before, "contact")
    assert fcm.pushes()[TOKEN] == pushed + 1
    refused = stack.muster("device", "wake", "nobody-1", check=False)
    assert refused.returncode == 3, refused.stderr
    stack.enroll("deaf-1")
    refused = stack.muster("device", "wake", "deaf-1", check=False)
    assert refused.returncode == 1 and "push token" in refused.stderr


def test_one_who_is_online_is_woken_only_when_it_does_not_answer(stack, fcm, asleep):
    with Device(stack, "dozer-1") as device:
        device.publish("event", {"type": "hello", "push_token": "dozer:token"})
        wait_for(lambda: stack.rows("select from device_push where device = 'dozer-1'"), "its push token")
        command = order(stack, "dozer-1")
        wait_for(lambda: statuses(stack, command) == ["OK"], "a push")
        assert stack.value("select extract(epoch from d.started_at - c.sent_at)::float8 from fcm_dispatch d join command c "
                           "on c.id = d.command where c.id = %s", command) >= PATIENCE_S
        device.publish("result", device.next(command=command, state="succeeded", output={}))
        wait_done(stack, command)
        assert stack.value("select delay_count from device_wake where device = 'dozer-1'") >= 1, "an answer is contact too"


def test_one_who_is_revoked_is_left_alone(stack, fcm, woken):
    stack.rows("insert into device (device, enabled) values ('cut-1', false) returning 1")
    stack.rows("insert into device_push (device, token) values ('cut-1', 'cut:token') returning 1")
    stack.rows("insert into device_wake (device, due_at, asked_at) values ('cut-1', now(), now()) returning 1")
    wait_for(lambda: stack.value("select due_at is null from device_wake where device = 'cut-1'"), "commander to have looked")
    assert fcm.pushes()["cut:token"] == 0 and not stack.rows("select from fcm_dispatch where device = 'cut-1'")


# ---- what the push service may answer (fault 14) ----

RETRIED = {"busy": ("QUOTA_EXCEEDED", 429), "internal": ("INTERNAL", 500), "unavailable": ("UNAVAILABLE", 503),
           "hang": ("TIMEOUT", None)}


@pytest.mark.parametrize("answer", RETRIED)
def test_a_failure_is_tried_again(stack, fcm, asleep, answer):
    fcm.plan(answer)
    first = len(fcm.sends)
    command = order(stack)
    if answer == "busy":
        wait_for(lambda: health(stack)["wake"]["state"] == "paused", "pushing to pause")
        assert "muster_fcm_breaker_state 2" in fetch(stack, "metrics")
    wait_done(stack, command)
    rows = wait_for(lambda: [row for row in dispatches(stack, command)] if dispatches(stack, command)[-1][5] else None,
                    "the outcome")
    assert (rows[0][0], rows[0][1]) == RETRIED[answer]
    assert rows[-1][0] == "OK" and len(rows) == 2
    waited = fcm.sends[first + 1][0] - fcm.sends[first][0]
    assert waited >= (fcm.retry_after_s if answer == "busy" else 1.0), "Retry-After, or the backoff"
    assert done_once(stack, command)


def test_a_refused_access_token_is_replaced_once(stack, fcm, asleep):
    before = len(fcm.tokens)
    fcm.plan("expired")
    command = order(stack)
    wait_done(stack, command)
    assert wait_for(lambda: dispatches(stack, command)[0][5] and statuses(stack, command), "the outcome") == ["OK"]
    assert len(fcm.tokens) == before + 1


def test_an_access_token_that_ended_is_replaced(stack, fcm, asleep):
    fcm.expires_in = 1
    try:
        fcm.plan("expired")
        wait_done(stack, order(stack))  # now there is one that lives for a second
        asleep.wait_asleep()
        before = len(fcm.tokens)
        time_left = time.monotonic() + 1.2
        wait_for(lambda: time.monotonic() > time_left, "its end")
        command = order(stack)
        wait_done(stack, command)
        assert len(fcm.tokens) == before + 1 and statuses(stack, command)[0] in ("OK", "")
    finally:
        fcm.expires_in = 3600


def test_a_bad_request_is_named_and_not_tried_again(stack, fcm, asleep):
    fcm.plan("invalid")
    command = order(stack)
    wait_for(lambda: statuses(stack, command) == ["INVALID_ARGUMENT"], "the outcome")
    wait_for(lambda: stack.value("select due_at is null from device_wake where device = %s", SLEEPER), "the ladder to rest")
    said = logged(stack, "fcm.push")[-1]
    assert (said["status"], said["http_status"], said["reason"]) == ("INVALID_ARGUMENT", 400, "Not a token.")
    asleep.command("wake")  # the device comes by itself
    wait_done(stack, command)
    assert len(dispatches(stack, command)) == 1


def test_a_token_that_nobody_has_is_retired(stack, fcm, asleep):
    fcm.plan("unregistered")
    command = order(stack)
    wait_for(lambda: statuses(stack, command) == ["UNREGISTERED"], "the outcome")
    assert stack.rows("select retired_reason from device_push where device = %s and retired_at is not null",
                      SLEEPER) == [("UNREGISTERED",)]
    asleep.command("wake")
    wait_done(stack, command)
    asleep.wait_asleep()
    assert stack.value("select retired_at is not null from device_push where device = %s", SLEEPER), "hello said the same again"
    again = order(stack)
    wait_for(lambda: state_of(stack, again) == "sent", "the command to be published")
    fcm.wakers["dQw:a-new_token"] = fcm.wakers[TOKEN]
    asleep.command("push-token", "--token", "dQw:a-new_token")  # the running agent tells at once
    wait_done(stack, again)
    assert dispatches(stack, again) == []
    asleep.wait_asleep()
    last = order(stack)
    wait_done(stack, last)
    assert fcm.pushes()["dQw:a-new_token"] == 1
    asleep.command("push-token", "--token", TOKEN)
    wait_for(lambda: stack.rows("select from device_push where device = %s and token = %s and retired_at is null", SLEEPER, TOKEN),
             "the old one to be known again")


def test_a_service_that_is_away_opens_the_breaker(stack, fcm, asleep):
    fcm.stop()
    try:
        command = order(stack)
        wait_for(lambda: "UNREACHABLE" in statuses(stack, command), "a push that reaches nobody")
        wait_for(lambda: health(stack)["wake"]["breaker"] == "open", "the breaker to open")
        assert health(stack)["status"] == "ok", "all else works"
        assert len(statuses(stack, command)) >= 3
    finally:
        fcm.released.clear()
        fcm.start()
    wait_done(stack, command, 60)
    wait_for(lambda: health(stack)["wake"]["breaker"] == "closed", "the breaker to close")
    assert done_once(stack, command)


# ---- commander dies; two commanders ----

def test_commander_dies_in_the_middle_of_a_push(stack, fcm, asleep):
    fcm.plan("hang")
    command = order(stack)
    wait_for(lambda: statuses(stack, command) == [""], "a push under way")
    stack.kill("commander")
    wait_done(stack, command, LEASE_S + 30)
    assert wait_for(lambda: statuses(stack, command) == ["ABANDONED", "OK"] or None, "the second push's outcome")
    assert done_once(stack, command)


def test_two_commanders_push_once(stack, fcm, asleep):
    names = [f"twin-{number}" for number in range(12)]
    for name in names:
        stack.rows("insert into device (device, enrolled_at) values (%s, now()) returning 1", name)
        stack.rows("insert into device_push (device, token) values (%s, %s) returning 1", name, f"{name}:token")
    log = stack.state / "log/commander-2.log"
    with open(log, "w") as out:
        process = subprocess.Popen(
            [stack.bin / "muster-commander", "--config", stack.state / "conf/commander.conf"], stdout=out,
            stderr=subprocess.STDOUT, env=os.environ | {"MUSTER_COMMANDER_BROKER_CLIENT_ID": "svc.commander.b",
                                                        "MUSTER_COMMANDER_HTTP_PORT": "0"}, **stack.owner())
    try:
        wait_for(lambda: "broker.connected" in log.read_text(), "the second commander")
        stack.rows("insert into command (device, action, requested_by) select unnest(%s::text[]), 'ping', 'test' returning 1", names)
        wait_for(lambda: stack.value("select count(*) from fcm_dispatch where device like 'twin-%%' and fcm_status = 'OK'") >= 12,
                 "a push for each")
        rows = stack.rows("select device, count(*) from fcm_dispatch d where device like 'twin-%%' and started_at < (select "
                          "min(started_at) from fcm_dispatch o where o.device = d.device) + interval '2 seconds' group by device")
        assert sorted(rows) == sorted((name, 1) for name in names)
        assert stack.value("select count(*) from command where device like 'twin-%%' and woken_at is not null") == 12
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(180)


# ---- the agent's door ----

def test_the_wake_socket_is_its_owners_and_survives_a_kill(stack, asleep):
    assert asleep.socket.stat().st_mode & 0o777 == 0o600
    asleep.stop(signal.SIGKILL)
    assert asleep.socket.exists()
    refused = asleep.command("wake", check=False)
    assert refused.returncode == 1 and "muster-agent run" in refused.stderr
    asleep.start()
    wait_for(lambda: asleep.command("wake", check=False).returncode == 0, "the agent to listen again")
    asleep.wait_asleep()


def test_a_flood_of_wakes_is_one_a_second(stack, asleep):
    before, start = len(asleep.events("agent.woken")), time.monotonic()
    for _ in range(20):
        asleep.command("wake")
    wait_for(lambda: len(asleep.events("agent.woken")) > before, "one of them to count")
    assert len(asleep.events("agent.woken")) - before <= time.monotonic() - start + 2
    asleep.wait_asleep()


def test_it_was_http2_all_over_one_connection(stack, fcm, woken):
    """A fresh commander, ten pushes: one connection to the proxy, for token and pushes alike."""
    stack.muster("stack", "restart", "commander")
    wait_for(lambda: health(stack).get("wake", {}).get("state") == "ready", "commander")
    seen = len(fcm.accesses())
    for number in range(10):
        name = f"many-{number}"
        stack.rows("insert into device (device, enrolled_at) values (%s, now()) returning 1", name)
        stack.rows("insert into device_push (device, token) values (%s, %s) returning 1", name, f"{name}:token")
        stack.rows("insert into command (device, action, requested_by) values (%s, 'ping', 'test') returning 1", name)
    wait_for(lambda: stack.value("select count(*) from fcm_dispatch where device like 'many-%%' and fcm_status = 'OK'") >= 10,
             "ten pushes")
    new = wait_for(lambda: fcm.accesses()[seen:] if len(fcm.accesses()) >= seen + 11 else None, "the proxy's log")
    assert {protocol for _, protocol in new} == {"h2"}
    assert len({port for port, _ in new}) == 1, new
    assert "muster_fcm_connections 1\n" in fetch(stack, "metrics")
