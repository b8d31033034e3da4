"""What the tests of people and of the HTTP server share: somebody who is logged in, and a dashboard beside the stack's own."""
import contextlib
import os
import pathlib
import re
import socket
import subprocess
import threading
import time

import pytest

from contract import Contract
from page import login_link
from stack import free_port, run, wait_for
from web import Browser

PASSWORD = "correct horse battery"


def admin(stack, **options):
    browser = Browser(stack, **options)
    status, answer = browser.post("session", {"link": login_link(stack).split("#")[1]})
    assert status == 201, answer
    return browser


def person(stack, name, role="viewer", password=PASSWORD, **more):
    """Somebody made on the page, who came in by the link and chose a password; the browser in which that was."""
    status, made = admin(stack).post("users", {"name": name, "role": role, **more})
    assert status == 201 and "/login#" in made["login_link"], made
    browser = Browser(stack)
    assert browser.post("session", {"link": made["login_link"].split("#")[1]})[0] == 201
    status, answer = browser.post("account/password", {"new": password})
    assert status == 204, answer
    return browser


def codes_of(secret, steps=1, offset=0):
    """Codes of the real oathtool: of now, and of the steps before and after."""
    at = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(time.time() + 30 * offset))
    return run("oathtool", "--totp", "-b", "--now", at, "-w", steps - 1, secret).stdout.split()


def set_up_factor(browser):
    """Turns the second factor on; (secret, recovery codes). The code of this step is used up."""
    status, begun = browser.post("account/totp")
    assert status == 201 and begun["uri"].startswith("otpauth://totp/Muster:"), begun
    status, done = browser.post("account/totp/confirm", {"code": codes_of(begun["secret"])[0]})
    assert status == 201 and len(set(done["recovery_codes"])) == 10, done
    return begun["secret"], done["recovery_codes"]


def fresh_code(stack, name, secret):
    """A code that was not used: the next step's counts already."""
    stack.rows("update user_account set totp_step = 0 where name = %s returning 1", name)
    return codes_of(secret)[0]


@contextlib.contextmanager
def another_dashboard(stack, **options):
    """A second dashboard on the same database, with other options; its port."""
    port = free_port()
    said = {f"MUSTER_DASHBOARD_{name.upper()}": str(value) for name, value in ({"listen_port": port} | options).items()}
    with open(stack.state / "log/another.log", "w", encoding="utf-8") as log:
        process = subprocess.Popen([stack.bin / "muster-dashboard", "--config", stack.state / "conf/dashboard.conf"], stderr=log,
                                   env=os.environ | said, **stack.owner())
    try:
        def listens():
            with socket.socket() as one:
                return one.connect_ex(("127.0.0.1", port)) == 0
        wait_for(listens, "the other dashboard")
        yield port
    finally:
        process.terminate()
        assert process.wait(180) == 0


def open_stream(browser):
    """(lines of its live stream so far, thread that ends with it)"""
    lines = []
    process = subprocess.Popen(
        ["curl", "-sSNk", "-H", f"Cookie: __Host-muster={browser.cookie}", f"{browser.origin}/api/v1/stream"],
        stdout=subprocess.PIPE, text=True)

    def read():
        for line in process.stdout:
            lines.append(line.strip())
        process.wait()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    wait_for(lambda: any("ready" in line for line in lines), "the stream")
    return lines, thread


SOURCES = pathlib.Path(__file__).resolve().parents[2] / "dashboard"


def table_of_routes():
    """(method, pattern, handler, tag) of every route there is, also of those that are not in the document."""
    return re.findall(r'\{"(\w+)",\s*"([^"]+)",\s*(\w+),\s*([^}]+)\}', (SOURCES / "routes.c").read_text())


CHANGES = set()  # (route, whether the audit has it) of all changes made in this module


@pytest.fixture(scope="module", autouse=True)
def contract(stack):
    """Every good answer that a browser of this module gets is as the document says."""
    document = Browser(stack, key=(stack.state / "api-token").read_text().strip()).get("openapi.json")[1]
    Browser.contract = Contract(document)
    yield Browser.contract
    Browser.contract = None


@pytest.fixture(autouse=True)
def fresh_dashboard(stack):
    """Failed logins count by address, and all tests have one: each gets a dashboard that has counted none."""
    usual = stack.ports["dashboard"]
    with another_dashboard(stack) as port:
        stack.ports["dashboard"] = port
        yield
        metrics = run("curl", "-sSk", f"https://127.0.0.1:{port}/metrics").stdout
        CHANGES.update(re.findall(r'muster_http_changes_total\{method="\w+",route="([^"]+)",audited="(\w+)"\}', metrics))
    stack.ports["dashboard"] = usual
    assert not [change for change in CHANGES if change[1] == "no"], "each has a row in the audit"
