"""For negative controls: an ingest as it is often written. It has one of two faults, and the invariants must catch it.

early   acknowledges a message, and calls it stored, before it is committed
keyless commits before it acknowledges, into a table that has lost its unique key
"""
import collections
import json
import ssl
import sys
import time

import paho.mqtt.client as paho
import psycopg
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

COMMIT_EVERY_S = 0.3
COLUMNS = ["battery_pct", "charging", "cpu_pct", "load1", "mem_total", "mem_available", "disk_total", "disk_free", "uptime_s",
           "network_type", "rssi_dbm", "temperature_c"]
INSERT_SQL = (f"insert into telemetry (device, epoch, seq, ts, received_at, {', '.join(COLUMNS)}, custom) values "
              f"(%s, %s, %s, to_timestamp(%s / 1000.0), now(), {', '.join(['%s'] * len(COLUMNS))}, %s) ")


class NaiveIngest:
    def __init__(self, mode, conninfo):
        self.early = mode == "early"
        self.sql = INSERT_SQL + ("on conflict do nothing" if self.early else "")
        self.connection = psycopg.connect(conninfo, application_name="muster-ingest")
        self.rows, self.marks, self.due = [], {}, time.monotonic()
        self.seen = collections.defaultdict(set)

    def mark(self, device, epoch, seq):
        """The highest seq of which none before is missing."""
        key = device, epoch
        mark = self.marks.get(key, seq - 1)
        self.seen[key].add(seq)
        while mark + 1 in self.seen[key]:
            mark += 1
        self.marks[key] = mark
        return json.dumps({"epoch": epoch, "seq": mark})

    def commit(self):
        self.due = time.monotonic() + COMMIT_EVERY_S
        if self.rows:
            with self.connection.cursor() as cursor:
                cursor.executemany(self.sql, self.rows)
            self.connection.commit()
            self.rows.clear()

    def on_message(self, client, _, message):
        device, kind = message.topic.split("/")[2:4]
        if kind != "telemetry":  # the session of the real one is subscribed to more
            return
        said = json.loads(message.payload)
        self.rows.append([device, said["epoch"], said["seq"], said["ts"], *[said.get(name) for name in COLUMNS],
                          json.dumps({"check": said["check"]})])
        if not self.early:
            self.commit()
        client.publish(f"fleet/v1/{device}/stored", self.mark(device, said["epoch"], said["seq"]))


def main():
    mode, conninfo, port, ca, certificate, key = sys.argv[1:]
    ingest = NaiveIngest(mode, conninfo)
    client = paho.Client("svc.ingest", protocol=paho.MQTTv5)
    client.tls_set(ca, certificate, key, tls_version=ssl.PROTOCOL_TLS_CLIENT)
    client.on_message = ingest.on_message
    client.on_connect = lambda *_: client.subscribe("fleet/v1/+/telemetry", qos=1)
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 0xFFFFFFFF
    client.connect("localhost", int(port), clean_start=False, properties=properties)
    while client.loop(0.05) == paho.MQTT_ERR_SUCCESS:
        if time.monotonic() >= ingest.due:
            ingest.commit()


if __name__ == "__main__":
    main()
