"""From what a comparison measured to what it shows: the same findings, the same verdict."""

from collections.abc import Sequence

from plait.errors import InvalidInput
from plait.evaluation.statistics.figure import Figure
from plait.jobs.compare.accuracy import Answers, accuracy_score, answers_of
from plait.jobs.compare.costs import answers_cost, break_even_of, cheapest, fixed, freshness_of, front_of
from plait.jobs.compare.figures import figure_of
from plait.jobs.compare.findings import FORM, Findings
from plait.jobs.compare.limits import caveats, forgetting, untold
from plait.jobs.compare.pairs import Part, pairs_of
from plait.jobs.compare.sentences import first_sentence, second_sentence
from plait.jobs.compare.training_spread import seed_means
from plait.jobs.compare.verdict import ALIKE, ArmVerdict, KindVerdict, PairVerdict, Verdict

_GROUNDING = "faithfulness"


def conclude(findings: Findings) -> Verdict:
    """What findings show.

    Raises:
        InvalidInput: when no answer of an arm that was asked all questions is measured.
    """
    recipe = findings.recipe
    answers = answers_of(findings, accuracy_score(recipe.accuracy))
    if all(each.arm.is_updated for each in answers):
        raise InvalidInput(
            f"No answer has a score by {recipe.accuracy}, abstention or {FORM}.",
            "Name as accuracy a metric that applies to the questions of data.",
        )
    *by_kind, together = parts_of(answers)
    pairs = pairs_of([*by_kind, together], recipe.significance)
    grounding = {each.arm.name: each for each in answers_of(findings, lambda judged: judged.scores.get(_GROUNDING))}
    arms = [_arm_verdict(findings, each, answers, grounding.get(each.arm.name)) for each in answers]
    kinds = [_kind_verdict(part, arms, pairs) for part in by_kind]
    overall = _kind_verdict(together, arms, pairs)
    names = {each.arm.name for each in together.answers}
    front = front_of([arm for arm in arms if arm.arm in names])
    break_even, freshness = break_even_of(front), freshness_of(findings)
    asked = [each.arm for each in answers]
    return Verdict(
        sentences=(
            first_sentence(overall, kinds, asked, arms),
            second_sentence(overall, kinds, asked, arms, break_even, freshness),
        ),
        overall=overall,
        kinds=kinds,
        arms=arms,
        pairs=pairs,
        front=[arm.arm for arm in front],
        break_even=break_even,
        freshness=freshness,
        untold=untold(findings),
        caveats=caveats(findings, answers),
        significance=recipe.significance,
    )


def parts_of(answers: Sequence[Answers]) -> list[Part]:
    """Every kind of question, and last all together, without the arms that were not asked all.

    Where there is one kind alone, all together say as much; it is then not tested twice.
    """
    whole = [each for each in answers if not each.arm.is_updated]
    kinds = list(dict.fromkeys(kind for each in answers for kind in each.kinds))
    together = Part("", _in_common(whole))
    if len(kinds) == 1 and len(whole) == len(answers):
        return [together]
    by_kind = [[each.of_kind(kind) for each in answers if kind in each.kinds] for kind in kinds]
    return [*(Part(kind, _in_common(asked)) for kind, asked in zip(kinds, by_kind, strict=True)), together]


def _in_common(answers: Sequence[Answers]) -> list[Answers]:
    """The answers to the questions that all arms were asked."""
    keys = set.intersection(*({question.key for question in each.questions} for each in answers))
    questions = [question for question in answers[0].questions if question.key in keys]
    return [each.about(questions) for each in answers]


def _arm_verdict(
    findings: Findings, answers: Answers, all_answers: Sequence[Answers], grounding: Answers | None
) -> ArmVerdict:
    arm = answers.arm
    costs, before = answers_cost(findings, arm), fixed(findings, arm)
    alike = [each for each in all_answers if each.arm.is_updated == arm.is_updated]

    def of_kind(kind: str) -> Figure:
        return figure_of(answers.of_kind(kind), [each.of_kind(kind) for each in alike if kind in each.kinds])

    return ArmVerdict(
        arm=arm.name,
        accuracy=figure_of(answers, alike),
        by_kind={kind: of_kind(kind) for kind in answers.kinds if kind},
        grounding=None if grounding is None else figure_of(grounding, [grounding]),
        by_seed=[float(mean) for mean in seed_means(answers)] if arm.trained else [],
        latency_ms=costs.latency_ms,
        prompt_tokens=costs.prompt_tokens,
        completion_tokens=costs.completion_tokens,
        cost_of_1000=costs.cost_of_1000,
        fixed_seconds=before.seconds,
        fixed_cost=before.cost,
        perplexity=forgetting(findings).get((arm.trained, arm.is_updated)),
    )


def _kind_verdict(part: Part, arms: Sequence[ArmVerdict], pairs: Sequence[PairVerdict]) -> KindVerdict:
    accuracy = {arm.arm: arm.by_kind[part.kind] if part.kind else arm.accuracy for arm in arms if _is_in(arm, part)}
    leader = max(accuracy, key=lambda name: _value(accuracy[name]))
    least = _value(accuracy[leader]) - ALIKE
    if not _value(accuracy[leader]):
        return KindVerdict(part.kind, len(part.questions), best=(), recommended=None, needed=None)
    of_kind = [pair for pair in pairs if pair.kind == part.kind]
    worse = {pair.not_best for pair in of_kind}
    best = [name for name in accuracy if name == leader or name not in worse]
    tied = [pair for pair in of_kind if leader in (pair.first, pair.second) and {pair.first, pair.second} <= set(best)]
    needed = [pair.needed for pair in tied]
    return KindVerdict(
        kind=part.kind,
        questions=len(part.questions),
        best=best,
        recommended=cheapest([arm for arm in arms if arm.arm in best and _value(accuracy[arm.arm]) >= least]).arm,
        needed=None if None in needed else max((number or 0 for number in needed), default=None),
    )


def _value(found: Figure) -> float:
    return found.value or 0.0


def _is_in(arm: ArmVerdict, part: Part) -> bool:
    return any(each.arm.name == arm.arm for each in part.answers)
