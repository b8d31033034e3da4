"""A mail server that we did not write (aiosmtpd): STARTTLS with a certificate of the stack's CA, AUTH, and scripted troubles."""
import email
import email.policy
import ssl
import threading

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from stack import free_port, run, wait_for

USER, PASSWORD = "muster", "s3cret-\"with quotes\""


def certificate(folder):
    """A CA of its own and a certificate for localhost, by openssl: (CA file, certificate, key)."""
    folder.mkdir(parents=True, exist_ok=True)
    ca, ca_key, key, csr, cert = (folder / name for name in ("ca.crt", "ca.key", "server.key", "server.csr", "server.crt"))
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=Test mail CA", "-keyout", ca_key,
        "-out", ca)
    run("openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", key, "-out", csr)
    names = folder / "names"
    names.write_text("subjectAltName=DNS:localhost\n")
    run("openssl", "x509", "-req", "-in", csr, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", names,
        "-out", cert)
    return ca, cert, key


class Mailbox:
    """script: for each next message "greylist", "refuse", "broken" or "hang", by recipient or for all (None)."""

    def __init__(self, folder):
        self.ca, cert, key = certificate(folder)
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.load_cert_chain(cert, key)
        self.port, self.lock = free_port(), threading.Lock()
        self.messages, self.logins, self.script = [], [], {}
        self.released = threading.Event()
        self.controller = None
        self.start()

    def start(self):
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, tls_context=self.tls, require_starttls=True,
                                     auth_required=True, authenticator=self.authenticate, ready_timeout=180)
        self.controller.start()

    def stop(self):
        if self.controller:
            self.controller.stop()
            self.controller = None

    def close(self):
        self.released.set()
        self.stop()

    def authenticate(self, server, session, envelope, mechanism, data):
        good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        self.logins.append(good)
        return AuthResult(success=good)

    async def handle_RCPT(self, server, session, envelope, address, options):
        trouble = self.script.get(address, self.script.get(None, [])) or [None]
        word = trouble.pop(0) if trouble[0] else None
        if word == "greylist":
            return "451 4.7.1 Greylisted, try again later"
        if word == "refuse":
            return "550 5.1.1 No such mailbox"
        if word == "hang":
            import asyncio
            await asyncio.get_running_loop().run_in_executor(None, self.released.wait, 30)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        with self.lock:
            self.messages.append((envelope, message))
        return "250 taken"

    # ---- what came ----
    def to(self, address):
        with self.lock:
            return [message for envelope, message in self.messages if envelope.rcpt_tos == [address]]

    def wait(self, address, count=1, seconds=180):
        return wait_for(lambda: len(self.to(address)) >= count and self.to(address), f"{count} mails to {address}", seconds)
