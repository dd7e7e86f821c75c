"""Open WebUI gets the sources of a streamed answer in its own shape; every other client gets OpenAI's annotations."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from plait.index.passage import Passage
from plait.serve.api.open_webui import SourceEvent, asks
from serve_api.fakes import CHAT, Fakes, chunks_of, post

RAG = CHAT | {"model": "rag/base"}
TEXT = "Ray runs tasks."


@pytest.mark.parametrize(
    ("headers", "is_open_webui"),
    [
        (["host", "x-openwebui-task"], True),
        (["X-OpenWebUI-User-Id"], True),
        (["authorization", "user-agent"], False),
        ([], False),
    ],
)
def test_it_is_known_by_the_names_of_its_headers(headers: list[str], is_open_webui: bool) -> None:
    assert asks(headers) is is_open_webui


@pytest.mark.parametrize(
    ("source", "title", "heading", "metadata", "shown"),
    [
        ("ray.md", "Ray", "", {}, {"name": "Ray"}),
        ("ray.md", "Ray", "Ray", {}, {"name": "Ray"}),
        ("ray.md", "Ray", "Ray > Tasks", {}, {"name": "Ray > Tasks"}),
        ("ray.md", "Ray", "Tasks", {}, {"name": "Ray > Tasks"}),
        ("https://ray.io/tasks", "Ray", "", {}, {"name": "Ray", "url": "https://ray.io/tasks"}),
        ("ray.md", "Ray", "", {"url": "https://ray.io"}, {"name": "Ray", "url": "https://ray.io"}),
    ],
)
def test_a_source_has_the_name_of_its_place_and_the_address_of_its_document(
    source: str, title: str, heading: str, metadata: dict[str, Any], shown: dict[str, str]
) -> None:
    passage = Passage("c1", source, title, heading, TEXT, 0, len(TEXT), 0.5, metadata=metadata)
    assert SourceEvent.of(passage).model_dump(exclude_unset=True) == {
        "type": "source",
        "data": {
            "source": shown,
            "document": [TEXT],
            "metadata": [{"source": "c1", "name": shown["name"]}],
            "distances": [0.5],
        },
    }


def test_a_stream_for_open_webui_has_events_in_place_of_annotations(client: TestClient, fakes: Fakes) -> None:
    client.headers["X-OpenWebUI-Task"] = ""
    chunks = chunks_of(client, "/v1/chat/completions", RAG)
    (shown,) = [chunk for chunk in chunks if "event" in chunk]
    assert (shown["event"]["data"]["document"], shown["choices"]) == (["ray 2.60.0"], [])
    assert chunks[-1]["choices"][0]["delta"]["annotations"] == []
    assert chunks[-1]["plait"]["route"]["kind"] == "rag"


@pytest.mark.parametrize(("model", "task"), [("base", ""), ("rag/base", "title_generation")])
def test_an_answer_without_passages_has_no_event(client: TestClient, fakes: Fakes, model: str, task: str) -> None:
    client.headers["X-OpenWebUI-Task"] = task
    assert not any("event" in chunk for chunk in chunks_of(client, "/v1/chat/completions", RAG | {"model": model}))


def test_other_clients_and_whole_answers_have_annotations(client: TestClient, fakes: Fakes) -> None:
    last = chunks_of(client, "/v1/chat/completions", RAG)[-1]
    assert "event" not in last
    assert last["choices"][0]["delta"]["annotations"][0]["chunk_id"] == "c1"
    whole = post(client, "/v1/chat/completions", RAG, **{"X-OpenWebUI-Task": ""})
    assert whole["choices"][0]["message"]["annotations"][0]["chunk_id"] == "c1"
