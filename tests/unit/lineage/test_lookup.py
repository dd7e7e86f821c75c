"""From an id to everything that it names."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from evaluation.live.rated_answers import QUESTION, live
from made_chunks import DIMENSION, document
from typer.testing import CliRunner

from plait.cli import app
from plait.errors import NotFound
from plait.evaluation.live.answer import LivePassage, Rating
from plait.evaluation.live.route import Route
from plait.evaluation.live.traces import AnswerTraces
from plait.index.collection import Index
from plait.index.stores.memory import MemoryStore
from plait.lineage import lookup
from plait.lineage.lookup import lineages

NOW_MS = int(time.time() * 1000)
PASSAGE = LivePassage("text 0", "ray.md", "c1", collection="lineage_docs", content_hash="h1")


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStore:
    store = MemoryStore()
    index = Index.open_or_create("lineage_docs", store, embedding_model="package:embedder", dimension=DIMENSION)
    index.upsert(document("ray.md"))
    index.upsert(document("\x1b[2J[bold]\n.md"))
    monkeypatch.setattr(lookup, "connect_store", lambda: store)
    return store


@pytest.fixture
def traces(tracking: None) -> Iterator[AnswerTraces]:
    opened = AnswerTraces()
    yield opened
    opened.forget(max_age_days=-36_500.0)


def test_an_answer_stands_above_its_weights_and_the_documents_of_its_passages(
    store: MemoryStore, traces: AnswerTraces
) -> None:
    answer = live(
        "lineage-1",
        model="rag/base",
        adapter="",
        answered_by="base",
        base_model="package:tiny",
        collections=("lineage_docs",),
        generations={"lineage_docs": 1},
        tenant="default",
        passages=(PASSAGE,),
        started_ms=NOW_MS,
    )
    traces.keep(answer)
    traces.rate("lineage-1", None, Rating(0.25))
    traces.keep(live("msg_lineage-1", answered_by="none", collections=(), passages=(), started_ms=NOW_MS))
    assert lineages("msg_lineage-1", 9)[0].facts["answered_by"] == "none"  # a client may choose such an id
    for id in ("lineage-1", "chatcmpl-lineage-1"):
        (found,) = lineages(id, 9)
        assert (found.kind, found.name, found.note) == ("answer", "lineage-1", "")
    assert (found.facts["question"], found.facts["rating"]) == (QUESTION, 0.25)
    weights, searched = found.children
    assert (weights.kind, weights.name) == ("base_model", "package:tiny")
    assert (searched.name, searched.facts["generation"], searched.note) == ("lineage_docs", 1, "")
    ((source, facts, note),) = [(child.name, child.facts, child.note) for child in searched.children]
    assert (source, facts["content_hash"], note) == ("ray.md", "h1", "")


def test_an_answer_of_auto_says_which_policy_chose_its_arm_and_why(store: MemoryStore, traces: AnswerTraces) -> None:
    route = Route("base", "support:2", "It knows.", {"base": 0.75}, candidates=("base", "rag/base"))
    answer = live("auto-1", model="auto", answered_by="base", collections=(), passages=(), route=route)
    traces.keep(replace(answer, started_ms=NOW_MS))
    (found,) = lineages("auto-1", 9)
    facts = {name: found.facts[name] for name in ("model", "arm", "policy", "chosen_because")}
    assert facts == {"model": "auto", "arm": "base", "policy": "support:2", "chosen_because": "It knows."}


def test_a_refusal_and_an_answer_of_an_earlier_version_have_a_lineage_too(
    store: MemoryStore, traces: AnswerTraces
) -> None:
    traces.keep(live("refused", answered_by="none", collections=("lineage_docs",), passages=(), started_ms=NOW_MS))
    (refused,) = lineages("refused", 9)
    assert [child.kind for child in refused.children] == ["collection"]
    assert refused.note == "Nothing was found, so no model was asked."
    traces.keep(live("old", answered_by="gone:3", collections=("lineage_docs",), started_ms=NOW_MS))
    (old,) = lineages("old", 9)
    assert old.children[0].note.startswith("It is gone from the registry.")
    assert [child.name for child in old.children[1].children] == ["ray.md", "cats.md"]


@pytest.mark.parametrize("id", ["nobody", "nobody:3", "' OR 1=1 --", "", "x" * 5000, "base", "rag/base"])
def test_what_names_nothing_is_one_sentence_that_names_the_setting(store: MemoryStore, tracking: None, id: str) -> None:
    with pytest.raises(NotFound, match=r"There is no answer, adapter or collection .*answers.keep"):
        lineages(id, 9)


def test_the_command_prints_a_tree_and_everything_as_json(store: MemoryStore, tracking: None) -> None:
    shown = CliRunner().invoke(app, ["lineage", "lineage_docs"])
    assert shown.exit_code == 0, shown.output
    assert "collection lineage_docs" in shown.output
    assert "document ray.md" in shown.output
    assert "document \ufffd[2J[bold] .md" in shown.output
    printed = CliRunner().invoke(app, ["lineage", "lineage_docs", "--json", "--documents", "0"])
    ((kind, note, documents),) = [(n["kind"], n["note"], n["children"]) for n in json.loads(printed.output)]
    assert (kind, note, documents) == ("collection", "Named here: 0 of 2 documents.", [])
