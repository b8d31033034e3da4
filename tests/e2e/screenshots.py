"""Makes the screenshots in docs/: a stack of its own with 40 simulated devices, an invented day and people's work in it.

    /usr/bin/python3 tests/e2e/screenshots.py build/x/bin docs
"""
import os
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
bin_folder, out = (pathlib.Path(path).resolve() for path in sys.argv[1:3])
os.environ["MUSTER_BIN"] = str(bin_folder)
os.environ.setdefault("MUSTER_TEST_DIR", tempfile.mkdtemp())

from page import browse  # noqa: E402
from stack import Stack, wait_for  # noqa: E402

# Each minute of the day until the stack began, as its own samples would have it: a cell that was away in the night, a rollout at ten.
DAY_SQL = """
insert into fleet_sample (tenant, at, span_s, online, stale, offline, never, revoked, enrolled, commands, succeeded, failed, received)
select 'default', at, 60, 84 - away - dip, 3 + (n % 3) / 2, 12 + away + dip, 2, 0, case when n % 180 = 7 then 2 else 0 end,
    done, done, case when n % 47 = 0 then 1 else 0 end, n * 260 + 40 * (n % 11)
from (select n, now() - (1440 - n) * interval '1 minute' as at, case when n between 700 and 760 then 17 else 0 end as away,
          (n / 97) % 4 as dip, case when n between 960 and 1010 then 6 when n % 13 = 0 then 1 else 0 end as done
      from generate_series(1, 1435) n) day
on conflict do nothing returning 1"""
DETAILS_SQL = [
    "update device set display_name = (array['Front desk', 'Lobby', 'Till', 'Kiosk', 'Gate'])[1 + right(device, 3)::integer % 5] || ' '"
    " || right(device, 3)::integer, tags = array[(array['berlin', 'lyon', 'oslo'])[1 + right(device, 3)::integer % 3]]"
    " where device like 'sim-%' and right(device, 3)::integer % 3 <> 0 returning 1",
    # Thresholds that some of the simulated devices are above now.
    "update alert_rule set params = params || case kind when 'disk' then '{\"above\": 83, \"for_s\": 5}'::jsonb"
    " when 'battery' then '{\"below\": 25, \"for_s\": 5}' else '{\"for_s\": 3600}' end, enabled = true"
    " where kind in ('disk', 'battery', 'offline') returning 1",
]


def work(stack):
    stack.muster("user", "add", "bob", "--role", "operator")
    stack.muster("group", "create", "front-desks", "--query", "tag:berlin")
    stack.muster("group", "create", "lobby")
    stack.muster("group", "add", "lobby", "sim-001", "sim-007", "sim-012")
    stack.muster("command", "send", "sim-007", "ring", "--params", '{"seconds":3}', "--wait", check=False)
    for action in ("ping", "ping"):
        stack.muster("command", "send", "sim-007", action, "--wait")
    stack.muster("campaign", "create", "morning check", "ping", "--query", "device:sim-*", "--canary", "5", "--rate", "90", "--start")
    wait_for(lambda: stack.value("select succeeded >= 24 from campaign order by id limit 1"), "most of the campaign")


def main():
    with Stack("screenshots", ["--sims", "40", "--sim-interval-ms", "5000"], bin_folder) as stack:
        with stack.connect() as connection:
            connection.execute("set fleet.devices = '60'; set fleet.prefix = 'branch-'")
            connection.execute((HERE.parent / "fixtures/fleet.sql").read_text())
        stack.rows(DAY_SQL)
        for sql in DETAILS_SQL:
            stack.rows(sql)
        work(stack)
        wait_for(lambda: stack.value("select count(*) >= 3 from alert where state = 'active'"), "alerts")
        out.mkdir(exist_ok=True)
        os.environ["MUSTER_SHOTS"] = str(out)
        print(browse(stack, "screenshots.mjs"))


if __name__ == "__main__":
    main()
