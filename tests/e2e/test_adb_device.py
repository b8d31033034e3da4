"""The simulated Android device, as the real adb client sees it: what enrolment over adb is tested against must be true."""
import hashlib
import os
import signal

import pytest

from adb_device import Adb, AdbDevice
from android_device import package
from stack import wait_for


@pytest.fixture(scope="module")
def adb(tmp_path_factory):
    with Adb(tmp_path_factory.mktemp("adb")) as client:
        yield client


@pytest.fixture
def device(tmp_path):
    with AdbDevice(tmp_path / "device") as simulated:
        yield simulated


@pytest.fixture
def shell(adb, device):
    address = adb.connect(device)
    return lambda *arguments, **options: adb("-s", address, *arguments, **options)


def test_it_is_a_device(adb, device, shell):
    listed = [line for line in adb("devices", "-l").stdout.splitlines() if f":{device.port} " in line]
    assert len(listed) == 1 and "model:Pixel_8" in listed[0]
    assert shell("shell", "getprop", "ro.product.cpu.abi").stdout == "arm64-v8a\n"
    assert shell("shell", "getprop", "ro.build.version.release").stdout == "14\n"
    assert "level: 67" in shell("shell", "dumpsys", "battery").stdout
    assert "package:org.example.pos" in shell("shell", "pm", "list", "packages").stdout.splitlines()
    assert shell("shell", "settings", "get", "global", "adb_enabled").stdout == "null\n"


def test_the_shell_tells_exit_codes_and_streams(shell):
    done = shell("shell", "echo out; echo err >&2; exit 7", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    assert shell("shell", "cat", input="from here\n" * 2000).stdout == "from here\n" * 2000
    assert shell("shell", "no-such-program", check=False).returncode == 127
    assert shell("exec-out", "printf 'a\\0b\\n'").stdout == "a\0b\n"


def test_it_is_no_debian(shell):
    assert shell("shell", "ls", "/etc", check=False).returncode != 0
    assert shell("shell", "ls", "/tmp", check=False).returncode != 0
    assert shell("shell", "echo $PATH").stdout == "/system/bin\n"
    assert set(shell("shell", "ls", "/data/local").stdout.split()) == {"tmp"}


def test_push_and_pull(shell, device, tmp_path):
    data = os.urandom(3_000_001)
    source = tmp_path / "source"
    source.write_bytes(data)
    source.chmod(0o755)
    shell("push", source, "/data/local/tmp/new/folder/file")
    assert shell("shell", "sha256sum", "/data/local/tmp/new/folder/file").stdout.split()[0] == hashlib.sha256(data).hexdigest()
    assert shell("shell", "stat", "-c", "%a", "/data/local/tmp/new/folder/file").stdout == "755\n"
    shell("pull", "/data/local/tmp/new/folder/file", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data

    folder = tmp_path / "tree"
    (folder / "a/b").mkdir(parents=True)
    (folder / "a/b/one").write_text("1")
    (folder / "two").write_text("2")
    shell("push", folder, "/data/local/tmp/")
    assert shell("shell", "cat /data/local/tmp/tree/a/b/one /data/local/tmp/tree/two").stdout == "12"
    shell("pull", "/data/local/tmp/tree", tmp_path / "tree-back")
    assert (tmp_path / "tree-back/a/b/one").read_text() == "1"
    assert shell("pull", "/data/local/tmp/none", tmp_path / "none", check=False).returncode != 0
    assert "folder" in shell("ls", "/data/local/tmp/new").stdout


@pytest.mark.parametrize("abi", ["arm64", "armv7", "x86_64"])
def test_it_runs_the_agent_of_its_abi(adb, tmp_path, abi):
    with AdbDevice(tmp_path / "device", abi=abi) as device:
        address = adb.connect(device)
        adb("-s", address, "push", package(abi), "/data/local/tmp/muster")
        assert adb("-s", address, "shell", "/data/local/tmp/muster/muster-agent", "--version").stdout.startswith("muster-agent ")
        done = adb("-s", address, "shell", "/data/local/tmp/muster/muster-agent run", check=False)
        assert done.returncode == 1 and "not enrolled" in done.stderr


def test_the_service_outlives_the_shell(shell, device):
    shell("push", package("arm64"), "/data/local/tmp/muster")
    shell("shell", "echo 'state_dir = \"/data/local/tmp/muster\";' >/data/local/tmp/muster/muster-agent.conf")
    service = "sh /data/local/tmp/muster/service.sh "
    assert shell("shell", service + "status", check=False).returncode == 3
    assert "kept running" in shell("shell", service + "start").stdout
    assert device.processes(), "it went with the shell"
    assert "already" in shell("shell", service + "start").stdout
    log = device.root.folder / "data/local/tmp/muster/muster-agent.log"
    wait_for(lambda: log.exists() and "not enrolled" in log.read_text(), "the agent to have been started")
    keeper = int(device.path("/data/local/tmp/muster/service.pid").read_text())
    os.kill(keeper, signal.SIGKILL)
    wait_for(lambda: shell("shell", service + "status", check=False).returncode == 3, "its end to be noticed")
    shell("shell", service + "start")
    shell("shell", service + "stop")
    wait_for(lambda: not device.processes(), "everything of it to end")


def test_faults_look_as_they_do_on_a_device(adb, device, tmp_path):
    device.unauthorized = True
    address = adb.connect(device, "unauthorized")
    assert device.asked_for_trust.is_set()
    assert "unauthorized" in adb("-s", address, "shell", "true", check=False).stderr
    adb("disconnect", address)
    device.unauthorized = False
    address = adb.connect(device)

    big = tmp_path / "big"
    big.write_bytes(bytes(400_000))
    device.space_bytes = 100_000
    done = adb("-s", address, "push", big, "/data/local/tmp/big", check=False)
    assert done.returncode != 0 and "No space left on device" in done.stdout + done.stderr
    assert not device.path("/data/local/tmp/big").exists()
    device.space_bytes = None

    device.unplug_after = 100_000
    assert adb("-s", address, "push", big, "/data/local/tmp/big", check=False).returncode != 0
    device.unplug_after, device.unplugged = None, False
    address = adb.connect(device)
    device.unplug_at = "id -u"
    assert adb("-s", address, "shell", "id -u", check=False).returncode != 0
    device.unplug_at = None
    address = adb.connect(device)
    adb("-s", address, "push", big, "/data/local/tmp/big")


def test_an_offline_device_is_offline(adb, tmp_path):
    with AdbDevice(tmp_path / "device") as device:
        device.offline = True
        address = adb.connect(device, "offline")
        assert adb("-s", address, "shell", "true", check=False).returncode != 0
        adb("disconnect", address)
