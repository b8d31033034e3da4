"""A broker on another machine: its files come from `muster ca bundle`, what it trusts is seen by `muster ca inspect --remote`, and
authorities rotate under it."""
import json
import os
import pathlib
import shutil
import signal
import subprocess

import pytest
from stack import Device, run, wait_for
from test_cells import Part, free_ports

STACK_ARGS = ["--sims", "0", "--no-agent"]


class Elsewhere:
    """A broker of which nothing but the programs is on the machine of the stack, as far as it can tell."""

    def __init__(self, stack):
        self.stack, self.folder = stack, stack.state / "elsewhere"
        (self.folder / "broker").mkdir(parents=True)
        (self.folder / "broker/revoked").write_text("")
        self.devices, self.services, websockets, console = free_ports(4)
        here, there = str(stack.state.resolve()), str(self.folder.resolve())
        text = (stack.state / "broker/mosquitto.conf").read_text().replace(here, there).replace(f"{there}/bin/", f"{here}/bin/")
        for old, new in ((stack.ports["devices"], self.devices), (stack.ports["services"], self.services),
                         (stack.ports["websockets"], websockets), (stack.ports["console"], console)):
            text = text.replace(f"listener {old} ", f"listener {new} ")
        (self.folder / "broker/mosquitto.conf").write_text(text)
        shutil.copy(stack.state / "broker/acl", self.folder / "broker/acl")
        owner = stack.state.stat()
        if os.getuid() == 0:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, owner.st_uid, owner.st_gid)
        self.part = Part(stack, "broker-elsewhere", ["/usr/sbin/mosquitto", "-c", self.folder / "broker/mosquitto.conf"], self.services)

    def copy(self, *arguments):
        """As a person would, by whatever road files take."""
        return self.stack.muster_json("ca", "bundle", "--for", "broker", "--out", self.folder.resolve(), *arguments)["files"]

    def look(self, kind="device", code=0):
        port = self.devices if kind == "device" else self.services
        done = self.stack.muster("ca", "inspect", "--remote", f"localhost:{port}", "--as", kind, "--json", check=False)
        assert done.returncode == code, done.stdout + done.stderr
        items = json.loads(done.stdout)["items"]
        return {item["state"]: item["result"] for item in items if item["result"] != "shown"}, \
            next(item["name"] for item in items if item["result"] == "shown")


@pytest.fixture(name="elsewhere", scope="module")
def make_elsewhere(stack):
    made = Elsewhere(stack)
    files = [item["path"] for item in made.copy("--host", "localhost")]
    assert files == ["ca/service.crt", "ca/device.crt", "ca/trust/device/", "ca/trust/service/", "certs/server.crt", "certs/server.key"]
    assert (made.folder / "certs/server.key").stat().st_mode & 0o077 == 0
    made.part.start()
    yield made
    made.part.end(signal.SIGTERM)


def test_authorities_rotate_under_a_broker_elsewhere(stack, elsewhere):
    assert elsewhere.look() == ({"current": "trusted"}, "Muster service CA")
    assert elsewhere.look("service") == ({"current": "trusted"}, "Muster service CA")

    # Devices: the new one is not known there until the bundle has come, and then without a restart.
    stack.muster("ca", "rotate", "device", "next")
    assert elsewhere.look(code=7)[0] == {"current": "trusted", "next": "not trusted"}
    elsewhere.copy()
    assert elsewhere.look()[0] == {"current": "trusted", "next": "trusted"}
    stack.muster("ca", "rotate", "device", "switch")
    assert elsewhere.look()[0] == {"current": "trusted", "old": "trusted"}

    def enrolled_by_the_new():
        certificate, key, _ = stack.enroll("far-1")
        issuer = run("openssl", "x509", "-in", certificate, "-noout", "-issuer").stdout
        return "Muster device CA 2" in issuer and (certificate, key)

    certificate, key = wait_for(enrolled_by_the_new, "the bridge to sign by the new CA")
    with Device(stack, "far-1", certificate, key, port=elsewhere.devices) as device:
        assert device.reason == 0, "the broker and its guard both know the new one"
    stack.muster("ca", "rotate", "device", "withdraw", "--force")
    assert elsewhere.look()[0] == {"current": "trusted"}

    # The service CA: trusted first, then its certificate, which the broker shows when it is started again.
    stack.muster("ca", "rotate", "service", "next")
    assert elsewhere.look("service", code=7)[0] == {"current": "trusted", "next": "not trusted"}
    elsewhere.copy()
    assert elsewhere.look("service")[0] == {"current": "trusted", "next": "trusted"}
    stack.muster("ca", "rotate", "service", "switch", "--force")
    assert elsewhere.look("service") == ({"current": "trusted", "old": "trusted"}, "Muster service CA")
    elsewhere.copy("--host", "localhost")
    elsewhere.part.end(signal.SIGTERM)
    elsewhere.part.start()
    name = elsewhere.look("service")[1]
    assert name != "Muster service CA"
    assert elsewhere.look()[1] == name


def test_what_is_wrong_is_said(stack, elsewhere):
    def fails(code, word, *arguments):
        done = stack.muster("ca", *arguments, check=False)
        assert done.returncode == code and word in done.stderr, f"{done.returncode} {done.stderr}"

    fails(2, "--for must be", "bundle", "--for", "nobody", "--out", "/nowhere")
    fails(2, "--for must be", "bundle", "--for", "broker")
    fails(2, "HOST:PORT", "inspect", "--remote", "localhost")
    fails(5, "cannot connect", "inspect", "--remote", f"localhost:{free_ports(1)[0]}")
    # One that shows a certificate of somebody else's.
    folder = stack.state / "foreign"
    folder.mkdir()
    run("openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "3", "-keyout",
        folder / "key", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", folder / "crt")
    port = free_ports(1)[0]
    server = subprocess.Popen(["openssl", "s_server", "-accept", str(port), "-key", folder / "key", "-cert", folder / "crt", "-quiet"])
    try:
        wait_for(lambda: run("openssl", "s_client", "-connect", f"localhost:{port}", check=False, input="").returncode == 0, "a server")
        fails(4, "by none of the service CAs here", "inspect", "--remote", f"localhost:{port}")
    finally:
        server.kill()
        server.wait()


def test_bundles_of_services_and_devices(stack):
    owned = stack.state.resolve()
    out = owned / "bundles"
    files = stack.muster_json("ca", "bundle", "--for", "service", "--name", "bridge", "--out", out / "service")["files"]
    assert [item["path"] for item in files] == ["ca/service.crt", "certs/bridge.crt", "certs/bridge.key"]
    shown = run("openssl", "x509", "-in", out / "service/certs/bridge.crt", "-noout", "-subject").stdout
    assert "svc.bridge" in shown
    run("openssl", "verify", "-CAfile", stack.state / "ca/service.crt", out / "service/certs/bridge.crt")
    stack.muster("ca", "bundle", "--for", "device", "--out", out / "device")
    names = [str(path.relative_to(out / "device")) for path in pathlib.Path(out / "device").rglob("*") if path.is_file()]
    assert names == ["ca/service.crt"]
    assert (out / "device/ca/service.crt").read_text() == (stack.state / "ca/service.crt").read_text()
