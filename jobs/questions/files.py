"""The files that a run writes: eval set, training data, edited documents, facts, and the report last.

In: a question set. Out: a folder. The same questions give the same bytes.
"""

import json
import shutil
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from plait.documents.listing import part_without_wildcards
from plait.documents.stores import is_remote
from plait.errors import InvalidInput
from plait.jobs.questions.question_set import QuestionSet
from plait.jobs.questions.reading import ReadCorpus
from plait.questions.changes import edited
from plait.questions.fact import Group
from plait.questions.rows import EvalRows, Row, fact_row, retraining_rows, training_rows
from plait.recipes import QuestionsRecipe
from plait.whole_files import full_disk_told, write_whole

EVAL, TRAIN, TRAIN_CHANGED = "eval.jsonl", "train.jsonl", "train-changed.jsonl"
FACTS, REPORT, CHANGED = "facts.jsonl", "report.json", "changed"
MADE_BY = "plait data make-questions"


def check_folder(out: Path, sources: Sequence[str]) -> None:
    """Check that a run may write into a folder, before anything is asked.

    Raises:
        InvalidInput: when it has such files of somebody else's, or lies within the documents, whose next reading would
            find the edited copies.
    """
    for source in sources:
        folder = part_without_wildcards(Path(source.removeprefix("file://")).expanduser())
        if not is_remote(source) and folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise InvalidInput(f"'{out}' lies within the documents of '{source}'.", "Name a folder beside them: --out.")
    ours = [name for name in (EVAL, TRAIN, TRAIN_CHANGED, FACTS, CHANGED) if (out / name).exists()]
    if ours and not _is_ours(out / REPORT):
        raise InvalidInput(
            f"'{out / ours[0]}' is there already, and no run has made it.", "Name another folder: --out."
        )


def eval_rows(made: QuestionSet) -> list[Row]:
    """The rows of the eval set, group by group."""
    rows = EvalRows(made.changes)
    return [
        *(
            rows.asked(group, each, made.distractors[each.fact.fact_id])
            for group in (Group.LEARNED, Group.HELD_OUT)
            for each in made.asked[group]
        ),
        *(rows.changed(each, change, made.distractors[each.fact.fact_id]) for each, change in made.grouped.changed),
        *map(rows.unanswerable, made.unanswerable),
        *map(rows.two_hops, made.hops),
        *map(rows.form, made.asked[Group.FORM]),
    ]


def write_files(out: Path, made: QuestionSet, read: ReadCorpus, recipe: QuestionsRecipe) -> dict[str, Any]:
    """Write all files of a run; returns what the report says."""
    grouped = made.grouped
    is_asked = {each.fact.fact_id for facts in made.asked.values() for each in facts}
    facts = [
        *(fact_row(each, Group.LEARNED, each.fact.fact_id in is_asked) for each in grouped.learned),
        *(fact_row(each, Group.HELD_OUT, each.fact.fact_id in is_asked) for each in grouped.held_out),
        *(fact_row(each, Group.CHANGED, True, change.value) for each, change in grouped.changed),
    ]
    taught = training_rows([*grouped.learned, *(each for each, _ in grouped.changed)])
    again = retraining_rows(grouped.changed)
    with full_disk_told(out.parent):
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(out / CHANGED, ignore_errors=True)
        (out / TRAIN_CHANGED).unlink(missing_ok=True)
    files = {EVAL: _lines(eval_rows(made)), TRAIN: _lines(taught), FACTS: _lines(facts)}
    if again:
        files[TRAIN_CHANGED] = _lines(again)
    for source, text in edited(read.corpus, made.changes).items():
        files[str(PurePosixPath(CHANGED) / source)] = text
    for name, text in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        write_whole(out / name, text)
    report = {
        "made_by": MADE_BY,
        "seed": recipe.seed,
        "writer": recipe.writer.model if recipe.writer else None,
        "recipe": recipe.model_dump(mode="json", exclude_defaults=True),
        "documents": len(read.corpus.documents),
        "passages": len(read.corpus.passages),
        "unreadable": {failure.source: failure.reason for failure in read.failed},
        "filters": [
            {"name": each.name, "seen": each.seen, "dropped": each.dropped, "rate": round(each.rate, 4)}
            for each in made.drops.filters
        ],
        "facts": {"learned": len(grouped.learned), "held_out": len(grouped.held_out), "changed": len(grouped.changed)},
        "eval": {group.value: count for group, count in made.counts.items()},
        "train": len(taught),
        "train_changed": len(again),
        "sha256": {name: sha256(text.encode()).hexdigest() for name, text in files.items()},
    }
    write_whole(out / REPORT, json.dumps(report, ensure_ascii=False, indent=2) + "\n")
    return report


def _lines(rows: Sequence[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _is_ours(report: Path) -> bool:
    try:
        return bool(json.loads(report.read_bytes())["made_by"] == MADE_BY)
    except (OSError, ValueError, KeyError, TypeError):
        return False
