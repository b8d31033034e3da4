"""`muster up` as its users meet it: proven from nothing, again, moved ports, kill -9, down, reset."""
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest
from stack import Stack, run, wait_for

RELEASE = pathlib.Path(os.environ.get("MUSTER_RELEASE_BIN", "build/release/bin"))


def processes_of(state):
    """Processes whose command line or working folder names this state."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            folder = os.readlink(entry / "cwd")
        except OSError:
            continue
        if str(state) in command or folder.startswith(str(state)):
            found.append(f"{entry.name} {command[:120]}")
    return found


def test_check_proves_the_whole_way_from_nothing():
    stack = Stack("up-check", bin_folder=RELEASE)
    try:
        done = run(stack.bin / "muster", "up", "--check", "--json", "--auto-ports", "--state", stack.state)
        proof = json.loads(done.stdout)
        assert proof["devices"] == 21 and proof["pings"]["succeeded"] == 21, proof
        assert proof["telemetry"]["mem_total"] > 0, "this machine's own telemetry"
        assert not processes_of(stack.state)
    finally:
        stack.__exit__(None, None, None)
    assert not stack.state.exists()


def test_many_devices_are_pinged():
    """Each ping is a line in the logs of the dashboard and of commander: more of them than a pipe holds."""
    with Stack("up-many", ["--sims", "340", "--no-agent"], bin_folder=RELEASE) as stack:
        assert stack.info["pings"]["succeeded"] == 340
        for part in ("dashboard", "commander"):
            assert (stack.state / f"log/{part}.log").stat().st_size > 65536, part


def test_life_of_a_stack():
    stack = Stack("up-life", ["--sims", "3"], bin_folder=RELEASE)
    with stack:
        again = json.loads(stack.muster("up", "--detach", "--json").stdout)
        assert again["already_running"] is True and again["dashboard"] == stack.info["dashboard"]
        parts = {part["name"]: part for part in stack.muster_json("status")["parts"]}
        assert {"postgres", "broker", "ingest", "commander", "bridge", "dashboard", "agent", "sim"} <= set(parts)
        devices = stack.muster_json("device", "list")["items"]
        assert len(devices) == 4
        text = stack.muster("device", "list").stdout
        assert "sim-001" in text and "online" in text
        done = stack.muster("command", "send", "sim-001", "ping", "--wait")
        assert "succeeded" in done.stdout
        rows = stack.value("select count(*) from telemetry")

        stack.muster("down")
        assert not processes_of(stack.state)
        stack.up()
        assert stack.value("select count(*) from telemetry") >= rows, "the data is still there"

        supervisor = stack.info["pid"]
        os.kill(supervisor, signal.SIGKILL)
        wait_for(lambda: not processes_of(stack.state), "every process to go with its supervisor")
        stack.up()


def test_a_taken_port_is_moved():
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind(("127.0.0.1", 8883))
            taken.listen()
        except OSError:
            pass  # somebody else has it: just as good
        stack = Stack("up-ports", bin_folder=RELEASE)
        try:
            done = run(stack.bin / "muster", "up", "--detach", "--json", "--sims", "1", "--no-agent", "--state", stack.state)
            assert json.loads(done.stdout)["ports"]["devices"] != 8883
        finally:
            stack.__exit__(None, None, None)


def test_bash_completes_nouns_verbs_and_options():
    script = run(RELEASE / "muster", "completion").stdout
    for words, expected in (("dev", "device"), ("device appr", "approve"), ("device list --sta", "--status --state"),
                            ("up --det", "--detach"), ("command send --wa", "--wait"), ("nonsense x", "")):
        words = ["muster", *words.split()]
        ask = f'{script}\nCOMP_WORDS=({" ".join(words)})\nCOMP_CWORD={len(words) - 1}\n_muster\necho "${{COMPREPLY[*]}}"'
        assert run("bash", "-u", "-c", ask).stdout.split() == expected.split(), words


def test_errors_of_the_cli_say_what_to_do():
    stack = Stack("up-errors", ["--sims", "0", "--no-agent"], bin_folder=RELEASE)
    done = stack.muster("device", "list", check=False)
    assert done.returncode == 5 and "muster up" in done.stderr
    for word, hint in (("devices", "muster device --help"), ("dev", "muster device --help"), ("test", "./muster test")):
        done = run(stack.bin / "muster", word, check=False)
        assert done.returncode == 2 and hint in done.stderr, done.stderr
    with stack:
        cases = [(("device", "show", "nobody-1"), 3, "nobody-1"), (("device",), 2, "list"), (("fly",), 2, "fly"),
                 (("command", "send", "nobody-1", "ping"), 3, "nobody-1"), (("command", "status", "not-an-id"), 2, "not-an-id"),
                 (("token", "revoke", "ffffffff"), 3, "ffffffff")]
        stack.enroll("cli-1")
        cases += [(("command", "send", "cli-1", "explode"), 2, "ping"),
                  (("command", "send", "cli-1", "set_interval", "--params", '{"seconds":1}'), 2, "seconds")]
        cases += [(("device", "list", "--status", "odd"), 2, "online"), (("user", "add", "No!", "--role", "viewer"), 2, "No!"),
                  (("login-link", "nobody"), 3, "user add"), (("device", "fly"), 2, "show"), (("--json", "status"), 2, "behind"),
                  (("reset",), 1, "--yes")]
        for arguments, code, word in cases:
            done = stack.muster(*arguments, check=False, stdin=subprocess.DEVNULL)
            assert (done.returncode, word in done.stderr) == (code, True), (arguments, done.returncode, done.stderr)
            done = stack.muster(*arguments, "--json", check=False, stdin=subprocess.DEVNULL)
            problem = json.loads(done.stderr)
            assert (done.returncode, done.stdout) == (code, ""), (arguments, done.stdout)
            assert problem["exit_code"] == code and problem["error"] and problem["next"], problem

        token = (stack.state / "api-token").read_text()
        for bad in ("not-a-token", None):
            (stack.state / "api-token").unlink()
            if bad:
                (stack.state / "api-token").write_text(bad)
                (stack.state / "api-token").chmod(0o600)
                shutil.chown(stack.state / "api-token", stack.state.stat().st_uid, stack.state.stat().st_gid)
            done = stack.muster("device", "list", check=False)
            assert done.returncode == 4 and "muster up make a new one" in done.stderr, done.stderr
        stack.muster("down")
        assert stack.muster("down").stdout == "nothing was running\n"
        done = stack.muster("device", "list", check=False)
        assert done.returncode == 5 and "muster up" in done.stderr, done.stderr
        stack.up()
        assert (stack.state / "api-token").read_text() != token
        assert stack.muster_json("device", "list")["items"][0]["device"] == "cli-1"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user than the folder's")
def test_a_closed_state_folder_is_not_taken_for_an_empty_one():
    stack = Stack("up-closed", ["--sims", "0", "--no-agent"], bin_folder=RELEASE)
    with stack, tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        program = shutil.copy(stack.bin / "muster", folder)
        for verb in ("status", "down", "device list", "reset --yes"):
            done = run(program, *verb.split(), "--state", stack.state, check=False, user="nobody", group="nogroup", extra_groups=[])
            assert done.returncode == 4 and "Permission denied" in done.stderr, (verb, done.stdout, done.stderr)
        assert stack.pid("broker") > 0


def test_every_verb_speaks_json_and_text():
    stack = Stack("up-json", ["--sims", "1", "--no-agent"], bin_folder=RELEASE)
    with stack:
        sent = stack.muster_json("command", "send", "sim-001", "ping")
        token = stack.muster_json("token", "create")
        answers = {verb: stack.muster_json(*verb) for verb in (
            ("status",), ("login-link",), ("stack", "pid", "sim"), ("stack", "restart", "sim"), ("device", "list"),
            ("device", "show", "sim-001"), ("command", "actions"), ("command", "send", "sim-001", "ping", "--wait"),
            ("command", "status", sent["id"]), ("token", "list"), ("token", "revoke", token["id"]),
            ("user", "add", "anna", "--role", "viewer"), ("operator", "add", "alice"), ("db", "status"), ("db", "migrate"))}
        assert answers[("stack", "restart", "sim")]["pid"] == stack.pid("sim") != answers[("stack", "pid", "sim")]["pid"]
        assert answers[("token", "revoke", token["id"])] == {"id": token["id"], "revoked": True}
        actions = {item["action"]: item for item in answers[("command", "actions")]["items"]}
        assert actions["set_interval"]["params"]["properties"]["seconds"]["maximum"] == 86400
        assert answers[("command", "send", "sim-001", "ping", "--wait")]["state"] == "succeeded"

        shown = stack.muster("device", "show", "sim-001").stdout
        assert re.search(r"Last seen     \d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ, (now|\d+ s ago)\n", shown), shown
        for part in (" GB free", "Battery", "ping by admin: succeeded", " 0 lost"):
            assert part in shown, shown
        waited = stack.muster("command", "send", "sim-001", "ping", "--wait").stdout
        states = [line.split()[-1] for line in waited.splitlines() if " s  " in line]
        assert states == ["queued", "sent", "accepted", "succeeded"], waited
        for text in (shown, waited, *(stack.muster(*verb).stdout for verb in (("token", "list"), ("status",), ("device", "list")))):
            assert max(map(len, text.splitlines())) <= 100, text
        assert stack.muster("command", "status", sent["id"]).stdout.startswith(sent["id"])


def test_a_refused_or_expired_command_fails_the_wait():
    stack = Stack("up-refused", ["--sims", "0"], bin_folder=RELEASE)
    with stack:
        machine = stack.info["machine"]
        harmless = stack.state / "rebooted"
        configuration = stack.state / "conf/agent.conf"
        configuration.write_text(configuration.read_text() + f'reboot_command = ["/usr/bin/touch", "{harmless}"];\n')
        stack.muster("stack", "restart", "agent")
        stack.enroll("asleep-1")
        for device, action, more, code, word in ((machine, "reboot", ("--yes",), 1, "not allowed"),
                                                 ("asleep-1", "ping", ("--ttl", "1s"), 1, "expired"),
                                                 ("asleep-1", "ping", ("--timeout", "1s"), 6, "command show")):
            done = stack.muster("command", "send", device, action, "--wait", *more, check=False)
            assert (done.returncode, word in done.stderr) == (code, True), (done.stdout, done.stderr)
        assert not harmless.exists()

        configuration.write_text(configuration.read_text() + 'actions = ["ping", "reboot"];\n')
        stack.muster("stack", "restart", "agent")
        stack.muster("command", "send", machine, "reboot", "--yes", "--wait")
        assert harmless.exists(), "allowed by the device's own configuration, it is done"


def test_what_operator_add_prints_can_be_pasted():
    stack = Stack("up-paste", ["--sims", "1", "--no-agent"], bin_folder=RELEASE)
    with stack:
        blocks = stack.muster("operator", "add", "alice").stdout.split("\n\n")
        subscribe, publish = (block for block in blocks if block.lstrip().startswith("mosquitto_"))
        answers = subprocess.Popen(["bash", "-c", f"exec stdbuf -oL {subscribe.strip()} -C 4 -W 180 -d"], stdout=subprocess.PIPE, text=True)
        while "SUBACK" not in answers.stdout.readline():
            assert answers.poll() is None
        run("bash", "-c", publish)
        lines = [line for line in answers.communicate(timeout=180)[0].splitlines() if line.startswith("{")]
        assert [json.loads(line)["state"] for line in lines] == ["queued", "sent", "accepted", "succeeded"], lines


def test_unknown_option_is_named_with_its_line():
    stack = Stack("up-config", ["--sims", "0", "--no-agent"], bin_folder=RELEASE)
    with stack:
        for part in ("ingest", "commander", "bridge", "dashboard"):
            good = stack.state / "conf" / f"{part}.conf"
            bad = stack.state / "conf" / f"{part}-bad.conf"
            bad.write_text(good.read_text() + "\nsurprise = 1;\n")
            line = bad.read_text().count("\n")
            program = stack.bin / f"muster-{part}"
            assert subprocess.run([program, "--check-config", "--config", good], timeout=180).returncode == 0
            done = subprocess.run([program, "--check-config", "--config", bad], capture_output=True, text=True, timeout=180)
            assert done.returncode == 1 and f"{bad.name}:{line}" in done.stderr and "surprise" in done.stderr, done.stderr


def test_no_secret_in_any_command_line_or_log():
    stack = Stack("up-secrets", ["--sims", "1"], bin_folder=RELEASE)
    with stack:
        token = stack.token()
        login = stack.info["login_link"].split("#")[1]
        api = (stack.state / "api-token").read_text().strip()
        logs = "".join(path.read_text(errors="replace") for path in (stack.state / "log").glob("*.log"))
        lines = "".join(processes_of(stack.state))
        for secret in (token, login, api):
            assert secret not in logs and secret not in lines
        for path in [*stack.state.glob("ca/*.key"), *stack.state.glob("certs/*.key"), stack.state / "api-token",
                     *stack.state.glob("keys/*")]:
            assert path.stat().st_mode & 0o077 == 0, path
