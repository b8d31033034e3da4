"""The push service fails in every way it can while sleeping devices wait for their commands.

The devices are real agents, which sleep between heartbeats that are an hour apart; a push that the simulated service takes
wakes them. Each command appends its id to a file as it is carried out: the witness of effects. One command expires while its
device cannot be woken: it may have none.
"""
import contextlib
import json
import os
import pathlib
import pwd
import random
import uuid

from agent import Agent
from fault_15_commander_killed import OPEN_SQL, Victim
from invariants import commands_fault
from lab import now, pause, run as run_command, wait_for
from support.fcm import Fcm
from trial import Result

NUMBER, NAME = 14, "push service fails, commander killed"
# What is answered, to how many pushes, and what commander then makes of it.
KINDS = {"busy": (1, "QUOTA_EXCEEDED"), "internal": (2, "INTERNAL"), "unregistered": (2, "UNREGISTERED"), "hang": (2, "TIMEOUT"),
         "expired": (1, "OK"), "killed": (2, "ABANDONED")}
GROUPS, GROUP = 2, 2  # devices; while one group is woken, the other falls asleep
TTL_S, DONE_S = 3600, 240
TRIES = 10  # of a failure, until commander has seen it as what it is: a push of a second may be over before commander is killed
CONFIG = """
fcm: {{ credentials_file = "{fcm.credentials}"; endpoint = "https://localhost:{fcm.port}"; ca_file = "{fcm.folder}/ca.crt";
    timeout_s = 1; device_per_hour = 1000; breaker_failures = 2; breaker_open_s = 1; }};
wake: {{ after_s = 1; retry_s = 1; retry_max_s = 2; }};
"""
SLEEPER = f"""
connection = {{ mode = "on_demand"; stay_s = 1; }};
interval_s = 3600;
actions = [ "run" ];
run = {{ user = "{pwd.getpwuid(os.geteuid()).pw_name}"; }};
"""
ORDER_SQL = """
insert into command (id, device, action, params, requested_by, expires_at, confirmed)
values (%s, %s, 'run', %s::jsonb, 'faults', now() + make_interval(secs => %s), true)"""
ASLEEP_SQL = "select count(*) from device_state where device = any(%s) and presence = 'offline' and presence_why = 'sleep'"
ENDS_SQL = """
select state, (select body from command_result r where r.command = c.id::text order by ts desc limit 1)
from command c where id::text = any(%s)"""
STATUSES_SQL = "select fcm_status, count(*) from fcm_dispatch group by fcm_status"
AGAIN_SQL = "select coalesce(sum(pushes - 1), 0)::bigint from (select count(*) as pushes from fcm_dispatch group by command) c"


class Effects:
    """The file that a command leaves its id in when it is carried out."""

    def __init__(self, lab):
        self.path = pathlib.Path(lab.tools).resolve() / "effects"
        self.path.write_text("", encoding="ascii")

    def params(self, command):
        return json.dumps({"argv": ["/bin/sh", "-c", 'echo "$1" >> "$0"', str(self.path), command]})

    def counts(self):
        lines = self.path.read_text(encoding="ascii").split()
        return {command: lines.count(command) for command in set(lines)}


class Sleepers:
    """Agents that a push wakes, and what they are ordered."""

    def __init__(self, lab, fcm, stack):
        self.lab, self.fcm, self.effects, self.commands = lab, fcm, Effects(lab), []
        self.agents = [stack.enter_context(Agent(lab, f"f14-{number}", options=SLEEPER)) for number in range(GROUPS * GROUP)]
        for agent in self.agents:
            self.give_token(agent)
            agent.start()

    def give_token(self, agent):
        """As an app does, which has got a new one."""
        token = f"{agent.name}:{uuid.uuid4()}"
        self.fcm.wakers[token] = self.words(agent, "wake")
        run_command(*self.words(agent, "push-token"), "--token", token)

    def words(self, agent, verb):
        return [self.lab.bin / "muster-agent", verb, "--config", agent.config]

    def group(self, cycle):
        first = cycle % GROUPS * GROUP
        group = self.agents[first:first + GROUP]
        names = [agent.name for agent in group]
        wait_for(lambda: self.lab.value(ASLEEP_SQL, names) == GROUP, f"{', '.join(names)} to sleep", DONE_S)
        return group

    def order(self, agent, ttl_s=TTL_S):
        command = str(uuid.uuid4())
        self.lab.patient(lambda connection: connection.execute(
            ORDER_SQL, (command, agent.name, self.effects.params(command), ttl_s)), "a command to be taken")
        return command

    def wait_ended(self, commands, state, what):
        rows = wait_for(lambda: self.lab.value(OPEN_SQL, commands) == 0 and self.lab.rows(ENDS_SQL, commands), what, DONE_S)
        assert all(row[0] == state for row in rows), f"{what}: {rows}"


def try_kind(kind, sleepers, victim, group):
    """Orders a command of each device, and has their pushes fail; the commands."""
    fcm, (pushes, _) = sleepers.fcm, KINDS[kind]
    fcm.plan(*["hang" if kind == "killed" else kind] * pushes)
    commands = [sleepers.order(agent) for agent in group]
    wait_for(lambda: not fcm.script, f"{pushes} pushes to fail ({kind})", DONE_S)
    if kind == "killed":
        pause(random.uniform(0, 0.3))
        victim.kill()
    if kind == "unregistered":
        names = [agent.name for agent in group]
        wait_for(lambda: sleepers.lab.value("select count(*) from device_push where device = any(%s) and retired_at is not null",
                                            names) == len(names), "their tokens to be retired", DONE_S)
        for agent in group:
            sleepers.give_token(agent)
    return commands


def run(lab, plan):
    result = Result(NUMBER, NAME)
    fcm = Fcm(lab.state / "fcm", retry_after_s=1).start()
    with contextlib.closing(fcm), contextlib.ExitStack() as stack:
        config = lab.state / "conf/commander.conf"
        config.write_text(config.read_text() + CONFIG.format(fcm=fcm))
        victim = Victim(lab)
        stack.enter_context(lab.replaced("commander", victim.script, notifies=False))
        sleepers = Sleepers(lab, fcm, stack)
        kinds = list(KINDS)
        for cycle in range(plan.cycles_of(len(kinds))):
            kind = kinds[cycle % len(kinds)]
            for turn in range(TRIES):
                group, began = sleepers.group(cycle), now()
                commands = try_kind(kind, sleepers, victim, group)
                sleepers.wait_ended(commands, "succeeded", f"the commands of cycle {cycle} ({kind}, {turn})")
                sleepers.commands += commands
                if KINDS[kind][1] in dict(lab.rows(STATUSES_SQL)):
                    break
            result.longest_recovery_s = max(result.longest_recovery_s, now() - began)
            result.cycles += 1
        judge(lab, result, sleepers, expire(sleepers, result.cycles), kinds[:result.cycles])
    return result


def expire(sleepers, cycle):
    """The service refuses to push for a command, which has so little time that it is over before its device comes."""
    agent = sleepers.group(cycle)[0]
    sleepers.fcm.plan("invalid")
    command = sleepers.order(agent, ttl_s=1)
    sleepers.wait_ended([command], "expired", "the command that nobody could be woken for")
    sleepers.fcm.plan()
    after = sleepers.order(agent)  # first: it stays awake for a second
    run_command(*sleepers.words(agent, "wake"))
    sleepers.wait_ended([after], "succeeded", "the command after the expired one")
    sleepers.commands.append(after)
    return command


def judge(lab, result, sleepers, expired, kinds):
    for agent in sleepers.agents:
        agent.finish(result)
    wrong = commands_fault(sleepers.commands, [expired], sleepers.effects.counts())
    if wrong:
        result.problems.append(wrong)
    statuses = dict(lab.rows(STATUSES_SQL))
    result.problems += [f"commander never had {KINDS[kind][1]} from a push ({kind}): it tested nothing"
                        for kind in kinds if KINDS[kind][1] not in statuses]
    result.redelivered += lab.value(AGAIN_SQL)
