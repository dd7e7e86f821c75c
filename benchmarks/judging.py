"""What is Plait's judging worth against Ragas 0.4 and DeepEval 4, and do its intervals hold what they say?

Four parts. The same verdicts in: do the same numbers come out? One model as the judge of all, on samples whose truth is
known by construction, in turns: how many are scored, how many rightly, at which cost? Simulated judges that err: how
often do intervals hold the truth? A judge that answers at random, and one that always says yes: are they said to be
useless?
"""

import asyncio
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from harness.homes import own_home, stop
from harness.judged_samples import METRICS, JudgedSample, demo_cases, judged_samples
from harness.judging_peer_process import Peer, peers
from harness.judging_simulations import BIASED, JUDGES, judge_alone, with_labels, with_lost_verdicts
from harness.judging_turns import AT_ONCE, CONCURRENT, Judged, judge_in_turns
from harness.results import ROOT, options, publish
from harness.scripted_verdicts import odd_scripts, scores_of, whole_scripts
from harness.senseless_judges import AlwaysYes, AtRandom

from plait.evaluation.calibration.calibration import calibrate
from plait.evaluation.calibration.cases import Ability, CaseSet
from plait.evaluation.judges.lexical import LexicalJudge
from plait.evaluation.statistics.agreement import agreement
from plait.evaluation.statistics.figure import figure
from plait.recipes import DEFAULT_MODEL
from plait.settings import settings

PLAIT = str(Path(sys.executable).parent / "plait")
CASES = {
    "definitions": "the same verdicts in",
    "samples": "one model as the judge of all",
    "coverage": "simulated judges",
    "useless": "judges without sense",
}
SAMPLES, QUICK_SAMPLES = 50, 10
SIMULATIONS, QUICK_SIMULATIONS = 2000, 300
POPULATION, LABELS = 300, 60
LOST = 0.1
"""Of the verdicts."""


def main() -> None:
    given = options(__doc__ or "", runs=1, cases=list(CASES), judge_model=DEFAULT_MODEL)
    sections, ratios = list[str](), dict[str, float]()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        own_home(Path(folder))
        demo = Path(folder) / "demo"
        subprocess.run([sys.executable, ROOT / "examples/environment/build.py", demo], check=True)
        material, cases = demo_cases(demo)
        if "definitions" in given.cases or "samples" in given.cases:
            with peers() as running:
                if "definitions" in given.cases:
                    sections.append(_definitions(running))
                if "samples" in given.cases:
                    samples = judged_samples(material, cases, QUICK_SAMPLES if given.quick else SAMPLES)
                    judged = _judge(given.judge_model, running, samples)
                    sections.append(_of_samples(given.judge_model, samples, judged))
                    ratios |= _ratios(samples, judged)
        if "coverage" in given.cases:
            section, covered = _coverage(QUICK_SIMULATIONS if given.quick else SIMULATIONS)
            sections.append(section)
            ratios["interval_coverage"] = covered
        if "useless" in given.cases:
            sections.append(asyncio.run(_useless(cases)))
    publish("judging", "Judging", "\n\n".join(sections), {k: round(v, 3) for k, v in ratios.items()}, given)


def _definitions(running: dict[str, Peer]) -> str:
    """Every pattern of up to four verdicts, and verdicts that are missing."""
    whole, odd = whole_scripts(), odd_scripts()
    told = {"script": [script.for_peer() for script in (*whole, *odd)]}
    theirs = {name: peer.ask(told)["scores"] for name, peer in running.items()}
    ours = asyncio.run(scores_of([*whole, *odd]))
    peers_, rule = " | ".join(theirs), "|---|---|" + "---|" * len(theirs)
    said = (
        "A scripted judge gives the same verdicts to the metrics of all. For Ragas' answer relevance, which is a "
        "cosine, it writes the question itself back for a reply that answers, and calls any other noncommittal."
    )
    lines = [fill(said, 118), "", f"| the same verdicts: equal scores | patterns | {peers_} |", rule]
    for name in METRICS:
        places = [place for place, script in enumerate(whole) if script.metric == name]
        equal = {peer: sum(_is_equal(ours[p].value, scores[p]) for p in places) for peer, scores in theirs.items()}
        lines.append(f"| `{name}` | {len(places)} | " + " | ".join(str(equal[peer]) for peer in theirs) + " |")
    lines += ["", f"| verdicts (–: missing) | Plait | {peers_} |", rule]
    for place, script in enumerate(odd, start=len(whole)):
        mine, others = ours[place].value, [scores[place] for scores in theirs.values()]
        shown = [_shown(mine, "cannot be said"), *(_shown(score, "NaN or an error") for score in others)]
        lines.append(f"| `{script.metric}`: {script.what} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def _is_equal(one: float | None, other: float | None) -> bool:
    # Ragas adds 1e-10 to a denominator.
    return one is other is None or (one is not None and other is not None and abs(one - other) < 1e-6)


def _shown(score: float | None, none: str) -> str:
    return none if score is None else f"{score:.2f}"


def _judge(model: str, running: dict[str, Peer], samples: Sequence[JudgedSample]) -> dict[str, Judged]:
    """All samples by all systems, by one served model."""
    try:
        subprocess.run([PLAIT, "serve", "local", f"llm.model={model}", "retrieval=null", "--detach"], check=True)
        return judge_in_turns(f"http://127.0.0.1:{settings().http_port}", running, samples)
    finally:
        stop()


def _ratios(samples: Sequence[JudgedSample], judged: dict[str, Judged]) -> dict[str, float]:
    plait, ragas = judged["Plait"], judged["Ragas"]
    return {
        "scored_share": plait.scored / len(samples),
        "judge_tokens_vs_ragas": plait.tokens / ragas.tokens,
        "agreement_vs_ragas": plait.right(samples) / max(1, ragas.right(samples)),  # it may have none right
    }


def _of_samples(model: str, samples: Sequence[JudgedSample], judged: dict[str, Judged]) -> str:
    name = model.removeprefix("package:").rstrip("/").rpartition("/")[2]
    said = (
        f"{len(samples)} samples whose right score is known by construction, from the demo's documents, judged by "
        f"{name} behind `plait serve`: by each system in turns of {AT_ONCE}, {CONCURRENT} at once. Right is a score "
        "nearer to the truth than to the other scores that such a sample could have; a sample that is not scored is "
        "not right. Kappa is of the samples that are wholly true or untrue, at a threshold of 1/2. Tokens are the "
        "endpoint's own count. DeepEval is not asked for the sentence that explains a score, which costs one more "
        "request."
    )
    lines = [
        fill(said, 118, break_on_hyphens=False),
        "",
        "| | scored | right (95%) | kappa (95%) | calls | tokens read | tokens written | seconds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups = [sample.group for sample in samples]
    for system, found in judged.items():
        marks = [float(sample.is_right(score)) for sample, score in zip(samples, found.scores, strict=True)]
        share, use = figure(marks, groups), found.use
        lines.append(
            f"| {system} | {found.scored} of {len(samples)} | {sum(marks):.0f} "
            f"({share.low:.0%} to {share.high:.0%}) | {_kappa(samples, found)} | {use.calls} | {use.prompt_tokens:,} "
            f"| {use.generated_tokens:,} | {found.seconds:.0f} |"
        )
    lines += ["", "| right, of | samples | " + " | ".join(judged) + " |", "|---|---|" + "---|" * len(judged)]
    for kind in dict.fromkeys((sample.metric, sample.made) for sample in sorted(samples, key=_place)):
        places = [place for place, sample in enumerate(samples) if (sample.metric, sample.made) == kind]
        right = [sum(samples[p].is_right(found.scores[p]) for p in places) for found in judged.values()]
        lines.append(f"| `{kind[0]}`: {kind[1]} | {len(places)} | " + " | ".join(map(str, right)) + " |")
    for system, found in judged.items():
        reasons = Counter(problem[:160] for problem in found.problems if problem)
        for reason, times in reasons.most_common():
            print(f"{system} could not score {times}: {reason}", flush=True)
    return "\n".join(lines)


def _place(sample: JudgedSample) -> tuple[int, float, str]:
    return METRICS.index(sample.metric), -sample.truth, sample.made


def _kappa(samples: Sequence[JudgedSample], found: Judged) -> str:
    pairs = [(s, score) for s, score in zip(samples, found.scores, strict=True) if s.truth in (0.0, 1.0)]
    verdicts = [None if score is None else score >= 0.5 for _, score in pairs]
    agreed = agreement([s.truth == 1.0 for s, _ in pairs], verdicts, [s.group for s, _ in pairs])
    if agreed is None:
        return "not known"
    return f"{agreed.kappa.value:.2f} ({agreed.kappa.low:.2f} to {agreed.kappa.high:.2f})"


def _coverage(runs: int) -> tuple[str, float]:
    """A table, and the share of intervals that hold where the judge is biased."""
    said = (
        f"{runs:,} simulated populations of {POPULATION} samples, of which 70% are right, and how many of their "
        "intervals at 95% held that: of the judge's mean taken at its word; of the prediction-powered mean with "
        f"{LABELS} labels of samples that `plait evaluate label` chooses; and of a judge that never errs, but gives no "
        f"verdict on {LOST:.0%} of the samples, more of them wrong ones."
    )
    lines = [
        fill(said, 118, break_on_hyphens=False),
        "",
        "| judge | interval | held the truth | mean width, points |",
        "|---|---|---|---|",
    ]
    covered = 0.0
    for error in JUDGES:
        alone, helped = judge_alone(error, runs, POPULATION), with_labels(error, runs, POPULATION, LABELS)
        covered = helped.held if error is BIASED else covered
        for how, found in (("of the judge alone", alone), (f"with {LABELS} labels", helped)):
            lines.append(f"| {error.name} | {how} | {found.held:.1%} | {100 * found.width:.0f} |")
    lost = with_lost_verdicts(runs, POPULATION, LOST)
    lines.append(
        f"| never errs, {LOST:.0%} of verdicts lost | lost ones wrong to lost ones right | {lost.held:.1%} "
        f"| {100 * lost.width:.0f} |"
    )
    return "\n".join(lines), covered


async def _useless(cases: CaseSet) -> str:
    """What calibration says of judges that know nothing, on the demo's data, and of one that compares words."""
    lines = [
        "What `plait evaluate calibrate` says of judges that are asked whether claims are supported, on "
        f"{cases.questions} questions of the demo:",
        "",
        "| judge | what is said of it |",
        "|---|---|",
    ]
    for judge in (AtRandom(), AlwaysYes(), LexicalJudge()):
        found = (await calibrate(judge, cases)).of(Ability.SUPPORT)
        lines.append(f"| {judge.name} | {found.sentence if found is not None else 'not asked'} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
