"""The page of a comparison shows what was found, as text, and needs nothing else."""

import re
from dataclasses import replace

from made_findings import ANSWERS, made_findings, made_recipe
from pages import Tags

from plait.evaluation.statistics.figure import figure
from plait.jobs.compare.conclude import conclude
from plait.jobs.compare.findings import CHANGED, LEARNED, Findings
from plait.jobs.compare.page.page import render
from plait.jobs.evaluate.judge_worth import JudgeWorth
from plait.jobs.evaluate.report import EvaluationReport

HOSTILE = '</style><script>alert(1)</script>"><img src=http://x.example/a.png onerror=alert(1)>{{ 7 * 7 }}'

UPDATED = {
    **ANSWERS,
    "lora updated": {LEARNED: "1" * 10 + "0" * 10, CHANGED: "1" * 12 + "0" * 8},
    "rag/lora updated": {LEARNED: "1" * 18 + "00", CHANGED: "1" * 19 + "0"},
}


def everything() -> Findings:
    """Findings with all that a page can show."""
    recipe = made_recipe(
        changed={"documents": "new/", "train": "new.jsonl"},
        prices={"all": {"prompt": 1, "completion": 2}, "rag/lora": {"prompt": 2, "completion": 2}},
        hour_price=3.0,
    )
    return made_findings(UPDATED, recipe=recipe, update_seconds=4.0, questions_by="templates")


def text_of(findings: Findings) -> str:
    return Tags(render(findings, conclude(findings))).text


def hostile(findings: Findings) -> Findings:
    """The same with a hostile text wherever a document, a model, a judge or a server says something."""
    trials = [
        replace(
            judged,
            trial=replace(
                judged.trial,
                error=HOSTILE if number % 3 == 0 else "",
                sample=replace(
                    judged.trial.sample,
                    question=HOSTILE,
                    reply=HOSTILE,
                    answers=(HOSTILE,),
                    kind=judged.trial.sample.kind if judged.trial.sample.kind != LEARNED else HOSTILE,
                    passages=tuple(replace(each, source=HOSTILE) for each in judged.trial.sample.passages),
                ),
            ),
        )
        for number, judged in enumerate(findings.evaluation.trials)
    ]
    evaluation = EvaluationReport(trials, findings.evaluation.metrics, HOSTILE, worth=JudgeWorth({HOSTILE: HOSTILE}))
    trainings = [replace(each, key=HOSTILE) for each in findings.trainings]
    return replace(
        findings,
        evaluation=evaluation,
        trainings=trainings,
        questions_by=HOSTILE,
        identity={HOSTILE: HOSTILE},
        command=HOSTILE,
    )


def test_what_documents_models_and_judges_say_is_text_and_never_html() -> None:
    findings = hostile(everything())
    verdict = conclude(findings)
    verdict = replace(verdict, sentences=(HOSTILE, HOSTILE), untold=[HOSTILE], caveats=[HOSTILE])
    page = Tags(render(findings, verdict))
    assert page.tags.isdisjoint({"script", "img", "iframe", "link", "object", "a"})
    assert not [each for each in page.attributes if each[0] in ("src", "href") or each[0].startswith("on")]
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text


def test_the_page_loads_nothing_and_says_so_to_the_browser() -> None:
    findings = everything()
    page = render(findings, conclude(findings))
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import|https?://", page)
    assert "nan" not in page.lower().split()


def test_the_verdict_comes_first_with_what_it_cannot_tell_beside_it() -> None:
    findings = everything()
    verdict = conclude(findings)
    text = text_of(findings)
    places = [
        text.index(sentence)
        for sentence in (*verdict.sentences, *verdict.untold, *verdict.caveats, "Right answers, by kind")
    ]
    assert places == sorted(places)


def test_every_arm_has_every_figure_in_the_table_of_kinds() -> None:
    findings = everything()
    page = render(findings, conclude(findings))
    table = page[page.index('<table class="heat">') : page.index("</table>")]
    rows = [Tags(row).text for row in table.split("<tr>")[1:]]
    assert rows[0] == "arm all 80 learned 20 changed 20 unanswerable 20 form 20"
    for arm, row in zip(conclude(findings).arms, rows[1:], strict=True):
        shares = [
            f"{found.value:.0%} {100 * found.low:.0f}–{100 * found.high:.0f}"
            for found in (arm.accuracy, *arm.by_kind.values())
            if found.value is not None
        ]
        if "updated" in arm.arm:
            assert row.replace("★ ", "").replace("• ", "") == f"{arm.arm} – {' '.join(shares[1:])} – –"
        else:
            assert row.replace("★ ", "").replace("• ", "") == " ".join((arm.arm, *shares))
    assert Tags(table).text.count("★") == 5


def test_a_kind_that_is_settled_is_said_to_be_and_one_that_is_not_says_how_many_questions_would() -> None:
    findings = made_findings()
    verdict = conclude(findings)
    kinds = [replace(verdict.kinds[0], best=["rag/base"], needed=None), replace(verdict.kinds[1], needed=1234)]
    text = Tags(render(findings, replace(verdict, kinds=kinds))).text
    assert "in other words. rag/base is surely the best." in text
    assert "Not settled: about 1,234 more questions of this kind would settle it." in text


def test_freshness_sets_times_beside_what_is_right_by_then() -> None:
    text = text_of(everything())
    assert "The index had them after 4 s. Further training of lora took 60 s." in text
    assert "lora stale weights 5% (1% to 24%)" in text
    assert "rag/base index updated 4 s 90%" in text
    assert "lora updated weights updated 60 s 60%" in text
    assert "rag/lora updated index and weights updated 64 s 95%" in text


def test_forgetting_is_shown_of_general_text_and_of_what_was_learned_before() -> None:
    text = text_of(everything())
    assert "lora 0 20.00 21.00 +5%" in text
    assert "lora updated 75% (53% to 89%) 50% (30% to 70%)" in text


def test_costs_are_shown_with_what_an_answer_takes_and_when_dear_becomes_cheap() -> None:
    text = text_of(everything())
    assert "rag/base 30 s 0.025 100 ms 220 10 0.24" in text
    assert "lora costs more before its first answer than rag/base, and less in all from 2,375 answers on." in text


def test_without_prices_nobody_reads_of_money() -> None:
    text = text_of(made_findings())
    assert "The recipe names no prices of tokens." in text
    assert "1,000 answers" not in text
    assert "tokens an answer, read and written" in text


def test_pairs_stand_by_kind_with_their_intervals() -> None:
    text = text_of(everything())
    assert re.search(r"all: \d of 6 pairs differ.*learned: \d+ of 15 pairs differ", text)
    (pair,) = (
        pair
        for pair in conclude(everything()).pairs
        if (pair.kind, pair.first, pair.second) == ("", "base", "rag/base")
    )
    interval = f"−{-100 * pair.low:.0f} to −{-100 * pair.high:.0f}"
    assert f"base − rag/base they differ −{-100 * pair.value:.0f} {interval} {pair.p_value:.2g}" in text
    assert re.search(r"rag/base − rag/lora cannot be told apart −\d+ −\d+ to \+\d+ [\d.]+ \d+ more questions", text)


def test_examples_are_those_that_split_the_arms_with_every_reply() -> None:
    text = text_of(made_findings())
    of_changed = text[text.index("What is fact 1 of the kind changed?") :]
    assert of_changed.startswith(
        "What is fact 1 of the kind changed? Expected: 7 ✗ base I do not know. ✗ lora I do not know. "
        "✓ rag/base given 1.md It is 7. ✓ rag/lora given 1.md It is 7."
    )
    assert "Expected: that the question cannot be answered" in text
    assert "Expected: the form It is .+" in text


def test_a_long_reply_is_cut_and_one_that_failed_says_why() -> None:
    findings = made_findings({"base": {LEARNED: "0!"}, "rag/base": {LEARNED: "11"}})
    trials = [
        replace(judged, trial=replace(judged.trial, sample=replace(judged.trial.sample, reply="x" * 5000)))
        for judged in findings.evaluation.trials
    ]
    findings = replace(findings, evaluation=EvaluationReport(trials, ("contains", "faithfulness")))
    text = text_of(findings)
    assert f"{'x' * 600}…" in text
    assert "x" * 601 not in text
    assert "? base Not answered: The server is gone." not in text  # nobody is wrong of those that can be said


def test_one_arm_alone_is_shown_without_differences() -> None:
    findings = made_findings({"lora": {LEARNED: "10"}})
    text = text_of(findings)
    assert "1 way to answer" in text
    assert "surely the best" not in text
    assert "Not drawn" in text
    assert "Differences between arms" not in text


def test_a_figure_that_cannot_be_said_is_a_question_mark() -> None:
    findings = made_findings({"base": {LEARNED: "??"}, "lora": {LEARNED: "10"}})
    verdict = conclude(findings)
    assert verdict.arms[0].accuracy == figure([None, None])
    assert "base • ? 0–100 lora ★ 50%" in Tags(render(findings, verdict)).text


def test_two_thousand_answers_are_a_few_hundred_kilobytes() -> None:
    findings = made_findings({arm: {kind: marks * 10 for kind, marks in of.items()} for arm, of in ANSWERS.items()})
    assert len(render(findings, conclude(findings)).encode()) < 200_000
