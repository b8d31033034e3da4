"""Google, as far as waking goes: a token endpoint that checks RS256 with openssl and the public key, and a send endpoint with
scripted failures, both behind nghttpx, which speaks real HTTP/2 over TLS. A push that is taken wakes the real agent."""
import base64
import collections
import http.server
import json
import os
import pathlib
import signal
import socket
import subprocess
import threading
import time
import urllib.parse

from stack import free_port, run, wait_for

PROJECT = "muster-test"
EMAIL = f"waker@{PROJECT}.iam.gserviceaccount.com"
SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
UNREGISTERED = {"error": {"code": 404, "message": "Requested entity was not found.", "status": "NOT_FOUND", "details": [
    {"@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": "UNREGISTERED"}]}}


def decode(part):
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Fcm:
    """script: what the next sends are answered with, a key of ANSWERS each; afterwards they are taken."""

    ANSWERS = {
        "busy": (429, {"error": {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED",
                                 "details": [{"errorCode": "QUOTA_EXCEEDED"}]}}),  # and Retry-After
        "internal": (500, {"error": {"code": 500, "message": "Internal error.", "status": "INTERNAL"}}),
        "unavailable": (503, {"error": {"code": 503, "message": "Overloaded.", "status": "UNAVAILABLE"}}),
        "unregistered": (404, UNREGISTERED),
        "invalid": (400, {"error": {"code": 400, "message": "Not a token.", "status": "INVALID_ARGUMENT"}}),
    }

    def __init__(self, folder, retry_after_s=3):
        self.retry_after_s = retry_after_s
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        self.script, self.tokens, self.sends = [], [], []  # tokens: claims; sends: (time, body, headers)
        self.good, self.expires_in, self.token_status = set(), 3600, 200
        self.wakers = {}  # device token -> command that wakes it
        self.released = threading.Event()
        self.port = free_port()
        self.make_certificates()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.proxy = None

    # ---- what it is made of ----
    def make_certificates(self):
        ca, key, csr, pem = (self.folder / name for name in ("ca.crt", "server.key", "server.csr", "server.crt"))
        run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", self.folder / "ca.key", "-out", ca, "-days", "2",
            "-subj", "/CN=Test roots")
        run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", csr, "-subj", "/CN=localhost")
        extensions = self.folder / "san"
        extensions.write_text("subjectAltName=DNS:localhost\n")
        run("openssl", "x509", "-req", "-in", csr, "-CA", ca, "-CAkey", self.folder / "ca.key", "-CAcreateserial", "-days", "2",
            "-extfile", extensions, "-out", pem)
        account = self.folder / "account.key"
        run("openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", account)
        run("openssl", "pkey", "-in", account, "-pubout", "-out", self.folder / "account.pub")
        self.credentials = self.folder / "credentials.json"
        self.credentials.write_text(json.dumps({
            "type": "service_account", "project_id": PROJECT, "private_key_id": "key-1", "private_key": account.read_text(),
            "client_email": EMAIL, "token_uri": f"https://localhost:{self.port}/token"}))
        self.credentials.chmod(0o600)
        owner = self.folder.parent.stat()  # who runs commander
        os.chown(self.credentials, owner.st_uid, owner.st_gid)

    def start(self):
        """nghttpx: TLS and HTTP/2 towards commander, HTTP/1.1 towards this program."""
        self.proxy = subprocess.Popen(
            ["nghttpx", "--conf=/dev/null", "--single-process", "--no-ocsp", "--log-level=FATAL",
             f"--frontend=127.0.0.1,{self.port}", f"--backend=127.0.0.1,{self.server.server_port}",
             f"--accesslog-file={self.folder / 'access.log'}", "--accesslog-format=$remote_port $alpn $status $request",
             f"--errorlog-file={self.folder / 'proxy.log'}", self.folder / "server.key", self.folder / "server.crt"])

        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_for(listens, f"nghttpx on {self.port} (Debian package nghttp2-proxy)")
        return self

    def stop(self):
        self.released.set()
        if self.proxy:
            self.proxy.send_signal(signal.SIGKILL)
            self.proxy.wait(180)
        self.proxy = None

    def close(self):
        self.stop()
        self.server.shutdown()
        self.server.server_close()

    def accesses(self):
        """(client port, protocol) of each request that the proxy has served."""
        log = self.folder / "access.log"
        return [tuple(line.split()[:2]) for line in log.read_text().splitlines()] if log.exists() else []

    # ---- what it does ----
    def handler(fcm):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, headers, body):
                payload = json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(payload)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)
                self.wfile.flush()

            def do_POST(self):
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                try:
                    if self.path == "/token":
                        self.answer(*fcm.token(text))
                    elif self.path == f"/v1/projects/{PROJECT}/messages:send":
                        fcm.send(self, json.loads(text))
                    else:
                        self.answer(404, {}, {"error": {"status": "NOT_FOUND"}})
                except (BrokenPipeError, ConnectionResetError):
                    pass

        return Handler

    def token(self, text):
        form = urllib.parse.parse_qs(text, strict_parsing=True)
        assertion = form["assertion"][0]
        head, claims, signature = assertion.split(".")
        header, said = json.loads(decode(head)), json.loads(decode(claims))
        with self.lock:
            number = len(self.tokens)
            files = [self.folder / f"assertion-{number}.{kind}" for kind in ("sig", "txt")]
            files[0].write_bytes(decode(signature))
            files[1].write_text(f"{head}.{claims}")
            verified = run("openssl", "dgst", "-sha256", "-verify", self.folder / "account.pub", "-signature", *files, check=False)
            right = (verified.returncode == 0 and header == {"alg": "RS256", "kid": "key-1", "typ": "JWT"}
                     and form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"] and said["iss"] == EMAIL
                     and said["scope"] == SCOPE and said["aud"] == f"https://localhost:{self.port}/token"
                     and abs(said["iat"] - time.time()) < 60 and 0 < said["exp"] - said["iat"] <= 3600)
            self.tokens.append(said)
            if not right or self.token_status != 200:
                return (400 if not right else self.token_status), {}, {"error": "invalid_grant"}
            token = f"access-{number}"
            self.good.add(token)
            return 200, {}, {"access_token": token, "expires_in": self.expires_in, "token_type": "Bearer"}

    def send(self, handler, body):
        bearer = handler.headers.get("Authorization", "").removeprefix("Bearer ")
        with self.lock:
            headers = {name.lower(): value for name, value in handler.headers.items()}  # HTTP/2 writes them small
            self.sends.append((time.monotonic(), body, headers))
            planned = self.script.pop(0) if self.script and bearer in self.good else "taken"
        if planned == "expired":
            self.good.clear()
        if bearer not in self.good:
            handler.answer(401, {}, {"error": {"code": 401, "message": "Expired.", "status": "UNAUTHENTICATED"}})
        elif planned == "hang":
            self.released.wait(180)
        elif planned == "taken":
            token = body["message"]["token"]
            handler.answer(200, {}, {"name": f"projects/{PROJECT}/messages/0:{len(self.sends)}"})
            self.wake(token)
        else:
            status, said = self.ANSWERS[planned]
            handler.answer(status, {"Retry-After": str(self.retry_after_s)} if status == 429 else {}, said)

    def wake(self, token):
        if token in self.wakers:
            run(*self.wakers[token])

    def plan(self, *script):
        with self.lock:
            self.script = list(script)

    def pushes(self):
        """How many for each device token."""
        with self.lock:
            return collections.Counter(body["message"]["token"] for _, body, _ in self.sends)
