"""Ask the arms of a comparison: whom of each, through which server, and what is missing still.

In: arms, trained versions, questions. Out: trials. A run that has them all needs no server.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import httpx

from plait.chat_client import ChatAnswer, Sent, headers, models_async, searched_async
from plait.errors import InvalidInput
from plait.evaluation.eval_set import Question
from plait.evaluation.runs.run import Run
from plait.evaluation.runs.trial import Trial
from plait.flows.compare.serving import Serving
from plait.flows.compare.trainings import Trained
from plait.jobs.compare.arms import Arm
from plait.jobs.compare.endpoint import endpoint_arm
from plait.jobs.compare.examples import ExamplesInPrompt
from plait.jobs.evaluate.asked_arm import Ask, AskedArm, Conversation, as_they_are, check_served, served_arm
from plait.jobs.evaluate.asking import ask_missing, is_answered, planned
from plait.jobs.evaluate.job import sent
from plait.recipes import CompareRecipe


@dataclass(frozen=True)
class Respondent:
    """Who answers as an arm, of one training where there are several.

    Attributes:
        run: the name of its trials.
        base_model: that the server must have; empty for an endpoint of somebody else's.
        model: its id there.
        weights: what its answers follow from, besides the question and the index.
    """

    arm: Arm
    run: str
    base_model: str
    model: str
    weights: str


def respondents(recipe: CompareRecipe, arms: Sequence[Arm], trained: Sequence[Trained]) -> list[Respondent]:
    """Who answers, arm by arm."""
    versions = {(each.training.arm, each.training.seed, each.training.is_updated): each.version for each in trained}
    found = []
    for arm in arms:
        for seed, run in enumerate(arm.runs):
            base_model, model, weights = recipe.model, "base", ""
            if arm.trained:
                version = versions[arm.trained, seed, arm.is_updated]
                weights = version.metadata.run_key
                if arm.kind == "full":
                    base_model = str(version.path)
                else:
                    model = version.key
            elif arm.kind == "endpoint":
                base_model, model = "", arm.name
            found.append(Respondent(arm, run, base_model, f"rag/{model}" if arm.retrieves else model, weights))
    return found


async def _check_server(url: str, models: Sequence[str], recipe: CompareRecipe) -> None:
    async with httpx.AsyncClient(headers=headers()) as client:
        known = await models_async(client, url)
        check_served(url, known, models)
        searched, indexed = await searched_async(client, url), recipe.ingest.collection
    if searched != indexed:
        raise InvalidInput(
            f"The server at {url} answers rag/… from the collection '{searched}', and the recipe indexes '{indexed}'.",
            "Set ingest.collection, or serve the other one: retrieval.collection.",
        )
    if (served := known["base"]) != recipe.model:  # the same weights may lie elsewhere on another machine
        print(f"The server at {url} has the base model {served}, the recipe {recipe.model}.", flush=True)


async def _unasked(conversation: Conversation, how: Sent) -> ChatAnswer:
    raise AssertionError("nobody is asked")


def weights_of(arms: Sequence[Arm], trained: Sequence[Trained]) -> dict[str, str]:
    """Which trained version answers, by the name of its trials; those with passages have the same."""
    keys = {(each.training.arm, each.training.seed, each.training.is_updated): each.version.key for each in trained}
    return {
        run: keys[arm.trained, seed, arm.is_updated]
        for arm in arms
        if arm.trained and not arm.retrieves
        for seed, run in enumerate(arm.runs)
    }


class Answering:
    """Asks questions of respondents. Its run keeps the answers.

    Args:
        examples: what stands before the questions of the arm `icl`.
    """

    def __init__(self, recipe: CompareRecipe, run: Run, serving: Serving, examples: ExamplesInPrompt | None) -> None:
        self._recipe, self._run, self._serving, self._examples = recipe, run, serving, examples
        self.how = sent(recipe)

    def is_missing(self, questions: Sequence[Question], of: Sequence[Respondent], documents: str) -> bool:
        """Whether something is to be asked; `documents`: the fingerprint of what the index holds then."""
        kept = self._run.trials()
        return any(
            trial.key not in kept or not is_answered(kept[trial.key])
            for each in of
            for trial in planned(questions, self.arm(each, documents), self.how)
        )

    def ask(self, questions: Sequence[Question], of: Sequence[Respondent], documents: str) -> list[Trial]:
        """The trials of all of them, by respondent; what the run has is not asked again.

        Raises:
            PlaitError: when a server cannot be had, or says of every question that it cannot answer it.
        """
        trials: dict[str, list[Trial]] = {}
        for base_model in dict.fromkeys(each.base_model for each in of):
            asked = [each for each in of if each.base_model == base_model]
            url = ""
            if base_model and self.is_missing(questions, asked, documents):
                url = self._serving.url_of(base_model)
            trials |= asyncio.run(self._ask(questions, asked, documents, url))
        return [trial for each in of for trial in trials[each.run]]

    def check_server(self, url: str, questions: Sequence[Question], documents: str) -> None:
        """Find out before anything is indexed that a server cannot answer what is missing; adapters are made later.

        Raises:
            ModelNotFound: when it has no base model, or no index.
            InvalidInput: when it answers from another collection.
            Unavailable: when no server of Plait's answers.
        """
        arms = [Arm("base"), Arm("rag/base", retrieves=True)]
        of = respondents(self._recipe, arms, [])
        if self.is_missing(questions, of, documents):
            asyncio.run(_check_server(url, [each.model for each in of], self._recipe))

    async def _ask(
        self, questions: Sequence[Question], of: Sequence[Respondent], documents: str, url: str
    ) -> Mapping[str, list[Trial]]:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(httpx.AsyncClient(headers=headers()))
            if url:
                served = [each.model for each in of if each.base_model]
                check_served(url, await models_async(client, url), served)
            arms = []
            for each in of:
                if each.base_model:
                    arms.append(served_arm(client, url, each.run, each.model, ""))
                elif not self.is_missing(questions, [each], documents):
                    arms.append(self.arm(each, documents))  # what is only read needs no key
                else:
                    config = self._recipe.endpoints[each.arm.name]
                    arms.append(
                        await stack.enter_async_context(endpoint_arm(each.run, config, self._recipe.concurrency))
                    )
            whole = [self.arm(each, documents, arm.ask) for each, arm in zip(of, arms, strict=True)]
            trials = await ask_missing(self._run, questions, whole, self.how, self._recipe.concurrency)
        return {each.run: trials[i * len(questions) : (i + 1) * len(questions)] for i, each in enumerate(of)}

    def arm(self, each: Respondent, documents: str, ask: Ask = _unasked) -> AskedArm:
        """The arm that a respondent answers as; its trials have the same keys whether or not somebody is asked."""
        if not each.base_model:
            config = self._recipe.endpoints[each.arm.name]
            weights = f"{config.base_url} {config.model}"
        else:
            follows = [each.base_model, each.model, each.weights, self._recipe.serve]
            weights = json.dumps([*follows, documents] if each.arm.retrieves else follows, sort_keys=True)
        conversations = self._examples if each.arm.kind == "icl" and self._examples is not None else as_they_are
        return AskedArm(each.run, weights, ask, each.arm.retrieves, conversations)
