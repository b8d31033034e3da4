"""Mails leave by a real SMTP server, with TLS and AUTH; whatever it does, none is lost, and none is sent for ever."""
import json
import urllib.request

import pytest

from stack import wait_for
from support.mailbox import PASSWORD, USER, Mailbox

CONFIG = """
smtp: {{ url = "smtp://localhost:{port}"; from = "muster@example.org"; user = "{user}"; password_file = "{password}";
    ca_file = "{ca}"; timeout_s = 8; retry_s = 1; breaker_open_s = 1; }};
"""


def health(stack):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{stack.ports['commander_metrics']}/health", timeout=180) as answer:
            return json.load(answer)
    except OSError:
        return {}


@pytest.fixture(scope="module")
def mailbox(stack):
    assert health(stack)["mail"] == {"state": "off"}
    server = Mailbox(stack.state / "mail")
    password = stack.state / "mail/password"
    password.write_text(PASSWORD + "\n")
    password.chmod(0o600)
    path = stack.state / "conf/commander.conf"
    path.write_text(path.read_text() + CONFIG.format(port=server.port, user=USER, password=password, ca=server.ca))
    if stack.owner():
        import shutil
        for file in (stack.state / "mail").iterdir():
            shutil.chown(file, stack.owner()["user"], stack.owner()["group"])
    stack.muster("stack", "restart", "commander")
    wait_for(lambda: health(stack).get("mail", {}).get("state") == "ready", "commander to be able to send mail")
    yield server
    server.close()


def send(stack, to, subject="Subject", body="Body\n", expires="1 day"):
    return stack.value("insert into mail (recipient, subject, body, about, expires_at) values (%s, %s, %s, 'test',"
                       " now() + %s::interval) returning id", to, subject, body, expires)


def row(stack, mail):
    return stack.rows("select sent_at is not null, next_at = 'infinity', attempts, error, body from mail where id = %s", mail)[0]


def test_a_mail_arrives_as_it_was_written(stack, mailbox):
    body = "Größe: 5 > 4 = wahr \n.\n" + "ein langer Satz " * 20 + "\n"
    mail = send(stack, "ada@example.com", "Gerät „Küche“ ist außer Betrieb, und das schon seit heute Morgen um sechs Uhr", body)
    message = mailbox.wait("ada@example.com")[0]
    assert message["Subject"] == "Gerät „Küche“ ist außer Betrieb, und das schon seit heute Morgen um sechs Uhr"
    assert message.get_content().replace("\r\n", "\n") == body
    assert (message["From"], message["To"]) == ("Muster <muster@example.org>", "ada@example.com")
    assert message["Auto-Submitted"] == "auto-generated" and message["Message-ID"].endswith("@example.org>")
    assert message["Date"].datetime is not None
    wait_for(lambda: row(stack, mail) == (True, False, 1, "", ""), "the row to say so, without the body")
    assert mailbox.logins == [True]


def test_a_greylisted_mail_is_tried_again(stack, mailbox):
    mailbox.script["grey@example.com"] = ["greylist", "greylist"]
    mail = send(stack, "grey@example.com")
    mailbox.wait("grey@example.com")
    wait_for(lambda: row(stack, mail)[:3] == (True, False, 3), "the third try to be the last")


def test_a_refused_mail_is_given_up(stack, mailbox):
    mailbox.script["gone@example.com"] = ["refuse"] * 9
    mail = send(stack, "gone@example.com")
    wait_for(lambda: row(stack, mail)[:3] == (False, True, 1), "it to be given up")
    assert "550" in row(stack, mail)[3] and row(stack, mail)[4] == ""
    # The control: the others still go.
    send(stack, "there@example.com")
    mailbox.wait("there@example.com")


def test_a_server_that_hangs_or_is_away_holds_up_nobody(stack, mailbox):
    mailbox.script["slow@example.com"] = ["hang"]
    slow = send(stack, "slow@example.com")
    wait_for(lambda: row(stack, slow)[3], "the first try to time out")
    mailbox.released.set()
    mailbox.wait("slow@example.com")
    mailbox.stop()
    away, late = send(stack, "away@example.com"), send(stack, "late@example.com", expires="2 seconds")
    wait_for(lambda: row(stack, away)[3], "the server to be missed")
    wait_for(lambda: row(stack, late)[1], "the other to expire")
    assert row(stack, late)[3].startswith("it expired")
    mailbox.start()
    mailbox.wait("away@example.com", seconds=60)
    assert not mailbox.to("late@example.com")


def test_kills_of_commander_lose_none(stack, mailbox):
    for number in range(20):
        send(stack, f"many-{number}@example.com")
        if number == 10:
            stack.kill("commander")
    wait_for(lambda: all(mailbox.to(f"many-{number}@example.com") for number in range(20)), "all twenty")


def test_the_password_must_be_right_and_the_certificate_known(stack, mailbox):
    path = stack.state / "conf/commander.conf"
    good = path.read_text()
    for change, word in (((f'user = "{USER}"', 'user = "eve"'), "AWAY"), ((f'ca_file = "{mailbox.ca}"',
                         f'ca_file = "{stack.state}/ca/service.crt"'), "AWAY")):
        path.write_text(good.replace(*change))
        stack.muster("stack", "restart", "commander")
        before = len(mailbox.messages)
        mail = send(stack, "secret@example.com")
        wait_for(lambda: row(stack, mail)[3], "the failure to be told")
        assert row(stack, mail)[0] is False and len(mailbox.messages) == before, word
        assert PASSWORD not in row(stack, mail)[3]
    path.write_text(good)
    stack.muster("stack", "restart", "commander")
