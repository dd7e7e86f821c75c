"""What a comparison measured once is kept, and told of nothing else."""

from pathlib import Path

from plait.jobs.compare.findings import Indexing
from plait.jobs.compare.measured import Measured

FIRST, AGAIN = Indexing(6, 12, 3.5), Indexing(0, 0, None)


def test_what_is_indexed_already_keeps_the_time_that_it_took(tmp_path: Path) -> None:
    Measured().kept(tmp_path, "documents", FIRST)
    again = Measured.read(tmp_path).kept(tmp_path, "documents", AGAIN)
    assert Measured.read(tmp_path) == again == Measured(indexings={"documents": FIRST})


def test_other_documents_have_not_the_time_of_the_first(tmp_path: Path) -> None:
    both = Measured().kept(tmp_path, "documents", FIRST).kept(tmp_path, "more documents", AGAIN)
    assert "more documents" not in both.indexings
