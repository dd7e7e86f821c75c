"""Calibrate a judge: questions of an eval set or a run, their passages, and a judge, to a kept `Calibration`.

In: a `CalibrateRecipe`. Out: what the judge is worth, in a file beside the run. The model that is judged is not asked.
"""

import asyncio
from pathlib import Path

from plait.evaluation.calibration.calibration import Calibration, calibrate
from plait.evaluation.calibration.cases import CaseSet, make_cases
from plait.evaluation.calibration.material import FindDocument, find_material
from plait.evaluation.eval_set import read_questions
from plait.evaluation.judges.opening import open_judge
from plait.evaluation.runs.run import is_run, opened
from plait.evaluation.sample import Sample
from plait.index.collection import Index
from plait.index.stores.connect import connect_store
from plait.jobs.evaluate.progress import shown
from plait.models.encoders.when_used import LoadedWhenUsed
from plait.recipes import CalibrateRecipe
from plait.tenants import DEFAULT_TENANT


def calibrate_judge(recipe: CalibrateRecipe) -> Calibration:
    """Make cases of known truth and ask the judge.

    Raises:
        DataError: for a bad eval set, or one of which no case can be made.
        InvalidInput: when there is no such judge.
        CollectionNotFound: when there is no such collection.
        PlaitError: when the judge cannot be asked.
    """
    material, missing = find_material(_samples(recipe), _documents(recipe.collection))
    return asyncio.run(_asked(recipe, make_cases(material, recipe.seed, missing)))


async def _asked(recipe: CalibrateRecipe, made: CaseSet) -> Calibration:
    async with open_judge(recipe.judge, LoadedWhenUsed(recipe.embedding)) as judge:
        with shown(f"calibrate {judge.name}", len(made.cases)) as advance:
            return await calibrate(judge, made, recipe.concurrency, advance)


def _samples(recipe: CalibrateRecipe) -> list[Sample]:
    """Different questions, with the passages that a run found for them."""
    if not is_run(Path(recipe.data)):
        return [question.sample("") for question in read_questions(recipe.data, recipe.limit)]
    by_question: dict[str, Sample] = {}
    for trial in opened(Path(recipe.data)).trials().values():
        known = by_question.get(trial.question_key)
        # Arms without retrieval have no passages.
        if known is None or not known.passages:
            by_question[trial.question_key] = trial.sample
    return list(by_question.values())[: recipe.limit]


def _documents(collection: str | None) -> FindDocument | None:
    if collection is None:
        return None
    index = Index.open(collection, connect_store())
    return lambda source: [passage.text for passage in index.document(DEFAULT_TENANT, source)]
