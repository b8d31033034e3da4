"""SIGKILL of commander: at each of its named crash points, and at random, while commands are on their way.

The witness of effects is the journal of the simulated devices, which they flush before they answer: a line for each time that
a command was carried out. Some commands have so little time that they expire while commander is away: those may have no
effect. Others wait at devices that stand still, so that commander's next life sends them again, and their devices get them twice.
The counters that were given are looked at, too: none twice.
"""
import contextlib
import os
import pathlib
import random
import signal

from fleet import Fleet
from lab import pause, wait_for
from trial import Trial

NUMBER, NAME = 15, "commander killed at each step of a command"
POINTS = ["signed", "commit", "committed", "published", "result.read", "commit:2", "committed:2", "published:2", "random"]
QUICK = 6
COMMANDS, ORDERS_MAX = 8, 10  # at once, and how often in one cycle
STATES_SQL = "select id::text, state from command where id::text = any(%s)"
OPEN_SQL = """
select count(*) from command where id::text = any(%s)
    and state not in ('succeeded', 'failed', 'rejected', 'expired', 'cancelled')"""
SENT_SQL = "select count(*) from command where id::text = any(%s) and state = 'sent'"
TWICE_SQL = """
select count(*) from (select device, n from command where n is not null group by device, n having count(*) > 1) twice"""
AGAIN_SQL = "select coalesce(sum(greatest(attempts - 1, 0)), 0)::bigint from command where id::text = any(%s)"
MOVED_SQL = """
select count(*) from (select command from command_event where state = 'succeeded' group by command having count(*) > 1) twice"""


class Victim:
    """Commander as the child of a shell that starts it again at once, for the supervisor waits longer from death to death; it
    dies at a named point of its next life when it is told to."""

    def __init__(self, lab):
        self.lab, self.point = lab, lab.tools / "crash-at"
        self.point.write_text("")
        self.point.chmod(0o666)
        self.script = (f'while :; do p=$(cat "{self.point}"); : > "{self.point}"\n'
                       'MUSTER_CRASH_AT="$p" setpriv --pdeathsig KILL @REAL@ "$@"; done')

    def pid(self):
        """0 between two lives."""
        shell = self.lab.pid("commander")
        children = pathlib.Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        names = {child: name_of(child) for child in children}
        return next((int(child) for child, name in names.items() if name.startswith("muster-commande")), 0)

    def kill(self):
        os.kill(wait_for(self.pid, "commander to live"), signal.SIGKILL)

    def is_dead(self, old):
        """A point that comes once in a while needs more than one order."""
        with contextlib.suppress(AssertionError):
            return wait_for(lambda: self.pid() != old, "", 1)
        return False

    def wait_death(self, old, what):
        """The next life."""
        def next_life():
            pid = self.pid()
            return pid if pid != old else 0

        return wait_for(next_life, f"commander to die {what} and to live again")

    def die(self, point, order):
        """With the commands of order() under way."""
        old = wait_for(self.pid, "commander to live")
        if point == "random":
            order()
            pause(random.uniform(0, 0.05))
            os.kill(old, signal.SIGKILL)
        else:
            self.point.write_text(point)
            os.kill(old, signal.SIGKILL)
            old = self.wait_death(old, "before it is armed")  # it may get there before it is ordered anything
            for _ in range(ORDERS_MAX):
                order()
                if self.is_dead(old):
                    break
        self.wait_death(old, f"at {point}")


def name_of(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def run(lab, plan):
    with Fleet(lab, "f15-", plan.devices, plan.interval_ms) as fleet:
        trial = Trial(lab, fleet, NUMBER, NAME, plan)
        victim = Victim(lab)
        devices = sorted(device for device, _ in fleet.ledger.marks)
        with lab.replaced("commander", victim.script, notifies=False):
            for cycle in range(plan.cycles_of(QUICK)):
                point = POINTS[cycle % len(POINTS)]

                def order():
                    for _ in range(COMMANDS):
                        trial.commands.append(lab.command(random.choice(devices)))

                victim.die(point, order)
                wait_for(lambda: lab.value(OPEN_SQL, trial.commands) == 0, f"commands after death at {point}")
                trial.result.cycles += 1
            send_again(lab, trial, victim, devices)
        expire(lab, trial, devices)
        late(lab, trial)
        result = trial.finish()
        result.redelivered += lab.value(AGAIN_SQL, trial.commands)
        return result


def send_again(lab, trial, victim, devices):
    """Commander is killed when it has sent what the devices, which stand still, have not seen yet."""
    with lab.stopped([trial.fleet.process.pid]):
        commands = [lab.command(device) for device in devices[:3]]
        wait_for(lambda: lab.value(SENT_SQL, commands) == len(commands), "the commands to be sent")
        victim.kill()
        wait_for(lambda: lab.value(AGAIN_SQL, commands) >= len(commands), "the commands to be sent again")
    trial.commands += commands
    wait_for(lambda: lab.value(OPEN_SQL, commands) == 0, "commands that were sent again")


def expire(lab, trial, devices):
    """Commander is away for all the time that these commands have."""
    with lab.between_lives("commander", signal.SIGKILL):
        trial.expired += [lab.command(device, ttl_s=1) for device in devices[:3]]
        wait_for(lambda: lab.value("select bool_and(now() > expires_at) from command where id::text = any(%s)", trial.expired),
                 "the commands to expire")
    wait_for(lambda: lab.value(OPEN_SQL, trial.expired) == 0, "the commands to be closed as expired")


def late(lab, trial):
    """What else must hold: every command has one end, and every number was given once."""
    states = dict(lab.rows(STATES_SQL, trial.commands + trial.expired))
    lost = [command for command in trial.commands if states.get(command) != "succeeded"]
    if lost:
        trial.problem(f"I6: {len(lost)} commands did not succeed, such as {lost[0]}: {states.get(lost[0])}")
    if lab.value(TWICE_SQL):
        trial.problem("I6: a counter was given to two commands of one device")
    if lab.value(MOVED_SQL):
        trial.problem("I6: a command succeeded twice")
