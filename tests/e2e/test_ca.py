"""The authorities change under connected devices, and certificates are renewed: with openssl, curl and paho."""
import hashlib
import json
import pathlib
import shutil
import subprocess
import time

import pytest
from stack import Device, run, wait_for

STACK_ARGS = ["--sims", "2", "--no-agent", "--sim-arg", "--backoff-ms=1000"]


class Kiosk(Device):
    """A device that says which certificate and bundle it has, and takes a new bundle; made of paho."""

    TOPICS = ("stored", "command", "certificate")

    def __init__(self, stack, name, certificate=None, key=None, ca=None):
        if certificate is None:
            certificate, key, answer = stack.enroll(name)
            ca = certificate.with_suffix(".ca")
            ca.write_text(answer["ca"])
        super().__init__(stack, name, certificate, key, ca=ca)
        self.certificate, self.key, self.ca = map(pathlib.Path, (certificate, key, ca))
        self.client.reconnect_delay_set(1, 1)
        self.lost = 0
        self.client.on_disconnect = self._on_disconnect

    def _on_disconnect(self, client, userdata, reason, properties=None):
        self.lost += 1

    def _on_connect(self, client, userdata, flags, reason, properties):
        super()._on_connect(client, userdata, flags, reason, properties)
        if reason == 0:
            self.hello()

    def hello(self):
        self.publish("event", {"type": "hello", "certificate": serial(self.certificate),
                               "trust": hashlib.sha256(self.ca.read_bytes()).hexdigest()})

    def _on_message(self, client, userdata, message):
        super()._on_message(client, userdata, message)
        body = json.loads(message.payload) if message.topic.endswith("/certificate") else {}
        if set(body) == {"ca"}:
            self.ca.write_text(body["ca"])
            self.tls.load_verify_locations(cadata=body["ca"])  # from the next connection on
            self.hello()

    def renew(self, csr, request="r-1", **members):
        """Asks over MQTT; the answer."""
        self.publish("csr", {"request": request, "csr": csr, **members})
        return wait_for(lambda: [body for body in map(json.loads, self.received("certificate"))
                                 if body.get("request") == request], f"an answer to {request}")[-1]

    def has(self, seconds=180):
        """Proves its session with a message that is stored."""
        wait_for(self.client.is_connected, f"{self.name} to be connected", seconds)
        self.publish("telemetry", self.next(uptime_s=1))
        self.wait_stored(seconds)


def serial(path):
    return run("openssl", "x509", "-in", path, "-noout", "-serial").stdout.strip().split("=")[1].lower().lstrip("0")


def issuer(path):
    return run("openssl", "x509", "-in", path, "-noout", "-issuer").stdout.strip().split("CN = ")[1]


def shown(stack, port):
    """The certificate that a server shows: (issuer, serial)."""
    done = subprocess.run(["openssl", "s_client", "-connect", f"localhost:{stack.ports[port]}", "-tls1_2"], input="",
                          capture_output=True, text=True, timeout=180)
    path = stack.state / "test-devices/shown.crt"
    path.parent.mkdir(exist_ok=True)
    path.write_text("-----BEGIN" + done.stdout.split("-----BEGIN", 1)[1].split("-----END")[0] + "-----END CERTIFICATE-----\n")
    return issuer(path), serial(path)


def names(standing):
    return {item["state"]: item["name"] for item in standing["authorities"]}


def bridge_signs_by(stack, name):
    wait_for(lambda: f'"device_ca":"{name}"' in (stack.state / "log/bridge.log").read_text(), f"the bridge to sign by {name}")


def sims_online(stack):
    return stack.value("select count(*) from device_state where device like 'sim-%%' and presence = 'online'") == 2


def sims_report(stack):
    """Both simulated devices have something stored from now on."""
    since = stack.value("select now()")
    wait_for(lambda: stack.value("select count(distinct device) from device_state where device like 'sim-%%' and last_seen > %s",
                                 since) == 2, "the simulated devices to report")


def age(stack, device, days):
    """As if the certificates of the device had been issued so many days ago."""
    stack.rows("update certificate set created_at = created_at - make_interval(days => %s), not_before = not_before"
               " - make_interval(days => %s), not_after = not_after - make_interval(days => %s) where device = %s returning 1",
               days, days, days, device)


# ---- renewal ----

def test_renewal_at_two_thirds_over_mqtt(stack):
    with Kiosk(stack, "renew-1") as kiosk:
        old = serial(kiosk.certificate)
        key, csr = stack.csr("renew-1-next")
        early = kiosk.renew(csr, "early")
        assert early["error"] == "too early" and early["retry_after_s"] > 40 * 86400, early
        age(stack, "renew-1", 60)
        answer = kiosk.renew(csr, "due")
        assert set(answer) == {"request", "certificate", "ca", "not_after"}
        new = key.with_suffix(".crt")
        new.write_text(answer["certificate"])
        run("openssl", "verify", "-CAfile", stack.state / "ca/device.crt", new)
        assert answer["ca"] == (stack.state / "ca/service.crt").read_text()
        # The same key asking again gets the same certificate, however often.
        assert kiosk.renew(csr, "again")["certificate"] == answer["certificate"]
        assert kiosk.renew(stack.csr("renew-1-third")[1], "soon")["error"] == "too soon"
        assert stack.value("select count(*) from revocation where name = %s", old) == 0, "the old one still holds"
    with Kiosk(stack, "renew-1", kiosk.certificate, kiosk.key, kiosk.ca) as still:
        still.has()
    with Kiosk(stack, "renew-1", new, key, kiosk.ca) as renewed:
        renewed.has()
        wait_for(lambda: stack.value("select count(*) from revocation where kind = 'serial' and name = %s and revoked", old),
                 "the old certificate to be revoked")
        assert stack.rows("select ltrim(serial, '0') from certificate where device = 'renew-1' and revoked_at is null") == [
            (serial(new),)]
    kinds = [row[0] for row in stack.rows("select type from enrollment_event where device = 'renew-1' order by id")]
    assert kinds == ["create", "consume", "renew"]


def post_renew(stack, body, *certificate):
    return subprocess.run(
        ["curl", "-sS", "--cacert", stack.state / "ca/service.crt", "-H", "Content-Type: application/json", "-w", "\n%{http_code}",
         *(["--cert", certificate[0], "--key", certificate[1]] if certificate else []), "--data-binary", "@-",
         f"https://localhost:{stack.ports['bridge']}/v1/renew"], input=json.dumps(body), capture_output=True, text=True, timeout=180)


def over_https(stack, body, *certificate):
    done = post_renew(stack, body, *certificate)
    assert done.returncode == 0, done.stderr
    text, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(text)


def test_renewal_over_https(stack):
    certificate, key, _ = stack.enroll("renew-2")
    next_key, csr = stack.csr("renew-2-next")
    assert over_https(stack, {"csr": csr}, certificate, key)[0] == 409
    age(stack, "renew-2", 60)
    status, answer = over_https(stack, {"csr": csr}, certificate, key)
    assert status == 200 and set(answer) == {"certificate", "ca", "not_after"}
    assert over_https(stack, {"csr": csr}, certificate, key)[1]["certificate"] == answer["certificate"]
    new = next_key.with_suffix(".crt")
    new.write_text(answer["certificate"])
    with Kiosk(stack, "renew-2", new, next_key, stack.state / "ca/service.crt") as kiosk:
        kiosk.has()
    wait_for(lambda: stack.value("select count(*) from revocation where name = %s", serial(certificate)), "the old one to end")
    status, problem = over_https(stack, {"csr": csr}, certificate, key)
    assert status == 403 and problem["detail"], "a revoked certificate renews nothing"


def test_who_may_not_renew(stack):
    _, csr = stack.csr("renew-3-next")
    status, problem = over_https(stack, {"csr": csr})
    assert status == 401 and "TLS" in problem["detail"]
    foreign = stack.state / "test-devices/foreign.crt"
    key, _ = stack.csr("foreign")
    run("openssl", "req", "-x509", "-key", key, "-subj", "/CN=renew-2", "-days", "2", "-out", foreign)
    assert post_renew(stack, {"csr": csr}, foreign, key).returncode != 0, "the handshake is refused"
    operator = stack.state / "operators"
    stack.muster("operator", "add", "rita")
    assert post_renew(stack, {"csr": csr}, operator / "rita.crt", operator / "rita.key").returncode != 0
    with Kiosk(stack, "renew-3") as kiosk:
        age(stack, "renew-3", 60)
        stack.rows("update device set fingerprint = %s where device = 'renew-3' returning 1", "a" * 64)
        assert kiosk.renew(csr, "other", fingerprint="b" * 64)["error"] == "denied"
        # Another device's request is written nowhere: csr is each device's own topic.
        kiosk.client.publish("fleet/v1/renew-2/csr", json.dumps({"request": "thief", "csr": csr}), qos=1)
        stack.rows("update device set enabled = false where device = 'renew-3' returning 1")
        assert kiosk.renew(csr, "off", fingerprint="a" * 64)["error"] == "denied"
        stack.rows("update device set enabled = true where device = 'renew-3' returning 1")
        assert "certificate" in kiosk.renew(csr, "on", fingerprint="a" * 64)
    assert stack.value("select count(*) from enrollment_event where device = 'renew-3' and type = 'refused'") == 2
    assert stack.value("select count(*) from certificate where device = 'renew-2'") == 2


WISHES = {
    "another subject": ["-subj", "/CN=svc.ingest/O=Evil"],
    "another device": ["-subj", "/CN=renew-2"],
    "alternative names": ["-subj", "/CN=x", "-addext", "subjectAltName=DNS:localhost,URI:spiffe://muster.local/device/renew-2"],
    "an authority": ["-subj", "/CN=x", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign"],
    "a server": ["-subj", "/CN=x", "-addext", "extendedKeyUsage=serverAuth"],
}


@pytest.mark.parametrize("way", ["enrol", "mqtt", "https"])
def test_wishes_in_a_request_are_ignored(stack, way):
    folder = stack.state / "test-devices"
    for number, wish in enumerate(WISHES.values()):
        name = f"wish-{way}-{number}"
        request = folder / f"{name}.req"
        certificate, key, _ = stack.enroll(name)
        run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout",
            folder / f"{name}-w.key", "-out", request, *wish)
        if way == "enrol":
            status, answer = stack.post("/v1/enroll", {"token": stack.token("--device", name), "csr": request.read_text()})
            assert status == 201
        else:
            age(stack, name, 60)
        if way == "https":
            status, answer = over_https(stack, {"csr": request.read_text()}, certificate, key)
            assert status == 200
        elif way == "mqtt":
            with Kiosk(stack, name, certificate, key, stack.state / "ca/service.crt") as kiosk:
                answer = kiosk.renew(request.read_text())
        out = folder / f"{name}-w.crt"
        out.write_text(answer["certificate"])
        text = run("openssl", "x509", "-in", out, "-noout", "-text").stdout
        assert f"Subject: CN = {name}\n" in text and f"/device/{name}\n" in text and "CA:FALSE" in text
        for absent in ("Evil", "svc.ingest", "DNS:", "renew-2", "CA:TRUE", "Certificate Sign", "Server Authentication"):
            assert absent not in text, (wish, absent)


def broken(stack):
    """Requests that are refused, by what is wrong with them."""
    folder = stack.state / "test-devices"
    made = {"text": "hello", "empty": "", "a certificate": (stack.state / "ca/device.crt").read_text()}
    for label, arguments in {"rsa 1024": ["rsa:1024"], "secp224r1": ["ec", "-pkeyopt", "ec_paramgen_curve:secp224r1"],
                             "ed25519": ["ed25519"]}.items():
        run("openssl", "req", "-new", "-newkey", *arguments, "-nodes", "-keyout", folder / "weak.key", "-subj", "/CN=x",
            "-out", folder / "weak.csr")
        made[label] = (folder / "weak.csr").read_text()
    der = folder / "bad.der"
    _, csr = stack.csr("bad-signature")
    run("openssl", "req", "-in", folder / "bad-signature.csr", "-outform", "DER", "-out", der)
    data = bytearray(der.read_bytes())
    data[-1] ^= 1  # in the signature
    der.write_bytes(data)
    made["self-signature"] = run("openssl", "req", "-inform", "DER", "-in", der).stdout
    return made


def test_broken_requests_are_refused_everywhere(stack):
    token = stack.token()
    certificate, key, _ = stack.enroll("broken-1")
    age(stack, "broken-1", 60)
    for label, csr in broken(stack).items():
        assert stack.post("/v1/enroll", {"token": token, "csr": csr})[0] == 422, label
        status, problem = over_https(stack, {"csr": csr}, certificate, key)
        assert status in (422, 429) and problem["detail"], label
    with Kiosk(stack, "broken-2") as kiosk:
        age(stack, "broken-2", 60)
        for number, (label, csr) in enumerate(broken(stack).items()):
            assert kiosk.renew(csr, f"b-{number}")["error"] == "bad request", label
        for text in ("{", "[]", '{"request":"a b","csr":"x"}', b"\xff\xfe", "7"):
            before = len(kiosk.received("certificate"))
            kiosk.publish("csr", text)
            if sum(1 for _ in kiosk.received("certificate")) < 10:
                wait_for(lambda: len(kiosk.received("certificate")) > before or before >= 10, "an answer to what is none")
        kiosk.has()
    assert stack.value("select count(*) from certificate where device like 'broken-%%'") == 2


def test_a_flood_of_requests_is_answered_ten_times_a_minute(stack):
    with Kiosk(stack, "flood-1") as kiosk:
        began = time.monotonic()
        for number in range(40):
            kiosk.publish("csr", {"request": f"f-{number}", "csr": "x"})
        kiosk.has()
        wait_for(lambda: len(kiosk.received("certificate")) >= 10, "ten answers")
        kiosk.has()
        assert len(kiosk.received("certificate")) <= 11 + (time.monotonic() - began) / 6


def test_keys_are_for_their_owner_alone(stack):
    keys = [path for folder in ("ca", "certs", "operators", "keys") for path in (stack.state / folder).rglob("*")
            if path.suffix in (".key", ".pem")]
    assert len(keys) >= 6 and all(path.stat().st_mode & 0o7777 == 0o600 for path in keys)
    # One that others can read is not used.
    key = stack.state / "ca/device.key"
    key.chmod(0o640)
    try:
        done = stack.muster("ca", "inspect", check=False)
        assert done.returncode == 4 and "ca/device.key" in done.stderr
    finally:
        key.chmod(0o600)


# ---- rotation: the service CA first, since the one of devices leaves the simulated ones without ----

def test_the_service_ca_changes_and_nobody_is_cut_off(stack):
    folder = stack.state / "test-devices"
    old_root = (stack.state / "ca/service.crt").read_text()
    for name in ("ingest.crt", "ingest.key"):
        shutil.copy(stack.state / "certs" / name, folder / f"old-{name}")
    stack.rows("delete from certificate where device not like 'sim-%%' returning 1")  # of the tests above: they are gone
    with Kiosk(stack, "late-1") as away:
        away.has()
    late = {"certificate": folder / "late-1.crt", "key": folder / "late-1.key", "ca": folder / "late-1.ca"}
    broker = stack.pid("broker")
    pids = {part: stack.pid(part) for part in ("ingest", "commander", "bridge", "dashboard")}
    with Kiosk(stack, "shop-1") as shop:
        wait_for(lambda: stack.muster_json("ca", "rotate", "service")["devices"]["unknown"] == 0, "all to say their bundle")
        standing = stack.muster_json("ca", "rotate", "service", "next")
        assert standing["next"] == "switch" and not standing["ready"]
        # Those that are here get the bundle; the one that is away is waited for.
        wait_for(lambda: stack.muster_json("ca", "rotate", "service")["devices"]["trusting"] == 3, "three of four devices")
        assert shop.ca.read_text() == (stack.state / "ca/service.crt").read_text() != old_root
        refused = stack.muster("ca", "rotate", "service", "switch", check=False)
        assert refused.returncode == 1 and "1 of 4 devices do not trust the new CA yet" in refused.stderr, refused.stderr
        with Kiosk(stack, "late-1", **late) as came:  # with its old bundle in hello
            wait_for(lambda: came.ca.read_text() != old_root, "the late one to be told")
            wait_for(lambda: stack.muster_json("ca", "rotate", "service")["ready"], "the switch to be ready")
            assert came.lost == 0
        assert len([1 for body in map(json.loads, shop.received("certificate")) if "ca" in body]) == 1, "told once"
        assert shop.lost == 0 and stack.pid("broker") == broker, "so far nothing was restarted"

        standing = stack.muster_json("ca", "rotate", "service", "switch")
        new_name = names(standing)["current"]
        assert standing["broker_restart_needed"] and standing["next"] == "withdraw" and not standing["ready"]
        for port in ("bridge", "dashboard"):  # at once, in the same processes
            wait_for(lambda port=port: shown(stack, port)[0] == new_name, f"{port} to show its new certificate")
        assert shown(stack, "devices")[0] == "Muster service CA"
        assert shop.lost == 0
        stack.muster("stack", "restart", "broker")
        for port in ("devices", "services"):
            assert shown(stack, port)[0] == new_name
        shop.has(60)
        assert shop.lost == 1, "by the restart alone"
        wait_for(lambda: sims_online(stack), "the simulated devices to come back")
        sims_report(stack)
        assert {part: stack.pid(part) for part in pids} == pids, "the daemons came back by themselves"
        assert stack.muster_json("command", "send", "sim-001", "ping", "--wait")["state"] == "succeeded"
        # Negative control: who knows the old root only does not trust the broker any more.
        old_file = folder / "old-root.crt"
        old_file.write_text(old_root)
        done = subprocess.run(["openssl", "s_client", "-connect", f"localhost:{stack.ports['devices']}", "-CAfile", old_file,
                               "-verify_return_error", "-tls1_2"], input="", capture_output=True, text=True, timeout=180)
        assert "certificate verify failed" in done.stderr, done.stderr

        def old_service():
            return run("mosquitto_sub", "-V", "5", "-h", "localhost", "-p", stack.ports["services"], "-i", "svc.ingest.old", "-E",
                       "--cafile", stack.state / "ca/service.crt", "--cert", folder / "old-ingest.crt", "--key",
                       folder / "old-ingest.key", "-t", "svc/v1/svc.ingest/x", check=False).returncode == 0

        assert old_service(), "what the old CA has issued holds until it is withdrawn"
        broker = stack.pid("broker")
        standing = stack.muster_json("ca", "rotate", "service", "withdraw")
        assert names(standing) == {"current": new_name} and standing["next"] == "next"
        assert not old_service(), "and then no more, without a restart"
        wait_for(lambda: stack.muster_json("ca", "rotate", "service")["devices"]["trusting"] >= 3, "devices to forget it")
        shop.has()
        assert shop.lost == 1 and stack.pid("broker") == broker
    states = dict(stack.rows("select state, count(*) from authority where kind = 'service' group by 1"))
    assert states == {"current": 1, "withdrawn": 1}


def test_the_servers_get_a_new_certificate(stack):
    with Kiosk(stack, "shop-2") as shop:
        before = {port: shown(stack, port)[1] for port in ("devices", "bridge", "dashboard")}
        assert len(set(before.values())) == 1
        assert stack.muster_json("ca", "rotate", "server")["broker_restart_needed"]
        for port in ("bridge", "dashboard"):
            wait_for(lambda port=port: shown(stack, port)[1] != before[port], f"{port} to show its new certificate")
        assert shown(stack, "devices")[1] == before["devices"] and shop.lost == 0
        stack.muster("stack", "restart", "broker")
        assert shown(stack, "devices")[1] == shown(stack, "bridge")[1]
        shop.has(60)
        sims_report(stack)


def test_the_device_ca_changes_and_nobody_is_cut_off(stack):
    folder = stack.state / "test-devices"
    stack.rows("delete from certificate where device not like 'sim-%%' returning 1")
    with Kiosk(stack, "pump-3") as away:
        away.has()
    broker, bridge = stack.pid("broker"), stack.pid("bridge")
    with Kiosk(stack, "pump-1") as pump:
        pump.has()
        assert stack.muster_json("ca", "rotate", "device", "next")["ready"]
        standing = stack.muster_json("ca", "rotate", "device", "switch")
        new_name = names(standing)["current"]
        bridge_signs_by(stack, new_name)
        # New devices enrol, by the new CA; those with an old certificate are as welcome as before.
        with Kiosk(stack, "pump-2") as new:
            assert issuer(new.certificate) == new_name
            new.has()
        with Kiosk(stack, "pump-3", *(folder / f"pump-3.{end}" for end in ("crt", "key", "ca"))) as again:
            again.has()
        pump.has()
        assert pump.lost == 0 and stack.pid("broker") == broker and stack.pid("bridge") == bridge
        refused = stack.muster("ca", "rotate", "device", "withdraw", check=False)
        assert refused.returncode == 1 and "have not renewed their certificate yet" in refused.stderr

        # A certificate by the old CA may be renewed at any age.
        key, csr = stack.csr("pump-1-next")
        certificate = key.with_suffix(".crt")
        certificate.write_text(pump.renew(csr)["certificate"])
        assert issuer(certificate) == new_name
        status, answer = over_https(stack, {"csr": stack.csr("pump-3-next")[1]}, folder / "pump-3.crt", folder / "pump-3.key")
        assert status == 200, "also over HTTPS, where both CAs are known"
    with Kiosk(stack, "pump-1", certificate, key, pump.ca) as renewed:
        renewed.has()
        assert stack.muster_json("ca", "rotate", "device")["devices"]["not_renewed"] == 3, "the sims and pump-3"

        def listed(*arguments):
            text = stack.muster("ca", "crl", *arguments).stdout
            return run("openssl", "crl", "-noout", "-text", input=text).stdout.replace(":", "").lower()

        wait_for(lambda: serial(pump.certificate) in listed("--old"), "the old certificate on its CA's list")
        assert serial(pump.certificate) not in listed(), "the new CA has not issued it"

        stack.muster("ca", "rotate", "device", "withdraw", "--force")
        renewed.has()
        assert renewed.lost == 0 and stack.pid("broker") == broker
    left_out = Kiosk(stack, "pump-3", *(folder / f"pump-3.{end}" for end in ("crt", "key", "ca")))
    with pytest.raises(AssertionError):
        with left_out:
            left_out.has(3)
    assert not left_out.client.is_connected()
    assert str(left_out.reason) == "Not authorized"
    # Those that stayed connected were not cut.
    assert sims_online(stack)


# ---- what else there is ----

def test_one_certificate_is_taken_back(stack):
    certificate, _, _ = stack.enroll("taken-1")
    number = serial(certificate)
    said = stack.muster_json("ca", "revoke", number.upper(), "--reason", "stolen")
    assert said == {"serial": number, "device": "taken-1", "revoked": True, "was_revoked": False}
    assert stack.muster_json("ca", "revoke", number)["was_revoked"]
    assert stack.rows("select revoked, reason from revocation where kind = 'serial' and name = %s", number) == [(True, "stolen")]
    path = stack.state / "test-devices/list.crl"
    path.write_text(stack.muster("ca", "crl").stdout)
    done = run("openssl", "verify", "-crl_check", "-CAfile", stack.state / "ca/device.crt", "-CRLfile", path, certificate, check=False)
    assert "certificate revoked" in done.stderr
    assert stack.muster("ca", "revoke", "no-hex", check=False).returncode == 2


def test_what_expires_is_listed(stack):
    stack.enroll("aged-1")
    age(stack, "aged-1", 80)
    listed = stack.muster_json("ca", "expiring", "--within", "15d")["items"]
    assert [item["name"] for item in listed] == ["aged-1"] and listed[0]["kind"] == "device"
    assert len(stack.muster_json("ca", "expiring", "--within", "400d")["items"]) > 5


def test_wrong_steps_say_what_is_right(stack):
    for arguments, code, word in (("nonsense", 2, "none of"), ("device jump", 2, "steps"), ("server next", 2, "one word too many"),
                                  ("device switch", 1, "not the next step")):
        done = stack.muster("ca", "rotate", *arguments.split(), check=False)
        assert done.returncode == code and word in done.stderr, (arguments, done.stderr)
