"""Samples are labelled in MLflow's review queues, on a tracking store without Databricks.

The queues are experimental in MLflow: this fails when their interface changes.
"""

import mlflow
import pytest
from mlflow.entities import AssessmentSource
from mlflow.exceptions import MlflowException
from mlflow.genai import review_queues
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND

from plait.adapters.tracking import EXPERIMENT
from plait.errors import DataError, Unavailable
from plait.evaluation.labels.review_queue import ReviewQueue
from plait.evaluation.labels.sheet import LabelRow

ROWS = [LabelRow(f"key-{number}", "Which ray?", f"reply {number}", "[1] Ray 2.60.0", "2.60.0") for number in range(4)]


def answer(trace: str, value: object, kind: str = "HUMAN", who: str = "ann") -> None:
    mlflow.log_feedback(
        trace_id=trace, name="faithfulness", value=value, source=AssessmentSource(source_type=kind, source_id=who)
    )


def test_samples_go_into_a_review_queue_and_what_reviewers_answer_comes_back() -> None:
    queue = ReviewQueue("eval-1", "faithfulness")
    assert queue.read() is None
    queue.write(ROWS)
    assert queue.read() == {}
    experiment = mlflow.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    kept = review_queues.get_review_queue(name="eval-1: faithfulness", experiment_id=experiment.experiment_id)
    traces = {}
    for item in review_queues.list_review_queue_items(kept.queue_id):
        trace = mlflow.get_trace(item.item_id)
        assert trace is not None
        traces[trace.info.tags["plait.sample"]] = trace
    assert traces.keys() == {row.id for row in ROWS}
    root = traces["key-1"].data.spans[0]
    assert (root.inputs["passages"], root.outputs) == ("[1] Ray 2.60.0", "reply 1")
    ids = {key: trace.info.trace_id for key, trace in traces.items()}

    answer(ids["key-0"], True)
    answer(ids["key-1"], True)
    answer(ids["key-1"], False, who="bob")  # the last word
    answer(ids["key-2"], True, kind="LLM_JUDGE")
    answer(ids["key-3"], True)
    review_queues.set_review_queue_item_status(
        kept.queue_id, item_id=ids["key-3"], status="declined", completed_by="ann"
    )
    assert ReviewQueue("eval-1", "faithfulness").read() == {"key-0": 1.0, "key-1": 0.0}

    other = ReviewQueue("eval-2", "faithfulness")  # asks the same question
    other.write(ROWS[:1])
    assert other.read() == {}
    answer(ids["key-2"], "perhaps")
    with pytest.raises(DataError, match="review queue 'eval-1: faithfulness' has the answer 'perhaps'"):
        queue.read()


def test_a_server_without_review_queues_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise MlflowException("API request failed with status 404.", error_code=ENDPOINT_NOT_FOUND)

    queue = ReviewQueue("eval-1", "faithfulness")
    monkeypatch.setattr(review_queues, "get_review_queue", refuse)
    with pytest.raises(Unavailable, match="MLflow's review queues cannot be used"):
        queue.read()
