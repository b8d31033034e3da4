"""The device's side of its credential, against a real broker: sealed at rest, renewed over MQTT, trusted authorities changed,
kill -9 at each step. The server here is a paho client that holds a CA made by openssl; it answers when the test says so.
"""
import contextlib
import datetime
import http.server
import json
import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading

import paho.mqtt.client as paho
import pytest
from stack import BIN, free_port, run, wait_for

DEVICE = "pump-9"
KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


class Authority:
    """A root made by openssl, and certificates with any period."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.cert, self.key = folder / f"{name}.crt", folder / f"{name}.key"
        run("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "30",
            "-keyout", self.key, "-subj", f"/CN={name}", "-out", self.cert)
        (folder / f"{name}.index").write_text("")
        (folder / f"{name}.conf").write_text(
            f"[ca]\ndefault_ca=d\n[d]\ndatabase={folder}/{name}.index\nnew_certs_dir={folder}\nrand_serial=yes\n"
            "default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n")

    def pem(self):
        return self.cert.read_text()

    def issue(self, csr, name, age_s=0, left_s=86400, extensions=""):
        path, out = self.folder / "a.csr", self.folder / "a.crt"
        path.write_text(csr)
        (self.folder / "ext").write_text(extensions)

        def when(delta_s):
            at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=delta_s)
            return at.strftime("%Y%m%d%H%M%SZ")

        run("openssl", "ca", "-batch", "-notext", "-config", self.folder / f"{self.name}.conf", "-cert", self.cert,
            "-keyfile", self.key, "-subj", f"/CN={name}", "-startdate", when(-age_s), "-enddate", when(left_s),
            "-extfile", self.folder / "ext", "-in", path, "-out", out)
        return out.read_text()


class Place:
    """A broker with mutual TLS, an authority for devices and one for the server, an agent, and a server played by paho."""

    def __init__(self, folder):
        self.folder = folder
        self.devices, self.services = Authority(folder, "devices"), Authority(folder, "services")
        self.port, self.inner = free_port(), free_port()
        key, csr = self.make_key("server")
        (folder / "server.crt").write_text(
            self.services.issue(csr, "localhost", extensions="subjectAltName=DNS:localhost,IP:127.0.0.1\n"))
        key.chmod(0o644)
        (folder / "broker.conf").write_text(
            f"per_listener_settings true\nlistener {self.port} 127.0.0.1\ncafile {folder}/devices.crt\n"
            f"certfile {folder}/server.crt\nkeyfile {folder}/server.key\nrequire_certificate true\n"
            f"use_identity_as_username true\nlistener {self.inner} 127.0.0.1\nallow_anonymous true\n")
        folder.chmod(0o755)
        self.broker = self.agent = None
        self.start_broker()
        self.state = folder / "state"
        self.config = folder / "agent.conf"
        self.config.write_text(f'state_dir = "{self.state}"; interval_s = 1;\n')
        self.hellos, self.requests, self.events, self.lock = [], [], [], threading.Lock()
        self.client = paho.Client("server", protocol=paho.MQTTv5)
        self.client.on_message = self._on_message
        self.client.connect("127.0.0.1", self.inner)
        self.client.subscribe([(f"fleet/v1/{DEVICE}/event", 1), (f"fleet/v1/{DEVICE}/csr", 1)])
        self.client.loop_start()

    def start_broker(self):
        self.broker = subprocess.Popen(["/usr/sbin/mosquitto", "-c", self.folder / "broker.conf"],
                                       stderr=open(self.folder / "broker.log", "ab"))

        def listening():
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.inner), 1):
                return True

        wait_for(listening, "the broker to listen")

    def make_key(self, name):
        key, csr = self.folder / f"{name}.key", self.folder / f"{name}.csr"
        run("openssl", "req", "-new", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", key,
            "-subj", f"/CN={name}", "-out", csr)
        return key, csr.read_text()

    def close(self):
        self.client.loop_stop()
        for process in (self.agent, self.broker):
            if process and process.poll() is None:
                process.kill()
                process.wait(180)

    def _on_message(self, client, userdata, message):
        body = json.loads(message.payload)
        with self.lock:
            if message.topic.endswith("/csr"):
                self.requests.append(body)
            elif body["type"] == "hello":
                self.hellos.append(body)
            else:
                self.events.append(body)

    # ---- the agent ----
    def command(self, *arguments, check=True, **options):
        return run(BIN / "muster-agent", arguments[0], "--config", self.config, *arguments[1:], check=check, **options)

    def enroll(self, age_s=0, left_s=86400, ca=None):
        body = json.loads(self.command("request", "--device", DEVICE).stdout)
        assert body["device"] == DEVICE and "token" not in body
        answer = {"device": DEVICE, "certificate": self.devices.issue(body["csr"], DEVICE, age_s, left_s),
                  "ca": ca or self.services.pem(), "broker": {"host": "localhost", "port": self.port},
                  "command_keys": [KEY]}
        return self.command("install", input=json.dumps(answer), check=False)

    def start(self, **environment):
        self.agent = subprocess.Popen([BIN / "muster-agent", "run", "--config", self.config],
                                      env={**os.environ, **environment}, stdout=open(self.folder / "agent.log", "ab"),
                                      stderr=subprocess.STDOUT)

    def wait_hello(self, what, condition=lambda hello: True, seconds=180):
        def found():
            with self.lock:
                return next((hello for hello in reversed(self.hellos) if condition(hello)), None)
        return wait_for(found, what, seconds)

    def wait_request(self, count=1):
        wait_for(lambda: len(self.requests) >= count, f"{count} requests for a certificate")
        return self.requests[-1]

    def answer(self, **body):
        self.client.publish(f"fleet/v1/{DEVICE}/certificate", json.dumps(body), qos=1)

    def grant(self, request, authority=None):
        certificate = (authority or self.devices).issue(request["csr"], DEVICE)
        self.answer(request=request["request"], certificate=certificate, ca=self.services.pem())
        path = self.folder / "granted.crt"
        path.write_text(certificate)
        return run("openssl", "x509", "-noout", "-serial", "-in", path).stdout.strip().split("=")[1].lower()

    def wait_event(self, kind):
        def found():
            with self.lock:
                return next((event for event in self.events if event["type"] == kind), None)
        return wait_for(found, f"the event {kind}")


@pytest.fixture(name="place")
def make_place():
    folder = pathlib.Path(tempfile.mkdtemp(prefix="muster-renewal-"))
    place = Place(folder)
    try:
        yield place
    except BaseException:
        print((folder / "agent.log").read_text()[-4000:])
        raise
    finally:
        place.close()
        shutil.rmtree(folder)


def same(serial):
    return lambda hello: hello["certificate"].lstrip("0") == serial.lstrip("0")


def test_nothing_plain_is_ever_on_the_disk(place):
    """strace sees every byte that enrolment writes to a file."""
    trace = place.folder / "trace"
    tracer = shutil.which("strace")
    done = place.command("request") if not tracer else run(
        tracer, "-f", "-s", "65536", "-e", "trace=write,pwrite64,writev,pwritev", "-o", trace, BIN / "muster-agent", "request",
        "--config", place.config, env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
    assert "BEGIN CERTIFICATE REQUEST" in done.stdout and "PRIVATE" not in done.stdout
    if tracer:
        assert "PRIVATE KEY" not in trace.read_text()
    for path in place.state.iterdir():
        assert b"PRIVATE" not in path.read_bytes()
        assert path.stat().st_mode & 0o077 == 0, path


def test_enrolled_without_a_network_then_checked_and_unenrolled(place):
    done = place.command("check", "--json", check=False)
    assert done.returncode == 3 and json.loads(done.stdout)["identity"]["state"] == "wrong"
    done = place.command("install", input="{}", check=False)
    assert done.returncode == 1 and "ask first" in done.stderr
    done = place.enroll()
    assert done.returncode == 0, done.stderr
    assert place.command("request", check=False).returncode == 1
    report = json.loads(place.command("check", "--json").stdout)
    assert report["device"] == DEVICE and report["exit_code"] == 0
    assert {report[name]["state"] for name in ("identity", "certificate", "fingerprint", "broker")} == {"ok"}
    assert "does not run" in report["agent"]["text"]
    place.start()
    place.wait_hello("hello")
    wait_for(lambda: "messages wait" in json.loads(place.command("check", "--json").stdout)["outbox"]["text"], "an outbox")
    report = json.loads(place.command("check", "--json").stdout)
    assert report["agent"]["text"] == "it runs"
    done = place.command("run", check=False)
    assert done.returncode == 1 and "runs with" in done.stderr
    done = place.command("unenroll", check=False)
    assert done.returncode == 1 and "nothing was wiped" in done.stderr
    place.agent.terminate()
    place.agent.wait(180)
    place.command("unenroll")
    assert [path.name for path in place.state.iterdir()] == ["lock"]
    assert place.command("check", check=False).returncode == 3


def test_check_names_what_is_wrong(place):
    assert place.enroll(age_s=100, left_s=-10).returncode == 0
    done = place.command("check", check=False)
    assert done.returncode == 1 and "expired" in done.stdout and "enroll --again" in done.stdout
    place.command("unenroll")
    assert place.enroll().returncode == 0
    place.broker.kill()
    place.broker.wait(180)
    done = place.command("check", check=False)
    assert done.returncode == 5 and "broker       wrong" in done.stdout
    place.start_broker()
    place.command("check")
    place.command("unenroll")
    assert place.enroll(ca=place.devices.pem()).returncode == 0  # which did not make the broker's certificate
    done = place.command("check", check=False)
    assert done.returncode == 4 and "not to be trusted" in done.stdout


def test_a_copy_on_another_machine_says_so(place):
    """The credential opens on its own hardware alone; whoever starts the copy is told that it is one, and the ways on."""
    first = pathlib.Path(__file__).resolve().parents[1] / "fixtures/linux/laptop"
    place.config.write_text(place.config.read_text() + f'root = "{first}";\n')
    assert place.enroll().returncode == 0
    place.command("check")
    other = place.folder / "other"
    (other / "etc").mkdir(parents=True)
    (other / "etc/machine-id").write_text("f" * 32)
    place.config.write_text(place.config.read_text().replace(str(first), str(other)))
    done = place.command("run", check=False)
    assert done.returncode == 4, done.stderr
    for word in (f"files of {DEVICE} on another machine", "unenroll", "enroll --again"):
        assert word in done.stderr + done.stdout, done.stderr
    done = place.command("check", "--json", check=False)
    report = json.loads(done.stdout)
    assert done.returncode == report["exit_code"] == 4
    assert report["fingerprint"]["state"] == report["certificate"]["state"] == "wrong"
    assert f"files of {DEVICE} on another machine" in report["fingerprint"]["text"]
    assert not place.hellos, "it never spoke to the broker"
    (other / "etc/machine-id").unlink()  # and where there is nothing to tell a machine by
    done = place.command("check", "--json", check=False)
    assert done.returncode == 4 and json.loads(done.stdout)["fingerprint"]["state"] == "wrong"


def test_a_foreign_certificate_is_not_taken_by_the_broker(place):
    body = json.loads(place.command("request", "--device", DEVICE).stdout)
    stranger = Authority(place.folder, "stranger")
    answer = {"device": DEVICE, "certificate": stranger.issue(body["csr"], DEVICE), "ca": place.services.pem(),
              "broker": {"host": "localhost", "port": place.port}, "command_keys": [KEY]}
    place.command("install", input=json.dumps(answer))
    done = place.command("check", check=False)
    assert done.returncode == 4 and "does not take our certificate" in done.stdout


def test_renewed_with_a_new_key(place):
    place.enroll(age_s=4000, left_s=1000)
    place.start()
    first = place.wait_hello("hello")
    request = place.wait_request()
    assert request["fingerprint"] == first["fingerprint"]
    serial = place.grant(request)
    second = place.wait_hello("hello with the new certificate", same(serial))
    assert second["not_after"] > first["not_after"] and second["trust"] == first["trust"]
    place.wait_event("certificate.renewed")
    assert not (place.state / "credential.next").exists()
    place.agent.kill()
    place.agent.wait(180)
    place.hellos.clear()
    place.start()
    place.wait_hello("hello after a restart", same(serial))
    assert len(place.requests) == 1


def test_renewed_over_https_when_nobody_answers_over_mqtt(place):
    class Bridge(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            shown = dict(pair[0] for pair in self.connection.getpeercert()["subject"])["commonName"]
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, shown, sorted(body)))
            answer = json.dumps({"certificate": place.devices.issue(body["csr"], DEVICE), "ca": place.services.pem()})
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        def log_message(self, *_):
            pass

    asked = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(place.devices.cert))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(place.folder / "server.crt", place.folder / "server.key")
    server = http.server.HTTPServer(("127.0.0.1", 0), Bridge)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with place.config.open("a") as config:
        config.write(f'renew_https_after_s = 1; bridge = {{ url = "https://localhost:{server.server_port}"; }};\n')
    place.enroll(age_s=800, left_s=200)
    place.start()
    first = place.wait_hello("hello")
    second = place.wait_hello("hello with the new certificate",
                              lambda hello: hello["certificate"] != first["certificate"], 90)
    server.shutdown()
    server.server_close()
    assert asked == [("/v1/renew", DEVICE, ["csr", "fingerprint"])]
    assert second["not_after"] > first["not_after"]


def test_a_certificate_that_the_broker_refuses_is_given_up(place):
    place.enroll(age_s=800, left_s=200)
    place.start()
    first = place.wait_hello("hello")
    place.grant(place.wait_request(), Authority(place.folder, "stranger"))
    wait_for(lambda: len(place.hellos) >= 2, "the old certificate to connect again")
    assert place.hellos[-1]["certificate"] == first["certificate"]
    assert place.agent.poll() is None


def test_authorities_change_side_by_side(place):
    place.enroll()
    place.start()
    first = place.wait_hello("hello")
    second_root = Authority(place.folder, "services2")
    place.answer(ca=second_root.pem())  # does not verify the broker of now
    wait_for(lambda: len(place.hellos) >= 2, "the old bundle to connect again")
    assert place.hellos[-1]["trust"] == first["trust"]
    place.agent.terminate()
    place.agent.wait(180)
    with contextlib.suppress(FileNotFoundError):  # so that the trial that failed is not repeated
        (place.state / "credential.next").unlink()
    place.start()
    place.wait_hello("hello after the restart")
    place.answer(ca=place.services.pem() + second_root.pem())
    place.wait_hello("hello with both authorities", lambda hello: hello["trust"] != first["trust"])
    place.wait_event("trust.changed")


@pytest.mark.parametrize("point", ["renew.key", "renew.answer", "renew.tried", "renew.replaced"])
def test_killed_while_renewing(place, point):
    place.enroll(age_s=800, left_s=200)
    place.start(MUSTER_CRASH_AT=point)
    if point != "renew.key":
        serial = place.grant(place.wait_request())
    place.agent.wait(180)
    assert place.agent.returncode == -signal.SIGKILL
    assert place.command("check", check=False).returncode in (0, 7)
    place.hellos.clear()
    asked = len(place.requests)
    place.start()
    if point == "renew.key":
        serial = place.grant(place.wait_request(asked + 1))
    place.wait_hello(f"the new certificate after {point}", same(serial))
    assert not (place.state / "credential.next").exists()
    assert json.loads(place.command("check", "--json").stdout)["exit_code"] == 0
