"""The reviewer deployment: answers come here after they were given, to be judged and kept, and ratings of them.

Its own process, of low priority: whatever a judge takes, the API and the model do not wait for it. Answers wait in
bounded queues in its memory; when it ends, those that wait are lost, and counted as dropped.
"""

import asyncio
import os
from functools import partial

from ray.serve.handle import DeploymentHandle

from plait.errors import InvalidInput
from plait.evaluation.judges.lexical import LexicalJudge
from plait.evaluation.judges.opening import check_judge_name, key_of, open_judge
from plait.evaluation.live.answer import KeptAnswer, LiveAnswer, Rating
from plait.evaluation.metrics.metric import Instruments, Need, metric
from plait.model_ids import ModelId
from plait.models.encoders.when_used import LoadedWhenUsed
from plait.observability import metrics
from plait.recipes.judging import JudgeEndpoint
from plait.serve.deployments.answer_keeper import AnswerKeeper
from plait.serve.deployments.judging_thread import JudgingThread
from plait.serve.deployments.llm_generate import LLMGenerate
from plait.serve.deployments.outcome_reports import OutcomeReports
from plait.serve.messages.arguments import AppArguments, JudgingArguments
from plait.serve.messages.request_log import log_expected_errors_in_one_line
from plait.serve.messages.rollouts import JudgedAnswer, RolloutPart

_NICENESS = 10
"""As `nice` starts commands: a judge that computes gets what the model and the API leave."""


def check_judging(how: JudgingArguments) -> None:
    """Find out before anything starts whether answers can be judged so.

    Raises:
        InvalidInput: when there is no such metric or judge, or one needs what is not known of a user's question.
        ModelNotFound: when the id of the served model that judges can name none.
    """
    if isinstance(how.judge, JudgeEndpoint):
        key_of(how.judge)
        served = None if how.judge.base_url else ModelId.requested(how.judge.model)
        if served is not None and (served.with_retrieval or served.is_auto):
            raise InvalidInput(
                f"The judge '{served}' may retrieve, but a judge is given the passages.", "Name base or an adapter."
            )
    else:
        check_judge_name(how.judge)
    for name in how.metrics:
        needs = metric(name, Instruments(LexicalJudge(), LoadedWhenUsed(how.embedding))).needs
        unknown = sorted(needs - {Need.PASSAGES, Need.CITATIONS})
        if unknown:
            raise InvalidInput(
                f"The metric '{name}' needs {', '.join(unknown)}, which nobody knows of a user's question.",
                "Judge live answers by faithfulness, answer_relevance, citation_precision or citation_recall.",
            )


class Reviewer:
    """Judges a share of the answers and keeps them, as far as the application does either."""

    _keeper: AnswerKeeper | None = None
    _judging: JudgingThread | None = None
    _loop: asyncio.AbstractEventLoop | None = None

    def __init__(
        self, arguments: AppArguments, llm: DeploymentHandle, rollouts: DeploymentHandle | None = None
    ) -> None:
        log_expected_errors_in_one_line()
        os.nice(_NICENESS)
        judging, answers = arguments.judging, arguments.answers
        self._keeps_all = answers.keep == "all"
        self._reports = OutcomeReports(rollouts)
        if answers.keep != "none":
            self._keeper = AnswerKeeper(answers.max_age_days)
        if judging.share > 0:
            how = judging.judge
            served = LLMGenerate(llm, how.model) if isinstance(how, JudgeEndpoint) and how.base_url is None else None
            embedding = LoadedWhenUsed(judging.embedding)
            # What a model said of users' answers is not kept beside what it said of eval sets.
            opened = partial(open_judge, how, embedding, served=served, keeps_replies=False)
            self._judging = JudgingThread(judging, opened, embedding, self._keeper, self._tell)

    async def review(self, answer: LiveAnswer, is_judged: bool, part: RolloutPart | None = None) -> None:
        """Take an answer, with its part in a rollout; returns at once. A shadow is judged alone."""
        self._loop = asyncio.get_running_loop()
        is_seen = part is None or not part.is_shadow
        is_kept = self._keeper is not None and (self._keeps_all or is_judged) and is_seen
        kept = self._keeper.keep(answer) if self._keeper is not None and is_kept else None
        if is_judged and self._judging is not None:
            self._judging.add(answer, kept, part)

    async def rate(self, request_id: str, owner: str | None, rating: Rating) -> None:
        """Keep what a person says of an answer; see `AnswerTraces.rate`.

        Raises:
            NotFound: when no such answer is kept.
            Overloaded: when too much waits to be kept.
            Unavailable: when a configured tracking server does not answer.
        """
        assert self._keeper is not None  # the API refuses ratings of an application that keeps nothing
        model = await asyncio.wrap_future(self._keeper.rate(request_id, owner, rating))
        metrics.FEEDBACK.labels("up" if rating.is_up else "down", metrics.model_label(model)).inc()

    async def find(self, request_id: str, owner: str | None) -> KeptAnswer:
        """An answer that is kept; see `AnswerTraces.find`.

        Raises:
            NotFound: when no such answer is kept.
            Overloaded: when too much waits to be kept.
            Unavailable: when a configured tracking server does not answer.
        """
        assert self._keeper is not None  # the API asks no application that keeps nothing
        return await asyncio.wrap_future(self._keeper.find(request_id, owner))

    def _tell(self, judged: JudgedAnswer) -> None:
        """Report a score; called in the thread that judges."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._reports.add, judged)

    def __del__(self) -> None:
        """Serve calls it when it ends this replica."""
        if self._judging is not None:
            self._judging.close()
        if self._keeper is not None:
            self._keeper.close()
