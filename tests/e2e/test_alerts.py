"""Alerts: every kind is raised and cleared, a restart of any part raises none, a fleet that goes is one message, and webhooks
are CloudEvents that anybody can check. How states and times follow each other is tried in tests/unit/commander/alert_test.c and
notify_test.c, over days."""
import http.server
import json
import pathlib
import shutil
import subprocess
import threading
import time

import psycopg
import pytest

from page import browse
from stack import Device, run, wait_for
from support.mailbox import PASSWORD, USER, Mailbox

SIMS = 20
BEARER = "gateway.token-of_the~receiver+1/2="
HOLDOFF_S = 4
CONFIG = """
smtp: {{ url = "smtp://localhost:{mail.port}"; from = "muster@example.org"; user = "{user}"; password_file = "{password}";
    ca_file = "{mail.ca}"; }};
webhook: {{ key_file = "{state}/keys/webhook.key"; reach = "any"; retry_s = 1; breaker_open_s = 1; timeout_s = 20; }};
alert: {{ look_s = 1; holdoff_s = {holdoff}; flap_s = 600; }};
"""


class Fleet:
    """Simulated devices that can go, all at once, and come back."""

    def __init__(self, stack):
        self.stack, self.process = stack, None
        self.folder = stack.state / "fleet"
        self.folder.mkdir()
        token = stack.state / "fleet-token"
        token.write_text(stack.token("--uses", str(SIMS)))
        token.chmod(0o600)
        self.command = [stack.bin / "muster-sim", "run", "--state", self.folder, "--bridge",
                        f"https://localhost:{stack.ports['bridge']}", "--ca", stack.state / "ca/service.crt", "--token-file", token,
                        "--count", str(SIMS), "--interval-ms", "5000", "--backoff-ms", "500"]

    def start(self):
        with open(self.stack.state / "log/fleet.log", "a") as log:
            self.process = subprocess.Popen([str(word) for word in self.command], stdout=log, stderr=subprocess.STDOUT)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def online(self):
        return self.stack.value("select count(*) from device_state where presence = 'online' and device like 'sim-%%'") == SIMS


class Receiver:
    """A webhook of somebody else's: keeps what it gets; script: statuses that the next requests are answered with."""

    def __init__(self):
        self.requests, self.script = [], []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.requests.append((dict(self.headers), body))
                status = outer.script.pop(0) if outer.script else 204
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def events(self):
        return [json.loads(body) for _, body in list(self.requests)]


class Api:
    def __init__(self, stack):
        self.stack = stack
        self.token = (stack.state / "api-token").read_text().strip()

    def ask(self, method, path, body=None):
        arguments = ["curl", "-sS", "--cacert", self.stack.state / "ca/service.crt", "-X", method, "-H",
                     f"Authorization: Bearer {self.token}", "-w", "\n%{http_code}",
                     f"https://localhost:{self.stack.ports['dashboard']}/api/v1/{path}"]
        if body is not None:
            arguments += ["-H", "Content-Type: application/json", "--data-binary", json.dumps(body)]
        text, status = run(*arguments).stdout.rsplit("\n", 1)
        return int(status), json.loads(text)

    def __call__(self, method, path, body=None):
        status, answer = self.ask(method, path, body)
        assert 200 <= status < 300, (status, answer)
        return answer

    def rule(self, kind, params, **members):
        name = f"{kind} {members.get('query', '')} {time.monotonic_ns()}"
        return self("POST", "alert-rules", {"name": name, "kind": kind, "params": params, "clear_s": 0, **members})["id"]

    def alerts(self, rule, state="active"):
        return self("GET", f"alerts?rule={rule}&state={state}&limit=500")["items"]

    def wait(self, rule, count=1, state="active", seconds=180):
        return wait_for(lambda: len(self.alerts(rule, state)) == count and self.alerts(rule, state) or (count == 0 and [True]
                        if not self.alerts(rule, state) else None), f"{count} alerts {state} of rule {rule}", seconds)


@pytest.fixture(scope="module")
def mailbox(stack):
    server = Mailbox(stack.state / "mail")
    password = stack.state / "mail/password"
    password.write_text(PASSWORD + "\n")
    password.chmod(0o600)
    for file in (stack.state / "mail").iterdir() if stack.owner() else ():
        shutil.chown(file, stack.owner()["user"], stack.owner()["group"])
    path = stack.state / "conf/commander.conf"
    text = "".join(line for line in path.read_text().splitlines(True) if not line.startswith("webhook"))
    path.write_text(text + CONFIG.format(mail=server, user=USER, password=password, state=stack.state, holdoff=HOLDOFF_S))
    stack.muster("stack", "restart", "commander")
    # What a new installation begins with is looked at in one test; here rules are made as they are needed.
    stack.rows("update alert_rule set enabled = false where enabled returning 1")
    yield server
    server.close()


@pytest.fixture(scope="module")
def receiver():
    server = Receiver()
    yield server
    server.server.shutdown()


@pytest.fixture(scope="module")
def api(stack, mailbox):
    return Api(stack)


@pytest.fixture(scope="module")
def fleet(stack):
    devices = Fleet(stack)
    devices.start()
    yield devices
    devices.kill()


@pytest.fixture(scope="module")
def sees(stack, mailbox):
    wait_for(lambda: stack.rows("select from alert_clock where cell = 1 and sees"), "the clock to run")


def test_an_installation_begins_with_sound_rules(stack, api):
    rules = {rule["kind"]: rule for rule in api("GET", "alert-rules")["items"] if rule["builtin"]}
    kinds = {kind["kind"] for kind in api("GET", "alert-rules/kinds")["items"]}
    assert kinds == set(rules) == {"offline", "metric", "disk", "battery", "fingerprint", "certificate", "command", "campaign",
                                   "quarantine", "ingest", "push"}
    assert api.ask("POST", "alert-rules", {"name": "x", "kind": "disk", "params": {"above": 101}})[0] == 422
    assert api.ask("POST", "alert-rules", {"name": "x", "kind": "disk", "query": "battery<"})[0] == 422
    assert api.ask("GET", "alerts?state=open")[0] == 400


def test_every_kind_about_devices_is_raised_and_cleared(stack, api, sees):
    """One device that goes through all of it."""
    with Device(stack, "probe") as device:
        def say(**values):
            device.publish("telemetry", device.next(**values))

        device.publish("event", {"type": "hello", "interval_s": 5, "fingerprint": "a" * 64})
        say(load1=1, disk_total=100, disk_free=5, battery_pct=5, charging=False, pressure=30)
        device.wait_stored()
        query = {"query": "device:probe"}
        rules = {
            "disk": api.rule("disk", {"above": 90, "for_s": 0}, **query),
            "battery": api.rule("battery", {"below": 10, "for_s": 0}, **query),
            "custom": api.rule("metric", {"metric": "pressure", "value": 20, "for_s": 1}, **query),
            "below": api.rule("metric", {"metric": "load1", "when": "below", "value": 2, "for_s": 0, "margin": 3}, **query),
            "certificate": api.rule("certificate", {"days": 3650}, **query),
            "fingerprint": api.rule("fingerprint", {"count": 1}, **query),
            "command": api.rule("command", {"count": 2, "window_s": 3600}, **query),
            "elsewhere": api.rule("disk", {"above": 90, "for_s": 0}, query="device:nobody"),
        }
        stack.rows("update device set mismatches = 1, mismatch_at = now() where device = 'probe' returning 1")
        for _ in range(2):
            stack.rows("insert into command (device, action, state, requested_by, finished_at) values"
                       " ('probe', 'ping', 'failed', 'test', now()) returning 1")

        def again():
            say(load1=1, disk_total=100, disk_free=5, battery_pct=5, charging=False, pressure=30)
            return {name for name, rule in rules.items() if api.alerts(rule)}

        wait_for(lambda: again() == set(rules) - {"elsewhere"}, "an alert of each kind")
        assert api.alerts(rules["elsewhere"]) == []
        # What each would have hit is told without making it.
        for name, rule in rules.items():
            made = api("GET", f"alert-rules/{rule}")
            hits = api("POST", "alert-rules/preview", {member: made[member] for member in ("kind", "params", "query")})
            assert hits.pop("looks_for") == made["looks_for"] and "_" not in made["looks_for"]
            expected = {"devices": 0, "hits": 0, "examples": []} if name == "elsewhere" else {"devices": 1, "hits": 1, "examples": ["probe"]}
            assert hits == expected, name
        assert api.ask("POST", "alert-rules/preview", {"kind": "ingest"})[0] == 422
        disk = api.alerts(rules["disk"])[0]
        assert (disk["object"], disk["title"], disk["value"]) == ("probe", "the disk is 95 % full", 95)
        # Within the margin it is still on; beyond it, over. A person clears what does not go away by itself.
        say(load1=4, disk_total=100, disk_free=11, battery_pct=80, charging=False, pressure=1)
        api.wait(rules["custom"], 0)
        api.wait(rules["battery"], 0)
        assert len(api.alerts(rules["disk"])) == 1 and len(api.alerts(rules["below"])) == 1, "89 % and 4: within the margins"
        say(load1=6, disk_total=100, disk_free=50, battery_pct=80, charging=False, pressure=1)
        api.wait(rules["disk"], 0)
        api.wait(rules["below"], 0)
        assert api.ask("POST", f"alerts/{api.alerts(rules['certificate'])[0]['id']}/clear", {})[0] == 409
        alert = api.alerts(rules["fingerprint"])[0]["id"]
        assert api("POST", f"alerts/{alert}/clear", {"reason": "its board was exchanged"})["state"] == "cleared"
        stack.rows("update device set mismatches = 2, mismatch_at = now() where device = 'probe' returning 1")
        api.wait(rules["fingerprint"], 1)
        assert api.alerts(rules["fingerprint"])[0]["id"] != alert, "what happened later is another alert"
        # A rule that is switched off, or deleted, takes its alerts along.
        api("PATCH", f"alert-rules/{rules['certificate']}", {"enabled": False})
        assert api.alerts(rules["certificate"]) == []
        for rule in rules.values():
            api("DELETE", f"alert-rules/{rule}")
        assert [a for a in api("GET", "alerts?state=active&limit=500")["items"] if a["rule"] is None] == []


def test_kinds_about_the_whole_are_raised_and_cleared(stack, api, sees):
    quarantine = api.rule("quarantine", {"count": 3, "window_s": 3600})
    campaign = api.rule("campaign", {"ended": 1, "error_pct": 10})
    push = api.rule("push", {"for_s": 0})
    ingest = api.rule("ingest", {"for_s": 0})
    for _ in range(3):
        stack.rows("insert into quarantine (device, topic, reason, payload, bytes) values ('probe', 't', 'r', '', 0) returning 1")
    number = stack.value("insert into campaign (name, action, ttl_s, created_by, state, stopped, reason) values"
                         " ('firmware', 'ping', 60, 'test', 'paused', true, 'too many errors') returning id")
    stack.rows("insert into alert_fact values ('push', 'svc.elsewhere', now() + interval '1 hour', true) returning 1")
    stack.rows("insert into ingest_sight values ('svc.elsewhere', 7, now(), now() - interval '1 minute') returning 1")
    assert api.wait(quarantine)[0]["object"] == "quarantine"
    assert api.wait(campaign)[0]["title"] == "firmware stopped: too many errors"
    assert api.wait(push)[0]["object"] == "svc.elsewhere"
    assert api.wait(ingest)[0]["object"] == "cell 7"
    stack.rows("delete from quarantine where topic = 't' returning 1")
    stack.rows("update campaign set stopped = false, state = 'running' where id = %s returning 1", number)
    stack.rows("delete from alert_fact where object = 'svc.elsewhere' returning 1")
    stack.rows("delete from ingest_sight where client = 'svc.elsewhere' returning 1")
    for rule in (quarantine, campaign, push, ingest):
        api.wait(rule, 0)
        api("DELETE", f"alert-rules/{rule}")


def test_people_act_on_an_alert_and_flapping_is_damped(stack, api, sees):
    rule = api.rule("metric", {"metric": "flapper", "value": 10, "for_s": 0})
    with Device(stack, "flapper") as device:
        def say(value):
            device.publish("telemetry", device.next(flapper=value))

        say(20)
        alert = api.wait(rule)[0]["id"]
        assert api("POST", f"alerts/{alert}/acknowledge", {"comment": "I look"})["acknowledged_by"] == "admin"
        assert [a["id"] for a in stack.muster_json("alert", "list")["items"]] == [alert]
        assert api("POST", f"alerts/{alert}/assign", {"to": "ada"})["assigned_to"] == "ada"
        api("POST", f"alerts/{alert}/comment", {"text": "no idea yet"})
        say(1)
        api.wait(rule, 0)
        say(20)
        back = api.wait(rule)[0]
        assert (back["id"], back["flaps"], back["acknowledged_by"]) == (alert, 1, "admin"), "it is the same alert"
        events = [event["type"] for event in api("GET", f"alerts/{alert}")["events"]]
        assert events == ["raised", "acknowledged", "assigned", "comment", "cleared", "returned"]
        assert api.ask("POST", "alerts/999999/comment", {"text": "x"})[0] == 404
        together = {"ids": [alert, 999999], "comment": "all of it"}
        assert api("POST", "alerts/acknowledge", together) == {"changed": 0}
        assert api("POST", "alerts/acknowledge", {**together, "acknowledged": False}) == {"changed": 1}
        assert api("GET", f"alerts/{alert}")["events"][-1]["text"] == "all of it"
        assert api.ask("POST", "alerts/acknowledge", {"ids": []})[0] == 422
        assert stack.value("select count(*) from audit where target = %s", f"alert {alert}") == 3
    api("DELETE", f"alert-rules/{rule}")


def active(stack, severity):
    text = run("curl", "-sS", f"http://127.0.0.1:{stack.ports['commander_metrics']}/metrics").stdout
    return next(float(line.split()[1]) for line in text.splitlines() if line.startswith(f'muster_alerts_active{{severity="{severity}"}}'))


def test_active_alerts_are_counted(stack, api, sees):
    before = active(stack, "info")
    stack.rows("insert into alert (tenant, rule_name, kind, severity, object, title, since) values ('default', 'Counted', 'offline',"
               " 'info', 'kiosk-9', 'offline since noon', now()) returning 1")
    wait_for(lambda: active(stack, "info") == before + 1, "one more")
    stack.rows("delete from alert where object = 'kiosk-9' returning 1")
    wait_for(lambda: active(stack, "info") == before, "one less")


def test_the_page(stack, api, sees):
    stack.rows("insert into alert (tenant, rule_name, kind, severity, object, device, title, since) values ('default', 'Device"
               " offline', 'offline', 'critical', 'probe', 'probe', 'offline since noon', now()) returning 1")
    browse(stack, "alerts.mjs")
    stack.rows("delete from alert where object = 'probe' returning 1")


def test_a_fleet_that_goes_is_one_message_and_silence_is_kept(stack, api, sees, mailbox, receiver, fleet):
    wait_for(fleet.online, "the simulators")
    rule = api.rule("offline", {"for_s": 1}, query="device:sim-*", severity="critical")
    quiet = api("POST", "silences", {"query": "device:sim-003", "for_s": 600, "reason": "it is in repair"})
    times = {"wait_s": 8, "interval_s": 1, "routes": [{"rule": rule, "severity": "warning"}]}
    hook = api("POST", "channels", {"name": "pager", "kind": "webhook", "url": receiver.url, "bearer": BEARER, **times})
    assert len(hook["secret"]) == 43 and "secret" not in api("GET", "channels")["items"][0]
    assert hook["bearer"] is True
    elsewhere = receiver.url + "/elsewhere"
    assert api.ask("PATCH", f"channels/{hook['id']}", {"url": elsewhere})[0] == 422, "it is not sent to where it was not meant for"
    assert api.ask("PATCH", f"channels/{hook['id']}", {"bearer": "a b"})[0] == 422
    api("POST", "channels", {"name": "ops", "kind": "email", "addresses": ["ops@example.com", "ada@example.com"], **times})
    receiver.script = [500, 302]  # neither counts as taken, and no redirect is followed
    fleet.kill()
    message = mailbox.wait("ops@example.com", seconds=60)[0]
    name = api("GET", f"alert-rules/{rule}")["name"]
    assert message["Subject"] == f"[Muster] critical: {name}: {SIMS - 1} new"
    assert f"  critical: {name} (offline for 1 s)\n    sim-" in message.get_content().replace("\r\n", "\n")
    assert len(mailbox.wait("ada@example.com")) == 1 and f"New ({SIMS - 1})" in message.get_content()
    assert len(api.alerts(rule)) == SIMS, "the silenced one is shown all the same"
    wait_for(lambda: len(receiver.requests) >= 3, "the webhook to be tried until it was taken")
    headers, body = receiver.requests[2]
    assert headers["Muster-Signature"] == signature(stack, hook["secret"], headers["Muster-Timestamp"], body)
    is_from_muster = documented_receiver()
    assert is_from_muster(headers, body, [hook["secret"]]) and is_from_muster(headers, body, [hook["secret"]], BEARER)
    assert not is_from_muster(headers, body, [hook["secret"]], BEARER + "=")
    assert not is_from_muster(headers, body + b" ", [hook["secret"]])
    assert not is_from_muster(headers, body, [hook["secret"]], now=int(headers["Muster-Timestamp"]) / 1000 + 3600)
    assert abs(int(headers["Muster-Timestamp"]) - time.time() * 1000) < 60000
    assert headers["Content-Type"].startswith("application/cloudevents+json")
    events = receiver.events()
    assert len({event["id"] for event in events}) == 1, "it is the same message each time"
    assert (events[2]["specversion"], events[2]["type"], events[2]["data"]["raised"]) == ("1.0", "muster.alerts", SIMS - 1)
    assert events[2]["data"]["alerts"][0]["url"].startswith(f"https://localhost:{stack.ports['dashboard']}/alerts/")
    delivery = wait_for(lambda: (lambda d: d if d["state"] == "sent" else None)(
        api("GET", f"channels/{hook['id']}/deliveries")["items"][0]), "the delivery to be listed")
    assert (delivery["attempts"], delivery["status"]) == (3, 204)
    # With another secret, what was signed with the one before fits as long as both count.
    assert api.ask("POST", f"channels/{hook['id']}/secret", {"overlap_h": 721})[0] == 422
    both = api("POST", f"channels/{hook['id']}/secret", {"overlap_h": 1})
    assert both["secret"] != hook["secret"] and both["old_secret_until"]
    headers, body = message_of_a_test(api, hook, receiver)
    for secret in (hook["secret"], both["secret"]):
        assert is_from_muster(headers, body, [secret], BEARER)
    assert headers["Muster-Signature"] == signature(stack, hook["secret"], headers["Muster-Timestamp"], body), "as before"
    stack.rows("update alert_channel set old_until = now() where id = %s returning 1", hook["id"])
    headers, body = message_of_a_test(api, hook, receiver)
    assert is_from_muster(headers, body, [both["secret"]], BEARER) and not is_from_muster(headers, body, [hook["secret"]], BEARER)
    assert "Muster-Signature-New" not in headers
    assert stack.value("select old_salt from alert_channel where id = %s", hook["id"]) == "", "it is forgotten"
    # At once, and without a bearer secret.
    renewed = api("POST", f"channels/{hook['id']}/secret")
    assert api("PATCH", f"channels/{hook['id']}", {"bearer": None})["bearer"] is False
    seen = len(receiver.requests)
    fleet.start()
    # They come back: one message more. The one that was silenced was never mentioned.
    wait_for(lambda: sum(event["data"]["cleared"] for event in receiver.events()) == SIMS - 1, "all to be told as cleared")
    headers, body = receiver.requests[-1]
    assert headers["Muster-Signature"] == signature(stack, renewed["secret"], headers["Muster-Timestamp"], body)
    assert headers["Muster-Signature"] != signature(stack, both["secret"], headers["Muster-Timestamp"], body)
    assert "Authorization" not in headers
    assert b"sim-003" not in b"".join(body for _, body in receiver.requests)
    assert len({event["id"] for event in receiver.events()[seen:]}) <= 2
    for said in (hook["secret"], both["secret"], renewed["secret"], BEARER):
        secrets_are_nowhere(stack, api, said)
    api("DELETE", f"silences/{quiet['id']}")
    api("DELETE", f"alert-rules/{rule}")


def documented_receiver():
    """What docs/webhooks.md gives to copy; unless told otherwise, asked a moment after the message was made."""
    text = (pathlib.Path(__file__).parents[2] / "docs/webhooks.md").read_text()
    code = {}
    exec(text.split("```python\n")[1].split("```")[0], code)
    example = code["is_from_muster"]
    return lambda headers, body, secrets, bearer=None, now=None: example(
        headers, body, secrets, bearer, now or int(headers["Muster-Timestamp"]) / 1000 + 1)


def message_of_a_test(api, channel, receiver):
    """The test message of a channel: its headers and body."""
    before = {event["id"] for event in receiver.events()}
    api("POST", f"channels/{channel['id']}/test")

    def arrived():
        return next((request for request in list(receiver.requests) if json.loads(request[1])["type"] == "muster.alerts.test"
                     and json.loads(request[1])["id"] not in before), None)

    return wait_for(arrived, "the test message")


def signature(stack, secret, timestamp, body):
    """What openssl makes of it."""
    key = stack.state / "webhook-secret"
    key.write_bytes(f"{timestamp}.".encode() + body)
    return run("openssl", "dgst", "-sha256", "-hmac", secret, key).stdout.split()[-1]


def secrets_are_nowhere(stack, api, secret):
    """Not in a log, not in the database, in no answer but the one that it was made in."""
    for log in (stack.state / "log").glob("*.log"):
        assert secret not in log.read_text(errors="replace"), log
    dump = run("/usr/lib/postgresql/15/bin/pg_dump", "-h", stack.state / "run", "-p", "5432", "-U", "muster_owner", "-a",
               "-t", "alert*", "-t", "audit*", "muster").stdout
    assert "pager" in dump and secret not in dump
    assert secret not in json.dumps([api("GET", "channels"), api("GET", "audit?limit=500")])


def test_a_restart_of_any_part_raises_none(stack, api, sees, fleet, receiver):
    """for_s is far below what a restart takes: only that nothing is counted while nobody could see keeps it quiet."""
    wait_for(fleet.online, "the simulators")
    rule = api.rule("offline", {"for_s": 1}, query="device:sim-*")
    api("POST", "channels", {"name": "watch", "kind": "webhook", "url": receiver.url, "wait_s": 0, "interval_s": 1,
                             "routes": [{"rule": rule}]})
    receiver.requests.clear()
    counted = "select clock_ms from alert_clock where cell = 1 and sees and ticked_at > now() - interval '3 seconds'"

    def seen(since):
        """Time is counted again; when it stopped, after that."""
        try:
            return fleet.online() and stack.rows(counted) and (since is None or stack.rows(
                "select from alert_sight where cell = 1 and sees and at > %s", since))
        except psycopg.Error:  # the database is one of the parts
            return None

    # Those without which devices can be seen all the same, then those whose absence stops the clock, one after the other.
    for part in ("dashboard", "bridge", "commander", "postgres", "ingest", "broker"):
        since = stack.value("select clock_timestamp()") if part in ("ingest", "broker") else None
        if part in ("postgres", "broker"):
            stack.muster("stack", "restart", part, check=False)
        else:
            stack.kill(part)
        wait_for(lambda since=since: seen(since), f"time to be counted after {part}")
        clock = stack.value("select clock_ms from alert_clock where cell = 1")
        wait_for(lambda clock=clock: stack.value("select clock_ms from alert_clock where cell = 1") > clock + 1500, "time")
        assert stack.rows("select object, raised_at from alert where rule = %s", rule) == [], part
    assert receiver.requests == []
    # The control: the same rule sees devices that really go, and somebody is told.
    fleet.kill()
    wait_for(lambda: sum(event["data"]["raised"] for event in receiver.events()) == SIMS, "all to be told")
