"""One fault, tried again and again on a fleet: harm, cure, drain; and at the end the invariants."""
import dataclasses

import psycopg

from fleet import Fleet
from invariants import (DRAIN_BEGINS_QUICK_S, DRAIN_BEGINS_S, DUPLICATES_SQL, Present, commands_fault, compare, stored_rows)
from lab import now, wait_for

RECOVERY_MAX_S = 240


@dataclasses.dataclass
class Plan:
    """How much is done."""
    cycles: int   # of each fault
    devices: int
    interval_ms: int
    quick: bool

    @property
    def drain_begins_s(self):
        return DRAIN_BEGINS_QUICK_S if self.quick else DRAIN_BEGINS_S

    def cycles_of(self, kinds):
        """A quick run tries every kind of a fault once."""
        return kinds if self.quick else self.cycles


@dataclasses.dataclass
class Result:
    fault: int
    name: str
    cycles: int = 0
    messages: int = 0
    lost: int = 0
    twice: int = 0
    redelivered: int = 0
    longest_recovery_s: float = 0.0
    ok: bool = None  # None: not run
    problems: list = dataclasses.field(default_factory=list)
    controls: list = dataclasses.field(default_factory=list)
    took_s: float = 0.0

    def add(self, other):
        self.cycles += other.cycles
        self.messages += other.messages
        self.lost += other.lost
        self.twice += other.twice
        self.redelivered += other.redelivered
        self.longest_recovery_s = max(self.longest_recovery_s, other.longest_recovery_s)
        self.problems += other.problems

    def judge(self):
        if self.redelivered == 0:
            self.problems.append("I7: no redelivery was seen: the run tested nothing")
        self.ok = not self.problems and self.lost == 0 and self.twice == 0
        return self


class Trial:
    def __init__(self, lab, fleet, fault, name, plan=None):
        self.lab, self.fleet = lab, fleet
        self.drain_begins_s = plan.drain_begins_s if plan else DRAIN_BEGINS_S
        self.result = Result(fault, name)
        self.present = Present()
        self.commands, self.expired = [], []

    def cycle(self, harm, command=False):
        """harm() returns at the cure."""
        self.fleet.alive()
        if command:
            device = sorted(self.fleet.ledger.marks)[self.result.cycles % self.fleet.count][0]
            self.commands.append(self.lab.command(device))
        harm()
        self.recover()
        self.result.cycles += 1

    def stored_is_true(self, what):
        """I4, to be asked right after a kill: what was heard until now is in a snapshot taken now."""
        heard = self.lab.witness.heard(self.fleet.prefix)
        missing = self.lab.patient(lambda connection: Present().missing(connection, heard), "the database to answer")
        if missing:
            self.problem(f"I4: {sum(missing.values())} messages that were called stored were missing after {what}")

    def problem(self, text):
        if len(self.result.problems) < 10:
            self.result.problems.append(text)

    def recover(self):
        """From the cure until all that waited then is in the database."""
        cured = now()
        marks = dict(self.fleet.ledger.read().marks)
        first, begun = None, None

        def drained():
            nonlocal first, begun
            self.fleet.alive()
            try:
                with self.lab.connect() as connection:
                    missing = sum(self.present.missing(connection, marks).values())
            except psycopg.OperationalError:
                return False
            first = missing if first is None else first
            if begun is None and missing < max(first, 1):
                begun = now() - cured
            return missing == 0

        wait_for(drained, f"the devices' messages after fault {self.result.fault}", RECOVERY_MAX_S)
        self.result.longest_recovery_s = max(self.result.longest_recovery_s, now() - cured)
        if begun > self.drain_begins_s:
            self.problem(f"I5: draining began {begun:.1f} s after the cure")

    def finish(self):
        result, fleet = self.result, self.fleet
        if self.commands:
            wait_for(lambda: self.lab.value("select count(*) from command where id::text = any(%s) and state = 'succeeded'",
                                            self.commands) == len(self.commands), "every ping to succeed")
        if not fleet.finish():
            self.problem(f"I5: the outboxes did not get empty: {fleet.last_summary()}")
        self.compare()
        result.redelivered = max(fleet.last_summary()["resent"], self.lab.value(DUPLICATES_SQL, fleet.prefix + "%"))
        wrong = commands_fault(self.commands, self.expired, fleet.effects())
        if wrong:
            self.problem(wrong)
        return result

    def compare(self):
        """I1 to I3 into the result."""
        ledger = self.fleet.ledger.read().lines
        with self.lab.connect() as connection:
            found = compare(ledger, stored_rows(connection, self.fleet.prefix))
        self.result.messages = len(ledger)
        self.result.lost, self.result.twice = len(found.lost), len(found.twice)
        for keys, what in ((found.lost, "I1: lost"), (found.twice, "I2: twice"), (found.foreign, "I3: not sent by any device"),
                           (found.altered, "I3: not what was sent")):
            if keys:
                self.problem(f"{what}: {len(keys)}, such as {' '.join(map(str, keys[0]))}")
        return found


def try_on_fleet(lab, plan, number, name, kinds, commands=False, quick=None):
    """The usual fault: kinds is a list of functions of the trial, tried in turn; each does its harm and cures it.

    quick: how many of them are enough for a quick run; None: all.
    """
    with Fleet(lab, f"f{number:02}-", plan.devices, plan.interval_ms) as fleet:
        trial = Trial(lab, fleet, number, name, plan)
        for cycle in range(plan.cycles_of(quick or len(kinds))):
            kind = kinds[cycle % len(kinds)]
            trial.cycle(lambda kind=kind: kind(trial), command=commands)
        return trial.finish()
