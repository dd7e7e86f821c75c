"""What the server's logs say, and a replica that is killed."""

import json
import os
import signal

import httpx
import openai

from plait.local.ray_head import temp_dir
from plait.local.state import find_running
from plait.serve.deploy import APPLICATION
from serving.asking import metric, replicas, text_of, until


def test_the_log_is_lines_of_json_tied_by_an_id_without_what_was_said(server: str) -> None:
    words = "which heron reads lines?"
    body = {"model": "rag/base", "messages": [{"role": "user", "content": words}], "max_tokens": 4}
    answer = httpx.post(f"{server}/v1/chat/completions", json=body, headers={"X-Request-Id": "heron-7"}, timeout=60)
    body["model"] = "rag/nobody"
    httpx.post(f"{server}/v1/chat/completions", json=body, headers={"X-Request-Id": "heron-8"}, timeout=60)
    folder = temp_dir() / "r/session_latest/logs/serve"  # other tests' applications log there, too, and no JSON
    logs = [file.read_text() for file in folder.glob(f"replica_{APPLICATION}_*.log")]
    lines = [json.loads(line) for log in logs for line in log.splitlines()]  # every one of them
    ours = [line for line in lines if line.get("trace_id") == answer.headers["x-trace-id"]]
    assert {(line["event"], line["at"]) for line in ours if "event" in line} == {
        ("request", "ingress"),
        ("generation", "ingress"),
        ("generation", "llm"),
        ("retrieval", "retriever"),
    }
    assert {line["request_id"] for line in ours} == {"heron-7"}
    refused = [line for line in lines if line.get("request_id") == "heron-8"]
    assert any(line.get("outcome") == "model_not_found" for line in refused)
    assert words not in "".join(logs)


def test_a_killed_replica_comes_back_and_no_count_is_lost(server: str, client: openai.OpenAI) -> None:
    expected = text_of(client, "support")
    answered = metric("plait_requests_total", outcome="ok")
    (replica,) = replicas("LLM")
    os.kill(replica.pid, signal.SIGKILL)

    def is_back() -> bool:
        return replica.pid not in [p.pid for p in replicas("LLM")] and (
            httpx.get(f"{server}/readyz", timeout=30).status_code == 200
        )

    until(is_back, timeout_s=120)
    assert text_of(client, "support") == expected
    assert metric("plait_requests_total", outcome="ok") == answered + 1


def test_a_killed_milvus_comes_back_with_its_data_and_readyz_says_both(server: str, client: openai.OpenAI) -> None:
    # 10 to 20 s: a server that dies and starts, for real.
    expected = text_of(client, "rag/base")
    restarted = metric("plait_process_restarts_total", process="milvus")
    before = find_running("milvus")
    process = before.process() if before else None
    assert before is not None
    assert process is not None

    def readyz() -> tuple[int, str]:
        answer = httpx.get(f"{server}/readyz", timeout=30)
        return answer.status_code, answer.text

    process.kill()
    seen: list[tuple[int, str]] = []
    until(lambda: seen.append(readyz()) or seen[-1][0] == 503, timeout_s=10)  # type: ignore[func-returns-value]
    assert "The index does not answer" in seen[-1][1]
    assert text_of(client, "base")  # needs no index
    until(lambda: readyz()[0] == 200, timeout_s=60)
    after = find_running("milvus")
    assert after is not None
    assert (after.pid != before.pid, after.address) == (True, before.address)
    assert text_of(client, "rag/base") == expected
    until(lambda: metric("plait_process_restarts_total", process="milvus") == restarted + 1)


def test_a_killed_exporter_comes_back_with_every_count(server: str) -> None:
    answered = metric("plait_requests_total")
    before = find_running("exporter")
    process = before.process() if before else None
    assert process is not None
    process.kill()
    until(lambda: (found := find_running("exporter")) is not None and found.pid != process.pid)

    def is_back() -> bool:
        try:
            return metric("plait_requests_total") == answered
        except httpx.TransportError:
            return False

    until(is_back)
