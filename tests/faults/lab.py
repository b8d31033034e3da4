"""A private stack on which faults are tried: its processes, a witness of `stored`, a gate before COMMIT, false clocks."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import ssl
import sys
import threading
import time

import paho.mqtt.client as paho
import psycopg

sys.path.append(str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from stack import BIN, Stack, run, wait_for  # noqa: E402

GATE = 7201  # advisory lock, any number
FAKETIME = pathlib.Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
FAKETIME = next(FAKETIME, None)
MOSQUITTO = pathlib.Path("/usr/sbin/mosquitto")

GATE_SQL = f"""
create function faults_gate() returns trigger language plpgsql as $$
begin
    perform pg_advisory_xact_lock_shared({GATE});
    return null;
end $$;
create constraint trigger faults_gate after insert or update on ledger deferrable initially deferred
    for each row execute function faults_gate();
"""
AT_THE_GATE_SQL = """
select pid from pg_stat_activity where application_name = 'muster-ingest' and wait_event_type = 'Lock'
    and wait_event = %s"""


class Witness:
    """Hears every `stored`, and every inventory (which leaves no row for each message)."""

    def __init__(self, lab):
        certificate, key = lab.service_certificate("svc.witness")
        self.marks, self.inventories, self.lock = {}, set(), threading.Lock()
        self.subscribed = threading.Event()
        self.client = paho.Client("svc.witness", protocol=paho.MQTTv5)
        self.client.tls_set(str(lab.state / "ca/service.crt"), str(certificate), str(key),
                            tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._on_message
        self.address = "localhost", lab.ports["services"]
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()

    def stop(self):
        self.stopping.set()
        self.thread.join(180)
        self.client.disconnect()

    def _listen(self):
        """For ever: paho's own thread ends when a TLS handshake is refused."""
        code = paho.MQTT_ERR_NO_CONN
        while not self.stopping.is_set():
            try:
                if code != paho.MQTT_ERR_SUCCESS:
                    self.subscribed.clear()
                    self.client.connect(*self.address)
                code = self.client.loop(0.2)
            except OSError:
                code = paho.MQTT_ERR_NO_CONN
            if code != paho.MQTT_ERR_SUCCESS:
                self.stopping.wait(0.1)

    def _on_connect(self, client, *_):
        client.subscribe([("fleet/v1/+/stored", 0), ("fleet/v1/+/inventory/+", 1)])

    def _on_message(self, client, userdata, message):
        device, kind = message.topic.split("/")[2:4]
        said = json.loads(message.payload)
        with self.lock:
            if kind == "stored":
                key = device, said["epoch"]
                self.marks[key] = max(self.marks.get(key, 0), said["seq"])
            else:
                self.inventories.add((device, said["epoch"], said["seq"]))

    def heard(self, prefix):
        """The highest seq called stored, by device and epoch."""
        with self.lock:
            return {key: seq for key, seq in self.marks.items() if key[0].startswith(prefix)}


class Lab(Stack):
    """Stack whose parts can be killed, stopped, replaced and lied to."""

    FSYNC = "on"  # disks are filled here

    def __init__(self, name, folder=None):
        self.work = pathlib.Path(os.environ["MUSTER_TEST_DIR"]) / f"{name}-{os.getpid()}-work"
        super().__init__(name, ["--sims", "0", "--no-agent"], bin_folder=self.work / "bin")
        if folder:
            self.state = folder
        self.witness = None

    def up(self):
        # A copy, because programs are replaced by others here.
        self.bin.mkdir(parents=True, exist_ok=True)
        for program in BIN.glob("muster*"):
            if program.is_file():
                shutil.copy2(program, self.bin)
        super().up()
        self.tools = self.state / "faults"  # reachable by whom the stack runs as
        self.tools.mkdir(exist_ok=True)
        with self.connect() as connection:
            connection.execute(GATE_SQL)
        with open(self.state / "broker/acl", "a", encoding="ascii") as acl:
            acl.write("\nuser svc.witness\ntopic read fleet/v1/+/stored\ntopic read fleet/v1/+/inventory/+\n")
        self.signal("broker", signal.SIGTERM)
        self.witness = Witness(self)
        wait_for(self.witness.subscribed.is_set, "the witness to listen")

    def __exit__(self, *exception):
        if exception and exception[0]:
            self.failed = True
        if self.witness:
            self.witness.stop()
        with contextlib.redirect_stdout(sys.stderr):
            super().__exit__(None, None, None)
        if self.failed:
            print(f"what the simulated devices said is in {self.work}", file=sys.stderr)
        else:
            shutil.rmtree(self.work, ignore_errors=True)

    def service_certificate(self, name):
        folder = self.work / "services"
        folder.mkdir(exist_ok=True)
        key, request, certificate = (folder / f"{name}.{kind}" for kind in ("key", "csr", "crt"))
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
            "-subj", f"/CN={name}", "-out", request)
        run("openssl", "x509", "-req", "-in", request, "-CA", self.state / "ca/service.crt", "-CAkey",
            self.state / "ca/service.key", "-set_serial", "7201", "-days", "30", "-out", certificate)
        return certificate, key

    # ---- processes ----
    def part(self, name):
        """(pid, state) of a part, as the supervisor knows it."""
        facts = json.loads((self.state / "run/up.json").read_text())
        part = next(part for part in facts["parts"] if part["name"] == name)
        return part["pid"], part["state"]

    def pid(self, name):
        return wait_for(lambda: self.part(name)[0], f"{name} to run")

    def signal(self, name, number=signal.SIGKILL, notifies=True):
        """Ends a part by a signal, and waits until the supervisor has it running again."""
        old = self.pid(name)
        os.kill(old, number)
        self.wait_again(name, old, notifies)

    def wait_again(self, name, old, notifies=True):
        def again():
            pid, state = self.part(name)
            return pid not in (0, old) and (state == "ready" or not notifies)

        wait_for(again, f"{name} to run again")

    @contextlib.contextmanager
    def stopped(self, pids):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):  # a backend of a connection that has ended meanwhile
                os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def between_lives(self, name, number):
        """Ends a part, and holds the supervisor so that it does not live again until the block is left."""
        supervisor = int((self.state / "run/supervisor.pid").read_text())
        old = self.pid(name)
        with self.stopped([supervisor]):
            os.kill(old, number)
            wait_for(lambda: self._is_over(old), f"{name} to end")
            yield
        wait_for(lambda: self.part(name)[0] != old, f"the end of {name} to be noticed")

    @staticmethod
    def _is_over(pid):
        try:
            return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "ZX"
        except OSError:
            return True

    @contextlib.contextmanager
    def replaced(self, part, script, notifies=True):
        """Runs a shell script in place of a part's program; @REAL@ in it is the program."""
        program = pathlib.Path(pathlib.Path(f"/proc/{self.pid(part)}/cmdline").read_bytes().split(b"\0")[0].decode())
        real = program.with_name(program.name + ".real")
        program.rename(real)
        try:
            program.write_text("#!/bin/sh\n" + script.replace("@REAL@", str(real)) + "\n")
            program.chmod(0o755)
            self.signal(part, notifies=notifies)
            yield
        finally:
            real.replace(program)
            self.signal(part)

    # ---- the database ----
    def patient(self, function, what, seconds=180):
        """function(connection), again and again until the database answers."""
        def attempt():
            try:
                with self.connect() as connection:
                    return (function(connection),)
            except psycopg.OperationalError:
                return None

        return wait_for(attempt, what, seconds)[0]

    def backend(self, wait="advisory", seconds=180):
        """The process of ingest's connection, once it waits for that kind of lock."""
        def waiting():
            rows = self.rows(AT_THE_GATE_SQL, wait)
            return rows and rows[0][0]

        return wait_for(waiting, f"ingest's transaction to wait ({wait})", seconds)

    @contextlib.contextmanager
    def gate_closed(self):
        """No transaction of ingest gets through its COMMIT inside this block."""
        with self.connect() as connection:
            connection.execute("select pg_advisory_lock(%s)", (GATE,))
            yield

    @contextlib.contextmanager
    def locked(self, table):
        with self.connect() as connection, connection.transaction():
            connection.execute(f"lock table {table} in exclusive mode")
            yield

    def command(self, device, ttl_s=86400):
        """Orders a ping; the id of the command."""
        return self.patient(lambda connection: connection.execute(
            "insert into command (device, action, requested_by, expires_at) values (%s, 'ping', 'faults',"
            " now() + make_interval(secs => %s)) returning id::text", (device, ttl_s)).fetchone()[0], "a command to be taken")


class Clock:
    """A clock that lies to the programs which are started with its environment."""

    def __init__(self, path):
        self.path = path
        self.set(0)

    def set(self, offset_s):
        aside = self.path.with_suffix(".new")
        aside.write_text(f"{offset_s:+d}\n")
        aside.chmod(0o644)
        aside.replace(self.path)

    def environment(self):
        return {"LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(self.path), "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1", "NO_FAKE_STAT": "1"}

    def script(self, program="@REAL@"):
        words = " ".join(f"{name}={value}" for name, value in self.environment().items())
        return f'exec env {words} {program} "$@"'


# ---- mounts, in a namespace of our own ----

def namespace():
    """Whether this process may mount without anybody else seeing it."""
    return os.environ.get("MUSTER_FAULTS_NAMESPACE") == "1"


def enter_namespace():
    """Starts this program anew where mounts are private; does nothing without the right to."""
    if namespace() or os.geteuid() != 0:
        return
    if run("unshare", "--mount", "--propagation", "private", "true", check=False).returncode == 0:
        os.environ["MUSTER_FAULTS_NAMESPACE"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])


@contextlib.contextmanager
def tmpfs(path, size, owner, keep=False):
    """A small file system over the folder path; keep: with what is in it."""
    staging = path.with_name(path.name + ".staging")
    staging.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0700,uid={owner[0]},gid={owner[1]}", "faults", staging)
    try:
        if keep:
            run("cp", "-a", f"{path}/.", staging)
        run("mount", "--bind", staging, path)
    finally:
        run("umount", staging)
        staging.rmdir()
    try:
        yield
    finally:
        run("umount", "--lazy", path)


def fill(folder):
    """Leaves no byte free in the file system of folder; the ballast's path."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 65536)
    with open(ballast, "ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 512)
    return ballast


DIE_WITH_PARENT = ["setpriv", "--pdeathsig", "KILL"]  # put before a command: nothing outlives a killed test


def pause(seconds):
    """How long a fault lasts: the fault itself, not a wait for something to happen."""
    threading.Event().wait(seconds)


def now():
    return time.monotonic()
