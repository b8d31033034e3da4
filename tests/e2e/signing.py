"""Signs and checks as anybody could: JWS (RFC 7515, 8037) and results with nothing but OpenSSL's command line."""
import base64
import hashlib
import json
import subprocess
import tempfile
import time
import uuid

from stack import run

COMMAND, SIGNERS = "muster-command+jws", "muster-signers+jws"
ED25519_PREFIX = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo up to the key, RFC 8410


def b64(data):
    return base64.urlsafe_b64encode(data if isinstance(data, bytes) else data.encode()).rstrip(b"=").decode()


def unb64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def claims(jws):
    return json.loads(unb64(jws.split(".")[1]))


def header(jws):
    return json.loads(unb64(jws.split(".")[0]))


def openssl(*arguments, data=b""):
    done = subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Key:
    """An Ed25519 key in a PEM file."""

    def __init__(self, path):
        self.path = path
        raw = openssl("pkey", "-in", path, "-pubout", "-outform", "DER")[-32:]
        jwk = {"crv": "Ed25519", "kty": "OKP", "x": b64(raw)}
        self.kid = b64(hashlib.sha256(compact(jwk).encode()).digest())
        self.jwk = jwk | {"kid": self.kid}

    @staticmethod
    def new(path):
        openssl("genpkey", "-algorithm", "ED25519", "-out", path)
        path.chmod(0o600)
        return Key(path)

    def sign(self, payload, typ=COMMAND, **head):
        text = payload if isinstance(payload, str) else compact(payload)
        signed = b64(compact({"alg": "EdDSA", "kid": self.kid, "typ": typ} | head)) + "." + b64(text)
        with tempfile.NamedTemporaryFile() as file:
            file.write(signed.encode())
            file.flush()
            signature = openssl("pkeyutl", "-sign", "-rawin", "-inkey", self.path, "-in", file.name)
        return signed + "." + b64(signature)

    def command(self, device, n, action="ping", params=None, ttl_s=600, **members):
        now = int(time.time())
        return self.sign({"jti": str(uuid.uuid4()), "sub": device, "iat": now, "exp": now + ttl_s, "n": n, "action": action,
                          "params": params or {}} | members)


def verified_by_openssl(jws, jwk, folder):
    """Whether `openssl pkeyutl` alone takes the signature."""
    signed, signature = jws.rsplit(".", 1)
    (folder / "signed").write_text(signed)
    (folder / "signature").write_bytes(unb64(signature))
    (folder / "key.der").write_bytes(ED25519_PREFIX + unb64(jwk["x"]))
    done = run("openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", folder / "key.der",
               "-in", folder / "signed", "-sigfile", folder / "signature", check=False)
    return done.returncode == 0


def result_text(device, message):
    """What a device signs of a result: docs/protocol.md, section 19."""
    rest = {name: value for name, value in message.items() if name not in ("epoch", "seq", "sig")}
    return compact({"typ": "muster-result", "device": device} | rest)


def sign_result(device, message, key):
    return message | {"sig": b64(openssl("dgst", "-sha256", "-sign", key, data=result_text(device, message).encode()))}


def publish_command(stack, device, payload):
    """As commander would, with its own certificate."""
    run("mosquitto_pub", "-V", "5", "-q", "1", "-h", "localhost", "-p", stack.ports["services"], "-i", "svc.commander.test",
        "--cafile", stack.state / "ca/service.crt", "--cert", stack.state / "certs/commander.crt",
        "--key", stack.state / "certs/commander.key", "-t", f"fleet/v1/{device}/command", "-s", input=payload)
