"""A server on loopback that speaks as much of Weights & Biases as its client needs to upload a run."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "5" * 40


class Server:
    """`runs` has what was uploaded, by id: `history` (the lines in their order), `variables` (of the latest upsert, what was given in
    any), `exit_codes`, `resumed` (how often the client asked where to go on). Ids in `refused` are refused."""

    def __init__(self) -> None:
        self.runs: dict[str, dict[str, Any]] = {}
        self.refused: set[str] = set()
        self.authorizations: set[str] = set()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                pass

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with outer._lock:
                    status, said = outer.handle(self.path, self.headers.get("Authorization", ""), body)
                content = json.dumps(said).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PUT = answer

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """The client goes away without a word."""

        self._http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def handle(self, path: str, authorization: str, body: bytes) -> tuple[int, Any]:
        if path == "/graphql":
            self.authorizations.add(authorization)
            asked = json.loads(body)
            return self._graphql(asked["query"], asked.get("variables") or {})
        if path.endswith("/file_stream"):
            self._stream(self.runs[path.split("/")[-2]], json.loads(body))
        return 200, {}

    def _graphql(self, query: str, given: dict[str, Any]) -> tuple[int, Any]:
        if "upsertBucket" in query:
            if given["name"] in self.refused:
                return 403, {"errors": [{"message": "permission denied"}]}
            new = given["name"] not in self.runs
            run = self.runs.setdefault(given["name"], {"history": [], "variables": {}, "exit_codes": [], "resumed": 0})
            run["variables"] |= {key: value for key, value in given.items() if value is not None}
            project = {"id": "p", "name": given["project"], "entity": {"id": "e", "name": "readers"}}
            bucket = {"id": "b", "name": given["name"], "displayName": given["name"], "description": "", "config": "{}"}
            bucket |= {"sweepName": None, "historyLineCount": len(run["history"]), "project": project}
            return 200, {"data": {"upsertBucket": {"bucket": bucket, "inserted": new}}}
        if "createRunFiles" in query:
            files = [{"name": name, "uploadUrl": f"{self.url}/files/{name}"} for name in given["files"]]
            return 200, {"data": {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}}
        if "historyTail" in query:
            return 200, {"data": {"model": {"id": "p", "name": "p", "entity": {"id": "e", "name": "readers"}, "bucket": self._tail(given)}}}
        viewer = {"id": "u", "name": "Ada", "username": "ada", "email": "", "entity": "readers", "flags": "{}", "admin": False}
        viewer |= {"deletedAt": None, "teams": {"edges": []}, "apiKeys": {"edges": []}}
        return 200, {"data": {"viewer": viewer, "serverInfo": {"features": []}}}

    def _tail(self, given: dict[str, Any]) -> dict[str, Any] | None:
        """Where a resumed run goes on."""
        run = self.runs.get(given["name"])
        if run is None:
            return None
        run["resumed"] += 1
        bucket = {"id": "b", "name": given["name"], "summaryMetrics": "{}", "displayName": given["name"], "logLineCount": 0}
        bucket |= {"historyLineCount": len(run["history"]), "eventsLineCount": 0, "historyTail": json.dumps(run["history"][-1:])}
        return {**bucket, "eventsTail": "[]", "config": "{}", "tags": [], "notes": None, "wandbConfig": "{}"}

    def _stream(self, run: dict[str, Any], sent: dict[str, Any]) -> None:
        history = (sent.get("files") or {}).get("wandb-history.jsonl")
        if history:
            # What is sent from a line on takes the place of what was there from that line on.
            run["history"][history["offset"] :] = history["content"]
        if sent.get("complete"):
            run["exit_codes"].append(sent["exitcode"])
