"""The live stream: what is on screen and no more, nothing missed, and a thousand of them that cost the database no more
than one. Read by asyncio; the page in a real browser is stream.mjs."""
import asyncio
import hashlib
import json
import os
import re
import secrets
import time

import pytest
from live import Stream, api, token_of
from page import browse
from stack import Device, run, wait_for

MANY = 1000
SETS = 12


@pytest.fixture(scope="module")
def devices(stack):
    with Device(stack, "live-1") as one, Device(stack, "live-2") as other:
        yield one, other


def together(work):
    return asyncio.run(asyncio.wait_for(work, 600))


def account(stack, name, role="viewer", tenant=None):
    """A user with an API key: the key."""
    token = secrets.token_urlsafe(32)
    stack.rows("insert into user_account (name, role, tenant) values (%s, %s, %s) on conflict (name) do nothing"
               " returning name", name, role, tenant)
    stack.rows("insert into access_token (token_hash, kind, user_name, label, expires_at) values (%s, 'api', %s, 'test',"
               " now() + interval '1 hour') returning 1", hashlib.sha256(token.encode()).digest(), name)
    return token


def names(stream, topic="devices"):
    return {row["device"] for row in stream.rows(topic)}


def test_a_stream_brings_what_was_asked_for(stack, devices):
    async def work():
        token = token_of(stack)
        one, other = devices
        everything = await Stream.open(stack, token, "topics=devices,commands,registrations,audit")
        named = await Stream.open(stack, token, "topics=devices,events,outputs&device=live-1")
        for stream in (everything, named):
            assert (await stream.event("ready"))["replayed"] is False
        for device in devices:
            device.publish("telemetry", device.next(battery_pct=50))
        one.publish("event", one.next(type="app.crashed", app="till"))
        other.publish("event", other.next(type="app.crashed", app="other"))
        await everything.until(lambda s: names(s) >= {"live-1", "live-2"}, "both devices")
        await named.until(lambda s: [row for row in s.rows("events") if row["type"] == "app.crashed"], "the event")
        assert names(named) == {"live-1"} and names(named, "events") == {"live-1"}
        # Chunks that a program prints.
        one.publish("stream/5b6fcd34-0001-4000-8000-000000000001", one.next(
            command="5b6fcd34-0001-4000-8000-000000000001", n=0, data="first\n", end=False))
        printed = await named.until(lambda s: s.rows("outputs"), "the output")
        assert printed[0]["data"] == "first\n" and printed[0]["n"] == 0
        # What is not of devices.
        stack.rows("insert into registration (secret_hash, id, key_sha256, csr) values (decode(repeat('ab', 32), 'hex'),"
                   " '0123456789abcdef', repeat('0', 64), '') returning 1")
        await everything.until(lambda s: s.rows("registrations"), "the registration")
        api(stack, token, "POST", "devices/live-1/tags", {"add": ["seen"]})
        await everything.until(lambda s: [row for row in s.rows("audit") if row["action"] == "device.tag"], "the audit")
        assert not named.rows("audit")
        # Now it looks at the other device, and misses nothing of what happened while it changed its mind.
        other.publish("telemetry", other.next(battery_pct=49))
        other.wait_stored()
        status, _ = api(stack, token, "POST", f"stream/{(await named.event('ready'))['stream']}",
                        {"topics": ["devices"], "devices": ["live-2"]})
        assert status == 204
        await named.until(lambda s: "live-2" in names(s), "the other device")
        for stream in (everything, named):
            await stream.close()
    together(work())


def test_what_cannot_be_asked_for(stack):
    async def work():
        token = account(stack, "vera")
        for query, status in (("topics=nothing", 400), ("topics=audit", 403), ("topics=events", 400), ("device=A", 400),
                              ("after=x", 400), ("device=" + ",".join(f"d{n}" for n in range(201)), 400)):
            stream = await Stream.open(stack, token, query)
            assert stream.status == status, query
            await stream.close()
        mine = await Stream.open(stack, token)
        other = await Stream.open(stack, token_of(stack))
        id_of_other = (await other.event("ready"))["stream"]
        # Whose stream it is is checked, not only that somebody knows its name.
        assert api(stack, token, "POST", f"stream/{id_of_other}", {"topics": ["devices"]}, check=False)[0] == 404
        assert api(stack, token, "POST", f"stream/{(await mine.event('ready'))['stream']}", {"topics": ["audit"]},
                   check=False)[0] == 403
        for stream in (mine, other):
            await stream.close()
    together(work())


def test_what_was_missed_is_replayed(stack, devices):
    async def work():
        token, (one, other) = token_of(stack), devices
        first = await Stream.open(stack, token)
        await first.event("ready")
        one.publish("telemetry", one.next(battery_pct=48))
        await first.until(lambda s: "live-1" in names(s), "the first change")
        await first.close()
        other.publish("telemetry", other.next(battery_pct=47))
        other.wait_stored()
        again = await Stream.open(stack, token, "", Last_Event_ID=first.last_id)
        assert (await again.event("ready"))["replayed"] is True
        assert {row["device"]: row["latest"].get("battery_pct") for row in again.rows("devices")}["live-2"] == 47
        # Also from another process, which has seen none of it.
        await again.close()
        stack.kill("dashboard")
        wait_for(lambda: run("curl", "-s", "--cacert", stack.state / "ca/service.crt", check=False,
                             *[f"https://localhost:{stack.ports['dashboard']}/ready"]).returncode == 0, "the dashboard")
        restarted = await Stream.open(stack, token, f"after={first.last_id}")
        assert (await restarted.event("ready"))["replayed"] is True
        assert "live-2" in names(restarted)
        await restarted.close()
        # Too long ago: whoever comes asks for everything again.
        late = await Stream.open(stack, token, f"after={int(first.last_id) - 3600 * 1000000}")
        assert (await late.event("ready"))["replayed"] is False and not late.rows("devices")
        await late.close()
    together(work())


def test_a_stream_ends_with_its_session(stack):
    async def work():
        keys = {name: account(stack, name, tenant="default") for name in
                ("disabled-1", "revoked-1", "promoted-1", "expired-1", "narrowed-1", "stays-1")}
        stack.rows("insert into device_group (tenant, name, created_by) values ('default', 'narrow', 'x') returning 1")
        streams = {name: await Stream.open(stack, key) for name, key in keys.items()}
        for stream in streams.values():
            await stream.event("ready")
        stack.rows("update user_account set enabled = false where name = 'disabled-1' returning 1")
        stack.rows("update access_token set revoked_at = now() where user_name = 'revoked-1' returning 1")
        stack.rows("update user_account set role = 'operator' where name = 'promoted-1' returning 1")
        stack.rows("update access_token set expires_at = now() + interval '1 second' where user_name = 'expired-1' returning 1")
        stack.rows("insert into user_right (user_name, tenant, group_name, role, given_by)"
                   " values ('narrowed-1', 'default', 'narrow', 'viewer', 'x') returning 1")
        for name in ("disabled-1", "revoked-1", "expired-1"):
            await streams[name].until_end()
            assert [event for event, _, _ in streams[name].events][-1] == "end"
        for name in ("promoted-1", "narrowed-1"):  # their pages come back as what they are now
            await streams[name].until_end()
            assert "end" not in [event for event, _, _ in streams[name].events]
        assert not streams["stays-1"].ended
        await streams["stays-1"].close()
    together(work())


def test_rows_of_another_tenant_are_not_sent(stack, devices):
    async def work():
        stack.rows("insert into tenant (name) values ('west') on conflict do nothing returning 1")
        bound = account(stack, "bo", "administrator", "default")
        stack.rows("insert into device_group (tenant, name, created_by) values ('default', 'shelf', 'x') returning 1")
        stack.rows("insert into device_group_member (tenant, group_name, device, added_by)"
                   " values ('default', 'shelf', 'live-2', 'x') returning 1")
        stack.rows("insert into user_right (user_name, tenant, group_name, role, given_by)"
                   " values ('bo', 'default', 'shelf', 'viewer', 'x') returning 1")
        west = await Stream.open(stack, account(stack, "willa", "administrator", "west"))
        everybody = await Stream.open(stack, token_of(stack))
        bound = await Stream.open(stack, bound, "topics=devices,registrations,audit,campaigns")
        assert bound.status == 403, "a viewer of one group has no part in the audit"
        bound = await Stream.open(stack, account(stack, "bo"), "topics=devices,registrations,campaigns")
        for stream in (west, everybody, bound):
            await stream.event("ready")
        for device in devices:
            device.publish("telemetry", device.next(battery_pct=46))
        await everybody.until(lambda s: names(s) >= {"live-1", "live-2"}, "the changes")
        await bound.until(lambda s: "live-2" in names(s), "its own device")
        assert names(bound) == {"live-2"}
        stack.rows("update device set tenant = 'west' where device = 'live-2' returning 1")
        devices[1].publish("telemetry", devices[1].next(battery_pct=45))
        await west.until(lambda s: "live-2" in names(s), "its own device")
        assert names(west) == {"live-2"}
        stack.rows("update device set tenant = 'default' where device = 'live-2' returning 1")
        for stream in (west, everybody, bound):
            await stream.close()
    together(work())


def raised(stack, title, device=None, tenant="default"):
    stack.rows("insert into alert (tenant, rule_name, kind, severity, object, device, title, since)"
               " values (%s, 'Made', 'offline', 'critical', coalesce(%s, 'cell 1'), %s, %s, now()) returning 1",
               tenant, device, device, title)


def titles(stream):
    return {row["title"] for row in stream.rows("alerts") if row["rule_name"] == "Made"}


def test_alerts_come_to_those_who_may_see_them(stack, devices):
    async def work():
        token = token_of(stack)
        stack.rows("insert into tenant (name) values ('west') on conflict do nothing returning 1")
        stack.rows("insert into device_group (tenant, name, created_by) values ('default', 'rack', 'x') returning 1")
        stack.rows("insert into device_group_member (tenant, group_name, device, added_by)"
                   " values ('default', 'rack', 'live-2', 'x') returning 1")
        bound = account(stack, "bea", "viewer", "default")
        stack.rows("insert into user_right (user_name, tenant, group_name, role, given_by)"
                   " values ('bea', 'default', 'rack', 'viewer', 'x') returning 1")
        everything = await Stream.open(stack, token, "topics=alerts")
        named = await Stream.open(stack, token, "topics=alerts&device=live-1")
        starred = await Stream.open(stack, token, "topics=alerts*,devices&device=live-1")
        west = await Stream.open(stack, account(stack, "wim", "administrator", "west"), "topics=alerts")
        bound = await Stream.open(stack, bound, "topics=alerts")
        streams = (everything, named, starred, west, bound)
        for stream in streams:
            await stream.event("ready")
        for title, device, tenant in (("no device", None, "default"), ("of west", None, "west"),
                                      ("of one", "live-1", "default"), ("of other", "live-2", "default")):
            raised(stack, title, device, tenant)
        await everything.until(lambda s: len(titles(s)) == 4, "all alerts")
        await starred.until(lambda s: len(titles(s)) == 4, "all alerts")
        await named.until(titles, "its device's alert")
        await west.until(titles, "its own alert")
        await bound.until(titles, "its group's alert")
        # Nothing else came meanwhile: the change of each comes after what was before it.
        stack.rows("update alert set state = 'cleared', cleared_at = now(), changed_at = now() returning 1")
        for stream in (named, west, bound):
            await stream.until(lambda s: [row for row in s.rows("alerts") if row["state"] == "cleared"], "the clearing")
        assert (titles(named), titles(west), titles(bound)) == ({"of one"}, {"of west"}, {"of other"})
        for stream in streams:
            await stream.close()
    together(work())


def test_exports_come_to_their_asker_alone(stack, devices):
    async def work():
        eve = account(stack, "eve", "viewer", "default")
        mine = await Stream.open(stack, token_of(stack), "topics=exports")
        changed = await Stream.open(stack, token_of(stack), "topics=campaigns")
        hers = await Stream.open(stack, eve, "topics=exports")
        for stream in (mine, changed, hers):
            await stream.event("ready")
        _, asked = api(stack, token_of(stack), "POST", "exports", {"kind": "devices"})
        done = await mine.until(lambda s: [row for row in s.rows("exports") if row["state"] == "done"], "the file")
        assert done[0]["id"] == asked["id"] and done[0]["file"]
        _, other = api(stack, eve, "POST", "exports", {"kind": "devices"})
        await hers.until(lambda s: [row for row in s.rows("exports") if row["state"] == "done"], "her file")
        # A stream that changes its mind is its person's still.
        api(stack, token_of(stack), "POST", f"stream/{(await changed.event('ready'))['stream']}", {"topics": ["exports"]})
        await changed.until(lambda s: s.rows("exports"), "the file")
        assert {row["id"] for row in mine.rows("exports") + changed.rows("exports")} == {asked["id"]}
        assert {row["id"] for row in hers.rows("exports")} == {other["id"]}
        for stream in (mine, changed, hers):
            await stream.close()
    together(work())


def test_campaigns_come_as_they_move(stack, devices):
    async def work():
        stream = await Stream.open(stack, token_of(stack), "topics=campaigns")
        await stream.event("ready")
        _, made = api(stack, token_of(stack), "POST", "campaigns",
                      {"name": "moves", "action": "ping", "params": {}, "target": {"device": "live-1"}, "ttl_s": 60})
        api(stack, token_of(stack), "POST", f"campaigns/{made['id']}/abort", {})
        await stream.until(lambda s: [row for row in s.rows("campaigns")
                                      if row["id"] == made["id"] and row["state"] == "aborted"], "its end")
        await stream.close()
    together(work())


class Statements:
    """What the stream's connection asked for, as PostgreSQL's log has it."""

    def __init__(self, stack):
        self.log = stack.state / "log/postgres.log"
        self.stack = stack

    def run(self, sql):
        with self.stack.connect() as connection:
            connection.execute(sql)

    def __enter__(self):
        self.run("alter system set log_line_prefix = '%a|'")
        self.run("alter role muster_dashboard set log_statement = 'all'")
        self.run("select pg_reload_conf()")
        self.stack.kill("dashboard")
        return self

    def __exit__(self, *_):
        self.run("alter role muster_dashboard reset log_statement")
        self.run("alter system reset log_line_prefix")
        self.run("select pg_reload_conf()")

    def count(self):
        return len(re.findall(r"^muster-dashboard stream\|.*(?:execute|statement)", self.log.read_text(errors="replace"),
                              re.M))


async def rate(statements, device, stream):
    """Statements for each set that the stream gets, while the device reports ten times as often as sets are made."""
    before, seen, deadline = statements.count(), len(stream.events), time.monotonic() + 180
    while len(stream.events) < seen + SETS:
        assert time.monotonic() < deadline, "no sets come"
        device.publish("telemetry", device.next(battery_pct=44))
        await asyncio.sleep(0.025)
    return (statements.count() - before) / (len(stream.events) - seen)


def resident_kb(stack):
    with open(f"/proc/{stack.pid('dashboard')}/status") as status:
        return int(re.search(r"VmRSS:\s+(\d+)", status.read())[1])


def test_a_thousand_cost_the_database_no_more_than_one(stack, devices):
    async def work(statements):
        token, device = token_of(stack), devices[0]
        streams = [await Stream.open(stack, token, "topics=devices,commands,campaigns")]
        await streams[0].event("ready")
        for_one, memory = await rate(statements, device, streams[0]), resident_kb(stack)
        for _ in range(0, MANY, 50):
            streams += await asyncio.gather(*[Stream.open(stack, token, "topics=devices,commands,campaigns")
                                              for _ in range(50)])
        # Some that take nothing in hold up nobody.
        for stream in streams[:20]:
            stream.writer.transport.pause_reading()
        await asyncio.gather(*[stream.event("ready") for stream in streams[20:]])
        for_many = await rate(statements, device, streams[-1])
        print(f"{for_one:.1f} statements in each set for one stream, {for_many:.1f} for {MANY};"
              f" {(resident_kb(stack) - memory) / MANY:.1f} kB each")
        # A set in which nothing had changed comes to nobody, and costs some all the same.
        assert 0.5 <= for_one <= 20, "several in each set"
        assert for_many <= 2 * for_one + 4
        mark = device.next(battery_pct=11)
        device.publish("telemetry", mark)
        await asyncio.gather(*[stream.until(lambda s: any(row["latest"].get("battery_pct") == 11
                                                          for row in s.rows("devices")), "the mark")
                               for stream in streams[20:]])
        for stream in streams:
            await stream.close()
    with Statements(stack) as statements:
        wait_for(lambda: run("curl", "-s", "--cacert", stack.state / "ca/service.crt", check=False,
                             *[f"https://localhost:{stack.ports['dashboard']}/ready"]).returncode == 0, "the dashboard")
        together(work(statements))


def test_the_page_says_what_it_does_not_hear(stack):
    """A connection that dies without a word."""
    browse(stack, "stream.mjs", muster=str(stack.bin / "muster"), state=str(stack.state))


COMMAND = "5b6fcd34-0002-4000-8000-000000000001"
EXPORT = "5b6fcd34-0003-4000-8000-000000000001"
# So that each view has something to show, and what changes of it while the server is away.
THERE_SQL = f"""
insert into device_group (name, description, created_by, tenant) values ('shop', 'the first', 'admin', 'default');
insert into device_group_member (group_name, device, added_by, tenant) values ('shop', 'live-1', 'admin', 'default');
insert into command (id, device, action, requested_by, not_before) values
  ('{COMMAND}', 'live-1', 'ping', 'admin', now() + interval '1 day');
insert into export (id, tenant, requested_by, kind, format, columns, state) values
  ('{EXPORT}', 'default', 'admin', 'events', 'csv', '{{device}}', 'cancelled');
"""
CHANGE_SQL = f"""
update device set display_name = 'Meanwhile desk', tags = '{{meanwhile}}' where device = 'live-1';
update device_group set description = 'meanwhile' where name = 'shop';
update command set reason = 'meanwhile' where id = '{COMMAND}';
update campaign set name = 'meanwhile' where name = 'the walk';
update alert set title = 'meanwhile' where title = 'the walk';
insert into event select device, epoch, seq + 1000, now(), now(), 'meanwhile.seen', '{{}}'
  from event where device = 'live-1' order by seq desc limit 1;
update export set query = 'tag:meanwhile' where id = '{EXPORT}';
insert into registration (tenant, secret_hash, id, key_sha256, csr, wish, info) values
  ('default', sha256('m'), 'abcdabcdabcd0001', repeat('1', 64), '', 'meanwhile', '{{}}');
insert into preapproved (tenant, serial, created_by) values ('default', 'meanwhile', 'admin');
insert into enrollment_token (tenant, token_hash, id, device, created_by, expires_at) values
  ('default', sha256('m'), 'abcd0001', 'meanwhile', 'admin', now() + interval '1 hour');
update certificate set not_after = now() + interval '5 days' where device = 'live-2';
insert into user_account (name, role) values ('meanwhile', 'viewer');
insert into access_token (token_hash, kind, user_name, label, expires_at) values
  (sha256('m'), 'api', 'admin', 'meanwhile', now() + interval '1 hour');
insert into audit (actor, action, target) values ('meanwhile', 'device.rename', 'live-1');
insert into part_state (part, instance, version, started_at, seen_at, state, why) values
  ('canary', 'meanwhile', '1', now(), now() + interval '1 hour', 'ok', '');
"""


def there(stack):
    """What the views of the walk show: the addresses of a command, a campaign and an alert."""
    with stack.connect() as connection:
        connection.execute(THERE_SQL)
    campaign = stack.value("insert into campaign (tenant, name, action, params, ttl_s, created_by, devices, state, finished_at) values"
                           " ('default', 'the walk', 'ping', '{}', 60, 'admin', array['live-1'], 'aborted', now()) returning id")
    alert = stack.value("insert into alert (tenant, rule_name, kind, severity, object, device, title, since) values"
                        " ('default', 'r', 'fingerprint', 'info', 'live-1', 'live-1', 'the walk', now()) returning id")
    return f"/commands/{COMMAND}", f"/campaigns/{campaign}", f"/alerts/{alert}"


def test_every_view_outlives_its_server(stack, devices):
    command, campaign, alert = there(stack)
    devices[0].publish("event", devices[0].next(type="app.crashed", app="till"))
    devices[0].wait_stored()
    later = "meanwhile"
    tabs = [
        ("/", "Waiting|hour", later), ("/devices", "live-1", later), ("/devices/live-1", "Identity", later),
        ("/groups", "the first", later), ("/groups/shop", "the first", later), ("/commands", "ping", later),
        (command, "Request", later), ("/campaigns", "the walk", later), (campaign, "the walk", later),
        ("/console?query=tag:meanwhile", "No device matches", "live-1"), ("/alerts", "the walk", later),
        (alert, "the walk", later), ("/events", "app.crashed", later), ("/analytics", "live-1", later),
        ("/exports", "events", later), ("/enrolment", "Nobody|asks", later), ("/enrolment?show=tokens", "live-1", later),
        ("/enrolment?show=list", "Import", later), ("/certificates", "Authorities", "live-2"), ("/users", "admin", later),
        ("/audit", "login", later), ("/system", "ingest", later), ("/account", "My sessions", later),
        ("/api/docs", "/api/v1/session", None)]
    change = ["/usr/bin/python3", "-c",
              "import psycopg, sys; psycopg.connect(sys.argv[1], autocommit=True).execute(sys.argv[2])",
              f"host={stack.state}/run port=5432 dbname=muster user=muster_owner", CHANGE_SQL]
    browse(stack, "views.mjs", muster=str(stack.bin / "muster"), state=str(stack.state), tabs=json.dumps(tabs), change=json.dumps(change))


def test_no_descriptor_is_left(stack):
    """After all of that."""
    pid = stack.pid("dashboard")
    wait_for(lambda: len(os.listdir(f"/proc/{pid}/fd")) < 60, "closed connections to be forgotten")
