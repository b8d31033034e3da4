"""The canary proves what a revocation is for: its own certificate's session is cut and not let in again, after every revocation
of somebody else's and on schedule; and it says so when that is not so."""
import json
import os
import signal
import urllib.error
import urllib.request

import psycopg
import pytest

from stack import Stack, run, wait_for

DEVICE = "canary-1"


def configure(stack, every_s):
    """Proofs a second apart at the least, in place of a minute."""
    path = stack.state / "conf/canary.conf"
    text = "".join(line for line in path.read_text().splitlines(True) if not line.startswith(("every_s", "gap_s")))
    path.write_text(f"{text}every_s = {every_s};\ngap_s = 1;\n")
    stack.muster("stack", "restart", "canary")


@pytest.fixture(scope="module")
def stack():
    with Stack("test_canary", ["--sims", "0", "--no-agent"], canary=True) as running:
        wait_for(lambda: proofs(running), "the proof at the start")
        yield running


def proofs(stack, condition="true"):
    return stack.rows("select cause, cut_s, refused, admitted, ok, serial from revocation_proof where "
                      f"{condition} order by id")


def last_id(stack):
    return stack.value("select coalesce(max(id), 0) from revocation_proof")


def settled(stack):
    """It reports again, with a certificate that holds."""
    wait_for(lambda: stack.value("select count(*) from device_state s join certificate c on c.device = s.device "
                                 "and c.revoked_at is null where s.device = %s and s.presence = 'online' "
                                 "and s.certificate = c.serial", DEVICE) == 1, "the canary to report with its new certificate")


def health(stack, path="health"):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{stack.ports['canary_metrics']}/{path}", timeout=180) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.read().decode()


def test_it_is_a_device_like_any(stack):
    settled(stack)
    assert stack.rows("select tags, enabled from device where device = %s", DEVICE) == [(["canary"], True)]
    wait_for(lambda: stack.value("select count(*) from telemetry where device = %s and uptime_s > 0", DEVICE), "its telemetry")
    assert stack.value("select count(*) from ledger_gap where device = %s", DEVICE) == 0
    assert DEVICE in stack.muster("device", "list").stdout
    assert stack.value("select count(*) from enrollment_token where device = %s", DEVICE) == 1, "one token at a time"


def test_a_devices_revocation_is_proven(stack, record_property):
    begin = last_id(stack)
    configure(stack, 3600)
    stack.enroll("kiosk-7")
    # It proves once at its start; what is revoked then is proven behind that.
    wait_for(lambda: proofs(stack, f"id > {begin}"), "the proof at its start")
    settled(stack)
    assert stack.value("select revoke_device('kiosk-7', 'lost', 'test')") is True
    cause, cut_s, refused, admitted, ok, serial = wait_for(lambda: proofs(stack, "cause <> ''"), "the proof")[0]
    assert (cause, refused, admitted, ok) == ("device kiosk-7", 3, 0, True)
    assert 0 < cut_s < 10
    record_property("seconds until cut", cut_s)
    assert stack.value("select revoked_at is not null from certificate where serial = %s", serial)
    assert f"serial {serial.lower().lstrip('0')}\n" in (stack.state / "broker/revoked").read_text()
    settled(stack)
    assert stack.value("select serial <> %s from certificate where device = %s and revoked_at is null", serial, DEVICE)

    said = stack.muster("revocation", "list").stdout.splitlines()[-1]
    assert said.startswith("proven ") and said.endswith(f": cut after {cut_s:.3f} s, 3 of 3 tries refused"), said
    proof = stack.muster_json("revocation", "list")["proofs"][-1]
    assert proof["ok"] is True and proof["cell"] == 1 and proof["cause"] == "device kiosk-7" and proof["cut_s"] == cut_s
    assert json.loads(health(stack))["proven"] is True
    assert 'muster_canary_proofs_total{ok="true"} 2' in health(stack, "metrics")


def test_its_own_revocations_set_off_no_proof(stack):
    """Nor do another cell's canary's: otherwise they would never end. The control is the test above, and the last line."""
    assert stack.value("select count(*) from revocation where kind = 'serial' and requested_by = 'canary'") >= 2
    assert stack.rows("select cause from canary_news(0)") == [("device kiosk-7",)]
    stack.rows("insert into certificate (serial, device, key_sha256, sha256, not_before, not_after, pem) "
               "values ('0ABC', 'canary-2', '', '', now(), now() + interval '1 day', '') returning 1")
    stack.rows("insert into revocation (kind, name, requested_by) values ('serial', 'abc', 'test') returning 1")
    assert stack.rows("select cause from canary_news(0)") == [("device kiosk-7",)]
    stack.rows("insert into revocation (kind, name, requested_by) values ('serial', 'abcd', 'test') returning 1")
    assert stack.value("select cause from canary_news(0) order by change desc limit 1") == "serial abcd"
    wait_for(lambda: proofs(stack, "cause = 'serial abcd' and ok"), "that one to be proven")
    assert not proofs(stack, "cause = 'serial abc'")


def test_its_role_can_do_no_more(stack):
    def attempt(sql, *params):
        with psycopg.connect(f"host={stack.state}/run port=5432 dbname=muster user=muster_canary", autocommit=True) as canary:
            return canary.execute(sql, params or None).fetchall()

    other = stack.enroll("pump-1") and stack.value("select serial from certificate where device = 'pump-1'")
    assert attempt("select canary_revoke(1, %s)", other) == [(None,)]
    assert stack.value("select revoked_at is null from certificate where serial = %s", other)
    for sql in ("select revoke_device('pump-1', '', 'x')", "select revoke_certificates('pump-1', null, '', 'x')",
                "insert into revocation (kind, name, requested_by) values ('device', 'pump-1', 'x') returning 1",
                "select * from certificate", "select * from enrollment_token", "delete from revocation_proof returning 1",
                "select create_enrollment_token(repeat('0', 64), 'pump-1', '{}', 1, 60, 1, 'x', '')"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            attempt(sql)
    stack.rows("insert into device (device) values ('canary-7') returning 1")
    with pytest.raises(psycopg.errors.RaiseException, match="without the tag canary"):
        attempt("select canary_token(7, repeat('0', 64))")
    stack.rows("update device set tags = '{canary}', enabled = false where device = 'canary-7' returning 1")
    with pytest.raises(psycopg.errors.RaiseException, match="canary-7 is revoked"):
        attempt("select canary_token(7, repeat('0', 64))")


def test_old_serials_leave_the_list(stack):
    """The keys were in memory only, and are gone: a canary that proves each minute does not fill the list."""
    settled(stack)
    gone = stack.value("update certificate set revoked_at = revoked_at - interval '2 days' where serial = (select min(serial) "
                       "from certificate where device = %s and revoked_at is not null) returning serial", DEVICE)
    line = f"serial {gone.lower().lstrip('0')}\n"
    assert line in (stack.state / "broker/revoked").read_text()
    assert stack.value("select revoke_device('pump-1', 'lost', 'test')") is True
    wait_for(lambda: line not in (stack.state / "broker/revoked").read_text(), "the old serial to leave the list")
    assert stack.value("select count(*) from certificate where serial = %s", gone) == 0
    settled(stack)


def test_on_schedule(stack):
    begin = last_id(stack)
    configure(stack, 2)
    wait_for(lambda: len(proofs(stack, f"id > {begin} and cause = '' and ok")) >= 3, "three proofs without a cause")
    assert not proofs(stack, f"id > {begin} and not ok")
    configure(stack, 3600)
    wait_for(lambda: health(stack) and json.loads(health(stack))["proven"] is True, "the proof at its start")
    settled(stack)


def test_a_broker_that_is_told_nothing_is_found_out(stack):
    """The negative control: commander stands still, so nobody tells the broker."""
    settled(stack)
    begin = last_id(stack)
    stack.enroll("kiosk-8")
    commander = stack.pid("commander")
    os.kill(commander, signal.SIGSTOP)
    try:
        assert stack.value("select revoke_device('kiosk-8', 'lost', 'test')") is True
        found = wait_for(lambda: proofs(stack, f"id > {begin}"), "the finding")
    finally:
        os.kill(commander, signal.SIGCONT)
    cause, cut_s, refused, admitted, ok, serial = found[0]
    assert (cause, cut_s, refused, admitted, ok) == ("device kiosk-8", None, 0, 3, False)
    said = [json.loads(line) for line in (stack.state / "log/canary.log").read_text().splitlines() if "unproven" in line]
    assert [(line["level"], line["event"], line["serial"]) for line in said] == [("error", "revocation.unproven", serial)]
    assert 'muster_canary_proofs_total{ok="false"} 1' in health(stack, "metrics")

    settled(stack)
    shown = stack.muster("revocation", "list").stdout.splitlines()[-1]
    assert shown.startswith("NOT proven ") and shown.endswith(": not cut within 10 s, 0 of 3 tries refused, 3 let in"), shown
    assert stack.value("select restore_device('kiosk-8', 'found', 'test')") is True
    assert stack.value("select revoke_device('kiosk-8', 'lost again', 'test')") is True
    wait_for(lambda: proofs(stack, f"id > {begin + 1} and cause = 'device kiosk-8' and ok"), "it to go on and prove")
    assert stack.muster("revocation", "list").stdout.splitlines()[-1].startswith("proven ")
    settled(stack)


def test_a_person_who_shuts_it_out_is_not_overruled(stack):
    settled(stack)
    begin = last_id(stack)
    stack.enroll("kiosk-9")
    stack.muster("device", "revoke", DEVICE, "--yes")
    wait_for(lambda: f"muster device restore {DEVICE}" in (stack.state / "log/canary.log").read_text(),
             "the canary to say what would help")
    assert stack.value("select enabled from device where device = %s", DEVICE) is False
    stack.muster("device", "restore", DEVICE)
    settled(stack)
    assert stack.value("select revoke_device('kiosk-9', 'lost', 'test')") is True
    wait_for(lambda: proofs(stack, f"id > {begin} and cause = 'device kiosk-9' and ok"), "it to prove again")
    assert not proofs(stack, f"id > {begin} and not ok"), "no false alarm"


def test_configuration_is_checked(stack):
    good = stack.state / "conf/canary.conf"
    bad = stack.state / "conf/canary-bad.conf"
    bad.write_text(good.read_text() + "surprise = 1;\n")
    assert run(stack.bin / "muster-canary", "--check-config", "--config", good).returncode == 0
    done = run(stack.bin / "muster-canary", "--check-config", "--config", bad, check=False)
    assert done.returncode == 1 and "surprise" in done.stderr
