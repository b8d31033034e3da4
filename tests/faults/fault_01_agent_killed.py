"""SIGKILL of the agent: at each of its named crash points, and at random; and commands through it all."""
import random

from agent import Agent
from invariants import commands_fault
from lab import pause, wait_for
from trial import Result

NUMBER, NAME = 1, "agent killed"
POINTS = ["outbox.commit", "publish", "puback", "stored", "command.stored", "random"]
EFFECTS_SQL = """
select command, count(distinct (ts, body)) from command_result where device = %s and state = 'succeeded' group by command"""


def die(agent, point, command):
    if point == "random":
        agent.start()
        pause(random.uniform(0, 1.5))
        agent.kill()
        return
    if point == "command.stored":
        command()
    agent.start(point)
    agent.wait_death(point)


def run(lab, plan):
    result = Result(NUMBER, NAME)
    commands = []
    with Agent(lab, "f01-agent") as agent:
        # One command runs out while the device is away: it must have no effect when the device comes.
        expired = lab.command(agent.name, ttl_s=1)
        wait_for(lambda: lab.value("select now() > expires_at from command where id = %s::uuid", expired),
                 "the command to expire")
        for cycle in range(plan.cycles_of(len(POINTS))):
            point = POINTS[cycle % len(POINTS)]
            die(agent, point, lambda: commands.append(lab.command(agent.name)))
            agent.count_redelivered()
            agent.start()
            seconds = agent.recover()
            result.longest_recovery_s = max(result.longest_recovery_s, seconds)
            if seconds > plan.drain_begins_s and len(agent.waiting) == 1:  # with one, its beginning is its end
                result.problems.append(f"I5: draining began {seconds:.1f} s after the start, killed at {point}")
            agent.kill()
            agent.count_redelivered()
            result.cycles += 1
        agent.start()
        wait_for(lambda: lab.value("select count(*) from command where id::text = any(%s) and state = 'succeeded'", commands)
                 == len(commands), "every ping to succeed")
        agent.finish(result)
        wrong = commands_fault(commands, [expired], dict(lab.rows(EFFECTS_SQL, agent.name)))
        if wrong:
            result.problems.append(wrong)
    return result
