"""Negative controls: systems that are wrong on purpose, on which the invariants must see the loss or the twin."""
import os
import pathlib
import re
import shutil
import signal

from fault_02_ingest_killed import NUMBER as INGEST_KILLED
from fault_03_broker_killed import NUMBER as BROKER_KILLED
from fault_03_broker_killed import kill as kill_broker
from fleet import Fleet
from lab import now, wait_for
from trial import Trial

DEVICES, INTERVAL_MS = 10, 50
MESSAGES = 20  # of each device
QUIET_S = 2.0


def some_more(fleet):
    wanted = len(fleet.ledger.read().lines) + MESSAGES * fleet.count
    wait_for(lambda: fleet.alive() and len(fleet.ledger.read().lines) >= wanted, "the devices to report")


TWINS_SQL = "select count(*) from (select from telemetry where device like %s group by device, epoch, seq having count(*) > 1) twins"


def settled(trial):
    """The comparison, once no more rows come."""
    trial.fleet.finish()
    count, since = None, now()

    def quiet():
        nonlocal count, since
        before, count = count, trial.lab.value("select count(*) from telemetry where device like %s", trial.fleet.prefix + "%")
        if before != count:
            since = now()
        return now() - since > QUIET_S

    wait_for(quiet, "the last rows")
    return trial.compare()


def told(trial, found):
    parts = [f"{len(found.lost)} lost"] * bool(found.lost) + [f"{len(found.twice)} twice"] * bool(found.twice)
    return ", ".join(parts + [problem for problem in trial.result.problems if problem.startswith("I4")])


def forget_on_puback(lab):
    """Devices that delete when the broker acknowledges."""
    with Fleet(lab, "c03-", DEVICES, INTERVAL_MS, "--forget-on-puback") as fleet:
        trial = Trial(lab, fleet, BROKER_KILLED, "delete on PUBACK")
        some_more(fleet)
        kill_broker(trial)
        found = settled(trial)
        return found.lost and told(trial, found)


def naive(lab, mode):
    script = lab.tools / "naive_ingest.py"
    shutil.copy(pathlib.Path(__file__).with_name("naive_ingest.py"), script)
    script.chmod(0o644)
    conninfo = re.search(r'conninfo = "((?:[^"\\]|\\.)*)"', (lab.state / "conf/ingest.conf").read_text()).group(1)
    files = [lab.state / "ca/service.crt", lab.state / "certs/ingest.crt", lab.state / "certs/ingest.key"]
    words = [script, mode, f'"{conninfo}"', lab.ports["services"], *files]
    return "exec /usr/bin/python3 " + " ".join(map(str, words))


def naive_killed(lab, mode, prefix, kill, twins=False):
    """The naive ingest on a fleet, and killed: the trial and its comparison. twins: there must be some."""
    with lab.replaced("ingest", naive(lab, mode), notifies=False), Fleet(lab, prefix, DEVICES, INTERVAL_MS) as fleet:
        trial = Trial(lab, fleet, INGEST_KILLED, mode)
        some_more(fleet)
        old = lab.pid("ingest")
        kill(old)
        trial.stored_is_true("a kill of the naive ingest")
        lab.wait_again("ingest", old, notifies=False)
        some_more(fleet)
        if twins:
            wait_for(lambda: lab.value(TWINS_SQL, prefix + "%"), "a twin")
        return trial, settled(trial)


def early_acknowledge(lab):
    """An ingest that acknowledges, and says stored, before COMMIT."""
    def kill(pid):
        with lab.locked("telemetry"):  # it has acknowledged what it now tries to store
            lab.backend("relation")
            os.kill(pid, signal.SIGKILL)

    trial, found = naive_killed(lab, "early", "c02a-", kill)
    return found.lost and told(trial, found)


def no_unique_key(lab):
    """An ingest that relies on seeing each message once, on a table without its key; killed while it commits."""
    key = lab.value("select conname from pg_constraint where conrelid = 'telemetry'::regclass and contype = 'p'")
    with lab.connect() as connection:
        connection.execute(f"alter table telemetry drop constraint {key}")
        connection.execute("create constraint trigger faults_gate after insert on telemetry deferrable initially deferred"
                           " for each row execute function faults_gate()")

    def kill(pid):
        with lab.gate_closed():
            lab.backend()
            os.kill(pid, signal.SIGKILL)

    trial, found = naive_killed(lab, "keyless", "c02b-", kill, twins=True)
    return found.twice and told(trial, found)


# By fault: what is wrong, and the function that says how it was caught. The last one leaves the database spoiled.
CONTROLS = [
    (BROKER_KILLED, "delete from the outbox on PUBACK", forget_on_puback),
    (INGEST_KILLED, "acknowledge before COMMIT", early_acknowledge),
    (INGEST_KILLED, "no unique key", no_unique_key),
]
