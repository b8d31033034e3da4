"""Two cells, each a broker with its ingest and its commander, in one database: devices are enrolled into each, and neither
minds what happens to the other."""
import contextlib
import os
import re
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from page import browse
from stack import Device, free_port, wait_for
from test_console import Console, reader
from test_kill import Fleet
from test_operator import Operator
from test_presence import Sessions, await_state

STACK_ARGS = ["--sims", "0", "--no-agent"]


def free_ports(count):
    return [free_port() for _ in range(count)]


class Part:
    """A process of the second cell, started, killed and stopped by the test, as the user that owns the stack's files."""

    def __init__(self, stack, name, command, port):
        self.owner = stack.owner()
        self.command, self.port, self.process = command, port, None
        self.log = open(stack.state / f"log/{name}.log", "ab")

    def start(self):
        self.process = subprocess.Popen([str(word) for word in self.command], stdout=self.log, stderr=self.log, **self.owner)
        wait_for(self.listens, f"{self.command[0]} to listen")

    def listens(self):
        assert self.process.poll() is None, f"{self.command[0]} ended"
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def end(self, how):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(180)


class SecondCell:
    def __init__(self, stack):
        self.stack = stack
        self.devices, self.services, websockets, self.console, *http = free_ports(6)
        folder = stack.state / "broker-2"
        folder.mkdir()
        (folder / "revoked").write_text("")
        (folder / "console.jwks").write_bytes((stack.state / "broker/console.jwks").read_bytes())
        text = (stack.state / "broker/mosquitto.conf").read_text()
        for old, new in ((stack.ports["devices"], self.devices), (stack.ports["services"], self.services),
                         (stack.ports["websockets"], websockets), (stack.ports["console"], self.console)):
            text = re.sub(rf"^listener {old} ", f"listener {new} ", text, flags=re.M)
        text = text.replace(f"{stack.state.resolve()}/broker/", f"{folder.resolve()}/").replace(
            f"{folder.resolve()}/acl", f"{stack.state.resolve()}/broker/acl").replace("plugin_opt_cell 1\n", "plugin_opt_cell 2\n")
        (folder / "mosquitto.conf").write_text(text)
        self.broker = Part(stack, "broker-2", ["/usr/sbin/mosquitto", "-c", folder / "mosquitto.conf"], self.services)
        for key in ("user", "group"):
            if self.broker.owner:
                for path in (folder, *folder.iterdir()):
                    os.chown(path, self.broker.owner["user"], self.broker.owner["group"])
        self.ingest = Part(stack, "ingest-2", [stack.bin / "muster-ingest", "--config",
                                               self.configure("ingest", http[0])], http[0])
        self.commander = Part(stack, "commander-2", [stack.bin / "muster-commander", "--config",
                                                     self.configure("commander", http[1])], http[1])

    def configure(self, name, http):
        """As of the first cell, client id and all."""
        text = (self.stack.state / f"conf/{name}.conf").read_text()
        text, one = re.subn(r"(broker = \{[^}]*port = )\d+", rf"\g<1>{self.services}", text)
        text, two = re.subn(r"(http = \{[^}]*port = )\d+", rf"\g<1>{http}", text)
        assert (one, two) == (1, 1), text
        path = self.stack.state / f"conf/{name}-2.conf"
        path.write_text(text + "cell = 2;\n")
        os.chmod(path, 0o644)
        return path

    def __enter__(self):
        try:
            for part in (self.broker, self.ingest, self.commander):
                part.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for part in (self.commander, self.ingest, self.broker):
            part.end(signal.SIGTERM)
            part.log.close()


@pytest.fixture(scope="module")
def second(stack):
    with SecondCell(stack) as cell:
        with open(stack.state / "conf/commander.conf", "a", encoding="ascii") as config:
            config.write("cell = 1;\n")
        with open(stack.state / "conf/bridge.conf", "a", encoding="ascii") as config:
            config.write(f'cells = ( "1 localhost {stack.ports["devices"]}", "2 localhost {cell.devices}" );\n')
        path = stack.state / "conf/dashboard.conf"
        text, one = re.subn(r"(console = \{[^}]*)key_file", rf'\1cells = ( "2 wss://localhost:{cell.console}" ); key_file',
                            path.read_text())
        assert one == 1, text
        path.write_text(text)
        for part in ("commander", "bridge", "dashboard"):
            stack.muster("stack", "restart", part)
        yield cell


def ping(stack, device):
    done = stack.muster("command", "send", device, "ping", "--wait", check=False)
    assert done.returncode == 0, f"{device}: {done.stdout}{done.stderr}"


def online(stack, prefix):
    return stack.value("select count(*) from device_state where device like %s and presence = 'online'", prefix + "%")


def grows(fleet):
    before = fleet.rows()
    wait_for(lambda: fleet.rows() > before + 100, f"{fleet.prefix} to go on")


def test_neither_cell_minds_the_other(stack, second):
    with Fleet(stack, "west-", token_options=("--cell", "1")) as west, \
            Fleet(stack, "east-", token_options=("--cell", "2")) as east:
        wait_for(lambda: online(stack, "west-") == 20 and online(stack, "east-") == 20, "40 devices online")
        assert stack.rows("select s.cell, d.cell, count(*) from device d join device_state s using (device) "
                          "group by 1, 2 order by 1") == [(1, 1, 20), (2, 2, 20)]
        ping(stack, "west-001")
        ping(stack, "east-001")
        second.ingest.end(signal.SIGKILL)
        ping(stack, "west-002")
        grows(west)
        stuck = east.rows()
        second.commander.end(signal.SIGKILL)
        waiting = stack.muster_json("command", "send", "east-002", "ping")["id"]
        ping(stack, "west-003")
        assert east.rows() == stuck and stack.value("select state from command where id = %s", waiting) == "requested"
        second.ingest.start()
        second.commander.start()
        grows(east)
        wait_for(lambda: stack.value("select state from command where id = %s", waiting) == "succeeded", "the ping that waited")
        # A broker's restart: its devices get their grace, the others need none.
        second.broker.end(signal.SIGTERM)
        second.broker.start()
        with Sessions(stack, "west-x", 1) as device:
            await_state(stack, "west-x", "online", "status")
            device.cut()
            await_state(stack, "west-x", "offline", "will")
        grows(east)
        assert west.finish()["stored"] and east.finish()["stored"]
        assert west.compare() == ([], [], []) and east.compare() == ([], [], [])
    assert stack.value("select count(*) from event where type = 'presence.offline' and body ->> 'why' <> 'goodbye' "
                       "and device <> 'west-x'") == 0


def test_an_operator_asks_at_the_devices_broker(stack, second):
    with Device(stack, "east-op", *enrolled(stack, "east-op", 2), port=second.devices) as device:
        device.publish("telemetry", device.next(load1=1))
        device.wait_stored()
        stack.muster("operator", "add", "alice")
        (reply,) = Operator(stack, "alice").ask({"device": "east-op", "action": "ping"}, 1)
        assert reply["error"] == "another cell" and "that cell's broker" in reply["detail"]
        replies = Operator(stack, "alice", second.services).ask({"device": "east-op", "action": "ping"}, 2)
        assert [reply["state"] for reply in replies] == ["queued", "sent"]
        wait_for(lambda: device.received("command"), "the command")


def enrolled(stack, name, cell):
    key, csr = stack.csr(name)
    status, answer = stack.post("/v1/enroll", {"token": stack.token("--device", name, "--cell", str(cell)), "csr": csr})
    assert status == 201, answer
    certificate = key.with_suffix(".crt")
    certificate.write_text(answer["certificate"])
    return certificate, key


@contextlib.contextmanager
def talking(*devices):
    stop = threading.Event()

    def talk():
        while not stop.wait(0.2):
            for device in devices:
                device.publish("telemetry", device.next(load1=1))

    thread = threading.Thread(target=talk)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_a_console_reads_devices_of_both(stack, second):
    with Device(stack, "west-c", *enrolled(stack, "west-c", 1)) as west, \
            Device(stack, "east-c", *enrolled(stack, "east-c", 2), port=second.devices) as east:
        for device in (west, east):
            device.publish("telemetry", device.next(load1=1))
            device.wait_stored()
            stack.muster("device", "tag", device.name, "talks")
        browser = reader(stack, "far-reader")
        status, answer = browser.post("console", {"devices": ["west-c", "east-c"]})
        assert (status, answer["unreachable"]) == (201, [])
        here, there = answer["connections"]
        assert (here["cell"], here["topics"], there["cell"], there["topics"]) == (1, ["fleet/v1/west-c/#"], 2, ["fleet/v1/east-c/#"])
        assert there["url"] == f"wss://localhost:{second.console}"
        assert [one["cell"] for one in browser.post("console", {"all": True})[1]["connections"]] == [1, 2]
        assert [one["cell"] for one in browser.post("console", {"all": True, "cell": 2})[1]["connections"]] == [2]
        # Each counts at its own broker alone.
        for one, url in ((here, there["url"]), (there, here["url"])):
            with Console(stack, one | {"url": url}) as astray:
                assert astray.code != 0
        with Console(stack, here) as first, Console(stack, there) as other, talking(west, east):
            for console, name in ((first, "west-c"), (other, "east-c")):
                assert console.code == 0 and console.subscribe("fleet/v1/+/telemetry") == 0
                wait_for(lambda c=console, n=name: c.topics() == {f"fleet/v1/{n}/telemetry"}, f"what {name} says")
            # The end of the login is known to both brokers.
            assert browser.delete("session")[0] == 204
            assert first.gone.wait(180) and other.gone.wait(180)
        for one in (here, there):
            with Console(stack, one) as again:
                assert again.code != 0
        with talking(west, east):
            page_of_both(stack, second)


def page_of_both(stack, second):
    """Signs by which the page has the second broker taken away and brought back."""
    gone, back = stack.state / "page-gone", stack.state / "page-back"

    def outage():
        wait_for(gone.exists, "the page to see both")
        second.broker.end(signal.SIGKILL)
        wait_for(back.exists, "the page to see one")
        second.broker.start()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(outage)
        browse(stack, "cells.mjs", gone=str(gone), back=str(back))
        done.result(180)


def test_a_device_at_the_wrong_broker_is_taken_in_and_noted(stack, second):
    with Device(stack, "stray", *enrolled(stack, "stray", 1), port=second.devices) as device:
        device.publish("telemetry", device.next(load1=1))
        device.wait_stored()
        assert "1, but it reports in 2" in stack.muster("device", "show", "stray").stdout
        detail = stack.muster_json("device", "show", "stray")
        assert (detail["cell"], detail["reports_in"]) == (1, 2)
        assert stack.value("select body ->> 'cell' from event where device = 'stray' and type = 'presence.online'") == "2"
        stack.muster("command", "send", "stray", "ping")
        wait_for(lambda: device.received("command"), "the command, where the device is")


def test_each_cell_has_a_canary_of_its_own(stack, second):
    """Two canaries, one list of revocations: each proves at its own broker, when somebody of either cell is revoked."""
    text = (stack.state / "conf/canary.conf").read_text()
    text = "".join(line for line in text.splitlines(True) if not line.startswith("http"))
    canaries = []
    for cell, devices in ((1, stack.ports["devices"]), (2, second.devices)):
        port, = free_ports(1)
        path = stack.state / f"conf/canary-{cell}.conf"
        own, count = re.subn(r"(broker = \{[^}]*port = )\d+", rf"\g<1>{devices}", text)
        assert count == 1, text
        path.write_text(f'{own}http = {{ address = "127.0.0.1"; port = {port}; }};\ncell = {cell};\ngap_s = 1;\n')
        os.chmod(path, 0o644)
        canaries.append(Part(stack, f"canary-{cell}", [stack.bin / "muster-canary", "--config", path], port))

    def proofs(cell):
        return stack.rows("select ok, cause from revocation_proof where cell = %s order by id", cell)

    def settled(cell):
        return stack.value("select count(*) from device_state s join certificate c on c.device = s.device and c.revoked_at is null"
                           " and ltrim(c.serial, '0') = s.certificate where s.device = %s and s.presence = 'online'", f"canary-{cell}")

    try:
        for canary in canaries:
            canary.start()
        wait_for(lambda: proofs(1) and proofs(2), "the first proof of both")
        assert stack.rows("select device, cell from device where device like 'canary-%%' order by 1") == [("canary-1", 1), ("canary-2", 2)]
        name = "gone-2"
        enrolled(stack, name, 2)
        stack.muster("device", "revoke", name, "--yes")
        for cell in (1, 2):
            wait_for(lambda cell=cell: (True, f"device {name}") in proofs(cell), f"the canary of cell {cell} to prove it")
        wait_for(lambda: settled(1) and settled(2), "both to report again")
        # What it proves is its broker: one that is told nothing is found out, and the other is not blamed for it.
        before = len(proofs(1))
        os.kill(second.commander.process.pid, signal.SIGSTOP)
        try:
            enrolled(stack, "gone-1", 1)
            stack.muster("device", "revoke", "gone-1", "--yes")
            wait_for(lambda: proofs(2)[-1] == (False, "device gone-1"), "the canary of cell 2 to find its broker out")
        finally:
            os.kill(second.commander.process.pid, signal.SIGCONT)
        wait_for(lambda: len(proofs(1)) > before, "the canary of cell 1 to prove")
        assert all(ok for ok, _ in proofs(1))
        listed = stack.muster("revocation", "list").stdout
        assert "cell 1" in listed and "cell 2" in listed, listed
    finally:
        for canary in canaries:
            canary.end(signal.SIGTERM)
            canary.log.close()
