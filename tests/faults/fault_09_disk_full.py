"""No byte left on the disk of the broker, of PostgreSQL, of the agent's outbox; then there is room again.

A small file system is mounted over each of the folders, seen by this run only. That needs root.
"""
import os
import pathlib
import pwd
import shutil
import signal
import tempfile

import psycopg

from agent import Agent
from lab import Lab, fill, namespace, pause, tmpfs, wait_for
from trial import Result, try_on_fleet

NUMBER, NAME = 9, "disk full: broker, PostgreSQL, outbox"
FULL_S = 3


def broker(trial):
    """It cannot save, is killed, and comes back with what it saved before."""
    lab = trial.lab
    ballast = fill(lab.state / "broker")
    try:
        os.kill(lab.pid("broker"), signal.SIGUSR1)  # save now
        pause(0.5)
        lab.signal("broker")
    finally:
        ballast.unlink()


def postgres(trial):
    """Tables and WAL share the disk: first rows find no room, then the WAL does not, and the server ends itself."""
    lab = trial.lab
    ballast = fill(lab.state)
    try:
        # Where the disk ends by chance: new WAL is needed for certain.
        try:
            lab.rows("select pg_switch_wal()")
        except psycopg.OperationalError:
            pass
        pause(FULL_S)
    finally:
        ballast.unlink()
    lab.patient(lambda connection: connection.execute("select 1").fetchone(), "PostgreSQL to be back")
    wait_for(lambda: lab.part("postgres")[1] == "ready", "PostgreSQL to stay")


KINDS = [broker, postgres]


def outbox(lab, cycles, owner):
    """The agent counts what it had no room for; what it took in arrives."""
    result = Result(NUMBER, NAME)
    folder = lab.work / "agent-full"
    folder.mkdir()
    with tmpfs(folder, "2m", owner), Agent(lab, "f09-agent", folder) as agent:
        agent.start()
        for _ in range(cycles):
            wait_for(lambda: agent.process.poll() is None and agent.stored_count() > 0, "the agent to report")
            ballast = fill(folder)
            pause(FULL_S)
            agent.kill()
            agent.start()
            pause(1)
            ballast.unlink()
            agent.kill()
            agent.count_redelivered()
            agent.start()
            result.longest_recovery_s = max(result.longest_recovery_s, agent.recover())
            result.cycles += 1
        agent.finish(result)
    return result


def run(lab, plan):
    if not namespace():
        return Result(NUMBER, NAME, problems=["skipped: mounting small file systems needs root and mount namespaces"])
    user = pwd.getpwnam("muster")
    place = pathlib.Path(tempfile.mkdtemp(prefix="muster-faults-"))
    place.chmod(0o755)
    state = place / "state"
    state.mkdir()
    owner = (user.pw_uid, user.pw_gid)
    try:
        with tmpfs(state, "1g", owner):
            with Lab("full", folder=state) as small:
                with tmpfs(state / "broker", "8m", owner, keep=True):
                    result = try_on_fleet(small, plan, NUMBER, NAME, KINDS)
                    result.add(outbox(small, 1 if plan.quick else max(1, plan.cycles // 3), (0, 0)))
                    small.muster("down")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return result
