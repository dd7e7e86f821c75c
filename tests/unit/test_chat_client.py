"""What the client of `plait ask` and of evaluation asks a server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from plait.chat_client import ask


def test_evaluation_reads_answers_without_sources_in_their_text_whatever_the_server_writes() -> None:
    sent: list[dict[str, Any]] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            message = {"role": "assistant", "content": "x", "annotations": []}
            plait = {"model": "base", "timings_ms": {"total": 1.0}}
            answer = json.dumps({"choices": [{"message": message}], "plait": plait}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            """Nothing: pytest's output is for tests."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        ask(url, "rag/base", "which?", 8)
        ask(url, "rag/base", "which?", 8, {"top_k": 2, "citations": "inline"})
        ask(url, "base", "which?", 8)
        server.shutdown()
    assert [body.get("retrieval") for body in sent] == [
        {"citations": "annotations"},
        {"citations": "inline", "top_k": 2},
        None,
    ]
