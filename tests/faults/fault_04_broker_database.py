"""The broker comes back and its database file is gone, torn, rubbish or not writable.

Mosquitto does not start on a file that it cannot read to the end. The cure is an administrator's: move the file away.
"""
import os
import signal

from lab import pause
from trial import try_on_fleet

NUMBER, NAME = 4, "broker's database wiped, torn, read-only"
REFUSED_S = 1.0  # how long the broker is left with a file that it refuses


def database(lab):
    return lab.state / "broker/mosquitto.db"


def wiped(trial):
    lab = trial.lab
    old = lab.pid("broker")
    with lab.between_lives("broker", signal.SIGTERM):
        database(lab).unlink()
    lab.wait_again("broker", old)


def damaged(trial, damage):
    lab = trial.lab
    old = lab.pid("broker")
    with lab.between_lives("broker", signal.SIGTERM):
        damage(database(lab))
    pause(REFUSED_S)
    if lab.part("broker")[1] != "ready":
        database(lab).replace(database(lab).with_suffix(".damaged"))
    lab.wait_again("broker", old)


def torn(trial):
    damaged(trial, lambda path: os.truncate(path, path.stat().st_size * 2 // 3))


def rubbish(trial):
    def overwrite(path):
        with open(path, "r+b") as file:
            file.write(os.urandom(path.stat().st_size))

    damaged(trial, overwrite)


def read_only(trial):
    """Nothing is saved at the end of its life, and nothing in the next; an old state is found at the start."""
    lab = trial.lab
    old = lab.pid("broker")
    folder = database(lab).parent
    folder.chmod(0o500)
    try:
        with lab.between_lives("broker", signal.SIGTERM):
            pass
        lab.wait_again("broker", old)
        old = lab.pid("broker")
        with lab.between_lives("broker", signal.SIGKILL):
            pass
        lab.wait_again("broker", old)
    finally:
        folder.chmod(0o700)


KINDS = [torn, read_only, wiped, rubbish]


def run(lab, plan):
    return try_on_fleet(lab, plan, NUMBER, NAME, KINDS, quick=2)
