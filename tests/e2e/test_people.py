"""People: accounts, the second factor, sessions, API keys, forgotten passwords, and how often anybody may ask."""
import contextlib
import http.client
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import threading
import time

import jsonschema
import pytest

from page import browse, login_link
from stack import free_port, run, wait_for
from web import Browser

PASSWORD = "correct horse battery"
ROLES = ("viewer", "operator", "administrator", "auditor")


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


CHANGES = set()  # (route, whether the audit has it) of all changes made in this module


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


# ---- accounts ----

def test_an_administrator_keeps_the_accounts(stack):
    boss = admin(stack)
    ann = person(stack, "ann", "operator", email="Ann@example.org")
    assert ann.get("session")[1]["role"] == "operator"
    listed = {user["name"]: user for user in boss.get("users")[1]["items"]}
    assert listed["ann"]["email"] == "Ann@example.org" and listed["ann"]["has_password"] and listed["ann"]["sessions"] == 1
    assert [user["name"] for user in boss.get("users?q=EXAMPLE.ORG")[1]["items"]] == ["ann"]
    first = boss.get("users?limit=1")[1]
    assert boss.get(f"users?limit=1&after={first['next']}")[1]["items"][0]["name"] > first["items"][0]["name"]
    assert boss.get("users/nobody")[0] == 404 and boss.patch("users/nobody", {"enabled": False})[0] == 404
    for body, status in (({"name": "ann", "role": "viewer"}, 409), ({"name": "Ann", "role": "viewer"}, 422),
                         ({"name": "bob", "role": "king"}, 422), ({"name": "bob"}, 422),
                         ({"name": "bob", "role": "viewer", "email": "no"}, 422), ({"name": "bob", "role": "viewer", "x": 1}, 422),
                         ({"name": "bob", "role": "viewer", "tenant": "nowhere"}, 422),
                         ({"name": "bob", "role": "viewer", "email": "ann@EXAMPLE.org"}, 409)):
        assert boss.post("users", body)[0] == status, body
    assert boss.patch("users/ann", {"email": None})[1]["email"] is None
    link = boss.post("users/ann/login-link")[1]["login_link"]
    other = Browser(stack)
    assert other.post("session", {"link": link.split("#")[1]})[0] == 201
    assert other.post("session", {"link": link.split("#")[1]})[0] == 401, "a link works once"
    assert boss.delete("users/ann")[0] == 204
    assert ann.get("session")[0] == 401 and other.get("session")[0] == 401 and boss.get("users/ann")[0] == 404


def test_the_last_administrator_stays(stack):
    boss = admin(stack)
    for change in ({"role": "viewer"}, {"enabled": False}, {"tenant": "default"}):
        status, answer = boss.patch("users/admin", change)
        assert status == 409 and "last administrator" in answer["detail"], answer
    assert boss.delete("users/admin")[0] == 409
    assert boss.get("session")[1]["role"] == "administrator"
    # Two who take each other's rights at the same moment: one of them stays.
    one, two = person(stack, "boss-1", "administrator"), person(stack, "boss-2", "administrator")
    stack.rows("update user_account set role = 'viewer' where name = 'admin' returning 1")
    with another_dashboard(stack) as port:
        two.port, two.origin = port, f"https://localhost:{port}"
        results = []
        threads = [threading.Thread(target=lambda who=who, name=name: results.append(who.patch(f"users/{name}", {"role": "viewer"})[0]))
                   for who, name in ((one, "boss-2"), (two, "boss-1"))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert stack.value("select count(*) from user_account where role = 'administrator' and enabled") >= 1, results
    stack.rows("update user_account set role = 'administrator' where name = 'admin' returning 1")
    assert all(boss_role in (200, 401, 403, 409) for boss_role in results), results


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


def test_other_rights_end_sessions_and_streams(stack):
    boss = admin(stack)
    for number, change in enumerate(({"role": "operator"}, {"enabled": False})):
        eve = person(stack, f"eve-{number}")
        lines, thread = open_stream(eve)
        assert boss.patch(f"users/eve-{number}", change)[0] == 200
        thread.join(180)
        assert not thread.is_alive() and "event: end" in lines, lines
        assert eve.get("session")[0] == 401
        assert eve.login(f"eve-{number}", PASSWORD)[0] == (201 if number == 0 else 401)
    eve = Browser(stack)
    assert eve.login("eve-0", PASSWORD)[0] == 201
    assert boss.patch("users/eve-0", {"email": "eve@example.org"})[0] == 200
    assert eve.get("session")[0] == 200, "an e-mail address is no right"


# ---- the password ----

def test_a_password_is_changed_by_whoever_knows_it(stack):
    ann = person(stack, "pat")
    elsewhere = Browser(stack)
    assert elsewhere.login("pat", PASSWORD)[0] == 201
    for old, new, status in (("wrong", "another one quite long", 403), (PASSWORD, "short", 422), (PASSWORD, "PAT", 422),
                             (PASSWORD, "a" * 40, 422), (PASSWORD, "ä" * 300, 422), ("", "another one quite long", 403)):
        assert ann.post("account/password", {"old": old, "new": new})[0] == status, (old, new)
    assert ann.post("account/password", {"old": PASSWORD, "new": "another one quite long"})[0] == 204
    assert ann.get("session")[0] == 200 and elsewhere.get("session")[0] == 401, "other sessions end, this one stays"
    assert Browser(stack).login("pat", PASSWORD)[0] == 401 and Browser(stack).login("pat", "another one quite long")[0] == 201


# ---- the second factor ----

def test_the_second_factor(stack):
    tom = person(stack, "tom")
    secret, recovery = set_up_factor(tom)
    stored = stack.value("select encode(totp_secret, 'hex') from user_account where name = 'tom'")
    raw = run("sh", "-c", f"echo {secret} | base32 -d | od -An -tx1 | tr -d ' \\n'").stdout
    assert len(raw) == 40 and raw not in stored, "the secret is sealed"
    assert stack.value("select count(*) from recovery_code r where r::text like %s", f"%{recovery[0]}%") == 0
    me = tom.get("account")[1]
    assert me["second_factor"] and me["recovery_codes_left"] == 10 and tom.get("session")[1]["second_factor"]
    assert tom.post("account/totp")[0] == 409

    # The first step says the same for a right password and a wrong one; only the second tells.
    answers = {}
    for word in (PASSWORD, "wrong password"):
        browser = Browser(stack)
        status, answer = browser.login("tom", word)
        assert status == 202 and set(answer) == {"pending", "expires_in_s"} and not browser.set_cookie, answer
        answers[word] = browser, answer["pending"]
    assert len({len(pending) for _, pending in answers.values()}) == 1
    wrong, right = answers["wrong password"], answers[PASSWORD]
    code = fresh_code(stack, "tom", secret)
    refusals = [wrong[0].post("session", {"pending": wrong[1], "code": code}), right[0].post("session", {"pending": right[1], "code": "000000"}),
                right[0].post("session", {"pending": right[1], "code": "nonsense"})]
    assert {(status, answer["detail"]) for status, answer in refusals} == {(401, "Name, password or code is wrong.")}, refusals
    status, who = right[0].post("session", {"pending": right[1], "code": code})
    assert status == 201 and who["name"] == "tom" and right[0].get("session")[0] == 200
    assert stack.value("select detail->>'by' from audit where action = 'login' and actor = 'tom' order by id desc limit 1") == "password and code"

    def second(code, pending_of=None):
        browser = pending_of or Browser(stack)
        return browser.post("session", {"pending": browser.login("tom", PASSWORD)[1]["pending"], "code": code})[0]

    assert second(code) == 401, "each code once"
    # Bound to the browser and to its time, and of no use after the password was changed.
    pending = Browser(stack).login("tom", PASSWORD)[1]["pending"]
    assert Browser(stack, agent="another").post("session", {"pending": pending, "code": "1"})[1]["detail"].startswith("This login took too long")
    assert Browser(stack).post("session", {"pending": pending[:-2] + "AA", "code": "1"})[0] == 401
    assert tom.post("account/password", {"old": PASSWORD, "new": PASSWORD + "!"})[0] == 204
    assert Browser(stack).post("session", {"pending": pending, "code": fresh_code(stack, "tom", secret)})[0] == 401
    assert tom.post("account/password", {"old": PASSWORD + "!", "new": PASSWORD})[0] == 204
    # The clocks may differ by a step, and not by two.
    near = fresh_code(stack, "tom", secret), codes_of(secret, offset=-1)[0], codes_of(secret, offset=3)[0]
    assert second(near[1]) in (201, 401) and second(near[2]) == 401  # the step may have ended meanwhile

    stack.rows("update user_account set totp_step = 0 where name = 'tom' returning 1")
    assert second(recovery[3].upper().replace("-", " ")) == 201 and second(recovery[3]) == 401, "a recovery code works once"
    assert tom.get("account")[1]["recovery_codes_left"] == 9
    status, fresh = tom.post("account/recovery-codes", {"code": fresh_code(stack, "tom", secret)})
    assert status == 201 and second(recovery[4]) == 401 and second(fresh["recovery_codes"][0]) == 201

    # A login link is a first step too.
    status, answer = Browser(stack).post("session", {"link": login_link(stack, "tom").split("#")[1]})
    assert status == 202 and "pending" in answer
    assert tom.post("account/totp/remove", {"code": "000000"})[0] == 403
    assert tom.post("account/totp/remove", {"code": fresh_code(stack, "tom", secret)})[0] == 204
    assert Browser(stack).login("tom", PASSWORD)[0] == 201


def test_a_lost_factor_is_reset_by_others_only(stack):
    lee = person(stack, "lee")
    set_up_factor(lee)
    assert lee.delete("users/lee/totp")[0] == 403
    assert admin(stack).delete("users/lee/totp")[0] == 204 and admin(stack).delete("users/lee/totp")[0] == 404
    assert Browser(stack).login("lee", PASSWORD)[0] == 201
    lee = Browser(stack)
    lee.login("lee", PASSWORD)
    set_up_factor(lee)
    assert "no second factor" in stack.muster("user", "reset-totp", "lee").stdout
    assert Browser(stack).login("lee", PASSWORD)[0] == 201
    assert stack.rows("select action, actor like 'cli:%%' from audit where target = 'lee' and action = 'totp.reset' order by id") == [
        ("totp.reset", False), ("totp.reset", True)]


def test_guessing_codes_locks_the_account(stack):
    kim = person(stack, "kim")
    secret, _ = set_up_factor(kim)
    with another_dashboard(stack) as port:  # whose lockout is its own
        guess = Browser(stack, port=port)
        pending = guess.login("kim", PASSWORD)[1]["pending"]
        seen = [guess.post("session", {"pending": pending, "code": f"{number:06}"})[0] for number in range(11)]
        assert seen[0] == 401 and seen[-1] == 429 and int(guess.headers["Retry-After"]) > 0, seen
        code = fresh_code(stack, "kim", secret)
        assert guess.post("session", {"pending": pending, "code": code})[0] == 429, "locked for the right code too"
        assert guess.login("kim", PASSWORD)[0] == 429


def test_administrators_can_be_made_to_have_one(stack):
    with another_dashboard(stack, require_totp="true") as port:
        boss = admin(stack, port=port)
        assert boss.get("session")[1]["needs_second_factor"] is True
        status, answer = boss.get("devices")
        assert status == 403 and "/account" in answer["detail"], answer
        assert boss.post("account/totp")[0] == 201, "what sets it up is open"
        vic = Browser(stack, port=port)
        person(stack, "vic", "viewer")
        assert vic.login("vic", PASSWORD)[0] == 201 and vic.get("devices")[0] == 200


# ---- logging in ----

def test_refusals_are_alike_in_words_and_time(stack):
    person(stack, "exists")
    times, words = {"exists": [], "does-not": []}, set()

    def ratio():
        """Of the shortest times, which are the least of what else is done on this machine."""
        slow, fast = (min(taken, default=0) for taken in times.values())
        return slow / fast if fast else 0

    for _ in range(8):
        if 0.5 < ratio() < 2:
            break
        with another_dashboard(stack) as port:
            browser = Browser(stack, port=port)
            for _ in range(4):
                for name, taken in times.items():
                    began = time.monotonic()
                    status, answer = browser.login(name, "certainly wrong")
                    taken.append(time.monotonic() - began)
                    words.add((status, answer.get("detail")))
    # Names that nobody has may also be asked for a code: that says no more.
    assert all(word in {(401, "Name or password is wrong.")} for word in words if word[0] != 202), words
    assert 0.5 < ratio() < 2, times


def test_cookies_are_new_at_login_and_dead_after(stack):
    browser = admin(stack)
    first, flags = browser.cookie, browser.set_cookie
    for flag in ("Secure", "HttpOnly", "SameSite=Strict", "Path=/"):
        assert flag in flags, flags
    assert "Domain" not in flags and flags.startswith("__Host-muster=")
    browser.cookie = "A" * 43  # one that somebody fixed beforehand
    assert browser.post("session", {"link": login_link(stack).split("#")[1]})[0] == 201 and browser.cookie not in (first, "A" * 43)
    second = browser.cookie
    assert browser.delete("session")[0] == 204 and "Max-Age=0" in browser.set_cookie
    browser.cookie = second
    assert browser.get("session")[0] == 401


def routes_of(stack):
    document = admin(stack).get("openapi.json")[1]
    return [(method.upper(), path) for path, item in document["paths"].items() for method in item]


def test_no_other_site_changes_anything(stack):
    """Every route that is no GET, with the cookie: refused before it does anything, whoever the browser says it comes from."""
    browser, routes = admin(stack), routes_of(stack)
    before = stack.value("select max(id) from audit")
    tried = 0
    for method, path in routes:
        if method == "GET" or path == "/admin/command":
            continue
        for headers in ({"Origin": "https://evil.example"}, {"Origin": None}, {"Origin": "null"},
                        {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site", "Origin": None}):
            if headers == {"Origin": None} and (path == "/api/v1/session" and method == "POST" or "password-reset" in path):
                continue  # no cookie counts there, and programs may send it
            status, answer = browser.send(method, re.sub(r"\{\w+\}", "1", path), {}, headers)
            assert status == 403 and "own page" in answer["detail"], (method, path, headers, answer)
            tried += 1
    assert tried > 100 and stack.value("select max(id) from audit") == before
    assert browser.get("session")[0] == 200


SOURCES = pathlib.Path(__file__).resolve().parents[2] / "dashboard"


def table_of_routes():
    """(method, pattern, handler, tag) of every route there is, also of those that are not in the document."""
    return re.findall(r'\{"(\w+)",\s*"([^"]+)",\s*(\w+),\s*([^}]+)\}', (SOURCES / "routes.c").read_text())


def test_every_answer_says_what_a_page_may(stack):
    """Whatever is asked, however wrongly: no answer is without the headers that keep a browser from harm."""
    boss, seen = admin(stack), {}

    def check(what, status, headers):
        headers = {name.lower(): value for name, value in headers}
        policy = headers.get("content-security-policy", "")
        assert re.match(r"default-src 'none'(;|$)", policy) and "frame-ancestors 'none'" in policy, (what, policy)
        assert "unsafe" not in policy and "*" not in policy and "data:" not in policy, (what, policy)
        assert headers.get("x-content-type-options") == "nosniff" and headers.get("referrer-policy") == "no-referrer", what
        assert headers.get("strict-transport-security", "").startswith("max-age=") and headers.get("cache-control"), what
        assert "access-control-allow-origin" not in headers and "location" not in headers, (what, headers)
        if status >= 400:
            assert headers["content-type"] == "application/problem+json", (what, headers)
        seen.setdefault(status, what)

    def ask(method, path, body=None, **headers):
        status, answer = boss.send(method, path, body, headers)
        check((method, path), status, boss.headers.items())
        return status, answer

    page = ask("GET", "/")[1]
    assets = re.findall(r'"(/assets/[^"]+)"', page)
    assert len(assets) >= 2, page
    for path in ("/", *assets):
        ask("GET", path)
        ask("GET", path, **{"If-None-Match": boss.headers["ETag"]})
    status, job = ask("POST", "/api/v1/exports", {"kind": "devices"})
    job = wait_for(lambda: (now := boss.get(f"exports/{job['id']}")[1])["state"] == "done" and now, "the file")
    for headers in ({}, {"Range": "bytes=0-3"}, {"Range": "bytes=99999999-"}):
        ask("GET", job["file"], **headers)
        assert boss.headers.get("Content-Disposition", "").startswith("attachment; ") or headers.get("Range", "").endswith("-")
    ask("GET", job["file"], **{"If-None-Match": boss.headers["ETag"]})
    for method, pattern, _, tag in table_of_routes():
        if "stream" not in pattern and (method == "GET" or "PUBLIC" not in tag):
            ask(method, re.sub(r"\{\w+\}", "none", pattern), None, Origin="https://evil.example" if method != "GET" else None)
        ask("OPTIONS", re.sub(r"\{\w+\}", "none", pattern))
    for path in ("/..%2f", "//", "/assets/..%2f..%2fetc%2fpasswd", "/assets/%00", "/api/v1/devices/%00", "/assets/../index.html", "/%2e%2e/"):
        assert ask("GET", path)[0] == 404, path
    ask("POST", "/api/v1/groups", {"name": "x" * 70000})
    ask("POST", "/api/v1/groups", {"name": ""})
    ask("POST", "/api/v1/groups", {}, **{"Content-Type": "text/plain"})
    assert ask("POST", "/api/v1/users", {"name": "admin", "role": "viewer"})[0] == 409
    assert ask("DELETE", "/api/v1/session")[0] == 204
    for raw, wanted in HOSTILE_REQUESTS.items():
        answers = raw_answers(stack, raw)
        assert [status for status, _ in answers] == wanted, (raw[:80], answers)
        for status, headers in answers:
            check(raw[:80], status, headers)
    assert set(seen) >= {200, 202, 204, 206, 304, 400, 401, 403, 404, 405, 409, 413, 415, 416, 417, 422, 431, 501, 505}, seen


HOST = b"Host: localhost\r\n"
# What to send: the statuses of all the answers that come before the connection ends. A second answer to what was meant as one
# request, or the other way round, is how requests are smuggled.
HOSTILE_REQUESTS = {
    b"POST /api/v1/session HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}": [400],
    b"POST /api/v1/session HTTP/1.1\r\n" + HOST + b"Content-Length: 2\r\nContent-Length: 50\r\n\r\n{}": [400],
    b"POST /api/v1/session HTTP/1.1\r\n" + HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /metrics HTTP/1.1\r\n"
    + HOST + b"\r\n": [400],
    b"POST /api/v1/session HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n": [501],
    b"POST /api/v1/session HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n": [400],
    b"POST /api/v1/session HTTP/1.1\r\n" + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n": [400],
    b"POST /api/v1/session HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n": [400],
    b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\r\n folded\r\n\r\n": [400],
    b"GET /health HTTP/1.1\nHost: localhost\n\n\r\n\r\n": [400],
    b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\x00b\r\n\r\n": [400],
    b"GET /hea\x00lth HTTP/1.1\r\n" + HOST + b"\r\n": [400],
    b"GET /health HTTP/1.1\r\n\r\n": [400],
    b"GET /health HTTP/1.1\r\n" + HOST + HOST + b"\r\n": [400],
    b"GET /health HTTP/2.0\r\n" + HOST + b"\r\n": [505],
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n": [505],
    b"GET /health HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 65536 + b"\r\n\r\n": [431],
    b"GET /health HTTP/1.1\r\n" + HOST + b"X: a\r\n" * 10000 + b"\r\n": [431],
    b"POST /api/v1/session HTTP/1.1\r\n" + HOST + b"Content-Length: 99999999\r\n\r\n": [413],
    b"POST /api/v1/session HTTP/1.1\r\n" + HOST + b"Expect: a cake\r\nContent-Length: 2\r\n\r\n{}": [417],
    b"GET /health HTTP/1.1\r\n" + HOST + b"\r\nGET /health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n": [200, 200],
}


def raw_answers(stack, text):
    """Sends text as it is; the (status, headers) of every answer until the server ends the connection."""
    context = ssl.create_default_context(cafile=str(stack.state / "ca/service.crt"))
    with socket.create_connection(("localhost", stack.ports["dashboard"]), 180) as plain, \
            context.wrap_socket(plain, server_hostname="localhost") as tls:
        with contextlib.suppress(OSError):  # it may be refused before all is sent
            tls.sendall(text)
        received = b""
        with contextlib.suppress(OSError):
            while piece := tls.recv(65536):
                received += piece
    heads = re.findall(rb"HTTP/1\.1 (\d+) [^\r]*\r\n(.*?)\r\n\r\n", received, re.S)
    return [(int(status), [line.split(": ", 1) for line in head.decode().split("\r\n")]) for status, head in heads]


NONSENSE_IDS = ["none", "-1", "0", "99999999999999999999", "%27%3B--", "%ff", "%E2%80%AE" * 40]
NONSENSE_QUERIES = ["limit=0&after=x", "limit=1&after=x.y.z", "after=1.2.3.4", "from=x&to=-1", "limit=501&query=%28%28&q=%27&status=x", "after=%00&q=%ff&query=%ff",
                    "sort=x&fields=x&marks=1&points=0&days=0&device=%27&tenant=%27&action=%5C&topics=x"]
NONSENSE_BODIES = ["", "{}", "[]", "null", "{", '{"x":1}', '{"id":{"x":[1]}}', "[" * 100, '{"a":1,"a":2}', '"\\u0000"', "\xff",
                   json.dumps({name: {"x": [1]} for name in ("name", "device", "devices", "action", "params", "target", "query", "tags", "add", "ids", "verb", "label")}),
                   json.dumps({name: "\0\ud800" for name in ("name", "device", "action", "query", "label", "password", "link", "token", "code", "pending")}),
                   json.dumps({name: -1e300 for name in ("uses", "expires_in_days", "expires_in_s", "ttl_s", "expect", "for_s", "threshold")})]


def test_nonsense_is_refused(stack):
    """Every route with ids, queries and bodies that nothing has: a clear refusal, never a fault of the dashboard's own. It is the
    same process in the end."""
    context = ssl.create_default_context(cafile=str(stack.state / "ca/service.crt"))
    connection = http.client.HTTPSConnection("localhost", stack.ports["dashboard"], context=context, timeout=180)
    key = (stack.state / "api-token").read_text().strip()
    document = admin(stack).get("openapi.json")[1]
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    problem = jsonschema.Draft202012Validator(document["components"]["schemas"]["Problem"])
    asked, unsaid = 0, set()
    for method, pattern, _, _ in table_of_routes():
        if pattern in ("/api/v1/stream", "/metrics") or not pattern.startswith(("/api/v1/", "/admin")):
            continue
        ids = NONSENSE_IDS if "{" in pattern else ["-"]
        tries = [(one, query, None) for one in ids for query in ["", NONSENSE_QUERIES[0]]] + [(ids[0], query, None) for query in NONSENSE_QUERIES]
        if method != "GET":
            tries = [(one, "", "{}") for one in ids] + [(ids[0], "", body) for body in NONSENSE_BODIES]
            tries += [("1", "", body) for body in NONSENSE_BODIES[-3:] if "{" in pattern]
        for one, query, body in tries:
            path = re.sub(r"\{\w+\}", one, pattern) + (f"?{query}" if query else "")
            connection.request(method, path, None if body is None else body.encode("latin-1"),
                               {"Authorization": f"Bearer {key}", "Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
            assert answer.status not in (500, 503), (method, path, body, text)
            if answer.status >= 400:
                problem.validate(json.loads(text))
            if not {str(answer.status), f"{answer.status // 100}XX"} & set(document["paths"][pattern][method.lower()]["responses"]):
                unsaid.add((method, pattern, answer.status))
            asked += 1
    assert not unsaid, f"answers that the document does not have: {sorted(unsaid)}"
    assert asked > 1000, asked


def test_answers_with_fresh_secrets_are_not_compressed(stack):
    """BREACH: how long a compressed answer is tells what in it is alike. Only what is asked for by GET is compressed, which brings
    nobody's secret, and which no other site can ask for with the cookie (SameSite=Strict)."""
    boss = admin(stack)
    long = {"label": "one word after another " * 4, "expires_in_days": 1}
    for number in range(30):
        stack.rows("insert into user_account (name, role) values (%s, 'viewer') returning 1", f"many-{number}")
    status, _ = boss.send("GET", "users", headers={"Accept-Encoding": "identity"})
    assert status == 200 and int(boss.headers["Content-Length"]) > 4096 and "Content-Encoding" not in boss.headers
    done = run("curl", "-sSk", "-D-", "-o/dev/null", "-H", "Accept-Encoding: gzip", "-H", f"Cookie: __Host-muster={boss.cookie}",
               f"{boss.origin}/api/v1/users").stdout
    assert "Content-Encoding: gzip" in done and "Vary: Accept-Encoding" in done, done
    long_one = {"name": "x", "action": "run", "params": {"argv": ["/bin/true", "x" * 2000]}, "target": {"tag": "none"}, "confirm": True}
    for path, body in (("api-keys", long), ("users/many-1/login-link", {}), ("campaigns", long_one)):
        done = run("curl", "-sSk", "-D-", "-o/dev/null", "-X", "POST", "-H", "Accept-Encoding: gzip", "-H", "Content-Type: application/json",
                   "-H", f"Cookie: __Host-muster={boss.cookie}", "-H", f"Origin: {boss.origin}", "-d", json.dumps(body),
                   f"{boss.origin}/api/v1/{path}").stdout
        assert " 201 " in done.splitlines()[0] and "Content-Encoding" not in done, done
    assert int(re.search(r"Content-Length: (\d+)", done)[1]) > 1024, "the last would be worth it"
    stack.rows("delete from user_account where name like 'many-%%' returning 1")


def test_an_address_cannot_take_all_connections(stack):
    with another_dashboard(stack, limits_unknown_connections=12) as port, contextlib.ExitStack() as held:
        here = admin(stack, port=port)
        lines, thread = open_stream(here)  # somebody who is known has as many as there are
        silent = [held.enter_context(socket.create_connection(("localhost", port), 180)) for _ in range(12)]
        extra = held.enter_context(socket.create_connection(("localhost", port), 180))
        assert extra.recv(1) == b"", "one more is closed at once"
        assert thread.is_alive() and "event: end" not in lines
        for one in silent:
            one.close()
        wait_for(lambda: run("curl", "-sk", f"https://localhost:{port}/health", check=False).returncode == 0, "room for others")
        metrics = run("curl", "-sSk", f"https://127.0.0.1:{port}/metrics").stdout
        assert re.search(r"^muster_http_crowded_total [1-9]", metrics, re.M), metrics
    assert "unknown_connections = 200" in run(stack.bin / "muster-dashboard", "--sample-config").stdout


def test_behind_a_proxy_its_client_is_who_asks(stack):
    person(stack, "prox")

    def ask_from(client, name="prox", password=PASSWORD, **more):
        browser = Browser(stack, port=port)
        status, _ = browser.send("POST", "session", {"name": name, "password": password}, {"X-Forwarded-For": client} | more)
        return status, browser

    with another_dashboard(stack, listen_proxies="127.0.0.0/8,::1") as port:
        status, browser = ask_from("127.0.0.1, 203.0.113.9")  # what a client says of itself stands in front
        assert status == 201
        assert [row["peer"] for row in browser.get("sessions")[1]["items"] if row["current"]] == ["203.0.113.9"]
        assert stack.value("select peer from audit where action = 'login' and actor = 'prox' order by id desc limit 1") == "203.0.113.9"
        # Ten failures lock the address they came from, of IPv6 the network; the accounts are other ones each time.
        for number in range(10):
            assert ask_from(f"2001:db8::{number}", f"nobody-{number}", "wrong password")[0] in (401, 202)
        assert ask_from("2001:db8::ffff")[0] == 429 and ask_from("2001:db8:0:1::1")[0] == 201
        # And the account, wherever they come from: an account that there is not just the same.
        answers = set()
        for name in ("prox", "not-there"):
            for number in range(10):
                assert ask_from(f"198.51.100.{number}", name, "wrong password")[0] in (401, 202)
            status, browser = ask_from("203.0.113.77", name)
            answers.add((status, re.sub(r"\d+ s", "n s", browser.post("session", {"name": name, "password": PASSWORD})[1]["detail"])))
        assert len(answers) == 1 and answers.pop()[0] == 429
        assert Browser(stack, port=port).post("session", {"link": login_link(stack, "prox").split("#")[1]})[0] == 201, "a link gets in"
        for header in ("X-Forwarded-For", "Forwarded", "Via"):
            assert Browser(stack, port=port).send("GET", "/metrics", headers={header: "127.0.0.1"})[0] == 403, header
    with another_dashboard(stack) as port:  # nobody's word is taken
        status, browser = ask_from("203.0.113.9")
        assert [row["peer"] for row in browser.get("sessions")[1]["items"] if row["current"]] == ["127.0.0.1"]
        assert browser.send("GET", "/metrics", headers={"X-Forwarded-For": "127.0.0.1"})[0] == 403
    wrong = run(stack.bin / "muster-dashboard", "--config", stack.state / "conf/dashboard.conf", check=False, **stack.owner(),
                env=os.environ | {"MUSTER_DASHBOARD_LISTEN_PROXIES": "10.0.0.0/33", "MUSTER_DASHBOARD_LISTEN_PORT": "0"})
    assert wrong.returncode == 1 and "10.0.0.0/33" in wrong.stderr, wrong.stderr


def test_no_secret_is_written_to_the_log(stack):
    """With all that the log can say: passwords, links, cookies, keys, codes."""
    with another_dashboard(stack, log_level="debug", public_url="https://muster.example.org") as port:
        tina = person(stack, "tina", email="tina@example.org")
        link = login_link(stack, "tina").split("#")[1]
        stack.rows("update access_token set expires_at = now() - interval '1 second' where token_hash = sha256(%s) returning 1", link.encode())
        late = Browser(stack, port=port)
        assert late.post("session", {"link": link})[0] == 401, "a link that has expired"
        tina.port, tina.origin = port, f"https://localhost:{port}"
        key = tina.post("api-keys", {"label": "x", "expires_in_days": 1})[1]["key"]
        assert Browser(stack, port=port, key=key).get("devices?query=tag:seen-in-query")[0] == 200
        assert stack.value("select count(*) from access_token t where t::text like %s", f"%{key}%") == 0, "as its hash alone"
        secret, recovery = set_up_factor(tina)
        again = Browser(stack, port=port)
        pending = again.login("tina", PASSWORD)[1]["pending"]
        assert again.post("session", {"pending": pending, "code": recovery[0]})[0] == 201
        assert again.post("password-reset", {"name": "tina"})[0] == 202
        wait_for(lambda: stack.value("select count(*) from mail where recipient = 'tina@example.org'") == 1, "the mail")
        token = re.search(r"/reset#([\w-]{43})", stack.value("select body from mail where recipient = 'tina@example.org'"))[1]
        assert again.post("password-reset/finish", {"token": token, "password": "a third one, long"})[0] == 204
        log = (stack.state / "log/another.log").read_text()
        assert "/api/v1/password-reset/finish" in log and "login.success" in log
        for word in (PASSWORD, "a third one, long", link, key, secret, recovery[0], pending, token, tina.cookie, again.cookie):
            assert word not in log, word
        stack.rows("delete from mail where recipient = 'tina@example.org' returning 1")


# ---- sessions ----

def test_sessions_are_listed_and_ended(stack):
    one = person(stack, "sam")
    two = Browser(stack, agent="Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36")
    assert two.login("sam", PASSWORD)[0] == 201
    listed = one.get("sessions")[1]["items"]
    assert len(listed) == 2 and [row["current"] for row in listed].count(True) == 1
    far = next(row for row in listed if not row["current"])
    assert "Chrome/130" in far["user_agent"] and far["peer"] == "127.0.0.1"
    assert two.cookie not in json.dumps(listed)
    lines, thread = open_stream(two)
    assert one.delete(f"sessions/{far['id']}")[0] == 204
    thread.join(180)
    assert not thread.is_alive() and "event: end" in lines and two.get("session")[0] == 401
    assert one.delete(f"sessions/{far['id']}")[0] == 404
    ina = person(stack, "ina")
    assert ina.get("sessions?user=sam")[0] == 403 and ina.delete(f"sessions/{listed[0]['id']}")[0] == 404
    boss = admin(stack)
    theirs = boss.get("sessions?user=sam")[1]["items"]
    assert len(theirs) == 1 and boss.delete(f"sessions/{theirs[0]['id']}")[0] == 204 and one.get("session")[0] == 401
    again, more = Browser(stack), Browser(stack)
    assert again.login("sam", PASSWORD)[0] == more.login("sam", PASSWORD)[0] == 201
    assert again.delete("sessions")[0] == 204 and again.get("session")[0] == 200 and more.get("session")[0] == 401


# ---- API keys ----

def test_api_keys_have_no_more_rights_than_their_user(stack):
    ops = person(stack, "ops", "operator")
    for body in ({"label": "x"}, {"label": "", "expires_in_days": 3}, {"label": "x", "expires_in_days": 367},
                 {"label": "x", "expires_in_days": 0}, {"label": "x", "expires_in_days": 1, "role": "administrator"},
                 {"label": "x", "expires_in_days": 1, "scopes": ["all"]}, {"label": "x", "expires_in_days": 1, "scopes": []},
                 {"label": "x", "expires_in_days": 1, "scopes": ["read,commands"]},
                 {"label": "x", "expires_in_days": 1, "group": "none-such"}):
        assert ops.post("api-keys", body)[0] == 422, body

    def key(who=ops, **more):
        status, made = who.post("api-keys", {"label": "a script", "expires_in_days": 30, **more})
        assert status == 201 and len(made["key"]) == 43, made
        return made, Browser(stack, key=made["key"])

    made, whole = key()
    assert whole.get("devices")[0] == 200 and whole.get("users")[0] == 403
    assert whole.post("groups", {"name": "by-key"})[0] == 201
    assert whole.post("api-keys", {"label": "x", "expires_in_days": 1})[0] == 403, "keys make no keys"
    assert whole.post("account/password", {"old": PASSWORD, "new": PASSWORD + "!"})[0] == 403
    assert whole.post("account/totp")[0] == 403
    reads = key(scopes=["read"])[1]
    assert reads.get("devices")[0] == 200 and reads.post("groups", {"name": "no"})[0] == 403
    commands = key(scopes=["commands"])[1]
    assert commands.get("devices")[0] == 403
    assert commands.post("commands", {"device": "none", "action": "ping"})[0] == 404
    looks = key(role="viewer")[1]
    assert looks.get("session")[1]["role"] == "viewer" and looks.post("commands", {"device": "none", "action": "ping"})[0] == 403
    # A key for the devices of one group sees and does nothing elsewhere, and makes nobody.
    for name in ("in-group", "elsewhere"):
        stack.rows("insert into device (device) values (%s) returning 1", name)
    assert ops.post("groups", {"name": "shelf"})[0] == 201
    assert ops.post("groups/shelf/devices", {"add": ["in-group"]})[0] == 200
    for who, word in ((ops, "ops"), (admin(stack), "admin")):
        shelf = key(who, group="shelf")[1]
        assert [row["device"] for row in shelf.get("devices")[1]["items"]] == ["in-group"], word
        assert shelf.get("devices/elsewhere")[0] == 404
        assert shelf.post("commands", {"device": "elsewhere", "action": "ping"})[0] == 404
        assert shelf.post("commands", {"device": "in-group", "action": "ping"})[0] == 202
        assert shelf.post("users", {"name": "made-by-key", "role": "administrator"})[0] == 403
    only = key(group="shelf", role="viewer")[1]
    assert only.get("devices/in-group")[0] == 200
    assert only.post("commands", {"device": "in-group", "action": "ping"})[0] == 403
    assert only.post("devices/in-group/tags", {"add": ["x"]})[0] == 403
    listed = ops.get("api-keys")[1]["items"]
    assert made["key"] not in json.dumps(listed) and len(listed) == 6
    assert next(row for row in listed if row["id"] == made["id"])["last_used"]
    # What its user loses, the key loses; what the user gets, one with a role of its own does not.
    own = key(role="operator")[1]
    boss = admin(stack)
    assert boss.patch("users/ops", {"role": "viewer"})[0] == 200
    assert whole.get("session")[1]["role"] == "viewer" and own.get("session")[0] == 401
    assert boss.patch("users/ops", {"role": "administrator"})[0] == 200
    assert whole.get("users")[0] == 200 and own.get("users")[0] == 403 and own.get("session")[1]["role"] == "operator"
    assert boss.patch("users/ops", {"enabled": False})[0] == 200 and whole.get("devices")[0] == 401
    assert boss.patch("users/ops", {"enabled": True})[0] == 200 and whole.get("devices")[0] == 200
    assert boss.delete(f"api-keys/{made['id']}")[0] == 200 and whole.get("devices")[0] == 401
    assert len(boss.get("api-keys?user=ops")[1]["items"]) == 7
    stack.rows("update access_token set expires_at = now() where kind = 'api' and user_name = 'ops' returning 1")
    assert reads.get("devices")[0] == 401


def test_the_command_line_makes_keys_and_people(stack):
    made = stack.muster_json("user", "add", "cli-1", "--role", "operator", "--email", "cli@example.org")
    assert "/login#" in made["login_link"]
    listed = stack.muster_json("user", "list")["items"]
    assert next(user for user in listed if user["name"] == "cli-1")["role"] == "operator"
    key = stack.muster_json("api-key", "create", "cli-1", "--label", "cron", "--days", "7", "--scopes", "read")
    robot = Browser(stack, key=key["key"])
    assert robot.get("devices")[0] == 200 and robot.post("groups", {"name": "no"})[0] == 403
    assert [row["label"] for row in stack.muster_json("api-key", "list")["items"] if row["user"] == "cli-1"] == ["cron"]
    assert "revoked" in stack.muster("api-key", "revoke", key["id"]).stdout and robot.get("devices")[0] == 401
    assert stack.muster("api-key", "revoke", key["id"], check=False).returncode == 3
    assert stack.muster("api-key", "create", "cli-1", "--label", "x", "--days", "400", check=False).returncode == 2
    stack.muster("group", "create", "cli-shelf")
    bound = stack.muster_json("api-key", "create", "cli-1", "--label", "shelf", "--group", "cli-shelf")
    assert Browser(stack, key=bound["key"]).get("devices")[1]["items"] == []
    assert [row["group"] for row in stack.muster_json("api-key", "list")["items"] if row["label"] == "shelf"] == ["cli-shelf"]
    done = stack.muster("api-key", "create", "cli-1", "--label", "x", "--group", "none-such", check=False)
    assert done.returncode == 3 and "muster group list" in done.stderr, done
    assert stack.muster("user", "set", "cli-1", "--disable").returncode == 0
    assert stack.value("select enabled from user_account where name = 'cli-1'") is False
    stack.muster("user", "set", "cli-1", "--enable", "--role", "viewer")
    assert stack.rows("select enabled, role from user_account where name = 'cli-1'") == [(True, "viewer")]
    stack.rows("update user_account set role = 'viewer' where name <> 'admin' returning 1")
    done = stack.muster("user", "set", "admin", "--disable", check=False)
    assert done.returncode == 1 and "make somebody else an administrator first" in done.stderr
    assert stack.muster("user", "remove", "cli-1").returncode == 0
    assert stack.muster("user", "remove", "cli-1", check=False).returncode == 3
    weak = stack.state / "weak"
    weak.write_text("short\n")
    weak.chmod(0o600)
    assert stack.muster("user", "add", "cli-2", "--role", "viewer", "--password-file", weak, check=False).returncode == 1


# ---- a forgotten password ----

def mails(stack, about="password-reset"):
    return stack.rows("select recipient, body from mail where about = %s order by id", about)


def test_a_forgotten_password(stack):
    ray = person(stack, "ray", email="ray@example.org")
    with another_dashboard(stack, public_url="https://muster.example.org:7443/") as port:
        browser = Browser(stack, port=port)
        answers = [browser.post("password-reset", {"name": name}) for name in ("RAY", "nobody-at-all")]
        assert [status for status, _ in answers] == [202, 202] and answers[0][1] == answers[1][1]
        wait_for(lambda: len(mails(stack)) == 1, "the mail")
        recipient, body = mails(stack)[0]
        link = re.search(r"https://muster\.example\.org:7443/reset#([\w-]{43})\s", body)
        assert recipient == "ray@example.org" and link and "127.0.0.1" in body, body
        token = link[1]
        assert stack.value("select count(*) from access_token t where t::text like %s", f"%{token}%") == 0
        assert browser.post("password-reset/finish", {"token": token, "password": "short"})[0] == 422
        ray.port, ray.origin = browser.port, browser.origin
        lines, thread = open_stream(ray)
        assert browser.post("password-reset/finish", {"token": token, "password": "a new one, long"})[0] == 204
        assert ray.get("session")[0] == 401, "other sessions end"
        thread.join(180)
        assert not thread.is_alive() and "event: end" in lines
        assert browser.post("password-reset/finish", {"token": token, "password": "a new one, long"})[0] == 401
        assert Browser(stack).login("ray", "a new one, long")[0] == 201
        # An address may ask three times an hour; so may an account, from wherever.
        assert [browser.post("password-reset", {"name": "ray@example.org"})[0] for _ in range(2)] == [202, 429]
        assert int(browser.headers["Retry-After"]) > 600
    wait_for(lambda: len(mails(stack)) == 2, "the second mail")
    for _ in range(2):
        with another_dashboard(stack) as port:  # whose count by address begins anew
            assert Browser(stack, port=port).post("password-reset", {"name": "ray"})[0] == 202
            wait_for(lambda: "result" in (stack.state / "log/another.log").read_text(), "it to be looked at")
    assert len(mails(stack)) == 3, "three an hour"
    stack.rows("update access_token set expires_at = now() where kind = 'reset' returning 1")
    token = re.search(r"/reset#([\w-]{43})", mails(stack)[2][1])[1]
    assert Browser(stack).post("password-reset/finish", {"token": token, "password": "a newer one, long"})[0] == 401
    actions = [row[0] for row in stack.rows("select action from audit where actor = 'ray' and action like 'password.reset%%' order by id")]
    assert actions == ["password.reset-request", "password.reset", "password.reset-request", "password.reset-request"], actions


def test_without_a_public_address_no_links_are_sent(stack):
    with another_dashboard(stack, public_url="") as port:
        status, answer = Browser(stack, port=port).post("password-reset", {"name": "ray"})
        assert status == 409 and "public_url" in answer["detail"], answer


# ---- how often ----

def until_refused(browser, path, burst, per_min, since_s=0):
    """Asks until 429 comes: after the burst, and what comes back meanwhile and since. What was answered before."""
    began, seen = time.monotonic() - since_s, []
    while (status := browser.get(path)[0]) != 429:
        seen.append(status)
        assert len(seen) <= burst + 1 + (time.monotonic() - began) * per_min / 60, seen
    assert len(seen) >= burst, seen
    return set(seen)


def test_requests_are_limited_and_told_when_to_come_again(stack):
    person(stack, "busy", "viewer")
    with another_dashboard(stack, limits_general_per_min=6, limits_admin_per_min=12) as port:
        stranger = Browser(stack, port=port)
        assert until_refused(stranger, "devices", 6, 6) == {401}
        assert 0 < int(stranger.headers["Retry-After"]) <= 10 and stranger.headers["RateLimit"].startswith('"general";r=0;t=')
        assert stranger.headers["RateLimit-Policy"] == '"general";q=6;w=60'
        assert until_refused(stranger, "session", 0, 6) <= {401}, "who is not known counts by address"
        assert stranger.send("GET", "/login")[0] == 200 and stranger.send("GET", "/health")[0] == 200
        # Somebody who is known is not held up by strangers at the same address, and a page may ask much at once.
        busy = Browser(stack)
        assert busy.login("busy", PASSWORD)[0] == 201
        busy.port, busy.origin = port, f"https://localhost:{port}"
        assert until_refused(busy, "session", 60, 6) == {200}
        again = Browser(stack)
        again.login("busy", PASSWORD)
        again.port = port
        assert until_refused(again, "session", 0, 6, 30) <= {200}, "more sessions are not more requests"
        key = admin(stack).post("api-keys", {"label": "limit", "expires_in_days": 1})[1]["key"]
        robot = Browser(stack, port=port, key=key)
        assert until_refused(robot, "session", 12, 12) == {200} and robot.headers["RateLimit-Policy"] == '"admin";q=12;w=60'
    with another_dashboard(stack, limits_general_per_min=0, limits_admin_per_min=0) as port:
        free = Browser(stack, port=port)
        assert all(free.get("session")[0] == 401 for _ in range(120)) and "RateLimit" not in free.headers
    sample = run(stack.bin / "muster-dashboard", "--sample-config").stdout
    assert re.search(r"general_per_min = 60\b", sample) and re.search(r"admin_per_min = 100\b", sample), sample


# ---- the page ----

def test_the_pages_of_people(stack):
    browse(stack, "people.mjs")
    assert stack.rows("select role, totp_at is not null from user_account where name = 'nora'") == [("operator", True)]
    wait_for(lambda: stack.value("select count(*) from mail where recipient = 'nora@example.org'") == 1, "the mail")


# ---- the audit ----

AUDITED_ELSEWHERE = {  # handler: where its row of the audit is made
    "reset_ask": "request_password_reset() of the database", "reset_finish": "finish_password_reset() of the database",
}


def test_every_change_leaves_a_row(stack):
    """From the table of routes: the file of each handler that changes something writes to the audit, and every change that was
    made while this module ran did."""
    table = table_of_routes()
    files = {path: path.read_text() for path in SOURCES.glob("*.c")}
    writes = re.compile(r"\b(api_audit|people_commit|change_make)\(|insert into audit")
    missing = []
    for method, pattern, handler, tag in table:
        if method == "GET" or "ROUTE_CHANGES_NOTHING" in tag or handler in AUDITED_ELSEWHERE:
            continue
        source = next(text for text in files.values() if re.search(rf"^void {handler}\(", text, re.M))
        called = [text for path, text in files.items() if path.name == "ask.c"] if "ask_" in source else []
        if not any(writes.search(text) for text in [source, *called]):
            missing.append((method, pattern, handler))
    assert len(table) > 60 and not missing, missing
    assert len({route for route, audited in CHANGES if audited == "yes"}) >= 12, CHANGES
    assert not [change for change in CHANGES if change[1] == "no"], CHANGES
    assert stack.muster("audit", "verify").returncode == 0
