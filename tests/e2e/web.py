"""A browser without a page: requests to the dashboard with a cookie of their own, as fetch() of the page sends them."""
import http.client
import json
import ssl


class Browser:
    contract = None  # what good answers are held against, where a module says so

    def __init__(self, stack, port=None, agent="Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", key=None):
        self.host, self.port = "localhost", port or stack.ports["dashboard"]
        self.tls = ssl.create_default_context(cafile=str(stack.state / "ca/service.crt"))
        self.origin = f"https://{self.host}:{self.port}"
        self.agent, self.key, self.cookie, self.headers, self.set_cookie = agent, key, None, {}, None

    def send(self, method, path, body=None, headers=None):
        """(status, parsed body or text); headers of the answer are in .headers."""
        connection = http.client.HTTPSConnection(self.host, self.port, context=self.tls, timeout=180)
        sent = {"User-Agent": self.agent, "Accept": "application/json"}
        if self.key:
            sent["Authorization"] = f"Bearer {self.key}"
        else:
            sent["Origin"] = self.origin
        if self.cookie:
            sent["Cookie"] = f"__Host-muster={self.cookie}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        sent = {name: value for name, value in (sent | (headers or {})).items() if value is not None}
        try:
            connection.request(method, path if path.startswith("/") else f"/api/v1/{path}",
                               None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            text = answer.read().decode()
            self.headers = dict(answer.getheaders())
        finally:
            connection.close()
        if self.contract and answer.status < 300:
            fault = self.contract.hold(method, path if path.startswith("/") else f"/api/v1/{path}", answer.status,
                                       answer.getheader("Content-Type", ""), text)
            assert not fault, fault
        self.set_cookie = self.headers.get("Set-Cookie")
        if self.set_cookie and answer.status < 300:
            self.cookie = self.set_cookie.split(";")[0].split("=", 1)[1] or None
        return answer.status, json.loads(text) if "json" in answer.getheader("Content-Type", "") else text

    def get(self, path):
        return self.send("GET", path)

    def post(self, path, body=None, **options):
        return self.send("POST", path, body if body is not None else {}, **options)

    def patch(self, path, body):
        return self.send("PATCH", path, body)

    def delete(self, path):
        return self.send("DELETE", path)

    def login(self, name, password):
        return self.post("session", {"name": name, "password": password})
