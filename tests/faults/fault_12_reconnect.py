"""All devices reconnect at once: the broker is restarted, or killed. The recovery told is the time to all back."""
import signal

from fleet import Fleet
from lab import now, wait_for
from trial import Trial

NUMBER, NAME = 12, "all devices reconnect at once"
DEVICES, DEVICES_QUICK = 1000, 200
INTERVAL_MS = 1000


def run(lab, plan):
    count = DEVICES_QUICK if plan.quick else DEVICES
    with Fleet(lab, "f12-", count, INTERVAL_MS) as fleet:
        trial = Trial(lab, fleet, NUMBER, NAME, plan)

        def all_back():
            return fleet.summary()["connected"] == count

        def cut(number):
            before = fleet.summary()["reconnects"]
            with lab.stopped([lab.pid("ingest")]):  # so that something has been said, and will be said again, by each of them
                held = len(fleet.ledger.read().lines) + 2 * count
                wait_for(lambda: fleet.alive() and len(fleet.ledger.read().lines) > held, "messages that the broker holds")
                lab.signal("broker", number)
            cured = now()
            wait_for(lambda: fleet.summary()["reconnects"] > before and all_back(), f"{count} devices to be back")
            trial.result.longest_recovery_s = max(trial.result.longest_recovery_s, now() - cured)

        wait_for(all_back, f"{count} devices")
        for cycle in range(plan.cycles_of(2)):
            trial.cycle(lambda cycle=cycle: cut(signal.SIGKILL if cycle % 2 else signal.SIGTERM))
        return trial.finish()
