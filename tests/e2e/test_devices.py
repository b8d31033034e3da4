"""The list of 30,000 devices, or of MUSTER_FLEET: filters, orders, pages, marks; what is done to many; and the page that shows it."""
import http.client
import itertools
import json
import os
import pathlib
import ssl
import urllib.parse

import pytest

from page import browse
from stack import Device, run, wait_for

HERE = pathlib.Path(__file__).resolve().parent
DEVICES = int(os.environ.get("MUSTER_FLEET", 30_000))
KIOSKS = DEVICES // 3
ORDERS = ["device", "name", "status", "last_seen", "battery", "cpu", "memory", "disk", "uptime", "version", "enrolled_at"]
keys = itertools.count(1)


class Api:
    def __init__(self, stack):
        token = (stack.state / "api-token").read_text().strip()
        self.headers = {"Authorization": f"Bearer {token}"}
        context = ssl.create_default_context(cafile=str(stack.state / "ca/service.crt"))
        self.connection = http.client.HTTPSConnection("localhost", stack.ports["dashboard"], context=context)

    def ask(self, method, path, body=None, **headers):
        text = None if body is None else json.dumps(body)
        more = {"Content-Type": "application/json"} if text else {}
        self.connection.request(method, f"/api/v1/{path}", text, self.headers | more | headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def get(self, path, **query):
        status, answer = self.ask("GET", f"{path}?{urllib.parse.urlencode(query)}")
        assert status == 200, answer
        return answer

    def count(self, query):
        return self.get("devices/count", query=query)["count"]

    def bulk(self, verb, query, expect=None, key=None, **params):
        demand = {"verb": verb, "params": params, "target": {"query": query}}
        if expect is None:
            expect = self.ask("POST", "devices/bulk/preview", demand)[1]["devices"]
        return self.ask("POST", "devices/bulk", demand | {"expect": expect}, **({"Idempotency-Key": key} if key else {}))

    def finish(self, job):
        return wait_for(lambda: (now := self.get(f"bulk/{job['id']}"))["state"] != "running" and now, "the job's end")


@pytest.fixture(scope="module")
def fleet(stack):
    with stack.connect() as connection:
        connection.execute(f"set fleet.devices = '{DEVICES}'")
        connection.execute((HERE.parent / "fixtures/fleet.sql").read_text())
    assert stack.value("select count(*) from device where device like 'fleet-%%'") == DEVICES
    return stack


@pytest.fixture(scope="module")
def api(fleet):
    return Api(fleet)


def test_counts_are_exact(fleet, api):
    by = api.get("devices/count", query="device:fleet-*")["by_status"]
    assert by == {"all": DEVICES, "online": DEVICES * 7 // 10, "stale": DEVICES // 20, "offline": DEVICES // 5, "never": DEVICES // 20,
                  "revoked": DEVICES // 200}
    truth = fleet.value("select count(*) from device d join device_state s using (device) join inventory i using (device)"
                        " where s.presence = 'offline' and 'kiosk' = any (d.tags) and s.battery_pct < 20"
                        " and i.body ->> 'os' = 'android'")
    assert truth > 100 and api.count("status:offline tag:kiosk battery<20 os:android") == truth
    assert api.count("oslo") == fleet.value("select count(*) from device where display_name ilike '%%oslo%%'") > 1000
    assert api.count("group:fleet-north") == DEVICES / 10 and api.count("-tag:kiosk device:fleet-*") == DEVICES - KIOSKS
    status, problem = api.ask("GET", "devices/count?query=tag:a+batery%3C20")
    assert status == 422 and problem["detail"].startswith('query, column 7: there is no field "batery"'), problem


def ascending(values, falling):
    """In order, those that are missing last."""
    there = [value for value in values if value is not None]
    return values[len(there):] == [None] * (len(values) - len(there)) and there == sorted(there, reverse=falling)


@pytest.mark.parametrize("order", [sign + name for name in ORDERS for sign in ("", "-")])
def test_every_order_is_paged_by_key(api, order):
    """All pages, laid end to end, are the set, each device once, whichever the order."""
    query, rows, pages = "tag:site-17 device:fleet-*", [], 0
    after = {}
    while after is not None:
        page = api.get("devices", query=query, sort=order, limit=DEVICES // 500, fields="device,battery_pct,cpu_pct,last_seen,uptime_s", **after)
        rows += page["items"]
        pages += 1
        after = {"after": page["next"]} if page["next"] else None
    assert pages == 3 and len({row["device"] for row in rows}) == len(rows) == api.count(query)
    member = {"battery": "battery_pct", "cpu": "cpu_pct", "uptime": "uptime_s"}.get(order.lstrip("-"), order.lstrip("-"))
    if member in rows[0]:
        assert ascending([row[member] for row in rows], order.startswith("-"))


def test_marks_lead_into_the_middle(api):
    answer = api.get("devices/count", query="status:online", sort="-memory", marks=500)
    assert len(answer["marks"]) == answer["count"] // 500
    page = api.get("devices", query="status:online", sort="-memory", limit=1, after=answer["marks"][len(answer["marks"]) // 2], fields="device,mem_total,mem_available")
    used = 1 - page["items"][0]["mem_available"] / page["items"][0]["mem_total"]
    assert 0.4 < used < 0.6, "half of them are fuller"


def test_fields_and_what_is_wrong(api):
    page = api.get("devices", limit=1, fields="device,status,battery_pct", query="device:fleet-000002")
    assert page == {"items": [{"device": "fleet-000002", "status": "online", "battery_pct": 74.4}], "next": None}
    for query in ("sort=colour", "status=asleep", "limit=501", "after=x.y", "sort=battery&after=fleet-000001.x", "fields=secret", "fields="):
        status, answer = api.ask("GET", f"devices?{query}")
        assert status == (200 if query == "fields=" else 400), (query, answer)


def test_what_is_looked_for_is_no_pattern(fleet, api):
    assert [api.count(word) for word in ("%", "leet_0", "\\")] == [0, 0, 0] and api.count("leet-0000") > 0
    assert [api.get("devices/count", q=text)["count"] for text in ("%", "leet_0", "\\", "leet-000017")] == [0, 0, 0, 1]


def test_what_has_not_changed_is_not_sent_again(api):
    """A page asked for again, by the tag of the answer before: nothing; by that of another question: all of it."""
    def tagged(path, **headers):
        api.connection.request("GET", f"/api/v1/{path}", headers=api.headers | headers)
        answer = api.connection.getresponse()
        return answer.status, answer.getheader("ETag"), answer.getheader("Cache-Control"), answer.read()

    never = "devices?query=status:never+device:fleet-*&limit=5&after="  # who reports would change meanwhile
    status, tag, cache, body = tagged(never)
    assert (status, cache, len(json.loads(body)["items"])) == (200, "private, no-cache", 5) and tag.startswith('"')
    assert tagged(never, **{"If-None-Match": tag}) == (304, tag, "private, no-cache", b"")
    packed = tagged(never, **{"If-None-Match": tag, "Accept-Encoding": "gzip"})
    assert packed[0] == 200 and packed[1] not in (None, tag) and len(packed[3]) < len(body)
    assert tagged(never + json.loads(body)["next"], **{"If-None-Match": tag})[0] == 200
    assert tagged("account")[1:3] == (None, "no-store")  # who somebody is, is kept nowhere
    status, tag, cache, _ = tagged(never, Authorization="Bearer none", **{"If-None-Match": tag})
    assert (status, tag, cache) == (401, None, "no-store")  # a tag opens nothing


def test_the_roster_follows(fleet, api):
    """What devices report comes within seconds, what people change at once."""
    with Device(fleet, "roster-1") as device:
        device.publish("telemetry", device.next(battery_pct=3.5))
        device.wait_stored()
        wait_for(lambda: api.count("device:roster-1 battery<4 status:online"), "the battery in the lists")
        fleet.muster("device", "tag", "roster-1", "front")
        assert [row["tags"] for row in api.get("devices", query="tag:front device:roster-1")["items"]] == [["front"]]
        device.client.publish("fleet/v1/roster-1/status", "offline", qos=1, retain=True)
        wait_for(lambda: api.count("device:roster-1 status:offline"), "its goodbye in the lists")
    fleet.rows("delete from device where device = 'roster-1' returning 1")
    assert api.get("devices", query="device:roster-1")["items"] == []


def test_many_are_changed_in_steps(fleet, api):
    status, problem = api.bulk("tag", "tag:kiosk device:fleet-*", expect=100, add=["spring"])
    assert status == 409 and str(KIOSKS) in problem["detail"], problem
    status, job = api.bulk("tag", "tag:kiosk device:fleet-*", key="spring-1", add=["spring"])
    assert status == 202 and job["state"] == "running" and 0 < job["done"] < job["total"] == KIOSKS
    again, same = api.bulk("tag", "tag:kiosk device:fleet-*", expect=KIOSKS, key="spring-1", add=["spring"])
    assert again in (200, 202) and same["id"] == job["id"], "a repetition is the same job"
    assert api.bulk("tag", "tag:kiosk device:fleet-*", expect=KIOSKS, key="spring-1", add=["summer"])[0] == 409
    # It is the dashboard's job, not the process's: another goes on where this one is killed.
    fleet.kill("dashboard")
    job = wait_for(lambda: finished(fleet, job["id"]), "the job's end")
    assert job == ("finished", KIOSKS, KIOSKS)
    assert fleet.value("select count(*) from device where 'spring' = any (tags)") == KIOSKS


def finished(stack, number):
    row = stack.rows("select state, done, changed from device_bulk where id = %s", number)[0]
    return row if row[0] != "running" else None


def test_many_are_revoked_and_restored(fleet):
    api = Api(fleet)
    status, job = api.bulk("revoke", "tag:site-17 device:fleet-*", reason="stolen van")
    assert status in (200, 202), job
    job = api.finish(job)
    assert job["state"] == "finished" and job["changed"] == fleet.value(
        "select count(*) from audit where action = 'device.revoke' and (detail ->> 'bulk')::bigint = %s", job["id"])
    wait_for(lambda: api.count("tag:site-17 status:revoked device:fleet-*") == job["total"], "the count")
    assert fleet.value("select count(*) from device where not enabled and disabled_reason = 'stolen van'") == job["changed"]
    assert fleet.muster("audit", "verify").returncode == 0
    back = api.finish(api.bulk("restore", "tag:site-17 device:fleet-*")[1])
    assert back["state"] == "finished"
    wait_for(lambda: api.count("tag:site-17 status:revoked device:fleet-*") == 0, "the count")


def test_a_job_ends_with_the_right_of_its_maker(fleet):
    api = Api(fleet)
    number = fleet.value("insert into device_bulk (verb, params, total, created_by, sees_tenant) values"
                         " ('tag', '{\"add\":[\"no\"]}', 1, 'nobody-here', '*') returning id")
    job = api.finish({"id": number})
    assert job["state"] == "failed" and "may not" in job["reason"]
    assert fleet.value("select count(*) from device where 'no' = any (tags)") == 0


def test_groups_take_and_give(fleet):
    api = Api(fleet)
    demand = {"verb": "add-to-group", "params": {"group": "fleet-kiosks"}, "target": {"devices": ["fleet-000001"]}, "expect": 1}
    assert api.ask("POST", "devices/bulk", demand)[0] == 409, "that group has a query"
    demand["params"]["group"] = "nowhere"
    assert api.ask("POST", "devices/bulk", demand)[0] == 422
    demand |= {"params": {"group": "fleet-north"}, "target": {"devices": ["fleet-029999", "fleet-000001", "unknown-1"]}, "expect": 2}
    job = api.finish(api.ask("POST", "devices/bulk", demand)[1])
    assert (job["done"], job["changed"]) == (2, 1)
    job = api.finish(api.ask("POST", "devices/bulk", demand | {"verb": "remove-from-group"})[1])
    assert (job["done"], job["changed"]) == (2, 2)


def test_the_page(fleet):
    browse(fleet, "devices.mjs", fleet=str(DEVICES))
