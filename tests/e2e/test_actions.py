"""The real agent does what it is ordered: programs that are watched, limited, cancelled and heard; and nothing that its own
configuration does not list. The system's programs are scripts below the agent's root, which note how they were called."""
import base64
import json
import os
import pathlib
import signal
import ssl
import subprocess
import tempfile
import time
import uuid

import paho.mqtt.client as paho
import pytest
from stack import run, wait_for

TOOL = """#!/bin/sh
for word in "$(basename "$0")" "$@"; do printf '<%s>' "$word"; done >> "{noted}"
echo >> "{noted}"
[ "$(basename "$0")" = wall ] && cat >> "{noted}"
exit {status}
"""
STACK_ARGS = ["--sims", "1", "--no-agent"]
ALL = ["ping", "message", "lock", "reboot", "restart_service", "launch_app", "restart_app", "run", "set_config",
       "set_interval", "unenroll"]


# A service that is a file beside the root.
SERVICE = """#!/bin/sh
case $1 in
is-active) [ -e "{running}" ] ;;
*) [ "$2" = stop ] && rm -f "{running}" || touch "{running}" ;;
esac
"""


class Agent:
    def __init__(self, stack, name, actions=None, more=""):
        self.stack, self.name = stack, name
        self.folder = stack.state / f"agent-{name}"
        self.root, self.noted, self.config = self.folder / "root", self.folder / "noted", self.folder / "agent.conf"
        (self.root / "usr/bin").mkdir(parents=True)
        for tool, status in (("systemctl", 0), ("wall", 0), ("loginctl", 7)):
            path = self.root / "usr/bin" / tool
            path.write_text(TOOL.format(noted=self.noted, status=status))
            path.chmod(0o755)
        (self.root / "etc").mkdir()
        (self.root / "etc/passwd").write_text("root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
        listed = f"actions = {json.dumps(actions)};\n" if actions else ""
        self.config.write_text(
            f'state_dir = "{self.folder}/state"; root = "{self.root}"; {listed}{more}'
            f'reboot_command = ["/usr/bin/touch", "{self.folder}/rebooted"];\n'
            f'bridge = {{ url = "https://localhost:{stack.ports["bridge"]}"; ca_file = "{stack.state}/ca/service.crt"; }};\n')
        token = self.folder / "token"
        token.write_text(stack.token("--device", name))
        token.chmod(0o600)
        run(stack.bin / "muster-agent", "enroll", "--config", self.config, "--token-file", token)
        self.log = open(self.folder / "log", "ab")
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen([self.stack.bin / "muster-agent", "run", "--config", self.config],
                                        stdout=self.log, stderr=self.log)
        return self

    def __exit__(self, *_):
        self.stop()
        self.log.close()

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(180)

    def request(self, action, **params):
        """The id of a new command."""
        status, answer = api(self.stack, "/api/v1/commands",
                             {"device": self.name, "action": action, "params": params, "confirm": True})
        assert status == 202, answer
        return answer["id"]

    def state(self, command):
        """As the device has told, in the order in which it did: [(state, body)]."""
        return self.stack.rows("select state, body from command_result where device = %s and command = %s order by seq",
                               self.name, command)

    def wait(self, command, state=None, seconds=180):
        ends = [state] if state else ["succeeded", "failed", "rejected", "cancelled"]
        found = wait_for(lambda: [row for row in self.state(command) if row[0] in [*ends, "rejected"]], f"{ends} of {command}",
                         seconds)
        assert not state or found[0][0] == state, found
        return found[0]

    def order(self, action, **params):
        """The end of a command: (state, body), and its id."""
        command = self.request(action, **params)
        return *self.wait(command), command

    def script(self, text, **more):
        return self.order("run", argv=["/bin/sh", "-c", text], **more)

    def calls(self):
        return self.noted.read_text().splitlines() if self.noted.exists() else []


def api(stack, path, body=None):
    token = (stack.state / "api-token").read_text().strip()
    done = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", "-H", f"Authorization: Bearer {token}", "-H",
               "Content-Type: application/json", "-w", "\n%{http_code}",
               *(["--data-binary", "@-"] if body is not None else []), f"https://localhost:{stack.ports['dashboard']}{path}",
               input=json.dumps(body) if body is not None else "")
    text, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(text) if text.startswith("{") else text


def output_of(stack, command):
    status, text = api(stack, f"/api/v1/commands/{command}/output?format=text")
    assert status == 200
    return text


@pytest.fixture(scope="module")
def agent(stack):
    with Agent(stack, "till-1", ALL) as running:
        yield running


def test_the_table_is_served_as_a_schema(stack, agent):
    status, answer = api(stack, "/api/v1/actions")
    actions = {item["action"]: item for item in answer["items"]}
    assert status == 200 and "cancel" not in actions and len(actions) == 19
    assert actions["run"]["params"]["required"] == ["argv"] and actions["run"]["cancellable"]
    assert actions["wipe"]["destructive"] and actions["restart_service"]["platforms"] == ["linux"]
    status, answer = api(stack, "/api/v1/commands",
                         {"device": agent.name, "action": "cancel", "params": {"command": str(uuid.uuid4())}})
    assert status == 422 and 'no action "cancel"' in answer["detail"]


@pytest.fixture
def go():
    """The path of a file that is not there, in a folder that every user may look into: pytest's own are closed again by the next
    run that begins beside this one."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield pathlib.Path(folder) / "go"


def test_output_is_followed_as_it_comes(stack, agent, go):
    command = agent.request("run", argv=["/bin/sh", "-c",
                                         f"echo first; while [ ! -e {go} ]; do sleep 0.05; done; printf 'l\\303\\244st\\377\\n'"])
    follower = subprocess.Popen([stack.bin / "muster", "command", "output", command, "--follow", "--state", stack.state],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = follower.stdout.readline()
    assert line == "first\n", (line, follower.stderr.read())
    agent.wait(command, "running")
    assert agent.state(command)[-1][0] == "running"
    go.touch()
    rest, complaint = follower.communicate(timeout=180)
    assert (rest, complaint, follower.returncode) == ("läst\ufffd\n", "", 0)
    state, body = agent.wait(command)
    assert state == "succeeded" and body["output"] == {"bytes": 13, "cut": False, "status": 0}
    assert output_of(stack, command) == "first\nläst\ufffd\n"
    _, answer = api(stack, f"/api/v1/commands/{command}/output?after=0")
    assert [(item["n"], item["end"]) for item in answer["items"]] == [(1, True)] and answer["next"] is None


def test_chunks_are_stored_once_and_not_another_devices(stack, agent):
    _, _, command = agent.script("echo mine")
    rows = stack.rows("select device, n, data, last from command_output where command = %s", command)
    assert rows == [("till-1", 0, "mine\n", True)]
    certificate, key, _ = stack.enroll("paho-1")  # another device under the same id, and the same again
    chunk = json.dumps({"command": command, "n": 0, "data": "foreign", "end": True})
    for _ in range(2):
        run("mosquitto_pub", "-V", "5", "-q", "1", "-h", "localhost", "-p", stack.ports["devices"], "-i", "paho-1",
            "-t", f"fleet/v1/paho-1/stream/{command}", "-m", chunk, "--cafile", stack.state / "ca/service.crt",
            "--cert", certificate, "--key", key)
    wait_for(lambda: stack.value("select count(*) from command_output where device = 'paho-1'") == 1, "the foreign chunk")
    assert output_of(stack, command) == "mine\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_programs_of_run_have_no_rights(stack, agent):
    state, _, command = agent.script(f"id -u; id -G; cat {agent.folder}/state/credential 2>&1; env | cut -d= -f1 | sort")
    text = output_of(stack, command)
    assert state == "succeeded" and text.startswith("65534\n65534\ncat: ") and "Permission denied" in text
    assert "MUSTER" not in text


def test_too_much_output_is_cut_and_says_so(stack, agent):
    state, body, command = agent.script("head -c 400000 /dev/zero | tr '\\0' x; echo; echo last")
    assert state == "succeeded" and body["output"] == {"bytes": 262144, "cut": True, "status": 0}
    assert output_of(stack, command) == "x" * 262144
    done = stack.muster("command", "output", command)
    assert len(done.stdout) == 262144 and "256 kB" in done.stderr


def test_arguments_stay_arguments(stack, agent):
    words = ["$(touch /tmp/x)", "; reboot", "`id`", "a b", "*", "'\"", "-n", ""]
    state, _, command = agent.order("run", argv=["/usr/bin/printf", "<%s>", *words])
    assert state == "succeeded" and output_of(stack, command) == "".join(f"<{word}>" for word in words)
    state, _, _ = agent.order("message", text="$(reboot) ; <b>", title="-x")
    assert state == "succeeded" and agent.calls() == ["<wall>", "-x", "$(reboot) ; <b>"]
    for action, params in (("restart_service", {"service": "a;reboot"}), ("restart_service", {"service": "--all"}),
                           ("launch_app", {"app": "$(reboot)"})):
        status, answer = api(stack, "/api/v1/commands", {"device": agent.name, "action": action, "params": params})
        assert status == 422 and "must be a name" in answer["detail"]


def test_services_are_systemds(agent):
    agent.noted.unlink(missing_ok=True)
    assert agent.order("restart_service", service="till@1.service")[0] == "succeeded"
    state, _, command = agent.order("restart_app", app="kiosk")
    assert state == "succeeded"
    assert agent.calls() == [f"<systemctl><--no-ask-password><{verb}><--><{name}>" for verb, name in
                             (("restart", "till@1.service"), ("stop", "kiosk"), ("start", "kiosk"))]
    progress = [body.get("progress") for state, body in agent.state(command) if state == "running"]
    assert progress == [None, 50]
    state, body, _ = agent.order("lock")
    assert state == "failed" and body["reason"] == "the program ended with status 7"


def test_time_and_memory_are_limited(agent):
    state, body, _ = agent.script("trap '' TERM; while :; do sleep 0.1; done", timeout_s=1)
    assert state == "failed" and body["reason"] == "the program did not end within 1 s"
    state, body, command = agent.order("run", argv=["/usr/bin/python3", "-c", "x = bytearray(400 << 20); print(len(x))"])
    assert state == "failed" and body["output"]["status"] == 1
    assert "MemoryError" in output_of(agent.stack, command)


def sleepers(mark):
    found = []
    for folder in pathlib.Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and mark in (folder / "cmdline").read_text().split("\0"):
                found.append(int(folder.name))
        except OSError:
            pass  # it has gone meanwhile
    return found


class Commanding:
    """Speaks to devices as commander does, with its key: for what nobody can ask for."""

    def __init__(self, stack):
        self.stack, self.connected = stack, False
        self.client = paho.Client("svc.commander.test", protocol=paho.MQTTv5)
        self.client.tls_set(str(stack.state / "ca/service.crt"), str(stack.state / "certs/commander.crt"),
                            str(stack.state / "certs/commander.key"), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.client.on_connect = lambda *_: setattr(self, "connected", True)

    def __enter__(self):
        self.client.connect("localhost", self.stack.ports["services"])
        self.client.loop_start()
        wait_for(lambda: self.connected, "CONNACK")
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def order(self, device, action, **params):
        command, signed = self.sign(device, action, **params)
        self.publish(device, signed)
        return command

    def publish(self, device, signed):
        self.client.publish(f"fleet/v1/{device}/command", signed, qos=1).wait_for_publish(30)

    def sign(self, device, action, **params):
        """Its id, and what is to be published."""
        def part(value):
            return base64.urlsafe_b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).rstrip(b"=")

        now, command = int(time.time()), str(uuid.uuid4())
        with self.stack.connect() as database:
            counter = database.execute("update device set command_counter = command_counter + 1 where device = %s returning "
                                       "command_counter", (device,)).fetchone()[0]
            kid = database.execute("select kid from signing_key where retired_at is null").fetchone()[0]
        signed = part({"alg": "EdDSA", "kid": kid, "typ": "muster-command+jws"}) + b"." + part(
            {"jti": command, "sub": device, "iat": now, "exp": now + 600, "n": counter, "action": action, "params": params})
        text = self.stack.state / "test-signed"
        text.write_bytes(signed)
        key = next((self.stack.state / "keys").glob("*command*"))
        signature = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", text],
                                   check=True, capture_output=True, timeout=180).stdout
        return command, signed + b"." + part(signature)


def test_a_running_command_is_cancelled(stack, agent):
    mark = f"300.{os.getpid()}1"
    command = agent.request("run", argv=["/bin/sh", "-c", f"echo here; sleep {mark} & wait"])
    agent.wait(command, "running")
    wait_for(lambda: sleepers(mark), "the program")
    status, answer = api(stack, f"/api/v1/commands/{command}/cancel", {})
    assert status == 202, answer
    assert agent.wait(command)[0] == "cancelled"
    wait_for(lambda: not sleepers(mark), "the end of all its programs")
    wait_for(lambda: stack.value("select state from command where id = %s", command) == "cancelled", "commander to know")
    with Commanding(stack) as service:  # once more: nobody can ask for it, so it comes from commander itself
        again = service.order(agent.name, "cancel", command=command)
        state, body = agent.wait(again)
        assert state == "failed" and "has ended" in body["reason"]
    assert output_of(stack, command) == "here\n"


def told(stack, device, command):
    """What a device has told of a command, in order."""
    return [row[0] for row in stack.rows("select state from command_result where device = %s and command = %s order by epoch, seq",
                                         device, command)]


def test_a_command_that_its_cancel_overtook_is_not_executed(stack, agent):
    witness = agent.folder / "overtaken"
    with Commanding(stack) as service:
        command, signed = service.sign(agent.name, "run", argv=["/usr/bin/touch", str(witness)])
        control, right = service.sign(agent.name, "ping")
        service.publish(agent.name, right)
        agent.wait(control, "succeeded")
        cancel = service.order(agent.name, "cancel", command=command)
        agent.wait(cancel, "succeeded")
        assert told(stack, agent.name, command) == ["cancelled"]
        agent.stop(signal.SIGKILL)
        agent.__enter__()
        service.publish(agent.name, signed)
        agent.wait(service.order(agent.name, "run", argv=["/bin/true"]), "succeeded")  # it came after that
        assert set(told(stack, agent.name, command)) == {"cancelled"} and not witness.exists()

        command, signed = service.sign("sim-001", "ping")
        cancel = service.order("sim-001", "cancel", command=command)
        wait_for(lambda: told(stack, "sim-001", cancel) == ["accepted", "succeeded"], "the simulated device")
        service.publish("sim-001", signed)
        wait_for(lambda: told(stack, "sim-001", command) == ["cancelled", "cancelled"], "the same answer again")


def test_what_is_not_listed_is_rejected(stack):
    with Agent(stack, "till-2") as agent:
        for action, params in (("run", {"argv": ["/bin/true"]}), ("reboot", {}), ("wipe", {"device": "till-2"}),
                               ("unenroll", {}), ("install_package", {"package": "hello"})):
            state, body, _ = agent.order(action, **params)
            assert state == "rejected" and "not allowed by this device's configuration" in body["reason"], action
        state, body, _ = agent.order("ring", seconds=1)
        assert state == "rejected" and "no speaker-test or beep" in body["reason"]
        assert not (agent.folder / "rebooted").exists()


def test_settings(stack, agent):
    state, body, _ = agent.order("set_config", config={"interval_s": 7, "commands.parallel": 2})
    assert state == "succeeded" and body["output"] == {"after_restart": ["commands.parallel"]}
    wait_for(lambda: stack.value("select interval_s from device_state where device = 'till-1'") == 7, "the new interval")
    settings = agent.folder / "state/settings.json"
    assert json.loads(settings.read_text()) == {"interval_s": 7, "commands.parallel": 2}
    assert settings.stat().st_mode & 0o777 == 0o600
    for config, says in (({"actions": "run"}, "no option that can be set from afar"), ({"interval_s": 0}, "within 1 and")):
        state, body, _ = agent.order("set_config", config=config)
        assert state == "rejected" and says in body["reason"]
    agent.stop()
    agent.__enter__()
    stack.rows("update device set command_policy = 'burst' where device = 'till-1' returning 1")
    first, second = (agent.request("run", argv=["/bin/sleep", "300"]) for _ in range(2))
    agent.wait(first, "running")
    agent.wait(second, "running")
    state, body, _ = agent.order("run", argv=["/bin/true"])
    assert state == "failed" and "at the same time (2)" in body["reason"]
    agent.stop()
    agent.__enter__()
    assert [agent.wait(command)[0] for command in (first, second)] == ["failed", "failed"]


def test_killed_in_the_middle(stack, agent):
    mark = f"300.{os.getpid()}2"
    command = agent.request("run", argv=["/bin/sleep", mark])
    wait_for(lambda: sleepers(mark), "the program")
    agent.stop(signal.SIGKILL)
    wait_for(lambda: not sleepers(mark), "the program to go with the agent")
    agent.__enter__()
    state, body = agent.wait(command)
    assert state == "failed" and body["reason"] == "agent restarted"
    assert [row[0] for row in agent.state(command)] == ["accepted", "running", "failed"]


def test_a_watched_service_is_started_again(stack):
    def told():
        return [row[0] for row in stack.rows("select type from event where device = 'till-4' and body ? 'app' order by seq")]

    agent = Agent(stack, "till-4", more='watch = { apps = ["kiosk"]; };')
    running = agent.folder / "running"
    (agent.root / "usr/bin/systemctl").write_text(SERVICE.format(running=running))
    running.touch()
    with agent:
        assert agent.order("ping")[0] == "succeeded"
        running.unlink()
        wait_for(running.exists, "the service to be started again")
        wait_for(lambda: "app.relaunched" in told(), "the event")
        assert told() in (["app.crashed", "app.relaunched"], ["app.relaunched"]), "the latter when it was never seen"
        assert agent.order("stop_app", app="kiosk")[0] == "succeeded"
        before = told()
        time_before = stack.value("select now()")
        wait_for(lambda: stack.value("select now() > %s + interval '12 seconds'", time_before), "two looks at it")
        assert not running.exists() and told() == before, "ordered to stop, it stays so"
        assert agent.order("launch_app", app="kiosk")[0] == "succeeded"
        assert running.exists()


def test_unenroll_leaves_when_the_server_knows(stack):
    with Agent(stack, "till-3", ALL) as agent:
        state, _, command = agent.order("unenroll")
        assert state == "succeeded"
        assert agent.process.wait(180) == 0
        left = {path.name for path in (agent.folder / "state").iterdir()}
        assert left <= {"lock", "outbox.db.lock"}, left
        wait_for(lambda: stack.muster_json("command", "status", command)["state"] == "succeeded", "commander to know")
