"""The API over real HTTP with the clients that people use: OpenAI's and Cohere's."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cohere
import httpx
import numpy as np
import openai
import pytest

from plait.models.encoders.load import load_embedding

QUESTION: Any = [{"role": "user", "content": "which version of ray is installed?"}]
TEXTS = ["the installed version of ray", "cats sleep", "a third text that is a little longer than the others are"]


@pytest.fixture(scope="module")
def server(ray_cluster: None, tiny_model: Path, tiny_embedder: Path) -> Iterator[str]:
    """Base URL of an application without retrieval, on the tiny models."""

    from plait.serve.deploy import deploy, read_config, take_down

    overrides = [
        f"llm.model={tiny_model}",
        "llm.dtype=float32",
        "llm.max_batch_size=4",
        "llm.max_waiting=8",
        f"embedding.model={tiny_embedder}",
        "retrieval=null",
        "default_max_tokens=12",
    ]
    yield deploy(read_config("local", overrides), on_progress=lambda line: None)
    take_down()


@pytest.fixture(scope="module")
def client(server: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0, timeout=120)


def ask(client: openai.OpenAI, **options: Any) -> Any:
    return client.chat.completions.create(model="base", **({"messages": QUESTION, "temperature": 0} | options))


# ------------------------------------------------------------ choices


def test_choices_differ_by_seed_and_repeat_with_it(client: openai.OpenAI) -> None:
    def texts() -> list[str]:
        answer = ask(client, n=3, temperature=1.5, seed=5)
        assert [choice.index for choice in answer.choices] == [0, 1, 2]
        return [choice.message.content for choice in answer.choices]

    first = texts()
    assert first == texts()
    assert len(set(first)) == 3
    assert ask(client, temperature=1.5, seed=6).choices[0].message.content == first[1]


def test_choices_stream_side_by_side(client: openai.OpenAI) -> None:
    texts = ["", ""]
    *chunks, usage = ask(client, n=2, stream=True, stream_options={"include_usage": True})
    for chunk in chunks:
        (choice,) = chunk.choices
        texts[choice.index] += choice.delta.content or ""
    whole = ask(client, n=2)
    assert texts == [choice.message.content for choice in whole.choices]
    assert usage.usage.completion_tokens == whole.usage.completion_tokens


def test_several_prompts_are_answered_as_each_alone(client: openai.OpenAI) -> None:
    prompts = ["the installed", "which version"]
    together = client.completions.create(model="base", prompt=prompts, temperature=0, max_tokens=6)
    alone = [client.completions.create(model="base", prompt=p, temperature=0, max_tokens=6) for p in prompts]
    assert [choice.text for choice in together.choices] == [answer.choices[0].text for answer in alone]
    assert together.usage is not None
    assert together.usage.prompt_tokens == sum(answer.usage.prompt_tokens for answer in alone if answer.usage)


def test_a_prompt_that_was_computed_before_is_counted_as_cached(client: openai.OpenAI) -> None:
    prompt = "the installed version is which version " * 6
    answers = [client.completions.create(model="base", prompt=prompt, max_tokens=1) for _ in range(2)]
    cached = [answer.usage.prompt_tokens_details.cached_tokens for answer in answers if answer.usage]  # type: ignore[union-attr]
    assert cached[0] == 0
    assert cached[1] >= 16


def test_a_response_says_what_chat_says_and_its_conversation_goes_on(client: openai.OpenAI) -> None:
    said = ask(client, max_tokens=8).choices[0].message.content
    asked: Any = {"model": "base", "temperature": 0, "max_output_tokens": 8}
    first = client.responses.create(input=QUESTION[0]["content"], **asked)
    assert first.output_text == said
    with client.responses.stream(input=QUESTION, **asked) as stream:
        events = list(stream)
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == said
    messages = [*QUESTION, {"role": "assistant", "content": said}, {"role": "user", "content": "and then?"}]
    second = client.responses.create(input="and then?", previous_response_id=first.id, **asked)
    assert second.output_text == ask(client, messages=messages, max_tokens=8).choices[0].message.content


# ------------------------------------------------------------ what the engine must know


def test_log_probabilities_are_those_of_the_tokens_of_the_answer(client: openai.OpenAI) -> None:
    answer = ask(client, logprobs=True, top_logprobs=3, max_tokens=5, extra_body={"ignore_eos": True})
    tokens = answer.choices[0].logprobs.content
    assert len(tokens) == answer.usage.completion_tokens == 5
    for token in tokens:
        assert len(token.top_logprobs) == 3
        assert token.logprob == pytest.approx(max(t.logprob for t in token.top_logprobs), abs=1e-4)  # greedy
    completion = client.completions.create(model="base", prompt="the", logprobs=2, max_tokens=4, temperature=0)
    logprobs = completion.choices[0].logprobs
    assert logprobs is not None
    assert logprobs.tokens is not None
    assert completion.usage is not None
    assert len(logprobs.tokens) == len(logprobs.text_offset or ()) == completion.usage.completion_tokens


def test_a_json_schema_is_followed(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {"installed": {"type": "boolean"}},
        "required": ["installed"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "state", "schema": schema}}
    answer = ask(client, response_format=wanted, max_tokens=60, temperature=1, seed=1)
    assert answer.choices[0].finish_reason == "stop"
    assert isinstance(json.loads(answer.choices[0].message.content)["installed"], bool)


TOOL: Any = {
    "type": "function",
    "function": {
        "name": "installed",
        "description": "Whether a package is installed.",
        "parameters": {
            "type": "object",
            "properties": {"name": {"enum": ["ray", "torch"]}},
            "required": ["name"],
            "additionalProperties": False,
        },
    },
}
NAMED: Any = {"type": "function", "function": {"name": "installed"}}


def test_a_forced_function_is_called_with_arguments_of_its_schema(client: openai.OpenAI) -> None:
    answer = ask(client, tools=[TOOL], tool_choice=NAMED, max_tokens=80)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.function.name == "installed"
    assert json.loads(call.function.arguments)["name"] in ("ray", "torch")
    streamed = list(ask(client, tools=[TOOL], tool_choice="required", max_tokens=80, stream=True))
    deltas = [delta for chunk in streamed for delta in chunk.choices[0].delta.tool_calls or ()]
    assert [delta.function.arguments for delta in deltas] == [call.function.arguments]
    assert (streamed[0].choices[0].delta.role, streamed[-1].choices[0].finish_reason) == ("assistant", "tool_calls")
    answered = [
        *QUESTION,
        choice.message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "yes"},
    ]
    assert ask(client, messages=answered, tools=[TOOL]).usage.prompt_tokens > answer.usage.prompt_tokens


def test_tools_in_words_make_the_prompt_longer_and_none_are_offered_when_none_may_be_called(
    client: openai.OpenAI,
) -> None:
    offered = ask(client, tools=[TOOL]).usage.prompt_tokens
    assert offered > ask(client, tools=[TOOL], tool_choice="none").usage.prompt_tokens


# ------------------------------------------------------------ ids, deadlines, logs


def test_an_id_is_in_the_header_the_answer_and_both_log_lines(server: str, client: openai.OpenAI) -> None:
    request_id = "job-7.logged"
    body = {"model": "base", "messages": QUESTION, "max_tokens": 3}
    headers = {"X-Request-Id": request_id, "traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}
    response = httpx.post(f"{server}/v1/chat/completions", json=body, headers=headers)
    assert response.headers["x-trace-id"] == "ab" * 16
    assert response.headers.get_list("x-request-id", split_commas=True) == [request_id]
    assert response.json()["id"] == f"chatcmpl-{request_id}"
    lines = _until(lambda: _log_lines(request_id), count=2)
    assert {line["at"] for line in lines} == {"ingress", "llm"}
    for line in lines:
        assert line["outcome"] == "ok"
        assert line["trace_id"] == response.headers["x-trace-id"]
        assert line["generated_tokens"] == response.json()["usage"]["completion_tokens"]
        assert 0 < line["ttft_ms"] <= line["duration_ms"]
    made = httpx.post(f"{server}/v1/chat/completions", json=body)
    assert made.json()["id"] == f"chatcmpl-{made.headers['x-request-id']}"


def test_what_a_client_did_wrong_leaves_no_traceback_in_the_logs(server: str, client: openai.OpenAI) -> None:
    for model, status in (("no-such-adapter", 404), ("rag/base", 404)):
        body = {"model": model, "messages": QUESTION}
        assert httpx.post(f"{server}/v1/chat/completions", json=body).status_code == status
    too_long = {"model": "base", "prompt": "x", "max_tokens": 9999}
    refused = httpx.post(f"{server}/v1/completions", json=too_long, headers={"X-Request-Id": "too-long"})
    assert refused.status_code == 400
    lines = _until(lambda: _log_lines("too-long"), count=2)
    assert {line["outcome"] for line in lines} == {"invalid_input"}
    assert not [text for text in _logs() if "Traceback" in text and "plait.errors" in text]


def test_an_answer_is_cut_at_its_deadline_and_says_so(server: str) -> None:
    body = {"model": "base", "prompt": "x", "max_tokens": 480, "temperature": 0, "ignore_eos": True}
    timeout = {"X-Request-Timeout": "0.3"}
    started = time.monotonic()
    answer = httpx.post(f"{server}/v1/completions", json=body, headers=timeout, timeout=60).json()
    assert time.monotonic() - started < 5
    assert answer["plait"]["stopped_by"] == "deadline"
    assert answer["choices"][0]["finish_reason"] == "length"
    assert 1 <= answer["usage"]["completion_tokens"] < 480


async def test_a_request_that_waits_past_its_deadline_is_a_504(server: str) -> None:
    body = {"model": "base", "prompt": "x", "max_tokens": 480, "ignore_eos": True}
    async with httpx.AsyncClient(timeout=120, base_url=server) as crowd:
        ahead = [asyncio.create_task(crowd.post("/v1/completions", json=body)) for _ in range(8)]
        await asyncio.sleep(0.3)
        late = await crowd.post("/v1/completions", json=body, headers={"X-Request-Timeout": "0.05"})
        assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
        assert {response.status_code for response in await asyncio.gather(*ahead)} == {200}


def _logs() -> list[str]:
    """The logs of Plait's replicas in this test session's own Ray."""
    from plait.local.ray_head import temp_dir
    from plait.serve.deploy import APPLICATION

    logs = temp_dir().glob(f"r/session_2*/logs/serve/replica_{APPLICATION}_*.log")
    return [file.read_text(errors="replace") for file in logs]


def _log_lines(request_id: str) -> list[dict[str, Any]]:
    """What the log says about the generation for a request."""
    lines = [json.loads(line) for text in _logs() for line in text.splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == "generation" and line["request_id"] == request_id]


def _until(find: Any, count: int, timeout_s: float = 20) -> list[Any]:
    deadline = time.monotonic() + timeout_s
    while len(found := list(find())) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


# ------------------------------------------------------------ embeddings, rerank, tokens


def test_embeddings_are_the_models_own_in_both_encodings(client: openai.OpenAI, tiny_embedder: Path) -> None:
    expected = load_embedding(str(tiny_embedder)).encode_passages(TEXTS)
    numbers = client.embeddings.create(model="embedding", input=TEXTS, encoding_format="float")
    assert np.allclose([item.embedding for item in numbers.data], expected, atol=2e-2)
    assert numbers.usage.prompt_tokens > 0
    # OpenAI's client asks for base64 unless it is told otherwise, and decodes it.
    decoded = client.embeddings.create(model=str(tiny_embedder), input=TEXTS)
    assert np.allclose([item.embedding for item in decoded.data], [item.embedding for item in numbers.data], atol=1e-2)
    raw: Any = client.embeddings.create(model="embedding", input=TEXTS[0], encoding_format="base64")
    assert np.frombuffer(base64.b64decode(raw.data[0].embedding), "<f4").shape == (32,)
    short = client.embeddings.create(model="embedding", input=TEXTS, dimensions=8)
    assert np.allclose(np.linalg.norm([item.embedding for item in short.data], axis=1), 1, atol=1e-5)


def test_embeddings_refuse_another_model_and_a_text_that_is_too_long(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="There is no embedding model 'other'"):
        client.embeddings.create(model="other", input="x")
    with pytest.raises(openai.BadRequestError, match=r"Input 1 has .* tokens"):
        client.embeddings.create(model="embedding", input=["x", "word " * 600])


def test_a_long_text_is_cut_or_read_in_windows_where_a_client_asks(client: openai.OpenAI) -> None:
    def vector(text: Any, **fields: Any) -> Any:
        answer = client.embeddings.create(model="embedding", input=text, encoding_format="float", extra_body=fields)
        return np.array(answer.data[0].embedding)

    long = "word " * 600 + "end " * 600
    beginning, end = vector(long, truncate="END"), vector(long, truncate="START")
    assert np.allclose(beginning, vector("word " * 600, truncate_prompt_tokens=-1), atol=1e-5)
    assert not np.allclose(beginning, end, atol=1e-2)
    mean = vector(long, long_texts="mean")
    assert np.linalg.norm(mean) == pytest.approx(1, abs=1e-5)
    assert min(mean @ beginning, mean @ end) > beginning @ end
    with pytest.raises(openai.BadRequestError, match="check_embedding_ctx_length=False"):
        vector([15339, 1917])  # as LangChain's client sends "hello world" unless told otherwise


async def test_embeddings_that_come_together_are_each_their_own(server: str, client: openai.OpenAI) -> None:
    alone = [client.embeddings.create(model="embedding", input=text).data[0].embedding for text in TEXTS]
    async with openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="none", max_retries=0) as together:
        answers = await asyncio.gather(*(together.embeddings.create(model="embedding", input=t) for t in TEXTS))
    assert np.allclose([answer.data[0].embedding for answer in answers], alone, atol=1e-2)


def test_coheres_client_reranks(server: str, client: openai.OpenAI) -> None:
    ranked = cohere.ClientV2(api_key="none", base_url=server).rerank(
        model="reranker", query=TEXTS[0], documents=[TEXTS[1], TEXTS[0], TEXTS[2]], top_n=2
    )
    assert next(result.index for result in ranked.results) == 1
    assert len(ranked.results) == 2
    assert ranked.results[0].relevance_score == pytest.approx(1, abs=1e-2)  # the same text: cosine 1


def test_tokens_are_the_prompts_and_lead_back_to_it(server: str, client: openai.OpenAI) -> None:
    tokens = httpx.post(f"{server}/v1/tokenize", json={"model": "base", "prompt": "which version"}).json()
    usage = client.completions.create(model="base", prompt="which version", max_tokens=1).usage
    assert usage is not None
    assert tokens["count"] == len(tokens["tokens"]) == usage.prompt_tokens
    assert tokens["max_model_len"] == 512
    text = httpx.post(f"{server}/v1/detokenize", json={"model": "base", "tokens": tokens["tokens"]}).json()["prompt"]
    assert text == "<bos>which version"
    assert httpx.get(f"{server}/tokenizer_info").json()["bos_token"] == "<bos>"
    chat = httpx.post(f"{server}/v1/tokenize", json={"messages": QUESTION}).json()
    assert chat["count"] == ask(client, max_tokens=1).usage.prompt_tokens


def test_models_say_where_they_are_from(client: openai.OpenAI, tiny_model: Path, tiny_embedder: Path) -> None:
    cards: dict[str, Any] = {card.id: card for card in client.models.list()}
    assert (cards["base"].root, cards["base"].parent) == (str(tiny_model), None)
    assert cards["embedding"].root == str(tiny_embedder)
