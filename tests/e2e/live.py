"""Live streams of the dashboard, read by asyncio and curl: many of them at once, over TLS."""
import asyncio
import json
import ssl

from stack import run


class Stream:
    """One stream of server-sent events: events as (name, data, id), in their order."""

    def __init__(self, reader, writer, status):
        self.reader, self.writer, self.status = reader, writer, status
        self.events, self.ended, self.last_id = [], False, ""
        self.news = asyncio.Event()
        self.task = None

    @classmethod
    async def open(cls, stack, token, query="", **headers):
        context = ssl.create_default_context(cafile=str(stack.state / "ca/service.crt"))
        reader, writer = await asyncio.open_connection("localhost", stack.ports["dashboard"], ssl=context)
        lines = [f"GET /api/v1/stream?{query} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {token}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        stream = cls(reader, writer, int(head.split()[1]))
        if stream.status == 200:
            stream.task = asyncio.create_task(stream.read())
        return stream

    async def read(self):
        event, data = "message", ""
        try:
            async for line in self.reader:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                if name == "event":
                    event = value
                elif name == "data":
                    data = value
                elif name == "id":
                    self.last_id = value
                elif not name:
                    if data:
                        self.events.append((event, json.loads(data), self.last_id))
                        self.news.set()
                    event, data = "message", ""
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass
        self.ended = True
        self.news.set()

    def rows(self, topic):
        return [row for name, rows, _ in self.events if name == topic for row in rows]

    async def until(self, condition, what, seconds=180):
        """Waits until condition(self) is true; returns its value."""
        async def look():
            while not (value := condition(self)):
                assert not self.ended, f"the stream ended before {what}"
                self.news.clear()
                await self.news.wait()
            return value
        try:
            return await asyncio.wait_for(look(), seconds)
        except asyncio.TimeoutError:
            raise AssertionError(f"{seconds} s passed waiting for {what}; came: {self.events[-5:]}") from None

    async def event(self, name, seconds=180):
        return await self.until(lambda s: next((data for n, data, _ in s.events if n == name), None), name, seconds)

    async def until_end(self, seconds=180):
        await asyncio.wait_for(self.task, seconds)

    async def close(self):
        if self.task:
            self.task.cancel()
        self.writer.transport.abort()


def api(stack, token, method, path, body=None, check=True):
    """One call by curl: (status, parsed answer or None)."""
    words = ["-H", "Content-Type: application/json", "--data-binary", json.dumps(body)] if body is not None else []
    done = run("curl", "-sS", "-X", method, "--cacert", stack.state / "ca/service.crt", "-w", "\n%{http_code}",
               "-H", f"Authorization: Bearer {token}", *words,
               f"https://localhost:{stack.ports['dashboard']}/api/v1/{path}")
    text, status = done.stdout.rsplit("\n", 1)
    assert not check or int(status) < 400, done.stdout
    return int(status), json.loads(text) if text.strip() else None


def token_of(stack):
    return (stack.state / "api-token").read_text().strip()
