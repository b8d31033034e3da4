"""Enrolment over HTTPS with curl and openssl: one token, one certificate; every refusal says why."""
import subprocess
from concurrent.futures import ThreadPoolExecutor

from stack import run


def inspect(path, *what):
    return run("openssl", "x509", "-in", path, "-noout", *what).stdout


def test_certificate_says_what_the_server_decided(stack):
    _, csr = stack.csr("wanted-ca")
    status, answer = stack.post("/v1/enroll", {"token": stack.token("--device", "plant-1"), "csr": csr})
    assert status == 201
    path = stack.state / "test-devices/plant-1.crt"
    path.write_text(answer["certificate"])
    assert "CN = plant-1" in inspect(path, "-subject")
    extensions = inspect(path, "-ext", "subjectAltName,extendedKeyUsage,basicConstraints")
    assert "URI:spiffe://" in extensions and "/device/plant-1" in extensions
    assert "TLS Web Client Authentication" in extensions and "CA:FALSE" in extensions
    run("openssl", "verify", "-CAfile", stack.state / "ca/device.crt", path)
    assert answer["broker"]["port"] == stack.ports["devices"]
    assert answer["command_keys"][0]["crv"] == "Ed25519"


def test_a_token_is_used_once_but_the_same_key_may_ask_again(stack):
    token = stack.token()
    _, first = stack.csr("twice-1")
    _, second = stack.csr("twice-2")
    status, answer = stack.post("/v1/enroll", {"token": token, "csr": first})
    assert status == 201
    status, again = stack.post("/v1/enroll", {"token": token, "csr": first})
    assert status == 200 and again["certificate"] == answer["certificate"]
    status, problem = stack.post("/v1/enroll", {"token": token, "csr": second})
    assert status == 403 and problem["status"] == 403 and problem["request_id"]


def test_64_claims_of_one_token_give_one_certificate(stack):
    token = stack.token("--device", "race-1")
    requests = [stack.csr(f"race-{n}")[1] for n in range(64)]
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda csr: stack.post("/v1/enroll", {"token": token, "csr": csr})[0], requests))
    assert answers.count(201) == 1, answers
    assert set(answers) <= {201, 403, 429}
    assert stack.value("select count(*) from certificate where device = 'race-1'") == 1


def test_refusals(stack):
    stack.muster("down")  # a new bridge has an empty table of failed tries
    stack.up()
    _, csr = stack.csr("refused-1")
    token = stack.token()
    cases = [
        ("not json", 400), ({"token": token}, 400), ({"token": token, "csr": "hello"}, 422),
        ({"token": "x" * 43, "csr": csr}, 403), ({"token": token, "csr": csr, "device": "Bad_Name"}, 400),
    ]
    for body, expected in cases:
        status, problem = stack.post("/v1/enroll", body)
        assert status == expected, (body, problem)
        assert problem["detail"], problem
    weak = stack.state / "test-devices/weak.csr"
    run("openssl", "req", "-new", "-newkey", "rsa:1024", "-nodes", "-keyout", "/dev/null", "-subj", "/CN=weak", "-out", weak)
    assert stack.post("/v1/enroll", {"token": token, "csr": weak.read_text()})[0] == 422
    status, _ = stack.post("/v1/enroll", {"token": token, "csr": csr})
    assert status == 201, "the token was not used up by refused requests"


def test_revoked_and_expired_tokens(stack):
    _, csr = stack.csr("late-token")
    token = stack.muster_json("token", "create")
    stack.muster("token", "revoke", token["id"])
    assert stack.post("/v1/enroll", {"token": token["token"], "csr": csr})[0] == 403
    kinds = {row[0] for row in stack.rows("select type from enrollment_event where token_id = %s", token["id"])}
    assert {"create", "revoked"} <= kinds
    stored = stack.rows("select octet_length(token_hash) from enrollment_token")
    assert all(row[0] == 32 for row in stored)


def test_every_port_is_on_loopback(stack):
    """The local stack listens to this machine only."""
    listening = run("ss", "-Hltn").stdout.split("\n")
    for name, port in stack.ports.items():
        addresses = {line.split()[3].rsplit(":", 1)[0] for line in listening if line and line.split()[3].endswith(f":{port}")}
        assert addresses and addresses <= {"127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"}, (name, addresses)


def test_tls_floor_and_ports(stack):
    for port in (stack.ports["bridge"], stack.ports["dashboard"], stack.ports["devices"], stack.ports["services"]):
        old = subprocess.run(["openssl", "s_client", "-connect", f"localhost:{port}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
                             capture_output=True, text=True, input="", timeout=180)
        assert "Cipher is (NONE)" in old.stdout or old.returncode != 0, f"TLS 1.1 on {port}"


def test_self_signed_device_is_refused(stack):
    key, _ = stack.csr("selfmade-1")
    certificate = key.with_suffix(".crt")
    run("openssl", "req", "-x509", "-key", key, "-subj", "/CN=selfmade-1", "-days", "2", "-out", certificate)
    done = run("mosquitto_pub", "-V", "5", "-q", "1", "-h", "localhost", "-p", stack.ports["devices"], "-i", "selfmade-1",
               "-t", "fleet/v1/selfmade-1/telemetry", "-m", "{}", "--cafile", stack.state / "ca/service.crt",
               "--cert", certificate, "--key", key, check=False)
    assert done.returncode != 0
    assert stack.value("select count(*) from quarantine where device = 'selfmade-1'") == 0
