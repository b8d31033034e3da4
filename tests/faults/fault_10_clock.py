"""The clock of one side jumps by 2 h, by a year, to 1970; that side is ended, or loses its connection, and comes back.

Clocks lie through libfaketime. A clock at 1970 is before every certificate: then there is no connection until it is
cured, and nothing may be lost meanwhile. The broker is lied to where its program can be replaced, which needs root.
"""
import contextlib
import signal
import time

from agent import Agent
from fleet import Fleet
from lab import FAKETIME, MOSQUITTO, Clock, namespace, pause, run as execute, wait_for
from trial import Result, Trial

NUMBER, NAME = 10, "clock wrong: devices, ingest, broker, agent"
HOUR, YEAR = 3600, 365 * 86400
WRONG_S = 1.5


def offsets():
    """1970 as an offset: an hour into it."""
    return [2 * HOUR, -2 * HOUR, YEAR, -YEAR, HOUR - int(time.time())]


@contextlib.contextmanager
def wrong(clock, offset_s):
    clock.set(offset_s)
    try:
        yield
        pause(WRONG_S)
    finally:
        clock.set(0)


def devices(lab, clock, offset_s):
    with wrong(clock, offset_s):
        pause(0.5)
        lab.signal("broker")


def ingest(lab, clock, offset_s):
    with wrong(clock, offset_s):
        lab.signal("ingest", notifies=False)
    wait_for(lambda: lab.part("ingest")[1] == "ready", "ingest to be ready")


def broker(lab, clock, offset_s):
    with wrong(clock, offset_s):
        lab.signal("broker", signal.SIGTERM)


@contextlib.contextmanager
def lying_broker(lab, clock):
    """Mosquitto's path names a script for the processes of this mount namespace."""
    if not namespace():
        yield None
        return
    real, script = lab.tools / "mosquitto", lab.tools / "mosquitto.sh"
    real.write_bytes(MOSQUITTO.read_bytes())
    script.write_text("#!/bin/sh\n" + clock.script(real) + "\n")
    for path in (real, script):
        path.chmod(0o755)
    execute("mount", "--bind", script, MOSQUITTO)
    try:
        lab.signal("broker", signal.SIGTERM)
        yield broker
    finally:
        execute("umount", MOSQUITTO)
        lab.signal("broker", signal.SIGTERM)


def with_agent(lab, cycles):
    result = Result(NUMBER, NAME)
    clock = Clock(lab.tools / "agent.clock")
    with Agent(lab, "f10-agent", environment=clock.environment()) as agent:
        agent.start()
        wait_for(lambda: agent.stored_count() > 0, "the agent to report")
        for cycle in range(cycles):
            with wrong(clock, offsets()[cycle * 4 % 5]):
                pause(1.2)  # a heartbeat
                agent.kill()
                agent.count_redelivered()
                agent.start()
            result.longest_recovery_s = max(result.longest_recovery_s, agent.recover())
            agent.kill()
            agent.count_redelivered()
            agent.start()
            result.cycles += 1
        agent.finish(result)
    return result


def run(lab, plan):
    if b"libasan" in (lab.bin / "muster-ingest").read_bytes():
        return Result(NUMBER, NAME, problems=["skipped: a sanitizer and a false clock both want to be first in a process"])
    if not FAKETIME:
        return Result(NUMBER, NAME, problems=["skipped: it needs Debian's package faketime"])
    clocks = {side: Clock(lab.tools / f"{side}.clock") for side in ("devices", "ingest", "broker")}
    with contextlib.ExitStack() as lies:
        lies.enter_context(lab.replaced("ingest", clocks["ingest"].script()))
        sides = [("devices", devices), ("ingest", ingest)]
        if lies.enter_context(lying_broker(lab, clocks["broker"])):
            sides.append(("broker", broker))
        fleet = lies.enter_context(Fleet(lab, "f10-", plan.devices, plan.interval_ms,
                                         environment=clocks["devices"].environment()))
        trial = Trial(lab, fleet, NUMBER, NAME, plan)
        for cycle in range(plan.cycles_of(len(sides))):
            side, harm = sides[cycle % len(sides)]
            # Every side meets every offset; a quick run has three of them.
            offset_s = offsets()[(cycle * 2 + cycle // len(sides)) % 5]
            trial.cycle(lambda: harm(lab, clocks[side], offset_s))
        result = trial.finish()
    result.add(with_agent(lab, 1 if plan.quick else max(1, plan.cycles // 4)))
    return result
