"""The page in a real browser (Debian's Chromium, driven by browser.mjs)."""
import json
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
