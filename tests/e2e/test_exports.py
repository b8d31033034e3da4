"""Exports: the files are what the database holds, in three forms; downloads go on where they were cut; a dashboard that is
killed begins again; what has expired is gone; nobody gets another's. And answers in JSON are compressed for who asks."""
import csv
import hashlib
import io
import json
import os
import secrets

import pytest
from stack import run, wait_for

STACK_ARGS = ["--sims", "0", "--no-agent"]
READINGS = 160_000
TRICK = '=HYPERLINK("http://x","a,b")'


@pytest.fixture(scope="module", autouse=True)
def fleet(stack):
    stack.rows("insert into device (device, display_name, tags, enrolled_at) select 'dev-' || n, case n when 1 then %s end,"
               " array['kiosk', 't' || n %% 2], now() from generate_series(1, 20) n returning 1", TRICK)
    stack.rows("insert into device_state (device, presence, presence_since, last_seen, rssi_dbm)"
               " select device, 'online', now(), now(), -70 from device returning 1")
    stack.rows("with r as (insert into telemetry (device, epoch, seq, ts, received_at, measured_at, battery_pct, custom)"
               " select 'dev-' || 1 + n %% 20, 'e', n, t, t, t, n %% 100, '{\"door\":\"open, \\\"wide\\\"\"}'"
               " from generate_series(1, %s) n, lateral (select now() - n * interval '0.01 s' as t) x returning 1)"
               " select count(*) from r", READINGS)


@pytest.fixture(scope="module")
def other(stack):
    """The token of a viewer."""
    token = secrets.token_urlsafe(32)
    stack.rows("insert into user_account (name, role) values ('eve', 'viewer') returning 1")
    stack.rows("insert into access_token (token_hash, kind, user_name, label, expires_at) values (%s, 'api', 'eve', 't',"
               " now() + interval '1 hour') returning 1", hashlib.sha256(token.encode()).digest())
    return token


def curl(stack, path, *options, token=None, text=True):
    """(status, headers, body)"""
    token = token or (stack.state / "api-token").read_text().strip()
    head = stack.state / f"head-{secrets.token_hex(4)}"
    body = stack.state / f"body-{secrets.token_hex(4)}"
    done = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", "-H", f"Authorization: Bearer {token}", "-D", head,
               "-o", body, "-w", "%{http_code}", *options, f"https://localhost:{stack.ports['dashboard']}{path}")
    headers = {name.lower(): value.strip() for name, _, value in
               (line.partition(":") for line in head.read_text().splitlines() if ":" in line)}
    content = body.read_bytes() if body.exists() else b""
    return int(done.stdout), headers, content.decode() if text else content


def ask(stack, token=None, **body):
    status, _, text = curl(stack, "/api/v1/exports", "--json", json.dumps(body), token=token)
    assert status == 202, text
    return json.loads(text)["id"]


def state(stack, export):
    return json.loads(curl(stack, f"/api/v1/exports/{export}")[2])


def finished(stack, export, seconds=180):
    return wait_for(lambda: (lambda now: now if now["state"] not in ("queued", "running") else None)(state(stack, export)),
                    f"export {export}", seconds)


def fetch(stack, **body):
    export = ask(stack, **body)
    now = finished(stack, export)
    assert now["state"] == "done", now
    status, headers, content = curl(stack, now["file"], text=False)
    assert status == 200 and len(content) == now["bytes"] == int(headers["content-length"])
    return now, headers, content.decode()


def test_devices_as_csv(stack):
    now, headers, text = fetch(stack, kind="devices", format="csv", query="tag:t1",
                               columns=["device", "display_name", "tags", "status", "enrolled_at", "rssi_dbm", "agent_version"])
    assert headers["content-type"].startswith("text/csv")
    assert "attachment" in headers["content-disposition"] and headers["x-content-type-options"] == "nosniff"
    assert now["rows"] == 10 and text.endswith("\r\n")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows[0] == ["device", "display_name", "tags", "status", "enrolled_at", "rssi_dbm", "agent_version"]
    first = next(row for row in rows if row[0] == "dev-1")
    assert first[1] == "'" + TRICK, "a text that looks like a formula is defused"
    assert json.loads(first[2]) == ["kiosk", "t1"] and first[3] == "online" and first[5:] == ["-70", ""]
    assert first[4].endswith("Z") and "T" in first[4]
    folder = stack.state / "exports"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / f"{now['id']}.data").stat().st_mode & 0o777 == 0o600
    assert stack.value("select count(*) from audit where action = 'export.create' and target = %s", now["id"]) == 1


def test_other_kinds_and_forms(stack):
    _, _, text = fetch(stack, kind="telemetry", format="ndjson", device="dev-3", columns=["device", "seq", "custom"])
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == READINGS // 20 and {line["device"] for line in lines} == {"dev-3"}
    assert lines[0]["custom"] == {"door": 'open, "wide"'} and isinstance(lines[0]["seq"], int)
    _, _, text = fetch(stack, kind="audit", format="json")
    assert any(row["action"] == "export.create" for row in json.loads(text))
    _, _, text = fetch(stack, kind="events", format="json", **{"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"})
    assert json.loads(text) == []
    for wrong, word in [({"kind": "users"}, "kind"), ({"kind": "devices", "from": 1}, "from"),
                        ({"kind": "devices", "columns": ["secret"]}, "column"), ({"kind": "devices", "query": "tag:"}, "")]:
        status, _, text = curl(stack, "/api/v1/exports", "--json", json.dumps(wrong))
        assert status == 422 and word in json.loads(text)["detail"], (wrong, text)


def test_a_cut_download_goes_on(stack):
    now, headers, whole = fetch(stack, kind="telemetry", format="csv", device="dev-5")
    path, etag = now["file"], headers["etag"]
    assert headers["accept-ranges"] == "bytes"
    part = stack.state / "cut.csv"
    status, head, body = curl(stack, path, "-r", "0-99999", text=False)
    assert status == 206 and head["content-range"] == f"bytes 0-99999/{len(whole)}" and len(body) == 100_000
    part.write_bytes(body)
    token = (stack.state / "api-token").read_text().strip()
    run("curl", "-sS", "-C", "-", "--cacert", stack.state / "ca/service.crt", "-H", f"Authorization: Bearer {token}",
        "-H", f"If-Range: {etag}", "-o", part, f"https://localhost:{stack.ports['dashboard']}{path}")
    assert part.read_bytes().decode() == whole
    status, _, body = curl(stack, path, "-r", "5-9", "-H", 'If-Range: "another"')
    assert status == 200 and len(body) == len(whole)
    assert curl(stack, path, "-r", f"{len(whole)}-")[0] == 416
    assert curl(stack, path, "-H", f"If-None-Match: {etag}")[0] == 304
    status, head, _ = curl(stack, path, "-I")
    assert status == 200 and int(head["content-length"]) == len(whole)
    # The command does all this by itself.
    out = stack.state / "by-command.csv"
    out.write_bytes(whole[:1000].encode())
    stack.muster("export", "get", now["id"], "--out", out)
    assert out.read_bytes().decode() == whole


def test_of_nobody_else(stack, other):
    now, _, _ = fetch(stack, kind="devices", format="json")
    for path in (f"/api/v1/exports/{now['id']}", now["file"]):
        assert curl(stack, path, token=other)[0] == 404
    assert curl(stack, f"/api/v1/exports/{now['id']}", "-X", "DELETE", token=other)[0] == 404
    assert json.loads(curl(stack, "/api/v1/exports", token=other)[2])["items"] == []
    assert curl(stack, "/api/v1/exports", "--json", '{"kind":"audit"}', token=other)[0] == 403
    assert curl(stack, f"/api/v1/exports/{now['id']}", "-X", "DELETE")[0] == 204
    assert curl(stack, now["file"])[0] == 404
    assert not (stack.state / f"exports/{now['id']}.data").exists()


def test_progress_cancel_restart_and_expiry(stack):
    for _ in range(10):  # until one was killed before it had ended
        keep = ask(stack, kind="telemetry", format="ndjson")
        wait_for(lambda keep=keep: state(stack, keep)["rows"] > 0, "the first rows")
        waiting = ask(stack, kind="devices", format="csv")
        stack.kill("dashboard")
        assert curl(stack, "/ready", "--retry", "180", "--retry-connrefused", "--retry-delay", "1")[0] == 200
        now = finished(stack, keep)
        assert now["state"] == "done" and now["rows"] == READINGS and not now["truncated"], now
        if stack.value("select attempts from export where id = %s", keep) == 2:
            break
    assert stack.value("select attempts from export where id = %s", keep) == 2
    assert now["estimate"] > 0  # the planner's, whatever it thinks of the policies
    assert len(curl(stack, now["file"])[2].splitlines()) == READINGS
    assert finished(stack, waiting)["state"] == "done"

    for _ in range(10):  # until one was cancelled before it had ended
        cancelled = ask(stack, kind="telemetry", format="json")
        wait_for(lambda export=cancelled: state(stack, export)["rows"] > 0, "the first rows")
        status = curl(stack, f"/api/v1/exports/{cancelled}", "-X", "DELETE")[0]
        assert status in (200, 204)
        if status == 200:
            break
    assert finished(stack, cancelled)["state"] == "cancelled"
    assert not list((stack.state / "exports").glob(f"{cancelled}.*"))

    stack.rows("update export set expires_at = now() where id = %s returning 1", keep)
    orphan = stack.state / "exports" / f"{'0' * 8}-0000-4000-8000-{'0' * 12}.part"
    orphan.write_text("left by a crash")
    stack.kill("dashboard")
    assert curl(stack, "/ready", "--retry", "180", "--retry-connrefused", "--retry-delay", "1")[0] == 200
    wait_for(lambda: state(stack, keep)["state"] == "expired", "the end of an export")
    assert curl(stack, now["file"])[0] == 410
    wait_for(lambda: not orphan.exists() and not (stack.state / f"exports/{keep}.data").exists(), "its file to go")


def test_ceilings(stack, other):
    with stack.connect() as owner, owner.transaction():
        owner.execute("lock table telemetry in access exclusive mode")  # none of them ends before
        exports = [ask(stack, token=other, kind="telemetry", format="csv") for _ in range(3)]
        status, _, text = curl(stack, "/api/v1/exports", "--json", '{"kind":"devices"}', token=other)
        assert status == 409 and "under way" in text
    for export in exports:
        assert curl(stack, f"/api/v1/exports/{export}", "-X", "DELETE", token=other)[0] in (200, 204)


def test_command(stack):
    out = stack.state / "devices.ndjson"
    stack.muster("export", "create", "devices", "--format", "ndjson", "--columns", "device,tags", "--out", out)
    assert [set(json.loads(line)) for line in out.read_text().splitlines()] == [{"device", "tags"}] * 20
    listed = stack.muster_json("export", "list")["items"]
    assert listed[0]["kind"] == "devices" and listed[0]["state"] == "done"
    stack.muster("export", "cancel", listed[0]["id"])
    assert stack.muster("export", "get", listed[0]["id"], check=False).returncode == 3
    assert stack.muster("export", "create", "users", check=False).returncode == 2


def test_json_is_compressed_where_it_may_be(stack):
    _, plain_head, plain = curl(stack, "/api/v1/devices")
    status, head, text = curl(stack, "/api/v1/devices", "--compressed")
    assert status == 200 and head["content-encoding"] == "gzip" and "content-encoding" not in plain_head
    assert [device["device"] for device in json.loads(text)["items"]] == [d["device"] for d in json.loads(plain)["items"]]
    assert int(head["content-length"]) < len(plain) / 3
    assert "content-encoding" not in curl(stack, "/api/v1/session", "--compressed")[1], "too small"
    status, head, _ = curl(stack, "/api/v1/tokens", "--compressed", "--json", json.dumps({"tags": ["x" * 64] * 32}))
    assert status == 201 and "content-encoding" not in head, "an answer with a secret is never compressed"
