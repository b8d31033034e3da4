"""Simulated devices with a ledger that they sync before they hand a message on: the witness of what was reported."""
import json
import os
import signal
import subprocess

from invariants import Ledger
from lab import DIE_WITH_PARENT, wait_for

DRAIN_S = 150
# Sooner than devices, which wait up to 30 s, so that a cycle is short and faults come close upon each other.
HASTE = ["--stall-s", "2", "--backoff-ms", "2000"]


class Fleet:
    def __init__(self, lab, prefix, count, interval_ms, *arguments, environment=None):
        self.lab, self.prefix, self.count = lab, prefix, count
        folder = lab.work / f"fleet-{prefix.rstrip('-')}"
        folder.mkdir(parents=True)
        token = folder / "token"
        token.write_text(lab.token("--uses", str(count)))
        token.chmod(0o600)
        self.journal = folder / f"{prefix}commands.journal"
        self.output = open(folder / "output", "a+", encoding="utf-8")  # pylint: disable=consider-using-with
        self.ledger = Ledger(folder / "ledger")
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [*DIE_WITH_PARENT, lab.bin / "muster-sim", "run", "--state", folder,
             "--bridge", f"https://localhost:{lab.ports['bridge']}", "--ca", lab.state / "ca/service.crt",
             "--token-file", token, "--count", str(count), "--prefix", prefix,
             "--host", "127.0.0.1", "--port", str(lab.ports["devices"]),
             "--interval-ms", str(interval_ms), "--ledger", self.ledger.path,
             "--drain-s", str(DRAIN_S), "--connect-rate", "1000", "--json", *HASTE,
             *arguments],
            stdout=self.output, stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})})

    def __enter__(self):
        wait_for(lambda: self.alive() and self.ledger.path.exists() and len(self.ledger.read().marks) == self.count,
                 f"{self.count} devices to report")
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(180)
        self.output.close()

    def alive(self):
        if self.process.poll() is not None:
            raise AssertionError(f"the devices ended with {self.process.returncode}: {self.said()[-2000:]}")
        return True

    def said(self):
        self.output.seek(0)
        return self.output.read()

    def summary(self):
        """What the devices count, now."""
        before = self.said().count('"stored"')
        self.process.send_signal(signal.SIGUSR1)
        wait_for(lambda: self.alive() and self.said().count('"stored"') > before, "the devices to count")
        return self.last_summary()

    def last_summary(self):
        return json.loads([line for line in self.said().splitlines() if '"stored"' in line and line.endswith("}")][-1])

    def finish(self):
        """No more readings; waits until all outboxes are empty. False when they did not get so."""
        self.process.terminate()
        code = self.process.wait(DRAIN_S + 30)
        return code == 0

    def effects(self):
        """How often each command was carried out, by the devices' own journal."""
        done = {}
        for line in self.journal.read_text().splitlines() if self.journal.exists() else []:
            if '"succeeded"' in line:
                command = line.split()[2]
                done[command] = done.get(command, 0) + 1
        return done
