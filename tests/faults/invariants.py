"""What must hold after every fault. The witness is the generator's ledger, synced before a message is handed on.

I1  every ledger line is in the database
I2  no (device, epoch, seq) twice
I3  the database holds nothing else from those devices, and the hashes match
I4  every seq that ingest called stored was in the database at the moment of each kill
I5  outboxes empty; draining begins within 5 s of the cure (a quick run shares the machine with other tests: within 60 s)
I6  each command has at most one effect; exactly one if it did not expire; none if it expired
I7  the run saw redeliveries (else it tested nothing)

The hash in the ledger is that of the message's text; here the text is built again from the columns of the row, so a
reading that was changed on its way shows.
"""
import collections
import dataclasses
import hashlib
import json

DRAIN_BEGINS_S, DRAIN_BEGINS_QUICK_S = 5, 60

TELEMETRY_SQL = """
select device, epoch, seq, (extract(epoch from ts) * 1000)::bigint, battery_pct, charging, cpu_pct, load1, mem_total,
    mem_available, disk_total, disk_free, uptime_s, network_type, rssi_dbm, temperature_c, custom ->> 'check'
from telemetry where device like %s and epoch not like '-%%'"""
EVENT_SQL = """
select device, epoch, seq, (extract(epoch from ts) * 1000)::bigint, type, body
from event where device like %s and epoch not like '-%%' and type <> 'hello'"""
RESULT_SQL = """
select device, epoch, seq, (extract(epoch from ts) * 1000)::bigint, command, state, body
from command_result where device like %s and epoch not like '-%%'"""
# How many of the seqs above lo and up to hi are there, for each of many (device, epoch).
COUNT_SQL = """
select (select count(*) from (
    select seq from telemetry t where t.device = d.device and t.epoch = d.epoch and t.seq > d.lo and t.seq <= d.hi
    union select seq from event t where t.device = d.device and t.epoch = d.epoch and t.seq > d.lo and t.seq <= d.hi
    union select seq from command_result t where t.device = d.device and t.epoch = d.epoch and t.seq > d.lo and t.seq <= d.hi
) present) from unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[]) with ordinality d(device, epoch, lo, hi, place)
order by place"""
DUPLICATES_SQL = "select coalesce(sum(duplicates), 0)::bigint from ledger where device like %s"


class Ledger:
    """The file of the generator: 'device epoch seq sha256', a line for each message."""

    def __init__(self, path):
        self.path = path
        self.lines = {}  # (device, epoch, seq): sha256
        self.marks = {}  # (device, epoch): highest seq
        self._offset = 0

    def read(self):
        """Takes in what was added since; a torn last line is left for the next time."""
        with open(self.path, "rb") as file:
            file.seek(self._offset)
            text = file.read()
        whole = text.rfind(b"\n") + 1
        self._offset += whole
        for line in text[:whole].decode().splitlines():
            device, epoch, seq, sha256 = line.split()
            self.lines[device, epoch, int(seq)] = sha256
            self.marks[device, epoch] = max(self.marks.get((device, epoch), 0), int(seq))
        return self


def reading_text(row):
    """The text of a reading of muster-sim, from the columns of its row."""
    (_, epoch, seq, ts, battery, charging, cpu, load, mem, mem_free, disk, disk_free, uptime, network, rssi, temperature,
     check) = row
    text = f'{{"epoch":"{epoch}","seq":{seq},"ts":{ts}'
    if battery is not None:
        text += f',"battery_pct":{battery:.1f},"charging":{"true" if charging else "false"}'
    text += f',"cpu_pct":{cpu:.1f},"load1":{load:.2f},"mem_total":{mem},"mem_available":{mem_free}'
    text += f',"disk_total":{disk},"disk_free":{disk_free},"uptime_s":{uptime},"network_type":"{network}"'
    if rssi is not None:
        text += f',"rssi_dbm":{rssi:.0f}'
    return text + f',"temperature_c":{temperature:.1f},"check":"{check}"}}'


def compact(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def event_text(row):
    _, epoch, seq, ts, kind, body = row
    rest = "".join(f',"{name}":{compact(value)}' for name, value in body.items())
    return f'{{"epoch":"{epoch}","seq":{seq},"ts":{ts},"type":"{kind}"{rest}}}'


def result_text(row):
    _, epoch, seq, ts, command, state, body = row
    rest = "".join(f',"{name}":{compact(value)}' for name, value in body.items())
    return f'{{"epoch":"{epoch}","seq":{seq},"ts":{ts},"command":"{command}","state":"{state}"{rest}}}'


def stored_rows(connection, prefix):
    """((device, epoch, seq), sha256) of every row of these devices."""
    for sql, text_of in ((TELEMETRY_SQL, reading_text), (EVENT_SQL, event_text), (RESULT_SQL, result_text)):
        for row in connection.execute(sql, (prefix + "%",)):
            try:
                text = text_of(row)
            except (TypeError, ValueError):  # a column is missing: nothing that we sent
                text = ""
            yield row[:3], hashlib.sha256(text.encode()).hexdigest()


@dataclasses.dataclass
class Comparison:
    lost: list
    twice: list
    foreign: list
    altered: list


def compare(ledger, rows):
    """I1, I2 and I3."""
    times = collections.Counter()
    altered = []
    for key, sha256 in rows:
        times[key] += 1
        if key in ledger and ledger[key] != sha256:
            altered.append(key)
    return Comparison(lost=sorted(set(ledger) - set(times)), twice=sorted(key for key, count in times.items() if count > 1),
                      foreign=sorted(set(times) - set(ledger)), altered=sorted(altered))


class Present:
    """How far the database holds all seqs of each (device, epoch), counted by ourselves; asks only for what is new."""

    def __init__(self):
        self.whole = {}  # (device, epoch): 1 to this are there

    def missing(self, connection, marks):
        """{(device, epoch): how many of 1 to marks[..] are not there}, without those that are whole."""
        open_marks = [(key, mark) for key, mark in marks.items() if mark > self.whole.get(key, 0)]
        if not open_marks:
            return {}
        counts = connection.execute(COUNT_SQL, ([key[0] for key, _ in open_marks], [key[1] for key, _ in open_marks],
                                                [self.whole.get(key, 0) for key, _ in open_marks],
                                                [mark for _, mark in open_marks])).fetchall()
        missing = {}
        for (key, mark), (count,) in zip(open_marks, counts):
            lacking = mark - self.whole.get(key, 0) - count
            if lacking == 0:
                self.whole[key] = mark
            else:
                missing[key] = lacking
        return missing


def commands_fault(commands, expired, effects):
    """I6, as a text; None when it holds. commands and expired: ids; effects: how often each was carried out."""
    for command in commands:
        if effects.get(command, 0) != 1:
            return f"I6: command {command} was carried out {effects.get(command, 0)} times"
    for command in expired:
        if effects.get(command, 0) != 0:
            return f"I6: command {command} was carried out although it had expired"
    return None
