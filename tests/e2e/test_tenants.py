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
import time

import psycopg
import pytest

from contract import Contract
from stack import run, wait_for

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
        self.connection = http.client.HTTPSConnection("localhost", stack.ports["dashboard"], context=context, timeout=180)
        self.stack, self.name, self.key, self.sent, self.media = stack, name, key, "", ""
        self.used_s = time.monotonic()

    def ask(self, method, path, body=None):
        """(status, text of the body); of a stream the beginning alone."""
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        text = None
        self.sent += f" {path} {json.dumps(body)}"
        if body is not None:
            text = json.dumps(body)
            headers["Content-Type"] = "application/json"
        if time.monotonic() - self.used_s > 15:  # idle for 30 s, it would be cut
            self.connection.close()
        self.used_s = time.monotonic()
        self.connection.request(method, path, text, headers)
        answer = self.connection.getresponse()
        self.media = answer.headers.get("Content-Type", "")
        if self.media.startswith("text/event-stream"):
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

    def export(self, side):
        return str(self.value("insert into export (tenant, requested_by, kind, format, columns, state) values ('acme',"
                              " 'mkin-maker', 'devices', 'csv', '{device}', 'done') returning id"))
    def alert(self, side):
        name = self.device(side)
        return str(self.value("insert into alert (tenant, rule_name, kind, severity, object, device, title, since) values"
                              " ('acme', %s, 'fingerprint', 'info', %s, %s, %s, now()) returning id",
                              f"{name}-rule", name, name, f"{name}-title"))

    def alert_rule(self, side):
        name = f"mkin-rule-{next(numbers)}"  # those in groups see what is looked for
        return str(self.value("insert into alert_rule (tenant, name, kind, enabled, created_by) values ('acme', %s, 'disk', true, 'x')"
                              " returning id", name))

    def silence(self, side):
        return str(self.value("insert into alert_silence (tenant, until_at, reason, created_by) values ('acme', now() + interval"
                              " '1 hour', %s, 'x') returning id", f"mkout-why-{next(numbers)}"))

    def channel(self, side):
        return str(self.value("insert into alert_channel (tenant, name, kind, url, secret_salt, created_by) values ('acme', %s,"
                              " 'webhook', 'https://example.org', 'x', 'x') returning id", f"mkout-channel-{next(numbers)}"))

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

    def bulk(self, side):
        return self.value("insert into device_bulk (tenant, verb, params, query, total, created_by) values"
                          " ('acme', 'tag', %s, 'tag:none', 0, 'mkout-maker') returning id",
                          json.dumps({"add": [f"mkout-bulk-{next(numbers)}"]}))

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

    def preapproval(self, side):
        name = f"mkout-serial-{next(numbers)}"
        self.run("insert into preapproved (tenant, serial, created_by) values ('acme', %s, 'x')", (name,))
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

    def access_token(self, kind):
        return self.value("insert into access_token (token_hash, kind, user_name, expires_at) values (%s, %s, %s, now() +"
                          " interval '1 hour') returning id", secrets.token_bytes(32), kind, self.user("out"))

    def session(self, side):
        return self.access_token("session")

    def api_key(self, side):
        return self.access_token("api")

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
        for make in (self.group, self.filter, self.token, self.registration, self.preapproval, self.key, self.user):
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
PAGE_ONLY = "401 403 403 403 403 403 403 403 403"  # what no API key may do; these people use keys
ALL_ONLY = "401 403 403 403 403 403 403 403"


class Rule:
    def __init__(self, statuses, thing=None, path=None, body=None, query=""):
        """thing: the name of the function that makes {id} or {name}; body may be a function of the thing's name."""
        self.thing, self.body, self.query = thing, body, query
        self.statuses = [int(word) for word in statuses.split()]


def act(done, other=404, viewer=403, thing="device", **more):
    """A change of one thing: of operators and administrators, and of those who are that in its group."""
    return Rule(f"401 {viewer} {done} {done} {viewer} {other} {done} {viewer} {done} {other}", thing, **more)


def tenant_act(done, other=404, **more):
    """A change of what the tenant shares."""
    return Rule(f"401 403 {done} {done} 403 {other} 403 403 {done}", **more)


def admin(done, other=404, **more):
    return Rule(f"401 403 403 {done} 403 {other} 403 403 {done}", **more)


def tagging(device):
    return {"verb": "tag", "params": {"add": ["blue"]}, "target": {"devices": [device]}, "expect": 1}


def new(kind):
    return lambda name: {"name": f"mkout-{kind}-{next(numbers)}"}


SCRIPT = -1  # 200 where packages of the agent were built, which the stack then gives out; 404 where not

RULES = {
    "POST /api/v1/session": Rule("422 422 422 422 422 422 422 422 422", body={}),
    "GET /api/v1/session": Rule(LISTED),
    "DELETE /api/v1/session": Rule("401 422 422 422 422 422 422 422 422"),
    "POST /api/v1/password-reset": Rule("422 422 422 422 422 422 422 422 422", body={}),
    "POST /api/v1/password-reset/finish": Rule("422 422 422 422 422 422 422 422 422", body={}),
    "GET /api/v1/account": Rule(LISTED),
    "POST /api/v1/account/password": Rule(PAGE_ONLY, body={}),
    "POST /api/v1/account/totp": Rule(PAGE_ONLY, body={}),
    "POST /api/v1/account/totp/confirm": Rule(PAGE_ONLY, body={"code": "1"}),
    "POST /api/v1/account/totp/remove": Rule(PAGE_ONLY, body={"code": "1"}),
    "POST /api/v1/account/recovery-codes": Rule(PAGE_ONLY, body={"code": "1"}),
    "GET /api/v1/sessions": Rule(LISTED),
    "DELETE /api/v1/sessions": Rule("401 204 204 204 204 204 204 204 204"),
    "DELETE /api/v1/sessions/{id}": Rule("401 404 404 204 404 404 404 404 204", "session"),
    "GET /api/v1/api-keys": Rule(LISTED),
    "POST /api/v1/api-keys": Rule(PAGE_ONLY, body={"label": "x", "expires_in_days": 1}),
    "DELETE /api/v1/api-keys/{id}": Rule("401 404 404 200 404 404 404 404 200", "api_key"),
    "GET /api/v1/users": Rule(ADMIN_LIST, query="?limit=500"),
    "POST /api/v1/users": admin(201, 201, body=lambda name: new("user")(name) | {"role": "viewer"}),
    "GET /api/v1/users/{name}": admin(200, thing="user"),
    "PATCH /api/v1/users/{name}": admin(200, thing="user", body={"email": None}),
    "DELETE /api/v1/users/{name}": admin(204, thing="user"),
    "POST /api/v1/users/{name}/login-link": admin(201, thing="user", body={}),
    "DELETE /api/v1/users/{name}/totp": admin(404, thing="user"),  # who has none
    "GET /api/v1/openapi.json": Rule(LISTED),
    "GET /api/v1/overview": Rule(LISTED),
    "GET /api/v1/system": Rule("401 403 403 403 403 403 403 403 200"),
    "GET /api/v1/devices": Rule(LISTED, query="?limit=500"),
    "GET /api/v1/devices/count": Rule(LISTED, query="?marks=50&sort=name"),
    "POST /api/v1/devices/bulk": Rule("401 403 200 200 403 409 200 403 200 409", "device", body=tagging),
    "POST /api/v1/devices/bulk/preview": Rule("401 403 200 200 403 200 200 403 200 200", "device", body=tagging),
    "GET /api/v1/bulk": Rule(LISTED),
    "GET /api/v1/bulk/{id}": Rule("401 200 200 200 200 404 404 404 200", "bulk"),
    "DELETE /api/v1/bulk/{id}": Rule("401 403 200 200 403 404 404 403 200", "bulk"),
    "GET /api/v1/devices/{id}": Rule(READ, "device"),
    "PATCH /api/v1/devices/{id}": act(200, body={"time_zone": "Europe/Oslo"}),
    "GET /api/v1/devices/{id}/telemetry": Rule(LISTED + " 200", "device", query="?metric=battery_pct"),
    "GET /api/v1/devices/{id}/inventory/changes": Rule(LISTED + " 200", "device"),
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
    "GET /api/v1/alerts": Rule(LISTED, query="?limit=500"),
    "GET /api/v1/alerts/summary": Rule(LISTED),
    "GET /api/v1/alerts/{id}": Rule(READ, "alert"),
    # Of those that are not theirs, none changes.
    "POST /api/v1/alerts/acknowledge": act(200, 200, thing="alert", body=lambda alert: {"ids": [int(alert)]}),
    "POST /api/v1/alerts/{id}/acknowledge": act(200, thing="alert", body={}),
    "POST /api/v1/alerts/{id}/assign": act(200, thing="alert", body={}),
    "POST /api/v1/alerts/{id}/comment": act(200, thing="alert", body={"text": "x"}),
    "POST /api/v1/alerts/{id}/clear": act(200, thing="alert", body={}),
    "GET /api/v1/alert-rules/kinds": Rule(LISTED),
    "GET /api/v1/alert-rules": Rule(LISTED),
    "POST /api/v1/alert-rules": admin(201, 201, body=lambda name: {"name": f"mkin-r-{next(numbers)}", "kind": "disk"}),
    "POST /api/v1/alert-rules/preview": admin(200, 200, body={"kind": "disk"}),
    "GET /api/v1/alert-rules/{id}": Rule("401 200 200 200 200 404 200 200 200", "alert_rule"),
    "PATCH /api/v1/alert-rules/{id}": admin(200, thing="alert_rule", body={"enabled": False}),
    "DELETE /api/v1/alert-rules/{id}": admin(200, thing="alert_rule"),
    "GET /api/v1/silences": Rule(LISTED),
    "POST /api/v1/silences": tenant_act(201, 201, body={"reason": "x", "for_s": 60, "query": "tag:none"}),
    "DELETE /api/v1/silences/{id}": tenant_act(200, thing="silence"),
    "GET /api/v1/channels": Rule("401 403 403 200 200 200 403 403 200"),
    "POST /api/v1/channels": admin(201, 201, body=lambda name: {"name": f"mkout-c-{next(numbers)}", "kind": "email",
                                                                "addresses": ["a@example.org"]}),
    "PATCH /api/v1/channels/{id}": admin(200, thing="channel", body={"enabled": False}),
    "DELETE /api/v1/channels/{id}": admin(200, thing="channel"),
    "POST /api/v1/channels/{id}/test": admin(202, thing="channel", body={}),
    "POST /api/v1/channels/{id}/secret": admin(200, thing="channel", body={}),
    "GET /api/v1/channels/{id}/deliveries": Rule("401 403 403 200 200 200 403 403 200", "channel"),
    "GET /api/v1/groups": Rule(LISTED),
    "POST /api/v1/groups": tenant_act(201, 201, body=new("group")),
    "GET /api/v1/groups/{name}": Rule("401 200 200 200 200 404 404 404 200", "group", query="?tenant=acme"),
    "PATCH /api/v1/groups/{name}": tenant_act(200, thing="group", query="?tenant=acme", body={"description": "x"}),
    "DELETE /api/v1/groups/{name}": tenant_act(200, thing="group", query="?tenant=acme"),
    "POST /api/v1/groups/{name}/devices": tenant_act(200, thing="group", query="?tenant=acme", body={"add": ["nobody"]}),
    "GET /api/v1/tags": Rule(LISTED),
    "POST /api/v1/tags/rename": Rule("401 403 200 200 403 200 200 403 200", body={"tag": "none", "to": "other"}),
    "POST /api/v1/tags/remove": Rule("401 403 200 200 403 200 200 403 200", body={"tag": "none"}),
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
    "GET /api/v1/campaigns/{id}/pace": Rule(READ, "campaign"),
    "POST /api/v1/campaigns/{id}/start": act(200, thing="campaign", body={}),
    "POST /api/v1/campaigns/{id}/pause": act(409, thing="campaign", body={}),
    "POST /api/v1/campaigns/{id}/resume": act(200, thing="running", body={}),
    "POST /api/v1/campaigns/{id}/abort": act(200, thing="campaign", body={}),
    "POST /api/v1/campaigns/{id}/approve": act(200, thing="campaign", body={}),
    "GET /api/v1/events": Rule(LISTED, query="?limit=500"),
    "GET /api/v1/exports": Rule(LISTED),
    "POST /api/v1/exports": Rule("401 202 202 202 202 202 202 202 202", body={"kind": "devices"}),
    "GET /api/v1/exports/kinds": Rule(LISTED),
    "GET /api/v1/exports/{id}": Rule("401 404 404 404 404 404 404 404 404", "export"),  # each is its asker's own
    "GET /api/v1/exports/{id}/file": Rule("401 404 404 404 404 404 404 404 404", "export"),
    "DELETE /api/v1/exports/{id}": Rule("401 404 404 404 404 404 404 404 404", "export"),
    "GET /api/v1/analytics/trends": Rule(LISTED),
    "GET /api/v1/analytics/compare": Rule(LISTED, "device", query="?metric=battery_pct&devices={}"),
    "GET /api/v1/analytics/events": Rule(LISTED),
    "GET /api/v1/analytics/uptime": Rule(LISTED, query="?limit=500"),
    "GET /api/v1/analytics/reporters": Rule(LISTED, query="?limit=500"),
    "GET /api/v1/analytics/scopes": Rule(LISTED),
    "GET /api/v1/registrations": Rule(LISTED),
    "GET /api/v1/registrations/{id}": Rule("401 200 200 200 200 404 404 404 200", "registration"),
    "POST /api/v1/registrations/{id}/approve": admin(200, thing="registration", body={}),
    "POST /api/v1/registrations/{id}/reject": admin(200, thing="registration", body={}),
    "POST /api/v1/registrations/decide": admin(200, 200, body={"verb": "reject", "ids": ["nobody"]}),
    "GET /api/v1/preapprovals": Rule(ADMIN_LIST),
    "POST /api/v1/preapprovals": admin(415, 415, body={}),  # it takes CSV
    "DELETE /api/v1/preapprovals/{serial}": admin(204, thing="preapproval"),
    "GET /api/v1/certificates": Rule(LISTED, query="?state=valid&limit=500"),
    "GET /api/v1/certificates/summary": Rule(LISTED),
    "GET /api/v1/tokens": Rule(ADMIN_LIST),
    "POST /api/v1/tokens": admin(201, 201, body={}),
    "GET /api/v1/tokens/{id}": admin(200, thing="token"),
    "DELETE /api/v1/tokens/{id}": admin(200, thing="token"),
    "GET /api/v1/enrollment/script": admin(SCRIPT, SCRIPT, query="?os=bash"),
    "POST /api/v1/enrollment/script": admin(SCRIPT, SCRIPT, body={"os": "bash"}),
    "GET /api/v1/stream": Rule(LISTED),
    "POST /api/v1/stream/{id}": Rule("401" + " 404" * 9, "device", body={"topics": ["devices"]}),
    "POST /api/v1/console": Rule("401 201 201 201 201 404 201 201 201 404", "device", body=lambda name: {"device": name}),
    "GET /api/v1/audit": Rule("401 403 403 200 200 200 403 403 200", query="?limit=500"),
    "GET /api/v1/audit/verify": Rule("401 403 403 200 200 200 403 403 200"),
}
# What nobody here gets a good answer from; test_people.py and test_hardening.py hold what they get against the document, too.
WELL_ELSEWHERE = {
    "DELETE /api/v1/session", "DELETE /api/v1/users/{name}/totp", "POST /api/v1/session", "POST /api/v1/password-reset",
    "POST /api/v1/password-reset/finish", "POST /api/v1/account/password", "POST /api/v1/account/totp",
    "POST /api/v1/account/totp/confirm", "POST /api/v1/account/totp/remove", "POST /api/v1/account/recovery-codes",
    "POST /api/v1/api-keys", "GET /api/v1/exports/{id}", "GET /api/v1/exports/{id}/file", "DELETE /api/v1/exports/{id}",
    "POST /admin/command", "POST /api/v1/campaigns/{id}/pause", "POST /api/v1/preapprovals", "POST /api/v1/stream/{id}",
}
LOOKED_AT = ("owner", "bound")  # whose answers are held against the document: all that there is, and the narrowest view
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


def test_every_route_and_every_role(stack, acme):
    people, things = acme
    script = 200 if any((stack.state / "agents").glob("*.json")) else 404
    _, text = people["owner"].ask("GET", "/api/v1/openapi.json")
    routes = [f"{method.upper()} {path}" for path, item in json.loads(text)["paths"].items() for method in item]
    assert set(routes) == set(RULES), "each route needs a rule here, and each rule a route"
    contract, wrong, asked = Contract(json.loads(text)), [], 0
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
            expected = script if expected == SCRIPT else expected
            if status != expected or hidden:
                wrong.append(f"{name:14} {method} {path}: {status}, expected {expected} {hidden or ''} {answer[:160]}")
            elif status < 300 and name in LOOKED_AT and (fault := contract.hold(method, path, status, people[name].media, answer)):
                wrong.append(f"not as the document says: {fault}")
    assert not wrong, f"{len(wrong)} of {asked}:\n" + "\n".join(wrong)
    assert asked > 500
    well = {f"{method} {pattern}" for method, pattern, _ in contract.held}
    assert set(routes) - well - {route for route in routes if "enrollment/script" in route} == WELL_ELSEWHERE


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


# ---- what stands beside the rules ----
# Tables that the dashboard may read or write and that have no policies, each with the reason.
NO_POLICY = {
    "scope_member": "a view: says itself that the devices of the scope's groups are all there is",
    "part_state": "how the installation's daemons are: a word of it is for all, the rest a route's",
    "admin_request": "signatures that were taken, found by enter_key() alone",
    "audit_link": "hashes and positions of the audit's rows, which say nothing of them",
    "audit_checkpoint": "as audit_link",
    "authority": "certificates of the installation's authorities, which every device has",
    "rollup_fleet_metric": "names, units and bins of metrics",
    "rollup_state": "one row: how far the installation's rollups are",
    "signer_set": "announcements of signers, which every device gets",
}
# Functions with the owner's rights that the dashboard may call: policies do not bind them, so each must ask by itself.
OWNERS_RIGHTS = {
    "enter", "enter_key",  # make the scope
    "acts", "role_in", "role_on", "may_act", "may_act_on", "scope_acting", "scope_all",  # tell of the scope
    "revoke_device", "restore_device", "tag_device", "request_wake",  # ask may_act
    "move_campaign",  # asks may_act_on
    "purge_commands",  # asks may_act of each command's device
    "tag_devices", "revoke_devices",  # ask may_act of each device
    "refresh_roster",  # takes over what devices report, and tells nothing
    "move_device",  # for people of all tenants
    "device_taken",  # tells that an id is taken, and no more
    "tell_part",  # the caller's own part alone
    "system_facts",  # sizes and ages, no contents; asked by a route for people of all tenants
    "check_audit",  # positions and hashes
    "request_password_reset", "password_reset_user", "finish_password_reset",  # before anybody is known; a link by its hash
    "open_console",  # by a token's hash, and makes its scope
    "use_totp_step", "use_recovery_code",  # before anybody is known; of use with a code only
    "prune_tokens",  # what ended long ago
}


def test_every_table_is_under_policies_or_has_a_reason(stack):
    tables = stack.rows(
        "select c.relname, c.relrowsecurity, has_any_column_privilege('muster_dashboard', c.oid, 'select, insert, update')"
        " or has_table_privilege('muster_dashboard', c.oid, 'delete') from pg_class c"
        " where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm', 'f')")
    reached = {name: rules for name, rules, may in tables if may}
    assert {name for name, rules in reached.items() if not rules} == set(NO_POLICY)
    assert len(reached) > 30
    # Policies of a partitioned table bind those who go through it: nobody may reach its partitions otherwise.
    partitions = stack.rows("select relname from pg_class where relispartition and relkind = 'r'")
    assert partitions and not {name for name, in partitions} & set(reached)


def test_a_table_without_policies_is_noticed(stack):
    """The negative control."""
    with stack.connect() as connection:
        connection.autocommit = False
        connection.execute("create table forgotten (x text)")
        connection.execute("grant select on forgotten to muster_dashboard")
        assert connection.execute("select relrowsecurity, has_table_privilege('muster_dashboard', oid, 'select') from pg_class"
                                  " where relname = 'forgotten'").fetchone() == (False, True)
        connection.rollback()


def test_every_function_with_the_owners_rights_was_looked_at(stack):
    rows = stack.rows("select distinct proname from pg_proc where prosecdef and pronamespace = 'public'::regnamespace"
                      " and prorettype <> 'trigger'::regtype and has_function_privilege('muster_dashboard', oid, 'execute')")
    assert {name for name, in rows} == OWNERS_RIGHTS


def test_without_a_scope_there_is_nothing(stack, acme):
    """What a statement sees that nobody put into a scope: accounts, to let people in, and nothing else."""
    with dashboard_session(stack) as connection:
        for table in ("device", "device_state", "telemetry", "event", "command", "campaign", "device_group", "audit",
                      "registration", "enrollment_token", "certificate", "revocation", "tenant", "user_right"):
            assert connection.execute(f"select count(*) from {table}").fetchone() == (0,), table
        assert connection.execute("select count(*) from user_account").fetchone()[0] >= len(PEOPLE)
        assert connection.execute("select may_act(device) from (values ('mkin-1')) as x (device)").fetchone() == (False,)


def dashboard_session(stack, user="", tenant="", groups=""):
    connection = psycopg.connect(f"host={stack.state}/run port=5432 dbname=muster user=muster_dashboard", autocommit=True)
    for name, value in (("user", user), ("tenant", tenant), ("groups", groups)):
        connection.execute("select set_config(%s, %s, false)", (f"muster.{name}", value))
    return connection


# ---- what a scope keeps from being written, whatever the program forgets ----
@pytest.mark.parametrize("user, groups, side, taken", [
    ("p-operator", "", "in", True), ("p-operator", "", "out", True), ("p-viewer", "", "in", False),
    ("p-auditor", "", "in", False), ("p-bound", "mkin-shelf", "in", True), ("p-bound", "mkin-shelf", "out", False),
    ("p-reader", "mkin-shelf", "in", False), ("", "", "in", False)])
def test_commands_need_the_role_on_the_device(stack, acme, user, groups, side, taken):
    device = acme[1].device(side)
    with dashboard_session(stack, user, "acme", groups) as connection:
        sql = "insert into command (device, action, requested_by) values (%s, 'ping', 'x')"
        if taken:
            connection.execute(sql, (device,))
        else:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql, (device,))
        assert (connection.execute("update device set time_zone = 'UTC' where device = %s", (device,)).rowcount == 1) == taken


def test_another_tenant_cannot_be_written_into(stack, acme):
    things = acme[1]
    device = things.device("in")
    with dashboard_session(stack, "p-foreign", "globex") as connection:
        refused = ["insert into command (device, action, requested_by) values (%s, 'ping', 'x')",
                   "insert into saved_filter (tenant, name, query, created_by) select 'acme', 'f', %s, 'x'",
                   "insert into user_right (user_name, tenant, group_name, role, given_by) select 'p-viewer', 'acme', 'mkin-shelf',"
                   " 'viewer', %s", "insert into tenant (name) select %s || '-x'"]
        for sql in refused:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql, (device,))
        assert connection.execute("select revoke_device(%s, '', 'x'), tag_device(%s, '{a}', '{}'), request_wake(%s),"
                                  " restore_device(%s, '', 'x'), move_device(%s, 'globex')", [device] * 5
                                  ).fetchone() == (None,) * 5
        connection.execute("insert into device_group (name, created_by) values ('own', 'x')")
        with pytest.raises(psycopg.errors.CheckViolation):  # of its own group, but a device of another tenant
            connection.execute("insert into device_group_member (group_name, device, added_by) values ('own', %s, 'x')", (device,))
    assert things.value("select tenant from device where device = %s", device) == "acme"


def test_who_leaves_the_group_is_gone_at_once(acme):
    people, things = acme
    device = things.device("in")
    assert people["bound"].ask("GET", f"/api/v1/devices/{device}")[0] == 200
    which = things.campaign("in")
    things.run("insert into campaign_target (campaign, device, place) values (%s, %s, 1)", (which, device))
    things.run("update campaign set total = 1 where id = %s", (which,))
    status, _ = people["operator"].ask("POST", "/api/v1/groups/mkin-shelf/devices", {"remove": [device]})
    assert status == 200
    assert people["bound"].ask("GET", f"/api/v1/devices/{device}")[0] == 404
    assert people["bound"].ask("POST", "/api/v1/commands", {"device": device, "action": "ping"})[0] == 404
    assert device not in people["bound"].ask("GET", "/api/v1/devices?limit=500")[1]
    # The group's campaign does not reach it any more either.
    assert things.value("select count(*) from campaign_target where campaign = %s", which) == 0
    assert things.value("select total from campaign where id = %s", which) == 0


def test_rights_are_given_and_taken(acme):
    people, things = acme
    name, inside, outside = things.user("out"), things.device("in"), things.device("out")
    person = Person(people["owner"].stack, name, api_key(people["owner"].stack, name))
    path = f"/api/v1/users/{name}/rights"
    assert person.ask("GET", f"/api/v1/devices/{outside}")[0] == 200  # a viewer of the whole tenant
    ask = people["administrator"].ask
    status, text = ask("PUT", path, {"rights": [{"group": "mkin-shelf", "role": "operator"}]})
    assert status == 200 and json.loads(text)["rights"][0]["given_by"] == "p-administrator"
    assert person.ask("GET", f"/api/v1/devices/{outside}")[0] == 404
    assert person.ask("POST", "/api/v1/commands", {"device": inside, "action": "ping"})[0] == 202
    # The group stays while somebody's rights hang on it: without it they would be those of the account.
    assert ask("DELETE", "/api/v1/groups/mkin-shelf")[0] == 409
    assert ask("POST", "/api/v1/groups", {"name": "mkin-query", "query": "tag:x"})[0] == 201
    for rights in ([{"group": "mkin-query", "role": "viewer"}], [{"group": "none", "role": "viewer"}],
                   [{"group": "mkin-shelf", "role": "auditor"}], [{"group": "mkin-shelf"}], "x",
                   [{"group": "mkin-shelf", "role": "viewer"}] * 2):
        assert ask("PUT", path, {"rights": rights})[0] == 422, rights
    assert ask("PUT", path, {"rights": []})[0] == 200
    assert person.ask("GET", f"/api/v1/devices/{outside}")[0] == 200
    assert person.ask("POST", "/api/v1/commands", {"device": inside, "action": "ping"})[0] == 403


def test_names_are_free_in_each_tenant(acme):
    people, _ = acme
    for name in ("administrator", "foreign", "owner"):
        assert people[name].ask("POST", "/api/v1/groups", {"name": "mkin-same"})[0] == 201
        assert people[name].ask("POST", "/api/v1/filters", {"name": "mkin-same", "query": "tag:y"})[0] == 200
        assert people[name].ask("POST", "/api/v1/groups", {"name": "mkin-same"})[0] == 409
    listed = json.loads(people["owner"].ask("GET", "/api/v1/groups")[1])["items"]
    assert {group["tenant"] for group in listed if group["name"] == "mkin-same"} == {"acme", "default", "globex"}
    for tenant in ("acme", "globex", "default"):
        status, text = people["owner"].ask("GET", f"/api/v1/groups/mkin-same?tenant={tenant}")
        assert status == 200 and json.loads(text)["tenant"] == tenant
    assert people["foreign"].ask("GET", "/api/v1/devices?query=group:acme/mkin-shelf")[0] == 422
    status, text = people["owner"].ask("GET", "/api/v1/devices?query=group:acme/mkin-shelf")
    assert status == 200 and "mkin" in text and "mkout" not in text


def test_a_device_goes_to_the_tenant_of_its_token(stack, acme):
    people, things = acme
    status, text = people["administrator"].ask("POST", "/api/v1/tokens", {"uses": 5})
    assert status == 201
    _, csr = stack.csr("mkin-enrolled")
    assert stack.post("/v1/enroll", {"token": json.loads(text)["token"], "csr": csr, "device": "mkin-enrolled"})[0] == 201
    assert things.value("select tenant from device where device = 'mkin-enrolled'") == "acme"
    # A token of another tenant is no way to take it, also where it names the device.
    status, text = people["foreign"].ask("POST", "/api/v1/tokens", {"device": "mkin-enrolled"})
    assert status == 201
    _, csr = stack.csr("mkin-thief")
    assert stack.post("/v1/enroll", {"token": json.loads(text)["token"], "csr": csr, "device": "mkin-enrolled"})[0] == 409
    assert things.value("select tenant from device where device = 'mkin-enrolled'") == "acme"
    assert things.value("select count(*) from certificate where device = 'mkin-enrolled'") == 1


def test_a_registration_cannot_take_another_tenants_device(acme):
    people, things = acme
    device = things.device("out")
    things.run("insert into registration (tenant, secret_hash, id, key_sha256, csr, wish) values"
               " ('globex', decode(repeat('ab', 32), 'hex'), 'abab', 'abab', 'x', %s)", (device,))
    for body in ({}, {"replace": True}, {"device": device, "replace": True}):
        assert people["foreign"].ask("POST", "/api/v1/registrations/abab/approve", body)[0] == 409
    assert people["foreign"].ask("POST", "/api/v1/registrations/abab/approve", {"device": "free-id"})[0] == 200


def test_campaigns_stay_in_their_tenant_and_groups(stack, acme):
    people, things = acme
    things.run("insert into device (device, tags, tenant) values ('globex-1', '{both}', 'globex')")
    inside, outside = things.device("in"), things.device("out")
    things.run("update device set tags = '{both}' where device in (%s, %s)", (inside, outside))
    expected = {"administrator": {inside, outside}, "bound": {inside}, "foreign": {"globex-1"},
                "owner": {inside, outside, "globex-1"}}
    for name, devices in expected.items():
        body = {"name": f"of-{name}", "action": "ping", "target": {"tag": "both"}, "expect": len(devices), "start": True}
        status, text = people[name].ask("POST", "/api/v1/campaigns", body)
        assert status == 201, text
        which = json.loads(text)["id"]
        wait_for(lambda: things.value("select swept and released = total from campaign where id = %s", which), f"campaign of {name}")
        rows = things.run("select device from command where campaign = %s", (which,)).fetchall()
        assert {device for device, in rows} == devices, name


def test_a_device_is_moved_with_all_that_it_said(acme):
    people, things = acme
    device = things.device("in")
    which = things.campaign("out")
    things.run("insert into campaign_target (campaign, device, place) values (%s, %s, 1)", (which, device))
    things.run("update campaign set total = 1 where id = %s", (which,))
    assert people["administrator"].ask("POST", f"/api/v1/devices/{device}/move", {"tenant": "globex"})[0] == 403
    assert people["owner"].ask("POST", f"/api/v1/devices/{device}/move", {"tenant": "nowhere"})[0] == 422
    assert people["owner"].ask("POST", "/api/v1/devices/none/move", {"tenant": "globex"})[0] == 404
    assert people["owner"].ask("POST", f"/api/v1/devices/{device}/move", {"tenant": "globex"})[0] == 200
    for name, status in (("administrator", 404), ("bound", 404), ("foreign", 200)):
        assert people[name].ask("GET", f"/api/v1/devices/{device}")[0] == status
    assert device in people["foreign"].ask("GET", f"/api/v1/events?device={device}")[1]
    assert things.value("select count(*) from device_group_member where device = %s", device) == 0
    assert things.value("select total from campaign where id = %s", which) == 0
    assert things.value("select tenant from device_state where device = %s", device) == "globex"


def test_the_audit_is_read_by_the_tenant_it_concerns(acme):
    people, things = acme
    device = things.device("in")
    assert people["owner"].ask("POST", f"/api/v1/devices/{device}/tags", {"add": ["by-owner"]})[0] == 200
    assert people["operator"].ask("POST", f"/api/v1/devices/{device}/tags", {"add": ["by-operator"]})[0] == 200
    _, text = people["auditor"].ask("GET", f"/api/v1/audit?target={device}")
    assert "by-owner" in text and "by-operator" in text
    assert json.loads(people["foreign"].ask("GET", f"/api/v1/audit?target={device}")[1])["items"] == []


# ---- the command line ----
def test_tenants_by_the_command_line(stack, acme):
    things = acme[1]
    device, name = things.device("in"), things.user("out")
    assert stack.muster_json("tenant", "create", "initech", "--description", "x")["name"] == "initech"
    assert stack.muster("tenant", "create", "initech", check=False).returncode == 1
    listed = {item["name"]: item for item in stack.muster_json("tenant", "list")["items"]}
    assert {"default", "acme", "globex", "initech"} <= set(listed) and listed["acme"]["devices"] > 3
    stack.muster("group", "create", "shelf", "--tenant", "initech")
    stack.muster("device", "move", device, "--tenant", "initech")
    assert stack.muster_json("group", "add", "shelf", device, "--tenant", "initech")["changed"] == 1
    assert stack.muster_json("group", "show", "shelf", "--tenant", "initech")["devices"] == 1
    assert stack.muster("group", "show", "shelf", check=False).returncode == 3
    assert stack.muster_json("user", "rights", name, "mkin-shelf=operator")["rights"][0]["role"] == "operator"
    assert "operator of the group mkin-shelf" in stack.muster("user", "rights", name).stdout
    assert stack.muster("user", "rights", name, "mkin-shelf", check=False).returncode == 2
    assert stack.muster("user", "rights", name, "none-such=viewer", check=False).returncode == 2
    assert stack.muster_json("user", "rights", name, "--none")["rights"] == []
    # A token of the tenant, and one of a tenant that there is not.
    _, csr = stack.csr("initech-1")
    token = stack.token("--device", "initech-1", "--tenant", "initech")
    assert stack.post("/v1/enroll", {"token": token, "csr": csr})[0] == 201
    assert things.value("select tenant from device where device = 'initech-1'") == "initech"
    assert stack.muster("token", "create", "--tenant", "nowhere", check=False).returncode == 1
    assert stack.muster("operator", "add", "ann", "--tenant", "nowhere", check=False).returncode == 1


def test_an_operator_of_a_tenant_commands_its_devices_only(stack, acme):
    things = acme[1]
    stack.muster("operator", "add", "wim", "--tenant", "globex")
    things.run("insert into device (device, tenant) values ('globex-9', 'globex')")
    other, command = things.device("in"), things.command("in")
    files = stack.operator_files("wim")

    def asked(body):
        answer = run("mosquitto_rr", "-V", "5", "-h", "localhost", "-p", stack.ports["services"], *files, "-q", "1", "-W", "20",
                     "-t", "ops/v1/op.wim/request", "-e", "ops/v1/op.wim/reply", "-m", json.dumps(body))
        return json.loads(answer.stdout.splitlines()[0])

    assert asked({"device": other, "action": "ping", "request": "a"})["error"] == "unknown device"
    assert "error" not in asked({"device": "globex-9", "action": "ping", "request": "b"})
    assert "error" in asked({"cancel": command, "request": "c"})
    assert things.value("select cancel_requested_at is null from command where id = %s", command)
    assert things.value("select count(*) from command where device = %s and requested_by = 'op.wim'", other) == 0
