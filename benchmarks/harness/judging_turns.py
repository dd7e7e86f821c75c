"""Systems judge the same samples in turns, each by one model behind an endpoint.

In: where the model is, peers that are running, samples. Out: scores of each system, and what they cost. It makes the
peers' requests comparable: as many at once, the same model, the endpoint's own count of tokens.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from harness.judged_samples import JudgedSample
from harness.judging_peer_process import Peer
from plait.evaluation.judges.model import ModelJudge
from plait.evaluation.metrics.metric import Instruments, metric
from plait.evaluation.score import JudgeUse, Score
from plait.models.chat_endpoint import ChatEndpoint

AT_ONCE = 10
"""Samples that one system judges before it is the next one's turn."""

CONCURRENT = 4
"""Samples under way; the peers have the same number in judging_peer.py."""


@dataclass
class Judged:
    """What one system says of the samples, and what that cost."""

    scores: list[float | None] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    use: JudgeUse = field(default_factory=JudgeUse)
    seconds: float = 0.0

    @property
    def tokens(self) -> int:
        return self.use.prompt_tokens + self.use.generated_tokens

    @property
    def scored(self) -> int:
        return sum(score is not None for score in self.scores)

    def right(self, samples: Sequence[JudgedSample]) -> int:
        return sum(sample.is_right(score) for sample, score in zip(samples, self.scores, strict=True))


def judge_in_turns(url: str, running: dict[str, Peer], samples: Sequence[JudgedSample]) -> dict[str, Judged]:
    """All samples by Plait and each peer; another one begins each turn."""
    found = {"Plait": Judged(), **{name: Judged() for name in running}}
    names = list(found)
    for turn, start in enumerate(range(0, len(samples), AT_ONCE)):
        some = samples[start : start + AT_ONCE]
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            if name == "Plait":
                asyncio.run(_by_plait(url, some, found[name]))
            else:
                _by_peer(running[name], url, some, found[name])
            mine = found[name]
            right = mine.right(samples[: len(mine.scores)])
            print(f"{name}: {len(mine.scores)} samples, {mine.scored} scored, {right} right, {mine.use.calls} calls, "
                  f"{mine.tokens} tokens, {mine.seconds:.0f} s", flush=True)  # fmt: skip
    return found


async def _by_plait(url: str, samples: Sequence[JudgedSample], into: Judged) -> None:
    async with ChatEndpoint.served("base", url) as endpoint:
        instruments, places = Instruments(ModelJudge(endpoint, "base")), asyncio.Semaphore(CONCURRENT)

        async def scored(judged: JudgedSample) -> Score:
            async with places:
                return await metric(judged.metric, instruments).score(judged.sample)

        started = time.perf_counter()
        scores = await asyncio.gather(*map(scored, samples))
        into.seconds += time.perf_counter() - started
    into.scores += [score.value for score in scores]
    into.problems += ["" if score.value is not None else score.reason for score in scores]
    into.use += sum((score.use for score in scores), JudgeUse())


def _by_peer(peer: Peer, url: str, samples: Sequence[JudgedSample], into: Judged) -> None:
    where = {"url": f"{url}/v1", "model": "base", "embedding": "embedding"}
    answer = peer.ask({"samples": [judged.for_peer() for judged in samples], **where})
    into.seconds += answer["seconds"]
    into.scores += [each["score"] for each in answer["scores"]]
    into.problems += [each["problem"] for each in answer["scores"]]
    into.use += JudgeUse(answer["calls"], answer["prompt_tokens"], answer["generated_tokens"])
