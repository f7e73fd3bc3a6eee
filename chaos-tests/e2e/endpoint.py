"""An HTTP endpoint of a test's own, which remembers what it was told."""

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import ports


@dataclass
class Call:
    method: str
    path: str
    headers: dict[str, str]
    body: str

    @property
    def event(self) -> dict:
        return json.loads(self.body)


@dataclass
class Endpoint:
    address: str
    # Those that were answered well, in order.
    taken: list[Call] = field(default_factory=list)
    # What it answers next, before it takes anything.
    answers: list[int] = field(default_factory=list)
    refused: int = 0

    def events(self, sort: str) -> list[dict]:
        """What it was told of one detail type, each event once, in the order in which it first came."""
        seen = {call.event["id"]: call.event for call in reversed(list(self.taken))}
        firsts = dict.fromkeys(call.event["id"] for call in list(self.taken))
        return [seen[id] for id in firsts if seen[id]["detail-type"] == sort]


@contextmanager
def endpoint():
    port = ports.free(1)
    told = Endpoint(f"http://127.0.0.1:{port}")

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
            status = told.answers.pop(0) if told.answers else 200
            if status < 300:
                told.taken.append(Call(self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            else:
                told.refused += 1
            self.send_response(status)
            self.end_headers()

        do_POST = do_PUT = answer

        def log_message(self, *_) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
