"""The real agent with an outbox on disk, which we read only while it is dead; what is in it then is our ledger."""
import json
import os
import shutil
import signal
import sqlite3
import subprocess

import psycopg

from lab import DIE_WITH_PARENT, now, run, wait_for

SENT_MS = "(extract(epoch from ts) * 1000)::bigint"
ROWS_SQL = " union all ".join(
    f"select seq, {SENT_MS}, {members} from {table} where device = %s and epoch = %s"
    for table, members in (("telemetry", "to_jsonb(telemetry)"), ("event", "body"), ("command_result", "body")))


class Agent:
    def __init__(self, lab, name, folder=None, environment=None, options="interval_s = 1;"):
        self.lab, self.name = lab, name
        self.folder = folder or lab.work / f"agent-{name}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, **(environment or {})}
        self.config = lab.work / f"{name}.conf"
        self.config.write_text(
            f'state_dir = "{self.folder}";\n{options}\n'
            f'bridge = {{ url = "https://localhost:{lab.ports["bridge"]}"; ca_file = "{lab.state}/ca/service.crt"; }};\n'
            f'broker = {{ host = "127.0.0.1"; port = {lab.ports["devices"]}; }};\n')
        token = lab.work / f"{name}.token"
        token.write_text(lab.token("--device", name))
        token.chmod(0o600)
        run(lab.bin / "muster-agent", "enroll", "--config", self.config, "--token-file", token)
        self.log = open(lab.work / f"{name}.log", "a", encoding="utf-8")  # pylint: disable=consider-using-with
        self.process = None
        self.ledger = {}  # (epoch, seq): (topic, body), everything that was ever found in the dead agent's outbox
        self.epoch, self.next_seq, self.waiting, self.redelivered = None, 1, [], 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(180)
        self.log.close()

    def start(self, crash_at=""):
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [*DIE_WITH_PARENT, self.lab.bin / "muster-agent", "run", "--config", self.config],
            stdout=self.log, stderr=self.log, env={**self.environment, "MUSTER_CRASH_AT": crash_at})

    def wait_death(self, what):
        wait_for(lambda: self.process.poll() is not None, f"the agent to die ({what})")
        assert self.process.returncode == -signal.SIGKILL, f"the agent ended with {self.process.returncode} ({what})"
        self.read_outbox()

    def kill(self):
        self.process.kill()
        self.wait_death("killed")

    def read_outbox(self):
        """Reads a copy: opening the file itself would bring its write-ahead log to an end, as only the agent may."""
        copy = self.lab.work / f"{self.name}-copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        source = next(self.folder.glob("outbox*.db"))
        for path in self.folder.glob(source.name + "*"):
            shutil.copy(path, copy)
        with sqlite3.connect(copy / source.name) as database:
            values = dict(database.execute("select name, value from value"))
            rows = database.execute("select seq, topic, body from message order by seq").fetchall()
        self.epoch = values["epoch"]
        self.next_seq = max(int(values.get("next_seq", 1)), rows[-1][0] + 1 if rows else 1, self.next_seq)
        self.waiting = [seq for seq, _, _ in rows]
        for seq, topic, body in rows:
            self.ledger[self.epoch, seq] = topic, json.loads('{' + body)
        return values

    def stored(self):
        """{seq: [(ts, members), ...]} of the agent's rows; None while the database is away."""
        found = {}
        try:
            for seq, sent_ms, members in self.lab.rows(ROWS_SQL, *[self.name, self.epoch] * 3):
                found.setdefault(seq, []).append((sent_ms, members))
        except psycopg.OperationalError:
            return None
        return found

    def stored_count(self):
        """Readings that are in the database, whatever their epoch."""
        return self.lab.value("select count(*) from telemetry where device = %s", self.name)

    def inventories(self):
        with self.lab.witness.lock:
            heard = {seq for device, epoch, seq in self.lab.witness.inventories if device == self.name and epoch == self.epoch}
        return heard | {seq for (epoch, seq), (topic, _) in self.ledger.items() if epoch == self.epoch and "/inventory/" in topic}

    def count_redelivered(self):
        """What is in the database and still in the outbox comes again, for certain."""
        stored = self.stored() or {}
        self.redelivered += sum(1 for seq in self.waiting if seq in stored)

    def recover(self):
        """From now until all that waited in the outbox is in the database: seconds."""
        began, wanted = now(), set(self.waiting)

        def there():
            assert self.process.poll() is None, f"the agent ended with {self.process.returncode}"
            stored = self.stored()
            return stored is not None and wanted <= set(stored) | self.inventories()

        wait_for(there, f"{len(wanted)} messages of the agent")
        return now() - began

    def finish(self, result):
        """Lets the outbox get empty, ends the agent, and checks I1 to I3 and I5 into the result."""
        # A last reading is always under way: the end comes between two.
        def empty():
            self.process.terminate()
            self.process.wait(180)
            self.read_outbox()
            if not self.waiting:
                return True
            self.start()
            self.recover()
            return False

        wait_for(empty, "the agent's outbox to be empty")
        stored = self.stored()
        inventories = self.inventories()
        lost = [seq for seq in range(1, self.next_seq) if seq not in stored and seq not in inventories]
        twice = [seq for seq, rows in stored.items() if len(rows) > 1]
        foreign = [seq for seq in stored if seq >= self.next_seq]
        altered = [seq for (epoch, seq), (topic, body) in self.ledger.items()
                   if epoch == self.epoch and seq in stored and not same(stored[seq][0], body)]
        result.messages += self.next_seq - 1
        result.lost += len(lost)
        result.twice += len(twice)
        result.redelivered += self.redelivered
        if len({epoch for epoch, _ in self.ledger}) > 1:
            result.problems.append("I1: the agent's outbox was made anew")
        for seqs, what in ((lost, "I1: lost"), (twice, "I2: twice"), (foreign, "I3: not sent by the agent"),
                           (altered, "I3: not what was sent")):
            if seqs:
                result.problems.append(f"{what}: {len(seqs)} of the agent, such as seq {seqs[0]}")


def same(row, body):
    """Whether a row holds what the message said; real columns have seven digits."""
    sent_ms, members = row
    if sent_ms != body["ts"]:
        return False
    known = {**members, **(members.get("custom") or {})}
    for name, value in body.items():
        if name in ("epoch", "seq", "ts", "type", "command", "state"):
            continue
        there = known.get(name)
        if isinstance(value, float) and isinstance(there, (int, float)):
            if abs(there - value) > 1e-5 * max(1.0, abs(value)):
                return False
        elif there != value:
            return False
    return True
