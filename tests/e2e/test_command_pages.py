"""The pages of commands, campaigns, groups and tags, in a real browser on 24 simulated devices that sign their results; what
they offer to be copied is run in a shell."""
import json
import os
import subprocess
import time

import pytest
from page import browse, login_link
from stack import run, wait_for

SIMS = 24
STACK_ARGS = ["--sims", "0", "--no-agent"]
os.environ["MUSTER_COMMANDER_CAMPAIGN_APPROVE_ABOVE"] = "20"
TRICKY = """it's "5 o'clock" at $HOME `id` \\ !! ; rm *"""


@pytest.fixture(scope="module", autouse=True)
def fleet(stack):
    """sim-001 to sim-024; every other one on a shelf."""
    folder = stack.state / "fleet"
    folder.mkdir()
    token = folder / "token"
    token.write_text(stack.token("--uses", str(SIMS)))
    token.chmod(0o600)
    with open(stack.state / "log/fleet.log", "w") as log:
        simulator = subprocess.Popen(
            [stack.bin / "muster-sim", "run", "--state", folder, "--bridge", f"https://localhost:{stack.ports['bridge']}",
             "--ca", stack.state / "ca/service.crt", "--token-file", token, "--count", str(SIMS), "--prefix", "sim-", "--sign"],
            stdout=log, stderr=log)
    try:
        wait_for(lambda: stack.value("select count(*) from device_state where presence = 'online'") == SIMS, "the fleet")
        stack.rows("update device set tags = case when mod(substr(device, 5)::integer, 2) = 0 then array['old shelf']"
                   " when device = 'sim-001' then array['useless'] else '{}' end returning 1")
        for name, role in (("second", "operator"), ("watcher", "viewer")):
            stack.rows("insert into user_account (name, role) values (%s, %s) returning 1", name, role)
        yield simulator
    finally:
        simulator.terminate()
        simulator.wait(180)


@pytest.fixture(scope="module")
def copied(stack, fleet):
    printed = browse(stack, "commands.mjs", second=login_link(stack, "second"), viewer=login_link(stack, "watcher"), tricky=TRICKY)
    return json.loads(next(line for line in printed.splitlines() if line.startswith("{")))


def test_people_do_it_all_on_the_page(stack, copied):
    assert stack.rows("select tags from device where device in ('sim-001', 'sim-002') order by device") == [([],), (["shelf"],)]
    assert stack.rows("select device from device_group_member where group_name = 'floor-1' order by 1") == [("sim-001",), ("sim-003",)]
    assert stack.rows("select state, approved_by from campaign order by id") == [("aborted", ""), ("finished", "second")]
    assert stack.value("select bool_and(verdict = 'verified') from command_result")
    actions = {row[0] for row in stack.rows("select action from audit where actor in ('admin', 'second')")}
    assert actions >= {"group.create", "group.add", "group.remove", "group.change", "tag.rename", "tag.remove", "campaign.create",
                       "campaign.pause", "campaign.resume", "campaign.abort", "campaign.approve", "command.request"}


def test_the_pace_is_what_happened(stack, copied):
    assert stack.rows("select sum(p.released)::int, sum(p.succeeded)::int from campaign_pace p join campaign c on c.id = p.campaign"
                      " where c.state = 'finished'") == [(SIMS, SIMS)]


@pytest.mark.parametrize("kind", ["cli", "curl", "mqtt"])
def test_what_is_copied_does_the_same_in_a_shell(stack, copied, tmp_path, kind):
    (tmp_path / ".muster").symlink_to(stack.state)
    line = copied[kind]
    if kind == "mqtt":  # what the page cannot know: whose name, and the port of this stack
        stack.muster("operator", "add", "shell")
        line = line.replace("NAME", "shell").replace("-p 8884", f"-p {stack.ports['services']}")
    before = stack.value("select count(*) from command")
    path = f"{stack.bin}:{os.environ['PATH']}"
    run("sh", "-c", line, cwd=tmp_path, env=os.environ | {"PATH": path, "HOME": str(tmp_path)})
    wait_for(lambda: stack.value("select count(*) from command") == before + 1, "the command")
    assert stack.rows("select device, action, params ->> 'text' from command order by number desc limit 1") == [
        ("sim-002", "message", TRICKY)]


def campaign(stack, **body):
    key = (stack.state / "api-token").read_text().strip()
    done = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", "-H", "@-", "--json", json.dumps(body), "-w", "\n%{http_code}",
               f"https://localhost:{stack.ports['dashboard']}/api/v1/campaigns", input=f"Authorization: Bearer {key}\n")
    text, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(text)


def test_a_campaign_waits_for_its_time(stack):
    at_ms = int(time.time() * 1000) + 5000
    status, made = campaign(stack, name="later", action="ping", target={"device": "sim-004"}, at=at_ms, start=True)
    assert status == 201 and made["at"] and not made["in_window"], made
    wait_for(lambda: stack.value("select state = 'finished' from campaign where name = 'later'"), "its end")
    assert stack.value("select min(k.created_at) >= c.not_before from campaign c join command k on k.campaign = c.id"
                       " where c.name = 'later' group by c.not_before")


@pytest.mark.parametrize("at", ["soon", -1, "2999-01-01T00:00:00Z", True])
def test_a_time_must_be_one(stack, at):
    status, said = campaign(stack, name="never", action="ping", target={"all": True}, at=at)
    assert status == 422 and '"at"' in said["detail"], said


def test_in_the_windows_of_its_devices(stack):
    stack.rows("update device set maintenance_window = '{\"days\":[1,2,3,4,5,6,7],\"from\":\"00:00\",\"to\":\"23:59\"}'"
               " where device = 'sim-005' returning 1")
    _, made = campaign(stack, name="windows", action="ping", target={"devices": ["sim-005", "sim-007"]}, in_window=True, start=True,
                       rollout={"error_pct": 100})
    wait_for(lambda: stack.value("select count(*) from command where campaign = %s and in_window", made["id"]) == 2, "its commands")
    rejected = "select reason from command where campaign = %s and device = 'sim-007' and state = 'rejected'"
    (reason,), = wait_for(lambda: stack.rows(rejected, made["id"]), "the one without a window to be refused")
    assert "window" in reason
