"""docs/enrolment.md is true: every road in it, typed as it stands there, brings a device in that is heard."""
import os
import re

import pytest

from adb_device import Adb, AdbDevice
from stack import Stack, wait_for
from test_adb_script import agents  # noqa: F401: a fixture
from walkthrough import Walk


@pytest.fixture(scope="module")
def stack(agents):  # noqa: F811
    settings = {"MUSTER_BRIDGE_AGENTS_DIR": str(agents), "MUSTER_DASHBOARD_ENROLLMENT_AGENTS_DIR": str(agents)}
    os.environ.update(settings)
    try:
        with Stack("walkthrough", ["--sims", "0", "--no-agent"]) as running:
            yield running
    finally:
        for name in settings:
            del os.environ[name]


@pytest.fixture
def folder(stack, tmp_path):
    """Where it is typed: with an agent's configuration as it would be on a device of this fleet."""
    (tmp_path / "muster-agent.conf").write_text(
        f'state_dir = "{tmp_path}/state";\n'
        f'bridge: {{ url = "https://localhost:{stack.ports["bridge"]}"; ca_file = "{stack.state}/ca/service.crt"; }};\n'
        f'broker: {{ host = "localhost"; port = {stack.ports["devices"]}; }};\n')
    return tmp_path


def heard(stack, device, seconds=180):
    wait_for(lambda: stack.rows("select 1 from telemetry where device = %s", device), f"a heartbeat of {device}", seconds)


def test_the_script(stack, folder):
    with Adb(folder / "adb") as adb, AdbDevice(folder / "one", abi="x86_64", serial="SNwalk1") as one, \
            AdbDevice(folder / "two", abi="arm64", serial="SNwalk2") as two:
        addresses = adb.connect(one), adb.connect(two)
        names = ("ANDROID_ADB_SERVER_PORT", "HOME", "ADB_VENDOR_KEYS", "ADB_MDNS_AUTO_CONNECT")
        with Walk(stack, folder, "script", **{name: adb.environment[name] for name in names}) as said:
            for address in addresses:
                row = re.search(rf"^{address} +enrolled +(\S+)$", said, re.M)
                assert row, said
                heard(stack, row[1], 0)


def test_a_token(stack, folder):
    with Walk(stack, folder, "token") as said:
        assert "enrolled as kiosk-9" in said
        heard(stack, "kiosk-9")
    assert stack.value("select tags from device where device = 'kiosk-9'") == ["lobby"]
    assert not (folder / "token").exists()


def test_self_registration(stack, folder):
    with Walk(stack, folder, "registration") as said:
        assert "kiosk-10" in said
        heard(stack, "kiosk-10", 90)


def test_preapproval(stack, folder):
    with Walk(stack, folder, "preapproval") as said:
        assert "enrolled as kiosk-11" in said
    assert sorted(stack.value("select tags from device where device = 'kiosk-11'")) == ["lobby", "north"]


def test_http_only(stack, folder):
    with Walk(stack, folder, "http") as said:
        assert said.count('"stored":true') == 3
    assert stack.value("select count(*) from telemetry where device = 'scale-3'") == 1
    wait_for(lambda: stack.value("select state from command where device = 'scale-3'") == "succeeded", "the command's end")
