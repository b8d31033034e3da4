"""Analytics: what the answers say is what was reported, computed here from the rows themselves; nothing is counted twice when
ingest is killed; people who may see some groups see those."""
import datetime
import json
import statistics

import pytest
from page import browse
from stack import run, wait_for

STACK_ARGS = ["--sims", "0", "--no-agent"]
DEVICES, HOURS = 40, 30
NOW = datetime.datetime.now(datetime.timezone.utc)
HOUR = NOW.replace(minute=0, second=0, microsecond=0)


def value(device, hours_ago):
    return (device * 7 + hours_ago * 3) % 100


@pytest.fixture(scope="module", autouse=True)
def fleet(stack):
    stack.rows("insert into device (device, tags, enrolled_at) select 'dev-' || n, array['t' || n %% 2], now()"
               " from generate_series(1, %s) n returning 1", DEVICES)
    stack.rows("insert into device_group (name, created_by) values ('shop', 'admin') returning 1")
    stack.rows("insert into device_group_member (group_name, device, added_by) values ('shop', 'dev-1', 'a'), ('shop', 'dev-2',"
               " 'a') returning 1")
    stack.rows("insert into device_state (device, presence, presence_since, first_seen, last_seen) select device,"
               " case when device = 'dev-9' then 'offline' else 'online' end, %s, %s, now() from device returning 1",
               NOW - datetime.timedelta(hours=2), NOW - datetime.timedelta(hours=10))
    stack.rows("with r as (insert into telemetry (device, epoch, seq, ts, received_at, measured_at, cpu_pct, load1, custom)"
               " select 'dev-' || d, 'e', h, t, t, t, (d * 7 + h * 3) %% 100, d, jsonb_build_object('queue', d)"
               " from generate_series(1, %s) d, generate_series(0, %s) h, lateral (select %s - h * interval '1 hour' as t) x"
               " returning 1) select count(*) from r", DEVICES, HOURS - 1, HOUR)
    # dev-9 was online from 8 h ago to 5 h ago, and from 4 h ago to 3 h ago.
    for seq, hours, word in [(1, 8, "online"), (2, 5, "offline"), (3, 4, "online"), (4, 3, "offline")]:
        at = NOW - datetime.timedelta(hours=hours)
        stack.rows("insert into event (device, epoch, seq, ts, received_at, measured_at, type, body) values ('dev-9',"
                   " '-presence', %s, %s, %s, %s, %s, '{}') returning 1", seq, at, at, at, f"presence.{word}")
    stack.rows("insert into event (device, epoch, seq, ts, received_at, measured_at, type, body) select 'dev-' || 1 + n %% 2,"
               " 'e', 1000 + n, t, t, t, 'app.crashed', '{}' from generate_series(1, 30) n, lateral (select"
               " %s - n * interval '1 minute' as t) x returning 1", NOW)


def get(stack, path, status=200):
    token = (stack.state / "api-token").read_text().strip()
    done = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", "-H", f"Authorization: Bearer {token}", "-w",
               "\n%{http_code}", f"https://localhost:{stack.ports['dashboard']}/api/v1/analytics/{path}")
    text, code = done.stdout.rsplit("\n", 1)
    assert int(code) == status, text
    return json.loads(text)


def trend(stack, query):
    return get(stack, f"trends?{query}&from={int((HOUR - datetime.timedelta(hours=HOURS)).timestamp() * 1000)}")["points"]


def rolled(stack):
    """All there is has been rolled up: by ingest, or now."""
    def done():
        stack.rows("select rows from rollup_slice(500000)")
        return stack.value("select not exists (select from telemetry where xact >= watermark) and not exists (select from event"
                           " where xact >= watermark) from rollup_state")
    wait_for(done, "the rollups", 40)


def check(points, devices):
    assert len(points) == HOURS
    for at, average, least, greatest, p95, n in points:
        values = sorted(value(device, round((HOUR.timestamp() - at / 1000) / 3600)) for device in devices)
        assert n == len(values) and abs(average - statistics.mean(values)) < 0.01
        assert (least, greatest) == (values[0], values[-1])
        near = values[max(0, int(0.95 * len(values)) - 1)]
        assert near - 4 <= p95 <= values[-1], (p95, values)


def test_trends(stack):
    rolled(stack)
    every = range(1, DEVICES + 1)
    check(trend(stack, "metric=cpu_pct"), every)
    check(trend(stack, "metric=cpu_pct&scope=tag:t1"), [device for device in every if device % 2])
    check(trend(stack, "metric=cpu_pct&scope=group:shop"), [1, 2])
    answer = get(stack, "trends?metric=cpu_pct&query=tag:t0")
    assert (answer["devices"], answer["sampled"]) == (DEVICES / 2, DEVICES / 2)
    assert answer["points"][-1][5] == DEVICES / 2
    # The present is sampled every 30 s; the last time there was no device yet.
    stack.rows("update rollup_state set sampled_at = '-infinity' returning 1")
    rolled(stack)
    online = get(stack, "trends?metric=online_pct&points=1")["points"]
    assert abs(online[0][1] - 100 * (DEVICES - 1) / DEVICES) < 0.01
    assert set(get(stack, "scopes")["scopes"]) == {"tag:t0", "tag:t1", "group:shop"}
    get(stack, "trends?metric=secret", 422)
    get(stack, "trends?metric=cpu_pct&scope=everything", 422)
    get(stack, "trends?metric=cpu_pct&from=2&to=1", 400)


def test_nothing_is_counted_twice(stack):
    rolled(stack)
    assert sum(point[5] for point in trend(stack, "metric=cpu_pct")) == DEVICES * HOURS
    stack.kill("ingest")
    stack.rows("insert into event (device, epoch, seq, ts, received_at, measured_at, type, body)"
               " values ('dev-3', 'e', 1, %s, now(), %s, 'door.open', '{}') returning 1", NOW, NOW)
    with stack.connect() as connection:  # a slice that does not commit did not happen
        connection.autocommit = False
        connection.execute("select rows from rollup_slice(500000)").fetchall()
        connection.rollback()
    rolled(stack)
    rolled(stack)
    assert stack.value("select sum(n) from rollup_event where scope = ''") == 35
    assert stack.value("select sum(n) from rollup_event where scope = 'tag:t1' and type = 'door.open'") == 1
    assert stack.value("select sum(readings) from rollup_day") == DEVICES * HOURS


def test_comparison(stack):
    rolled(stack)
    answer = get(stack, "compare?devices=dev-3,dev-1,dev-nobody&metric=queue")
    assert [device["device"] for device in answer["devices"]] == ["dev-3", "dev-1"]
    assert {point[1] for point in answer["devices"][0]["points"]} == {3} and len(answer["devices"][0]["points"]) == HOURS
    get(stack, f"compare?metric=queue&devices={','.join(f'dev-{n}' for n in range(9))}", 400)


def test_events(stack):
    rolled(stack)
    answer = get(stack, "events")
    totals = {one["type"]: one["total"] for one in answer["types"]}
    assert totals == {"app.crashed": 30, "presence.online": 2, "presence.offline": 2, "door.open": 1}
    assert answer["total"] == 35
    assert sum(n for one in answer["types"] for _, n in one["points"]) == 35
    assert get(stack, "events?scope=group:shop")["total"] == 30


def test_uptime_and_reporters(stack):
    rolled(stack)
    first = get(stack, "uptime?query=device:dev-9")["items"][0]
    assert abs(first["online_s"] - 4 * 3600) < 5 and abs(first["possible_s"] - 10 * 3600) < 60
    assert abs(first["online_pct"] - 40) < 0.5 and first["presence"] == "offline"
    now = get(stack, "uptime?query=device:dev-8")["items"][0]
    assert abs(now["online_s"] - 2 * 3600) < 60, "a session that is open counts"
    page = get(stack, "uptime?limit=15")
    assert len(page["items"]) == 15 and page["next"]
    assert get(stack, f"uptime?limit=15&after={page['next']}")["items"][0]["device"] > page["items"][-1]["device"]
    scopes = {one["scope"]: one["online_pct"] for one in get(stack, "uptime?by=scope")["items"]}
    assert set(scopes) == {"", "tag:t0", "tag:t1", "group:shop"} and scopes["group:shop"] == 100
    today = NOW.date().isoformat()
    busiest = get(stack, f"reporters?by=events&day={today}&limit=2")["items"]
    assert {one["device"] for one in busiest} == {"dev-1", "dev-2"} or NOW.hour == 0
    assert get(stack, f"reporters?day={today}")["items"][0]["readings"] == HOUR.hour + 1
    get(stack, "reporters?day=yesterday", 400)


def test_pages(stack):
    rolled(stack)
    browse(stack, "analytics.mjs")
