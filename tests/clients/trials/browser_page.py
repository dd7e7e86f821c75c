"""Pages in Chromium, driven by `playwright`: they may ask where the server names their origin, and nowhere else."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright
from trial import URL, feature, run

URL_FOR_PAGES = os.environ["PLAIT_URL_FOR_PAGES"]
NAMED = os.environ["PLAIT_PAGE_ORIGIN"]
OTHER = NAMED.replace("127.0.0.1", "localhost")  # another origin, of the same server
BROWSER = sys.argv[1]
HEADERS = "{Authorization: 'Bearer none', 'Content-Type': 'application/json'}"
MODELS = (
    f"async url => (await (await fetch(url + '/models', {{headers: {HEADERS}}})).json()).data.map(model => model.id)"
)
CHAT = f"""async url => {{
    const body = {{model: 'base', stream: true, max_tokens: 8, messages: [{{role: 'user', content: 'Say hello.'}}]}};
    const answer = await fetch(
        url + '/chat/completions', {{method: 'POST', headers: {HEADERS}, body: JSON.stringify(body)}});
    const pieces = [];
    for await (const piece of answer.body.pipeThrough(new TextDecoderStream())) pieces.push(piece);
    return [answer.headers.get('x-request-id'), ...pieces];
}}"""


class Blank(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>page</title>")

    def log_message(self, *_: Any) -> None:
        """Lines of this server would stand among those of the trial."""


@contextmanager
def page(origin: str) -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", urlsplit(NAMED).port or 0), Blank)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=BROWSER)
            opened = browser.new_page()
            opened.goto(origin)
            yield opened
            browser.close()
    finally:
        server.shutdown()
        server.server_close()


def is_refused(origin: str, url: str) -> None:
    with page(origin) as opened:
        for script in (MODELS, CHAT):
            outcome = opened.evaluate(f"url => ({script})(url).then(() => 'an answer', String)", url)
            assert outcome == "TypeError: Failed to fetch", outcome


@feature
def page_of_a_named_origin() -> None:
    with page(NAMED) as opened:
        assert "base" in opened.evaluate(MODELS, URL_FOR_PAGES)


@feature
def page_of_a_named_origin_streamed() -> None:
    with page(NAMED) as opened:
        request_id, *pieces = opened.evaluate(CHAT, URL_FOR_PAGES)
    assert request_id
    assert "".join(pieces).rstrip().endswith("[DONE]")


@feature
def page_of_another_origin_refused() -> None:
    is_refused(OTHER, URL_FOR_PAGES)


@feature
def page_refused_where_no_origin_is_named() -> None:
    is_refused(NAMED, URL)


run()
