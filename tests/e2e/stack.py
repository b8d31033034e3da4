"""Starts, asks and stops a private Muster stack; waits for conditions; plays devices with clients we did not write."""
import contextlib
import functools
import json
import os
import pathlib
import pwd
import random
import select
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
import uuid

import paho.mqtt.client as paho
import psycopg
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

BIN = pathlib.Path(os.environ.get("MUSTER_BIN", "build/sanitize/bin"))
NEVER_EXPIRES = 0xFFFFFFFF
HELD_PORTS = []  # sockets that hold the names of ports; see free_port()


def wait_for(condition, what, seconds=180):
    """Returns the first true value of condition(); fails naming what was waited for. The time is a guard against waiting for ever,
    on a machine that is ten times slower, too. Asking takes a third of the time at most, so that a costly question leaves the
    processors to whom it asks about."""
    deadline = time.monotonic() + seconds
    while True:
        asked = time.monotonic()
        value = condition()
        now = time.monotonic()
        if value:
            return value
        if now > deadline:
            raise AssertionError(f"{seconds} s passed waiting for {what}; last value: {value!r}")
        threading.Event().wait(min(max(0.05, 2 * (now - asked)), 1))


def run(*command, check=True, timeout=300, input=None, **options):  # pylint: disable=redefined-builtin
    """Runs a command; its output as text. A failure shows what it printed. When its time is up, what it started ends with it."""
    words = [str(word) for word in command]
    if input is not None:
        options["stdin"] = subprocess.PIPE
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
                          **options) as process:
        try:
            out, err = process.communicate(input, timeout)
        except BaseException as failure:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(failure, subprocess.TimeoutExpired):
                raise
            out, err = process.communicate(timeout=180)
            raise AssertionError(f"{' '.join(words)}: not done after {timeout} s\n{out}\n{err}") from None
    done = subprocess.CompletedProcess(words, process.returncode, out, err)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: exit {done.returncode}\n{out}\n{err}")
    return done


def free_port():
    """A port for a server of a test's own, of this process as long as it lives: below those of stacks (tools/stack_ports.c), which
    are below those that the kernel gives out."""
    for port in random.sample(range(10_000, 12_000), 2_000):
        held, probe = socket.socket(socket.AF_UNIX), socket.socket()
        with probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                held.bind(f"\0muster-port-{port}")
                probe.bind(("127.0.0.1", port))
            except OSError:
                held.close()
                continue
        HELD_PORTS.append(held)
        return port
    raise AssertionError("no port is free from 10000 to 11999")


def ended(connection):
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return bool(poll.poll(0))


@functools.cache
def postgres_environment():
    """Makes `muster up` take the programs in postgres/. Where whom a stack of root's runs as cannot reach them: PostgreSQL's own."""
    folder = pathlib.Path(os.environ["MUSTER_TEST_DIR"]).resolve() / "clusters"
    folder.mkdir(parents=True, exist_ok=True)
    programs = pathlib.Path(__file__).resolve().parent / "postgres"
    who = {}
    if os.getuid() == 0:
        user = pwd.getpwnam("muster")
        os.chown(folder, user.pw_uid, user.pw_gid)
        who = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    reached = run("test", "-r", programs / "initdb", "-a", "-w", folder, check=False, **who).returncode == 0
    return {"MUSTER_POSTGRES_BIN": str(programs), "MUSTER_TEST_CLUSTERS": str(folder)} if reached else {}


class Stack:
    """Without a canary, which is a device more than tests count on, unless one is asked for."""

    FSYNC = "off"  # of PostgreSQL; see postgres/postgres

    def __init__(self, name, arguments=(), bin_folder=BIN, canary=False):
        self.bin = pathlib.Path(bin_folder)
        self.state = pathlib.Path(os.environ["MUSTER_TEST_DIR"]) / f"{name}-{os.getpid()}"
        self.state.parent.mkdir(parents=True, exist_ok=True)
        self.canary = canary
        self.connections = {}
        self.arguments = [*arguments, *([] if canary else ["--no-canary"])]
        self.failed = False

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.failed = True
            self.__exit__(None, None, None)
            raise
        return self

    def up(self):
        done = self.muster("up", "--detach", "--auto-ports", "--json", *self.arguments, timeout=600,
                           env=os.environ | postgres_environment() | {"MUSTER_TEST_FSYNC": self.FSYNC})
        self.info = json.loads(done.stdout)
        self.ports = self.info["ports"]
        if not self.canary:
            self.ports.pop("canary_metrics", None)  # nobody listens there

    def __exit__(self, *_):
        if self.failed:
            for log in sorted((self.state / "log").glob("*.log")):
                print(f"---- {log.name}\n{log.read_text(errors='replace')[-3000:]}")
        for kept in self.connections.values():
            kept.close()
        self.muster("down", check=False)
        self.muster("reset", "--yes", check=False)
        if self.state.is_symlink():
            self.state.unlink()
        shutil.rmtree(self.state, ignore_errors=True)

    # ---- the CLI and the parts ----
    def muster(self, *arguments, check=True, **options):
        return run(self.bin / "muster", *arguments, "--state", self.state, check=check, **options)

    def muster_json(self, *arguments):
        return json.loads(self.muster(*arguments, "--json").stdout)

    def owner(self):
        """Options that make subprocess run a part as the stack does: as the user whose files these are."""
        owner = self.state.stat()
        return {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.getuid() == 0 else {}

    def pid(self, part):
        return int(self.muster("stack", "pid", part).stdout)

    def kill(self, part):
        """SIGKILL of one part, then waits until the supervisor has it running again."""
        old = self.pid(part)
        os.kill(old, signal.SIGKILL)

        def replaced():
            done = self.muster("stack", "pid", part, check=False)
            return done.returncode == 0 and done.stdout.strip() not in ("", "0", str(old))

        wait_for(replaced, f"{part} to be started again")

    # ---- the database ----
    def connect(self):
        return psycopg.connect(
            f"host={self.state}/run port=5432 dbname=muster user=muster_owner", autocommit=True, prepare_threshold=None
        )

    def rows(self, sql, *params):
        """Over a connection that each thread keeps; there is something to read from one that the server has ended."""
        thread = threading.get_ident()
        kept = self.connections.get(thread)
        if not kept or kept.closed or ended(kept):
            if kept:
                kept.close()
            kept = self.connections[thread] = self.connect()
        return kept.execute(sql, params or None).fetchall()

    def value(self, sql, *params):
        return self.rows(sql, *params)[0][0]

    # ---- the API ----
    def chart(self, device, metric, since, until, **query):
        query |= {"metric": metric, "from": since, "to": until}
        words = "&".join(f"{name}={value}" for name, value in query.items())
        token = (self.state / "api-token").read_text().strip()
        address = f"https://localhost:{self.ports['dashboard']}/api/v1/devices/{device}/telemetry?{words}"
        return json.loads(run("curl", "-sS", "--cacert", self.state / "ca/service.crt",
                              "-H", f"Authorization: Bearer {token}", address).stdout)

    # ---- devices and operators ----
    def token(self, *arguments):
        return self.muster_json("token", "create", *arguments)["token"]

    def post(self, path, body, port=None):
        """POST to the bridge with curl: (status, parsed body)."""
        done = run(
            "curl", "-sS", "--cacert", self.state / "ca/service.crt", "-H", "Content-Type: application/json",
            "-w", "\n%{http_code}", "--data-binary", "@-", f"https://localhost:{port or self.ports['bridge']}{path}",
            input=body if isinstance(body, str) else json.dumps(body),
        )
        text, status = done.stdout.rsplit("\n", 1)
        return int(status), json.loads(text)

    def csr(self, name, folder=None):
        """A fresh P-256 key made by openssl, and a request for it: (key path, PEM text)."""
        folder = folder or self.state / "test-devices"
        folder.mkdir(exist_ok=True)
        key = folder / f"{name}.key"
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-keyout", key, "-subj", f"/CN={name}", "-out", folder / f"{name}.csr")
        return key, (folder / f"{name}.csr").read_text()

    def enroll(self, name):
        """Enrols a device over HTTPS with openssl and curl: (certificate path, key path, the bridge's answer)."""
        key, csr = self.csr(name)
        body, answers = {"token": self.token("--device", name), "csr": csr}, []

        def enrolled():
            answers.append(self.post("/v1/enroll", body))
            return answers[-1][0] != 503  # asked again with the same key, as that answer wants

        wait_for(enrolled, f"{name} to be enrolled")
        status, answer = answers[-1]
        assert status == (201 if len(answers) == 1 else 200) or status == 201, answer
        certificate = key.with_suffix(".crt")
        certificate.write_text(answer["certificate"])
        return certificate, key, answer

    def operator_files(self, name):
        return ["--cafile", str(self.state / "ca/service.crt"), "--cert", str(self.state / f"operators/{name}.crt"),
                "--key", str(self.state / f"operators/{name}.key")]


class Device:
    """A device made of paho-mqtt: MQTT 5, mutual TLS, persistent session."""

    TOPICS = ("stored", "command")

    def __init__(self, stack, name, certificate=None, key=None, client_id=None, port=None, ca=None):
        if certificate is None:
            certificate, key, _ = stack.enroll(name)
        self.stack, self.name = stack, name
        self.epoch, self.seq = str(uuid.uuid4()), 0
        self.messages, self.lock = [], threading.Lock()
        self.connected, self.reason = threading.Event(), None
        self.client = paho.Client(client_id or name, protocol=paho.MQTTv5)
        self.tls = ssl.create_default_context(cafile=str(ca or stack.state / "ca/service.crt"))
        self.tls.load_cert_chain(str(certificate), str(key))
        self.client.tls_set_context(self.tls)
        self.client.on_connect = self._on_connect
        self.client.on_message = self._on_message
        self.port = port or stack.ports["devices"]

    def __enter__(self):
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = NEVER_EXPIRES
        self.client.connect("localhost", self.port, clean_start=False, properties=properties)
        self.client.loop_start()
        wait_for(lambda: self.reason is not None, "CONNACK")
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def _on_connect(self, client, userdata, flags, reason, properties):
        if reason == 0:
            for topic in self.TOPICS:
                client.subscribe(f"fleet/v1/{self.name}/{topic}", qos=1)
            self.connected.set()
        self.reason = reason

    def _on_message(self, client, userdata, message):
        with self.lock:
            self.messages.append((message.topic, message.payload))

    def publish(self, kind, payload, properties=None):
        if not isinstance(payload, (str, bytes)):
            payload = json.dumps(payload)
        self.client.publish(f"fleet/v1/{self.name}/{kind}", payload, qos=1, properties=properties)

    def next(self, **members):
        """A message of this device's own sequence."""
        self.seq += 1
        return {"epoch": self.epoch, "seq": self.seq, "ts": int(time.time() * 1000), **members}

    def received(self, kind):
        with self.lock:
            return [payload for topic, payload in self.messages if topic.endswith(f"/{kind}")]

    def stored(self):
        """The highest seq that was said to be stored."""
        return max((json.loads(text)["seq"] for text in self.received("stored")), default=0)

    def wait_stored(self, seconds=180):
        wait_for(lambda: self.stored() >= self.seq, f"stored up to {self.seq} for {self.name}", seconds)
