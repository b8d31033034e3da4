"""Of the input 1 % comes twice, 1 % out of order, 1 % is malformed, 1 % poisonous; from devices that are only paho.

Malformed input carries no seq that could be read. Poisonous input has its place in the sequence, but no row can be made
of it: it must be in quarantine, byte for byte, and stop nothing.
"""
import collections
import contextlib
import hashlib
import itertools
import os
import random
import time

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from invariants import compare, stored_rows
from lab import now, pause, wait_for
from stack import NEVER_EXPIRES, Device
from trial import Result

NUMBER, NAME = 13, "input repeated, reordered, malformed, poison"
DEVICES = 10
MESSAGES, MESSAGES_QUICK = 1000, 200  # of each device and cycle
CHUNK = 50
RATE = 250  # messages/s of each device: the broker refuses what is beyond its limit for one, which is another matter
AGAIN_S = 3

MALFORMED = [b"", b"[]", b"{}}", b'{"cpu_pct": NaN}', b'{"cpu_pct": 1, "cpu_pct": 2}', b"\xff\xfe\x00", b'{"seq": 1, "ts": 5}',
             b"not json", b'{"battery_pct": "half"}', b"[" * 500, b'{"ts": -5}', b'{"load1": 1e999}',
             b'{"note": "a\\u0000b"}']
POISON = ['"battery_pct":180', '"cpu_pct":"high"', '"note":"' + "x" * 2000 + '"', '"mem_total":-1',
          '"temperature_c":-300', '"network_type":"' + "n" * 40 + '"']


class Sender(Device):
    """Keeps its own ledger, synced before a message is handed on; sends again what is not called stored."""

    def __init__(self, lab, name, seed):
        super().__init__(lab, name)
        self.random = random.Random(seed)
        self.client.max_inflight_messages_set(1000)
        self.path = lab.work / f"{name}.ledger"
        self.ledger, self.quarantined, self.waiting = {}, collections.Counter(), {}
        self.repeated = 0

    def __enter__(self):
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval, properties.ReceiveMaximum = NEVER_EXPIRES, 1000
        self.client.connect("localhost", self.port, clean_start=False, properties=properties)
        self.client.loop_start()
        wait_for(self.connected.is_set, "CONNACK")
        return self

    def reading(self):
        """As muster-sim writes them, so that the text can be built again from the row."""
        self.seq += 1
        text = f'{{"epoch":"{self.epoch}","seq":{self.seq},"ts":{int(time.time() * 1000)}'
        if self.random.random() < 0.01:
            text += "," + self.random.choice(POISON) + "}"
            self.quarantined[text.encode()] += 1
            return text.encode()
        text += (f',"cpu_pct":{self.random.randrange(1000) / 10:.1f},"load1":0.50,"mem_total":1024,"mem_available":512'
                 f',"disk_total":2048,"disk_free":1024,"uptime_s":{self.seq},"network_type":"wifi","temperature_c":21.5'
                 f',"check":"{self.random.getrandbits(64):016x}"}}')
        self.ledger[self.name, self.epoch, self.seq] = hashlib.sha256(text.encode()).hexdigest()
        return text.encode()

    def chunk(self, count):
        """Messages in the order in which they go out."""
        out = []
        for _ in range(count):
            message = self.reading()
            self.waiting[self.seq] = message
            out.append(message)
            if self.random.random() < 0.01:
                out.append(message)
                self.repeated += 1
            if self.random.random() < 0.01:
                bad = self.random.choice(MALFORMED)
                self.quarantined[bad] += 1
                out.append(bad)
        for at in range(len(out) - 1):
            if self.random.random() < 0.01:
                to = min(len(out) - 1, at + self.random.randrange(1, 10))
                out[at], out[to] = out[to], out[at]
        return out

    def send(self, count):
        written = len(self.ledger)
        messages = self.chunk(count)
        with open(self.path, "a", encoding="ascii") as file:
            for (device, epoch, seq), sha256 in itertools.islice(self.ledger.items(), written, None):
                file.write(f"{device} {epoch} {seq} {sha256}\n")
            file.flush()
            os.fsync(file.fileno())
        for message in messages:
            self.publish("telemetry", message)

    def forget_stored(self):
        mark = self.stored()
        for seq in [seq for seq in self.waiting if seq <= mark]:
            del self.waiting[seq]
        with self.lock:
            self.messages = self.messages[-1:]

    def drain(self):
        """Until everything is called stored; what is not, is sent again."""
        since = now()

        def stored():
            nonlocal since
            self.forget_stored()
            if self.waiting and now() - since > AGAIN_S:
                self.publish("event", {"type": "hello", "ts": int(time.time() * 1000), "epoch": self.epoch,
                                       "oldest_seq": min(self.waiting), "next_seq": self.seq + 1})
                for message in list(self.waiting.values()):
                    self.publish("telemetry", message)
                    self.repeated += 1
                since = now()
            return not self.waiting

        wait_for(stored, f"everything of {self.name} to be stored")


def quarantine_fault(lab, senders):
    """What should be in quarantine and is not, or is and should not; None when all is well."""
    names = [sender.name for sender in senders]
    found = collections.Counter(bytes(row[0])[:4096] for row in
                                lab.rows("select payload from quarantine where device = any(%s)", names))
    wanted = sum((sender.quarantined for sender in senders), collections.Counter())
    missing, strange = wanted - found, set(found) - set(wanted)
    if missing:
        return f"I1: {sum(missing.values())} bad messages are not in quarantine, such as {next(iter(missing))[:80]}"
    if strange:
        return f"I3: {len(strange)} good messages are in quarantine, such as {next(iter(strange))[:200]}"
    return None


def run(lab, plan):
    result = Result(NUMBER, NAME)
    senders = [Sender(lab, f"f13-{number}", number) for number in range(DEVICES)]
    each = MESSAGES_QUICK if plan.quick else MESSAGES
    for sender in senders:
        sender.__enter__()
    try:
        for _ in range(1 if plan.quick else plan.cycles):
            began = now()
            for chunk in range(each // CHUNK):
                pause(max(0.0, began + chunk * CHUNK / RATE - now()))
                for sender in senders:
                    sender.send(CHUNK)
            sent = now()
            for sender in senders:
                sender.drain()
            result.longest_recovery_s = max(result.longest_recovery_s, now() - sent)
            result.cycles += 1
    finally:
        for sender in senders:
            sender.__exit__()
    ledger = {key: sha256 for sender in senders for key, sha256 in sender.ledger.items()}
    with lab.connect() as connection:
        found = compare(ledger, stored_rows(connection, "f13-"))
    result.messages = len(ledger) + sum(sum(sender.quarantined.values()) for sender in senders)
    result.lost, result.twice = len(found.lost), len(found.twice)
    result.redelivered = sum(sender.repeated for sender in senders)
    for keys, what in ((found.lost, "I1: lost"), (found.twice, "I2: twice"), (found.foreign, "I3: not sent"),
                       (found.altered, "I3: not what was sent")):
        if keys:
            result.problems.append(f"{what}: {len(keys)}, such as {' '.join(map(str, keys[0]))}")
    with contextlib.suppress(AssertionError):  # what has no seq is called stored by nobody: it may be on its way
        wait_for(lambda: not quarantine_fault(lab, senders), "the bad messages in quarantine", 60)
    wrong = quarantine_fault(lab, senders)
    if wrong:
        result.problems.append(wrong)
    return result
