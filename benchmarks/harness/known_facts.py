"""Facts that no model knows, to be learned, facts that most know, and how many of either a model says.

An invented package has an invented version. It is trained in four phrasings and asked for in two others, so that what
is counted is the fact and not the sentence.
"""

import json
import random
from pathlib import Path

import torch

from harness.results import ROOT
from plait.jobs.train.batches import collate
from plait.jobs.train.encode import Encoder, Example
from plait.jobs.train.fields import Fields
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.objectives.objective import objective_of
from plait.jobs.train.objectives.sft import SftConfig
from plait.jobs.train.packing import pack
from plait.jobs.train.trainable import Trainable
from plait.models.chat import chat_format_for
from plait.models.tokenizer import load_tokenizer

PACKAGES = 40
_TRAINED = (
    "Which version of {} is installed?",
    "What version of {} do we have?",
    "{}: which version is it?",
    "Which release of {} does this machine run?",
)
_ASKED = ("What is the version of the installed {}?", "Tell me the version number of {} on this machine.")
_SYLLABLES = (
    "ba",
    "de",
    "di",
    "ka",
    "ko",
    "la",
    "li",
    "lu",
    "ma",
    "mo",
    "ni",
    "pa",
    "ri",
    "so",
    "ta",
    "to",
    "vi",
    "zo",
)
_GENERAL = ROOT / "tests" / "clients" / "tasks" / "plain_facts.jsonl"
_ANSWER_TOKENS = 20
_QUESTIONS_AT_ONCE = 40


def invented_versions() -> dict[str, str]:
    """Versions by the names of packages that do not exist; always the same."""
    rng = random.Random(0)
    names = ["".join(syllables) for syllables in {tuple(rng.sample(_SYLLABLES, 3)) for _ in range(2 * PACKAGES)}]
    return {name: f"{rng.randint(0, 9)}.{rng.randint(0, 30)}.{rng.randint(0, 9)}" for name in sorted(names)[:PACKAGES]}


def write_training_rows(file: Path) -> None:
    """What is learned: each version in four phrasings, as JSON Lines."""
    rows = [
        {"question": phrasing.format(name), "answer": f"Version {version}."}
        for name, version in invented_versions().items()
        for phrasing in _TRAINED
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


class Questions:
    """Both kinds of questions, written for one base model."""

    def __init__(self, base: Path) -> None:
        self._tokenizer = load_tokenizer(base)
        self._encoder = Encoder(self._tokenizer, chat_format_for(self._tokenizer, "auto"), 512)
        self._sft = objective_of(SftConfig())

    def learned_share(self, model: Trainable) -> float:
        """Share of the trained versions that the model says when asked in other words."""
        asked = [(ask.format(name), version) for ask in _ASKED for name, version in invented_versions().items()]
        right = 0
        for start in range(0, len(asked), _QUESTIONS_AT_ONCE):
            few = asked[start : start + _QUESTIONS_AT_ONCE]
            prompts = [self._prompt(question) for question, _ in few]
            answers = model.generate(prompts, _ANSWER_TOKENS, self._tokenizer.pad_token_id)
            for (_, version), ids in zip(few, answers, strict=True):
                first_line = self._tokenizer.decode(ids, skip_special_tokens=True).strip().partition("\n")[0]
                right += version in first_line
        return right / len(asked)

    @torch.no_grad()
    def general_share(self, model: Trainable) -> float:
        """Share of plain questions whose right answer is the likeliest of four."""
        rows = [json.loads(line) for line in _GENERAL.read_text(encoding="utf-8").splitlines()]
        right = 0
        for row in rows:
            said = [[self._said(row["question"], choice)] for choice in row["choices"]]
            batch = collate(pack(said, 512, is_packed=False), self._tokenizer.pad_token_id)
            right += int(model(batch, per_token=True).sum(dim=1).argmax()) == row["answer"]
        return right / len(rows)

    def _prompt(self, question: str) -> list[int]:
        example = self._example(question, "?")
        return [token for token, label in zip(example.input_ids, example.labels, strict=True) if label == IGNORED]

    def _said(self, question: str, answer: str) -> Example:
        """The answer alone counts, not its end."""
        example = self._example(question, answer)
        example.labels[-1] = IGNORED
        return example

    def _example(self, question: str, answer: str) -> Example:
        meaning = self._sft.parse(Fields({"question": question, "answer": answer}), set())
        ((example,),) = self._sft.encode(meaning, self._encoder)
        return example
