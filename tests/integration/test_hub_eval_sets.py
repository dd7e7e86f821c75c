"""An eval set may be a dataset of the hub, by its id: the real client against a hub of one dataset on this machine."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from huggingface_hub import constants

from plait.errors import DataError
from plait.evaluation.eval_set import read_questions

FILES = {
    "README.md": b"# An eval set",
    "data/test.jsonl": b'{"question": "Which ray?", "answers": {"text": ["2.60.0"], "answer_start": [0]}}\n',
}


class Hub(BaseHTTPRequestHandler):
    """The dataset `org/questions`, as the hub's API shows it."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/datasets/org/questions/resolve/main/"):
            return self._send_file(FILES[path.partition("/main/")[2]])
        if not path.startswith("/api/datasets/org/questions"):
            return self._send(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if "/tree/" in path:
            return self._send(
                200, [_about(name) for name in FILES] + [{"type": "directory", "oid": "d", "path": "data"}]
            )
        return self._send(200, {"id": "org/questions", "sha": "a" * 40, "private": False, "tags": [], "siblings": []})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body).get("paths", [])
        self._send(200, [_about(name) for name in asked if name in FILES])

    def do_HEAD(self) -> None:
        self.do_GET()

    def _send_file(self, content: bytes) -> None:
        asked = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "bytes=0-")
        assert asked is not None
        part = content[int(asked[1]) : int(asked[2]) + 1 if asked[2] else None]
        self._answer(206 if "Range" in self.headers else 200, part, {"Content-Type": "application/octet-stream"})

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self._answer(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Nothing: pytest's output is for tests."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        yield
        server.shutdown()


def test_a_hub_id_names_an_eval_set(hub: None) -> None:
    (question,) = read_questions("org/questions")
    assert (question.question, question.answers) == ("Which ray?", ("2.60.0",))


def test_a_dataset_that_the_hub_does_not_have_is_named(hub: None) -> None:
    with pytest.raises(DataError, match=r"There is nothing at 'hf://datasets/org/answers'"):
        read_questions("org/answers")


def _about(name: str) -> dict[str, Any]:
    return {"type": "file", "oid": "0" * 40, "size": len(FILES[name]), "path": name}
