"""`muster up` as its users meet it: proven from nothing, again, moved ports, kill -9, down, reset."""
import json
import os
import pathlib
import signal
import socket
import subprocess

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
        wait_for(lambda: not processes_of(stack.state), "every process to go with its supervisor", 15)
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


def test_errors_of_the_cli_say_what_to_do():
    stack = Stack("up-errors", ["--sims", "0", "--no-agent"], bin_folder=RELEASE)
    done = stack.muster("device", "list", check=False)
    assert done.returncode == 5 and "muster up" in done.stderr
    with stack:
        cases = [(("device", "show", "nobody-1"), 3, "nobody-1"), (("device",), 2, "list"), (("fly",), 2, "fly"),
                 (("command", "send", "nobody-1", "ping"), 3, "nobody-1"), (("command", "status", "not-an-id"), 2, "not-an-id"),
                 (("token", "revoke", "ffffffff"), 3, "ffffffff")]
        stack.enroll("cli-1")
        cases += [(("command", "send", "cli-1", "explode"), 2, "ping"),
                  (("command", "send", "cli-1", "set_interval", "--params", '{"seconds":1}'), 2, "seconds")]
        for arguments, code, word in cases:
            done = stack.muster(*arguments, check=False)
            assert (done.returncode, word in done.stderr) == (code, True), (arguments, done.returncode, done.stderr)


def test_unknown_option_is_named_with_its_line():
    stack = Stack("up-config", ["--sims", "0", "--no-agent"], bin_folder=RELEASE)
    with stack:
        for part in ("ingest", "commander", "bridge", "dashboard"):
            good = stack.state / "conf" / f"{part}.conf"
            bad = stack.state / "conf" / f"{part}-bad.conf"
            bad.write_text(good.read_text() + "\nsurprise = 1;\n")
            line = bad.read_text().count("\n")
            program = stack.bin / f"muster-{part}"
            assert subprocess.run([program, "--check-config", "--config", good], timeout=30).returncode == 0
            done = subprocess.run([program, "--check-config", "--config", bad], capture_output=True, text=True, timeout=30)
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
