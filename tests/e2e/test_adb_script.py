"""The enrolment script with the real adb client, devices that really run the agent, and each fault by its name."""
import hashlib
import json
import os
import pathlib
import re
import shutil
import tarfile

import pytest

from adb_device import Adb, AdbDevice
from android_device import REPOSITORY, package
from stack import Stack, run
from test_registration import api, key_of_role

HOME = "/data/local/tmp/muster"
ABIS = ("arm64", "x86_64")
SOURCES = REPOSITORY / "dashboard/script"


def give_out(folder, abi, complete=True):
    """What a build whose libraries could be verified puts there: an archive and its manifest."""
    name = f"muster-agent-android-{abi}"
    manifest = json.loads((package(abi) / "manifest.json").read_text()) | {"complete": complete}
    with tarfile.open(folder / f"{name}.new", "w:gz", compresslevel=1) as archive:
        archive.add(package(abi), name)
    (folder / f"{name}.new").rename(folder / f"{name}.tar.gz")
    (folder / f"{name}.json.new").write_text(json.dumps(manifest))
    (folder / f"{name}.json.new").rename(folder / f"{name}.json")


@pytest.fixture(scope="module")
def agents(tmp_path_factory):
    folder = pathlib.Path(os.environ["MUSTER_TEST_DIR"]) / f"adb-script-agents-{os.getpid()}"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    for abi in ABIS:
        give_out(folder, abi)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def stack(agents):
    settings = {"MUSTER_BRIDGE_AGENTS_DIR": str(agents), "MUSTER_DASHBOARD_ENROLLMENT_AGENTS_DIR": str(agents),
                "MUSTER_DASHBOARD_ENROLLMENT_INTERVAL_S": "1"}
    os.environ.update(settings)
    try:
        with Stack("adb_script", ["--sims", "0", "--no-agent"]) as running:
            yield running
    finally:
        for name in settings:
            del os.environ[name]


@pytest.fixture
def adb(tmp_path):
    with Adb(tmp_path / "adb") as client:
        yield client


def make_script(stack, folder, *arguments, os_name="bash"):
    path = folder / f"muster-enroll.{ {'bash': 'sh', 'windows': 'bat'}[os_name] }"
    stack.muster("enroll", "adb-script", "--os", os_name, "--out", path, *arguments)
    return path


def enroll(adb, script, *arguments):
    """Runs the script: (exit code, rows of its table by serial number, all that it said)."""
    done = run("bash", script, *arguments, check=False, env=adb.environment, input="")
    said, _, table = done.stdout.partition("\nDEVICE")
    rows, serial = {}, None
    for line in table.splitlines()[1:]:
        why = re.match(r"  (why|next): +(.*)", line)
        if why:
            rows[serial][why[1]] = why[2]
        else:
            serial, result, name = re.match(r"(\S+) +(already enrolled|\S+) +(\S+)$", line).groups()
            rows[serial] = {"result": result, "name": name}
    return done.returncode, rows, done.stdout + done.stderr


def heard(stack, name):
    return stack.value("select count(*) from telemetry where device = %s", name)


# ---- the way that is meant ----
@pytest.mark.parametrize("abi", ABIS)
def test_from_nothing_to_a_heartbeat(stack, adb, tmp_path, abi):
    name = f"script-{abi.replace('_', '-')}"
    token = stack.token("--device", name)
    script = make_script(stack, tmp_path, "--token", token)
    assert script.stat().st_mode & 0o777 == 0o700
    with AdbDevice(tmp_path / "device", abi=abi, serial=f"SN{name}") as device:
        address = adb.connect(device)
        code, rows, said = enroll(adb, script)
        assert (code, rows) == (0, {address: {"result": "enrolled", "name": name}}), said
        assert heard(stack, name) > 0
        assert f"{address}: fetching the agent" in said and f"{address}: waiting for a stored heartbeat" in said
        assert token not in said
        assert device.processes(), "the agent went with the shell"
        left = {path.name for path in device.path(HOME).iterdir()}
        assert left == {"muster-agent", "muster-agent.conf", "muster-agent.log", "manifest.json", "service.sh",
                        "service.pid", "package", "state"}
        certificates = stack.value("select count(*) from certificate where device = %s", name)
        fingerprint = stack.value("select fingerprint from device where device = %s", name)
        assert fingerprint == hashlib.sha256(
            f"machine-id=\nproduct-uuid=\nboard-serial=sn{name}\nmac=\n".encode()).hexdigest()

        # Again: nothing to do, although the token is used up; and nothing is transferred.
        pushed = len(device.opened)
        code, rows, said = enroll(adb, script, "--serial", address)
        assert (code, rows[address]["result"]) == (0, "already enrolled"), said
        assert "fetching" not in said and len(device.opened) > pushed
        assert stack.value("select count(*) from certificate where device = %s", name) == certificates

        # What is missing is repaired.
        adb("-s", address, "shell", f"sh {HOME}/service.sh stop")
        code, rows, said = enroll(adb, script)
        assert (code, rows[address]) == (0, {"result": "repaired", "name": name}), said
        (device.path(HOME) / "muster-agent").unlink()
        code, rows, said = enroll(adb, script)
        assert (code, rows[address]["result"]) == (0, "repaired"), said
        assert "installing the agent" in said
        assert stack.value("select count(*) from certificate where device = %s", name) == certificates


def test_two_at_once_and_the_faults_of_others(stack, adb, tmp_path):
    token = tmp_path / "token"
    token.write_text(stack.token("--uses", "2") + "\n")
    token.chmod(0o600)
    script = make_script(stack, tmp_path, "--token-file", token)
    with AdbDevice(tmp_path / "one", abi="x86_64", serial="SNpar1") as one, \
            AdbDevice(tmp_path / "two", abi="arm64", serial="SNpar2") as two, \
            AdbDevice(tmp_path / "three", abi="x86_64", serial="SNpar3") as three, \
            AdbDevice(tmp_path / "four") as four, AdbDevice(tmp_path / "five") as five:
        four.unauthorized, five.offline = True, True
        good = [adb.connect(one), adb.connect(two)]
        strangers = adb.connect(four, "unauthorized"), adb.connect(five, "offline")
        code, rows, said = enroll(adb, script)
        assert code == 2 and "--all" in said and not rows
        for here, there in ((one, two), (two, one)):  # neither ends before the other has begun
            here.hold = "enroll.sh finish", lambda there=there: any("enroll.sh prepare" in service for service in there.opened)
        code, rows, said = enroll(adb, script, "--all")
        assert code == 7, said
        one.hold = two.hold = None
        for address in good:
            assert rows[address]["result"] == "enrolled", said
            assert re.fullmatch("d-[0-9a-f]{12}", rows[address]["name"])
            assert heard(stack, rows[address]["name"]) > 0
        assert "allow" in rows[strangers[0]]["why"] and "unlock" in rows[strangers[0]]["next"]
        assert "does not answer" in rows[strangers[1]]["why"] and "plug" in rows[strangers[1]]["next"]
        # They ran beside each other: the second began before the first had ended.
        begun = [said.index(f"{address}: fetching the agent") for address in good]
        ended = [said.index(f"{address}: enrolled") for address in good]
        assert max(begun) < min(ended), said

        # A third one has no use of the token left; those that are enrolled need none.
        third = adb.connect(three)
        code, rows, said = enroll(adb, script, "--all")
        assert code == 7 and [rows[address]["result"] for address in good] == ["already enrolled"] * 2, said
        assert "used up" in rows[third]["why"] and "--uses" in rows[third]["next"]
        token.write_text(stack.token() + "\n")
        code, rows, said = enroll(adb, script, "--serial", third, "--token-file", token)
        assert (code, rows[third]["result"]) == (0, "enrolled"), said


# ---- each fault has a name, and a cure that works ----
@pytest.fixture
def device(adb, tmp_path):
    with AdbDevice(tmp_path / "device", abi="x86_64", serial=f"SN{tmp_path.name}") as simulated:
        simulated.address = adb.connect(simulated)
        yield simulated


def failed(adb, script, device, *arguments):
    code, rows, said = enroll(adb, script, "--serial", device.address, *arguments)
    assert code == 1 and rows[device.address]["result"] == "failed", said
    return rows[device.address]["why"], rows[device.address]["next"]


def succeeds(adb, script, device, *arguments):
    code, rows, said = enroll(adb, script, "--serial", device.address, *arguments)
    assert code == 0 and rows[device.address]["result"] == "enrolled", said


def test_a_device_that_is_not_there(stack, adb, tmp_path):
    script = make_script(stack, tmp_path)
    code, rows, said = enroll(adb, script, "--serial", "nobody:1")
    assert code == 1 and "not attached" in rows["nobody:1"]["why"]
    code, rows, said = enroll(adb, script, "--all")
    assert code == 1 and "no device is attached" in said and "USB debugging" in said
    for words in (["--all", "--serial", "x"], ["--device", "Bad"], ["--fly"], ["--serial"], ["--token-file", "/none"]):
        assert enroll(adb, script, *words)[0] == 2, words


@pytest.mark.parametrize("service", ["enroll.sh prepare", "enroll.sh finish"])
def test_the_cable_goes(stack, adb, tmp_path, device, service):
    script = make_script(stack, tmp_path, "--token", stack.token())
    device.unplug_at = service
    why, cure = failed(adb, script, device)
    assert "went away" in why and "cable" in cure
    device.unplug_at = None
    device.address = adb.connect(device)
    code, rows, said = enroll(adb, script, "--serial", device.address)
    assert code == 0, said
    assert stack.value("select count(*) from certificate where device = %s", rows[device.address]["name"]) == 1


def test_the_cable_goes_while_the_agent_is_pushed(stack, adb, tmp_path, device):
    script = make_script(stack, tmp_path, "--token", stack.token())
    device.unplug_after = 500_000
    why, _ = failed(adb, script, device)
    assert "went away" in why
    device.unplug_after, device.unplugged = None, False
    device.address = adb.connect(device)
    succeeds(adb, script, device)


def test_a_full_storage(stack, adb, tmp_path, device):
    script = make_script(stack, tmp_path, "--token", stack.token())
    device.space_bytes = 1_000_000
    why, cure = failed(adb, script, device)
    assert "too little free space" in why and "32 MB" in cure
    device.space_bytes = None
    df = device.root.folder / "system/bin/df"
    df.unlink()
    df.write_text("#!/bin/sh\necho 'Filesystem 1K-blocks Used Available Use% Mounted on'\n"
                  "echo '/dev/block/dm-8 1000000 999000 1000 100% /data'\n")
    df.chmod(0o755)
    why, cure = failed(adb, script, device)
    assert "too little free space (1000 kB are free)" in why
    df.write_text(df.read_text().replace("999000 1000", "1000 999000"))
    succeeds(adb, script, device)


def test_a_device_that_the_agent_is_not_for(stack, adb, tmp_path, device):
    script = make_script(stack, tmp_path, "--token", stack.token())
    device.root.set_property("ro.product.cpu.abi", "mips64")
    why, cure = failed(adb, script, device)
    assert "processor (mips64)" in why
    device.root.set_property("ro.build.version.sdk", "25")
    device.root.set_property("ro.build.version.release", "7.1.2")
    why, cure = failed(adb, script, device)
    assert "Android 8 or later" in why and "7.1.2" in why
    assert not (device.path(HOME) / "muster-agent").exists()


def test_tokens(stack, adb, tmp_path, device):
    script = make_script(stack, tmp_path)
    why, cure = failed(adb, script, device)
    assert "no token" in why and "muster token create" in cure
    revoked = stack.muster_json("token", "create")
    stack.muster("token", "revoke", revoked["id"])
    token = tmp_path / "token"
    token.write_text(revoked["token"])
    why, cure = failed(adb, script, device, "--token-file", token)
    assert "revoked" in why
    token.write_text(stack.token())
    stack.enroll("script-taken")
    why, cure = failed(adb, script, device, "--token-file", token, "--device", "script-taken")
    assert "another device has the name" in why and "--device" in cure
    succeeds(adb, script, device, "--token-file", token, "--device", "script-named")
    assert heard(stack, "script-named") > 0


def test_a_bridge_that_is_away(stack, adb, tmp_path, device):
    script = make_script(stack, tmp_path, "--token", stack.token())
    whole = script.read_text()
    script.write_text(whole.replace(f"https://localhost:{stack.ports['bridge']}", "https://localhost:1"))
    why, cure = failed(adb, script, device)
    assert "can't be fetched" in why and "ort 1" in why
    script.write_text(whole)
    # The agent is there already, and the bridge's certificate is of another authority.
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
        "-subj", "/CN=other", "-keyout", tmp_path / "other.key", "-out", tmp_path / "other.crt")
    adb("-s", device.address, "shell", f"mkdir -p {HOME}")
    foreign = re.sub(r"authority='[^']*'", lambda _: f"authority='{(tmp_path / 'other.crt').read_text()}'", whole)
    script.write_text(foreign)
    why, cure = failed(adb, script, device)
    assert "certificate" in why
    script.write_text(whole)
    succeeds(adb, script, device)


def test_what_comes_must_be_what_was_meant(stack, adb, tmp_path, device, agents):
    script = make_script(stack, tmp_path, "--token", stack.token())
    archive = agents / "muster-agent-android-x86_64.tar.gz"
    kept = archive.read_bytes()
    try:
        (agents / "new").write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
        (agents / "new").rename(archive)
        why, cure = failed(adb, script, device)
        assert "not what this script was made for" in why and "make this script anew" in cure
    finally:
        give_out(agents, "x86_64")
    succeeds(adb, make_script(stack, tmp_path, "--token", stack.token()), device)


def test_what_could_not_be_verified_is_not_given_out(stack, adb, tmp_path, device, agents):
    try:
        give_out(agents, "x86_64", complete=False)
        script = make_script(stack, tmp_path, "--token", stack.token())
        assert "x86_64" not in re.search(r"packages='([^']*)'", script.read_text())[1]
        why, _ = failed(adb, script, device)
        assert "processor (x86_64)" in why
        address = f"https://localhost:{stack.ports['bridge']}/v1/agents/"
        there = "muster-agent-android-arm64.tar.gz"
        for name, status in ((there, "200"), ("muster-agent-android-x86_64.tar.gz", "404"),
                             ("muster-agent-android-arm64.json", "404"), (f"..%2f{agents.name}%2f{there}", "404")):
            done = run("curl", "-sS", "--path-as-is", "--cacert", stack.state / "ca/service.crt",
                       "-o", tmp_path / "got", "-w", "%{http_code}", address + name)
            assert done.stdout == status, name
        give_out(agents, "arm64", complete=False)
        done = stack.muster("enroll", "adb-script", "--os", "bash", check=False)
        assert done.returncode == 3 and "cmake --preset android-arm64" in done.stderr, done.stderr
    finally:
        for abi in ABIS:
            give_out(agents, abi)


def test_a_broker_that_is_away(stack, adb, tmp_path, device):
    script = make_script(stack, tmp_path, "--token", stack.token())
    whole = script.read_text()
    script.write_text(whole.replace('"127.0.0.1" ]', '"127.0.0.2" ]'))
    assert script.read_text() != whole
    why, cure = failed(adb, script, device, "--wait", "10")
    assert "does not reach the broker" in why and "firewall" in cure
    script.write_text(whole)
    code, rows, said = enroll(adb, script)
    assert (code, rows[device.address]["result"]) == (0, "repaired"), said


def test_a_revoked_device_is_told_and_comes_back(stack, adb, tmp_path, device):
    name = "script-revoked"
    script = make_script(stack, tmp_path, "--token", stack.token("--device", name))
    succeeds(adb, script, device)
    stack.muster("device", "revoke", name, "--reason", "test", "--yes")
    why, cure = failed(adb, script, device, "--wait", "20")
    assert "certificate is not taken any more" in why and "--anew" in cure
    token = tmp_path / "token"
    token.write_text(stack.token("--device", name))
    before = heard(stack, name)
    code, rows, said = enroll(adb, script, "--anew", "--token-file", token)
    assert (code, rows[device.address]) == (0, {"result": "enrolled", "name": name}), said
    assert heard(stack, name) > before


# ---- who gets a script, and what is in it ----
def test_the_api(stack):
    def get(query, key=None):
        key = key or (stack.state / "api-token").read_text().strip()
        done = run("curl", "-sS", "-D", "-", "--cacert", stack.state / "ca/service.crt", "-H", "@-",
                   f"https://localhost:{stack.ports['dashboard']}/api/v1/enrollment/script{query}",
                   input=f"Authorization: Bearer {key}\n")
        return done.stdout

    before = stack.value("select count(*) from audit where action = 'enrollment.script'")
    said = get("?os=bash")
    assert said.startswith("HTTP/1.1 200") and 'attachment; filename="muster-enroll.sh"' in said
    assert "token=''" in said and f"bridge='https://localhost:{stack.ports['bridge']}'" in said
    assert (stack.state / "ca/service.crt").read_text() in said
    assert 'filename="muster-enroll.bat"' in get("?os=windows")
    assert stack.value("select count(*) from audit where action = 'enrollment.script'") == before + 2
    token = stack.token()
    assert get("?os=vms").startswith("HTTP/1.1 400") and get("").startswith("HTTP/1.1 400")
    assert get(f"?os=bash&token={token}").startswith("HTTP/1.1 400")
    for role in ("viewer", "operator", "auditor"):
        assert get("?os=bash", key_of_role(stack, role)).startswith("HTTP/1.1 403"), role
        assert api(stack, "POST", "/enrollment/script", {"os": "bash"}, key_of_role(stack, role))[0] == 403
    for body in ({"os": "vms"}, {}, {"os": "bash", "token": "x" * 42 + "'"}, {"os": "bash", "token": 7}):
        assert api(stack, "POST", "/enrollment/script", body)[0] == 422, body
    for log in (stack.state / "log").glob("*.log"):
        assert token not in log.read_text(errors="replace"), log


def test_what_a_quote_could_break(stack, tmp_path):
    """The texts in the script are those that were meant: bash itself says so."""
    token = stack.token()
    script = make_script(stack, tmp_path, "--token", token)
    head = script.read_text().split("\nusage() {")[0]
    names = ("bridge", "token", "authority", "configuration", "packages", "faults", "device_script")
    tell = "\n".join(f"printf '%s\\0' \"${name}\"" for name in names)
    said = run("bash", "-c", f"{head}\n{tell}").stdout.split("\0")
    values = dict(zip(names, said))
    assert values["token"] == token and values["bridge"] == f"https://localhost:{stack.ports['bridge']}"
    assert values["device_script"] == (SOURCES / "device.sh").read_text()
    assert values["faults"] == (SOURCES / "faults").read_text()
    assert values["authority"] == (stack.state / "ca/service.crt").read_text()
    assert "@" not in re.sub(r'"[^"]*@[^"]*"', "", head.split("device_script=")[0].split("authority=")[0])


# No PowerShell runs here: what can be shown is that both scripts hold the same texts, and take the same steps.
def powershell_strings(text):
    """Takes the script apart as PowerShell does: comments, strings, brackets. Returns its single-quoted strings."""
    found, brackets, at = [], [], 0
    pairs = {")": "(", "]": "[", "}": "{"}
    while at < len(text):
        if text.startswith("<#", at):
            at = text.index("#>", at) + 2
        elif text[at] == "#":
            at = text.index("\n", at)
        elif text[at] == "'":
            end = at + 1
            while text[end] != "'" or text[end + 1] == "'":
                end += 2 if text[end] == "'" else 1
            found.append(text[at + 1:end].replace("''", "'"))
            at = end + 1
        elif text[at] == '"':
            end = at + 1
            while text[end] != '"':
                end += 2 if text[end] == "`" else 1
            at = end + 1
        else:
            if text[at] in "([{":
                brackets.append(text[at])
            elif text[at] in pairs:
                assert brackets and brackets.pop() == pairs[text[at]], text[max(0, at - 100):at + 1]
            at += 1
    assert not brackets
    return found


def test_the_script_for_windows_says_the_same(stack, tmp_path):
    token = stack.token()
    bash = make_script(stack, tmp_path, "--token", token).read_text()
    raw = make_script(stack, tmp_path, "--token", token, os_name="windows").read_bytes()
    assert raw.count(b"\n") == raw.count(b"\r\n") and max(raw) < 128
    windows = raw.decode().replace("\r\n", "\n")
    starter, _, body = windows.partition("#>\n")
    assert starter.startswith("<# :") and "powershell.exe" in starter and "%*" in starter and starter.count("#>") == 0
    strings = powershell_strings(body)
    for name in ("bridge", "token", "authority", "configuration", "packages", "faults", "device_script"):
        value = run("bash", "-c", bash.split("\nusage() {")[0] + f'\nprintf %s "${name}."').stdout[:-1]
        assert value in strings, name

    # The steps, as the device and the bridge see them, in order.
    steps = ["enroll.sh", "probe", "package.tar.gz", "muster-agent.conf.new", "prepare", "answer.json", "finish"]
    for text in (bash[bash.index("\nenroll() {"):], body[body.index("\nfunction Enroll"):]):
        at = 0
        for step in steps:
            at = text.find(step, at) + 1
            assert at > 0, (step, text[:200])
    # Every fault that either names is in the table, and both know the same ones.
    known = {line.split("|")[0] for line in (SOURCES / "faults").read_text().splitlines()}
    in_bash = set(re.findall(r"\bfail ([a-z][a-z-]+)", bash))
    in_windows = set(re.findall(r"Stop-Device '([a-z][a-z-]+)'", body))
    on_device = set(re.findall(r"\bfault ([a-z][a-z-]+) ", bash.split("device_script=")[1].split("\nusage() {")[0]))
    assert in_bash == in_windows and in_bash | on_device <= known, (in_bash ^ in_windows, (in_bash | on_device) - known)
    assert known <= in_bash | on_device, known - in_bash - on_device
