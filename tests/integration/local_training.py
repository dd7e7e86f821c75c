"""Training without the start of Ray's processes, for tests of what is trained."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pyarrow as pa
import pytest
import ray.train
import torch

from plait.documents.row_source import RowSource
from plait.jobs.train.context import AddContext
from plait.jobs.train.packed_rows import Encoding, context_arguments, encode_and_pack, read_part


@contextmanager
def training_in_this_process() -> Iterator[None]:
    """Ray Train's local mode, and the stages of Ray Data one after the other: all of a run happens here.

    The start of the processes takes ten times as long.
    """
    threads, configured = torch.get_num_threads(), ray.train.ScalingConfig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ray.train.ScalingConfig", lambda **_: configured(num_workers=0))
        patch.setattr("plait.jobs.train.dataset.packed_rows", _packed_here)
        yield
    torch.set_num_threads(threads)


def _packed_here(source: RowSource, encoding: Encoding) -> Generator[pa.Table]:
    rows = read_part(pa.table({"part": source.parts}), source)
    if encoding.data.context is not None:
        rows = map(AddContext(*context_arguments(encoding)), rows)
    for table in rows:
        yield encode_and_pack(table, encoding)
