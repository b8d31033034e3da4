"""Who gets what: every route of the API, asked by every role and by people of another tenant or with rights in one group.

The routes come from the dashboard itself (openapi.json, which a unit test holds against the table of routes); what is
expected stands in RULES below, and a route without a rule fails. All that belongs to the tenant acme carries a marker:
mkin-... what is in the group mkin-shelf, mkout-... the rest. No answer may hold a marker that the person may not see."""
import hashlib
import http.client
import itertools
import json
import re
import secrets
import ssl
import uuid

import pytest

numbers = itertools.count(1)
MARKER = re.compile(r"mk(?:in|out)[a-z0-9.-]*")

# ---- people ----
# name: (tenant, role, rights in groups)
PEOPLE = {
    "viewer": ("acme", "viewer", {}),
    "operator": ("acme", "operator", {}),
    "administrator": ("acme", "administrator", {}),
    "auditor": ("acme", "auditor", {}),
    "foreign": ("globex", "administrator", {}),  # of another tenant
    "bound": ("acme", "administrator", {"mkin-shelf": "operator"}),  # the right counts, not the account's role
    "reader": ("acme", "administrator", {"mkin-shelf": "viewer"}),
    "owner": (None, "administrator", {}),  # of all tenants
}


class Person:
    """Asks over one connection that stays open, by an API key."""

    def __init__(self, stack, name, key=None):
        context = ssl.create_default_context(cafile=str(stack.state / "ca/service.crt"))
        self.connection = http.client.HTTPSConnection("localhost", stack.ports["dashboard"], context=context, timeout=20)
        self.name, self.key, self.sent = name, key, ""

    def ask(self, method, path, body=None):
        """(status, text of the body); of a stream the beginning alone."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        text = None
        self.sent += f" {path} {json.dumps(body)}"
        if body is not None:
            text = json.dumps(body)
            headers["Content-Type"] = "application/json"
        self.connection.request(method, path, text, headers)
        answer = self.connection.getresponse()
        if answer.headers.get("Content-Type", "").startswith("text/event-stream"):
            self.connection.close()
            return answer.status, ""
        return answer.status, answer.read().decode(errors="replace")


def api_key(stack, name):
    key = secrets.token_urlsafe(32)
    stack.rows("insert into access_token (token_hash, kind, user_name, label, expires_at) values (%s, 'api', %s, 'test',"
               " now() + interval '1 hour') returning 1", hashlib.sha256(key.encode()).digest(), name)
    return key


# ---- what there is of acme: one function each, which makes a new one by SQL and returns how it is named ----
class Things:
    def __init__(self, stack):
        self.connection = stack.connect()
        self.run = self.connection.execute

    def value(self, sql, *params):
        return self.run(sql, params).fetchone()[0]

    def device(self, side):
        name = f"mk{side}-{next(numbers)}"
        self.run("insert into device (device, display_name, tags, tenant) values (%s, %s, %s, 'acme')",
                 (name, f"{name}-name", [f"{name}-tag"]))
        self.run("insert into device_state (device, presence, last_seen, presence_since) values (%s, 'offline', now(), now())",
                 (name,))
        if side == "in":
            self.run("insert into device_group_member (tenant, group_name, device, added_by)"
                     " values ('acme', 'mkin-shelf', %s, 'mkin-maker')", (name,))
        self.run("insert into inventory values (%s, 'hardware', now(), now(), %s)",
                 (name, json.dumps({"model": f"{name}-model"})))
        self.run("insert into ledger (device, epoch, received) values (%s, %s, 5)", (name, f"{name}-epoch"))
        self.run("insert into event (device, epoch, seq, ts, received_at, measured_at, type, body) values"
                 " (%s, 'e', 1, now(), now(), now(), 'boot', %s)", (name, json.dumps({"note": f"{name}-event"})))
        self.run("insert into telemetry (device, epoch, seq, ts, received_at, measured_at, battery_pct) values"
                 " (%s, 'e', 1, now(), now(), now(), 50)", (name,))
        self.run("insert into certificate (serial, device, key_sha256, sha256, not_before, not_after, pem) values"
                 " (%s, %s, %s, 'x', now(), now() + interval '1 day', 'x')", (f"{name}-serial", name, f"{name}-key"))
        self.run("insert into device_push (device, token) values (%s, 'x')", (name,))
        return name

    def revoked(self, side):
        name = self.device(side)
        self.run("select revoke_device(%s, %s, 'test')", (name, f"{name}-why"))
        return name

    def command(self, side):
        name = self.device(side)
        return str(self.value("insert into command (device, action, requested_by, not_before, request_id) values"
                              " (%s, 'ping', %s, now() + interval '1 hour', %s) returning id", name, f"{name}-who", f"{name}-rid"))

    def output(self, side):
        command = self.command(side)
        self.run("insert into command_output select device, id::text, 0, 'e', 1, now(), now(), device || '-out', true, false"
                 " from command where id = %s", (command,))
        return command

    def group(self, side):
        name = f"mkout-group-{next(numbers)}"
        self.run("insert into device_group (tenant, name, description, created_by) values ('acme', %s, %s, 'x')", (name, name))
        return name

    def filter(self, side):
        name = f"mkin-filter-{next(numbers)}"  # those in groups use the tenant's filters
        self.run("insert into saved_filter (tenant, name, query, created_by) values ('acme', %s, 'tag:x', 'x')", (name,))
        return name

    def campaign(self, side):
        name = f"mk{side}-campaign-{next(numbers)}"
        return self.value("insert into campaign (tenant, groups, name, action, ttl_s, created_by, devices) values"
                          " ('acme', %s, %s, 'ping', 60, 'x', '{}') returning id",
                          ["mkin-shelf"] if side == "in" else None, name)

    def running(self, side):
        which = self.campaign(side)
        self.run("update campaign set state = 'paused' where id = %s", (which,))
        return which

    def token(self, side):
        token = secrets.token_hex(32)
        self.run("insert into enrollment_token (tenant, token_hash, id, tags, created_by, expires_at) values"
                 " ('acme', decode(%s, 'hex'), left(%s, 8), %s, 'x', now() + interval '1 hour')",
                 (token, token, [f"mkout-token-{next(numbers)}"]))
        return token[:8]

    def registration(self, side):
        name = secrets.token_hex(8)
        self.run("insert into registration (tenant, secret_hash, id, key_sha256, csr, wish) values"
                 " ('acme', decode(md5(%s) || md5(%s), 'hex'), %s, %s, 'x', %s)",
                 (name, name, name, name, f"mkout-wish-{next(numbers)}"))
        return name

    def key(self, side):
        name = secrets.token_hex(8)
        self.run("insert into admin_key (tenant, id, label, created_by) values ('acme', %s, %s, 'x')",
                 (name, f"mkout-key-{next(numbers)}"))
        return name

    def user(self, side):
        name = f"mkout-user-{next(numbers)}"
        self.run("insert into user_account (tenant, name, role) values ('acme', %s, 'viewer')", (name,))
        return name

    def tenant(self, side):
        name = f"mkout-tenant-{next(numbers)}"
        self.run("insert into tenant (name) values (%s)", (name,))
        return name

    def fleet(self):
        """Some of everything, so that lists have something to hide."""
        for side in ("in", "out"):
            self.revoked(side)
            self.output(side)
            self.campaign(side)
        for make in (self.group, self.filter, self.token, self.registration, self.key, self.user):
            make("out")
        self.run("insert into audit (actor, action, target) values ('mkout-actor', 'test', 'x')")
        self.run("insert into campaign_target (campaign, device, place) select c.id, d.device, 1 from campaign c, device d"
                 " where c.name like 'mk%-campaign-%' and d.device like 'mk%'")


# ---- what is expected ----
# Order of the statuses: anonymous viewer operator administrator auditor foreign bound reader owner. People in groups ask for
# things in their group, and then for things outside it, where the last number is expected.
READ = "401 200 200 200 200 404 200 200 200 404"
LISTED = "401 200 200 200 200 200 200 200 200"
ADMIN_LIST = "401 403 403 200 403 200 403 403 200"
ALL_ONLY = "401 403 403 403 403 403 403 403"


class Rule:
    def __init__(self, statuses, thing=None, path=None, body=None, query=""):
        """thing: the name of the function that makes {id} or {name}; body may be a function of the thing's name."""
        self.thing, self.body, self.query = thing, body, query
        self.statuses = [int(word) for word in statuses.split()]


def act(done, other=404, viewer=403, thing="device", **more):
    """A change of one thing: of operators and administrators, and of those who are that in its group."""
    return Rule(f"401 {viewer} {done} {done} {viewer} {other} {done} {viewer} {done} 404", thing, **more)


def tenant_act(done, other=404, **more):
    """A change of what the tenant shares."""
    return Rule(f"401 403 {done} {done} 403 {other} 403 403 {done}", **more)


def admin(done, other=404, **more):
    return Rule(f"401 403 403 {done} 403 {other} 403 403 {done}", **more)


def new(kind):
    return lambda name: {"name": f"mkout-{kind}-{next(numbers)}"}


RULES = {
    "POST /api/v1/session": Rule("422 422 422 422 422 422 422 422 422", body={}),
    "GET /api/v1/session": Rule(LISTED),
    "DELETE /api/v1/session": Rule("401 422 422 422 422 422 422 422 422"),
    "GET /api/v1/openapi.json": Rule(LISTED),
    "GET /api/v1/overview": Rule(LISTED),
    "GET /api/v1/devices": Rule(LISTED, query="?limit=500"),
    "GET /api/v1/devices/{id}": Rule(READ, "device"),
    "PATCH /api/v1/devices/{id}": act(200, body={"time_zone": "Europe/Oslo"}),
    "GET /api/v1/devices/{id}/telemetry": Rule(LISTED + " 200", "device", query="?metric=battery_pct"),
    "POST /api/v1/devices/{id}/tags": act(200, body={"add": ["blue"]}),
    "POST /api/v1/devices/{id}/revoke": act(200, body={}),
    "POST /api/v1/devices/{id}/restore": Rule("401 403 403 200 403 404 403 403 200 404", "revoked", body={}),
    "POST /api/v1/devices/{id}/wake": act(202, body={}),
    "POST /api/v1/devices/{id}/move": Rule(ALL_ONLY + " 200", "device", body={"tenant": "acme"}),
    "GET /api/v1/tenants": Rule(ALL_ONLY + " 200"),
    "POST /api/v1/tenants": Rule(ALL_ONLY + " 201", body=new("tenant")),
    "PATCH /api/v1/tenants/{name}": Rule(ALL_ONLY + " 200", "tenant", body={"description": "x"}),
    "GET /api/v1/users/{name}/rights": admin(200, thing="user"),
    "PUT /api/v1/users/{name}/rights": admin(200, thing="user", body={"rights": [{"group": "mkin-shelf", "role": "viewer"}]}),
    "GET /api/v1/revocations": Rule(LISTED, query="?all=1"),
    "GET /api/v1/revocations/proofs": Rule(LISTED),
    "GET /api/v1/actions": Rule(LISTED),
    "GET /api/v1/commands": Rule(LISTED, query="?limit=500"),
    "POST /api/v1/commands": Rule("401 403 202 202 403 404 202 403 202 404", "device",
                                  body=lambda name: {"device": name, "action": "ping"}),
    "DELETE /api/v1/commands": Rule("401 403 202 202 403 202 202 403 202 202", "device", query="?device={}"),
    "GET /api/v1/commands/{id}": Rule(READ, "command"),
    "GET /api/v1/commands/{id}/output": Rule(READ, "output"),
    "POST /api/v1/commands/{id}/cancel": act(202, thing="command", body={}),
    "POST /admin/command": Rule("401 401 401 401 401 401 401 401 401", body={}),
    "GET /api/v1/admin-keys": Rule(ADMIN_LIST),
    "POST /api/v1/admin-keys": admin(201, 201, body={"label": "x"}),
    "DELETE /api/v1/admin-keys/{id}": admin(200, thing="key"),
    "GET /api/v1/groups": Rule(LISTED),
    "POST /api/v1/groups": tenant_act(201, 201, body=new("group")),
    "GET /api/v1/groups/{name}": Rule("401 200 200 200 200 404 404 404 200", "group", query="?tenant=acme"),
    "DELETE /api/v1/groups/{name}": tenant_act(200, thing="group", query="?tenant=acme"),
    "POST /api/v1/groups/{name}/devices": tenant_act(200, thing="group", query="?tenant=acme", body={"add": ["nobody"]}),
    "GET /api/v1/filters": Rule(LISTED),
    "POST /api/v1/filters": tenant_act(200, 200, body=lambda name: {"name": f"mkin-f-{next(numbers)}", "query": "tag:x"}),
    "DELETE /api/v1/filters/{name}": tenant_act(200, thing="filter", query="?tenant=acme"),
    "GET /api/v1/campaigns": Rule(LISTED),
    "POST /api/v1/campaigns": Rule("401 403 201 201 403 201 201 403 201", body=lambda name: {
        "name": f"x{next(numbers)}", "action": "ping", "target": {"tag": f"none-{next(numbers)}"}}),
    "POST /api/v1/campaigns/preview": Rule("401 403 200 200 403 200 200 403 200",
                                           body={"name": "x", "action": "ping", "target": {"all": True}}),
    "GET /api/v1/campaigns/{id}": Rule(READ, "campaign"),
    "GET /api/v1/campaigns/{id}/targets": Rule(LISTED + " 200", "campaign"),
    "POST /api/v1/campaigns/{id}/start": act(200, thing="campaign", body={}),
    "POST /api/v1/campaigns/{id}/pause": act(409, thing="campaign", body={}),
    "POST /api/v1/campaigns/{id}/resume": act(200, thing="running", body={}),
    "POST /api/v1/campaigns/{id}/abort": act(200, thing="campaign", body={}),
    "POST /api/v1/campaigns/{id}/approve": act(200, thing="campaign", body={}),
    "GET /api/v1/events": Rule(LISTED, query="?limit=500"),
    "GET /api/v1/registrations": Rule(LISTED),
    "GET /api/v1/registrations/{id}": Rule("401 200 200 200 200 404 404 404 200", "registration"),
    "POST /api/v1/registrations/{id}/approve": admin(200, thing="registration", body={}),
    "POST /api/v1/registrations/{id}/reject": admin(200, thing="registration", body={}),
    "GET /api/v1/tokens": Rule(ADMIN_LIST),
    "POST /api/v1/tokens": admin(201, 201, body={}),
    "GET /api/v1/tokens/{id}": admin(200, thing="token"),
    "DELETE /api/v1/tokens/{id}": admin(200, thing="token"),
    "GET /api/v1/enrollment/script": admin(404, 404, query="?os=bash"),  # this stack has no package to give out
    "POST /api/v1/enrollment/script": admin(404, 404, body={"os": "bash"}),
    "GET /api/v1/stream": Rule(LISTED),
    "GET /api/v1/audit": Rule("401 403 403 200 200 200 403 403 200", query="?limit=500"),
    "GET /api/v1/audit/verify": Rule("401 403 403 200 200 200 403 403 200"),
}
ORDER = ["anonymous", *PEOPLE]


@pytest.fixture(scope="module")
def acme(stack):
    """The tenants, their people and acme's things: (people by name, things)."""
    things = Things(stack)
    for tenant in ("acme", "globex"):
        things.run("insert into tenant (name) values (%s)", (tenant,))
    things.run("insert into device_group (tenant, name, created_by) values ('acme', 'mkin-shelf', 'x')")
    people = {"anonymous": Person(stack, "anonymous")}
    for name, (tenant, role, rights) in PEOPLE.items():
        things.run("insert into user_account (tenant, name, role) values (%s, %s, %s)", (tenant, f"p-{name}", role))
        for group, of_role in rights.items():
            things.run("insert into user_right (user_name, tenant, group_name, role, given_by) values (%s, 'acme', %s, %s, 'x')",
                       (f"p-{name}", group, of_role))
        people[name] = Person(stack, name, api_key(stack, f"p-{name}"))
    things.fleet()
    yield people, things
    things.connection.close()


def unseen(name, sent, text):
    """The markers in an answer that this person may not see; what the person has said before does not count."""
    found = set(MARKER.findall(text)) - set(MARKER.findall(sent))
    if name in ("anonymous", "foreign"):
        return found
    if name in ("bound", "reader"):
        return {marker for marker in found if marker.startswith("mkout")}
    return set()


def tries(rule):
    """(person, side, expected status): each person once, those in groups also for what is outside."""
    statuses = dict(zip(ORDER, rule.statuses))
    for name in ORDER:
        yield name, "in", statuses[name]
    if rule.thing and len(rule.statuses) > len(ORDER):
        for name in ("bound", "reader"):  # whom no group allows it is told so before it is looked up
            yield name, "out", 403 if statuses[name] == 403 else rule.statuses[-1]


def test_every_route_and_every_role(acme):
    people, things = acme
    _, text = people["owner"].ask("GET", "/api/v1/openapi.json")
    routes = [f"{method.upper()} {path}" for path, item in json.loads(text)["paths"].items() for method in item]
    assert set(routes) == set(RULES), "each route needs a rule here, and each rule a route"
    wrong, asked = [], 0
    for route in routes:
        rule = RULES[route]
        method, pattern = route.split(" ")
        for name, side, expected in tries(rule):
            thing = getattr(things, rule.thing)(side) if rule.thing else ""
            path = re.sub(r"{\w+}", str(thing), pattern) + rule.query.format(thing)
            body = rule.body(thing) if callable(rule.body) else rule.body
            status, answer = people[name].ask(method, path, body)
            hidden = unseen(name, people[name].sent, answer)
            asked += 1
            if status != expected or hidden:
                wrong.append(f"{name:14} {method} {path}: {status}, expected {expected} {hidden or ''} {answer[:160]}")
    assert not wrong, f"{len(wrong)} of {asked}:\n" + "\n".join(wrong)
    assert asked > 500


def test_lists_are_not_empty_for_those_who_may(acme):
    """The negative control: what the others must not see is there to be seen."""
    people, _ = acme
    for path in ("devices?limit=500", "commands?limit=500", "events?limit=500", "revocations?all=1", "groups", "filters",
                 "campaigns", "registrations", "tokens", "admin-keys"):
        for name in ("administrator", "owner"):
            status, text = people[name].ask("GET", f"/api/v1/{path}")
            assert status == 200 and MARKER.search(text), (name, path, text[:200])
    for path in ("devices?limit=500", "commands?limit=500", "events?limit=500", "revocations?all=1", "groups", "campaigns"):
        status, text = people["bound"].ask("GET", f"/api/v1/{path}")
        assert status == 200 and "mkin" in text, (path, text[:200])
