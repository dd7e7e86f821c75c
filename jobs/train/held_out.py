"""What a model can do, measured on data that it is not trained on: held-out loss, forgetting, sample answers.

Forgetting is measured on general text: what the loss on it was before training and is afterwards. It knows nothing of
steps or of where results go.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import torch

from plait.jobs.train.batches import Batch
from plait.jobs.train.loss import IGNORED
from plait.jobs.train.objectives.objective import Objective, objective_of
from plait.jobs.train.objectives.pretrain import PretrainConfig
from plait.jobs.train.packing import PackedRow
from plait.jobs.train.peers import Peers
from plait.jobs.train.shards import Shards
from plait.jobs.train.trainable import Trainable

if TYPE_CHECKING:
    from plait.jobs.train.worker_plan import WorkerPlan

_SAMPLE_TOKENS = 48


class Sample(TypedDict):
    """A held-out question as token ids, the answer that was expected and the one that the model gave."""

    prompt: list[int]
    expected: list[int]
    answer: list[int]


class HeldOut:
    """The held-out data of a run, in one worker.

    Args:
        plan: where the data lies, and under which objective it is judged.
        module: what gives a loss: the model, or what a strategy wrapped it into.
        model: the model.
        batches: from rows to micro-batches.
    """

    def __init__(
        self,
        plan: "WorkerPlan",
        module: Any,
        model: Trainable,
        batches: Callable[[Sequence[PackedRow]], list[Batch]],
    ) -> None:
        self._module, self._model, self._batches = module, model, batches
        self._objective = objective_of(plan.recipe.objective)
        self._plain_text = objective_of(PretrainConfig(kind="pretrain"))
        self._eval = Shards(plan.eval_rows) if plan.eval_rows else None
        self._general = Shards(plan.general_rows)
        self._pad_id = plan.pad_id
        self._questions = self._first_questions(plan)

    @torch.no_grad()
    def losses(self, peers: Peers) -> dict[str, float]:
        """Mean losses, in nats: `eval_loss` (where there is held-out data) and `general_loss`."""
        self._model.eval()
        found = {"general_loss": self._mean_loss(self._general, self._plain_text, peers)}
        if self._eval is not None:
            found["eval_loss"] = self._mean_loss(self._eval, self._objective, peers)
        return found

    def _mean_loss(self, shards: Shards, objective: Objective, peers: Peers) -> float:
        loss, terms = 0.0, 0
        for refs in shards.in_order(chunk_rows=64):
            for batch in self._batches(shards.read(peers.share(refs))):
                loss += float(objective.losses(self._module, batch).total)
                terms += objective.terms(batch)
        total, count = peers.sum(loss, terms)
        return total / count

    def samples(self) -> list[Sample]:
        """Answers to the first held-out questions. Every worker must call it: weights may be gathered for it."""
        if not self._questions:
            return []
        self._model.eval()
        answers = self._model.generate([q for q, _ in self._questions], _SAMPLE_TOKENS, self._pad_id)
        return [Sample(prompt=q, expected=e, answer=a) for (q, e), a in zip(self._questions, answers, strict=True)]

    def _first_questions(self, plan: "WorkerPlan") -> list[tuple[list[int], list[int]]]:
        """Prompt and expected answer of the first held-out examples; of plain text: its beginning and what follows."""
        shards = self._eval or Shards(plan.train_rows)
        count = plan.recipe.train.samples
        questions: list[tuple[list[int], list[int]]] = []
        for refs in shards.in_order(chunk_rows=max(1, count)):
            for row in shards.read(refs):
                questions += _questions_of(row, self._objective.group_size)
                if len(questions) >= count:
                    return questions[:count]
        return questions


def _questions_of(row: PackedRow, group_size: int) -> list[tuple[list[int], list[int]]]:
    """Prompt and answer of the first segment of each group, cut where its labels begin."""
    questions = []
    start = 0
    for index, length in enumerate(map(int, row.lengths)):
        ids, labels = row.input_ids[start : start + length], row.labels[start : start + length]
        start += length
        labelled = (labels != IGNORED).nonzero()[0]
        if index % group_size or not len(labelled):
            continue
        # Of plain text every token but the first is labelled: a few of them are the prompt.
        cut = max(int(labelled[0]), min(8, length // 2))
        questions.append((ids[:cut].tolist(), ids[cut:].tolist()))
    return questions
