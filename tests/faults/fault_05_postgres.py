"""PostgreSQL: stopped at once, its backend killed during COMMIT, a lock held, no connections left."""
import contextlib
import os
import signal

import psycopg

from lab import pause
from trial import try_on_fleet

NUMBER, NAME = 5, "PostgreSQL stopped, cut, locked, full"
HOLD_S = 3


def immediate_stop(trial):
    trial.lab.signal("postgres", signal.SIGQUIT)
    trial.stored_is_true("an immediate stop of PostgreSQL")


def backend_terminated(trial):
    with trial.lab.gate_closed():
        trial.lab.rows("select pg_terminate_backend(%s)", trial.lab.backend())


def backend_killed(trial):
    """PostgreSQL then ends all its backends and goes through crash recovery."""
    with contextlib.suppress(psycopg.OperationalError), trial.lab.gate_closed():
        os.kill(trial.lab.backend(), signal.SIGKILL)
    trial.lab.patient(lambda connection: connection.execute("select 1").fetchone(), "crash recovery")
    trial.stored_is_true("a crash of PostgreSQL")


def lock_held(trial):
    with trial.lab.locked("telemetry"):
        trial.lab.backend("relation")
        pause(HOLD_S)


def no_connections(trial):
    """All are taken, by a role that the reserved ones are not for; then ingest loses its own."""
    lab = trial.lab
    with lab.connect() as ours, contextlib.ExitStack() as taken:
        place = f"host={lab.state}/run port=5432 dbname=muster user=muster_dashboard"

        def take_all():
            with contextlib.suppress(psycopg.OperationalError):
                while True:
                    taken.enter_context(contextlib.closing(psycopg.connect(place)))

        take_all()
        ours.execute("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'muster-ingest'")
        take_all()
        pause(HOLD_S)


KINDS = [immediate_stop, backend_terminated, backend_killed, lock_held, no_connections]


def run(lab, plan):
    return try_on_fleet(lab, plan, NUMBER, NAME, KINDS, commands=True)
