"""What the client of `plait ask` and of evaluation asks a server."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from plait.chat_client import Sent, ask, ask_async


def answered(annotations: list[dict[str, Any]]) -> dict[str, Any]:
    message = {"role": "assistant", "content": "It is 3.", "annotations": annotations}
    plait = {"model": "base", "route": {"kind": "rag"}, "timings_ms": {"total": 9.0, "retrieval": 2.0}}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 5}}
    return {"choices": [{"message": message, "finish_reason": "stop"}], "plait": plait, "usage": usage}


def citation(quote: str | None, place: tuple[int, int]) -> dict[str, Any]:
    about = {"chunk_id": "c1", "source": "a.md", "title": "A", "heading": "", "start": 4, "end": 12, "score": 0.9}
    address = {"url": "http://x", "title": "A", "start_index": place[0], "end_index": place[1]}
    quoted = None if quote is None else {"start": 4, "end": 12, "text": quote}
    return {"type": "url_citation", "url_citation": address, "text": "It is 3.", "quote": quoted, **about}


async def test_an_answer_has_its_passages_with_their_places_and_what_it_took() -> None:
    sent: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return httpx.Response(200, json=answered([citation("It is 3.", (0, 8)), citation(None, (0, 8))]))

    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which?"}]
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        found = await ask_async(client, "http://x", "rag/base", turns, Sent(8, 0.7, 3))
    assert (sent[0]["messages"], sent[0]["seed"], sent[0]["temperature"]) == (turns, 3, 0.7)
    assert [(each.chunk_id, each.start, each.end, each.cited_at) for each in found.citations] == [
        ("c1", 4, 12, (0, 8)),
        ("c1", 4, 12, None),  # it repeats nothing, so no words of it name the passage
    ]
    assert (found.prompt_tokens, found.cached_tokens, found.completion_tokens) == (7, 5, 3)
    assert (found.total_ms, found.finish_reason, found.is_grounded) == (9.0, "stop", True)


def test_evaluation_reads_answers_without_sources_in_their_text_whatever_the_server_writes() -> None:
    sent: list[dict[str, Any]] = []

    class Server(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            answer = json.dumps(answered([])).encode()
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
