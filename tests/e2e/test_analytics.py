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


def elapsed_s():
    """Seconds since NOW."""
    return (datetime.datetime.now(datetime.timezone.utc) - NOW).total_seconds()


def share(hours, more_s=0):
    """Percent that so long makes of the ten hours, and what has gone since."""
    return 100 * (hours * 3600 + more_s) / (10 * 3600 + elapsed_s())


def value(device, hours_ago):
    return (device * 7 + hours_ago * 3) % 100


@pytest.fixture(scope="module", autouse=True)
def fleet(stack):
    stack.rows("insert into device (device, tags, enrolled_at) select 'dev-' || n, array['t' || n %% 2], now()"
               " from generate_series(1, %s) n returning 1", DEVICES)
    stack.rows("insert into device_group (name, created_by) values ('shop', 'admin') returning 1")
    stack.rows("insert into device_group_member (group_name, device, added_by) values ('shop', 'dev-1', 'a'), ('shop', 'dev-2',"
               " 'a') returning 1")
    # Half of them are a K20, which is a scope from the next sample on.
    stack.rows("insert into inventory (device, kind, ts, received_at, body) select device, 'hardware', now(), now(),"
               " jsonb_build_object('os', 'android', 'product', case when 't0' = any (tags) then 'K20' else 'T8' end)"
               " from device returning 1")
    stack.rows("update rollup_state set sampled_at = '-infinity' returning 1")
    stack.rows("select rows from rollup_slice(500000)")
    stack.rows("insert into device_state (device, presence, presence_since, first_seen, last_seen) select device,"
               " case when device = 'dev-9' then 'offline' else 'online' end, %s, %s, now() from device returning 1",
               NOW - datetime.timedelta(hours=2), NOW - datetime.timedelta(hours=10))
    stack.rows("delete from rollup_fleet returning 1")  # nobody was there to be online yet
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
    wait_for(done, "the rollups")


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
    check(trend(stack, "metric=cpu_pct&scope=model:K20"), [device for device in every if device % 2 == 0])
    check(trend(stack, "metric=cpu_pct&scope=os:android"), every)
    # The present is sampled every 30 s; the last time there was no device yet.
    stack.rows("update rollup_state set sampled_at = '-infinity' returning 1")
    rolled(stack)
    online = get(stack, "trends?metric=online_pct&points=1")["points"]
    assert abs(online[0][1] - 100 * (DEVICES - 1) / DEVICES) < 0.01
    assert set(get(stack, "scopes")["scopes"]) == {"tag:t0", "tag:t1", "group:shop", "os:android", "model:K20", "model:T8"}
    get(stack, "trends?metric=secret", 422)
    get(stack, "trends?metric=cpu_pct&scope=everything", 422)
    get(stack, "trends?metric=cpu_pct&from=2&to=1", 400)


def test_trends_of_a_query(stack):
    rolled(stack)
    answer = get(stack, "trends?metric=cpu_pct&query=model:k20%20-device:dev-2")
    chosen = [device for device in range(4, DEVICES + 1) if device % 2 == 0]
    assert (answer["by"], answer["devices"], answer["sampled"], answer["margin"]) == ("hour", len(chosen), len(chosen), 0)
    at, average, least, greatest, _, n, _ = answer["points"][-1]
    values = [value(device, round((HOUR.timestamp() - at / 1000) / 3600)) for device in chosen]
    assert abs(average - statistics.mean(values)) < 0.01 and (least, greatest, n) == (min(values), max(values), len(chosen))

    # By day each device counts once, whatever it sent.
    answer = get(stack, "trends?metric=cpu_pct&by=day&query=tag:t0")
    assert answer["step_ms"] == 86_400_000 and answer["margin"] == 0
    today = [h for h in range(HOURS) if (HOUR - datetime.timedelta(hours=h)).date() == HOUR.date()]
    values = [statistics.mean(value(device, h) for h in today) for device in range(2, DEVICES + 1, 2)]
    assert abs(answer["points"][-1][1] - statistics.mean(values)) < 0.01

    # Of more than can be read some are looked at, from the whole width of what they report now.
    stack.rows("update device_state set cpu_pct = (substr(device, 5)::integer * 7) %% 100 where %s returning 1", True)
    since = int((HOUR - datetime.timedelta(days=199)).timestamp() * 1000)
    answer = get(stack, f"trends?metric=cpu_pct&by=hour&query=-tag:none&points=1&from={since}")
    whole = [statistics.mean(value(device, h) for h in range(HOURS)) for device in range(1, DEVICES + 1)]
    assert answer["devices"] == DEVICES and answer["sampled"] == 5 and answer["margin"] > 0
    assert abs(answer["points"][0][1] - statistics.mean(whole)) < 3 * answer["margin"]

    answer = get(stack, "trends?metric=online_pct&points=1&query=device:dev-9")
    assert len(answer["points"]) == 1 and abs(answer["points"][0][1] - share(4)) < 0.5
    answer = get(stack, "trends?metric=online_pct&points=1&query=device:dev-9,dev-8")
    assert abs(answer["points"][0][1] - (share(4) + share(2, elapsed_s())) / 2) < 0.5
    get(stack, "trends?metric=cpu_pct&by=week&query=tag:t0", 400)
    get(stack, "trends?metric=secret&query=tag:t0", 422)


def test_days_stay_where_hours_are_gone(stack):
    rolled(stack)
    gone = HOUR.date() - datetime.timedelta(days=200)
    stack.rows("insert into rollup_day (day, device, cpu_pct_n, cpu_pct_min, cpu_pct_max, cpu_pct_sum, charging_pct_n, charging_pct_sum)"
               " values (%s, 'dev-7', 4, 10, 30, 80, 2, 100) returning 1", gone)
    since = int((HOUR - datetime.timedelta(days=210)).timestamp() * 1000)
    points = stack.chart("dev-7", "cpu_pct", since, int(NOW.timestamp() * 1000))["points"]
    assert points[0][1:] == [20, 10, 30] and len(points) > 1, points
    assert points[1][0] - points[0][0] > 190 * 86_400_000, "nothing is made up in between"
    assert stack.chart("dev-7", "charging", since, int(NOW.timestamp() * 1000))["points"][0][1] == 0.5
    compared = get(stack, f"compare?devices=dev-7,dev-8&metric=cpu_pct&from={since}")["devices"]
    assert compared[0]["points"][0][1] == 20 and len(compared[1]["points"]) < len(compared[0]["points"])
    stack.rows("delete from rollup_day where day = %s returning 1", gone)


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
    assert abs(first["online_s"] - 4 * 3600) < 5 and -5 < first["possible_s"] - 10 * 3600 < elapsed_s() + 5
    assert abs(first["online_pct"] - share(4)) < 0.5 and first["presence"] == "offline"
    now = get(stack, "uptime?query=device:dev-8")["items"][0]
    assert -5 < now["online_s"] - 2 * 3600 < elapsed_s() + 5, "a session that is open counts"
    page = get(stack, "uptime?limit=15")
    assert len(page["items"]) == 15 and page["next"]
    assert get(stack, f"uptime?limit=15&after={page['next']}")["items"][0]["device"] > page["items"][-1]["device"]
    scopes = {one["scope"]: one["online_pct"] for one in get(stack, "uptime?by=scope")["items"]}
    assert set(scopes) == {"", "tag:t0", "tag:t1", "group:shop", "os:android", "model:K20", "model:T8"}
    assert scopes["group:shop"] == 100
    today = NOW.date().isoformat()
    busiest = get(stack, f"reporters?by=events&day={today}&limit=2")["items"]
    assert {one["device"] for one in busiest} == {"dev-1", "dev-2"} or NOW.hour == 0
    assert get(stack, f"reporters?day={today}")["items"][0]["readings"] == HOUR.hour + 1
    get(stack, "reporters?day=yesterday", 400)


def test_pages(stack):
    rolled(stack)
    browse(stack, "analytics.mjs")
