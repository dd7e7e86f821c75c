"""What a message holds besides text is refused by what it is, with what to send instead."""

from typing import Any

import pytest
from fastapi.testclient import TestClient

from serve_api.fakes import CHAT, Fakes, error_of, post


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"type": "image_url", "image_url": {"url": "data:,"}}, "'image_url': the model reads no images; say in words"),
        ({"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}, "reads no audio; send its transcript"),
        ({"type": "video_url", "video_url": {"url": "x"}}, "reads no videos"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "reads no files; send its text, or upload it to /v1/files"),
    ],
)
def test_a_part_that_is_no_text_is_refused_by_what_it_is(
    client: TestClient, part: dict[str, Any], sentence: str
) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "what is this?"}, part]}
    status, error = error_of(client, "/v1/chat/completions", CHAT | {"messages": [message]})
    assert (status, error["param"]) == (400, "messages.0.content.1.type")
    assert sentence in error["message"]


def test_parts_of_text_are_read(client: TestClient, fakes: Fakes) -> None:
    message = {"role": "user", "content": [{"type": "text", "text": "what is "}, {"type": "text", "text": "an image?"}]}
    post(client, "/v1/chat/completions", CHAT | {"messages": [message]})
    assert [m.content for call in fakes.calls for m in call.messages or ()] == ["what is an image?"]
