"""SIGSTOP of each process: 1 s; of every tenth cycle 30 s, of every hundredth 5 min."""
import pathlib

from lab import pause, wait_for
from trial import try_on_fleet

NUMBER, NAME = 7, "processes stopped"
UNNOTICED_S, NOTICED_S = 1, 4  # the second is longer than devices wait before they send again


def children(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def pids_of(trial, part):
    if part == "devices":
        return [trial.fleet.process.pid]
    if part == "postgres":
        postmaster = trial.lab.pid(part)
        return [postmaster, *children(postmaster)]
    return [trial.lab.pid(part)]


def stop(trial, parts, seconds):
    before = trial.fleet.summary()["resent"]
    with trial.lab.stopped([pid for part in parts for pid in pids_of(trial, part)]):
        pause(seconds)
        if seconds == NOTICED_S:
            wait_for(lambda: trial.fleet.summary()["resent"] > before, "the devices to notice it")


def seconds_of(cycle, quick):
    if quick:
        return NOTICED_S if cycle == 0 else UNNOTICED_S
    if cycle % 100 == 99:
        return 300
    return 30 if cycle % 10 == 9 else UNNOTICED_S


PARTS = [["ingest"], ["broker"], ["postgres"], ["devices"], ["commander", "bridge", "dashboard"]]


def run(lab, plan):
    def kind(trial):
        cycle = trial.result.cycles
        # By tens one part further: the long stops come to each in turn.
        stop(trial, PARTS[(cycle + cycle // 10) % len(PARTS)], seconds_of(cycle, plan.quick))

    return try_on_fleet(lab, plan, NUMBER, NAME, [kind] * len(PARTS))
