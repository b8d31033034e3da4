"""Who is there: by will, goodbye and silence; a late will and a broker's restart make nobody offline."""
import socket

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from stack import Device, wait_for

# Back long before the grace after a restart of the broker is over (30 s).
STACK_ARGS = ["--sims", "20", "--no-agent", "--sim-arg", "--backoff-ms=1000"]


def properties(packet, **values):
    made = Properties(packet)
    made.UserProperty = [(name, str(value)) for name, value in values.items()]
    return made


class Sessions(Device):
    """A paho device that counts its connections, as docs/protocol.md section 3 asks."""

    def __init__(self, stack, name, session, files=None):
        super().__init__(stack, name, *(files or stack.enroll(name)[:2]))
        self.session = session
        self.topic = f"fleet/v1/{name}/status"
        self.client.will_set(self.topic, "offline", qos=1, retain=True,
                             properties=properties(PacketTypes.WILLMESSAGE, session=session, why="will"))

    def __enter__(self):
        super().__enter__()
        self.say("online")
        return self

    def say(self, text, **values):
        self.client.publish(self.topic, text, qos=1, retain=True,
                            properties=properties(PacketTypes.PUBLISH, **{"session": self.session, **values}))

    def cut(self):
        """The connection breaks without a DISCONNECT."""
        self.client.loop_stop()
        self.client.socket().shutdown(socket.SHUT_RDWR)


def state(stack, name):
    rows = stack.rows("select presence, presence_why from device_state where device = %s", name)
    return rows[0] if rows else None


def changes(stack, name):
    return stack.rows("select type, body->>'why' from event where device = %s and epoch = '-presence' order by seq", name)


def await_state(stack, name, presence, why, seconds=180):
    wait_for(lambda: state(stack, name) == (presence, why), f"{name} to be {presence} by {why}", seconds)


def test_a_killed_device_is_offline_by_its_will(stack):
    with Sessions(stack, "mortal", 1) as device:
        await_state(stack, "mortal", "online", "status")
        device.cut()
        await_state(stack, "mortal", "offline", "will")
    detail = stack.muster_json("device", "show", "mortal")
    assert (detail["status"], detail["evidence"], detail["session"]) == ("offline", "will", 1)
    assert "without a goodbye" in detail["why"]
    assert changes(stack, "mortal") == [("presence.online", "status"), ("presence.offline", "will")]


def test_a_clean_disconnect_is_a_goodbye(stack):
    with Sessions(stack, "polite", 1) as device:
        await_state(stack, "polite", "online", "status")
        device.say("offline", why="goodbye")
    await_state(stack, "polite", "offline", "goodbye")
    assert changes(stack, "polite") == [("presence.online", "status"), ("presence.offline", "goodbye")]


def test_the_simulators_say_goodbye(stack):
    """Our own devices tell a shutdown from a death; a reboot is one."""
    done = stack.muster("command", "send", "sim-001", "reboot", "--yes", "--wait", check=False)
    assert done.returncode == 0, done.stderr
    assert ("presence.offline", "goodbye") in changes(stack, "sim-001")
    wait_for(lambda: state(stack, "sim-001")[0] == "online", "sim-001 to be back")


def test_a_late_will_of_an_older_session_is_ignored(stack):
    with Sessions(stack, "twice", 1) as first:
        await_state(stack, "twice", "online", "status")
        files = (stack.state / "test-devices/twice.crt", stack.state / "test-devices/twice.key")
        first.client.loop_stop()
        with Sessions(stack, "twice", 2, files) as second:
            wait_for(lambda: stack.value("select session from device_state where device = 'twice'") == 2, "session 2")
            # As another broker would publish it, late.
            second.client.publish(second.topic, "offline", qos=1, retain=True, properties=properties(
                PacketTypes.PUBLISH, session=1, why="will"))
            second.publish("telemetry", second.next(load1=1))
            second.wait_stored()
            assert stack.rows("select presence, held_by from device_state where device = 'twice'") == [("online", None)]
            assert changes(stack, "twice") == [("presence.online", "status")]
            # The control: the same of the present session counts.
            second.say("offline", why="will")
            await_state(stack, "twice", "offline", "will")


def test_silence_is_stale_with_evidence(stack):
    with Sessions(stack, "silent", 1) as device:
        await_state(stack, "silent", "online", "status")
        device.publish("event", {"type": "hello", "interval_s": 1})
        detail = wait_for(lambda: (lambda d: d if d["status"] == "stale" else None)(
            stack.muster_json("device", "show", "silent")), "silence to show")
        assert (detail["presence"], detail["evidence"]) == ("online", "silence")

        def heard():
            device.publish("telemetry", device.next(load1=1))
            device.wait_stored()
            return stack.muster_json("device", "show", "silent")["status"] == "online"

        wait_for(heard, "it to be online as long as it speaks")
        assert len(changes(stack, "silent")) == 1, "silence is no change"


def test_a_broker_restart_makes_no_storm(stack):
    def sessions():
        return dict(stack.rows("select device, session from device_state where device like 'sim-%%' and presence = 'online'"))

    wait_for(lambda: len(sessions()) == 20, "20 simulators online")
    with Sessions(stack, "gone-with-it", 1) as gone:
        await_state(stack, "gone-with-it", "online", "status")
        before = stack.value("select count(*) from event where epoch = '-presence' and device like 'sim-%%'")
        connected = sessions()
        gone.client.loop_stop()  # the broker takes it down, and it will not come back
        stack.muster("stack", "restart", "broker")
        assert len(sessions()) == 20
        wait_for(lambda: all(number > connected[name] for name, number in sessions().items()), "the simulators to come back")
        # When the grace is over the one that stayed away is offline, and nobody else was in between.
        await_state(stack, "gone-with-it", "offline", "broker-restart", 60)
    assert stack.value("select count(*) from event where epoch = '-presence' and device like 'sim-%%'") == before
    assert len(sessions()) == 20


def test_an_ingest_restart_makes_no_storm_either(stack):
    before = stack.value("select count(*) from event where epoch = '-presence' and device like 'sim-%%'")
    wait_for(lambda: stack.value("select count(*) from device_state where device like 'sim-%%' and presence = 'online'") == 20,
             "all simulators online")
    stack.muster("stack", "restart", "ingest")
    with Sessions(stack, "witness", 1) as device:
        device.publish("telemetry", device.next(load1=1))
        device.wait_stored()  # so ingest has taken in what the broker remembered
        await_state(stack, "witness", "online", "status")
        device.cut()
        await_state(stack, "witness", "offline", "will")  # its own end is not held for the grace
    assert stack.value("select count(*) from event where epoch = '-presence' and device like 'sim-%%'") == before
