"""Open WebUI's default interface in Chromium, driven by `playwright`, before a server that has documents.

Pictures of an answer from documents and of one of its sources are left in the folder of this environment.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright
from trial import URL, feature, run

BROWSER = sys.argv[1]
FOLDER = Path(sys.prefix)
PAGE_MS = 120_000.0
ANSWER_MS = 600_000.0  # the tools of the default interface are 6,600 tokens of the prompt: minutes on two busy cores
SETTINGS = {
    "OPENAI_API_BASE_URL": URL,
    "OPENAI_API_KEY": "none",
    "OPENAI_API_CONFIGS": '{"0": {"headers": {"X-OpenWebUI-Task": "{{TASK}}"}}}',
    "RAG_EMBEDDING_ENGINE": "openai",
    "RAG_EMBEDDING_MODEL": "embedding",
    "RAG_OPENAI_API_BASE_URL": URL,
    "RAG_OPENAI_API_KEY": "none",
    "ENABLE_OLLAMA_API": "False",
    "OFFLINE_MODE": "True",
    "WEBUI_AUTH": "False",
}
TASKS = 3  # a title, tags, follow-up questions
# A line is 30 tokens, so a piece of 1,000 characters is longer than the 256 that the embedding model reads.
SALES = "\n".join(f"Frame HB-{4700 + i}-{815 + 3 * i} was sold for {1249 + 7 * i}.00 EUR." for i in range(60))

address: str
page: Page


@contextmanager
def open_webui() -> Iterator[str]:
    """The address of an Open WebUI that asks nobody but the server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    there = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as data, (FOLDER / "open-webui.log").open("w") as log:
        command = [FOLDER / "bin/open-webui", "serve", "--host", "127.0.0.1", "--port", str(port)]
        environment = os.environ | SETTINGS | {"DATA_DIR": data}
        server = subprocess.Popen(command, env=environment, cwd=data, stdout=log, stderr=log)
        try:
            while not answers(f"{there}/health"):
                if server.poll() is not None:
                    raise SystemExit(f"Open WebUI did not start: see {log.name}")
                time.sleep(1)
            yield there
        finally:
            server.terminate()
            server.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, TimeoutError):
        return False


def requests(model: str) -> int:
    """How many requests to a model the server has answered."""
    with urllib.request.urlopen(os.environ["PLAIT_METRICS_URL"], timeout=5) as metrics:
        lines = metrics.read().decode().splitlines()
    name, answered = f'model_name="{model}"', 'outcome="ok"'
    counts = [line for line in lines if line.startswith("plait_requests_total{") and name in line and answered in line]
    return sum(int(float(line.split()[-1])) for line in counts)


def wait_for(model: str, count: int) -> None:
    """Wait until so many requests to a model have been answered."""
    ends_at = time.monotonic() + ANSWER_MS / 1000
    while requests(model) < count:
        assert time.monotonic() < ends_at, f"{requests(model)} requests to {model}, not {count}"
        time.sleep(1)


def ask(model: str, question: str, file: Path | None = None) -> str:
    """The answer to a question in a new chat, perhaps about a file."""
    page.goto(f"{address}/?models={model}")
    box = page.locator("#chat-input")
    box.click()
    if file is not None:
        with page.expect_response(lambda response: "/process/status" in response.url) as processed:
            page.locator("input[type=file]").first.set_input_files(file)
        processed.value.finished()
    box.press_sequentially(question)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Good Response")).to_be_visible(timeout=ANSWER_MS)
    return page.locator(".chat-assistant").inner_text()


@feature
def first_message_to_documents() -> str:
    asked, tasks = requests("rag/base"), requests("base")
    answer = ask("rag/base", "How long is the warranty of a bicycle's frame?")
    assert "years" in answer, answer  # a small model may name the battery's: that is not the client's doing
    wait_for("base", tasks + TASKS)
    assert requests("rag/base") == asked + 1
    return f"1 request to rag/base, {TASKS} to base for title, tags and follow-up questions"


@feature
def sources_by_name_and_text() -> None:
    page.get_by_role("button", name="sources").click()
    page.screenshot(path=FOLDER / "sources.png")
    page.get_by_role("button", name=re.compile("source: .*Warranty")).click()  # a follow-up question may say it, too
    expect(page.get_by_text("an inspection takes two working days")).to_be_visible()
    page.screenshot(path=FOLDER / "source.png")


@feature
def uploaded_text_longer_than_the_embedding_model_reads() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "sales.txt"
        file.write_text(SALES)
        ask("base", "For how much was frame HB-4703-824 sold?", file)
    page.get_by_role("button", name="source").last.click()
    expect(page.get_by_role("button", name="View source: 1 sales.txt")).to_be_visible()


@feature
def first_message_to_a_model() -> None:
    assert ask("base", "Say hello.")


with open_webui() as address, sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1100, "height": 760})
    page.set_default_timeout(PAGE_MS)
    page.add_locator_handler(page.get_by_role("button", name="Okay, Let's Go!"), lambda button: button.click())
    run()
