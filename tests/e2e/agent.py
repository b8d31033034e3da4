"""The real agent, enrolled, with a state of its own; started, killed and started again by a test."""
import os
import signal
import subprocess

from stack import run


class Agent:
    def __init__(self, stack, name, options="", actions=("ping", "set_interval", "reboot")):
        self.stack, self.name = stack, name
        self.folder = stack.state / f"agent-{name}"
        self.folder.mkdir()
        self.state = self.folder / "state"
        self.config = self.folder / "agent.conf"
        allowed = ", ".join(f'"{action}"' for action in actions)
        self.config.write_text(
            f'state_dir = "{self.state}"; interval_s = 1; actions = [ {allowed} ];\n{options}\n'
            f'bridge = {{ url = "https://localhost:{stack.ports["bridge"]}"; ca_file = "{stack.state}/ca/service.crt"; }};\n')
        self.enroll()
        self.log = open(self.folder / "log", "ab")  # pylint: disable=consider-using-with
        self.process = None

    def enroll(self):
        token = self.folder / "token"
        token.write_text(self.stack.token("--device", self.name))
        token.chmod(0o600)
        run(self.stack.bin / "muster-agent", "enroll", "--config", self.config, "--token-file", token)

    def start(self, **environment):
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            ["setpriv", "--pdeathsig", "KILL", self.stack.bin / "muster-agent", "run", "--config", self.config],
            env={**os.environ, **environment}, stdout=self.log, stderr=self.log)
        return self

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(180)

    def kill(self):
        self.stop(signal.SIGKILL)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
        self.log.close()

    # ---- what the server knows of it ----
    def order(self, action="ping", params="{}", ttl_s=86400, by="tester"):
        return self.stack.value(
            "insert into command (device, action, params, requested_by, expires_at, confirmed) values (%s, %s, %s::jsonb, %s,"
            " now() + make_interval(secs => %s), true) returning id::text", self.name, action, params, by, ttl_s)

    def command(self, command):
        """(state, n, jws) of a command."""
        return self.stack.rows("select state, n, jws from command where id = %s::uuid", command)[0]

    def refusals(self):
        """Why it refused what came on its command topic, in order."""
        return [row[0] for row in self.stack.rows(
            "select body ->> 'reason' from event where device = %s and type = 'command.refused' order by epoch, seq", self.name)]

    def results(self, command):
        return self.stack.rows("select state, verdict, body from command_result where device = %s and command = %s"
                               " order by epoch, seq", self.name, command)
