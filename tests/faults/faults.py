#!/usr/bin/python3
"""Shows that nothing is lost and nothing stored twice: real faults, on the real parts, on private stacks.

Each fault is tried on a fleet of simulated devices (or the agent) that write down what they report before they hand it
on; afterwards the database must hold exactly that (invariants.py). For two of the faults a system that is wrong on
purpose is tried too, and must be caught: the negative controls.

Every fault has a process and a stack of its own; most of the time is waiting, so a few of them run at once.
"""
import argparse
import concurrent.futures
import dataclasses
import importlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
if os.environ.get("MUSTER_RELEASE_BIN"):  # a sanitizer and a false clock both want to be the first in a process
    os.environ["MUSTER_BIN"] = os.environ["MUSTER_RELEASE_BIN"]

from controls import CONTROLS  # noqa: E402
from lab import Lab, enter_namespace  # noqa: E402
from trial import Plan, Result  # noqa: E402

MODULES = {int(path.stem.split("_")[1]): path.stem for path in sorted(HERE.glob("fault_*.py"))}
JOBS = 3
COLUMNS = [("fault", 5), ("name", 44), ("cycles", 6), ("messages", 9), ("lost", 6), ("twice", 6), ("redelivered", 11),
           ("longest recovery", 16), ("took", 6), ("", 8)]
VERDICTS = {True: "ok", False: "FAILED", None: "skipped"}


def say(text):
    print(text, file=sys.stderr, flush=True)


def arguments():
    parser = argparse.ArgumentParser(prog="muster faults", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="a few cycles of each fault: under 3 minutes")
    parser.add_argument("--cycles", type=int, metavar="N", help="cycles of each fault (10)")
    parser.add_argument("--only", metavar="K", help=f"only these faults, by number: {','.join(map(str, MODULES))}")
    parser.add_argument("--devices", type=int, metavar="N", help="simulated devices (50; quick: 10)")
    parser.add_argument("--interval-ms", type=int, metavar="N", help="between two messages of each (25; quick: 50)")
    parser.add_argument("--jobs", type=int, metavar="N", default=JOBS, help=f"faults tried at once ({JOBS})")
    parser.add_argument("--json", action="store_true", help="the results as a JSON array on stdout")
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)  # one fault, in this process
    wanted = parser.parse_args()
    if wanted.quick and wanted.cycles is not None:
        parser.error("--quick says how many cycles there are: leave out one of --quick and --cycles")
    for name in ("cycles", "devices", "interval_ms", "jobs"):
        if getattr(wanted, name) is not None and getattr(wanted, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    try:
        wanted.numbers = [int(word) for word in wanted.only.split(",")] if wanted.only else list(MODULES)
    except ValueError:
        parser.error(f"--only takes numbers of faults, separated by commas, not \"{wanted.only}\"")
    for number in wanted.numbers:
        if number not in MODULES:
            parser.error(f"there is no fault {number} here: {', '.join(map(str, MODULES))}")
    return wanted


# ---- one fault, in a process of its own ----

def attempt(number, lab, plan):
    module = importlib.import_module(MODULES[number])
    try:
        result = module.run(lab, plan)
        if result.cycles:
            result.judge()
    except Exception:  # pylint: disable=broad-except  # whatever went wrong, its controls are tried too
        say(traceback.format_exc())
        lab.failed = True
        result = Result(number, module.NAME, ok=False, problems=["it could not be tried to the end"])
    return result


def control(result, lab, name, function):
    """A negative control that is not caught makes its fault unproven."""
    try:
        caught = function(lab)
    except Exception:  # pylint: disable=broad-except
        say(traceback.format_exc())
        caught = None
    result.controls.append(f"negative control: {name}: {'caught: ' + caught if caught else 'NOT CAUGHT'}")
    if not caught:
        lab.failed = True
        result.ok = False


def alone(wanted):
    """The result of one fault goes to stdout for the process that started this one."""
    enter_namespace()
    plan = Plan(cycles=wanted.cycles or 10, devices=wanted.devices or (10 if wanted.quick else 50),
                interval_ms=wanted.interval_ms or (50 if wanted.quick else 25), quick=wanted.quick)
    started = time.monotonic()
    with Lab(f"fault-{wanted.alone}") as lab:
        result = attempt(wanted.alone, lab, plan)
        for number, name, function in CONTROLS:
            if number == wanted.alone:
                control(result, lab, name, function)
    result.took_s = time.monotonic() - started
    print(json.dumps(dataclasses.asdict(result)))


# ---- all of them ----

class Runner:
    def __init__(self, passed_on):
        self.passed_on = passed_on
        self.processes = []

    def run(self, number):
        """One fault: (its result, what its process said on stderr)."""
        process = subprocess.Popen([sys.executable, __file__, *self.passed_on, "--alone", str(number)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        out, err = process.communicate()
        try:
            return Result(**json.loads(out)), err
        except (ValueError, TypeError):
            name = importlib.import_module(MODULES[number]).NAME
            return Result(number, name, ok=False, problems=[f"its process ended with {process.returncode}"]), err

    def stop(self):
        """Each then takes its stack down."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()


def print_row(result):
    cells = [result.fault, result.name, result.cycles, result.messages, result.lost, result.twice, result.redelivered,
             f"{result.longest_recovery_s:.1f} s", f"{result.took_s:.0f} s", VERDICTS[result.ok]]
    say("  ".join(str(cell).ljust(width) if name in ("name", "") else str(cell).rjust(width)
                  for cell, (name, width) in zip(cells, COLUMNS)).rstrip())
    for line in result.problems + result.controls:
        say(f"       {line}")


def as_json(result):
    row = dataclasses.asdict(result)
    for name in ("problems", "controls", "took_s"):
        del row[name]
    row["longest_recovery_s"] = round(row["longest_recovery_s"], 2)
    return row


def run_all(wanted):
    runner = Runner([word for word in sys.argv[1:] if word != "--json"])
    say("  ".join(name.ljust(width) if name in ("name", "") else name.rjust(width) for name, width in COLUMNS).rstrip())
    results = {}
    with concurrent.futures.ThreadPoolExecutor(wanted.jobs) as pool:
        try:
            for future in concurrent.futures.as_completed([pool.submit(runner.run, number) for number in wanted.numbers]):
                result, err = future.result()
                results[result.fault] = result
                print_row(result)
                if result.ok is False:
                    say(err)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            runner.stop()
            raise
    return [results[number] for number in wanted.numbers]


def main():
    wanted = arguments()
    os.environ.setdefault("MUSTER_TEST_DIR", str(pathlib.Path(os.environ["MUSTER_BIN"]).resolve().parent / "faults"))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if wanted.alone:
        alone(wanted)
        return 0
    started = time.monotonic()
    results = run_all(wanted)
    if wanted.json:
        print(json.dumps([as_json(result) for result in results], indent=1))
    skipped = [result for result in results if result.ok is None]
    failed = [result for result in results if result.ok is False]
    if os.environ.get("MUSTER_REQUIRE_ALL") == "1":
        failed += skipped

    def total(name):
        return sum(getattr(result, name) for result in results)

    say(f"{total('cycles')} faults of {len(results) - len(skipped)} kinds, {total('messages')} messages, "
        f"{total('redelivered')} redelivered, {total('lost')} lost, {total('twice')} twice, "
        f"{time.monotonic() - started:.0f} s" + (f": {len(failed)} FAILED" if failed else ""))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
