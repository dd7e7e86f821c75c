"""A batch as a job: what lacks an answer goes through Ray Data to the application, answers are kept as they come.

In: the id of a batch whose file was checked. Out: its answers. Killed anywhere and run again, it asks only for what
lacks an answer: at most the few answers that were under way are asked for twice.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from plait.client_jobs.batches import BATCHES, Answer, Batch, BatchRequest, read_requests
from plait.jobs.batches.ask import AskApplication
from plait.local.ray_data import set_up_ray_data
from plait.local.ray_head import connect

_ROWS_A_BLOCK = 8
"""A block is asked for one request after the other, and kept together: what a killed job asks for again."""


def run(batch_id: str, application: str, at_once: int) -> int:
    """Answer what lacks an answer; returns how many requests were answered.

    Args:
        batch_id: of a batch whose file was checked.
        application: the name of the application that answers.
        at_once: requests that are under way at a time.

    Raises:
        NotFound: when there is no such batch, or its file was deleted.
        Unavailable: when the application does not answer.
    """
    import ray.data

    batch = BATCHES.find(batch_id)
    answers = batch.answers
    left = unanswered(batch)
    if not left:
        return 0
    connect()
    set_up_ray_data()
    asked = ray.data.from_arrow(list(_blocks(left, at_once))).map_batches(
        AskApplication,
        fn_constructor_args=(batch, application),
        batch_size=None,
        batch_format="pyarrow",
        compute=ray.data.ActorPoolStrategy(
            size=1,
            max_tasks_in_flight_per_actor=at_once,
            max_concurrent_calls_per_actor=at_once,
            enable_true_multi_threading=True,
        ),
        num_cpus=0.1,
    )
    count = 0
    for table in asked.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0):
        answers.append([Answer(**row) for row in table.to_pylist()])
        count += table.num_rows
    return count


def unanswered(batch: Batch) -> list[BatchRequest]:
    """The requests of a batch that have no answer yet; half an answer that a killed job left is cut off."""
    batch.answers.cut_half_a_line()
    known = batch.answers.places()
    return [request for request in read_requests(batch.input_file) if request.place not in known]


def _blocks(requests: Sequence[BatchRequest], at_once: int) -> Iterator[pa.Table]:
    size = max(1, min(_ROWS_A_BLOCK, len(requests) // at_once))
    for start in range(0, len(requests), size):
        yield pa.Table.from_pylist([request._asdict() for request in requests[start : start + size]])
