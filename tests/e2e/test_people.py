"""People: accounts, the second factor, sessions, API keys, forgotten passwords, and how often anybody may ask."""
import json
import re
import threading
import time

from page import browse, login_link
from people import (
    CHANGES, PASSWORD, SOURCES, admin, another_dashboard, codes_of, contract, fresh_code, fresh_dashboard, open_stream, person, set_up_factor, table_of_routes)
from stack import run, wait_for
from web import Browser

__all__ = ["contract", "fresh_dashboard"]  # for each test
ROLES = ("viewer", "operator", "administrator", "auditor")


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
    assert stack.muster("audit", "verify").returncode == 0
