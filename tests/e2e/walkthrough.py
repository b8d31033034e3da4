"""The commands in docs/enrolment.md, as they stand there."""
import os
import re
import signal
import subprocess

from android_device import REPOSITORY


def commands(road):
    """All blocks of this road, one behind the other."""
    found = re.findall(rf"^```sh {road}\n(.*?)^```$", (REPOSITORY / "docs/enrolment.md").read_text(), re.S | re.M)
    assert found, f"docs/enrolment.md has no block for {road}"
    return "".join(found)


class Walk:
    """with Walk(stack, folder, road) as said: they were typed in folder, and none failed; what they started still runs."""

    def __init__(self, stack, folder, road, **settings):
        self.stack, self.folder, self.road = stack, folder, road
        programs = folder / "bin"
        programs.mkdir(parents=True, exist_ok=True)
        (programs / "muster").write_text(f'#!/bin/sh\nexec {stack.bin}/muster "$@" --state {stack.state}\n')
        (programs / "muster").chmod(0o755)
        self.environment = {**os.environ, "bridge": f"https://localhost:{stack.ports['bridge']}",
                            "ca": str(stack.state / "ca/service.crt"), **settings,
                            "PATH": f"{programs}:{stack.bin}:{os.environ['PATH']}"}

    def __enter__(self):
        with open(self.folder / "said", "w+") as output:
            self.process = subprocess.Popen(["bash", "-ec", commands(self.road)], cwd=self.folder, env=self.environment,
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
            try:
                code = self.process.wait(600)
            except BaseException:
                self.__exit__()
                raise
        said = (self.folder / "said").read_text()
        if code != 0:
            self.__exit__()
            raise AssertionError(f"{self.road}: exit {code}\n{said}")
        return said

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(180)
