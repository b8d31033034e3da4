"""The agent built for Android, run by qemu-user (x86_64: as it is), against the real broker."""
import contextlib
import json
import shutil
import signal
import subprocess

import pytest

from android_device import ABIS, AndroidRoot, Netd, command, package
from stack import run, wait_for

RECORDED = {"arm64": "phone-14", "armv7": "tablet-10", "x86_64": "phone-8"}


class AndroidAgent:
    """An enrolled agent in /data/local/tmp/muster of a device of its own."""

    def __init__(self, stack, abi, name=None):
        self.stack, self.abi, self.name = stack, abi, name or f"android-{abi.replace('_', '-')}"
        self.root = AndroidRoot(stack.state / self.name, RECORDED[abi], abi, serial=f"SN{self.name}")
        self.home = self.root.folder / "data/local/tmp/muster"
        shutil.copytree(package(abi), self.home)
        self.state = self.home / "state"
        self.state.mkdir(mode=0o700)
        self.config, self.log = self.home / "muster-agent.conf", self.home / "muster-agent.log"
        self.process = None
        self.configure()
        token = self.home / "token"
        token.write_text(stack.token("--device", self.name))
        token.chmod(0o600)
        run(stack.bin / "muster-agent", "enroll", "--config", self.config, "--token-file", token)

    def configure(self, **broker):
        broker = {"host": "localhost", "addresses": ["127.0.0.1"], **broker}
        addresses = ", ".join(json.dumps(address) for address in broker["addresses"])
        self.config.write_text(f"""
state_dir = "{self.state}";
root = "{self.root.folder}";
bridge: {{ url = "https://localhost:{self.stack.ports['bridge']}"; ca_file = "{self.stack.state}/ca/service.crt"; }};
broker: {{ host = "{broker['host']}"; addresses = [ {addresses} ]; }};
interval_s = 1;
""")

    def start(self):
        with open(self.log, "a") as log:
            self.process = subprocess.Popen([*command(self.abi, self.home / "muster-agent"), "run", "--config", self.config],
                                            stdout=log, stderr=subprocess.STDOUT)

    def end(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(180)
        self.process = None
        return code

    def logged(self, event):
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == event]

    def telemetry(self):
        return self.stack.value("select count(*) from telemetry where device = %s", self.name)

    def wait_telemetry(self, more, seconds=180):
        before = self.telemetry()
        wait_for(lambda: self.telemetry() >= before + more, f"{more} readings of {self.name}\n{self.log.read_text()[-2000:]}",
                 seconds)

    def inventory(self, kind):
        rows = self.stack.rows("select body from inventory where device = %s and kind = %s", self.name, kind)
        return rows[0][0] if rows else None


@contextlib.contextmanager
def running(agent):
    agent.start()
    try:
        yield agent
    except BaseException:
        print(agent.log.read_text()[-3000:])
        raise
    finally:
        if agent.process:
            agent.process.kill()
            agent.process.wait(180)


@pytest.fixture(scope="module", params=list(ABIS))
def agent(request, stack):
    return AndroidAgent(stack, request.param)


def test_it_needs_nothing_of_android(agent):
    """Static: no loader, no library. The package says what is inside and is what its sum says."""
    headers = run("readelf", "-lW", agent.home / "muster-agent").stdout
    assert "INTERP" not in headers
    dynamic = run("readelf", "-dW", agent.home / "muster-agent").stdout
    assert "NEEDED" not in dynamic
    folder = package(agent.abi)
    manifest = json.loads((folder / "manifest.json").read_text())
    archive = folder.parent / f"{folder.name}.tar.gz"
    assert archive.exists() == manifest["complete"], "devices get an archive only when its libraries could be verified"
    if manifest["complete"]:
        run("sha256sum", "--check", f"{archive.name}.sha256", cwd=folder.parent)
    assert manifest["abi"] == agent.abi and any(name.startswith("libssl-dev_") for name in manifest["libraries"])
    assert (folder / "muster-agent").stat().st_size < 9 << 20


def test_it_obeys_by_androids_programs(stack, agent):
    def send(action, **params):
        return stack.muster("command", "send", agent.name, action, "--params", json.dumps(params), "--wait", check=False)

    with running(agent):
        for action in ("launch_app", "restart_app"):
            done = send(action, app="com.example.till/.Main$1")
            assert done.returncode == 0, done.stdout + done.stderr
        assert agent.root.recorded("am-calls").read_text().splitlines() == [
            "<start><com.example.till/.Main$1>", "<force-stop><com.example.till>", "<start><com.example.till/.Main$1>"]
        for action, params, says in (("lock", {}, "no input"), ("restart_service", {"service": "sshd"}, "Android has no"),
                                     ("launch_app", {"app": "till"}, "no Android package"),
                                     ("locate", {}, "does not know where it is")):
            done = send(action, **params)
            assert done.returncode == 1 and says in done.stderr, done.stderr


def test_it_reports_what_android_tells(stack, agent):
    with running(agent):
        agent.wait_telemetry(2)
        rows = stack.rows("select network_type, battery_pct, charging, rssi_dbm, mem_total, disk_total, temperature_c"
                          " from telemetry where device = %s order by seq desc limit 1", agent.name)
        network, battery, charging, rssi, memory, disk, temperature = rows[0]
        expected = {"arm64": ("wifi", 67, False, -57, 28.7), "armv7": ("cellular", 83, True, -77, 35.7),
                    "x86_64": ("wifi", 100, False, -50, 27.4)}[agent.abi]
        assert (network, float(battery), charging, float(rssi)) == expected[:4]
        assert memory > 0 and disk > 0
        assert temperature is not None
        hardware = wait_for(lambda: agent.inventory("hardware"), "the hardware")
        assert hardware["os"] == "android" and hardware["abi"] == ABIS[agent.abi][0]
        assert hardware["serial"] == f"SN{agent.name}"
        software = wait_for(lambda: agent.inventory("software"), "the packages")
        names = [entry["name"] for entry in software["packages"]]
        assert names == sorted(names) and names


def test_it_obeys_and_survives(stack, agent):
    with running(agent):
        agent.wait_telemetry(1)
        done = stack.muster_json("command", "send", agent.name, "ping", "--wait")
        assert done["state"] == "succeeded", done
        for _ in range(2):
            agent.end(signal.SIGKILL)
            agent.start()
            agent.wait_telemetry(2)
        assert agent.end() == 0
        assert agent.logged("agent.stopped"), "a goodbye"
    wait_for(lambda: stack.value("select contiguous = highest and dropped = 0 from ledger where device = %s", agent.name),
             "nothing missing")
    assert stack.value("select count(*) from ledger where device = %s", agent.name) == 1, "one outbox, one epoch"
    assert stack.value("select count(*) from telemetry t where device = %s", agent.name) > 5


def test_names_come_from_androids_name_service(agent):
    agent.configure(addresses=[])
    with Netd(agent.root, {"localhost": "127.0.0.1"}) as netd, running(agent):
        agent.wait_telemetry(1)
        assert ["getaddrinfo", "localhost", "^", "0", "0", "1", "0", "0"] in netd.asked
    agent.configure()


def test_the_certificate_must_be_for_the_name(agent):
    """Whatever address the name has: only the broker's certificate says that it is the broker."""
    faults, connected = len(agent.logged("broker.connection")), len(agent.logged("broker.connected"))
    agent.configure(host="broker.example")
    with running(agent):
        fault = wait_for(lambda: agent.logged("broker.connection")[faults:], "a refusal")[0]
        assert "TLS" in fault["error"] or "certificate" in fault["error"], fault
    assert len(agent.logged("broker.connected")) == connected
    agent.configure(host="localhost")
    with running(agent):
        wait_for(lambda: len(agent.logged("broker.connected")) > connected, "the true name to be let in")


def test_without_names_it_says_so(agent):
    agent.configure(addresses=[])
    (agent.root.folder / "dev/socket/dnsproxyd").unlink(missing_ok=True)
    faults = len(agent.logged("broker.connection"))
    with running(agent):
        fault = wait_for(lambda: agent.logged("broker.connection")[faults:], "a complaint")[0]
        assert "does not resolve" in fault["error"]
    agent.configure(addresses=["not-an-address"])
    agent.start()
    assert agent.process.wait(180) == 1
    agent.process = None
    assert "broker.addresses" in agent.log.read_text().splitlines()[-1]
    agent.configure()
