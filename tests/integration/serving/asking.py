"""What is asked of the server, and what its metrics say."""

import time
from typing import Any

import httpx
import openai
import psutil

from plait.local.state import find_running
from plait.settings import settings

COLLECTION, OTHER, ADMIN_KEY = "serve_test", "serve_test_other", "an-admin-key"
MAX_BATCH_SIZE, MAX_WAITING = 4, 8
TEXTS = {
    "ray.md": "The installed version of ray is 2.60.0 and its licence is Apache.",
    "torch.md": "torch multiplies tensors; its installed version is 2.13.0.",
    "cats.md": "Cats sleep most of the day.",
}
QUESTION = [{"role": "user", "content": "which version of ray is installed?"}]
FORM = "Reply to ticket 7 as JSON"
"""Not alike: the routing policy sends it elsewhere."""


def ask(client: openai.OpenAI, model: str, **options: Any) -> Any:
    request: dict[str, Any] = {"messages": QUESTION, "temperature": 0} | options
    return client.chat.completions.create(model=model, **request)


def text_of(client: openai.OpenAI, model: str, **options: Any) -> str:
    return str(ask(client, model, **options).choices[0].message.content)


def metric(name: str, **labels: str) -> float:
    """Sum of a metric's samples at the node's exporter that have these labels."""
    from prometheus_client.parser import text_string_to_metric_families

    text = httpx.get(f"http://{settings().bind}:{settings().metrics_port}/metrics", timeout=30).text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples if s.name == name]
    return sum(s.value for s in samples if labels.items() <= s.labels.items())


def until(is_so: Any, timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def replicas(deployment: str = "") -> list[psutil.Process]:
    """Replicas among the children of this test session's own Ray: of one deployment, or all."""
    head = find_running("ray")
    process = head.process() if head else None
    assert process is not None
    found = []
    for child in process.children(recursive=True):
        try:
            if f"ServeReplica:plait:{deployment}" in " ".join(child.cmdline()):
                found.append(child)
        except psutil.NoSuchProcess:
            continue
    return found
