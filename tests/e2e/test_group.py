"""Two ingests share one broker's messages. Each message is stored once, the marks advance although a device's messages are
dealt out to both, and a member that dies for good takes no device with it."""
import os
import re
import signal
import subprocess

import pytest

from stack import Device, free_port, run, wait_for
from test_kill import Fleet

EXPIRY_S = 5
GROUP = f'subscription = {{ group = "cell-1"; session_expiry_s = {EXPIRY_S}; }};\n'


class Member:
    """A second muster-ingest, with a client id of its own, started and killed by the test."""

    def __init__(self, stack, name):
        self.stack = stack
        self.port = free_port()
        text = (stack.state / "conf/ingest.conf").read_text()
        text, one = re.subn(r'client_id = "svc\.ingest"', f'client_id = "svc.ingest.{name}"', text)
        text, two = re.subn(r"(http = \{[^}]*port = )\d+", rf"\g<1>{self.port}", text)
        assert (one, two) == (1, 1), text
        self.config = stack.state / f"conf/ingest-{name}.conf"
        self.config.write_text(text)
        self.log = open(stack.state / f"log/ingest-{name}.log", "ab")
        self.process = None

    def start(self):
        self.process = subprocess.Popen([self.stack.bin / "muster-ingest", "--config", self.config], stdout=self.log,
                                        stderr=self.log)
        wait_for(lambda: '"broker":true' in self.get("/health"), "the second ingest")

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(180)

    def get(self, path):
        return run("curl", "-s", f"http://127.0.0.1:{self.port}{path}", check=False).stdout

    def telemetry(self):
        """Messages it has committed."""
        return sum(float(line.split()[1]) for line in self.get("/metrics").splitlines()
                   if line.startswith('muster_ingest_messages_total{kind="telemetry"'))

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.kill()
        self.log.close()


@pytest.fixture(scope="module")
def grouped(stack):
    """The stack's own ingest joins the group, with the session it had before."""
    with open(stack.state / "conf/ingest.conf", "a", encoding="ascii") as config:
        config.write(GROUP)
    stack.muster("stack", "restart", "ingest")
    return stack


def open_marks(stack, prefix):
    return stack.rows("select device, contiguous, highest from ledger where device like %s and epoch not like '-%%' "
                      "and contiguous < highest", prefix + "%")


def test_each_message_goes_to_one_of_them(grouped):
    with Member(grouped, "2") as second, Device(grouped, "plain-1") as device:
        for number in range(200):
            device.publish("telemetry", {"n": number})  # no seq: nothing but the subscription keeps it from coming twice
        wait_for(lambda: grouped.value("select count(*) from telemetry where device = 'plain-1'") >= 200, "all 200")
        epochs = grouped.rows("select epoch, count(*) from telemetry where device = 'plain-1' group by epoch")
        assert sum(count for _, count in epochs) == 200 and len(epochs) == 2, "each ingest numbers with an epoch of its own"
        assert second.telemetry() > 50


def test_a_member_dies_and_nothing_is_lost_or_stuck(grouped):
    with Fleet(grouped, "group-") as fleet, Member(grouped, "3") as member:
        wait_for(lambda: member.telemetry() > 100, "the member's share")
        member.kill()
        member.start()  # within the expiry: its session, and what is in it, is still there
        wait_for(lambda: member.telemetry() > 100, "the member's share")
        os.kill(member.process.pid, signal.SIGSTOP)  # messages pile up that it never acknowledges
        before = fleet.rows()
        wait_for(lambda: fleet.rows() > before + 100, "the other one to go on")
        member.kill()
        summary = fleet.finish()
    lost, twice, foreign = fleet.compare()
    assert (lost, twice, foreign) == ([], [], [])
    assert summary["resent"] > 0, "what lay in the dead member's session was not sent again: the run tested nothing"
    wait_for(lambda: not open_marks(grouped, "group-"), "every mark to reach the highest seq")


def test_presence_is_right_whoever_takes_it(grouped):
    with Member(grouped, "4"), Device(grouped, "plain-2") as device:
        def presence():
            rows = grouped.rows("select presence from device_state where device = 'plain-2'")
            return rows and rows[0][0]

        for _ in range(20):
            for state in ("online", "offline"):
                device.client.publish("fleet/v1/plain-2/status", state, qos=1, retain=True)
        wait_for(lambda: presence() == "offline", "the last word")
        device.client.publish("fleet/v1/plain-2/status", "online", qos=1, retain=True)
        wait_for(lambda: presence() == "online", "the last word")
