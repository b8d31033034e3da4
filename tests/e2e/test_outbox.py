"""A device back after a week: 20,000 readings in its outbox leave in order, in arrays, at the pace that was set, while its
present state shows at once; and kill -9 at every point on the way loses nothing and doubles nothing.

The witness is a paho subscriber of its own beside ingest: it sees what the agent really sends, and when.
"""
import contextlib
import json
import os
import signal
import sqlite3
import ssl
import subprocess
import threading
import time

import paho.mqtt.client as paho
from stack import run, wait_for

ROWS, REPLAY_PER_S, WEEK_S = 20_000, 400, 7 * 86_400
CLOSED_PORT = "1"


class Agent:
    """A muster-agent with an outbox of its own, started and stopped by the test."""

    def __init__(self, stack, name, replay_per_s=REPLAY_PER_S):
        self.stack, self.name = stack, name
        self.folder = stack.state / f"agent-{name}"
        self.folder.mkdir()
        self.config = self.folder / "agent.conf"
        self.config.write_text(
            f'state_dir = "{self.folder}/state"; interval_s = 1; outbox = {{ replay_per_s = {replay_per_s}; }};\n'
            f'bridge = {{ url = "https://localhost:{stack.ports["bridge"]}"; ca_file = "{stack.state}/ca/service.crt"; }};\n')
        token = self.folder / "token"
        token.write_text(stack.token("--device", name))
        token.chmod(0o600)
        run(stack.bin / "muster-agent", "enroll", "--config", self.config, "--token-file", token)
        self.log = open(self.folder / "log", "ab")
        self.process = None

    def start(self, **environment):
        self.process = subprocess.Popen([self.stack.bin / "muster-agent", "run", "--config", self.config],
                                        env={**os.environ, **environment}, stdout=self.log, stderr=self.log)

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(180)

    @contextlib.contextmanager
    def database(self):
        with contextlib.closing(sqlite3.connect(self.folder / "state/outbox.db", timeout=180)) as outbox, outbox:
            yield outbox

    def waiting(self):
        with self.database() as outbox:
            return outbox.execute("select count(*) from message").fetchone()[0]

    def reported(self):
        try:
            return self.waiting() > 0
        except sqlite3.OperationalError:  # the file or its tables are still to come
            return False

    def fill(self, count):
        """What a week without the broker leaves: readings, and an event every 500."""
        with self.database() as outbox:
            first = outbox.execute("select value from value where name = 'next_seq'").fetchone()[0]
            begin_ms = int((time.time() - WEEK_S) * 1000)
            wall_to_boot_ms = int((time.clock_gettime(time.CLOCK_BOOTTIME) - time.time()) * 1000)
            for number in range(count):
                ts = begin_ms + number * WEEK_S * 1000 // count
                topic, body = (("event", f'"type":"app.crashed","ts":{ts}}}') if number % 500 == 499 else
                               ("telemetry", f'"ts":{ts},"load1":0.5,"uptime_s":{number}}}'))
                outbox.execute("insert into message (seq, topic, body, made_ms) values (?, ?, ?, ?)",
                               (first + number, f"fleet/v1/{self.name}/{topic}", body, ts + wall_to_boot_ms))
            outbox.execute("update value set value = ? where name = 'next_seq'", (first + count,))
        return first, first + count - 1

    def __enter__(self):
        self.start(MUSTER_AGENT_BROKER_PORT=CLOSED_PORT)  # makes the outbox, and finds no broker
        try:
            wait_for(self.reported, "the outbox")
        except BaseException:
            self.__exit__()
            raise
        self.stop()
        return self

    def __exit__(self, *_):
        self.stop(signal.SIGKILL)
        self.log.close()


class Witness:
    """Sees one device's uplink: (time at which it was sent, kind, seqs) of each message, and the hellos."""

    def __init__(self, stack, device):
        self.seen, self.hellos, self.subscribed = [], [], threading.Event()
        self.device = device
        self.client = paho.Client(f"svc.ingest.witness-{device}", protocol=paho.MQTTv5)
        self.client.tls_set(str(stack.state / "ca/service.crt"), str(stack.state / "certs/ingest.crt"),
                            str(stack.state / "certs/ingest.key"), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        self.client.on_connect = lambda client, *_: client.subscribe([(f"fleet/v1/{device}/{kind}", 1) for kind in
                                                                      ("telemetry", "event", "inventory/+", "result")])
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._on_message
        self.port = stack.ports["services"]

    def _on_message(self, client, userdata, message):
        body = json.loads(message.payload)
        kind = message.topic.split("/")[3]
        if isinstance(body, dict) and body.get("type") == "hello":
            self.hellos.append((time.monotonic(), body))
            return
        rows = body if isinstance(body, list) else [body]
        # When the agent sent it, whoever was held up since: its newest row is as old as it says (docs/protocol.md, section 4).
        age_ms = dict(getattr(message.properties, "UserProperty", [])).get("age-ms", 0)
        self.seen.append((rows[-1]["ts"] / 1000 + int(age_ms) / 1000, kind, [one["seq"] for one in rows]))

    def __enter__(self):
        self.client.connect("localhost", self.port, clean_start=True)
        self.client.loop_start()
        assert self.subscribed.wait(180)
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def rows(self):
        return sum(len(seqs) for _, _, seqs in list(self.seen))


def stored(stack, agent, last):
    """The seqs up to last that are in the database, each once; the mark is beyond them."""
    rows = stack.rows("select epoch, contiguous from ledger where device = %s and epoch not like '-%%'", agent.name)
    assert len(rows) == 1, rows
    epoch, contiguous = rows[0]
    assert contiguous >= last
    seqs = [row[0] for table in ("telemetry", "event") for row in
            stack.rows(f"select seq from {table} where device = %s and epoch = %s and seq <= %s", agent.name, epoch, last)]
    assert len(seqs) == len(set(seqs)), "a row twice"
    return set(seqs)


def state_age(stack, agent):
    """Seconds since the newest reading that the fleet page shows."""
    rows = stack.rows("select extract(epoch from now() - ts) from device_state where device = %s and ts is not null", agent.name)
    return float(rows[0][0]) if rows else None


def fresh(stack, agent):
    wait_for(lambda: (age := state_age(stack, agent)) is not None and age < 5, "a fresh state")


def test_a_week_leaves_in_order_at_its_pace_and_the_present_shows_at_once(stack):
    with Agent(stack, "week-1") as agent:
        first, last = agent.fill(ROWS)
        with Witness(stack, agent.name) as witness:
            began = time.monotonic()
            agent.start()
            fresh(stack, agent)
            assert agent.waiting() > ROWS / 20, "the backlog was gone before: nothing was shown"
            assert "latest" in witness.hellos[0][1]
            # Not once: the state stays fresh while the rest is still under way.
            hellos = len(witness.hellos)
            wait_for(lambda: len(witness.hellos) >= hellos + 5, "hello with each heartbeat")
            fresh(stack, agent)
            assert agent.waiting() > ROWS / 20
            wait_for(lambda: agent.waiting() < 50, "the backlog to be stored", 2 * ROWS / REPLAY_PER_S + 300)
            took = time.monotonic() - began
        flat = [seq for _, _, seqs in witness.seen for seq in seqs]
        assert flat == list(range(1, len(flat) + 1)), "out of order, or sent twice without need"
        arrays = [seqs for _, kind, seqs in witness.seen if len(seqs) > 1 and kind == "telemetry"]
        assert sum(map(len, arrays)) > 0.9 * ROWS and max(map(len, arrays)) <= 100
        assert all(len(seqs) == 1 for _, kind, seqs in witness.seen if kind != "telemetry")
        assert took > 0.9 * (ROWS / REPLAY_PER_S - 1), "faster than it may"
        bounded(witness)
        assert set(range(first, last + 1)) <= stored(stack, agent, last)
        # The present was shown, not stored twice: no reading without its own seq.
        assert stack.value("select count(*) from telemetry where device = %s and epoch like '-%%'", agent.name) == 0
        assert stack.value("select count(*) from event where device = %s and body ? 'latest'", agent.name) == 0


def bounded(witness):
    """No five seconds hold more than the rate allows, and one second's worth saved up."""
    times = [(at, len(seqs)) for at, _, seqs in witness.seen]
    start = held = 0
    for at, rows in times:
        held += rows
        while at - times[start][0] > 5:
            held -= times[start][1]
            start += 1
        assert held <= REPLAY_PER_S * (5 + 1) * 1.2 + 100, held


POINTS = ["outbox.commit:2", "publish:1", "publish:7", "puback:5", "stored:1", "stored:4", ""]


def test_kill_9_at_every_point_loses_nothing(stack):
    with Agent(stack, "week-2", replay_per_s=2000) as agent:
        first, last = agent.fill(12_000)
        for point in POINTS:
            agent.start(MUSTER_CRASH_AT=point)
            if point:
                assert agent.process.wait(180) == -signal.SIGKILL, f"{point} was not passed"
            else:
                left = agent.waiting()
                assert left > 2000, "too little left for the last kills"
                wait_for(lambda: agent.waiting() < left - 500, "some progress")
                agent.stop(signal.SIGKILL)
                stack.kill("broker")
                agent.start()
        wait_for(lambda: agent.waiting() < 50, "the backlog to be stored")
        wait_for(lambda: stack.value("select max(contiguous) from ledger where device = %s", agent.name) >= last, "the mark")
        assert set(range(first, last + 1)) <= stored(stack, agent, last)
        assert stack.value("select sum(duplicates) from ledger where device = %s", agent.name) > 0, "nothing came twice: no test"


def test_negative_control_a_hole_in_the_outbox_is_seen(stack):
    """The same comparison must see a reading that never left."""
    with Agent(stack, "week-3", replay_per_s=2000) as agent:
        first, last = agent.fill(1000)
        with agent.database() as outbox:
            outbox.execute("delete from message where seq < ?", (first + 100,))
        agent.start()
        wait_for(lambda: agent.waiting() < 50, "the backlog to be stored")
        wait_for(lambda: stack.value("select max(contiguous) from ledger where device = %s", agent.name) >= last, "the mark")
        assert set(range(first, last + 1)) - stored(stack, agent, last) == set(range(first, first + 100))


def test_what_a_full_outbox_drops_is_counted_and_told(stack):
    with Agent(stack, "full-1") as agent:
        def dropped():
            with agent.database() as outbox:
                return outbox.execute("select coalesce(max(value), 0) from value where name = 'dropped'").fetchone()[0]

        agent.start(MUSTER_AGENT_BROKER_PORT=CLOSED_PORT, MUSTER_AGENT_OUTBOX_ROWS_MAX="10")
        wait_for(lambda: dropped() >= 3, "the outbox to drop its oldest")
        agent.stop()
        agent.start(MUSTER_AGENT_OUTBOX_ROWS_MAX="10")
        wait_for(lambda: stack.value("select coalesce(max((custom ->> 'outbox_dropped')::bigint), 0) from telemetry "
                                     "where device = 'full-1'") >= 3, "its telemetry to say so")
        wait_for(lambda: stack.value("select coalesce(max(dropped), 0) from ledger where device = 'full-1'") == dropped(),
                 "the ledger to agree")
        row = stack.muster_json("device", "show", "full-1")["ledger"][0]
        assert (row["dropped"], row["lost"], row["missing"]) == (dropped(), dropped(), 0)
        assert [(gap["from"], gap["to"], gap["state"]) for gap in row["gaps"]] == [(1, dropped(), "dropped")]
