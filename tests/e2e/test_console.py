"""The live console: a credential that the page gets from the dashboard and shows to the broker, by which it reads what its
person may see and nothing else. Attacked with paho over WebSocket; used by the page in console.mjs."""
import hashlib
import json
import secrets
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import paho.mqtt.client as paho
import pytest
from live import api, token_of
from page import browse
from signing import Key, b64, claims, compact, header
from stack import Device, run, wait_for
from test_stream import account
from web import Browser

TYP = "muster-console+jws"
DENIED = 0x80


class Console:
    """A client that connects as the page does, unless told otherwise."""

    def __init__(self, stack, credential, client_id=None, protocol=paho.MQTTv311, transport="websockets", port="console",
                 will=None, **options):
        clean = {} if protocol == paho.MQTTv5 else {"clean_session": options.pop("clean_session", True)}
        self.client = paho.Client(client_id or credential["client_id"], protocol=protocol, transport=transport, **clean)
        self.client.tls_set_context(ssl.create_default_context(cafile=str(stack.state / "ca/service.crt")))
        self.client.username_pw_set(credential.get("username"), credential.get("password"))
        if will:
            self.client.will_set(will, "offline", qos=1, retain=True)
        self.code, self.granted, self.messages, self.gone = None, {}, [], threading.Event()
        self.client.on_connect = lambda *arguments: setattr(self, "code", int(getattr(arguments[3], "value", arguments[3])))
        self.client.on_subscribe = lambda client, data, mid, granted, *_: self.granted.update({mid: granted[0]})
        self.client.on_message = lambda client, data, message: self.messages.append((message.topic, message.payload))
        self.client.on_disconnect = lambda *_: self.gone.set()
        self.client.connect("localhost", int(credential["url"].rsplit(":", 1)[1]) if "url" in credential else stack.ports[port])
        self.client.loop_start()
        wait_for(lambda: self.code is not None or self.gone.is_set(), "the broker's answer")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop(force=True)

    def subscribe(self, filter_, qos=0):
        """The granted QoS, or DENIED."""
        _, mid = self.client.subscribe(filter_, qos)
        return wait_for(lambda: [self.granted[mid]] if mid in self.granted else None, f"SUBACK of {filter_}")[0]

    def topics(self):
        return {topic for topic, _ in self.messages}


@pytest.fixture(scope="module")
def devices(stack):
    with Device(stack, "con-1") as one, Device(stack, "con-2") as other:
        yield one, other


def credential(stack, token=None, **body):
    """As it is given for devices of one cell."""
    answer = api(stack, token or token_of(stack), "POST", "console", body or {"device": "con-1"})[1]
    assert answer["unreachable"] == [] and len(answer["connections"]) == 1, answer
    return answer["connections"][0]


def signed(stack, key=None, head=None, **members):
    """A credential of our own making, right but for what is given."""
    now = int(time.time())
    client_id = "console." + secrets.token_hex(16)
    payload = {"sub": "eve", "client_id": client_id, "iat": now, "exp": now + 300, "cell": 1, "devices": "con-1"} | members
    key = key or Key(stack.state / "keys/console.pem")
    return {"client_id": client_id, "username": "eve", "password": key.sign(payload, **{"typ": TYP} | (head or {}))}


def test_it_reads_its_devices_and_nothing_else(stack, devices):
    one, other = devices
    answer = credential(stack)
    assert (answer["cell"], answer["topics"]) == (1, ["fleet/v1/con-1/#"]) and answer["url"] == f"wss://localhost:{stack.ports['console']}"
    assert 200 < claims(answer["password"])["exp"] - time.time() <= 300
    with Console(stack, answer) as console:
        assert console.code == 0
        assert console.subscribe("fleet/v1/#") == 0 and console.subscribe("fleet/v1/+/telemetry", 1) == 1
        for filter_ in ("#", "+/#", "$SYS/#", "ops/v1/#", "svc/v1/#", "guard/v1/#", "$CONTROL/#", "$share/ingest/fleet/v1/#",
                        "$share/x/fleet/v1/con-1/telemetry"):
            assert console.subscribe(filter_) == DENIED, filter_
        for device in devices:
            device.publish("telemetry", device.next(battery_pct=50))
            device.publish("event", device.next(type="app.crashed"))
        for device in devices:
            device.wait_stored()
        wait_for(lambda: {"fleet/v1/con-1/telemetry", "fleet/v1/con-1/event", "fleet/v1/con-1/stored"} <= console.topics(),
                 "what its device says")
        assert not [topic for topic in console.topics() if "/con-1/" not in topic]
    assert stack.value("select count(*) from audit where action = 'console.open' and target = 'con-1'") == 1


def test_it_writes_nothing(stack, devices):
    one, _ = devices
    before = len(one.received("command"))
    with Console(stack, credential(stack), will="fleet/v1/con-1/status") as console:
        assert console.code == 0
        for topic in ("fleet/v1/con-1/command", "fleet/v1/con-1/telemetry", "fleet/v1/con-1/status", "ops/v1/op.eve/request",
                      "$CONTROL/muster/v1", "svc/v1/svc.ingest/x"):
            console.client.publish(topic, '{"note":"by a console"}', qos=1, retain=True).wait_for_publish(5)
        assert console.subscribe("fleet/v1/con-1/#") == 0
        one.publish("telemetry", one.next(note="by the device"))
        wait_for(lambda: any(b"by the device" in payload for _, payload in console.messages), "the device's own")
        assert not [payload for _, payload in console.messages if b"by a console" in payload]
        console.client._sock._socket.shutdown(socket.SHUT_RDWR)  # without a goodbye: its will would come
    one.wait_stored()
    assert len(one.received("command")) == before
    assert not stack.rows("select from telemetry where custom->>'note' = 'by a console'")
    assert stack.value("select presence from device_state where device = 'con-1'") != "offline"


def forgeries(stack):
    mine = Key.new(stack.state / f"forged-{secrets.token_hex(4)}.pem")
    now = int(time.time())
    good = signed(stack)
    head, body, signature = good["password"].split(".")
    changed = b64(compact(claims(good["password"]) | {"devices": "*"}))
    none = b64(compact({"alg": "none", "typ": TYP})) + "." + body + "."
    yield "another key", signed(stack, mine)
    yield "another key by the known name", signed(stack, mine, {"kid": header(good["password"])["kid"]})
    yield "changed", good | {"password": f"{head}.{changed}.{signature}"}
    yield "not signed", good | {"password": none}
    yield "alg none with its signature", good | {"password": f"{b64(compact({'alg': 'none', 'typ': TYP}))}.{body}.{signature}"}
    yield "another typ", signed(stack, head={"typ": "muster-command+jws"})
    yield "expired", signed(stack, iat=now - 600, exp=now - 1)
    yield "of the future", signed(stack, iat=now + 600, exp=now + 900)
    yield "for ever", signed(stack, exp=now + 86400)
    yield "for another cell", signed(stack, cell=2)
    yield "for no cell", signed(stack, cell=None)
    yield "for another client id", signed(stack) | {"client_id": "console." + "0" * 32}
    yield "as a device", signed(stack, client_id="con-2") | {"client_id": "con-2"}
    yield "as a service", signed(stack, client_id="svc.ingest") | {"client_id": "svc.ingest"}
    yield "no device", signed(stack, devices="")
    yield "too many devices", signed(stack, devices=" ".join(f"d-{n}" for n in range(51)))
    yield "a device that is none", signed(stack, devices="con-1 fleet/+")
    yield "oversized", signed(stack, pad="x" * 9000)
    yield "huge", good | {"password": "x" * 60000}
    yield "no token", good | {"password": None}
    yield "empty", good | {"password": ""}
    yield "no JSON", good | {"password": Key(stack.state / "keys/console.pem").sign("[", typ=TYP)}
    yield "an API key", good | {"password": token_of(stack)}


def test_forged_credentials_are_refused(stack, devices):
    def code(forged):
        with Console(stack, forged) as console:
            return console.code

    labels, forged = zip(*forgeries(stack))
    with ThreadPoolExecutor(len(labels)) as pool:
        codes = dict(zip(labels, pool.map(code, forged)))
    assert 0 not in codes.values(), codes
    # Negative control: the same makers make one that holds.
    with Console(stack, signed(stack)) as console:
        assert console.code == 0


def test_a_session_that_would_stay_is_refused(stack, devices):
    for options in ({"clean_session": False}, {"protocol": paho.MQTTv5}):
        with Console(stack, signed(stack), **options) as console:
            assert console.code != 0, options


def test_it_ends_with_its_time(stack, devices):
    for seconds in (3, 10, 60):  # so many as are enough to connect in, here and now
        short = signed(stack, exp=int(time.time()) + seconds)
        with Console(stack, short) as console:
            if console.code != 0 and seconds < 60:
                continue
            assert console.code == 0
            assert console.gone.wait(180), "it is cut when its time is over"
            break
    with Console(stack, short) as console:
        assert console.code != 0, "and not let in again"


def test_there_is_a_ceiling_for_each_person(stack, devices):
    open_ = [Console(stack, signed(stack, sub="many")) for _ in range(10)]
    assert [console.code for console in open_] == [0] * 10
    with Console(stack, signed(stack, sub="many")) as one_more:
        assert one_more.code != 0
    with Console(stack, signed(stack, sub="somebody-else")) as other:
        assert other.code == 0
    open_.pop().__exit__()
    wait_for(lambda: _opens(stack, open_), "room after one was closed")
    for console in open_:
        console.__exit__()


def _opens(stack, open_):
    open_.append(Console(stack, signed(stack, sub="many")))
    return open_[-1].code == 0


def test_the_dashboard_gives_what_may_be_seen(stack, devices):
    stack.rows("insert into tenant (name) values ('east') on conflict do nothing returning 1")
    viewer, bound = account(stack, "vic"), account(stack, "tess", "administrator", "east")

    def asked(token, **body):
        return api(stack, token, "POST", "console", body, check=False)

    (both,) = asked(viewer, devices=["con-1", "con-2", "con-1"])[1]["connections"]
    assert both["topics"] == ["fleet/v1/con-1/#", "fleet/v1/con-2/#"]
    for body, status in (({"device": "none-such"}, 404), ({"device": "con-1/#"}, 422), ({"devices": [7]}, 422), ({}, 422),
                         ({"all": True, "device": "con-1"}, 422), ({"all": True, "cell": 2}, 422), ({"device": "con-1", "cell": 1}, 422), ({"devices": [f"d-{n}" for n in range(51)]}, 422)):
        assert asked(viewer, **body)[0] == status, body
    assert asked(bound, all=True)[0] == 403
    assert asked("", device="con-1")[0] == 401
    stack.rows("update device_state set cell = 7 where device = 'con-2' returning 1")
    try:
        status, answer = asked(viewer, devices=["con-1", "con-2"])
        assert (status, answer["unreachable"]) == (201, [{"device": "con-2", "cell": 7}])
        assert [one["topics"] for one in answer["connections"]] == [["fleet/v1/con-1/#"]]
        assert asked(viewer, device="con-2")[0] == 409
    finally:
        stack.rows("update device_state set cell = 1 where device = 'con-2' returning 1")
    stack.rows("delete from tenant where name not in (select tenant from device union select tenant from user_account"
               " where tenant is not null union select 'default') returning 1")


# ---- its end with the login ----

def reader(stack, name, tenant=None):
    """Somebody who is logged in; the browser."""
    browser = Browser(stack)
    browser.cookie = secrets.token_urlsafe(32)
    stack.rows("insert into user_account (name, role, tenant) values (%s, 'viewer', %s) returning 1", name, tenant)
    give(stack, name, "session", browser.cookie)
    return browser


def give(stack, name, kind, token):
    stack.rows("insert into access_token (token_hash, kind, user_name, last_used, expires_at) values (%s, %s, %s, now(),"
               " now() + interval '1 hour') returning 1", hashlib.sha256(token.encode()).digest(), kind, name)


def make_group(admin, name, *members):
    assert admin.post("groups", {"name": name})[0] == 201
    assert admin.post(f"groups/{name}/devices", {"add": members})[1]["changed"] == len(members)


def entitle(stack, name, *groups):
    for group in groups:
        stack.rows("insert into user_right (user_name, tenant, group_name, role, given_by) values (%s, 'default', %s, 'viewer',"
                   " 'test') returning 1", name, group)


def asked(browser, device="con-1"):
    status, answer = browser.post("console", {"device": device})
    assert status == 201, answer
    return answer["connections"][0]


def code(stack, shown):
    with Console(stack, shown) as console:
        return console.code


def reset(stack, admin, name, browser):
    token = secrets.token_urlsafe(32)
    give(stack, name, "reset", token)
    return Browser(stack).post("password-reset/finish", {"token": token, "password": "correct horse battery"})[0]


def ended_remotely(stack, admin, name, browser):
    (session,) = [row["id"] for row in admin.get(f"sessions?user={name}")[1]["items"]]
    return admin.delete(f"sessions/{session}")[0]


ENDS = {
    "logs-out": lambda stack, admin, name, browser: browser.delete("session")[0],
    "is-ended": ended_remotely,
    "is-disabled": lambda stack, admin, name, browser: admin.patch(f"users/{name}", {"enabled": False})[0],
    "is-promoted": lambda stack, admin, name, browser: admin.patch(f"users/{name}", {"role": "operator"})[0],
    "gets-rights": lambda stack, admin, name, browser: admin.send(
        "PUT", f"users/{name}/rights", {"rights": [{"group": "con-group", "role": "viewer"}]})[0],
    "loses-rights": lambda stack, admin, name, browser: admin.send("PUT", f"users/{name}/rights", {"rights": []})[0],
    "forgot": reset,
    "is-deleted": lambda stack, admin, name, browser: admin.delete(f"users/{name}")[0],
}


def test_it_ends_with_the_login(stack, devices, record_property):
    """However that ends: the socket is cut at once, nobody else's is, and the credential counts no more, nor after the broker
    was started anew. Nor does one that was never shown."""
    admin = Browser(stack, key=token_of(stack))
    make_group(admin, "con-group", "con-1")
    bystander = asked(reader(stack, "bystander"))
    shown = []
    with Console(stack, bystander) as other:
        assert other.code == 0 and other.subscribe("fleet/v1/con-1/#") == 0
        for name, end in ENDS.items():
            browser = reader(stack, name, "default" if name.endswith("-rights") else None)
            if name == "loses-rights":
                entitle(stack, name, "con-group")
            in_use, in_hand = asked(browser), asked(browser)
            shown += [in_use, in_hand]
            with Console(stack, in_use) as console:
                assert console.code == 0 and console.subscribe("fleet/v1/con-1/#") == 0, name
                since = time.monotonic()
                assert end(stack, admin, name, browser) in (200, 204), name
                assert console.gone.wait(180), f"the console of one who {name}"
                record_property(name, round(time.monotonic() - since, 3))
        devices[0].publish("event", devices[0].next(type="app.crashed", app="after all"))
        wait_for(lambda: any(b"after all" in payload for _, payload in other.messages), "the bystander's messages")
        assert not other.gone.is_set()

    def refused():
        with ThreadPoolExecutor(len(shown)) as pool:
            return [number != 0 for number in pool.map(lambda one: code(stack, one), shown)]

    assert refused() == [True] * len(shown)
    stack.muster("stack", "restart", "broker")
    wait_for(lambda: code(stack, bystander) == 0, "consoles to be let in again")
    assert refused() == [True] * len(shown)
    for device in devices:
        wait_for(device.client.is_connected, "the device to be back")


def test_an_api_key_that_is_revoked_ends_its_consoles(stack, devices):
    key = account(stack, "keyed")
    with Console(stack, credential(stack, key)) as console:
        assert console.code == 0
        stack.rows("update access_token set revoked_at = now() where user_name = 'keyed' returning 1")
        assert console.gone.wait(180)
    assert api(stack, key, "POST", "console", {"device": "con-1"}, check=False)[0] == 401


def test_a_login_that_ends_meanwhile_gets_no_credential(stack, devices):
    browser = reader(stack, "racer")
    with ThreadPoolExecutor(1) as pool, stack.connect() as connection:
        connection.autocommit = False
        connection.execute("update access_token set revoked_at = now() where user_name = 'racer'")
        answer = pool.submit(browser.post, "console", {"device": "con-1"})
        wait_for(lambda: stack.value("select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
                                     " and query like '%%open_console%%'"), "the dashboard to wait for the logout")
        connection.commit()
        assert answer.result(180)[0] == 401


# ---- its end with a device ----

@pytest.fixture
def groups(stack, devices):
    """con-a has both devices, con-b the first, con-q whatever has a tag; and somebody who administers all."""
    admin = Browser(stack, key=token_of(stack))
    for name, members in (("con-a", ["con-1", "con-2"]), ("con-b", ["con-1"])):
        make_group(admin, name, *members)
    assert admin.post("devices/con-1/tags", {"add": ["con-tag"]})[0] == 200
    assert admin.post("groups", {"name": "con-q", "query": "tag:con-tag"})[0] == 201
    yield admin
    stack.rows("delete from user_right where group_name in ('con-a', 'con-b') returning 1")
    stack.rows("delete from device_group where name in ('con-a', 'con-b', 'con-q') returning 1")


class Readers:
    """Open consoles by name, each of which reads."""

    def __init__(self, stack, devices, **credentials):
        self.devices = {device.name: device for device in devices}
        self.open = {name: Console(stack, shown) for name, shown in credentials.items()}
        for name, console in self.open.items():
            assert console.code == 0 and console.subscribe("fleet/v1/#") == 0, name

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for console in self.open.values():
            console.__exit__()

    def are_cut(self, *names):
        """These and no others: what their devices say afterwards comes."""
        for name in names:
            assert self.open.pop(name).gone.wait(180), f"the console of {name}"
        note = secrets.token_hex(8)
        for device in self.devices.values():
            device.publish("event", device.next(type="app.crashed", app=note))
        for name, console in self.open.items():
            wait_for(lambda: any(note.encode() in payload for _, payload in console.messages), f"what {name} reads", 180)
            assert not console.gone.is_set(), name


def test_it_ends_when_its_device_leaves(stack, devices, groups, record_property):
    """A group or the tenant, for those alone who see the device no more; what a device reports of itself ends nothing."""
    stack.rows("insert into tenant (name) values ('con-west') returning 1")
    tied, twice, whole = (reader(stack, name, "default") for name in ("tied", "twice", "whole"))
    entitle(stack, "tied", "con-a")
    entitle(stack, "twice", "con-a", "con-b")
    shown = {"tied": asked(tied), "tied_to_another": asked(tied, "con-2"), "twice": asked(twice), "whole": asked(whole),
             "everywhere": asked(reader(stack, "everywhere"))}
    with Readers(stack, devices, **shown) as readers:
        assert groups.post("devices/con-1/tags", {"remove": ["con-tag"]})[0] == 200  # con-q has lost it
        since = time.monotonic()
        assert groups.post("groups/con-a/devices", {"remove": ["con-1"]})[0] == 200
        readers.are_cut("tied")
        record_property("group", round(time.monotonic() - since, 3))
        assert (code(stack, shown["tied"]) == 0, tied.post("console", {"device": "con-1"})[0]) == (False, 404)
        since = time.monotonic()
        assert groups.post("devices/con-1/move", {"tenant": "con-west"})[0] == 200
        readers.are_cut("twice", "whole")
        record_property("tenant", round(time.monotonic() - since, 3))
        assert groups.post("devices/con-1/move", {"tenant": "default"})[0] == 200
        readers.are_cut()
    assert code(stack, shown["whole"]) != 0, "what has ended stays so when the device is back"


def test_a_device_that_leaves_meanwhile_is_not_given(stack, devices, groups):
    browser = reader(stack, "leaving", "default")
    entitle(stack, "leaving", "con-a")
    with ThreadPoolExecutor(1) as pool, stack.connect() as connection:
        connection.autocommit = False
        connection.execute("delete from device_group_member where group_name = 'con-a' and device = 'con-2'")
        answer = pool.submit(browser.post, "console", {"device": "con-2"})
        wait_for(lambda: stack.value("select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
                                     " and query like '%%open_console%%'"), "the dashboard to wait for the group")
        connection.commit()
        assert answer.result(180)[0] == 404


def test_nobody_else_ends_a_console(stack, devices):
    one, other = devices
    stack.rows("insert into tenant (name) values ('con-east') returning 1")
    browser, foreign = reader(stack, "kept"), Browser(stack, key=account(stack, "con-eve", "administrator", "con-east"))
    shown = asked(browser)
    order = json.dumps({"op": "consoles", "ended": [f"{shown['client_id']} {int(time.time()) + 300}"], "complete": True})
    with Console(stack, shown) as console, Console(stack, signed(stack)) as eve:
        assert console.subscribe("fleet/v1/con-1/#") == 0 and eve.code == 0
        for client in (other.client, eve.client):
            client.publish("$CONTROL/muster/v1", order, qos=1).wait_for_publish(5)
        for service in ("ingest", "bridge", "dashboard"):
            certificate = stack.state / f"certs/{service}.crt"
            if not certificate.exists():
                continue
            run("mosquitto_pub", "-V", "5", "-h", "localhost", "-p", stack.ports["services"], "--cafile",
                stack.state / "ca/service.crt", "--cert", certificate, "--key", certificate.with_suffix(".key"), "-i",
                f"svc.{service}.eve", "-q", "1", "-t", "$CONTROL/muster/v1", "-m", order, check=False)
        (session,) = [row["id"] for row in browser.get("sessions")[1]["items"]]
        assert foreign.delete(f"sessions/{session}")[0] == 404
        assert foreign.patch("users/kept", {"enabled": False})[0] == 404
        one.publish("event", one.next(type="app.crashed", app="still read"))
        wait_for(lambda: any(b"still read" in payload for _, payload in console.messages), "the console to read on")
        assert not console.gone.is_set()
    assert code(stack, shown) == 0


def test_the_page(stack, devices):
    """In a browser, with real messages; its credential is renewed while it looks."""
    stop = threading.Event()

    def report():
        while not stop.wait(0.2):
            devices[0].publish("telemetry", devices[0].next(battery_pct=61, note="<img src=x onerror='window.injected=1'>"))

    thread = threading.Thread(target=report)
    thread.start()
    try:
        browse(stack, "console.mjs", device="con-1", other="con-2")
    finally:
        stop.set()
        thread.join()
