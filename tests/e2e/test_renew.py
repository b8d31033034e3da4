"""Certificates that last a minute and a half: the real agent renews them at the real bridge, with the real broker between and beside them,
killed at each step; and what happens when it could not."""
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from stack import Stack, run, wait_for

LIFETIME_S = 90  # renewed after 60 s: half a minute is left for what is killed, checked and started meanwhile
DEADLINE_S = 2 * LIFETIME_S + 120
POINTS = ("renew.key", "renew.answer", "renew.tried", "renew.replaced")


class Wire:
    """A TCP road to the broker, of one device, which can be closed; counts how many connections there are at once."""

    def __init__(self, to_port):
        self.to_port, self.is_open, self.most, self.pairs = to_port, True, 0, []
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                here, _ = self.listener.accept()
            except OSError:
                return
            if self.is_open:
                threading.Thread(target=self._carry, args=(here,), daemon=True).start()
            else:
                here.close()

    def _carry(self, here):
        with contextlib.suppress(OSError), here, socket.create_connection(("127.0.0.1", self.to_port)) as there:
            pair = (here, there)
            with self.lock:
                self.pairs.append(pair)
                self.most = max(self.most, len(self.pairs))
            try:
                while True:
                    for ready in select.select(pair, (), ())[0]:
                        data = ready.recv(65536)
                        if not data:
                            return
                        (there if ready is here else here).sendall(data)
            finally:
                with self.lock:
                    self.pairs.remove(pair)

    def close(self):
        self.is_open = False
        with self.lock:
            for pair in self.pairs:
                for end in pair:
                    with contextlib.suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)

    def end(self):
        self.listener.close()
        self.close()


class Pump:
    """The real agent in a folder of its own."""

    def __init__(self, stack, name, https_after_s=600):
        self.stack, self.name, self.process = stack, name, None
        self.folder = stack.state / "pumps" / name
        self.folder.mkdir(parents=True)
        self.state, self.log = self.folder / "state", self.folder / "log"
        self.wire = Wire(stack.ports["devices"])
        self.config = self.folder / "agent.conf"
        self.config.write_text(
            f'state_dir = "{self.state}"; interval_s = 1; renew_https_after_s = {https_after_s}; broker = {{ port = {self.wire.port}; }};\n'
            f'bridge = {{ url = "https://localhost:{stack.ports["bridge"]}"; ca_file = "{stack.state}/ca/service.crt"; }};\n')

    def command(self, *arguments, check=True, **options):
        return run(self.stack.bin / "muster-agent", arguments[0], "--config", self.config, *arguments[1:], check=check, **options)

    def enroll(self, *arguments):
        return self.command("enroll", "--token-file", "-", *arguments, input=self.stack.token("--device", self.name) + "\n")

    def start(self, crash=""):
        self.process = subprocess.Popen(
            [self.stack.bin / "muster-agent", "run", "--config", self.config], stdout=open(self.log, "ab"),
            stderr=subprocess.STDOUT, env={**os.environ, "MUSTER_CRASH_AT": crash})

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(180)

    def check(self):
        return json.loads(self.command("check", "--json", check=False).stdout)

    def certificates(self):
        """(serial, whether it holds), the oldest first."""
        return self.stack.rows(
            "select ltrim(c.serial, '0'), c.revoked_at is null and not exists (select from revocation r where r.kind = 'serial'"
            " and r.revoked and r.name = ltrim(c.serial, '0')) from certificate c where c.device = %s order by c.created_at", self.name)

    def used(self):
        return self.stack.value("select (select certificate from device_state where device = %s and presence = 'online')", self.name)

    def stored(self):
        return self.stack.value("select coalesce(max(highest), 0) from ledger where device = %s", self.name)

    def goes_on(self, seconds=180):
        before = self.stored()
        wait_for(lambda: self.stored() > before + 1, f"{self.name} to have more stored", seconds)

    def lost_nothing(self):
        """Call it when the agent has stopped: all that it ever numbered is committed, but for what it was about to send."""
        wait_for(lambda: self.stack.rows("select from ledger where device = %s and contiguous = highest and dropped = 0",
                                         self.name), f"all of {self.name} to be stored")
        assert self.stack.value("select count(*) from ledger where device = %s", self.name) == 1, "one outbox, one epoch"
        assert self.stack.value("select count(*) from ledger_gap where device = %s and state <> 'closed'", self.name) == 0
        assert int(self.check()["outbox"]["text"].split()[0]) <= 3


@pytest.fixture(scope="module")
def stack():
    os.environ["MUSTER_BRIDGE_CA_DEVICE_LIFETIME_S"] = str(LIFETIME_S)
    try:
        with Stack("test_renew", ["--sims", "0", "--no-agent"]) as running:
            yield running
    finally:
        del os.environ["MUSTER_BRIDGE_CA_DEVICE_LIFETIME_S"]


@contextlib.contextmanager
def pump(stack, name, https_after_s=600):
    made = Pump(stack, name, https_after_s)
    try:
        yield made
    except BaseException:
        print(f"---- {name}\n{made.log.read_text()[-3000:] if made.log.exists() else 'it never ran'}")
        raise
    finally:
        made.stop()
        made.wire.end()
        shutil.rmtree(made.folder)


@pytest.fixture(scope="module")
def late(stack):
    """Enrolled, seen, and switched off until its certificate has expired."""
    with pump(stack, "late") as made:
        made.enroll()
        made.start()
        made.goes_on()
        made.stop()
        yield made


@pytest.fixture(scope="module")
def by_curl(stack):
    """Asks the bridge for a renewal with a certificate that holds now, which the bridge hears, and not for long.

    By TLS 1.2, in which a client always hears why its certificate is refused."""
    certificate, key, _ = stack.enroll("curl-1")
    body = json.dumps({"csr": stack.csr("curl-1-next")[1]})

    def ask():
        return run("curl", "-sS", "--tls-max", "1.2", "--cacert", stack.state / "ca/service.crt", "--cert", certificate, "--key", key, "-H",
                   "Content-Type: application/json", "-w", "\n%{http_code}", "--data-binary", "@-",
                   f"https://localhost:{stack.ports['bridge']}/v1/renew", input=body, check=False)

    assert ask().stdout.endswith("409"), "too early, and heard"
    return ask


# ---- the journey, with a kill at each step ----

def killed(stack, road, point):
    with pump(stack, f"{road}-{point.replace('.', '-')}", 1 if road == "https" else 600) as device:
        device.enroll()
        device.start(point)
        device.goes_on()
        (old, _), = device.certificates()
        assert device.used() == old
        if road == "https":  # nobody answers over MQTT, since there is no way to the broker
            device.wire.close()
            if point in ("renew.tried", "renew.replaced"):
                wait_for(lambda: len(device.certificates()) == 2, f"{device.name} to be answered over HTTPS", DEADLINE_S)
                device.wire.is_open = True
                device.command("wake")  # by now it waits for up to half a minute between two tries
        assert device.process.wait(DEADLINE_S) == -signal.SIGKILL
        serials = device.certificates()
        assert len(serials) == (1 if point == "renew.key" else 2)
        assert serials[0] == (old, True), "the old one holds until the new one has said hello"
        assert all(holds for _, holds in serials)
        device.wire.is_open = True
        report = device.check()
        assert report["broker"]["state"] == "ok", report
        assert (old in report["certificate"]["text"]) == (point != "renew.replaced"), report
        device.wire.is_open = road == "mqtt" or point != "renew.key"
        device.start()
        wait_for(lambda: len(device.certificates()) == 2, f"{device.name} to have its answer", DEADLINE_S)
        device.wire.is_open = True

        def renewed():
            known = device.certificates()
            return len(known) == 2 and known[0] == (old, False) and known[1] == (device.used(), True)

        wait_for(renewed, f"{device.name} to use its new certificate, and the old one to end", DEADLINE_S)
        device.goes_on()
        kinds = [row[0] for row in stack.rows("select type from enrollment_event where device = %s order by id", device.name)]
        assert kinds == ["create", "consume", "renew"], "asked again, answered with the same certificate"
        peer = stack.value("select peer from enrollment_event where device = %s and type = 'renew'", device.name)
        assert peer == ("mqtt" if road == "mqtt" else "127.0.0.1")
        device.stop()
        device.lost_nothing()
        assert not (device.state / "credential.next").exists()
        assert device.check()["exit_code"] == 0
        assert device.wire.most == 1, "one session at a time"
    return True


def test_killed_at_each_step_of_a_renewal(stack, late, by_curl):
    """All of it side by side, and beside it a device that is left alone for longer than a lifetime."""
    with pump(stack, "steady") as steady, ThreadPoolExecutor(8) as pool:
        steady.enroll()
        steady.start()
        steps = [pool.submit(killed, stack, road, point) for road in ("mqtt", "https") for point in POINTS]
        assert all(step.result() for step in steps)
        wait_for(lambda: len(steady.certificates()) >= 3, "two renewals", 2 * DEADLINE_S)
        wait_for(lambda: [holds for _, holds in steady.certificates()] == [False, False, True], "the older ones to end")
        steady.goes_on()
        steady.stop()
        steady.lost_nothing()
        assert steady.wire.most == 1
        assert "certificate.refused" not in steady.log.read_text()


# ---- what goes wrong ----

def test_the_bridge_is_away_when_it_is_time(stack):
    with pump(stack, "alone") as device:
        device.enroll()
        device.start()
        device.goes_on()
        os.kill(stack.pid("bridge"), signal.SIGSTOP)  # takes requests, and answers none
        try:
            wait_for((device.state / "credential.next").exists, "it to ask", DEADLINE_S)
            device.goes_on()
            assert len(device.certificates()) == 1
        finally:
            stack.kill("bridge")
        wait_for(lambda: len(device.certificates()) == 2, "the new certificate", DEADLINE_S)
        wait_for(lambda: device.used() == device.certificates()[1][0], "it to be used")
        device.goes_on()
        device.stop()
        device.lost_nothing()
        assert "certificate.expired" not in device.log.read_text()


def test_expired_while_it_was_switched_off(stack, late):
    wait_for(lambda: stack.value("select max(not_after) < now() from certificate where device = 'late'"), "the end", DEADLINE_S)
    before = late.stored()
    late.start()
    wait_for(lambda: "certificate.expired" in late.log.read_text(), "the agent to say so")
    line = next(json.loads(line) for line in late.log.read_text().splitlines() if "certificate.expired" in line)
    assert "enroll --again with a token for late" in line["reason"], line
    # It asks over HTTPS, which is refused in the handshake, and is not cut short by that.
    wait_for(lambda: '"certificate.renewal"' in late.log.read_text(), "the refused renewal")
    assert late.process.poll() is None
    assert len(late.certificates()) == 1 and late.stored() == before
    report = late.check()
    assert report["exit_code"] == 1 and "enroll --again" in report["certificate"]["text"], report
    listed = [item["name"] for item in stack.muster_json("ca", "expiring", "--within", "1s")["items"]]
    assert "late" in listed, "the operator sees it, too"
    # The way back.
    refused = late.command("enroll", "--again", "--token-file", "-", input=stack.token("--device", "late") + "\n", check=False)
    assert refused.returncode == 1 and "stop" in refused.stderr
    wait_for(lambda: int(late.check()["outbox"]["text"].split()[0]) > 3, "messages to wait")
    late.stop()
    late.enroll("--again")
    late.start()
    wait_for(lambda: late.used() == late.certificates()[1][0], "the new certificate")
    late.goes_on()
    late.stop()
    late.lost_nothing()


def test_an_expired_certificate_renews_nothing(stack, by_curl):
    """With curl, so that it is the bridge that refuses."""
    wait_for(lambda: stack.value("select max(not_after) < now() from certificate where device = 'curl-1'"), "the end", DEADLINE_S)
    done = by_curl()
    assert done.returncode == 60, done.stdout + done.stderr  # what curl makes of the alert certificate_expired
    assert stack.value("select count(*) from certificate where device = 'curl-1'") == 1
