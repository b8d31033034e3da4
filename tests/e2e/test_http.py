"""Devices that speak only HTTP, played by curl and Python's http.client."""
import json

from stack import run, wait_for


def health(stack):
    return json.loads(run("curl", "-sS", "--cacert", stack.state / "ca/service.crt",
                          f"https://localhost:{stack.ports['bridge']}/health").stdout)


def test_the_bridge_has_a_session_with_the_broker(stack):
    wait_for(lambda: health(stack)["broker"] == "ok", "the bridge's session with the broker")
