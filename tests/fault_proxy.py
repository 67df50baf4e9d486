"""A proxy before a real endpoint that spoils chosen requests, and counts what it lets through."""

from __future__ import annotations

import json
import threading
import time
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

STALL = 30.0  # seconds


class Proxy:
    """`faults[text]` are spent one a request whose prompt holds that text; then all goes through."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.faults: dict[str, list[str]] = defaultdict(list)
        self.let_through: Counter[str] = Counter()  # by prompt: what a provider would have billed
        self.times: dict[str, list[float]] = defaultdict(list)  # by prompt, of every request
        self.most_at_once = self.at_once = 0
        self.seen_keys: set[str] = set()
        self.lock = threading.Lock()
        self.over = threading.Event()

    def fault(self, prompt: str) -> str | None:
        with self.lock:
            return next((f.pop(0) for text, f in self.faults.items() if text in prompt and f), None)


def handler_for(proxy: Proxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_args: object) -> None:
            pass

        def reply(self, status: int, body: bytes, cut: bool = False, **headers: str) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = True

        def refuse(self, status: int, message: str, **headers: str) -> None:
            self.reply(status, json.dumps({"error": {"message": message, "code": None}}).encode(), **headers)

        def do_POST(self) -> None:  # noqa: N802
            with proxy.lock:
                proxy.at_once += 1
                proxy.most_at_once = max(proxy.most_at_once, proxy.at_once)
            try:
                self.answer()
            except (BrokenPipeError, ConnectionResetError):  # the client has given up
                pass
            finally:
                with proxy.lock:
                    proxy.at_once -= 1

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            asked = json.loads(body)
            prompt = asked.get("prompt") or asked["messages"][-1]["content"]
            key = self.headers.get("Authorization", "")
            with proxy.lock:
                proxy.times[prompt].append(time.monotonic())
                proxy.seen_keys.add(key)
            fault = proxy.fault(prompt)
            if fault == "429":
                return self.refuse(429, "too many requests")
            if fault == "429 for a second":
                return self.refuse(429, "too many requests", Retry_After="1")
            if fault == "429 for a day":
                return self.refuse(429, "the day's requests are used up", Retry_After="86400")
            if fault == "500":
                return self.refuse(500, f"internal error while serving {key}")
            if fault == "401":
                return self.refuse(401, f"incorrect key {key}")
            if fault == "400":
                return self.refuse(400, f"cannot do that for {key}")
            if fault == "404":
                return self.refuse(404, f"the model {asked['model']!r} does not exist")
            if fault == "stall":
                proxy.over.wait(STALL)
                return None
            with proxy.lock:
                proxy.let_through[prompt] += 1
            request = urllib.request.Request(
                proxy.upstream + self.path.removeprefix("/v1"), body, {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request) as answered:
                    said = json.load(answered)
            except urllib.error.HTTPError as error:
                return self.reply(error.code, error.read())
            if fault == "no logprobs":
                said["choices"][0]["logprobs"] = None
            if fault == "other model":
                said["model"] = "another-model"
            if fault == "echo":  # an endpoint that says what it was sent
                choice = said["choices"][0]
                choice.get("message", choice)["content" if "message" in choice else "text"] += key
                said["model"] = f"served for {key}"
            text = json.dumps(said).encode()
            return self.reply(200, text[:-20] if fault == "malformed" else text, cut=fault == "cut")

    return Handler


@contextmanager
def proxied(upstream: str):
    """A proxy before an endpoint's base URL: (the proxy, its own base URL)."""
    proxy = Proxy(upstream)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_for(proxy))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy, f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        proxy.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
