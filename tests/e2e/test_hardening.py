"""What an attacker tries by HTTP: foreign pages, hostile requests, nonsense, and what answers and logs give away."""
import contextlib
import http.client
import json
import os
import re
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

import jsonschema

from page import login_link
from people import PASSWORD, admin, another_dashboard, contract, fresh_dashboard, open_stream, person, set_up_factor, table_of_routes
from stack import run, wait_for
from web import Browser

__all__ = ["contract", "fresh_dashboard"]  # for each test


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


# What comes below a resource: what a key must be for to change it; its first word, or more where that is not all.
KEY_MUST_BE_FOR = {"commands": "commands", "campaigns": "commands", "devices/{id}/wake": "commands", "tokens": "enrolment",
                   "registrations": "enrolment", "preapprovals": "enrolment", "enrollment": "enrolment", "alerts": "alerts",
                   "alert-rules": "alerts", "silences": "alerts", "channels": "alerts", "users": "people", "session": "people",
                   "sessions": "people", "api-keys": "people", "account": "people", "admin-keys": "people", "tenants": "people",
                   "devices": "devices", "groups": "devices", "tags": "devices", "filters": "devices", "bulk": "devices",
                   "exports": "devices", "console": "devices"}


def test_a_key_that_reads_changes_nothing(stack):
    """The key of an administrator of everything, but for "read" alone: each route that changes something says what it takes."""
    boss = admin(stack)
    reads = Browser(stack, key=boss.post("api-keys", {"label": "reads", "expires_in_days": 1, "scopes": ["read"]})[1]["key"])
    before, tried = stack.value("select max(id) from audit"), 0
    for method, pattern, _, tag in table_of_routes():
        if method == "GET" or "PUBLIC" in tag or "SIGNED" in tag:
            continue
        status, answer = reads.send(method, re.sub(r"\{\w+\}", "1", pattern), {})
        if "ROUTE_CHANGES_NOTHING" in tag:
            assert status != 403, (method, pattern, answer)
            continue
        path = pattern.removeprefix("/api/v1/")
        wanted = KEY_MUST_BE_FOR.get(path) or KEY_MUST_BE_FOR[path.split("/")[0]]
        assert status == 403 and f'for read; this request needs "{wanted}"' in answer["detail"], (method, pattern, answer)
        tried += 1
    assert tried > 70 and stack.value("select max(id) from audit") == before
    assert reads.get("devices")[0] == 200, "the key itself is good"


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


def test_a_login_under_way_does_not_outlive_the_old_password(stack):
    """Somebody with the old password comes in just as its owner chooses another: that session ends with the others, or is none."""
    person(stack, "owner", email="owner@example.org")
    thief = Browser(stack)
    with ThreadPoolExecutor(1) as pool, stack.connect() as connection:
        connection.autocommit = False
        # As finish_password_reset() and account/password do it, in the moment before the sessions are ended.
        connection.execute("update user_account set password_hash = 'another' where name = 'owner'")
        answer = pool.submit(thief.login, "owner", PASSWORD)
        wait_for(lambda: stack.value("select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
                                     " and query like '%%access_token%%'"), "the login to wait for the new password")
        connection.execute("update access_token set revoked_at = now() where user_name = 'owner' and revoked_at is null")
        connection.commit()
        status, said = answer.result(180)
    assert status == 401 and "changed" in said["detail"] and not thief.cookie, said
    assert not stack.rows("select from access_token where user_name = 'owner' and kind = 'session' and revoked_at is null")


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
