"""A trial: one question put to one arm, and what came of it. It is kept whole, so that it can be judged again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from plait.evaluation.sample import Sample
from plait.evaluation.score import Score
from plait.models.message import Message


@dataclass(frozen=True)
class Trial:
    """One question, one arm, one reply.

    Attributes:
        key: of everything that the reply follows from: row, arm, settings, weights. Equal keys need not be asked twice.
        question_key: of the row, and which of equal rows it is; trials of several arms with one of these are a pair.
        arm: whom was asked, as the run names it.
        number: of the row in the eval set, from 0.
        conversation: what was sent.
        sample: the question and the reply; the reply is empty where there is an error.
        answered_by: the weights that answered, as the server names them.
        finish_reason: why the reply ended, in OpenAI's words.
        error: why there is no reply, in the server's words.
        timings_ms: by stage; `total` is from the request to the last token.
        cached_tokens: of the prompt, those that were computed before. Token counts are None where nobody said them.
        max_tokens, temperature, seed: as they were sent; None: they were not.
        cost: of the tokens, at the prices of the run; None: there is no price, or nobody counted them.
        asked_at: UTC; None for a reply from elsewhere.
    """

    key: str
    question_key: str
    arm: str
    number: int
    conversation: tuple[Message, ...]
    sample: Sample
    answered_by: str = ""
    finish_reason: str = ""
    error: str = ""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    prompt_tokens: int | None = None
    cached_tokens: int | None = None
    completion_tokens: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    seed: int | None = None
    cost: float | None = None
    asked_at: datetime | None = None


@dataclass(frozen=True)
class TrialScore:
    """What a metric says of a trial.

    Attributes:
        trial: the key of the trial.
        judge: who judged, by name; another judge's score is another score.
        instruments: all that it was measured with, as JSON; a score by others is not this one.
    """

    trial: str
    metric: str
    judge: str
    score: Score
    instruments: str = ""
