"""Devices that register themselves: by the real agent from nothing to its first heartbeat, and what people decide on the way."""
import base64
import hashlib
import json
import os
import secrets
import signal
import subprocess
import time
import urllib.parse

import pytest
from page import browse
from stack import run, wait_for

STEPS = ["register.key", "register.secret", "register.asked", "register.answered", "register.kept"]


# ---- the peers ----
class Applicant:
    """A device made of openssl and curl."""

    def __init__(self, stack, name, **members):
        self.stack, self.name = stack, name
        self.key, self.csr = stack.csr(name)
        self.secret = base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        self.members = members

    def ask(self, **members):
        body = {"csr": self.csr, "secret": self.secret, "device": self.name, **self.members, **members}
        return self.stack.post("/v1/registration", body)

    def poll(self, secret=None):
        return bridge_get(self.stack, "/v1/registration", secret or self.secret)

    @property
    def id(self):
        run("openssl", "ec", "-in", self.key, "-pubout", "-outform", "DER", "-out", f"{self.key}.der")
        with open(f"{self.key}.der", "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()[:16]


def bridge_get(stack, path, secret):
    done = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", "-H", "@-", "-w", "\n%{http_code}",
               f"https://localhost:{stack.ports['bridge']}{path}", input=f"Authorization: Bearer {secret}\n")
    text, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(text)


def api(stack, method, path, body=None, key=None):
    """(status, parsed body) from the dashboard; key: an API key, by default the administrator's."""
    key = key or (stack.state / "api-token").read_text().strip()
    data = ["--data-binary", json.dumps(body)] if body is not None else []
    done = run("curl", "-sS", "-X", method, "--cacert", stack.state / "ca/service.crt", "-H", "@-", *data,
               "-w", "\n%{http_code}", f"https://localhost:{stack.ports['dashboard']}/api/v1{path}",
               input=f"Authorization: Bearer {key}\nContent-Type: application/json\n")
    text, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(text)


def key_of_role(stack, role):
    key = secrets.token_urlsafe(32)
    stack.rows("insert into user_account (name, role) values (%s, %s) on conflict do nothing returning 1", f"test-{role}", role)
    stack.rows("insert into access_token (token_hash, kind, user_name, label, expires_at) values (%s, 'api', %s, 'test',"
               " now() + interval '1 hour') returning 1", hashlib.sha256(key.encode()).digest(), f"test-{role}")
    return key


class Agent:
    """The real agent, with a state folder and a configuration of its own."""

    def __init__(self, stack, name):
        self.stack, self.name = stack, name
        self.folder = stack.state / "test-agents" / name
        self.folder.mkdir(parents=True)
        self.state, self.config = self.folder / "state", self.folder / "agent.conf"
        self.config.write_text(
            f'state_dir = "{self.state}";\ninterval_s = 1;\n'
            f'bridge = {{ url = "https://localhost:{stack.ports["bridge"]}"; ca_file = "{stack.state}/ca/service.crt"; }};\n'
            f'broker = {{ host = "localhost"; port = {stack.ports["devices"]}; }};\n')
        self.output, self.process = self.folder / "output", None

    def register(self, *arguments, crash=None):
        """Starts `muster-agent register`."""
        environment = dict(os.environ, **({"MUSTER_CRASH_AT": crash} if crash else {}))
        with open(self.output, "a") as output:
            self.process = subprocess.Popen(
                [self.stack.bin / "muster-agent", "register", "--config", self.config, "--device", self.name, *arguments],
                stdout=output, stderr=subprocess.STDOUT, env=environment)

    def wait(self, seconds=180):
        return self.process.wait(seconds)

    def text(self):
        return self.output.read_text()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def pending(stack, *arguments):
    return {item["wish"]: item for item in stack.muster_json("device", "pending", *arguments)["items"]}


def wait_pending(stack, name):
    return wait_for(lambda: pending(stack).get(name), f"the registration of {name}")


def state_of(stack, name):
    rows = stack.rows("select state, device, reason, decided_by from registration where wish = %s", name)
    return rows[0] if rows else None


@pytest.fixture
def fresh_bridge(stack):
    """A bridge whose table of failed tries is empty, before and after."""
    def renew():
        stack.kill("bridge")
        wait_for(lambda: run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", f"https://localhost:{stack.ports['bridge']}/ready",
                             check=False).returncode == 0, "the bridge")

    renew()
    yield
    renew()


@pytest.fixture(scope="module", autouse=True)
def poll_each_second():
    """What the bridges of this module tell devices that wait."""
    os.environ["MUSTER_BRIDGE_REGISTRATION_POLL_S"] = "1"
    yield
    del os.environ["MUSTER_BRIDGE_REGISTRATION_POLL_S"]


# ---- the whole journey ----
def test_from_nothing_to_the_first_heartbeat(stack):
    with Agent(stack, "till-1") as agent:
        agent.register("--serial", "SN-1", "--run")
        item = wait_pending(stack, "till-1")
        assert item["serial"] == "SN-1" and item["info"]["os"] and len(item["fingerprint"]) == 64
        assert item["id"] in agent.text(), "people compare the id with what the device shows"
        stack.muster("device", "approve", item["id"], "--tags", "shop,north", "--reason", "seen on the shelf")
        wait_for(lambda: stack.rows("select 1 from telemetry where device = 'till-1'"), "its first heartbeat")
        assert stack.value("select tags from device where device = 'till-1'") == ["shop", "north"]
        assert state_of(stack, "till-1") == ("issued", "till-1", "seen on the shelf", "admin")
        events = stack.rows("select type, reason from enrollment_event where registration = %s order by id", item["id"])
        assert [row[0] for row in events] == ["register", "approve", "issue"]
        assert events[1][1] == "by admin: seen on the shelf"
        assert stack.rows("select actor, detail->>'reason' from audit where action = 'registration.approve' and target = %s",
                          item["id"]) == [("admin", "seen on the shelf")]
        assert not (agent.state / "registration.json").exists()
        agent.process.terminate()
        assert agent.wait() == 0
    with Agent(stack, "till-1b") as again:
        again.state = agent.state
        again.config.write_text(agent.config.read_text())
        again.register()
        assert again.wait() == 0 and "already enrolled as till-1" in again.text()


def test_killed_at_each_step_it_goes_on_where_it_was(stack):
    for step in STEPS:
        name = "kill-" + step.replace(".", "-")
        with Agent(stack, name) as agent:
            if step in ("register.key", "register.secret", "register.asked"):
                agent.register(crash=step)
                assert agent.wait() == -signal.SIGKILL, agent.text()
                agent.register()
                item = wait_pending(stack, name)
                stack.muster("device", "approve", item["id"])
            else:
                agent.register(crash=step)
                item = wait_pending(stack, name)
                stack.muster("device", "approve", item["id"])
                assert agent.wait() == -signal.SIGKILL, agent.text()
                agent.register()
            assert agent.wait() == 0, agent.text()
            assert not (agent.state / "registration.json").exists()
        assert stack.value("select count(*) from registration where wish = %s", name) == 1
        assert stack.value("select count(*) from certificate where device = %s", name) == 1
        assert stack.rows("select type from enrollment_event where device = %s and type in ('issue', 'refused')", name) == [("issue",)]


def test_a_lost_secret_costs_a_new_key_and_nothing_else(stack):
    with Agent(stack, "lost-1") as agent:
        agent.register("--wait", "0")
        assert agent.wait() == 6, agent.text()
        (agent.state / "registration.json").unlink()
        agent.register("--wait", "0")
        assert agent.wait() == 6, agent.text()
        assert "new key" in agent.text()
        assert stack.value("select count(distinct key_sha256) from registration where wish = 'lost-1'") == 2


def test_rejection_ends_it_with_the_reason(stack):
    with Agent(stack, "stranger-1") as agent:
        agent.register()
        item = wait_pending(stack, "stranger-1")
        stack.muster("device", "reject", item["id"], "--reason", "nobody knows it")
        assert agent.wait() == 4
        assert "nobody knows it" in agent.text()
        assert state_of(stack, "stranger-1") == ("rejected", None, "nobody knows it", "admin")
        assert stack.rows("select 1 from device where device = 'stranger-1'") == []
        # A person may think again; the device only has to be started.
        stack.muster("device", "approve", item["id"])
        agent.register()
        assert agent.wait() == 0, agent.text()
        done = stack.muster("device", "reject", item["id"], check=False)
        assert done.returncode != 0 and "issued already" in done.stderr


def test_approval_while_the_bridge_is_away(stack):
    with Agent(stack, "away-1") as agent:
        agent.register()
        item = wait_pending(stack, "away-1")
        os.kill(stack.pid("bridge"), signal.SIGSTOP)
        try:
            stack.muster("device", "approve", item["id"])
        finally:
            stack.kill("bridge")
        assert agent.wait() == 0, agent.text()
    with Agent(stack, "away-2") as agent:
        stack.muster("down")
        agent.register()
        wait_for(lambda: "trying again" in agent.text(), "the agent to notice")
        stack.up()
        item = wait_for(lambda: pending(stack).get("away-2"), "its registration")
        stack.muster("device", "approve", item["id"])
        assert agent.wait() == 0, agent.text()


# ---- the list of serial numbers ----
def test_pre_approval_by_serial_number(stack):
    path = stack.state / "serials.csv"
    path.write_text("serial,device,tags\nSN-100,kiosk-100,shop;west\nSN-101\nSN-102,Kiosk_102\nSN-100,kiosk-103\n")
    done = stack.muster("device", "preapprove", path, check=False)
    assert done.returncode == 1
    assert "line 4: the device id" in done.stderr and "line 5: the serial number stands in line 2" in done.stderr
    assert stack.value("select count(*) from preapproved") == 0, "all or nothing"
    path.write_text("serial,device,tags\nSN-100,kiosk-100,shop;west\nSN-101\n")
    assert stack.muster_json("device", "preapprove", path) == {"added": 2, "changed": 0, "unchanged": 0, "used": 0}
    with Agent(stack, "anything") as agent:
        agent.register("--serial", "SN-100")
        assert agent.wait() == 0 and "enrolled as kiosk-100" in agent.text()
    assert stack.value("select tags from device where device = 'kiosk-100'") == ["shop", "west"]
    assert state_of(stack, "anything")[3] == "pre-approved"
    # The number is used up: who says the same again has to wait for a person.
    thief = Applicant(stack, "thief-1", serial="SN-100")
    assert thief.ask()[1]["state"] == "pending"
    assert stack.muster_json("device", "preapprove", path) == {"added": 0, "changed": 0, "unchanged": 1, "used": 1}
    path.write_text("SN-200,kiosk-100\n")
    done = stack.muster("device", "preapprove", path, check=False)
    assert done.returncode == 1 and "line 1: kiosk-100 is a device already" in done.stderr
    # Listed while the device waits.
    early = Applicant(stack, "early-1", serial="SN-300")
    assert early.ask()[1]["state"] == "pending"
    path.write_text("SN-300\n")
    stack.muster("device", "preapprove", path)
    status, answer = early.poll()
    assert status == 200 and answer["state"] == "issued" and answer["device"] == "early-1"


# ---- decisions of many ----
def test_all_matching_shows_first_and_decides_on_what_it_showed(stack):
    for n in range(4):
        Applicant(stack, f"batch-{n}", serial=f"B{n}", info={"model": "M9" if n < 3 else "M8"}).ask()
    preview = stack.muster_json("device", "approve", "--all-matching", "model=M9,serial=B*")
    assert preview["done"] is False and {item["wish"] for item in preview["items"]} == {"batch-0", "batch-1", "batch-2"}
    assert state_of(stack, "batch-0")[0] == "pending"
    done = stack.muster_json("device", "approve", "--all-matching", "model=M9,serial=B*", "--tags", "b", "--yes")
    assert {item["device"] for item in done["items"]} == {"batch-0", "batch-1", "batch-2"}
    assert state_of(stack, "batch-3")[0] == "pending"
    done = stack.muster("device", "approve", "--all-matching", "colour=red", check=False)
    assert done.returncode == 2 and "model=" in done.stderr


def test_an_id_that_belongs_to_a_device_needs_a_word(stack):
    stack.enroll("owner-1")
    taker = Applicant(stack, "owner-1")
    assert taker.ask()[0] == 202
    done = stack.muster("device", "approve", taker.id, check=False)
    assert done.returncode != 0 and "owner-1 is a device already" in done.stderr
    stack.muster("device", "approve", taker.id, "--device", "owner-1", "--replace")
    status, answer = taker.poll()
    assert status == 200 and answer["device"] == "owner-1"
    assert stack.value("select count(*) from certificate where device = 'owner-1' and revoked_at is null") == 1


# ---- what strangers try ----
def test_nobody_takes_the_answer_over(stack):
    device, thief = Applicant(stack, "mine-1"), Applicant(stack, "thief-2")
    assert device.ask()[0] == 202
    status, problem = device.ask(secret=thief.secret)  # the request is no secret; the other's secret is
    assert status == 409 and problem["detail"]
    assert thief.poll()[0] == 401
    stack.muster("device", "approve", device.id)
    status, answer = device.poll()
    assert status == 200 and "BEGIN CERTIFICATE" in answer["certificate"]
    assert device.poll()[1]["certificate"] == answer["certificate"]
    stored = stack.rows("select octet_length(secret_hash), encode(secret_hash, 'hex') from registration where wish = 'mine-1'")
    assert stored == [(32, hashlib.sha256(device.secret.encode()).hexdigest())]


def test_guesses_are_limited(stack, fresh_bridge):
    began, answers = time.monotonic(), []
    while answers.count(429) < 4 and len(answers) < 60:
        answers.append(bridge_get(stack, "/v1/registration", secrets.token_urlsafe(32))[0])
    again = (time.monotonic() - began) / 6  # ten a minute
    assert answers[:10] == [401] * 10 and answers.count(401) <= 11 + again and set(answers) == {401, 429}, answers
    assert stack.value("select count(*) from enrollment_event where type = 'rate-limited' and reason like '%%failed requests%%'") == 1


def test_malformed_requests(stack):
    good = Applicant(stack, "form-1")
    for members, expected in [({"csr": "hello"}, 422), ({"serial": "S\u001bN"}, 400), ({"secret": "short"}, 400),
                              ({"info": []}, 400), ({"device": "Bad_Name"}, 400)]:
        status, problem = good.ask(**members)
        assert status == expected and problem["detail"], members
    assert stack.post("/v1/registration", "not json")[0] == 400


def test_the_10001st_waits_outside(stack):
    stack.rows("insert into registration (secret_hash, id, key_sha256, csr) select sha256(n::text::bytea), 'full' || n, 'full' || n, ''"
               " from generate_series(1, 10000 - (select count(*) from registration where state = 'pending')) n returning 1")
    late = Applicant(stack, "late-1", serial="SN-late")
    status, problem = late.ask()
    assert status == 503 and "10000" in problem["detail"] and "muster device pending" in problem["detail"]
    assert stack.rows("select 1 from registration where wish = 'late-1'") == []
    path = stack.state / "late.csv"
    path.write_text("SN-late\n")
    stack.muster("device", "preapprove", path)  # who is listed does not wait
    assert late.ask()[1]["state"] == "approved"
    later = Applicant(stack, "late-2")
    stack.rows("delete from registration where id = 'full1' returning 1")
    assert later.ask()[0] == 202
    stack.rows("delete from registration where id like 'full%%' returning 1")


# ---- the API: roles and history ----
def test_roles(stack):
    device = Applicant(stack, "role-1")
    device.ask()
    calls = [("GET", "/registrations", None), ("GET", f"/registrations/{device.id}", None),
             ("POST", f"/registrations/{device.id}/approve", {}), ("POST", f"/registrations/{device.id}/reject", {}),
             ("GET", "/tokens", None), ("POST", "/tokens", {}), ("DELETE", "/tokens/none", None)]
    for role in ("viewer", "operator", "auditor"):
        key = key_of_role(stack, role)
        assert [api(stack, *call, key=key)[0] for call in calls] == [200, 200, 403, 403, 403, 403, 403], role
    assert state_of(stack, "role-1")[0] == "pending"
    assert api(stack, "GET", "/registrations", key="x" * 43)[0] == 401
    administrator = key_of_role(stack, "administrator")
    status, answer = api(stack, "POST", f"/registrations/{device.id}/approve", {"tags": ["a"], "reason": "why not"}, administrator)
    assert (status, answer["state"], answer["decided_by"], answer["tags"]) == (200, "approved", "test-administrator", ["a"])
    assert [event["type"] for event in answer["events"]] == ["register", "approve"]
    status, answer = api(stack, "POST", f"/registrations/{device.id}/reject", {"reason": "on second thoughts"}, administrator)
    assert (status, answer["state"], answer["reason"]) == (200, "rejected", "on second thoughts")
    assert api(stack, "POST", "/registrations/none/approve", {}, administrator)[0] == 404
    for bad in ({"device": "Bad_Name"}, {"tags": "a"}, {"tags": ["a,b"]}, {"reason": "x" * 500}, {"replace": 1}, {"cell": 0}):
        assert api(stack, "POST", f"/registrations/{device.id}/approve", bad, administrator)[0] == 422, bad


def test_list_filters_and_pages(stack):
    for n in range(5):
        Applicant(stack, f"page-{n}", serial=f"100%_{n}", info={"model": "Pager"}).ask()
    path = "/registrations?state=pending&limit=2&model=" + urllib.parse.quote("Pag*")
    seen, after = [], ""
    while True:
        status, page = api(stack, "GET", path + after)
        assert status == 200
        seen += [item["wish"] for item in page["items"]]
        if not page["next"]:
            break
        after = "&after=" + page["next"]
    assert seen == [f"page-{n}" for n in (4, 3, 2, 1, 0)]
    assert [i["wish"] for i in api(stack, "GET", "/registrations?serial=" + urllib.parse.quote("100%_3"))[1]["items"]] == ["page-3"]
    assert api(stack, "GET", "/registrations?serial=" + urllib.parse.quote("100_*"))[1]["items"] == [], "only * is a wildcard"
    assert api(stack, "GET", "/registrations?state=odd")[0] == 400


def test_tokens_over_the_api(stack):
    status, made = api(stack, "POST", "/tokens", {"device": "api-1", "tags": ["x"], "uses": 2, "expires_s": 600})
    assert status == 201 and len(made["token"]) == 43
    status, one = api(stack, "GET", f"/tokens/{made['id']}")
    assert (one["state"], one["uses_left"], one["tags"], one["device"]) == ("valid", 2, ["x"], "api-1")
    assert made["token"] not in json.dumps(api(stack, "GET", "/tokens")[1])
    _, csr = stack.csr("api-1")
    assert stack.post("/v1/enroll", {"token": made["token"], "csr": csr})[0] == 201
    status, gone = api(stack, "DELETE", f"/tokens/{made['id']}")
    assert status == 200 and gone["state"] == "revoked"
    assert api(stack, "DELETE", f"/tokens/{made['id']}")[0] == 404
    assert stack.post("/v1/enroll", {"token": made["token"], "csr": csr})[0] == 403
    events = [row["type"] for row in stack.muster_json("token", "show", made["id"])["items"]]
    assert events == ["create", "consume", "revoked", "refused"]
    audits = stack.rows("select action, actor from audit where target = %s order by id", made["id"])
    assert audits == [("token.create", "admin"), ("token.revoke", "admin")]
    for bad in ({"uses": 0}, {"uses": "1"}, {"expires_s": 0}, {"device": "Bad_Name"}, {"tags": [""]}, {"cell": -1}):
        assert api(stack, "POST", "/tokens", bad)[0] == 422, bad


def test_expiry_is_told_once_even_if_nobody_tries(stack):
    token = stack.muster_json("token", "create", "--expires", "1s", "--device", "never-1")

    def expired():
        return stack.value("select count(*) from enrollment_event where token_id = %s and type = 'expired'", token["id"])

    wait_for(expired, "the expiry in the history")
    _, csr = stack.csr("never-1")
    assert stack.post("/v1/enroll", {"token": token["token"], "csr": csr})[0] == 403
    assert expired() == 1
    kinds = [row[0] for row in stack.rows("select type from enrollment_event where token_id = %s order by id", token["id"])]
    assert kinds == ["create", "expired", "refused"]


def test_an_administrator_decides_on_the_page(stack):
    hostile = "<img src=x onerror='window.injected=1'>"
    first = Applicant(stack, "web-1", serial="SN-web-1", info={"model": hostile})
    second = Applicant(stack, "web-2", serial="SN-web-2")
    left = Applicant(stack, "web-3", serial="SN-web-3", info={"model": "Till 9"})
    assert [device.ask()[0] for device in (first, second, left)] == [202, 202, 202]
    browse(stack, "registrations.mjs")
    assert first.poll()[1]["device"] == "door-7"
    status, answer = second.poll()
    assert (status, answer["state"], answer["reason"]) == (200, "rejected", "not ours")
    assert left.poll()[1]["state"] == "pending"
    assert {row[0] for row in stack.rows("select decided_by from registration where wish in ('web-1', 'web-2')")} == {"admin"}
