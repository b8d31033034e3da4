"""Runs a script of the page (*.mjs) in a real browser against a stack."""
import hashlib
import os
import pathlib
import secrets

from stack import run

HERE = pathlib.Path(__file__).resolve().parent


def login_link(stack, user="admin"):
    """A one-time link for user, who has an account."""
    token = secrets.token_urlsafe(32)
    stack.rows("insert into access_token (token_hash, kind, user_name, label, expires_at) values (%s, 'login', %s, 'test',"
               " now() + interval '1 hour') returning 1", hashlib.sha256(token.encode()).digest(), user)
    return f"https://localhost:{stack.ports['dashboard']}/login#{token}"


def browse(stack, script, user="admin", **environment):
    """Runs script (beside this file), logged in by a link of its own; names in environment are MUSTER_<NAME>. Returns what it
    printed."""
    folder = stack.state / "page"
    folder.mkdir(exist_ok=True)
    done = run("node", HERE / script, check=False, timeout=900, env=os.environ | {
        "MUSTER_WEB": str(HERE.parents[1] / "dashboard/web"), "MUSTER_LINK": login_link(stack, user), "HOME": str(folder),
        "MUSTER_SCRATCH": str(folder),
    } | {f"MUSTER_{name.upper()}": value for name, value in environment.items()})
    assert done.returncode == 0 and "seen" in done.stdout, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout
