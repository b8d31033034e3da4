"""Enrolment over adb by hand: the device makes its key, the operator's computer alone reaches the bridge."""
import json

import pytest

from adb_device import Adb, AdbDevice
from android_device import REPOSITORY, package
from stack import run, wait_for
from walkthrough import commands

HOME = "/data/local/tmp/muster"


@pytest.fixture(scope="module")
def adb(tmp_path_factory):
    with Adb(tmp_path_factory.mktemp("adb")) as client:
        yield client


@pytest.mark.parametrize("abi", ["arm64", "armv7", "x86_64"])
def test_by_hand(stack, adb, tmp_path, abi):
    name = f"adb-{abi.replace('_', '-')}"
    config = tmp_path / "muster-agent.conf"
    config.write_text(f"""
state_dir = "{HOME}/state";
broker: {{ addresses = [ "127.0.0.1" ]; }};
interval_s = 1;
""")
    with AdbDevice(tmp_path / "device", abi=abi, serial=f"SN{name}") as device:
        address = adb.connect(device)

        def shell(*words, **options):
            return adb("-s", address, "shell", *words, **options)

        agent = f"{HOME}/muster-agent"
        options = f"--config {HOME}/muster-agent.conf"
        adb("-s", address, "push", package(abi), HOME)
        adb("-s", address, "push", config, f"{HOME}/muster-agent.conf")
        request = json.loads(shell(f"{agent} request {options} --device {name}").stdout)
        assert "PRIVATE" not in json.dumps(request) and "token" not in request
        again = json.loads(shell(f"{agent} request {options} --device {name}").stdout)
        status, answer = stack.post("/v1/enroll", {**request, "token": stack.token("--device", name)})
        assert status == 201 and answer["device"] == name
        assert again["fingerprint"] == request["fingerprint"]
        done = shell(f"{agent} install {options}", input=json.dumps(answer))
        assert f"enrolled as {name}" in done.stdout
        assert "nothing to ask for" in shell(f"{agent} request {options}", check=False).stderr

        shell(f"sh {HOME}/service.sh start")
        wait_for(lambda: stack.rows("select 1 from telemetry where device = %s", name), "the first heartbeat")
        report = shell(f"{agent} check {options} --json", check=False)
        assert report.returncode == 0, report.stdout + report.stderr
        stored = stack.rows("select fingerprint from device where device = %s", name)
        assert stored[0][0] == request["fingerprint"]
        shell(f"sh {HOME}/service.sh stop")
        wait_for(lambda: not device.processes(), "everything of it to end")


def test_the_walk_through_works_as_typed(stack, adb, tmp_path):
    script = commands("by-hand")
    (tmp_path / "build").symlink_to(REPOSITORY / "build")
    token = stack.token("--device", "adb-typed")
    (tmp_path / "token").write_text(token + "\n")
    with AdbDevice(tmp_path / "device", serial="SNadb-typed") as device:
        said = {"abi": "arm64", "name": "adb-typed", "home": HOME, "broker": "127.0.0.1", "ANDROID_SERIAL": adb.connect(device),
                "bridge": f"https://localhost:{stack.ports['bridge']}", "ca": str(stack.state / "ca/service.crt")}
        done = run("bash", "-c", script, cwd=tmp_path, env={**adb.environment, **said}, input="")
        assert "enrolled as adb-typed" in done.stdout and token not in done.stdout + done.stderr
        wait_for(lambda: stack.rows("select 1 from telemetry where device = 'adb-typed'"), "the first heartbeat")
