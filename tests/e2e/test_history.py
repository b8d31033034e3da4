"""An exported history proves itself offline: who asked, what was signed, what the device answered. Whatever is left out,
changed or made up shows, also when whoever did it could seal the file anew with the true key; and jose and OpenSSL, which
know nothing of Muster, take the same signatures.
"""
import hashlib
import json
import pathlib
import shutil
import subprocess

import pytest
from agent import Agent
from signing import COMMAND, Key, b64, claims, header, unb64, verified_by_openssl
from stack import Device, run, wait_for

WEB = pathlib.Path(__file__).resolve().parents[2] / "dashboard/web"


@pytest.fixture(scope="module")
def history(stack, tmp_path_factory):
    """Two devices, seven commands, some of them after a rotation of the signing key; the file, and what verifies it."""
    folder = tmp_path_factory.mktemp("history")
    with Agent(stack, "kiosk-1") as one, Agent(stack, "kiosk-2", actions=("ping",)) as two:
        commands = [one.order(by="op.alice"), two.order(by="bob"), one.order("set_interval", '{"seconds": 77}', by="bob"),
                    two.order("reboot", by="bob")]
        commands.append(stack.value("insert into command (device, action, requested_by) values ('kiosk-1', 'fly', 'bob')"
                                    " returning id::text"))
        commands.append(ask_by_api(stack, "kiosk-1"))
        for command, state in zip(commands, ("succeeded", "succeeded", "succeeded", "rejected", "rejected", "succeeded")):
            wait_for(lambda command=command, state=state: one.command(command)[0] == state, f"{command} to be {state}")
        stack.muster("signing-key", "rotate", "next")
        stack.muster("signing-key", "rotate", "switch", "--force")
        kid = Key(stack.state / "keys/command.pem").kid

        def by_the_new_key():
            commands.append(one.order(by="op.alice"))
            wait_for(lambda: one.command(commands[-1])[0] == "succeeded", "the ping")
            return header(one.command(commands[-1])[2])["kid"] == kid

        wait_for(by_the_new_key, "commander to sign with the new key")
    stack.muster("command", "export", "--since", "1d", "--out", folder / "all.jsonl")
    (folder / "keys.json").write_text(stack.muster("signing-key", "list", "--json").stdout)
    shutil.copy(stack.state / "ca/device.crt", folder / "ca.crt")
    shutil.copy(stack.state / "keys/command.pem", folder / "key.pem")
    shutil.copytree(stack.state / "test-devices", folder / "devices", dirs_exist_ok=True) if (
        stack.state / "test-devices").exists() else None
    return History(stack, folder, commands)


def ask_by_api(stack, device):
    token = (stack.state / "api-token").read_text().strip()
    done = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", "-H", f"Authorization: Bearer {token}",
               "-H", "Content-Type: application/json", "--data", json.dumps({"device": device, "action": "ping"}),
               f"https://localhost:{stack.ports['dashboard']}/api/v1/commands")
    return json.loads(done.stdout)["id"]


class History:
    def __init__(self, stack, folder, commands):
        self.stack, self.folder, self.commands = stack, folder, commands
        self.lines = [json.loads(line) for line in (folder / "all.jsonl").read_text().splitlines()]

    def verify(self, path=None, **trust):
        """(exit code, report), where there is neither stack nor database."""
        trust = {"keys": self.folder / "keys.json", "ca": self.folder / "ca.crt"} | trust
        done = run(self.stack.bin / "muster", "command", "verify", path or self.folder / "all.jsonl", "--json",
                   "--state", self.folder / "nowhere", *[word for name in trust for word in (f"--{name}", trust[name])], check=False)
        assert done.returncode in (0, 1), done.stderr
        return done.returncode, json.loads(done.stdout)

    def altered(self, change, reseal=True):
        """Faults found after change(lines); resealed with the true key, as if the exporter itself had cheated."""
        lines = json.loads(json.dumps(self.lines[:-1]))
        lines = change(lines) or lines
        text = "".join(json.dumps(line) + "\n" for line in lines)
        end = self.lines[-1]
        if reseal:
            sealed = {"iat": claims(end["jws"])["iat"], "lines": len(lines), "sha256": hashlib.sha256(text.encode()).hexdigest()}
            end = end | {"jws": Key(self.folder / "key.pem").sign(sealed, "muster-history+jws")}
        path = self.folder / "altered.jsonl"
        path.write_text(text + json.dumps(end) + "\n")
        code, report = self.verify(path)
        assert (code == 0) == report["verified"] == (report["fault_count"] == 0)
        return [fault["what"] for fault in report["faults"]]

    def find(self, lines, kind, **members):
        return next(line for line in lines if line["line"] == kind and all(line[name] == members[name] for name in members))


def test_it_verifies_offline(history):
    code, report = history.verify()
    assert code == 0, report["faults"]
    assert report["devices"] == 2 and report["devices_partial"] == 0 and report["results"]["unsigned"] == 0
    assert report["results"]["signed"] >= 2 * len(history.commands) - 4
    asked = {(one["device"], one["action"], one["by"], one["state"]) for one in report["commands"]}
    assert {("kiosk-1", "ping", "op.alice", "succeeded"), ("kiosk-2", "reboot", "bob", "rejected"),
            ("kiosk-1", "set_interval", "bob", "succeeded"), ("kiosk-1", "ping", "admin", "succeeded")} <= asked
    assert report["unsent"] == 1, "the one that nobody knows was never signed"
    audited = history.find(history.lines, "command", requested_by="admin")["audit"]
    assert audited[0]["actor"] == "admin" and audited[0]["detail"]["command"]
    text = run(history.stack.bin / "muster", "command", "verify", history.folder / "all.jsonl", "--list",
               "--keys", history.folder / "keys.json", "--ca", history.folder / "ca.crt").stdout
    assert "nothing is missing" in text and "by op.alice" in text


def test_the_control_a_resealed_file_verifies(history):
    assert history.altered(lambda lines: None) == []


def test_without_the_key_nothing_can_be_left_out(history):
    for number in range(len(history.lines)):
        assert history.altered(lambda lines, number=number: lines[:number] + lines[number + 1:], reseal=False), number
    text = (history.folder / "all.jsonl").read_text()
    short = history.folder / "short.jsonl"
    for end in (text.rindex('{"line":"end"'), len(text) - 1, len(text) // 2):
        short.write_text(text[:end])
        code, report = history.verify(short)
        assert code == 1 and report["faults"]


def test_even_with_the_key_a_missing_command_shows(history):
    signed = [line for line in history.lines if line["line"] == "command" and line["jws"] and line["device"] == "kiosk-1"]
    for gone in signed[:-1]:  # that the last one is missing only the seal can show

        def leave_out(lines, gone=gone):
            return [line for line in lines if gone["id"] not in (line.get("id"), line.get("command"))]

        faults = history.altered(leave_out)
        if gone is signed[0]:
            assert faults == [], "the rest is whole, and says that it is not the beginning"
            code, report = history.verify(history.folder / "altered.jsonl")
            assert code == 0 and report["devices_partial"] == 1
        else:
            assert any("is missing" in fault for fault in faults), faults


def test_even_with_the_key_a_missing_answer_shows(history):
    for number, line in enumerate(history.lines):
        if line["line"] == "result":
            faults = history.altered(lambda lines, number=number: lines[:number] + lines[number + 1:])
            assert any("answer" in fault and "missing" in fault for fault in faults), faults


ALTERATIONS = {
    "another requester": ("command", lambda line: line.update(requested_by="op.mallory"), "asked for it"),
    "another action": ("command", lambda line: line.update(action="reboot"), "the action is said"),
    "other parameters": ("command", lambda line: line.update(params={"seconds": 5}), "parameters"),
    "another counter": ("command", lambda line: line.update(n=line["n"] + 1), "n is said"),
    "another command": ("command", lambda line: line.update(id="00000000-0000-4000-8000-000000000000"), "was signed"),
    "a changed JWS": ("command", lambda line: line.update(jws=line["jws"][:-5] + "AAAAA"), "signature is wrong"),
    "another result": ("result", lambda line: line.update(signed=line["signed"].replace("pong", "ping")), "not signed by"),
    "a result of another state": ("result", lambda line: line.update(state="failed"), "another answer"),
    "no signature": ("result", lambda line: line.update(signed="", sig=""), "signature is missing"),
    "a foreign signature": ("result", lambda line: line.update(sig=b64(bytes(70))), "not signed by"),
}


@pytest.mark.parametrize("name", ALTERATIONS)
def test_even_with_the_key_an_alteration_shows(history, name):
    kind, change, words = ALTERATIONS[name]

    def alter(lines):
        first = history.find(lines, "command", action="ping", device="kiosk-1")
        change(first if kind == "command" else history.find(lines, "result", command=first["id"], state="succeeded"))

    faults = history.altered(alter)
    assert any(words in fault for fault in faults), faults
    assert history.altered(alter, reseal=False), "the seal alone shows it, too"


def test_even_with_the_key_two_devices_cannot_be_swapped(history):
    names = {"kiosk-1": "kiosk-2", "kiosk-2": "kiosk-1"}

    def swap(lines):
        for line in lines:
            if line.get("device") in names:
                line["device"] = names[line["device"]]
        return lines[:1] + sorted(lines[1:], key=lambda line: line["device"])

    faults = history.altered(swap)
    assert any("another device" in fault for fault in faults) and any("kiosk-1, not of kiosk-2" in fault for fault in faults), faults


def test_a_forged_command_shows(history, tmp_path):
    mallory = Key.new(tmp_path / "mallory.pem")

    def forge(lines):
        line = history.find(lines, "command", action="ping", device="kiosk-1")
        line["jws"] = mallory.sign(claims(line["jws"]))

    assert any("kid is not trusted" in fault for fault in history.altered(forge))
    (tmp_path / "keys.json").write_text(json.dumps({"keys": [mallory.jwk]}))
    code, report = history.verify(keys=tmp_path / "keys.json")
    assert code == 1 and report["fault_count"] >= len(history.commands) - 1, "whom to trust is not for the file to say"


def test_a_device_by_another_authority_shows(history):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30",
        "-keyout", history.folder / "other.key", "-subj", "/CN=Muster Device CA", "-out", history.folder / "other.crt")
    code, report = history.verify(ca=history.folder / "other.crt")
    assert code == 1 and any("no authority" in fault["what"] for fault in report["faults"])


def test_one_command_or_one_device(history):
    path = history.folder / "one.jsonl"
    history.stack.muster("command", "export", history.commands[2], "--out", path)
    code, report = history.verify(path)
    assert code == 0 and [one["action"] for one in report["commands"]] == ["set_interval"]
    history.stack.muster("command", "export", "--device", "kiosk-2", "--out", path)
    code, report = history.verify(path)
    assert code == 0 and {one["device"] for one in report["commands"]} == {"kiosk-2"}
    done = history.stack.muster("command", "export", "00000000-0000-4000-8000-000000000000", "--out", path, check=False)
    assert done.returncode == 3 and "next:" in done.stderr


def test_unsigned_answers_of_plain_clients_are_counted(history):
    stack = history.stack
    with Device(stack, "plain-1") as device:
        command = stack.value("insert into command (device, action, requested_by) values ('plain-1', 'ping', 'tester')"
                              " returning id::text")
        wait_for(lambda: device.received("command"), "the command")
        device.publish("result", device.next(command=command, state="succeeded", output={"pong": True}))
        wait_for(lambda: stack.value("select state from command where id = %s::uuid", command) == "succeeded", "its end")
    path = history.folder / "plain.jsonl"
    stack.muster("command", "export", command, "--out", path)
    (history.folder / "keys.json").write_text(stack.muster("signing-key", "list", "--json").stdout)
    code, report = history.verify(path)
    assert code == 0 and report["results"] == {"signed": 0, "unsigned": 1, "refused": 0}


# ---- by programs that know nothing of Muster ----

def signed_commands(history):
    return [line["jws"] for line in history.lines if line["line"] == "command" and line["jws"]]


def test_openssl_alone_verifies_commands_and_answers(history, tmp_path):
    keys = {key["kid"]: key for key in json.loads((history.folder / "keys.json").read_text())["keys"]}
    used = set()
    for jws in signed_commands(history):
        kid = header(jws)["kid"]
        used.add(kid)
        assert header(jws) == {"alg": "EdDSA", "kid": kid, "typ": COMMAND}
        assert verified_by_openssl(jws, keys[kid], tmp_path)
    assert len(used) == 2
    wrong = jws[:-1] + ("A" if jws[-1] != "A" else "Q")
    assert not verified_by_openssl(wrong, keys[kid], tmp_path), "the control"
    for line in history.lines:
        if line["line"] != "result":
            continue
        certificate = next(one for one in history.lines if one["line"] == "certificate" and one["serial"] == line["certificate"])
        (tmp_path / "device.crt").write_text(certificate["pem"])
        (tmp_path / "device.pub").write_text(run("openssl", "x509", "-in", tmp_path / "device.crt", "-pubkey", "-noout").stdout)
        (tmp_path / "sig").write_bytes(unb64(line["sig"]))
        (tmp_path / "text").write_text(line["signed"])
        words = ("openssl", "dgst", "-sha256", "-verify", tmp_path / "device.pub", "-signature", tmp_path / "sig", tmp_path / "text")
        assert run(*words).stdout.strip() == "Verified OK"
        run("openssl", "verify", "-CAfile", history.folder / "ca.crt", tmp_path / "device.crt")
        (tmp_path / "text").write_text(line["signed"] + " ")
        assert run(*words, check=False).returncode == 1, "the control"


def test_jose_verifies_commands(history):
    script = pathlib.Path(__file__).with_name("jose.mjs")
    told = {"keys": json.loads((history.folder / "keys.json").read_text()), "commands": signed_commands(history),
            "typ": COMMAND, "seal": history.lines[-1]["jws"]}
    done = subprocess.run(["node", script, WEB], input=json.dumps(told), capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [one["sub"] for one in answer["commands"]] == [claims(jws)["sub"] for jws in told["commands"]]
    assert answer["refused"] == len(told["commands"]), "each with a bit flipped"
    assert answer["sealed"] == claims(told["seal"])["sha256"]
