"""The audit: everything that changes something is in it, and nothing in it can be changed without showing."""
import contextlib
import hashlib
import json
import subprocess
import threading

import psycopg
import pytest

from stack import run

ROLES = ("muster_dashboard", "muster_commander", "muster_admin", "muster_bridge", "muster_ingest", "muster_canary")


def verify(stack, *arguments):
    done = stack.muster("audit", "verify", "--json", *arguments, check=False)
    return done.returncode, json.loads(done.stdout or done.stderr)


def entry(stack, action, target="", actor="test", **detail):
    stack.rows("insert into audit (actor, action, target, detail) values (%s, %s, %s, %s::jsonb) returning 1",
               actor, action, target, json.dumps(detail))


def key(stack, role):
    """An API key of somebody with this role."""
    token = hashlib.sha256(role.encode()).hexdigest()[:43]
    stack.rows("with u as (insert into user_account (name, role) values (%s, %s) on conflict do nothing)"
               " insert into access_token (token_hash, kind, user_name, expires_at) values (%s, 'api', %s, now() + interval '1 hour')"
               " on conflict do nothing returning 1", f"a-{role}", role, hashlib.sha256(token.encode()).digest(), f"a-{role}")
    return token


def api(stack, path, role="auditor"):
    done = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", "-H", f"Authorization: Bearer {key(stack, role)}",
               "-w", "\n%{http_code}", f"https://localhost:{stack.ports['dashboard']}/api/v1/{path}")
    text, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(text)


@contextlib.contextmanager
def forged(stack, *statements):
    """Does what only the owner of the database can do, with its guards off; takes it back afterwards."""
    with stack.connect() as connection:
        connection.execute("create table kept_audit as table audit")
        connection.execute("create table kept_link as table audit_link")
        connection.execute("alter table audit disable trigger all; alter table audit_link disable trigger all")
        try:
            for statement in statements:
                assert connection.execute(statement).rowcount > 0, statement
            yield
        finally:
            connection.execute("delete from audit; delete from audit_link")
            connection.execute("insert into audit overriding system value table kept_audit; insert into audit_link table kept_link")
            connection.execute("drop table kept_audit; drop table kept_link")
            connection.execute("alter table audit enable trigger all; alter table audit_link enable trigger all")


def test_nobody_changes_what_stands_there(stack):
    entry(stack, "test.kept", "one")
    for statement in ("update audit set actor = 'x'", "delete from audit", "truncate audit", "update audit_link set position = 9",
                      "delete from audit_link", "truncate audit_link", "delete from audit_checkpoint where false; truncate audit_checkpoint"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="insert only"):
            stack.rows(statement)
    for role in ROLES:
        for table in ("audit", "audit_link", "audit_checkpoint"):
            for right in ("update", "delete", "truncate"):
                assert not stack.value("select has_table_privilege(%s, %s, %s)", role, table, right), (role, table, right)
        for table in ("audit_link", "audit_checkpoint"):
            assert not stack.value("select has_any_column_privilege(%s, %s, 'insert')", role, table), role
        for column in ("id", "at"):
            assert not stack.value("select has_column_privilege(%s, 'audit', %s, 'insert')", role, column), (role, column)
    assert verify(stack)[0] == 0


def test_each_forgery_is_found_where_it_is(stack):
    for number in range(6):
        entry(stack, "test.forged", f"row-{number}", number=number)
    code, before = verify(stack)
    assert code == 0 and before["verified"], before
    first = before["head"]["position"] - 5
    point = f"{before['head']['position']}:{before['head']['hash']}"
    at = f"(select audit from audit_link where position = {first + 2})"
    hashed = "sha256(convert_to(audit_text(l.position, l.prev, a), 'UTF8'))"
    cases = [
        ([f"update audit set actor = 'nobody' where id = {at}"], f"position {first + 2} was changed"),
        ([f"update audit set at = at - interval '1 microsecond' where id = {at}"], f"position {first + 2} was changed"),
        ([f"update audit set detail = detail || '{{\"x\":1}}' where id = {at}"], f"position {first + 2} was changed"),
        ([f"update audit set actor = 'nobody' where id = {at}",  # with its hash made anew
          f"update audit_link l set hash = {hashed} from audit a where a.id = l.audit and position = {first + 2}"],
         f"position {first + 3} does not follow"),
        ([f"delete from audit where id = {at}"], f"position {first + 2} was deleted"),
        ([f"delete from audit where id = {at}", f"delete from audit_link where position = {first + 2}"],
         f"position {first + 2} is missing"),
        ([f"update audit_link set audit = -audit where position in ({first}, {first + 1})",  # two change places
          f"update audit_link k set audit = -l.audit from audit_link l where l.position = {2 * first + 1} - k.position"
          f" and k.position in ({first}, {first + 1})"], f"position {first} was changed"),
        (["insert into audit (actor, action) values ('forger', 'nothing')"], "without being in its chain"),
    ]
    for statements, told in cases:
        with forged(stack, *statements):
            code, found = verify(stack)
            assert code == 1 and told in found["error"], (told, found)
        assert verify(stack)[0] == 0
    # Cut off at its end, the chain is whole by itself, and shows against a point that was kept elsewhere.
    with forged(stack, f"delete from audit where id in (select audit from audit_link where position > {first + 3})",
                f"delete from audit_link where position > {first + 3}"):
        assert verify(stack)[0] == 0
        code, found = verify(stack, "--expect", point)
        assert code == 1 and f"ends at position {first + 3}" in found["error"], found
    entry(stack, "test.after")
    assert verify(stack, "--expect", point)[0] == 0
    assert verify(stack, "--expect", point[:-1] + ("0" if point[-1] != "0" else "1"))[0] == 1
    assert verify(stack, "--expect", "nonsense")[0] == 2


def test_an_export_proves_itself_to_anybody(stack):
    entry(stack, "test.export", "ünïcode \"quoted\" \\ </script>", note="a\nb", number=1.50, nested={"z": [1, None], "a": True})
    path = stack.state / "audit.ndjson"
    path.write_text(stack.muster("audit", "export").stdout)
    code, head = verify(stack, "--file", path)
    assert code == 0, head
    before = "0" * 64  # what section 24 says, without anything of Muster's
    for position, line in enumerate(path.read_bytes().splitlines(), 1):
        row = line[len(b'{"hash":"') + 64 + len(b'","row":'):-1]
        said = json.loads(line)
        assert said["row"]["position"] == position and said["row"]["prev"] == before
        before = said["hash"]
        assert hashlib.sha256(row).hexdigest() == before, said
    assert head["head"] == {"position": position, "hash": before}
    lines = path.read_text().splitlines()
    for wrong, told in ((lines[:3] + lines[4:], "position 4 is missing"), ([*lines[:2], lines[3], lines[2]], "position 3 is missing"),
                        ([*lines[:2], lines[2].replace('"actor": "', '"actor": "x')], "position 3 was changed")):
        (stack.state / "wrong").write_text("\n".join(wrong) + "\n")
        code, found = verify(stack, "--file", stack.state / "wrong")
        assert code == 1 and told in found["error"], found
    part = stack.state / "part"
    part.write_text("\n".join(lines[3:]) + "\n")
    assert verify(stack, "--file", part)[0] == 0
    assert verify(stack, "--file", path, "--expect", f"{position + 1}:{before}")[0] == 1


def test_the_chain_is_one_line_however_many_write(stack):
    def write(number):
        with stack.connect() as connection, connection.transaction():
            for row in range(20):
                connection.execute("insert into audit (actor, action, target) values ('many', 'test.many', %s)", [f"{number}-{row}"])
                if row == 10 and number % 3 == 0:
                    raise psycopg.Rollback()

    before = stack.value("select max(position) from audit_link")
    threads = [threading.Thread(target=write, args=(number,)) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stack.value("select count(*) from audit where action = 'test.many'") == 6 * 20
    assert stack.value("select max(position) from audit_link") == before + 6 * 20
    assert verify(stack)[0] == 0


def test_it_is_looked_through_by_those_who_may(stack):
    for number in range(7):
        entry(stack, "look.at" if number % 2 else "look.over", f"thing-{number}", actor="looker", device=f"dev-{number % 3}")
    for role in ("viewer", "operator"):
        assert api(stack, "audit", role)[0] == 403 and api(stack, "audit/verify", role)[0] == 403
    for role in ("auditor", "administrator"):
        status, page = api(stack, "audit?actor=looker&limit=5", role)
        assert status == 200 and [row["target"] for row in page["items"]] == [f"thing-{n}" for n in (6, 5, 4, 3, 2)], page
        status, rest = api(stack, f"audit?actor=looker&limit=5&after={page['next']}", role)
        assert [row["target"] for row in rest["items"]] == ["thing-1", "thing-0"] and rest["next"] is None
    row = page["items"][0]
    assert row["hash"] == stack.value("select encode(hash, 'hex') from audit_link where position = %s", row["position"])

    def targets(query):
        status, answer = api(stack, f"audit?{query}")
        assert status == 200, answer
        return [row["target"] for row in answer["items"]]

    assert targets("action=look.at") == ["thing-5", "thing-3", "thing-1"]
    assert len(targets("action=look.&actor=looker")) == 7 and targets("action=look") == []
    assert targets("target=thing-4") == ["thing-4"] and targets("device=dev-1&actor=looker") == ["thing-4", "thing-1"]
    assert targets("device=thing-4") == ["thing-4"], "what was done to a device itself"
    assert targets("actor=looker&to=2020-01-01T00:00:00Z") == [] and len(targets("actor=looker&from=2020-01-01T00:00:00Z")) == 7
    for bad in ("from=yesterday", "after=1", "after=x.y", "limit=0"):
        assert api(stack, f"audit?{bad}")[0] == 400, bad
    listed = json.loads(stack.muster("audit", "list", "--actor", "looker", "--limit", "2", "--json").stdout)
    assert [row["target"] for row in listed["items"]] == ["thing-6", "thing-5"]
    assert "thing-6" in stack.muster("audit", "list", "--action", "look.").stdout


def test_the_page_can_check_it_in_steps(stack):
    head = stack.value("select max(position) from audit_link")
    checked, steps = 0, 0
    while checked < head:
        status, answer = api(stack, f"audit/verify?after={checked}&limit=40")
        assert status == 200 and answer["ok"] and answer["checked"] > checked, answer
        checked, steps = answer["checked"], steps + 1
    assert steps > 1 and answer["hash"] == answer["head"]["hash"]
    with forged(stack, "update audit set actor = 'x' where id = (select audit from audit_link where position = 50)"):
        assert api(stack, "audit/verify?limit=40")[1]["ok"]
        answer = api(stack, "audit/verify?after=40&limit=40")[1]
        assert (answer["ok"], answer["wrong"], answer["fault"], answer["checked"]) == (False, 50, "changed", 49), answer
    with forged(stack, "delete from audit where id = (select audit from audit_link where position = 45)",
                "delete from audit_link where position = 45"):
        answer = api(stack, "audit/verify?after=40")[1]
        assert (answer["ok"], answer["wrong"], answer["fault"]) == (False, 45, "missing"), answer


def test_retention_leaves_a_sealed_checkpoint(stack):
    point = verify(stack)[1]["head"]
    entry(stack, "test.newest")
    done = stack.muster("audit", "prune", "--older", "1s", check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and "--yes" in done.stderr and verify(stack)[1]["head"]["position"] >= point["position"]
    assert stack.muster_json("audit", "prune", "--older", "1h", "--yes") == {"pruned": 0}
    gone = stack.value("select prune_audit(now(), 'test')")
    assert gone == point["position"], "the last row stays"
    code, after = verify(stack, "--expect", f"{point['position']}:{point['hash']}")
    assert code == 0 and after["from"] == point["position"] + 1 and after["rows"] == 2, after
    assert stack.rows("select action, detail->>'hash' from audit order by id desc limit 1") == [("audit.prune", point["hash"])]
    answer = api(stack, "audit/verify")[1]
    assert answer["ok"] and answer["start"] == point["position"] and answer["hash"] == answer["head"]["hash"], answer
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        stack.rows("delete from audit")
    # A checkpoint that retention did not make does not count.
    with stack.connect() as connection:
        connection.execute("begin")
        connection.execute("insert into audit_checkpoint select position, hash, now(), 'forger' from audit_link order by position desc limit 1")
        connection.execute("delete from audit; delete from audit_link; commit")
    code, found = verify(stack)
    assert code == 1 and "not the work of retention" in found["error"], found
