"""Devices that speak only HTTP, played by curl and Python's http.client: what is answered 200 is in the database, through kills
of bridge, ingest and broker; limits, revocation and tokens hold."""
import base64
import concurrent.futures
import hashlib
import http.client
import json
import os
import signal
import socket
import ssl
import statistics
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from stack import run, wait_for


class Phone:
    """A device with a bearer credential. Each thread of its has a connection of its own, kept alive."""

    def __init__(self, stack, name, credential=None):
        self.stack, self.name = stack, name
        self.credential = credential or register(stack, name)["credential"]
        self.local = threading.local()
        self.tls = ssl.create_default_context(cafile=stack.state / "ca/service.crt")

    def connection(self):
        if getattr(self.local, "connection", None) is None:
            self.local.connection = http.client.HTTPSConnection(
                "localhost", self.stack.ports["bridge"], timeout=180, context=self.tls)
        return self.local.connection

    def ask(self, method, path, body=None, **headers):
        """(status, headers, parsed body); an OSError when the bridge is gone."""
        headers = {"Authorization": f"Bearer {self.credential}", **headers}
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
            body = body if isinstance(body, (str, bytes)) else json.dumps(body)
        try:
            self.connection().request(method, path, body, headers)
            answer = self.connection().getresponse()
            return answer.status, answer.headers, json.loads(answer.read() or "null")
        except (OSError, http.client.HTTPException) as error:
            self.connection().close()
            self.local.connection = None
            raise OSError(str(error)) from error

    def beat(self, **members):
        return self.ask("POST", "/v1/heartbeat", members)[0]

    def polled(self, wait=0, after=None):
        status, _, body = self.ask("GET", f"/v1/commands?wait={wait}" + (f"&after={after}" if after else ""))
        assert status == 200, body
        return body["commands"]


def register(stack, name, token=None):
    status, answer = stack.post("/v1/register", {"token": token or stack.token("--device", name)})
    assert status == 201, answer
    assert answer["device"] == name
    return answer


def health(stack):
    """What /health says; nothing while the bridge does not listen."""
    done = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt",
               f"https://localhost:{stack.ports['bridge']}/health", check=False)
    return json.loads(done.stdout) if done.returncode == 0 else {"broker": "no bridge", "database": "no bridge"}


def wait_ready(stack, seconds=180):
    """Bridge, broker, ingest and database take in again."""
    name = f"ready-{uuid.uuid4().hex[:8]}"
    token = stack.token("--device", name)
    phones = []

    def works():
        try:
            if not phones:
                status, answer = stack.post("/v1/register", {"token": token, "device": name})
                phones.extend([Phone(stack, name, answer["credential"])] if status == 201 else [])
            return phones and phones[0].beat(load1=1) == 200
        except OSError:
            return False

    wait_for(works, "a heartbeat to be stored", seconds)


def readings(stack, name):
    return stack.value("select count(*) from telemetry where device = %s", name)


def claims(jws):
    return json.loads(base64.urlsafe_b64decode(jws.split(".")[1] + "=="))


def metric(stack, name):
    text = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", f"https://localhost:{stack.ports['bridge']}/metrics").stdout
    return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def set_limit(stack, **limits):
    path = stack.state / "conf/bridge.conf"
    text = "\n".join(line for line in path.read_text().splitlines() if not line.startswith("limits"))
    path.write_text(f"{text}\nlimits = {{ {' '.join(f'{name} = {value};' for name, value in limits.items())} }};\n")
    stack.muster("stack", "restart", "bridge")
    wait_for(lambda: health(stack)["broker"] == "ok", "the bridge")


# ---- the journeys ----
def test_the_bridge_has_a_session_with_the_broker(stack):
    wait_for(lambda: health(stack)["broker"] == "ok", "the bridge's session with the broker")


def test_answered_means_committed(stack):
    phone = Phone(stack, "beat-1")
    for n in range(20):
        assert phone.beat(battery_pct=n, ts=int(time.time() * 1000)) == 200
        assert readings(stack, "beat-1") == n + 1, "200 before the row was there"
    assert phone.ask("POST", "/v1/heartbeat", [{"load1": 1}, {"load1": 2}])[0] == 200
    assert readings(stack, "beat-1") == 22
    assert phone.ask("POST", "/v1/events", {"type": "app.crashed", "app": "x"})[0] == 200
    assert stack.value("select count(*) from event where device = 'beat-1' and type = 'app.crashed'") == 1


def test_numbered_messages_are_stored_once_however_often_they_come(stack):
    phone, epoch = Phone(stack, "once-1"), str(uuid.uuid4())
    reading = {"epoch": epoch, "seq": 1, "ts": int(time.time() * 1000), "load1": 1}
    for _ in range(5):
        assert phone.ask("POST", "/v1/heartbeat", reading)[0] == 200
    # A gap does not keep it from being answered: it is stored, which the mark does not say yet.
    assert phone.ask("POST", "/v1/heartbeat", {**reading, "seq": 7})[0] == 200
    assert readings(stack, "once-1") == 2
    assert stack.rows("select contiguous, highest from ledger where device = 'once-1'") == [(1, 7)]


def test_what_is_wrong_is_told(stack):
    phone = Phone(stack, "wrong-1")
    for body, status in [({"cpu_pct": 400}, 422), ("{", 422), ("", 400), ("[]", 422), ({"ts": "yesterday"}, 422)]:
        found, _, problem = phone.ask("POST", "/v1/heartbeat", body)
        assert (found, problem["status"]) == (status, status), (body, problem)
        assert problem["request_id"] and problem["detail"]
    assert phone.ask("POST", "/v1/heartbeat", "{}", **{"Content-Type": "text/plain"})[0] == 415
    assert phone.ask("POST", "/v1/heartbeat", b"x" * 70000)[0] == 413
    assert phone.ask("GET", "/v1/commands?wait=61")[0] == 400
    assert phone.ask("GET", "/v1/commands?after=x")[0] == 400
    status, headers, _ = phone.ask("GET", "/v1/heartbeat")
    assert status == 405 and headers["Allow"] == "POST"
    assert phone.ask("POST", "/v1/heartbeat", {"load1": 1}, **{"X-Request-ID": "mine-7"})[1]["X-Request-ID"] == "mine-7"


def test_a_command_reaches_a_waiting_device_and_its_result_closes_it(stack):
    phone = Phone(stack, "poll-1")
    assert phone.polled() == []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(phone.polled, 60)
        wait_for(lambda: metric(stack, "muster_polls_waiting") == 1, "the device to wait")
        command = stack.muster_json("command", "send", "poll-1", "ping")["id"]
        jws = waiting.result(180)
    assert [claims(one)["jti"] for one in jws] == [command]
    assert claims(jws[0])["sub"] == "poll-1" and claims(jws[0])["action"] == "ping"
    assert phone.polled() == jws, "byte for byte, until it is answered"
    assert phone.polled(after=claims(jws[0])["n"]) == []
    for state in ("accepted", "succeeded"):
        assert phone.ask("POST", "/v1/action-result", {"command": command, "state": state, "output": {"pong": True}})[0] == 200
    wait_for(lambda: stack.value("select state from command where id = %s", command) == "succeeded", "the end of the command")
    assert [row[0] for row in stack.rows("select state from command_event where command = %s order by id", command)] == \
        ["queued", "sent", "accepted", "succeeded"]
    assert phone.polled() == []


def test_online_while_it_comes_and_offline_when_it_does_not(stack):
    stack.muster("down")
    os.environ["MUSTER_BRIDGE_HTTP_OFFLINE_AFTER_S"] = "5"
    try:
        stack.up()
    finally:
        del os.environ["MUSTER_BRIDGE_HTTP_OFFLINE_AFTER_S"]
    wait_ready(stack)
    phone = Phone(stack, "present-1")

    def presence():
        return (stack.rows("select presence, presence_why from device_state where device = 'present-1'") or [None])[0]

    wait_for(lambda: phone.polled() == [] and presence() == ("online", "status"), "online by polling alone")
    with ThreadPoolExecutor(1) as pool:
        waiting, began = pool.submit(phone.polled, 15), time.monotonic()
        wait_for(lambda: time.monotonic() - began > 8 or waiting.done(), "more than the time without a word")
        assert presence()[0] == "online", "waiting is being there"
        assert waiting.result(180) == []
    wait_for(lambda: presence() == ("offline", "will"), "offline by silence")
    wait_for(lambda: phone.beat(load1=1) == 200 and presence()[0] == "online", "online again")
    # Whoever was online before a restart of the bridge is looked after by the next.
    stack.kill("bridge")
    wait_for(lambda: presence() == ("offline", "will"), "offline by silence towards a bridge that never saw it")


# ---- credentials ----
def test_only_hashes_are_kept(stack):
    token = stack.token("--device", "hash-1")
    credential = register(stack, "hash-1", token)["credential"]
    assert len(credential) == 43
    assert stack.rows("select encode(token_hash, 'hex') from bearer where device = 'hash-1'") == \
        [(hashlib.sha256(credential.encode()).hexdigest(),)]
    Phone(stack, "hash-1", credential).beat(load1=1)
    stack.post("/v1/register", {"token": token})
    dump = run("/usr/lib/postgresql/15/bin/pg_dump", "-h", f"{stack.state}/run", "-p", "5432", "-U", "muster_owner", "muster").stdout
    logs = "".join(path.read_text(errors="replace") for path in (stack.state / "log").glob("*.log"))
    assert "hash-1" in dump and "hash-1" in logs, "looked in the wrong place"
    for secret in (token, credential):
        assert secret not in dump and secret not in logs


def test_64_claims_of_one_token_give_one_credential(stack):
    token = stack.token("--device", "race-9")
    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(lambda _: stack.post("/v1/register", {"token": token}), range(64)))
    granted = [body["credential"] for status, body in answers if status == 201]
    assert len(granted) == 1, answers
    assert {status for status, _ in answers} <= {201, 403, 429}
    assert stack.value("select count(*) from bearer where device = 'race-9'") == 1
    assert stack.value("select count(*) from certificate where device = 'race-9'") == 0
    assert Phone(stack, "race-9", granted[0]).beat(load1=1) == 200


def make_secret():
    return base64.urlsafe_b64encode(os.urandom(32)).decode().rstrip("=")


def test_64_claims_with_one_secret_get_one_answer(stack):
    set_limit(stack, address_per_min=600000)  # and forget the failed claims of the test before
    token, secret = stack.token("--device", "race-10"), make_secret()

    def claim(_):  # a bridge that has just started may still be without its database
        return wait_for(lambda: (answer := stack.post("/v1/register", {"token": token, "secret": secret}))[0] != 503 and answer, "an answer")

    with ThreadPoolExecutor(64) as pool:
        answers = list(pool.map(claim, range(64)))
    assert sorted({status for status, _ in answers}) == [200, 201]
    assert sum(status == 201 for status, _ in answers) == 1
    assert len({body["credential"] for _, body in answers}) == 1
    assert stack.value("select count(*) from bearer where device = 'race-10'") == 1
    assert stack.value("select count(*) from enrollment_event where device = 'race-10' and type = 'consume'") == 1
    assert stack.post("/v1/register", {"token": token, "secret": make_secret()})[0] == 403
    assert stack.post("/v1/register", {"token": token, "secret": "short"})[0] == 400
    assert Phone(stack, "race-10", answers[0][1]["credential"]).beat(load1=1) == 200


@pytest.mark.parametrize("lost", ["the client goes away", "the bridge is killed"])
def test_a_lost_answer_takes_nothing_with_it(stack, lost):
    name = f"lost-{lost.split()[1]}"
    token, secret = stack.token("--device", name), make_secret()
    body = json.dumps({"token": token, "secret": secret})
    with socket.create_connection(("localhost", stack.ports["bridge"])) as plain:
        with ssl.create_default_context(cafile=stack.state / "ca/service.crt").wrap_socket(
                plain, server_hostname="localhost") as wire:
            wire.sendall(f"POST /v1/register HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                         f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
            if lost == "the bridge is killed":
                wait_for(lambda: stack.value("select count(*) from bearer where device = %s", name), "the COMMIT")
                stack.kill("bridge")
    wait_for(lambda: stack.value("select count(*) from bearer where device = %s", name), "the COMMIT")
    wait_for(lambda: health(stack)["database"] == health(stack)["broker"] == "ok", "the bridge")
    status, answer = stack.post("/v1/register", {"token": token, "secret": secret})
    assert status == 200 and answer["device"] == name
    assert Phone(stack, name, answer["credential"]).beat(load1=1) == 200
    assert stack.value("select count(*) from bearer where device = %s", name) == 1


def test_the_older_credential_ends_with_the_newer(stack):
    old = Phone(stack, "again-1")
    assert old.beat(load1=1) == 200
    new = Phone(stack, "again-1")
    wait_for(lambda: old.beat(load1=1) == 401, "the older credential to end")
    assert new.beat(load1=1) == 200


@pytest.mark.parametrize("how", ["bearer", "device"])
def test_revoked_is_out_at_once(stack, how):
    name = f"out-{how}"
    phone = Phone(stack, name)
    assert phone.beat(load1=1) == 200
    with ThreadPoolExecutor(1) as pool:
        waiting, began = pool.submit(phone.polled, 60), time.monotonic()
        wait_for(lambda: metric(stack, "muster_polls_waiting") == 1, "the device to wait")
        if how == "bearer":
            stack.rows("update bearer set revoked_at = now() where device = %s returning 1", name)
        else:
            stack.rows("update device set enabled = false, disabled_at = now() where device = %s returning 1", name)
        wait_for(lambda: phone.beat(load1=1) in (401, 403), "the device to be out")
        assert waiting.result(180) == [], "it may not go on waiting for commands"
        assert time.monotonic() - began < 55, "the time that it asked for was not over"
    status, headers, _ = phone.ask("POST", "/v1/heartbeat", {})
    assert (status, headers["WWW-Authenticate"]) == (401, "Bearer")


def test_no_credential_no_entry(stack):
    for credential in ("", "x", "x" * 43, "x" * 5000, "ü"):
        phone = Phone(stack, "none", "placeholder")
        phone.credential = credential.encode("utf-8").decode("latin-1")
        assert phone.ask("POST", "/v1/heartbeat", {})[0] == 401, credential
    status, _ = stack.post("/v1/heartbeat", {"load1": 1})
    assert status == 401


# ---- limits ----
def test_a_device_is_limited_alone(stack):
    set_limit(stack, address_per_min=600000, device_per_min=30)
    flood, calm = Phone(stack, "flood-9"), Phone(stack, "calm-9")
    answers = [flood.ask("POST", "/v1/heartbeat", {"load1": 1}) for _ in range(60)]
    codes = [status for status, _, _ in answers]
    assert codes[:30] == [200] * 30 and 429 in codes and set(codes) == {200, 429}
    assert all(1 <= int(headers["Retry-After"]) <= 2 for status, headers, _ in answers if status == 429)
    assert calm.beat(load1=1) == 200
    assert readings(stack, "flood-9") == codes.count(200)
    wait_for(lambda: flood.beat(load1=1) == 200, "it to be let in again")


def test_guessing_is_limited_by_address(stack):
    set_limit(stack, address_per_min=10)
    known = Phone(stack, "known-9")
    assert known.beat(load1=1) == 200
    guesses = [Phone(stack, "none", base64.urlsafe_b64encode(os.urandom(32)).decode()[:43]).ask("POST", "/v1/heartbeat", {})
               for _ in range(20)]
    codes = [status for status, _, _ in guesses]
    assert codes[0] == 401 and codes[-1] == 429 and set(codes) == {401, 429}
    assert 1 <= int(guesses[-1][1]["Retry-After"]) <= 60
    assert known.beat(load1=1) == 200, "a device that is known goes on"
    status, problem = stack.post("/v1/register", {"token": "x" * 43})
    assert status == 429 and problem["request_id"]
    set_limit(stack, address_per_min=600000)


# ---- never a false 200 ----
class Beating:
    """Devices that send numbered readings and send each again until it is answered 200."""

    def __init__(self, stack, prefix, count):
        self.phones = [Phone(stack, f"{prefix}-{n}") for n in range(count)]
        self.stop, self.codes, self.answered = threading.Event(), [], {}

    def __enter__(self):
        self.threads = [threading.Thread(target=self.beat, args=(phone,)) for phone in self.phones]
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def beat(self, phone):
        epoch, seq = str(uuid.uuid4()), 0
        while not self.stop.is_set():
            seq += 1
            reading = {"epoch": epoch, "seq": seq, "ts": int(time.time() * 1000), "load1": 1}
            while self.send(phone, reading) != 200 and not self.stop.wait(0.05):
                pass
            if not self.stop.is_set():
                self.answered[phone.name] = seq

    def send(self, phone, reading):
        try:
            code = phone.ask("POST", "/v1/heartbeat", reading)[0]
        except OSError:
            code = 0
        self.codes.append(code)
        return code

    def total(self):
        return sum(self.answered.values())


def false_answers(stack, answered):
    """Of what was answered 200, how many are not in the database; and the doubled ones."""
    stored = dict(stack.rows("select device, count(distinct seq) from telemetry where device = any(%s) group by device", list(answered)))
    doubled = stack.value("select count(*) - count(distinct (device, epoch, seq)) from telemetry where device = any(%s)", list(answered))
    return sum(max(0, seq - stored.get(name, 0)) for name, seq in answered.items()), doubled


@pytest.mark.parametrize("part", ["bridge", "ingest", "broker"])
def test_exactly_once_through_kill_9(stack, part):
    wait_ready(stack)
    with Beating(stack, f"kill-{part}", 8) as beating:
        for _ in range(3):
            before = beating.total()
            wait_for(lambda: beating.total() > before + 50, "heartbeats")
            stack.kill(part)
        before = beating.total()
        wait_for(lambda: beating.total() > before + 50, "heartbeats after the last kill")
    assert set(beating.codes) <= {0, 200, 503}, set(beating.codes)
    assert false_answers(stack, beating.answered) == (0, 0)


def test_503_while_ingest_is_away(stack):
    wait_ready(stack)
    phone = Phone(stack, "away-1")
    ingest = stack.pid("ingest")
    os.kill(ingest, signal.SIGSTOP)
    try:
        began = time.monotonic()
        status, headers, problem = phone.ask("POST", "/v1/heartbeat", {"epoch": "e", "seq": 1, "ts": 1767225600000})
        took = time.monotonic() - began
    finally:
        os.kill(ingest, signal.SIGCONT)
    assert (status, problem["status"]) == (503, 503) and 1 <= int(headers["Retry-After"]) <= 3
    assert 4 < took < 80, "an answer in time, whoever hangs"
    assert phone.ask("POST", "/v1/heartbeat", {"epoch": "e", "seq": 1, "ts": 1767225600000})[0] == 200
    assert readings(stack, "away-1") == 1


def test_503_while_the_database_is_away(stack):
    wait_ready(stack)
    phone = Phone(stack, "away-2")
    assert phone.beat(load1=1) == 200
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(phone.ask, "GET", "/v1/commands?wait=60")
        wait_for(lambda: metric(stack, "muster_polls_waiting") == 1, "the device to wait")
        hung = [stack.pid("postgres"), *map(int, run("pgrep", "-P", stack.pid("postgres")).stdout.split())]
        for pid in hung:
            os.kill(pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            status, headers, _ = phone.ask("POST", "/v1/heartbeat", {"load1": 2})
            assert status == 503 and int(headers["Retry-After"]) >= 1
            assert waiting.result(180)[0] == 503
            assert time.monotonic() - began < 55, "answers in time, whoever hangs"
        finally:
            for pid in hung:
                os.kill(pid, signal.SIGCONT)
    wait_for(lambda: phone.beat(load1=3) == 200, "the database to be back")


def test_nobody_waits_for_a_hung_database_that_enrolment_asks(stack):
    """Enrolments that hang in PostgreSQL hold nobody else up: not /health, not a heartbeat, not each other for long."""
    wait_ready(stack)
    phone = Phone(stack, "away-3")
    tokens = [stack.token("--device", f"hang-{i}") for i in range(8)]
    csr = stack.csr("hang")[1]
    bodies = [("/v1/enroll", {"token": token, "csr": csr}) for token in tokens[:4]]
    bodies += [("/v1/register", {"token": token}) for token in tokens[4:]]
    bodies += [("/v1/registration", {"csr": csr, "secret": "A" * 43})]
    hung = [stack.pid("postgres"), *map(int, run("pgrep", "-P", stack.pid("postgres")).stdout.split())]
    with ThreadPoolExecutor(len(bodies)) as pool:
        for pid in hung:
            os.kill(pid, signal.SIGSTOP)
        try:
            asked = [pool.submit(stack.post, path, body) for path, body in bodies]
            times = []
            while not all(answer.done() for answer in asked):
                began = time.monotonic()
                assert health(stack)["version"]
                times.append(time.monotonic() - began)
                began = time.monotonic()
                status, headers, _ = phone.ask("POST", "/v1/heartbeat", {"load1": 2})
                assert status == 503 and int(headers["Retry-After"]) >= 1
                # The thread that looks up credentials may be asking whether its connection lives (5 s), then connects anew (5 s).
                assert time.monotonic() - began < 45, "not behind the enrolments"
            # Behind the database it would take 5 s each time; once in a while this machine is busy.
            assert statistics.median(times) < 4, f"/health took {times} s"
            assert {answer.result()[0] for answer in asked} == {503}
            wait_for(lambda: health(stack)["database"] == "unreachable", "/health to say so")
            assert stack.post(*bodies[0])[0] == 503
        finally:
            for pid in hung:
                os.kill(pid, signal.SIGCONT)
    # Each token is still good for one device, whatever became of the first try.
    wait_for(lambda: health(stack)["database"] == "ok", "the database to be back")
    for (path, body), i in zip(bodies[:4], range(4)):
        status, answer = wait_for(lambda: (done := stack.post(path, body))[0] != 503 and done, "its connection to be back")
        assert status in (200, 201) and answer["device"] == f"hang-{i}", answer


def test_control_answering_at_puback_would_be_found(stack):
    """The same kills, with a publisher that takes PUBACK for stored: the count must find the loss."""
    wait_ready(stack)
    name, epoch = "control-1", "e"
    register(stack, name)
    files = ["--cafile", stack.state / "ca/service.crt", "--cert", stack.state / "certs/bridge.crt", "--key", stack.state / "certs/bridge.key"]
    ingest = stack.pid("ingest")
    os.kill(ingest, signal.SIGSTOP)  # so that all of it is in the broker's memory when that is killed
    try:
        lines = "".join(json.dumps({"epoch": epoch, "seq": n, "ts": 1767225600000}) + "\n" for n in range(1, 501))
        run("mosquitto_pub", "-V", "5", "-h", "localhost", "-p", stack.ports["services"], "-i", "svc.bridge.control", "-q", "1",
            *files, "-t", f"fleet/v1/{name}/telemetry", "-l", input=lines)
        stack.kill("broker")
    finally:
        os.kill(ingest, signal.SIGCONT)
    wait_ready(stack)
    lost, _ = false_answers(stack, {name: 500})
    assert lost > 0, "the count would not have found a false 200"


# ---- hostile and odd clients ----
def test_split_pipelined_and_slow_requests(stack):
    phone = Phone(stack, "odd-1")
    body = b'{"load1":1}'
    head = (f"POST /v1/heartbeat HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {phone.credential}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n").encode()
    with socket.create_connection(("127.0.0.1", stack.ports["bridge"])) as plain:
        with phone.tls.wrap_socket(plain, server_hostname="localhost") as wire:
            for byte in head + body:
                wire.sendall(bytes([byte]))
            wire.sendall((head + body) * 5)
            text = b""
            while text.count(b'{"stored":true}') < 6:
                piece = wire.recv(65536)
                assert piece, text
                text += piece
            assert text.count(b"HTTP/1.1 200 OK") == 6
    assert readings(stack, "odd-1") == 6


def test_many_wait_at_once(stack):
    token = stack.token("--uses", "100")
    phones = [Phone(stack, f"many-{n}", stack.post("/v1/register", {"token": token, "device": f"many-{n}"})[1]["credential"])
              for n in range(100)]
    with ThreadPoolExecutor(100) as pool:
        for seconds in (12, 30, 60):  # so many as are enough for all to come, here and now
            waiting = [pool.submit(phone.polled, seconds) for phone in phones]
            wait_for(lambda: metric(stack, "muster_polls_waiting") == 100 or waiting[0].done(), "all to wait")
            if not waiting[0].done() or seconds == 60:
                break
            concurrent.futures.wait(waiting)
        ids = {phone.name: stack.muster_json("command", "send", phone.name, "ping")["id"] for phone in phones[::10]}
        for phone, answer in zip(phones, waiting):
            found = [claims(jws)["jti"] for jws in answer.result(180)]
            assert found == ([ids[phone.name]] if phone.name in ids else []), phone.name
