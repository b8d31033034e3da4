"""The pages for enrolment and certificates, and their API: what is decided together, tokens by QR code, pre-approved lists."""
import json

from page import browse
from PIL import Image
from pyzbar import pyzbar
from stack import run
from test_registration import Applicant, key_of_role

STACK_ARGS = ["--sims", "0", "--no-agent"]


def api(stack, key, path, body=None):
    """(status, parsed body) of a GET, or of a POST of a JSON object or of CSV."""
    kind, text = ("text/csv", body) if isinstance(body, str) else ("application/json", json.dumps(body))
    done = run("curl", "-sS", "--cacert", stack.state / "ca/service.crt", "-H", "@-", *(["--data-binary", text] if body is not None else []),
               "-w", "\n%{http_code}", f"https://localhost:{stack.ports['dashboard']}{path}",
               input=f"Authorization: Bearer {key}\nContent-Type: {kind}\n")
    answer, status = done.stdout.rsplit("\n", 1)
    return int(status), json.loads(answer)


def test_an_administrator_lets_many_in(stack):
    stack.enroll("desk-1")
    stack.enroll("soon-1")
    stack.rows("update certificate set not_before = now() - interval '84 days', not_after = now() + interval '5 days'"
               " where device = 'soon-1' returning 1")
    hostile = "<img src=x onerror='window.injected=1'>"
    names = ["till-1", "till-2", "till-3", "desk-1", "left-out"]
    devices = {name: Applicant(stack, name, serial=f"SN-{name}", info={"model": hostile}) for name in names}
    assert [device.ask()[0] for device in devices.values()] == [202] * len(names)
    browse(stack, "enrolment.mjs", waiting=str(len(names)))
    states = dict(stack.rows("select wish, state from registration"))
    assert states == {"till-1": "approved", "till-2": "approved", "till-3": "approved", "desk-1": "pending", "left-out": "pending"}
    assert devices["till-2"].poll()[1]["device"] == "till-2"
    assert stack.value("select tags from device where device = 'till-2'") == ["shop", "north"]
    acts = stack.rows("select action, count(*) from audit where actor = 'admin' group by 1 order by 1")
    assert {"registration.approve": 3, "token.create": 1, "preapproval.remove": 1}.items() <= dict(acts).items(), acts
    # What a scanner at the device reads is what the agent takes.
    code = pyzbar.decode(Image.open(stack.state / "page/qr.png"))[0].data.decode()
    assert code == (stack.state / "page/token").read_text()
    device = Applicant(stack, "scanned-1")
    status, answer = stack.post("/v1/enroll", {"token": code, "csr": device.csr})
    assert status == 201, answer
    assert stack.value("select tags from device where device = %s", answer["device"]) == ["kiosk"]


def test_what_cannot_be_decided_is_told(stack):
    key = key_of_role(stack, "administrator")
    device = Applicant(stack, "odd-1")
    assert device.ask()[0] == 202
    status, answer = api(stack, key, "/api/v1/registrations/decide", {"verb": "reject", "ids": [device.id, "nobody"], "reason": "no"})
    assert status == 200
    assert [(item["id"], item["done"]) for item in answer["items"]] == [(device.id, True), ("nobody", False)]
    assert "no registration with this id" in answer["items"][1]["detail"]
    for body in [{}, {"verb": "approve"}, {"verb": "maybe", "ids": [device.id]}, {"verb": "approve", "ids": []},
                 {"verb": "approve", "ids": [1]}, {"verb": "approve", "ids": ["x"] * 101},
                 {"verb": "approve", "ids": [device.id], "device": "same"}]:
        status, problem = api(stack, key, "/api/v1/registrations/decide", body)
        assert status == 422 and problem["detail"], body
    assert api(stack, key_of_role(stack, "operator"), "/api/v1/registrations/decide", {"verb": "approve", "ids": [device.id]})[0] == 403


def test_pages_of_the_list(stack):
    key = key_of_role(stack, "administrator")
    lines = "".join(f"P.{n:04},,a\n" for n in range(250))
    assert api(stack, key, "/api/v1/preapprovals", lines)[1]["added"] == 250
    assert api(stack, key, "/api/v1/preapprovals", lines)[1] == {"added": 0, "changed": 0, "unchanged": 250, "used": 0}
    seen, after = [], ""
    while after is not None:
        _, page = api(stack, key, f"/api/v1/preapprovals?limit=100&q=P.&after={after}")
        seen += [item["serial"] for item in page["items"]]
        after = page["next"]
    assert seen == sorted(seen) and len(seen) == 250
    status, problem = api(stack, key, "/api/v1/preapprovals", "P.1,desk-1\nP.2,,,\n")
    assert status == 422 and "line 2: more than the three columns" in problem["detail"]
    status, problem = api(stack, key, "/api/v1/preapprovals", "P.1,desk-1\n")
    assert status == 422 and "line 1: desk-1 is a device already" in problem["detail"]
    assert api(stack, key, "/api/v1/preapprovals?after=nonsense")[0] == 400
