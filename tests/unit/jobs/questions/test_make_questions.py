"""`plait data make-questions` from a folder to files: by templates, and by a model that is scripted."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from judging_models import ScriptedModel, WordEmbedding
from made_corpora import PACKAGES

from plait.cli import main
from plait.documents.chunk import Chunk
from plait.documents.chunker import Chunker, Origin
from plait.documents.parse import Document, parse
from plait.errors import DataError, InvalidInput, Unavailable
from plait.evaluation.answers import is_correct, tokens
from plait.evaluation.eval_set import read_questions
from plait.evaluation.patterns import has_form
from plait.jobs.questions import job, reading
from plait.jobs.questions.job import make_questions
from plait.jobs.questions.tables import filters_table, groups_table, notes, sample_table
from plait.jobs.train.objectives.objective import objective_of
from plait.jobs.train.objectives.sft import SftConfig
from plait.jobs.train.parse import parse_row
from plait.questions.fact import Group
from plait.recipes import DocumentLimits, QuestionsRecipe, load_recipe

PORTS = {
    f"hub{n}.md": f"# Hub {n}\n\nHub {n} listens on port 81{n}. It was made by Maker{n} Ltd.\n" for n in range(10, 22)
}


class ReadingHere:
    """Reads documents in this process: starting one of its own takes a second."""

    def __init__(self, limits: DocumentLimits) -> None:
        pass

    def parse(self, data: bytes, source: str) -> Document:
        return parse(data, source)

    def chunk(self, document: Document, origin: Origin, *made_of: Any) -> list[Chunk]:
        return chunker(*made_of).chunk(document, origin)

    def close(self) -> None:
        pass


chunker = cache(Chunker)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process is started, and no embedding model is loaded: both have tests of their own."""
    monkeypatch.setattr(job, "_embedding", lambda config: WordEmbedding())
    monkeypatch.setattr(reading, "DocumentReader", ReadingHere)


def folder_of(texts: Mapping[str, str], folder: Path) -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def recipe_of(docs: Path, *overrides: str) -> QuestionsRecipe:
    return load_recipe(QuestionsRecipe, None, [f"ingest.sources={json.dumps([str(docs)])}", *overrides])


def rows(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def files(out: Path) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file()}


def use_model(monkeypatch: pytest.MonkeyPatch, model: Any) -> None:
    @contextmanager
    def opened(how: Any) -> Iterator[Any]:
        yield model

    class Open:
        def __init__(self, how: Any) -> None:
            self._block = opened(how)

        async def __aenter__(self) -> Any:
            return self._block.__enter__()

        async def __aexit__(self, *error: Any) -> None:
            self._block.__exit__(None, None, None)

    monkeypatch.setattr(job, "open_model", Open)


def hub_of(text: str) -> str:
    """The number of the hub that a text speaks of."""
    return next((word for word in tokens(text) if word.isdigit() and len(word) == 2), "")


def good_writer(data: dict[str, Any], schema: Mapping[str, Any]) -> str:
    """A model that does what it is asked, about `PORTS`."""
    properties = schema["properties"]
    if "facts" in properties:
        n = hub_of(data["passage"])
        fact = {"entity": f"Hub {n}", "question": f"Which port does Hub {n} listen on?", "answer": f"81{n}"}
        made = {"entity": f"Hub {n}", "question": f"Which company built Hub {n}?", "answer": f"Maker{n} Ltd"}
        return json.dumps({"facts": [fact, made]})
    if "questions" in properties:
        n = hub_of(data["question"])
        return json.dumps(
            {
                "questions": [f"Port or maker of Hub {n}, number {i}?" for i in range(4)],
                "sentence": f"Hub {n}: {data['answer']}.",
            }
        )
    if "entity" in properties:
        n = hub_of(data["passage"])
        return json.dumps({"entity": f"Hub {n}", "question": f"How heavy is Hub {n} in kilograms?"})
    if "question" in properties:
        return json.dumps({"question": ""})
    if "passages" not in data:
        return json.dumps({"answer": "I do not know"})
    n = hub_of(data["question"])
    text = " ".join(data["passages"])
    known = {"port": f"81{n}", "company": f"Maker{n} Ltd"}
    answer = next((value for word, value in known.items() if word in data["question"] and value in text), "not stated")
    return json.dumps({"answer": answer})


def test_templates_make_every_group_and_files_that_are_read_back(tmp_path: Path) -> None:
    docs, out = folder_of(PACKAGES, tmp_path / "docs"), tmp_path / "out"
    made = make_questions(recipe_of(docs, "count=24"), out)
    questions = read_questions(str(out / "eval.jsonl"))
    assert {question.kind for question in questions} == {group.value for group in Group}
    assert {question.group for question in questions} <= set(PACKAGES)
    training = rows(out / "train.jsonl")
    sft = objective_of(SftConfig())
    assert all(parse_row(row, sft).unused == frozenset() for row in training)
    asked = {tuple(tokens(question.question)) for question in questions}
    assert not asked & {tuple(tokens(row["question"])) for row in training}
    report = json.loads((out / "report.json").read_text())
    assert report == made.report
    assert report["eval"] == {group: sum(q.kind == group for q in questions) for group in report["eval"]}
    assert report["train"] == len(training) == 4 * (report["facts"]["learned"] + report["facts"]["changed"])


def test_what_is_held_out_is_not_taught_and_a_changed_fact_is_taught_as_it_was(tmp_path: Path) -> None:
    docs, out = folder_of(PACKAGES, tmp_path / "docs"), tmp_path / "out"
    make_questions(recipe_of(docs, "count=24"), out)
    facts = {row["fact"]: row for row in rows(out / "facts.jsonl")}
    taught = {row["question"]: row["answer"] for row in rows(out / "train.jsonl")}
    for fact in facts.values():
        text = (docs / fact["source"]).read_text(encoding="utf-8")
        assert text[fact["start"] : fact["end"]] == fact["value"]
        assert bool(fact["training"]) == (fact["group"] in ("learned", "changed"))
        assert all(is_correct(taught[wording], fact["value"]) for wording in fact["training"])
    changed = [row for row in rows(out / "eval.jsonl") if row["kind"] == "changed"]
    assert changed
    for row in changed:
        fact = facts[row["facts"][0]]
        assert row["answers"] == [fact["changed_to"]] != [fact["value"]]
        assert row["distractors"][0] == fact["value"]
        copy = (out / "changed" / fact["source"]).read_text(encoding="utf-8")
        assert is_correct(copy, fact["changed_to"])
        assert not is_correct(copy, fact["value"])
        assert row["passages"][0]["text"] in copy


def test_a_form_is_asked_for_that_training_teaches_of_facts_that_it_does_not(tmp_path: Path) -> None:
    docs, out = folder_of(PACKAGES, tmp_path / "docs"), tmp_path / "out"
    make_questions(recipe_of(docs, "count=24"), out)
    facts = {row["fact"]: row for row in rows(out / "facts.jsonl")}
    answers = [row["answer"] for row in rows(out / "train.jsonl")]
    asked = [question for question in read_questions(str(out / "eval.jsonl")) if question.kind == "form"]
    assert asked
    for question in asked:
        (fact,) = (each for each in facts.values() if each["question"] == question.question)
        assert (fact["group"], question.answers) == ("held_out", ())
        assert question.pattern is not None
        assert any(has_form(answer, question.pattern) for answer in answers)
        assert not has_form(fact["value"], question.pattern)


def test_changed_facts_are_taught_again_in_the_same_words_with_their_new_values(tmp_path: Path) -> None:
    docs, out = folder_of(PACKAGES, tmp_path / "docs"), tmp_path / "out"
    made = make_questions(recipe_of(docs, "count=24"), out)
    before = {row["question"]: row["answer"] for row in rows(out / "train.jsonl")}
    after = {row["question"]: row["answer"] for row in rows(out / "train-changed.jsonl")}
    changed = [row for row in rows(out / "facts.jsonl") if row["changed_to"]]
    assert set(after) == {wording for fact in changed for wording in fact["training"]}
    assert len(after) == made.report["train_changed"] == 4 * len(changed) > 0
    for fact in changed:
        for wording in fact["training"]:
            assert after[wording] == before[wording].replace(fact["value"], fact["changed_to"]) != before[wording]


def test_the_same_seed_gives_the_same_files_and_another_one_others(tmp_path: Path) -> None:
    docs = folder_of(PACKAGES, tmp_path / "docs")
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_questions(recipe_of(docs, "count=24", f"seed={seed}"), tmp_path / name)
    assert files(tmp_path / "a") == files(tmp_path / "b") != files(tmp_path / "c")


def test_a_second_run_leaves_no_edited_copy_of_the_first(tmp_path: Path) -> None:
    docs, out = folder_of(PACKAGES, tmp_path / "docs"), tmp_path / "out"
    make_questions(recipe_of(docs), out)
    assert list((out / "changed").iterdir())
    assert (out / "train-changed.jsonl").exists()
    make_questions(recipe_of(docs, "shares.changed=0"), out)
    assert not (out / "changed").exists()
    assert not (out / "train-changed.jsonl").exists()


def test_own_templates_word_the_questions_of_the_demo(tmp_path: Path) -> None:
    docs = folder_of(PACKAGES, tmp_path / "docs")
    words = "{evaluate: ['How is {entity} licensed?'], train: ['Which licence has {entity}?', 'Licence of {entity}?']}"
    make_questions(recipe_of(docs, f"templates.licence={words}", "shares.multi_hop=0"), tmp_path / "out")
    asked = {row["question"] for row in rows(tmp_path / "out" / "eval.jsonl")}
    assert "How is numpy licensed?" in asked  # it has none
    assert all(question.startswith("How is ") for question in asked)


def test_a_model_writes_questions_that_it_can_answer_from_their_passage_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_model(monkeypatch, ScriptedModel(good_writer))
    docs, out = folder_of(PORTS, tmp_path / "docs"), tmp_path / "out"
    made = make_questions(recipe_of(docs, "writer.model=m", "count=20"), out)
    counts = {"learned": 6, "held_out": 6, "changed": 3, "unanswerable": 3, "multi_hop": 0, "form": 0}
    assert made.report["eval"] == counts
    assert len(read_questions(str(out / "eval.jsonl"))) == 18
    assert made.use.calls > 0
    for table in (filters_table(made), groups_table(made), sample_table(made, 0)):
        assert table.row_count > 0
    assert any("multi_hop" in note for note in notes(made))
    assert any("the group form is empty" in note for note in notes(made))
    use_model(monkeypatch, ScriptedModel(good_writer))
    make_questions(recipe_of(docs, "writer.model=m", "count=20"), tmp_path / "again")
    assert files(out) == files(tmp_path / "again")


@pytest.mark.parametrize("in_one", [False, True])
def test_two_documents_are_joined_by_what_both_speak_of_unless_one_has_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_one: bool
) -> None:
    facts = {
        "Atlas": ("Which database does Atlas use?", "Milvus"),
        "Milvus": ("Which port does Milvus listen on?", "19530"),
    }
    bridge = "Which port does the database of Atlas listen on?"

    def say(data: dict[str, Any], schema: Mapping[str, Any]) -> str:
        properties, text = schema["properties"], " ".join(data.get("passages", []))
        if "facts" in properties:
            entity = data["title"]
            question, answer = facts[entity]
            return json.dumps({"facts": [{"entity": entity, "question": question, "answer": answer}]})
        if list(properties) == ["question"]:
            assert (data["answer to the first"], data["answer to the second"]) == ("Milvus", "19530")
            return json.dumps({"question": bridge})
        known = {question: answer for question, answer in facts.values() if answer in text}
        if "19530" in text and (in_one or "Atlas" in text):
            known[bridge] = "19530"
        return json.dumps({"answer": known.get(data.get("question", ""), "not stated")})

    use_model(monkeypatch, ScriptedModel(say))
    texts = {
        "atlas.md": "# Atlas\n\nAtlas keeps its vectors in Milvus.\n",
        "db.md": "# Milvus\n\nIt listens on 19530.\n",
    }
    docs = folder_of(texts, tmp_path / "docs")
    made = make_questions(recipe_of(docs, "writer.model=m", "shares.changed=0"), tmp_path / "out")
    asked = [row for row in rows(tmp_path / "out" / "eval.jsonl") if row["kind"] == "multi_hop"]
    assert made.report["eval"]["multi_hop"] == len(asked) == (0 if in_one else 1)
    if asked:
        assert (asked[0]["question"], asked[0]["answers"]) == (bridge, ["19530"])
        assert asked[0]["sources"] == ["atlas.md", "db.md"]


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (lambda data: {"answer": "not stated"} if "passages" in data else None, "not answered from its passage"),
        (
            lambda data: {"answer": f"81{hub_of(data['question'])}"} if "passages" not in data else None,
            "answered without its passage",
        ),
    ],
)
def test_what_fails_the_round_trip_is_dropped_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: Any, name: str
) -> None:
    def say(data: dict[str, Any], schema: Mapping[str, Any]) -> str:
        is_attempt = list(schema["properties"]) == ["answer"] and "port" in data["question"]
        instead = wrong(data) if is_attempt else None
        return good_writer(data, schema) if instead is None else json.dumps(instead)

    use_model(monkeypatch, ScriptedModel(say))
    made = make_questions(recipe_of(folder_of(PORTS, tmp_path / "docs"), "writer.model=m"), tmp_path / "out")
    dropped = {each["name"]: each["dropped"] for each in made.report["filters"]}
    assert dropped[name] == len(PORTS)
    assert not [row for row in rows(tmp_path / "out" / "facts.jsonl") if "port" in (row["question"] or "")]


@pytest.mark.parametrize(
    "reply",
    ["", "I cannot do that.", "[]", "{}", '{"facts": 3}', '{"facts": [{"entity": 1}, "x"]}', '{"facts": []}', "NaN"],
)
def test_a_model_that_answers_rubbish_ends_the_run_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reply: str
) -> None:
    use_model(monkeypatch, ScriptedModel(lambda data, schema: reply))
    with pytest.raises(DataError, match="No question is left of 12 passages"):
        make_questions(recipe_of(folder_of(PORTS, tmp_path / "docs"), "writer.model=m"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_model_that_breaks_the_schema_once_costs_that_passage_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(data: dict[str, Any], schema: Mapping[str, Any]) -> str:
        return "oh no" if "Hub 10 " in data.get("passage", "") else good_writer(data, schema)

    use_model(monkeypatch, ScriptedModel(say))
    made = make_questions(recipe_of(folder_of(PORTS, tmp_path / "docs"), "writer.model=m"), tmp_path / "out")
    assert len(made.unread) == 2  # its facts, and what it leaves open
    assert {row["source"] for row in rows(tmp_path / "out" / "facts.jsonl")} == set(PORTS) - {"hub10.md"}


def test_what_is_left_open_must_name_what_it_is_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def say(data: dict[str, Any], schema: Mapping[str, Any]) -> str:
        is_left_open = list(schema["properties"]) == ["entity", "question"]
        return '{"entity": "Hub 10", "question": "What is read?"}' if is_left_open else good_writer(data, schema)

    use_model(monkeypatch, ScriptedModel(say))
    made = make_questions(recipe_of(folder_of(PORTS, tmp_path / "docs"), "writer.model=m"), tmp_path / "out")
    assert made.report["eval"]["unanswerable"] == 0


def test_a_server_that_is_not_there_is_said_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="plait serve"):
        make_questions(recipe_of(folder_of(PORTS, tmp_path / "docs"), "writer.model=base"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("texts", "error", "what"),
    [
        ({}, DataError, "hold no documents"),
        ({"a.md": "A story. Nothing is stated in it.\n"}, DataError, "states a short fact"),
        ({"a.txt": "   \n"}, DataError, "No document can be read"),
    ],
)
def test_what_holds_nothing_is_said_in_a_sentence(
    tmp_path: Path, texts: dict[str, str], error: type[Exception], what: str
) -> None:
    (tmp_path / "docs").mkdir()
    with pytest.raises(error, match=what):
        make_questions(recipe_of(folder_of(texts, tmp_path / "docs")), tmp_path / "out")


def test_one_document_gives_what_it_can(tmp_path: Path) -> None:
    docs = folder_of(
        {"only.md": "# Hub\n\nInput port: 8080\n\nOutput port: 9090\n\nMaker: ACME Ltd\n"}, tmp_path / "docs"
    )
    made = make_questions(recipe_of(docs, "count=8"), tmp_path / "out")
    counts = made.report["eval"]
    assert counts["multi_hop"] == 0
    assert counts["learned"] + counts["held_out"] + counts["changed"] == 3
    assert counts["unanswerable"] == 1


def test_a_question_that_has_its_answer_is_dropped(tmp_path: Path) -> None:
    table = "| Method | Name |\n| --- | --- |\n| GET | GET |\n| 404 | NOT_FOUND |\n"
    docs = folder_of({"http.md": f"# HTTP\n\n{table}"}, tmp_path / "docs")
    made = make_questions(recipe_of(docs, "shares.unanswerable=0", "shares.multi_hop=0"), tmp_path / "out")
    assert {row["answers"][0] for row in rows(tmp_path / "out" / "eval.jsonl")} == {"NOT_FOUND"}
    assert next(each["dropped"] for each in made.report["filters"] if each["name"] == "question has its answer") == 1


def test_documents_that_are_not_english_keep_their_words(tmp_path: Path) -> None:
    texts = {
        f"{name}.md": f"# {name}\n\n- Gewicht: {w} kg\n- Hersteller: {name}werk GmbH\n"
        for name, w in (("Säge", 12), ("Bohrer", 3))
    }
    templates = (
        "{evaluate: ['Wie schwer ist {entity}?'], train: ['Gewicht von {entity}?'], reply: '{entity} wiegt {value}.'}"
    )
    made = make_questions(
        recipe_of(folder_of(texts, tmp_path / "docs"), f"templates.gewicht={templates}", "shares.multi_hop=0"),
        tmp_path / "out",
    )
    assert made.report["train"] > 0
    asked = {row["question"]: row for row in rows(tmp_path / "out" / "eval.jsonl")}
    assert set(asked) == {"Wie schwer ist Säge?", "Wie schwer ist Bohrer?"}


def test_files_of_somebody_else_are_not_written_over(tmp_path: Path) -> None:
    docs, out = folder_of(PACKAGES, tmp_path / "docs"), folder_of({"eval.jsonl": "{}\n"}, tmp_path / "out")
    with pytest.raises(InvalidInput, match="no run has made it"):
        make_questions(recipe_of(docs), out)
    assert (out / "eval.jsonl").read_text() == "{}\n"


@pytest.mark.parametrize("pattern", ["", "**/*.md"])
def test_the_folder_may_not_lie_within_the_documents(tmp_path: Path, pattern: str) -> None:
    docs = folder_of(PACKAGES, tmp_path / "docs")
    with pytest.raises(InvalidInput, match="lies within the documents"):
        make_questions(recipe_of(docs / pattern), docs / "questions")


def test_a_document_that_cannot_be_read_is_named_and_the_others_are_used(tmp_path: Path) -> None:
    docs = folder_of({**PACKAGES, "empty.md": "  \n"}, tmp_path / "docs")
    made = make_questions(recipe_of(docs), tmp_path / "out")
    assert list(made.report["unreadable"]) == ["empty.md"]
    assert any("empty.md" in note for note in notes(made))


def test_the_command_prints_drops_groups_and_a_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    docs, out = folder_of(PACKAGES, tmp_path / "docs"), tmp_path / "out"
    with pytest.raises(SystemExit) as ended:
        main(["data", "make-questions", str(docs), "--out", str(out), "--count", "24", "phrasings=2"])
    assert ended.value.code in (None, 0)
    printed = capsys.readouterr().out
    for said in ("repeats a question", "multi_hop", "What", f"everything: {out}"):
        assert said in printed
    assert len(rows(out / "train.jsonl")) % 2 == 0
