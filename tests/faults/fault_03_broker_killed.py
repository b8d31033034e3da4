"""SIGKILL of the broker while it holds, in memory only, messages that it has acknowledged."""
from lab import wait_for
from trial import try_on_fleet

NUMBER, NAME = 3, "broker killed with unsaved state"
HELD_PER_DEVICE = 5


def kill(trial):
    """Ingest is stopped, so that what the broker acknowledges stays with it."""
    lab, fleet = trial.lab, trial.fleet
    with lab.stopped([lab.pid("ingest")]):
        held = len(fleet.ledger.read().lines) + HELD_PER_DEVICE * fleet.count
        wait_for(lambda: fleet.alive() and len(fleet.ledger.read().lines) > held, "messages that the broker holds")
        lab.signal("broker")


def run(lab, plan):
    return try_on_fleet(lab, plan, NUMBER, NAME, [kill, kill], commands=True)
