"""Signing keys that take each other's place, counters that a restored database does not give twice, signed results.

security.md 16 (rotated and withdrawn signers) end to end; what a device signs is checked against its certificate.
"""
import json
import shutil
import subprocess
import time

import pytest
from agent import Agent
from signing import SIGNERS, Key, claims, header, publish_command, sign_result
from stack import Device, wait_for
from test_kill import Fleet


@pytest.fixture(scope="module")
def agent(stack):
    with Agent(stack, "kiosk-1") as running:
        yield running


def ended(agent, command, state="succeeded", seconds=180):
    wait_for(lambda: agent.command(command)[0] == state, f"the command to be {state}", seconds)
    return agent.command(command)


def signers_of(stack, device):
    rows = stack.rows("select signers from device_state where device = %s", device)
    return rows[0][0] if rows else None


def current_key(stack):
    return Key(stack.state / "keys/command.pem")


def step(stack, *words):
    return stack.muster_json("signing-key", *words)


def skip_counters(stack, device):
    """What a test gives out itself must not be given again by commander."""
    with stack.connect() as database:
        database.execute("update device set command_counter = command_counter + 100 where device = %s", (device,))


def rotate(stack, agent):
    """A whole rotation up to the switch, with this agent watching."""
    announced = step(stack, "rotate", "next")["version"]
    wait_for(lambda: signers_of(stack, agent.name) == announced, "the agent to have the next key")
    step(stack, "rotate", "switch", "--force")
    kid = current_key(stack).kid
    wait_for(lambda: header(ended(agent, agent.order())[2])["kid"] == kid, "commander to sign with it")
    return kid


# ---- results ----

def test_results_are_signed_and_verified(stack, agent):
    command = agent.order()
    ended(agent, command)
    assert [(state, verdict) for state, verdict, _ in agent.results(command)] == [("accepted", "verified"), ("succeeded", "verified")]
    serial = stack.value("select distinct certificate from command_result where device = %s", agent.name)
    assert stack.value("select device from certificate where serial = %s", serial) == agent.name


def test_a_result_that_another_key_signed_is_refused_and_told(stack):
    with Device(stack, "forger-1") as device:
        key = stack.state / "test-devices/forger-1.key"
        other, _ = stack.csr("forger-other")
        command = stack.value("insert into command (device, action, requested_by) values ('forger-1', 'ping', 'tester')"
                              " returning id::text")
        wait_for(lambda: device.received("command"), "the command")
        succeeded = {"command": command, "state": "succeeded", "output": {"pong": True, "name": "Zoë \"1\"\n"}}

        def state():
            return stack.value("select state from command where id = %s::uuid", command)

        device.publish("result", sign_result("forger-1", device.next(**succeeded), other))
        wait_for(lambda: stack.rows("select from event where device = 'forger-1' and type = 'result.refused' and"
                                    " body ->> 'command' = %s", command), "the security event")
        altered = sign_result("forger-1", device.next(**succeeded), key) | {"state": "failed"}
        device.publish("result", altered)
        wait_for(lambda: stack.value("select count(*) from event where device = 'forger-1' and type = 'result.refused'") == 2,
                 "the second security event")
        assert state() == "sent", "nothing of it counts"
        device.publish("result", sign_result("forger-1", device.next(**succeeded), key))  # the control
        wait_for(lambda: state() == "succeeded", "the true result to count")
        assert stack.rows("select verdict from command_result where device = 'forger-1' order by seq") == [
            ("refused",), ("refused",), ("verified",)]


def test_a_plain_client_need_not_sign(stack):
    with Device(stack, "plain-1") as device:
        command = stack.value("insert into command (device, action, requested_by) values ('plain-1', 'ping', 'tester')"
                              " returning id::text")
        wait_for(lambda: device.received("command"), "the command")
        device.publish("result", device.next(command=command, state="succeeded"))
        wait_for(lambda: stack.value("select state from command where id = %s::uuid", command) == "succeeded", "the result to count")
        assert stack.value("select verdict from command_result where device = 'plain-1'") == "unsigned"


# ---- counters ----

def test_each_command_names_who_asked_and_the_one_before(stack, agent):
    first, second = agent.order(by="op.alice"), agent.order(by="bob")
    texts = [ended(agent, command)[2] for command in (first, second)]
    told = [claims(text) for text in texts]
    assert [one["by"] for one in told] == ["op.alice", "bob"]
    assert told[1]["prev"] == stack.value("select rtrim(translate(encode(sha256(%s::bytea), 'base64'), '+/', '-_'), '=')", texts[0])


def test_15_no_counter_is_used_twice_after_a_restore(stack, agent):
    """The database goes back to an old copy; what devices saw since then is forgotten there, and not here."""
    ended(agent, agent.order())
    with stack.connect() as database:
        database.execute("create table old_copy as select device, command_counter, command_chain from device")
        lost = [claims(ended(agent, agent.order())[2])["n"] for _ in range(5)]
        database.execute("delete from command where device = %s and n = any (%s)", (agent.name, lost))
        database.execute("update device d set command_counter = o.command_counter, command_chain = o.command_chain"
                         " from old_copy o where o.device = d.device")
    stack.muster("stack", "restart", "commander")
    given = claims(ended(agent, agent.order())[2])["n"]
    assert given > max(lost), "the device would have refused it as used before"
    assert not agent.refusals()


# ---- 16: signers ----

def test_16_a_rotated_signer_is_obeyed_and_a_withdrawn_one_refused(stack, agent, tmp_path):
    old = Key(shutil.copy(stack.state / "keys/command.pem", tmp_path / "old.pem"))
    before = ended(agent, agent.order())
    assert header(before[2])["kid"] == old.kid
    kid = rotate(stack, agent)
    after = ended(agent, agent.order())
    assert header(after[2])["kid"] == kid != old.kid, "the new key signs"
    n = claims(after[2])["n"]
    skip_counters(stack, agent.name)
    publish_command(stack, agent.name, old.command(agent.name, n + 1))  # both count
    wait_for(lambda: stack.value("select count(*) from command_result where device = %s and state = 'succeeded'",
                                 agent.name) >= 3, "the old key to be obeyed during the overlap")

    step(stack, "withdraw")
    wait_for(lambda: len(json.loads((agent.state / "identity.json").read_text())["command_keys"]) == 1, "the withdrawal")
    count = len(agent.refusals())
    publish_command(stack, agent.name, old.command(agent.name, n + 2))
    wait_for(lambda: len(agent.refusals()) > count, "the refusal")
    assert "kid is not trusted" in agent.refusals()[-1]
    agent.kill()
    agent.start()
    publish_command(stack, agent.name, old.command(agent.name, n + 3))
    wait_for(lambda: len(agent.refusals()) > count + 1, "the refusal after a restart")
    ended(agent, agent.order())
    assert stack.value("select count(*) from signing_key where kid = %s and retired_at is not null", old.kid) == 1


def test_16_two_commanders_sign_with_different_keys_during_the_overlap(stack, agent, tmp_path):
    first = current_key(stack).kid
    announced = step(stack, "rotate", "next")["version"]
    wait_for(lambda: signers_of(stack, agent.name) == announced, "the agent to have the next key")
    config = tmp_path / "second.conf"
    text = (stack.state / "conf/commander.conf").read_text()
    text = text.replace("command.pem", "second.pem")
    for suffix in ("", ".signers"):
        source = "command-next.pem" if not suffix else "command.pem" + suffix
        shutil.copy(stack.state / "keys" / source, stack.state / "keys" / ("second.pem" + suffix))
    lines = [line for line in text.splitlines() if "http" not in line]
    config.write_text("\n".join(lines) + "\n")
    environment = {"PATH": "/usr/bin", "MUSTER_COMMANDER_BROKER_CLIENT_ID": "svc.commander.second",
                   "MUSTER_COMMANDER_HTTP_PORT": "0"}
    second = Key(stack.state / "keys/second.pem").kid
    with open(tmp_path / "log", "w", encoding="utf-8") as log:
        process = subprocess.Popen([stack.bin / "muster-commander", "--config", config], env=environment, stdout=log, stderr=log)
    try:
        seen, deadline = set(), time.monotonic() + 300
        while seen != {first, second} and time.monotonic() < deadline:
            seen.add(header(ended(agent, agent.order())[2])["kid"])
        assert seen == {first, second}, (tmp_path / "log").read_text()[-2000:]
    finally:
        process.terminate()
        process.wait(180)
    assert not [reason for reason in agent.refusals()[-1:] if second in reason]
    step(stack, "rotate", "switch", "--force")
    step(stack, "withdraw")


def test_16_a_device_that_missed_two_rotations_follows_the_announcements(stack, agent):
    with Agent(stack, "away-1") as away:
        ended(away, away.order())
        away.stop()
        before = json.loads((away.state / "identity.json").read_text())
        for _ in range(2):
            rotate(stack, agent)
            step(stack, "withdraw", "--force")
        waiting = away.order()
        away.start()
        ended(away, waiting, seconds=180)
        after = json.loads((away.state / "identity.json").read_text())
        assert not {key["kid"] for key in before["command_keys"]} & {key["kid"] for key in after["command_keys"]}
        assert after["signers"] == step(stack, "list")["version"]


def test_16_nobody_else_announces_signers(stack, agent, tmp_path):
    mine = Key.new(tmp_path / "mine.pem")
    identity = (agent.state / "identity.json").read_text()
    version = json.loads(identity)["signers"]
    before = len(agent.refusals())
    forged = {"version": version + 10, "iat": int(time.time()), "keys": [mine.jwk]}
    publish_command(stack, agent.name, mine.sign(forged, SIGNERS))
    wait_for(lambda: len(agent.refusals()) == before + 1, "the refusal")
    trusted = current_key(stack)
    publish_command(stack, agent.name, trusted.sign(forged | {"version": version - 1}, SIGNERS))  # older than what it has
    publish_command(stack, agent.name, trusted.sign(forged, "muster-command+jws"))  # another typ
    wait_for(lambda: len(agent.refusals()) == before + 2, "the refusal of the other typ")
    ended(agent, agent.order())
    assert (agent.state / "identity.json").read_text() == identity


def test_private_keys_are_in_files_of_their_owner_only(stack):
    for path in (stack.state / "keys").glob("*.pem"):
        assert path.stat().st_mode & 0o777 == 0o600
        secret = "".join(path.read_text().splitlines()[1:-1])
        dump = json.dumps(stack.rows("select kid, encode(public_key, 'base64') from signing_key"))
        assert secret[-24:] not in dump


def test_16_simulated_devices_follow_too(stack, agent):
    with Fleet(stack, "obey-") as fleet:
        name = f"{fleet.prefix}001"
        wait_for(lambda: signers_of(stack, name) is not None, "the fleet to say which keys it has")
        rotate(stack, agent)
        step(stack, "withdraw", "--force")
        version = step(stack, "list")["version"]
        wait_for(lambda: signers_of(stack, name) == version, "the fleet to have the newest keys")
        command = stack.value("insert into command (device, action, requested_by) values (%s, 'ping', 'tester')"
                              " returning id::text", name)
        wait_for(lambda: stack.value("select state from command where id = %s::uuid", command) == "succeeded", "the ping")
