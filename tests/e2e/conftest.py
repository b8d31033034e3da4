"""One private stack per test module: real PostgreSQL, real Mosquitto, the real daemons, on ports and in a folder of its own."""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, os.path.dirname(__file__))
from stack import Stack  # noqa: E402


def pytest_configure(config):
    missing = [name for name in ("MUSTER_BIN", "MUSTER_TEST_DIR") if name not in os.environ]
    if missing:
        raise pytest.UsageError(f"{' and '.join(missing)} not set: run these tests through ./muster test")
    os.environ.pop("MUSTER_STATE", None)  # the stack of whoever runs the tests, which is none of theirs


@pytest.fixture(scope="module")
def stack(request):
    """A running stack. A module may set STACK_ARGS, further arguments of `muster up`."""
    name = pathlib.Path(request.module.__file__).stem
    arguments = getattr(request.module, "STACK_ARGS", ["--sims", "0", "--no-agent"])
    with Stack(name, arguments) as running:
        yield running


def pytest_runtest_makereport(item, call):
    if call.excinfo and "stack" in getattr(item, "funcargs", {}):
        item.funcargs["stack"].failed = True
