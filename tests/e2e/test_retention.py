"""Rollups and retention with the real ingest: late readings reach the hours they belong to, old partitions go, charts go on."""
import os
import time

import pytest

from stack import Device, Stack, wait_for

HOUR = 3_600_000
DAY = 24 * HOUR


@pytest.fixture(scope="module")
def stack():
    os.environ["MUSTER_INGEST_ROLLUP_EVERY_S"] = "10"
    try:
        with Stack("test_retention", ["--sims", "0", "--no-agent"]) as running:
            yield running
    finally:
        del os.environ["MUSTER_INGEST_ROLLUP_EVERY_S"]


@pytest.fixture(scope="module")
def device(stack):
    with Device(stack, "paho-1") as connected:
        yield connected


def test_late_readings_reach_the_chart_beyond_raw_retention(stack, device):
    hour = int(time.time() * 1000) // HOUR * HOUR - 20 * DAY
    for minute, pct in ((5, 10), (25, 20), (45, 60)):
        device.publish("telemetry", device.next(battery_pct=pct, door=pct > 15) | {"ts": hour + minute * 60_000})
    device.publish("telemetry", device.next(battery_pct=50))
    device.wait_stored()
    wait_for(lambda: stack.value("select coalesce(sum(n), 0) from rollup_hour where device = 'paho-1' and metric = 'battery_pct'")
             == 4, "the rollups")

    answer = stack.chart("paho-1", "battery_pct", hour, hour + 21 * DAY, points=2000)
    assert answer["source"] == "rollup" and answer["step_ms"] == HOUR
    assert answer["points"][0] == [hour, 30, 10, 60]
    assert answer["points"][-1][1] == 50
    assert stack.chart("paho-1", "door", hour - 5 * DAY, hour + 20 * DAY)["points"][0][1:] == [0.667, 0, 1]

    now = int(time.time() * 1000) + 1000
    answer = stack.chart("paho-1", "battery_pct", now - DAY, now)
    assert answer["source"] == "raw" and [point[1] for point in answer["points"]] == [50]


def test_expired_partitions_are_dropped_after_they_were_rolled_up(stack, device):
    day = int(time.time() * 1000) // DAY * DAY - 6 * DAY
    name = f"telemetry_{time.strftime('%Y%m%d', time.gmtime(day / 1000))}"
    with stack.connect() as owner:
        owner.execute(f"create table {name} partition of telemetry for values from (to_timestamp({day // 1000})) "
                      f"to (to_timestamp({(day + DAY) // 1000}))")
    device.publish("telemetry", device.next(load1=3.5) | {"ts": day + 10 * HOUR})
    device.wait_stored()
    assert stack.value(f"select count(*) from {name}") == 1
    stack.kill("ingest")  # at its start it looks for what has expired
    wait_for(lambda: stack.value("select to_regclass(%s)::text", name) is None, "the partition to be dropped")
    assert stack.value("select sum(n) from rollup_hour where device = 'paho-1' and metric = 'load1'") == 1
    # Within what used to be a span of single readings, the rollups answer now.
    answer = stack.chart("paho-1", "load1", day, day + DAY)
    assert answer["source"] == "rollup" and answer["points"] == [[day + 10 * HOUR, 3.5, 3.5, 3.5]]


def rolled_up(stack, metric):
    return stack.value("select coalesce(sum(n), 0)::bigint from rollup_hour where device = 'paho-1' and metric = %s", metric)


def test_what_comes_again_after_its_partition_was_dropped_is_not_stored_again(stack, device):
    yesterday = int(time.time() * 1000) // DAY * DAY - DAY + 12 * HOUR
    name = f"telemetry_{time.strftime('%Y%m%d', time.gmtime(yesterday / 1000))}"
    messages = [device.next(rssi_dbm=-50) | {"ts": yesterday + n} for n in range(3)]
    device.publish("telemetry", messages[0])
    device.publish("telemetry", messages[1:])
    device.wait_stored()
    assert stack.value(f"select count(*) from {name}") == 3
    wait_for(lambda: rolled_up(stack, "rssi_dbm") == 3, "the rollups")
    before = stack.muster_json("device", "show", "paho-1")["ledger"][0]
    with stack.connect() as owner:
        owner.execute(f"drop table {name}")
    with device.lock:
        device.messages.clear()
    for message in messages:
        device.publish("telemetry", message)
    device.wait_stored()  # acknowledged all the same
    after = wait_for(lambda: next((row for row in stack.muster_json("device", "show", "paho-1")["ledger"]
                                   if row["received"] == before["received"] + 3), None), "the repetitions to be counted")
    assert after["duplicates"] == before["duplicates"] + 3 and after["lost"] == 0
    assert stack.value("select count(*) from telemetry where device = 'paho-1' and rssi_dbm is not null") == 0
    device.publish("telemetry", device.next(temperature_c=20))  # rolled up after whatever came before it
    wait_for(lambda: rolled_up(stack, "temperature_c") == 1, "the next rollup")
    assert rolled_up(stack, "rssi_dbm") == 3
