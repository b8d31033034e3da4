#!/usr/bin/python3
"""The simulated push service as a program, for `muster bench commands` (tools/bench/simulator.h has its protocol)."""
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from support.fcm import Fcm  # noqa: E402  pylint: disable=wrong-import-position


class TellingFcm(Fcm):
    """Does not wake devices itself: says whom to wake."""

    def wake(self, token):
        with self.lock:
            print(token, flush=True)


def main():
    with tempfile.TemporaryDirectory(prefix="muster-push-") as folder:
        service = TellingFcm(folder).start()
        print(json.dumps({"endpoint": f"https://localhost:{service.port}", "ca": (service.folder / "ca.crt").read_text(),
                          "credentials": json.loads(service.credentials.read_text())}), flush=True)
        try:
            sys.stdin.read()
        finally:
            service.close()


if __name__ == "__main__":
    main()
