"""SIGKILL of each part while 20 devices report: afterwards each message is in the database once.

The witness is the simulator's own ledger, fsynced before a message is handed on, never our logs. The negative control
runs the same check with devices that delete on PUBACK, and must be caught.
"""
import collections
import json
import os
import signal
import subprocess

from stack import wait_for

STACK_ARGS = ["--sims", "0"]
COUNT, LIMIT, INTERVAL_MS = 20, 75, 200  # LIMIT: readings of each device at the least
DRAIN_S = 300


class Fleet:
    """20 simulated devices in one process, with their ledger. They report until finish()."""

    def __init__(self, stack, prefix, *arguments, token_options=()):
        self.stack, self.prefix = stack, prefix
        self.folder = stack.state / f"fleet-{prefix}"
        self.folder.mkdir(exist_ok=True)
        self.ledger = self.folder / "ledger"
        token = self.folder / "token"
        token.write_text(stack.token("--uses", str(COUNT), *token_options))
        token.chmod(0o600)
        self.output = open(self.folder / "output", "a+")
        self.process = subprocess.Popen(
            [stack.bin / "muster-sim", "run", "--state", self.folder, "--bridge", f"https://localhost:{stack.ports['bridge']}",
             "--ca", stack.state / "ca/service.crt", "--token-file", token, "--count", str(COUNT), "--prefix", prefix,
             "--interval-ms", str(INTERVAL_MS), "--ledger", self.ledger, "--drain-s", str(DRAIN_S), "--backoff-ms", "2000", "--json",
             *arguments],
            stdout=self.output, stderr=subprocess.STDOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(180)
        self.output.close()

    def finish(self):
        """No more readings; once all outboxes are empty, what the devices counted."""
        self.process.terminate()
        try:
            assert self.process.wait(DRAIN_S + 30) == 0
        except (subprocess.TimeoutExpired, AssertionError):
            self.output.seek(0)
            raise AssertionError(f"the devices did not finish: {self.output.read()[-3000:]}") from None
        self.output.seek(0)
        return json.loads([line for line in self.output.read().splitlines() if '"stored"' in line][-1])

    def lines(self):
        return len(self.ledger.read_text().splitlines()) if self.ledger.exists() else 0

    def rows(self):
        return self.stack.value("select count(*) from telemetry where device like %s", self.prefix + "%")

    def compare(self):
        """(lost, twice, foreign): ledger against the database."""
        ledger = collections.Counter()
        for line in self.ledger.read_text().splitlines():
            device, epoch, seq, _ = line.split()
            ledger[device, epoch, int(seq)] = 1
        stored = collections.Counter()
        for table in ("telemetry", "event", "command_result"):
            for row in self.stack.rows(f"select device, epoch, seq from {table} where device like %s and epoch not like '-%%'",
                                       self.prefix + "%"):
                stored[row] += 1
        twice = [key for key, times in stored.items() if times > 1]
        return sorted(set(ledger) - set(stored)), twice, sorted(set(stored) - set(ledger))


def test_nothing_lost_nothing_twice(stack):
    with Fleet(stack, "kill-") as fleet:
        wait_for(lambda: fleet.rows() > 100, "the fleet to report")
        commands = []
        for part in ("ingest", "commander", "broker", "postgres", "agent"):
            commands += [ping(stack, f"kill-{number:03}") for number in range(1, 5)]
            before = fleet.rows()
            if part == "broker":
                kill_holding(stack, fleet, 100)
            else:
                stack.kill(part)
            wait_for(lambda: recovered(fleet, before), f"rows after kill -9 of {part}")
        wait_for(lambda: fleet.lines() >= COUNT * LIMIT, "the devices to have said enough")
        summary = fleet.finish()
        wait_for(lambda: stack.value("select count(*) from command where id::text = any(%s) and state = 'succeeded'",
                                     commands) == len(commands), "every ping to succeed")
    lost, twice, foreign = fleet.compare()
    assert (lost, twice, foreign) == ([], [], [])
    assert summary["resent"] > 0, "no redelivery was seen: the run tested nothing"
    # A command that came again is answered again, but done once: the devices' own journal tells.
    effects = collections.Counter(line.split()[2] for line in (fleet.folder / "kill-commands.journal").read_text().splitlines()
                                  if '"succeeded"' in line)
    assert effects == collections.Counter(commands)
    ends = stack.rows("select command::text, count(*) from command_event where state = 'succeeded' group by command")
    assert {row for row in ends if row[0] in commands} == {(command, 1) for command in commands}


def kill_holding(stack, fleet, count):
    """SIGKILL of the broker while it holds messages that it has acknowledged, for ingest stands still."""
    ingest = stack.pid("ingest")
    os.kill(ingest, signal.SIGSTOP)
    try:
        lines = fleet.lines()
        wait_for(lambda: fleet.lines() > lines + count, "messages held by the broker")
        stack.kill("broker")
    finally:
        os.kill(ingest, signal.SIGCONT)


def ping(stack, device):
    """Asks for a ping; while the database is on its way back the answer is exit 5, "try again"."""
    done = wait_for(lambda: (lambda one: one if one.returncode != 5 else None)(
        stack.muster("command", "send", device, "ping", "--json", check=False)), "the API to take a command")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["id"]


def recovered(fleet, before):
    try:
        return fleet.rows() > before or fleet.process.poll() is not None
    except Exception:  # the database is on its way back
        return False


def test_the_agent_too(stack):
    """The real agent, killed again and again: its sequence in the database has no hole and no twin."""
    device = stack.value("select device from device_state where agent_version not like 'sim-%' limit 1")

    def count():
        return stack.value("select count(*) from telemetry where device = %s", device)

    stack.muster("command", "send", device, "set_interval", "--params", '{"seconds":5}', "--wait")
    for _ in range(3):
        stack.kill("agent")
        before = count()
        wait_for(lambda: count() > before, "the agent to report again")
    epochs = stack.rows("select epoch, contiguous, highest, dropped from ledger where device = %s and epoch not like '-%%'", device)
    assert len(epochs) == 1, "one outbox, one epoch"
    epoch, contiguous, highest, dropped = epochs[0]
    assert contiguous == highest and dropped == 0
    seqs = [row[0] for table in ("telemetry", "event", "command_result") for row in
            stack.rows(f"select seq from {table} where device = %s and epoch = %s", device, epoch)]
    assert len(seqs) == len(set(seqs))
    inventory = stack.value("select count(*) from inventory where device = %s", device)
    assert contiguous - len(seqs) <= inventory + 10, "only replaced inventories have no row of their own"


def test_negative_control_delete_on_puback_is_caught(stack):
    """Devices that trust PUBACK lose what the broker held in memory; the same comparison must see it."""
    with Fleet(stack, "naive-", "--forget-on-puback") as fleet:
        wait_for(lambda: fleet.rows() > 20, "the naive fleet to report")
        kill_holding(stack, fleet, 100)
        fleet.finish()
    stack.muster("stack", "restart", "ingest")
    lost, _, _ = fleet.compare()
    assert len(lost) > 0, "the loss was not seen: the test of the real fleet proves nothing"


