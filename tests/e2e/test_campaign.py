"""Tags, groups, filters and campaigns on 300 simulated devices: canaries, thresholds, pace, pause and abort, a second
person, devices that join later, and a commander that is killed while it sweeps."""
import hashlib
import json
import os
import secrets
import signal
import subprocess
import time

import pytest
from stack import run, wait_for

SIMS = 300
STACK_ARGS = ["--sims", "0", "--no-agent"]
os.environ["MUSTER_COMMANDER_CAMPAIGN_APPROVE_ABOVE"] = "290"
os.environ["MUSTER_COMMANDER_CAMPAIGN_SWEEP_S"] = "1"


@pytest.fixture(scope="module", autouse=True)
def fleet(stack):
    """sim-001 to sim-300, in ten groups of thirty."""
    folder = stack.state / "fleet"
    folder.mkdir()
    token = folder / "token"
    token.write_text(stack.token("--uses", str(SIMS)))
    token.chmod(0o600)
    with open(stack.state / "log/fleet.log", "w") as log:
        simulator = subprocess.Popen(
            [stack.bin / "muster-sim", "run", "--state", folder, "--bridge", f"https://localhost:{stack.ports['bridge']}",
             "--ca", stack.state / "ca/service.crt", "--token-file", token, "--count", str(SIMS), "--prefix", "sim-",
             "--sign"],
            stdout=log, stderr=log)
    try:
        wait_for(lambda: stack.value("select count(*) from device_state where presence = 'online'") == SIMS, "the fleet", SIMS)
        stack.rows("update device set tags = array['shelf-' || mod(substr(device, 5)::integer, 10), 'sim'] returning 1")
        yield simulator
    finally:
        simulator.terminate()
        simulator.wait(180)


def api(stack, method, path, body=None, key=None):
    key = key or (stack.state / "api-token").read_text().strip()
    done = run("curl", "-sS", "-X", method, "--cacert", stack.state / "ca/service.crt", "-H", "@-",
               *(["--data-binary", json.dumps(body)] if body is not None else []),
               "-w", "\n%{http_code}", f"https://localhost:{stack.ports['dashboard']}/api/v1{path}",
               input=f"Authorization: Bearer {key}\nContent-Type: application/json\n")
    text, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(text) if text else None


def key_of(stack, name, role):
    key = secrets.token_urlsafe(32)
    stack.rows("insert into user_account (name, role) values (%s, %s) on conflict do nothing returning 1", name, role)
    stack.rows("insert into access_token (token_hash, kind, user_name, label, expires_at) values (%s, 'api', %s, 'test',"
               " now() + interval '1 hour') returning 1", hashlib.sha256(key.encode()).digest(), name)
    return key


def make(stack, name, action="ping", **body):
    status, answer = api(stack, "POST", "/campaigns", {"name": name, "action": action, "start": True, **body})
    assert status == 201, answer
    return answer["id"]


def show(stack, number):
    return stack.muster_json("campaign", "show", str(number))


def wait_state(stack, number, *states, seconds=180):
    return wait_for(lambda: (now := show(stack, number))["state"] in states and now, f"campaign {number} to be {states}", seconds)


def check(stack, number):
    """The counters are what a look at every target says; every device got at most one command, and obeyed it once."""
    progress = show(stack, number)["progress"]
    rows = stack.rows("select coalesce(c.state, t.state), count(*) from campaign_target t left join command c on c.id = t.command"
                      " where t.campaign = %s group by 1", number)
    seen = dict(rows)
    for state in ("succeeded", "failed", "rejected", "expired", "cancelled", "waiting"):
        assert progress[state] == seen.get(state, 0), (state, progress, seen)
    assert progress["total"] == sum(seen.values())
    assert stack.value("select count(*) from command where campaign = %s", number) == progress["released"]
    assert stack.value("select count(*) - count(distinct device) from command where campaign = %s", number) == 0
    assert stack.value("select count(*) from campaign_target t left join command c on c.id = t.command and c.device = t.device"
                       " and c.campaign = t.campaign where t.campaign = %s and (t.state = 'released') <> (c.id is not null)", number) == 0
    return progress


# ---- whom ----

def test_queries_groups_filters_and_tags(stack):
    def found(query):
        return [item["device"] for item in stack.muster_json("device", "list", "--query", query)["items"]]

    wait_for(lambda: len(found("status:online")) == SIMS, "the lists to know that all are online")
    assert found("status:never") == []
    assert len(found("tag:shelf-3")) == 30 and len(found("tag:shelf-3,shelf-4 -device:sim-*3")) == 30
    assert found("device:sim-007,sim-008") == ["sim-007", "sim-008"] and found("sim-007") == ["sim-007"]
    stack.muster("device", "tag", "sim-007", "kiosk", "front desk")
    assert found('tag:"front desk" seen<1h') == ["sim-007"]
    assert stack.muster_json("device", "untag", "sim-007", "front desk")["tags"] == ["kiosk", "shelf-7", "sim"]
    stack.muster("filter", "save", "kiosks", "tag:kiosk")
    stack.muster("group", "create", "wired", "--query", "filter:kiosks -status:never")
    stack.muster("group", "create", "listed", "--description", "chosen by hand")
    assert stack.muster_json("group", "add", "listed", "sim-001", "sim-002", "ghost-1") == {
        "group": "listed", "changed": 2, "unknown": ["ghost-1"]}
    stack.muster("group", "remove", "listed", "sim-002")
    assert found("group:wired") == ["sim-007"] and found("group:listed,wired") == ["sim-001", "sim-007"]
    assert stack.muster_json("group", "show", "wired")["devices"] == 1
    assert {group["name"] for group in stack.muster_json("group", "list")["items"]} == {"wired", "listed"}
    refused = stack.muster("group", "add", "wired", "sim-001", check=False)
    assert refused.returncode != 0 and "query" in refused.stderr
    stack.muster("filter", "delete", "kiosks")
    done = stack.muster("device", "list", "--query", "group:wired", check=False)
    assert done.returncode == 2 and 'no filter "kiosks"' in done.stderr
    done = stack.muster("device", "list", "--query", "tag:a colour:red", check=False)
    assert done.returncode == 2 and "column 7" in done.stderr and "colour" in done.stderr
    assert {row[0] for row in stack.rows("select distinct action from audit")} >= {
        "device.tag", "filter.save", "filter.delete", "group.create", "group.add", "group.remove"}


def test_roles(stack):
    viewer, auditor = key_of(stack, "view", "viewer"), key_of(stack, "audit", "auditor")
    for key in (viewer, auditor):
        for method, path in (("POST", "/campaigns"), ("POST", "/campaigns/1/start"), ("POST", "/campaigns/1/approve"), ("POST", "/groups"),
                             ("POST", "/filters"), ("POST", "/devices/sim-001/tags"), ("DELETE", "/groups/listed"), ("DELETE", "/filters/x")):
            assert api(stack, method, path, {}, key)[0] == 403, path
        for path in ("/campaigns", "/groups", "/filters", "/devices?query=tag:sim"):
            assert api(stack, "GET", path, None, key)[0] == 200, path


@pytest.mark.parametrize("change,word", [
    ({"action": "explode"}, "explode"), ({"target": {}}, "exactly one"), ({"target": {"tag": "a", "all": True}}, "exactly one"),
    ({"target": {"query": "colour:red"}}, "colour"), ({"target": {"devices": ["no id!"]}}, "no id!"), ({"target": {"filter": "nope"}}, "nope"),
    ({"rollout": {"factor": 0.5}}, "factor"), ({"rollout": {"speed": 1}}, "speed"), ({"ttl_s": 0}, "ttl_s"), ({"name": ""}, "name"),
    ({"params": {"x": 1}}, "x"), ({"action": "reboot"}, "confirm"), ({"surprise": 1}, "surprise"), ({"target": {"query": " "}}, "empty"),
])
def test_bad_campaigns_are_refused(stack, change, word):
    body = {"name": "bad", "action": "ping", "target": {"tag": "sim"}} | change
    status, answer = api(stack, "POST", "/campaigns", body)
    assert status == 422 and word in answer["detail"], answer
    assert stack.value("select count(*) from campaign where name in ('bad', '')") == 0


def test_preview_says_what_it_will_be(stack):
    preview = stack.muster_json("campaign", "preview", "reboot", "--tag", "shelf-3", "--rate", "10", "--canary", "10")
    assert (preview["devices"], preview["online"], preview["destructive"]) == (30, 30, True) and preview["offline_pct"] == 0
    assert preview["release_s"] == pytest.approx(19 / 10 * 60) and len(preview["sample"]) == 10
    assert stack.muster_json("campaign", "preview", "ping", "--devices", "sim-001,ghost-1")["left_out"] == 1


# ---- rollout ----

def test_a_campaign_reaches_each_device_once(stack):
    number = make(stack, "shelf 1", target={"tag": "shelf-1"}, rollout={"canary": 3})
    wait_state(stack, number, "finished")
    progress = check(stack, number)
    assert progress["total"] == progress["succeeded"] == 30
    assert stack.rows("select verdict, count(*) from command_result where command in (select id::text from command where campaign = %s)"
                      " group by 1", number) == [("verified", 60)], "accepted and succeeded, signed by each"
    first = stack.value("select max(finished_at) from command where id in (select id from command where campaign = %s order by created_at limit 3)", number)
    fourth = stack.value("select created_at from command where campaign = %s order by created_at offset 3 limit 1", number)
    assert first <= fourth, "the others came only after the canaries"
    assert stack.value("select count(*) from audit where target = %s", f"campaign {number}") >= 2
    targets = stack.muster_json("campaign", "show", str(number), "--targets", "--status", "succeeded")["items"]
    assert len(targets) == 30
    command = stack.muster_json("command", "status", targets[0]["command"])
    assert (command["campaign"], command["source"], command["device"]) == (number, "campaign", targets[0]["device"])


def test_canaries_that_fail_stop_it_and_a_person_may_go_on(stack):
    number = make(stack, "unknown to them", action="ring", params={"seconds": 5}, target={"tag": "shelf-2"}, rollout={"canary": 2})
    now = wait_state(stack, number, "paused")
    assert "canary" in now["reason"] and now["progress"]["released"] == 2
    assert stack.value("select count(*) from audit where action = 'campaign.stop' and target = %s", f"campaign {number}") == 1
    stack.muster("campaign", "resume", str(number))
    now = wait_state(stack, number, "finished", "paused")
    check(stack, number)
    stack.muster("campaign", "abort", str(number), check=False)


def test_too_many_errors_stop_it(stack):
    number = make(stack, "errors", action="ring", params={"seconds": 5}, target={"tag": "shelf-2"}, rollout={"rate_per_min": 40, "error_pct": 20})
    now = wait_state(stack, number, "paused")
    assert "20 %" in now["reason"], now
    assert 3 <= now["progress"]["released"] < 30, now
    assert stack.muster("campaign", "start", str(number), check=False).returncode != 0
    stack.muster("campaign", "abort", str(number))
    wait_state(stack, number, "aborted")
    check(stack, number)


def test_pause_resume_abort(stack):
    number = make(stack, "slow", target={"query": "tag:shelf-4,shelf-5"}, rollout={"rate_per_min": 60})
    wait_for(lambda: show(stack, number)["progress"]["succeeded"] >= 4, "some to be done")
    stack.muster("campaign", "pause", str(number))
    held = show(stack, number)
    assert held["state"] == "paused" and held["progress"]["released"] < 60
    wait_for(lambda: show(stack, number)["progress"]["open"] == 0, "what was sent to be answered")
    assert show(stack, number)["progress"]["released"] == held["progress"]["released"]
    stack.muster("campaign", "resume", str(number))
    wait_for(lambda: show(stack, number)["progress"]["released"] > held["progress"]["released"], "it to go on")
    stack.muster("campaign", "abort", str(number))
    wait_state(stack, number, "aborted")
    progress = check(stack, number)
    assert 0 < progress["waiting"] < 60, "the rest was never asked for"


def test_abort_cancels_what_was_not_sent(stack, fleet):
    """The devices do not answer, so what is sent first holds up what comes behind it."""
    os.kill(fleet.pid, signal.SIGSTOP)
    try:
        first = make(stack, "sent", target={"tag": "shelf-6"})
        wait_for(lambda: stack.value("select count(*) from command where campaign = %s and state = 'sent'", first) == 30, "all to be sent")
        second = make(stack, "held", target={"tag": "shelf-6"})
        wait_for(lambda: stack.value("select count(*) from command where campaign = %s and state = 'queued'", second) == 30, "all to be queued")
        for number in (first, second):
            stack.muster("campaign", "abort", str(number))
        assert wait_state(stack, second, "aborted")["progress"]["cancelled"] == 30
        assert wait_state(stack, first, "aborted")["progress"]["open"] == 30
    finally:
        os.kill(fleet.pid, signal.SIGCONT)
    wait_for(lambda: show(stack, first)["progress"]["succeeded"] == 30, "what was sent to be done")
    for number in (first, second):
        check(stack, number)


def test_a_destructive_campaign_wants_its_number(stack):
    words = ["campaign", "create", "restart", "reboot", "--tag", "shelf-7", "--start"]
    for extra in ([], ["--confirm", "29"]):
        done = stack.muster(*words, *extra, check=False)
        assert done.returncode == 4 and "30 devices" in done.stderr, done
    assert stack.value("select count(*) from campaign where name = 'restart'") == 0
    number = stack.muster_json(*words, "--confirm", "30")["id"]
    status, answer = api(stack, "POST", "/campaigns", {"name": "restart", "action": "reboot", "target": {"tag": "shelf-7"}, "confirm": True, "expect": 29})
    assert status == 409 and "30" in answer["detail"]
    wait_state(stack, number, "finished")
    assert check(stack, number)["succeeded"] == 30


def test_a_time_and_windows_from_the_command_line(stack):
    words = ["campaign", "create", "later", "ping", "--tag", "shelf-7"]
    at = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(time.time() + 86400))
    made = stack.muster_json(*words, "--at", at, "--in-window", "--start")
    assert (made["at"][:19], made["in_window"], made["ttl_s"]) == (at[:19], True, 8 * 86400)
    assert stack.muster("campaign", "show", str(made["id"])).stdout.count("maintenance window") == 1
    done = stack.muster(*words, "--at", "tomorrow", check=False)
    assert done.returncode != 0 and '"at" must be a time' in done.stderr, done
    assert stack.muster_json(*words)["ttl_s"] == 86400
    stack.muster("campaign", "abort", str(made["id"]))


def test_a_second_person_above_a_size(stack):
    alice, bob = key_of(stack, "alice", "operator"), key_of(stack, "bob", "operator")
    status, made = api(stack, "POST", "/campaigns", {"name": "all", "action": "ping", "target": {"all": True}, "start": True}, alice)
    assert status == 201
    now = wait_state(stack, made["id"], "pending")
    assert now["progress"] | {"released": 0, "total": SIMS} == now["progress"] and "alice" in now["reason"]
    status, answer = api(stack, "POST", f"/campaigns/{made['id']}/approve", {}, alice)
    assert status == 409 and "another person" in answer["detail"]
    assert api(stack, "POST", f"/campaigns/{made['id']}/approve", {}, bob)[0] == 200
    now = wait_state(stack, made["id"], "finished")
    assert now["approved_by"] == "bob" and check(stack, made["id"])["succeeded"] == SIMS


def test_continuous_takes_those_that_join(stack):
    stack.muster("group", "create", "joining")
    stack.muster("group", "add", "joining", "sim-010", "sim-020")
    number = make(stack, "joining", target={"group": "joining"}, continuous=True)
    wait_for(lambda: show(stack, number)["progress"]["succeeded"] == 2, "the first two")
    assert show(stack, number)["state"] == "running"
    stack.muster("group", "add", "joining", "sim-030", "sim-040")
    wait_for(lambda: show(stack, number)["progress"]["succeeded"] == 4, "those that joined")
    stack.muster("group", "delete", "joining")
    assert 'no group "joining"' in wait_state(stack, number, "paused")["reason"]
    stack.muster("campaign", "abort", str(number))
    wait_state(stack, number, "aborted")
    assert check(stack, number)["total"] == 4


@pytest.fixture
def second_commander(stack):
    with open(stack.state / "log/commander2.log", "w") as log:
        process = subprocess.Popen([stack.bin / "muster-commander", "--config", stack.state / "conf/commander.conf"],
                                   stdout=log, stderr=log, **stack.owner(),
                                   env=os.environ | {"MUSTER_COMMANDER_BROKER_CLIENT_ID": "svc.commander.second",
                                                     "MUSTER_COMMANDER_HTTP_PORT": "0"})
    wait_for(lambda: stack.value("select count(*) from pg_stat_activity where application_name = 'muster-commander'") == 2, "two commanders")
    yield process
    assert process.poll() is None, "it ran to the end"
    process.kill()
    process.wait()


def test_commander_killed_while_another_runs(stack, second_commander):
    """Twenty thousand devices that are away besides the fleet, so that a sweep takes many batches."""
    stack.rows("insert into device (device, tags) select 'far-' || lpad(i::text, 5, '0'), array['far'] from generate_series(1, 20000) i returning 1")
    number = make(stack, "many", target={"query": "tag:far,shelf-8,shelf-9"}, ttl_s=3600)
    status, _ = api(stack, "POST", f"/campaigns/{number}/approve", {}, key_of(stack, "carol", "operator"))
    assert status == 200
    for released in (1, 4000, 9000):
        wait_for(lambda: show(stack, number)["progress"]["released"] >= released or show(stack, number)["progress"]["total"] >= released,
                 "the sweep")
        stack.kill("commander")
    wait_for(lambda: show(stack, number)["progress"]["released"] == 20060, "all to be requested")
    wait_for(lambda: show(stack, number)["progress"]["succeeded"] == 60, "those that are there to obey")
    assert stack.value("select count(*) from campaign_target where campaign = %s", number) == 20060
    assert stack.value("select count(distinct device) from command where campaign = %s", number) == 20060
    stack.muster("campaign", "abort", str(number))
    now = wait_state(stack, number, "aborted", seconds=180)
    assert now["progress"]["cancelled"] + now["progress"]["open"] + 60 == 20060
    check(stack, number)


def test_history_goes_with_the_command(stack):
    number = make(stack, "history", target={"device": "sim-001"})
    wait_state(stack, number, "finished")
    command = stack.value("select id from command where campaign = %s", number)
    assert stack.value("select count(*) from command_event where command = %s", command) >= 4
    stack.rows("delete from command where id = %s returning 1", command)
    assert stack.value("select count(*) from command_event where command = %s", command) == 0
    assert stack.value("select count(*) from command_event") > 0
