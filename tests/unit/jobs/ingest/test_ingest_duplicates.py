"""Which documents are dropped follows from their texts alone, whatever the order and however many runs there are."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plait.documents.parse import Document
from plait.documents.read import DocumentFile
from plait.jobs.ingest.dedup import Candidate, Deduplication, DuplicateFilter
from plait.jobs.ingest.duplicates import Duplicates, Fingerprint, fingerprint
from plait.jobs.ingest.fingerprints import load_fingerprints
from plait.jobs.ingest.plan import Plan
from plait.recipes import DedupConfig, IngestRecipe
from plait.settings import settings as plait_settings

EXACT, NEAR = DedupConfig(drop="exact"), DedupConfig(drop="near", threshold=0.8)
WORDS = Random(0).choices([f"word{i}" for i in range(500)], k=1000)


def prints(config: DedupConfig, **texts: str) -> dict[str, Fingerprint]:
    return {name: fingerprint(Document(text, name), config) for name, text in texts.items()}


def duplicates(config: DedupConfig, **texts: str) -> dict[str, str]:
    return Duplicates(config).add_all(prints(config, **texts))


def with_changes(count: int, words: list[str] = WORDS) -> str:
    """The words, with every so-many-th another one."""
    step = len(words) // count if count else len(words) + 1
    return " ".join(f"changed{i}" if i % step == step - 1 else word for i, word in enumerate(words))


def test_of_equal_texts_the_first_by_name_is_kept() -> None:
    assert duplicates(EXACT, c="same", a="same", b="other", d="same\n") == {"c": "a", "d": "a"}


def test_near_duplicates_are_those_that_share_most_five_word_sequences() -> None:
    # k changes of 1,000 words leave (1000 - 5k) / (1000 + 5k) in common: 8 leave .92, 60 leave .54.
    texts = {"a": with_changes(0), "b": with_changes(8), "c": with_changes(60), "d": with_changes(0)}
    assert duplicates(NEAR, **texts) == {"b": "a", "d": "a"}
    assert duplicates(EXACT, **texts) == {"d": "a"}
    assert duplicates(DedupConfig(drop="near", threshold=0.5), **texts) == {"b": "a", "c": "a", "d": "a"}


def test_texts_without_blanks_between_words_and_without_words_are_told_apart() -> None:
    texts = {"a": "本" * 50 + "文書" * 30, "b": "语" * 60, "c": "----", "d": "====", "e": "hi", "f": "ho"}
    assert duplicates(NEAR, **texts) == {}


def test_documents_that_filters_or_titles_of_their_own_tell_apart_are_kept() -> None:
    for config in (EXACT, NEAR):
        rows = [
            Document("the same", "t", metadata={"lang": "en"}),
            Document("the same", "t", metadata={"lang": "de"}),
            Document("the same", "t", metadata={"lang": "en"}, given_title="A question"),
            Document("the same", "other file", metadata={"lang": "en"}),
        ]
        found = Duplicates(config).add_all({str(i): fingerprint(row, config) for i, row in enumerate(rows)})
        assert found == {"3": "0"}


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    assert prints(NEAR, a="one two three four five six")["a"].minhash[:8].hex() == "1c46b03a21cfb431"


# ------------------------------------------------------------ a run


@cache
def _fingerprint(text: str, drop: str) -> Fingerprint:
    """It does not depend on the document's name; making one takes longer than a step of a test."""
    return fingerprint(Document(text, "a name"), DedupConfig.model_validate({"drop": drop}))


class World:
    """Sources, an index and runs between them, as the job makes them, without Ray and Milvus."""

    def __init__(self, drop: str) -> None:
        self.recipe = IngestRecipe.model_validate({"sources": ["x"], "dedup": {"drop": drop}})
        self.texts: dict[str, str] = {}
        self.index: dict[str, str] = {}

    def run(self, random: Random, is_killed: bool = False) -> None:
        """Documents come in any order; a killed run has written only some of them, and deleted and learned nothing."""
        files = {name: DocumentFile(name, name) for name in sorted(self.texts)}
        versions = {name: f"hash of {text}" for name, text in self.texts.items()}
        is_there = {name: self.index.get(name) == text for name, text in self.texts.items()}
        plan = Plan(
            changed=tuple(files[name] for name in files if not is_there[name]),
            unchanged=tuple(files[name] for name in files if is_there[name]),
            gone=tuple(self.index.keys() - files.keys()),
            failed=(),
            versions=versions,
        )
        indexed = dict(self.index)
        dedup = Deduplication(self.recipe, plan)
        duplicate_filter = DuplicateFilter(dedup._seen, frozenset(document.source for document in plan.unchanged))
        documents = [*dedup.to_write, *dedup.to_read]
        random.shuffle(documents)
        if is_killed:
            documents = documents[: len(documents) // 2]
        for document in documents:
            candidate = Candidate(document.source, versions[document.source], self.fingerprint(document.source))
            self.write(duplicate_filter.admit([candidate]))
        if is_killed:
            return
        if documents:
            dedup.learn(*duplicate_filter.outcome(), failed=())
        self.write(document.source for document in dedup.missing)
        for name in dedup.superfluous(indexed) | set(plan.gone):
            self.index.pop(name, None)

    def fingerprint(self, name: str) -> Fingerprint:
        return _fingerprint(self.texts[name], self.recipe.dedup.drop)

    def write(self, names: Iterable[str]) -> None:
        self.index |= {name: self.texts[name] for name in names}

    def expected(self) -> dict[str, str]:
        """What must be in the index: by the texts alone."""
        dropped = Duplicates(self.recipe.dedup).add_all({name: self.fingerprint(name) for name in self.texts})
        return {name: text for name, text in self.texts.items() if name not in dropped}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(plait_settings()), "local_dir", tmp_path)


def forget_fingerprints() -> None:
    for file in (plait_settings().local_dir / "fingerprints").glob("*"):
        file.unlink()


# Texts in a chain: each is a near duplicate of its neighbours (0.92), hardly of the next but one (0.85 and less).
TEXTS = ["one", "two", *(with_changes(count) for count in (0, 8, 16, 24, 32, 60))]
STEP = st.tuples(st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(TEXTS)), st.booleans(), st.booleans())


@pytest.mark.no_cover  # the tests below take the same ways; coverage would triple the time
@pytest.mark.usefixtures("home")
@settings(deadline=None, max_examples=80)
@given(st.sampled_from(["exact", "near"]), st.lists(STEP, min_size=1, max_size=4), st.integers(0, 10**6))
def test_the_index_depends_on_the_sources_alone(
    drop: str, steps: list[tuple[dict[str, str], bool, bool]], seed: int
) -> None:
    world, random = World(drop), Random(seed)
    forget_fingerprints()
    for texts, is_killed, is_cache_lost in steps:
        world.texts = texts
        if is_cache_lost:
            forget_fingerprints()
        world.run(random, is_killed)
        if is_killed:
            world.run(random)
        assert world.index == world.expected()


@pytest.mark.usefixtures("home")
def test_a_document_dropped_for_one_that_is_dropped_itself_is_written_at_the_end() -> None:
    world = World("near")
    world.texts = {"a": with_changes(0), "b": with_changes(16), "c": with_changes(32)}  # a ~ b ~ c, but not a ~ c
    assert world.expected().keys() == {"a", "c"}
    for seed in range(6):  # b, c, a among them: c is dropped for b, and then b for a
        world.index.clear()
        forget_fingerprints()
        world.run(Random(seed))
        assert world.index.keys() == {"a", "c"}


@pytest.mark.usefixtures("home")
def test_a_document_comes_back_when_the_one_it_repeated_is_gone_and_is_not_read_before() -> None:
    world = World("exact")
    world.texts = {"a": "same", "b": "same", "c": "other"}
    world.run(Random(0))
    assert world.index == {"a": "same", "c": "other"}
    assert len(load_fingerprints(world.recipe)) == 2

    plan = Plan((DocumentFile("b", "b"),), (), (), (), {name: f"hash of {text}" for name, text in world.texts.items()})
    unchanged = Deduplication(world.recipe, plan)
    assert (unchanged.to_write, unchanged.to_read, unchanged.duplicates) == ([], [], {"b": "a"})

    del world.texts["a"]
    world.run(Random(0))
    assert world.index == {"b": "same", "c": "other"}


def test_without_dedup_nothing_is_read_for_it() -> None:
    recipe = IngestRecipe.model_validate({"sources": ["x"], "dedup": {"drop": "none"}})
    both = (DocumentFile("a", "a"), DocumentFile("b", "b"))
    off = Deduplication(recipe, Plan(both[:1], both[1:], (), (), {"a": "same", "b": "same"}))
    assert (off.to_write, off.to_read, off.duplicates, off.start_filter()) == ([both[0]], [], {}, None)


@pytest.mark.usefixtures("home")
def test_the_same_bytes_under_a_suffix_that_is_read_otherwise_are_another_document() -> None:
    recipe = IngestRecipe.model_validate({"sources": ["x"]})
    both = (DocumentFile("a.html", "a.html"), DocumentFile("a.txt", "a.txt"))
    plan = Plan((), both, (), (), {"a.html": "same hash", "a.txt": "same hash"})
    first = Deduplication(recipe, plan)
    first.learn(
        [
            Candidate(file.source, "same hash", fingerprint(Document(text, ""), recipe.dedup))
            for file, text in zip(both, ("read as HTML", "<p>read as text"), strict=True)
        ],
        {"a.html", "a.txt"},
        [],
    )
    assert Deduplication(recipe, plan).duplicates == {}
