"""What a chat client asks for itself is answered without passages; what its user asks is not."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from plait.chat_client import TASK_HEADER
from plait.engines.engine import Sampling
from plait.model_ids import ModelId
from plait.models.message import Message, Role
from plait.serve.api.client_tasks import is_client_task
from plait.serve.messages.calls import Call
from serve_api.fakes import CHAT, Fakes, post

TITLE = "### Task:\nGenerate a concise title summarizing the chat history.\n### Chat History:\n<chat_history>\nUSER: hi"
COMPACTION = "### Task:\nSummarize the conversation history\n\n### Messages Being Compacted:\nUSER: hi"
OWN_DOCUMENTS = "### Task:\nRespond to the user query using the provided context\n<context>\n…</context>\nwhy?"


def asked(*contents: str, roles: tuple[Role, ...] = ("user",)) -> Call:
    messages = tuple(Message(role, content) for role, content in zip(roles, contents, strict=True))
    return Call(ModelId.parse("rag/base"), Sampling(max_tokens=1), messages)


@pytest.mark.parametrize(
    ("call", "header", "is_task"),
    [
        (asked(TITLE), "", True),
        (asked("\n" + TITLE), "", True),
        (asked("You are kind.", TITLE, roles=("system", "user")), "", True),
        (asked(COMPACTION), "", True),
        (asked("which version?"), "title_generation", True),
        (asked("which version?"), "", False),
        (asked("which version?"), "  ", False),
        (asked(OWN_DOCUMENTS), "", False),
        (asked("### Task: write a poem about trees"), "", False),
        (asked(f"Why does Open WebUI send this?\n{TITLE}"), "", False),
        (asked("hi", "hello", TITLE, roles=("user", "assistant", "user")), "", False),
        (asked("hi", "hello", "why?", roles=("user", "assistant", "user")), "", False),
    ],
)
def test_open_webuis_tasks_are_told_from_questions(call: Call, header: str, is_task: bool) -> None:
    assert is_client_task(call, header) is is_task


@pytest.mark.parametrize(
    ("content", "headers", "model", "route"),
    [
        ("hi", {}, "rag/support", "rag"),
        (TITLE, {}, "support", "direct"),
        ("hi", {TASK_HEADER: "tags_generation"}, "support", "direct"),
    ],
)
def test_a_task_is_answered_by_the_same_weights_without_passages(
    client: TestClient, fakes: Fakes, content: str, headers: dict[str, str], model: str, route: str
) -> None:
    body = CHAT | {
        "model": "rag/support",
        "messages": [{"role": "user", "content": content}],
        "retrieval": {"top_k": 2},
    }
    answer = post(client, "/v1/chat/completions", body, **headers)
    assert (answer["model"], answer["plait"]["route"]["kind"]) == (model, route)
    (call,) = fakes.calls
    assert str(call.model) == model
    assert (call.retrieval is None) == (route == "direct")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/rag/query", {"model": "base", "query": TITLE}),
        ("/v1/responses", {"model": "rag/base", "input": TITLE}),
        ("/v1/completions", {"model": "rag/base", "prompt": TITLE}),
    ],
)
def test_other_routes_answer_from_the_documents_whatever_is_asked(
    client: TestClient, fakes: Fakes, path: str, body: dict[str, Any]
) -> None:
    post(client, path, body, **{TASK_HEADER: "title_generation"})
    assert [str(call.model) for call in fakes.calls] == ["rag/base"]
