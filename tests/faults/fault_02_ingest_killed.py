"""SIGKILL of ingest: between read and COMMIT, between COMMIT and acknowledge, and at any other time."""
import os
import random
import signal

from lab import pause
from trial import try_on_fleet

NUMBER, NAME = 2, "ingest killed"


def kill(trial, old):
    os.kill(old, signal.SIGKILL)
    trial.stored_is_true("a kill of ingest")


def before_commit(trial):
    lab = trial.lab
    old = lab.pid("ingest")
    with lab.locked("telemetry"):
        lab.backend("relation")
        kill(trial, old)
    lab.wait_again("ingest", old)


def before_acknowledge(trial):
    """The transaction is at its end when ingest dies: it is committed, and nobody is told."""
    lab = trial.lab
    old = lab.pid("ingest")
    with lab.gate_closed():
        lab.backend("advisory")
        os.kill(old, signal.SIGKILL)
    trial.stored_is_true("a kill of ingest in COMMIT")
    lab.wait_again("ingest", old)


def any_time(trial):
    old = trial.lab.pid("ingest")
    pause(random.uniform(0, 0.5))
    kill(trial, old)
    trial.lab.wait_again("ingest", old)


KINDS = [before_commit, before_acknowledge, any_time]


def run(lab, plan):
    return try_on_fleet(lab, plan, NUMBER, NAME, KINDS, commands=True)
