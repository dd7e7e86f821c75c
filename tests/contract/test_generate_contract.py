"""What every `Generate` must do, in the same words for all: a served model, any endpoint, an engine in this process.

All three stand on the engine under test, so that all must say what transformers says alone.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import torch
import uvicorn
from engine_under_test import MAX_CONTEXT_TOKENS
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from plait.engines.engine import Engine
from plait.engines.generate import EngineGenerate
from plait.errors import InvalidInput, ModelNotFound, PlaitError
from plait.local.process import free_port
from plait.models.chat import FORMATS, chat_format_for
from plait.models.chat_endpoint import ChatEndpoint
from plait.models.generate import Generate
from plait.models.load import load_causal_lm
from plait.models.message import Message
from plait.models.tokenizer import load_tokenizer

pytestmark = pytest.mark.asyncio(loop_scope="session")
ADAPTER = "support"
Make = Callable[[str], Generate]
"""A `Generate` of the model `base` or `support`."""


class _Server(uvicorn.Server):
    """It stands until the session ends, and leaves signals to the tests that send some."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def listening(app: Any) -> AsyncIterator[str]:
    """The address at which an application answers."""
    port = free_port()
    # Where the machine stalls, no connection is closed that is about to be used.
    server = _Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off", timeout_keep_alive=600))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def in_process(engine: Engine, loras: dict[str, Path]) -> Make:
    await engine.load_adapter(ADAPTER, loras["two:1"])

    def make(model: str) -> Generate:
        return EngineGenerate(engine, FORMATS["plain"], None if model == "base" else model)

    return make


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def endpoint(in_process: Make) -> AsyncIterator[Make]:
    """A server of somebody else's: OpenAI's shapes, and nothing of Plait's."""
    app = FastAPI()

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> JSONResponse:
        body = await request.json()
        schema = body["response_format"]["json_schema"]["schema"] if "response_format" in body else None
        messages = [Message(said["role"], said["content"]) for said in body["messages"]]
        try:
            made = await in_process(body["model"]).generate(messages, body["max_tokens"], schema)
        except PlaitError as error:
            return JSONResponse({"error": {"message": str(error)}}, error.http_status)
        reply = {"index": 0, "message": {"role": "assistant", "content": made.text}}
        usage = {"prompt_tokens": made.prompt_tokens, "completion_tokens": made.generated_tokens, "total_tokens": 0}
        about = {"id": "1", "object": "chat.completion", "created": 1, "model": body["model"], "usage": usage}
        finish = {"finish_reason": "length" if made.is_cut else "stop"}
        return JSONResponse(about | {"choices": [reply | finish]})

    async with listening(app) as url, AsyncExitStack() as opened:
        yield lambda model: opened.push_async_exit(ChatEndpoint(model, f"{url}/v1"))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def deployed(
    engine: Engine, loras: dict[str, Path], tiny_llama: Path, plait_home: Path, tracking: None
) -> AsyncIterator[Any]:
    """A handle on Plait's LLM deployment, which has no Ray around it here."""
    pytest.importorskip("ray")
    from plait.observability import metrics
    from plait.serve.deployments import llm
    from plait.serve.messages.arguments import LLMArguments

    folder = plait_home / "adapters" / ADAPTER
    shutil.copytree(loras["two:1"], folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llm, "make_engine", lambda *_: engine)
        deployment = llm.LLM.__new__(llm.LLM)
        await deployment.__init__(LLMArguments(model=str(tiny_llama)), 0)  # type: ignore[misc]
    metrics.LLM_REPLICAS.set(0)  # it is none of a cluster's
    await deployment.load_adapter(ADAPTER, str(folder), False)
    yield _Handle(deployment)
    await deployment.unload_adapter(ADAPTER)  # servers of this home would serve it, too
    shutil.rmtree(folder)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def served(deployed: Any) -> AsyncIterator[Make]:
    """Plait's own API in front of its LLM deployment."""
    from plait.serve.api.services import Deployments, deployments
    from plait.serve.ingress import build_api
    from plait.serve.messages.arguments import AppArguments

    api = build_api()
    behind = Deployments(deployed, arguments=AppArguments(default_max_tokens=16))
    api.dependency_overrides[deployments] = lambda: behind
    async with listening(api) as url, AsyncExitStack() as opened:
        yield lambda model: opened.push_async_exit(ChatEndpoint.served(model, url))


@pytest.fixture
def past_the_api(deployed: Any) -> Make:
    """The LLM deployment itself."""
    from plait.serve.deployments.llm_generate import LLMGenerate

    return lambda model: LLMGenerate(deployed, model)


class _Handle:
    """A handle on a deployment in this process, as far as the API uses it for chat."""

    def __init__(self, deployment: Any) -> None:
        self._deployment = deployment

    def options(self, **_: Any) -> "_Handle":
        return self

    @property
    def generate(self) -> Any:
        deployment = self._deployment

        class Method:
            def remote(self, call: Any) -> Any:
                return _Response(deployment.generate(call))

        return Method()


class _Response:
    def __init__(self, events: Any) -> None:
        self._events = events

    def __aiter__(self) -> Any:
        return self._events

    def cancel(self) -> None:
        """The events end with the task that reads them."""


@pytest.fixture(params=["in_process", "endpoint", "served", "past_the_api"])
def make(request: pytest.FixtureRequest) -> Make:
    """The implementation under test."""
    made: Make = request.getfixturevalue(request.param)
    return made


def asking(content: str) -> list[Message]:
    return [Message("system", "Be brief."), Message("user", content)]


@pytest.fixture(scope="session")
def reference(tiny_llama: Path, loras: dict[str, Path]) -> Callable[[str, str], str]:
    """The reply by transformers' own generate, without what comes from a next question on."""
    from peft import PeftModel

    tokenizer = load_tokenizer(tiny_llama)
    adapted = PeftModel.from_pretrained(load_causal_lm(tiny_llama, "float32"), loras["two:1"])
    models = {"base": load_causal_lm(tiny_llama, "float32"), ADAPTER: adapted}

    def text(model: str, content: str) -> str:
        prompt = chat_format_for(tokenizer).render(asking(content))
        ids = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        with torch.no_grad():
            out = models[model].generate(**ids, max_new_tokens=12, do_sample=False)
        made = str(tokenizer.decode(out[0, ids["input_ids"].shape[1] :], skip_special_tokens=True))
        return made.split("\nQuestion:")[0].rstrip("\ufffd")

    return text


async def test_the_reply_is_the_models_likeliest(make: Make, reference: Callable[[str, str], str]) -> None:
    for model in ("base", ADAPTER):
        made = await make(model).generate(asking("which version?"), 12)
        assert made.text.rstrip("\ufffd") == reference(model, "which version?")


async def test_many_at_once_each_get_their_own_reply(make: Make, reference: Callable[[str, str], str]) -> None:
    model, questions = make("base"), [f"question {number}" for number in range(24)]  # more than may be under way
    made = await asyncio.gather(*(model.generate(asking(question), 12) for question in questions))
    texts = [each.text.rstrip("\ufffd") for each in made]
    assert texts == [reference("base", question) for question in questions]
    assert len(set(texts)) > 1


async def test_a_reply_follows_its_schema(make: Make) -> None:
    schema = {
        "type": "object",
        "properties": {"verdict": {"enum": ["yes", "no"]}},
        "required": ["verdict"],
        "additionalProperties": False,
    }
    made = await make("base").generate(asking("is it?"), 60, schema)
    assert json.loads(made.text)["verdict"] in ("yes", "no")
    assert not made.is_cut


async def test_tokens_are_counted_and_a_reply_that_is_cut_says_so(make: Make) -> None:
    made = await make("base").generate(asking("which version?"), 3)
    assert (made.is_cut, made.generated_tokens) == (True, 3)
    assert made.prompt_tokens is not None
    assert 10 < made.prompt_tokens < 100


async def test_a_conversation_beyond_the_context_is_refused(make: Make) -> None:
    with pytest.raises(InvalidInput, match=rf"context of {MAX_CONTEXT_TOKENS} tokens"):
        await make("base").generate(asking("word " * 1000), 4)


async def test_a_schema_that_cannot_be_followed_is_refused(make: Make) -> None:
    with pytest.raises(InvalidInput, match="JSON schema cannot be followed"):
        await make("base").generate(asking("x"), 4, {"type": "no such type"})


async def test_an_adapter_that_is_not_there_is_said(make: Make) -> None:
    with pytest.raises(ModelNotFound):
        await make("nobody").generate(asking("x"), 4)


async def test_a_reply_may_be_given_up(make: Make) -> None:
    asked: Awaitable[Any] = make("base").generate(asking("x"), 400)
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(asked, 0.005)
    assert (await make("base").generate(asking("x"), 2)).text is not None
