"""The page of one device, and what the API answers for it."""
import threading

from page import browse
from stack import Device, wait_for
from web import Browser

STACK_ARGS = ["--sims", "1", "--no-agent"]
DEVICE = "desk-7"


def api(stack):
    return Browser(stack, key=(stack.state / "api-token").read_text().strip())


def reading(n):
    return {"battery_pct": 40 + n % 30, "cpu_pct": 12.5, "mem_total": 4e9, "mem_available": 2.5e9, "disk_total": 64e9,
            "disk_free": 20e9, "load1": 0.4, "rack, °C": 21.5 + n % 3}


def seed(stack):
    """An hour of readings and a month of rollups."""
    stack.rows("insert into telemetry (device, epoch, seq, ts, received_at, measured_at, battery_pct, cpu_pct, custom)"
               " select %s, 'before', n, t, t, t,"
               " 40 + n %% 30, 10 + n %% 5, jsonb_build_object('rack, °C', 20 + n %% 4) from generate_series(1, 355) n,"
               " lateral (select now() - n * interval '10 seconds' as t) x returning 1", DEVICE)
    stack.rows("insert into rollup_hour (device, metric, hour, n, min, max, sum) select %s, metric, date_trunc('hour', now()) -"
               " n * interval '1 hour', 60, 30, 60 + n %% 20, 60 * (45 + n %% 10) from generate_series(2, 700) n,"
               " unnest(array['battery_pct', 'cpu_pct', 'rack, °C']) metric returning 1", DEVICE)


def report(device):
    packages = [{"name": f"package-{n:03}", "version_code": n, "system": n % 2 == 0} for n in range(1, 301)]
    device.publish("inventory/software", device.next(packages=[*packages, {"name": "nginx", "version_code": 7, "system": False}]))
    device.publish("inventory/services", device.next(services=[{"name": "sshd", "state": "running"}]))
    device.publish("inventory/network", device.next(interfaces=[{"name": "eth0", "mac": "02:00:00:00:00:07", "ipv4": ["192.0.2.7"]}]))
    device.publish("inventory/hardware", device.next(vendor="Acme", product="Desk 7", memory_bytes=4_000_000_000))
    packages = [*packages[1:], {"name": "package-301", "version_code": 1, "system": False}, packages[0]]
    device.wait_stored()
    device.publish("inventory/software", device.next(packages=[*packages, {"name": "nginx", "version_code": 8, "system": False}]))
    device.wait_stored()


def test_a_person_looks_after_a_device(stack):
    with Device(stack, DEVICE) as device:
        device.publish("event", {"type": "hello", "epoch": device.epoch, "agent_version": "1.0", "interval_s": 1,
                                 "fingerprint": "a" * 64})
        device.publish("telemetry", device.next(**reading(0)))
        report(device)
        seed(stack)
        for n, digit in enumerate("bbc", 1):
            stack.rows("update device set fingerprint = repeat('a', 64), mismatches = %s, mismatch_at = now() - %s * interval '1 hour',"
                       " mismatch_fingerprint = repeat(%s, 64), mismatch_peer = '198.51.100.' || %s where device = %s returning 1", n, 4 - n, digit, n, DEVICE)
        for name in ("lobby", "shelf"):
            stack.muster("group", "create", name)
        done = threading.Event()

        def speak():
            n = 0
            while not done.wait(1):
                n += 1
                device.publish("telemetry", device.next(**reading(n)))

        speaker = threading.Thread(target=speak)
        speaker.start()
        try:
            browse(stack, "device.mjs", device=DEVICE)
        finally:
            done.set()
            speaker.join()
    stored = stack.rows("select display_name, tags from device where device = %s", DEVICE)
    assert stored == [("Front desk", ["kiosk"])], stored
    assert stack.rows("select group_name from device_group_member where device = %s", DEVICE) == [("shelf",)]


def test_names_and_notes_within_bounds(stack):
    browser = api(stack)
    path = "devices/sim-001"
    wait_for(lambda: browser.get(path)[0] == 200, "the simulated device")
    for body, status in [({"display_name": "x" * 100}, 200), ({"display_name": "x" * 101}, 422), ({"display_name": " "}, 422),
                         ({"display_name": "a\nb"}, 422), ({"display_name": 7}, 422), ({"display_name": None}, 200),
                         ({"notes": "é\t\n" * 1333}, 200), ({"notes": "x" * 4001}, 422), ({"notes": "\x07"}, 422),
                         ({"notes": None}, 422), ({"notes": "in the cellar", "display_name": "Cellar"}, 200), ({"notes": ""}, 200)]:
        answered, answer = browser.send("PATCH", path, body)
        assert answered == status, (body, answer)
    assert browser.get(path)[1]["display_name"] == "Cellar" and browser.get(path)[1]["notes"] == ""
    audited = stack.rows("select detail from audit where action = 'device.set' and target = 'sim-001' order by id")
    assert len(audited) == 5 and ({"notes": "in the cellar", "display_name": "Cellar"},) in audited


def test_changes_in_pages(stack):
    browser = api(stack)
    path = f"devices/{DEVICE}/inventory/changes"
    everything = browser.get(path)[1]["items"]
    assert [(item["name"], item["change"]) for item in everything] == [("nginx", "changed"), ("package-301", "added")]
    seen, after = [], ""
    while after is not None:
        page = browser.get(f"{path}?limit=1&kind=software&after={after}")[1]
        seen, after = [*seen, *page["items"]], page["next"]
    assert seen == everything
    assert browser.get(f"{path}?q=NGI")[1]["items"] == everything[:1]
    assert browser.get(f"{path}?kind=network")[1]["items"] == []
    assert browser.get(f"{path}?after=x")[0] == 400
