"""Citations: in a shape that OpenAI's clients read, with an address, about a place in the answer, and in the text."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion

from plait.index.passage import Passage
from plait.serve.api.citations import CitationLinks
from plait.serve.api.inline_citations import InlineCitations
from plait.serve.messages.arguments import AppArguments, CitationArguments
from serve_api.fakes import CHAT, PASSAGE, WEATHER, Fakes, chunks_of, error_of, post

RAG = CHAT | {"model": "rag/base"}
INLINE = RAG | {"retrieval": {"citations": "inline"}}
LICENCE = Passage("c2", "https://example.org/licence", "", "", "Its licence is Apache 2.0 and no other.", 0, 39, 0.5)
VERSION = replace(PASSAGE, text="The installed version of ray is 2.60.0.", start=0, end=39)
ANSWER = "Well. The installed version of Ray is 2.60.0. I like it!\n\nIts licence is Apache 2.0 and no other"


@pytest.fixture(autouse=True)
def finds_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serve_api.fakes.PASSAGE", VERSION)


def annotations(client: TestClient, body: dict[str, Any] = RAG, **headers: str) -> list[dict[str, Any]]:
    answer = post(client, "/v1/chat/completions", body, **headers)
    return answer["choices"][0]["message"]["annotations"]  # type: ignore[no-any-return]


def test_an_answer_with_citations_is_one_by_openais_own_types(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["Well: version of Ray is 2.60.0, I think."]
    whole = post(client, "/v1/chat/completions", RAG)
    (cited,) = ChatCompletion.model_validate(whole).choices[0].message.annotations or ()
    place = cited.url_citation
    assert whole["choices"][0]["message"]["content"][place.start_index : place.end_index] == "version of Ray is 2.60.0"
    assert place.title == "ray"
    last = chunks_of(client, "/v1/chat/completions", RAG)[-1]
    assert last["choices"][0]["delta"]["annotations"] == whole["choices"][0]["message"]["annotations"]
    ours = {"chunk_id", "source", "title", "heading", "start", "end", "score", "text", "quote"}
    assert ours <= whole["choices"][0]["message"]["annotations"][0].keys()


def test_an_answer_in_other_words_is_cited_for_as_a_whole(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["Nobody knows anything about it."]
    (cited,) = annotations(client)
    assert (cited["url_citation"]["start_index"], cited["url_citation"]["end_index"]) == (0, len(fakes.texts[0]))
    assert cited["quote"] is None


def test_the_address_of_a_citation_is_the_sources_own_or_the_passages_here(client: TestClient, fakes: Fakes) -> None:
    (cited,) = annotations(client)
    address = cited["url_citation"]["url"]
    assert address == "http://testserver/v1/vector_stores/docs/passages/c1"
    assert client.get(address).json()["text"] == cited["text"]
    links = CitationLinks("https://here", tenant="a b")
    assert links.url(LICENCE) == LICENCE.source
    assert links.url(replace(PASSAGE, metadata={"url": "https://example.org/a"})) == "https://example.org/a"
    assert links.url(replace(PASSAGE, metadata={"url": "javascript:alert(1)"})).startswith("https://here/")
    assert links.url(replace(PASSAGE, collection="d/x")) == "https://here/v1/vector_stores/d%2Fx/passages/c1?tenant=a+b"
    fakes.arguments = AppArguments(citations=CitationArguments(public_url="https://plait.example.org/api/"))
    (cited,) = annotations(client)
    assert cited["url_citation"]["url"] == "https://plait.example.org/api/v1/vector_stores/docs/passages/c1"


@pytest.mark.parametrize("host", ["evil.org/x?", "evil.org@good", 'a"b', "a b", "x" * 300])
def test_a_host_that_is_none_is_in_no_address(client: TestClient, host: str) -> None:
    (cited,) = annotations(client, **{"Host": host, "X-Forwarded-Host": "evil.org"})
    assert "evil" not in cited["url_citation"]["url"]
    assert cited["url_citation"]["url"].startswith("http://testserver")


def test_a_citation_of_an_uploaded_file_names_the_file(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    file_id = "file-" + "0a" * 16
    uploaded = replace(PASSAGE, source=f"{file_id}/handbook.md", title="")
    monkeypatch.setattr("serve_api.fakes.PASSAGE", uploaded)
    answer = post(client, "/v1/chat/completions", RAG)
    assert ChatCompletion.model_validate(answer)
    (cited,) = answer["choices"][0]["message"]["annotations"]
    assert cited["file_citation"] == {"file_id": file_id, "filename": "handbook.md", "index": 0}
    assert cited["url_citation"]["title"] == "handbook.md"


def test_a_passage_is_there_for_those_who_may_see_it(client: TestClient) -> None:
    found = client.get("/v1/vector_stores/docs/passages/c1").json()
    assert (found["id"], found["source"], found["metadata"]) == ("c1", "ray.md", {"lang": "en"})
    for path in ("docs/passages/c2", "docs/passages/c1?tenant=other", "others/passages/c1"):
        assert client.get(f"/v1/vector_stores/{path}").status_code == 404


# ------------------------------------------------------------ in the text


def marked(pieces: list[str], passages: tuple[Passage, ...] = (VERSION, LICENCE)) -> tuple[str, InlineCitations]:
    marks = InlineCitations(passages, [CitationLinks("https://here").url(p) for p in passages])
    return "".join(marks.push(piece) for piece in pieces) + marks.end(), marks


def test_sentences_that_repeat_a_passage_are_marked_and_the_sources_stand_at_the_end() -> None:
    text, marks = marked([ANSWER])
    assert text == (
        "Well. The installed version of Ray is 2.60.0. [1] I like it!\n\nIts licence is Apache 2.0 and no other [2]"
        "\n\nSources:\n[1] ray, https://here/v1/vector_stores/docs/passages/c1"
        "\n[2] https://example.org/licence, https://example.org/licence"
    )
    start = ANSWER.index("Its")
    assert text.__getitem__(slice(*marks.place_in_sent(start, len(ANSWER)))) == ANSWER[start:]


@given(st.lists(st.integers(0, len(ANSWER)), max_size=8))
def test_the_text_is_the_same_in_whatever_pieces_it_comes(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(ANSWER)]
    pieces = [ANSWER[a:b] for a, b in pairwise(places)]
    assert marked(pieces)[0] == marked([ANSWER])[0]


def test_a_sentence_that_the_model_has_marked_is_not_marked_again() -> None:
    text, _ = marked(["The installed version of ray is 2.60.0 [1]. It is not [7] at all."])
    assert text.startswith("The installed version of ray is 2.60.0 [1]. It is not [7] at all.\n\nSources:\n[1] ray, ")
    assert "[2]" not in text


def test_a_sentence_without_an_end_is_marked_in_parts_and_in_time() -> None:
    text, marks = marked(["and the installed version of ray is " * 10_000])
    assert len(marks.inserted) > 100
    assert text.startswith("and the installed version of ray is and")


def test_what_repeats_nothing_has_all_sources() -> None:
    text, _ = marked(["Nobody knows."])
    assert [line[:4] for line in text.splitlines()] == ["Nobo", "", "Sour", "[1] ", "[2] "]


def test_a_title_puts_no_markup_into_an_answer() -> None:
    hostile = replace(VERSION, title="![x](https://evil.org/?q=\n<img src=x>" + "y" * 500)
    text, _ = marked(["Nobody knows."], (hostile,))
    line = text.splitlines()[-1]
    assert line.startswith(r"[1] \!\[x\](https://evil.org/?q= \<img src=x\>")
    assert len(line) < 300


def test_citations_in_the_text_are_the_same_whole_and_streamed(client: TestClient, fakes: Fakes) -> None:
    fakes.texts = ["So. What is the version of ray is 2.60.0."]
    (choice,) = post(client, "/v1/chat/completions", INLINE)["choices"]
    text = choice["message"]["content"]
    assert text.startswith("So. What is the version of ray is 2.60.0. [1]\n\nSources:\n[1] ray, http://testserver/v1/")
    (cited,) = choice["message"]["annotations"]
    place = cited["url_citation"]
    assert text[place["start_index"] : place["end_index"]] == "version of ray is 2.60.0"
    chunks = chunks_of(client, "/v1/chat/completions", INLINE)
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == text
    answer = post(client, "/v1/rag/query", {"query": "x", "retrieval": {"citations": "inline"}})
    assert answer["answer"] == text


def test_the_server_may_put_citations_into_the_text_and_a_request_take_them_out(
    client: TestClient, fakes: Fakes
) -> None:
    fakes.texts = ["it is ray 2.60.0."]
    fakes.arguments = AppArguments(citations=CitationArguments(style="inline"))
    assert "Sources:" in post(client, "/v1/chat/completions", RAG)["choices"][0]["message"]["content"]
    plain: list[dict[str, Any]] = [
        {"retrieval": {"citations": "annotations"}},
        {"response_format": {"type": "json_object"}},
        {"tools": [WEATHER]},
        {"model": "base"},
    ]
    for change in plain:
        answer = post(client, "/v1/chat/completions", RAG | change)
        assert answer["choices"][0]["message"]["content"] == "it is ray 2.60.0."
    status, error = error_of(client, "/v1/retrieve", {"query": "x", "citations": "inline"})
    assert (status, error["param"]) == (400, "citations")
