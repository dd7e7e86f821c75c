"""Samples to label in a review queue of MLflow, and what reviewers have answered there back to labels.

A sample is a trace of the experiment that Plait's runs are in: question, passages and expected answers are its inputs,
the reply is its output. The queue asks one question of each, yes or no, whose name is the metric's. The judge's scores
are not shown. `mlflow.genai.review_queues` is experimental and touched here alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from plait.adapters.tracking import EXPERIMENT, tracking_client
from plait.errors import DataError, Unavailable, first_line
from plait.evaluation.labels.sheet import LabelRow
from plait.settings import settings

_ID = "plait.sample"
_PAGE = 100


class ReviewQueue:
    """The queue of a run and a metric, on the configured tracking server.

    Args:
        run: the name of the run.
        metric: what is asked.

    Raises:
        Unavailable: also from each method, when the server does not answer, or has no review queues.
    """

    def __init__(self, run: str, metric: str) -> None:
        self._name, self._metric = f"{run}: {metric}", metric
        self._client = tracking_client()
        import mlflow

        mlflow.set_tracking_uri(settings().mlflow_uri)  # traces and queues know no client
        self._experiment = self._client.get_experiment_by_name(EXPERIMENT).experiment_id

    @property
    def title(self) -> str:
        return f"The review queue '{self._name}'"

    @property
    def how_to(self) -> str:
        return f"Answer {self._metric} in MLflow: experiment {EXPERIMENT}, review queue '{self._name}'"

    def read(self) -> dict[str, float] | None:
        """Labels by the sample's id, none of samples that reviewers declined or left; None: the queue is not there yet.

        Raises:
            DataError: for an answer that is neither yes, no nor a share.
        """
        with _told():
            items = self._items()
        if not items:
            return None
        labels = {}
        for item in items:
            with _told():
                info = self._client.get_trace(item.item_id, display=False).info
            answers = [each for each in info.assessments if _is_answer(each, self._metric)]
            if answers and item.status != "declined":
                newest = max(answers, key=lambda each: each.last_update_time_ms or 0)
                labels[info.tags[_ID]] = self._label(newest.feedback.value)
        return labels

    def write(self, rows: Sequence[LabelRow]) -> None:
        """Put samples into the queue, which is made; one that was begun and never filled is filled."""
        import mlflow
        from mlflow.genai import review_queues

        with _told():
            traces = [self._trace(row) for row in rows]
            mlflow.flush_trace_async_logging()
            queue = self._queue() or review_queues.create_review_queue(
                self._name, queue_type="custom", schema_ids=[self._question()], experiment_id=self._experiment
            )
            review_queues.add_items_to_review_queue(queue.queue_id, item_ids=traces)

    def _trace(self, row: LabelRow) -> str:
        inputs = {"question": row.question, "passages": row.passages, "expected": row.expected}
        span = self._client.start_trace("sample", inputs=inputs, tags={_ID: row.id}, experiment_id=self._experiment)
        self._client.end_trace(span.trace_id, outputs=row.reply)
        return str(span.trace_id)

    def _question(self) -> str:
        """The id of what reviewers are asked, which all queues of the metric share."""
        from mlflow.genai import label_schemas

        for known in label_schemas.list_label_schemas(experiment_id=self._experiment, max_results=_PAGE):
            if known.name == self._metric:
                return str(known.schema_id)
        made = label_schemas.create_label_schema(
            self._metric,
            type="feedback",
            input=label_schemas.InputPassFail(positive_label="yes", negative_label="no"),
            experiment_id=self._experiment,
        )
        return str(made.schema_id)

    def _queue(self) -> Any | None:
        from mlflow.exceptions import MlflowException
        from mlflow.genai import review_queues

        try:
            return review_queues.get_review_queue(name=self._name, experiment_id=self._experiment)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None

    def _items(self) -> list[Any]:
        from mlflow.genai import review_queues

        queue = self._queue()
        items: list[Any] = []
        token = None
        while queue is not None:
            page = review_queues.list_review_queue_items(queue.queue_id, max_results=_PAGE, page_token=token)
            items += page
            token = page.token
            if not token:
                break
        return items

    def _label(self, value: object) -> float:
        if isinstance(value, bool | int | float) and 0 <= value <= 1:
            return float(value)
        raise DataError(f"{self.title} has the answer '{value}'.", "Answer yes, no or a number from 0 to 1 there.")


def _is_answer(assessment: Any, metric: str) -> bool:
    """Whether an assessment of a trace is what a person says of a metric, and has not been taken back."""
    is_human = assessment.source.source_type == "HUMAN"
    is_said = assessment.feedback is not None and assessment.feedback.value is not None
    return bool(assessment.name == metric and is_human and is_said and assessment.valid is not False)


@contextmanager
def _told() -> Iterator[None]:
    """Say in a sentence that the tracking server cannot do it."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise Unavailable(
            f"MLflow's review queues cannot be used ({first_line(error)}).",
            "They need a tracking server of MLflow 3.14 or newer; a sheet needs none.",
        ) from error
