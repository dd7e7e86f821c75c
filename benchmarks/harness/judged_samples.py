"""Samples of four judged metrics whose right score is known by construction, from the demo's documents and questions.

In: the folder that examples/environment/build.py writes. Out: samples, and the cases that they are made of. Passages
are chunks as ingestion makes them. Replies and expected answers are sentences, so that every judge has to take them
apart.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from plait.documents.chunker import Chunker, Origin, settings_hash
from plait.documents.parse import parse
from plait.evaluation.calibration.cases import Ability, Case, CaseKind, CaseSet, claim, make_cases
from plait.evaluation.calibration.material import Material, find_material
from plait.evaluation.sample import Sample, SamplePassage
from plait.models.source import resolve_model
from plait.recipes import ChunkConfig
from plait.recipes.ingest import DEFAULT_EMBEDDING

_USEFUL_FIRST, _USEFUL_SECOND, _NONE_USEFUL = "the useful passage first", "the useful passage second", "none is useful"
_MADE: dict[str, tuple[str, ...]] = {
    "faithfulness": (
        CaseKind.RIGHT, CaseKind.SWAPPED, CaseKind.HALF, CaseKind.RIGHT, CaseKind.NEGATED,
        CaseKind.RIGHT, CaseKind.ELSEWHERE, CaseKind.HALF, CaseKind.RIGHT, CaseKind.UNANSWERABLE,
    ),
    "context_precision": (_USEFUL_FIRST, _NONE_USEFUL, _USEFUL_SECOND, _USEFUL_FIRST, _NONE_USEFUL),
    "context_recall": (CaseKind.RIGHT, CaseKind.ELSEWHERE),
    "answer_relevance": (CaseKind.RIGHT, CaseKind.UNANSWERABLE),
}  # fmt: skip
"""How samples of each metric are made, in turns: half of what is true is true."""

METRICS = tuple(_MADE)
_SHARES = {"faithfulness": 0.4, "context_precision": 0.2, "context_recall": 0.2, "answer_relevance": 0.2}


@dataclass(frozen=True)
class JudgedSample:
    """A sample, and what a metric should say of it: 0, 1/2 or 1."""

    metric: str
    made: str
    truth: float
    group: str
    sample: Sample

    def is_right(self, score: float | None) -> bool:
        """Whether a score is nearer to the truth than to the other scores of samples like it.

        Faithfulness and precision can be 0, 1/2 and 1; of the others, what is at least 1/2 is taken for 1.
        """
        if score is None:
            return False
        levels = (0.0, 0.5, 1.0) if self.metric in ("faithfulness", "context_precision") else (0.0, 1.0)
        return min(levels, key=lambda level: (abs(level - score), -level)) == self.truth

    def for_peer(self) -> dict[str, object]:
        """What peers are told."""
        sample = self.sample
        return {
            "metric": self.metric,
            "question": sample.question,
            "reply": sample.reply,
            "passages": [passage.text for passage in sample.passages],
            "answer": sample.answers[0],
        }


def demo_cases(folder: Path) -> tuple[list[Material], CaseSet]:
    """The questions of the demo that cases can be made of, and all cases."""
    rows = [json.loads(line) for line in (folder / "eval.jsonl").read_text(encoding="utf-8").splitlines()]
    samples = [
        Sample(row["question"], "", answers=(row["answer"],), sources=(row["source"],), kind=row["kind"])
        for row in rows
    ]
    config = ChunkConfig()
    chunker = Chunker(resolve_model(DEFAULT_EMBEDDING), config, settings_hash(config, DEFAULT_EMBEDDING))

    def chunks(source: str) -> list[str]:
        data = (folder / "docs" / source).read_bytes()
        return [chunk.text for chunk in chunker.chunk(parse(data, source), Origin("default", source, "", 0))]

    material, missing = find_material(samples, chunks)
    return material, make_cases(material, 0, missing)


def judged_samples(material: list[Material], cases: CaseSet, count: int) -> list[JudgedSample]:
    """So many samples of the four metrics, of one question after the other, shuffled."""
    of_question: dict[str, list[Case]] = {}
    for case in cases.cases:
        of_question.setdefault(case.question, []).append(case)
    questions = cycle(material)
    found: list[JudgedSample] = []
    for metric, made in _MADE.items():
        turns = cycle(made)
        for _ in range(round(_SHARES[metric] * count)):
            turn = next(turns)
            for _ in material:
                one = next(questions)
                sample = next(_samples(metric, turn, one, of_question.get(one.question, [])), None)
                if sample is not None:
                    found.append(sample)
                    break
    random.Random(0).shuffle(found)
    return found


def _samples(metric: str, made: str, material: Material, cases: list[Case]) -> Iterator[JudgedSample]:
    """The sample of a question that is made so; none where there is no such case."""
    for case in cases:
        answer = claim(material.question, material.answer)
        reply, passages, truth = answer, case.passages, sum(case.truths) / len(case.truths)
        if metric == "faithfulness" and (case.ability, case.kind) == (Ability.SUPPORT, made):
            reply = " ".join(case.texts)
        elif metric == "context_precision" and case.ability is Ability.USEFUL:
            useful, other = (case.texts[case.truths.index(is_useful)] for is_useful in (True, False))
            passages, truth = {
                _USEFUL_FIRST: ((useful, other), 1.0),
                _USEFUL_SECOND: ((other, useful), 0.5),
                _NONE_USEFUL: ((other,), 0.0),
            }[made]
        elif metric == "context_recall" and (case.ability, case.kind) == (Ability.SUPPORT, made):
            pass
        elif metric == "answer_relevance" and (case.ability, case.kind) == (Ability.ANSWERS, made):
            reply = case.texts[0]
        else:
            continue
        yield JudgedSample(
            metric,
            str(made),
            truth,
            case.group,
            Sample(
                case.question,
                reply,
                tuple(SamplePassage(text) for text in passages),
                answers=(answer,),
                is_grounded=bool(passages),
            ),
        )
