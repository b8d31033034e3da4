"""The page in a real browser (Debian's Chromium, driven by browser.mjs)."""
import json
import secrets
import threading
import urllib.parse
from datetime import date, timedelta

from page import browse
from stack import Device, wait_for
from test_actions import Agent

STACK_ARGS = ["--sims", "5"]


def test_a_person_watches_and_acts(stack):
    with Device(stack, "script-1") as hostile:
        hostile.publish("telemetry", hostile.next(note="<img src=x onerror='window.injected=1'>"))
        hostile.publish("event", hostile.next(type="app.crashed", why="<script>window.injected=1</script>"))
        hostile.wait_stored()
        hostile.seq += 2
        hostile.publish("telemetry", hostile.next(note="3 and 4 are missing"))
        wait_for(lambda: stack.value("select count(*) from ledger_gap where device = 'script-1'") == 1, "the gap")
    stack.enroll("script-2")
    stack.rows("update certificate set not_before = now() - interval '84 days', not_after = now() + interval '5 days 1 hour'"
               " where device = 'script-2' returning 1")
    stack.rows("update device set fingerprint = repeat('a0', 32), mismatches = 3, mismatch_at = now() - interval '3 minutes',"
               " mismatch_fingerprint = repeat('b0', 32) where device = 'script-2' returning 1")
    window = {"days": [(date.today() + timedelta(days=3)).isoweekday()], "from": "02:00", "to": "05:00"}
    stack.rows("update device set maintenance_window = %s::jsonb, time_zone = 'Europe/Berlin' where device = 'script-2' returning 1",
               json.dumps(window))
    folder = stack.state / "door"
    folder.mkdir()
    token = folder / "token"
    token.write_text(stack.token())
    token.chmod(0o600)
    simulator = [stack.bin / "muster-sim", "run", "--state", folder, "--bridge", f"https://localhost:{stack.ports['bridge']}",
                 "--ca", stack.state / "ca/service.crt", "--token-file", token, "--count", "1", "--prefix", "door-",
                 "--interval-ms", "1000"]
    enroll = {"url": f"https://localhost:{stack.ports['bridge']}/v1/enroll", "csr": stack.csr("script-2-again")[1]}
    with Agent(stack, "desk-1", ["ping", "ring", "run"]):
        browse(stack, "browser.mjs", sim=json.dumps([str(word) for word in simulator]), device="door-001",
               enroll=json.dumps(enroll), agent="desk-1")
    ran = stack.rows("select state, confirmed, idempotency_key is not null from command where device = 'desk-1' and action = 'run'")
    assert ran == [("cancelled", True, True)], ran


HOSTILE = """"'><img src=x onerror=__pwned=1><script>__pwned=1</script>"""


def hostile_reports(device):
    """Each string that a device may send."""
    for kind, body in (("hardware", {"vendor": HOSTILE, "product": HOSTILE, "model": HOSTILE, "os": HOSTILE, "hostname": HOSTILE, HOSTILE: HOSTILE}),
                       ("software", {"packages": [{"name": HOSTILE, "version": HOSTILE, "version_code": 1}]}),
                       ("services", {"services": [{"name": HOSTILE, "state": HOSTILE}]}),
                       ("network", {"interfaces": [{"name": HOSTILE, "mac": HOSTILE, "ipv4": [HOSTILE]}]})):
        device.publish(f"inventory/{kind}", device.next(**body))
    device.publish("telemetry", device.next(**{"battery_pct": 7, HOSTILE[:60]: 7.5, "note": HOSTILE, "network_type": HOSTILE}))
    device.publish("event", device.next(type=HOSTILE[:60], why=HOSTILE, **{HOSTILE[:60]: HOSTILE}))
    device.publish("event", device.next(type="app.crashed", why=HOSTILE, app=HOSTILE))
    device.wait_stored()
    device.publish("inventory/software", device.next(packages=[{"name": HOSTILE + "2", "version": HOSTILE}]))
    device.wait_stored()


def hostile_words(stack, device):
    """Each string that people write, and those of devices that are not let in yet. Returns the command's and the alert's id."""
    stack.rows("update device set display_name = %s, tags = array[%s], notes = %s, disabled_reason = %s where device = %s returning 1",
               HOSTILE, HOSTILE, HOSTILE, HOSTILE, device)
    command = stack.value("insert into command (device, action, params, requested_by, request_id, not_before) values"
                          " (%s, 'message', %s, %s, %s, now() + interval '1 day') returning id", device,
                          json.dumps({"text": HOSTILE, HOSTILE: HOSTILE}), HOSTILE, HOSTILE)
    stack.rows("insert into command_output values (%s, %s, 0, 'e', 1, now(), now(), %s, true, false) returning 1", device, str(command), HOSTILE)
    alert = stack.value("insert into alert (tenant, rule_name, kind, severity, object, device, title, since, assigned_to) values"
                        " ('default', %s, 'fingerprint', 'critical', %s, %s, %s, now(), %s) returning id", HOSTILE, HOSTILE, device, HOSTILE, HOSTILE)
    stack.rows("insert into alert_event (alert, type, actor, text) values (%s, 'comment', %s, %s) returning 1", alert, HOSTILE, HOSTILE)
    stack.rows("insert into alert_rule (tenant, name, kind, enabled, created_by) values ('default', %s, 'disk', true, %s) returning 1", HOSTILE, HOSTILE)
    stack.rows("insert into alert_silence (tenant, until_at, reason, created_by) values ('default', now() + interval '1 hour', %s, %s)"
               " returning 1", HOSTILE, HOSTILE)
    stack.rows("insert into campaign (tenant, name, action, params, ttl_s, created_by, devices, reason) values"
               " ('default', %s, 'message', %s, 60, %s, array[%s], %s) returning 1", HOSTILE, json.dumps({"text": HOSTILE}), HOSTILE, device, HOSTILE)
    stack.rows("insert into registration (tenant, secret_hash, id, key_sha256, csr, serial, info) values"
               " ('default', sha256('h'), 'abcdabcdabcdabcd', repeat('0', 64), '', %s, %s) returning 1", HOSTILE, json.dumps({"model": HOSTILE, HOSTILE: HOSTILE}))
    stack.rows("insert into preapproved (tenant, serial, created_by, tags) values ('default', %s, %s, array[%s]) returning 1", HOSTILE, HOSTILE, HOSTILE)
    stack.rows("insert into enrollment_token (tenant, token_hash, id, tags, created_by, expires_at) values"
               " ('default', sha256('h'), 'abcdabcd', array[%s], %s, now() + interval '1 hour') returning 1", HOSTILE, HOSTILE)
    for kind in ("session", "api"):
        stack.rows("insert into access_token (token_hash, kind, user_name, label, peer, expires_at) values (%s, %s, 'admin', %s, '192.0.2.1',"
                   " now() + interval '1 hour') returning 1", secrets.token_bytes(32), kind, HOSTILE)
    stack.rows("insert into audit (actor, action, target, detail) values (%s, %s, %s, %s) returning 1", HOSTILE, HOSTILE, HOSTILE,
               json.dumps({HOSTILE: HOSTILE}))
    stack.rows("insert into device_group (tenant, name, description, created_by) values ('default', 'hostile', %s, %s) returning 1", HOSTILE, HOSTILE)
    stack.rows("insert into part_state (part, instance, version, started_at, seen_at, state, why) values ('canary', %s, %s, now(), now(),"
               " 'degraded', %s) returning 1", HOSTILE, HOSTILE, HOSTILE)
    return command, alert


def test_what_is_written_is_text_in_every_view(stack):
    with Device(stack, "hostile-1") as device:
        hostile_reports(device)
        command, alert = hostile_words(stack, "hostile-1")
        campaign = stack.value("select max(id) from campaign")
        shown = "onerror=__pwned"
        views = [(path, shown) for path in (
            "/", "/devices?query=device:hostile-1", "/devices/hostile-1", "/groups", "/groups/hostile", "/commands", f"/commands/{command}",
            "/campaigns", f"/campaigns/{campaign}", "/alerts", f"/alerts/{alert}", "/alerts?tab=rules", "/alerts?tab=silences",
            "/events?device=hostile-1", "/analytics", "/enrolment", "/enrolment?show=tokens", "/enrolment?show=list", "/audit", "/users", "/account",
            "/system", "/console?query=device:hostile-1")]
        views += [(path, "") for path in ("/certificates", "/exports", "/api/docs", *[place + urllib.parse.quote(HOSTILE.replace("/", "")) for place in (
            "/devices?query=", "/devices/", "/groups/", "/commands?action=", "/audit?actor=")])]
        done = threading.Event()

        def speak():
            while not done.wait(0.5):
                device.publish("telemetry", device.next(note=HOSTILE))

        speaker = threading.Thread(target=speak)
        speaker.start()
        try:
            browse(stack, "hostile.mjs", views=json.dumps(views))
        finally:
            done.set()
            speaker.join()
