"""From an answer to its score and its rating, and from there to rows that evaluation and training read."""

from pathlib import Path
from typing import Any

import httpx
import openai
from typer.testing import CliRunner

from plait.cli import app
from plait.evaluation.eval_set import read_questions
from plait.jobs.train.fields import Fields
from plait.jobs.train.objectives.dpo import Dpo, DpoConfig
from plait.strict_json import parse_json
from serving.asking import COLLECTION, ask, metric, replicas, text_of, until

ASKED = [{"role": "user", "content": "when do cats sleep, and who asks for feedback?"}]


def rate(server: str, **body: Any) -> httpx.Response:
    return httpx.post(f"{server}/v1/feedback", json=body, timeout=60)


def exported(out: Path, use: str) -> None:
    ran = CliRunner().invoke(app, ["data", "export-feedback", str(out), "--as", use])
    assert ran.exit_code == 0, ran.output


def test_an_answer_is_judged_rated_and_becomes_data(client: openai.OpenAI, server: str, tmp_path: Path) -> None:
    labels = {"metric": "faithfulness", "model_name": "rag/support:1", "adapter": "support", "collection": COLLECTION}
    answer = ask(client, "rag/support:1", messages=ASKED, extra_headers={"X-Request-Id": "feedback-1"})
    reply = answer.choices[0].message.content
    until(lambda: metric("plait_judged_score_count", **labels) == 1)

    assert rate(server, request_id="feedback-1", rating="up").json()["rating"] == 1.0
    corrected = rate(server, request_id="feedback-1", rating=0.2, correction="Most of the day.", comment="odd words")
    assert corrected.status_code == 200, corrected.text
    assert metric("plait_feedback_total", model_name="rag/support:1", rating="down") == 1
    unknown = rate(server, request_id="feedback-2", rating="up")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "not_found")

    exported(tmp_path / "eval.jsonl", "eval")
    (question,) = [row for row in read_questions(str(tmp_path / "eval.jsonl")) if row.question == ASKED[0]["content"]]
    assert question.answers == ("Most of the day.",)
    assert question.sources == ("cats.md",)  # it holds the correction, and was in the prompt
    exported(tmp_path / "dpo.jsonl", "dpo")
    rows = [parse_json(line) for line in (tmp_path / "dpo.jsonl").read_text().splitlines()]
    (preference,) = [Dpo(DpoConfig(kind="dpo")).parse(Fields(row), set()) for row in rows if row["prompt"] == ASKED]
    assert preference.chosen.messages[-1].content == "Most of the day."
    assert preference.rejected.messages[-1].content == reply.strip()


def test_the_lineage_of_an_answer_leads_to_its_version_and_to_the_documents_of_its_passages(
    client: openai.OpenAI, server: str
) -> None:
    ask(client, "rag/support@champion", messages=ASKED, extra_headers={"X-Request-Id": "lineage-1"})
    (answer,) = httpx.get(f"{server}/v1/lineage/lineage-1", timeout=60).json()["data"]
    weights, searched = answer["children"]
    assert (weights["kind"], weights["name"]) == ("adapter", "support:1")
    below = {child["kind"]: child for child in weights["children"]}
    assert below.keys() == {"run", "data", "recipe", "base_model"}
    assert below["data"]["facts"] == {"sha256": "0"}
    assert "does not have this run" in below["run"]["note"]  # it was never there
    assert (searched["name"], searched["facts"]["generation"], searched["note"]) == (COLLECTION, 1, "")
    documents = {child["name"]: child["facts"]["content_hash"] for child in searched["children"]}
    assert documents["cats.md"] == "0"
    ran = CliRunner().invoke(app, ["lineage", "lineage-1", "--json"])
    (printed,) = parse_json(ran.output)
    assert (printed["name"], printed["children"][0]["name"]) == ("lineage-1", "support:1")
    assert printed["children"][1]["children"] == searched["children"]
    (stored,) = httpx.get(f"{server}/v1/lineage/{COLLECTION}", timeout=60).json()["data"]
    assert (stored["kind"], stored["facts"]["documents"] >= 3) == ("collection", True)
    missing = httpx.get(f"{server}/v1/lineage/lineage-2", timeout=60)
    assert (missing.status_code, "answers.keep" in missing.text) == (404, True)


def test_a_streamed_answer_can_be_rated_as_soon_as_it_has_ended(server: str) -> None:
    body = {"model": "base", "messages": ASKED, "stream": True, "max_tokens": 4}
    response = httpx.post(f"{server}/v1/chat/completions", json=body, timeout=60)
    assert response.text.endswith("data: [DONE]\n\n")
    rated = rate(server, request_id=response.headers["x-request-id"], rating="down")
    assert rated.status_code == 200, rated.text


def test_answers_go_on_while_the_reviewer_is_dead(client: openai.OpenAI, server: str) -> None:
    (reviewer,) = replicas("Reviewer")
    kept = metric("plait_answers_kept_total", outcome="kept")
    reviewer.kill()
    assert text_of(client, "base", max_tokens=4)
    until(lambda: [r.pid for r in replicas("Reviewer")] not in ([], [reviewer.pid]))

    def keeps_again() -> bool:
        text_of(client, "base", max_tokens=1)
        return metric("plait_answers_kept_total", outcome="kept") > kept

    until(keeps_again)
