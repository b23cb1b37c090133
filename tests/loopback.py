"""A chat-completions server on loopback that behaves as told."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPLY = json.dumps(
    {"examples": [{"user": "What did you do at the steps?", "assistant": "I knelt by the ferry steps and measured the rope."}]}
)


class Server:
    """`behave(number, body)` returns (status, headers, bytes), or a number of seconds to sleep first, or None to cut the connection."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.tokens = 0
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self.behave: Callable[[int, dict[str, Any]], Any] = lambda number, body: self.answer()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                outer.handle(self)

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: Any) -> None:
                """Clients that went away are part of the tests."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    @staticmethod
    def answer(text: str = REPLY, prompt: int = 100, completion: int = 20, **more: Any) -> tuple[int, dict[str, str], bytes]:
        """A good answer."""
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop", **more}
        usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        return 200, {}, json.dumps({"choices": [choice], "usage": usage}).encode()

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        with self._lock:
            number = len(self.bodies)
            self.bodies.append(body)
            self.headers.append({name.lower(): value for name, value in handler.headers.items()} | {"path": handler.path})
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        done = self.behave(number, body)
        if isinstance(done, tuple) and isinstance(done[0], float):
            time.sleep(done[0])
            done = done[1]
        with self._lock:
            self._at_once -= 1
        if done is None:
            handler.send_response(200)
            handler.send_header("Content-Length", "5000")
            handler.end_headers()
            handler.wfile.write(b'{"choices": [')
            handler.wfile.flush()
            handler.close_connection = True
            return
        status, headers, data = done
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()
