"""`auto`: the policy's best arm answers, as far as the key may use it and it can; the answer says which and why."""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from counted import counting
from fastapi.testclient import TestClient

from plait.api_keys import ApiKey
from plait.chat_client import TASK_HEADER
from plait.engines.engine import Sampling
from plait.errors import Forbidden, InvalidInput, Overloaded, PlaitError, Unavailable
from plait.evaluation.live.answer import LiveAnswer
from plait.evaluation.live.route import Route
from plait.model_ids import ModelId
from plait.models.message import Message
from plait.models.vectors import VectorKind
from plait.observability import metrics
from plait.retrieval.question import EmbeddedQuestions
from plait.retrieval.request import Retrieval
from plait.routing.policies.rules import RulesConfig
from plait.routing.policy import Policy, RankedArm, RoutedArm, RouteRequest
from plait.scope import Scope
from plait.serve.api.auto import AutoRouter
from plait.serve.api.caller import Caller
from plait.serve.api.reviews import Reviews
from plait.serve.api.services import Deployments, Services, services
from plait.serve.ingress import build_api
from plait.serve.messages.arguments import AppArguments
from plait.serve.messages.calls import Call, Event, Retrieved
from plait.serve.messages.rollouts import RolloutPart
from plait.serve.messages.routing_arguments import RoutingArguments
from plait.serve.routing.followed import LoadedPolicy
from serve_api.fakes import CHAT, PASSAGE, chunks_of, error_of, post

AUTO = CHAT | {"model": "auto"}
SUPPORT, RAG, BASE = (
    RoutedArm(model=model, name=model, accuracy=accuracy, tokens=tokens)
    for model, accuracy, tokens in (("support:1", 0.7, 30.0), ("rag/base", 0.8, 230.0), ("base", 0.4, 20.0))
)


class Ranked:
    """A policy that ranks its arms as they stand, from 0.9 down; it needs embeddings where `vectors` says so."""

    def __init__(self, *arms: RoutedArm, vectors: VectorKind | None = None) -> None:
        self.arms, self.vectors = arms, vectors

    def rank(self, request: RouteRequest) -> list[RankedArm]:
        usable = [arm for arm in self.arms if request.may_use(arm)]
        return [RankedArm(arm, round(0.9 - place / 10, 1), f"It is {place}.") for place, arm in enumerate(usable)]


class Server(Services):
    """Services whose arms answer with their name, or fail; `seen`: the calls that they got."""

    def __init__(
        self,
        policy: Policy | None,
        *,
        key: ApiKey | None = None,
        errors: Mapping[str, PlaitError] | None = None,
        embedder: Any = None,
        **routing: Any,
    ) -> None:
        arguments = AppArguments.model_validate(
            {
                "routing": {"policy": "made@champion"} | routing,
                "answers": {"keep": "all"},
                "retrieval": {"collection": "docs"},
            }
        )
        loaded = None if policy is None else LoadedPolicy("made:1", policy)

        async def current() -> LoadedPolicy | None:
            return loaded

        assert arguments.routing is not None
        followed: Any = SimpleNamespace(current=current)
        self.auto = AutoRouter(arguments.routing, embedder, followed)
        self.auto.chance = random.Random(0)
        self.seen: list[Call] = []
        self.errors = errors or {}
        nothing: Any = None
        found = Retrieved((PASSAGE,), ("docs",), Retrieval(), {"total": 1.0})
        retriever: Any = SimpleNamespace(retrieve=SimpleNamespace(remote=lambda *asked: _soon(found)))
        there = Deployments(nothing, retriever, arguments=arguments, auto=self.auto)
        super().__init__(there, Caller(frozenset({Scope.INFER}), key))

    async def _generated(self, call: Call) -> AsyncGenerator[Event]:
        self.seen.append(call)
        if str(call.model) in self.errors:
            raise self.errors[str(call.model)]
        yield Event("he", 7, 1, answered_by=str(call.model), passages=call.passages)
        yield Event("llo", 7, 2, "stop", answered_by=str(call.model))

    @property
    def asked(self) -> list[str]:
        return [("rag/" if call.passages else "") + str(call.model).removeprefix("rag/") for call in self.seen]


async def _soon(value: Any) -> Any:
    return value


def call(**fields: Any) -> Call:
    return Call(ModelId.parse("auto"), Sampling(max_tokens=8), (Message("user", "why?"),), **fields)


async def route_of(server: Server, asked: Call | None = None) -> Route:
    (events,) = server.answers([asked or call()])
    first, *_ = [event async for event in events]
    assert first.route is not None
    return first.route


def key(**bound: Any) -> ApiKey:
    return ApiKey(id="k", name="batch", sha256="", created_at=0, **bound)


def client_of(server: Server) -> TestClient:
    api = build_api()
    api.dependency_overrides[services] = lambda: server
    return TestClient(api, raise_server_exceptions=False)


# ------------------------------------------------------------ what an answer says


def test_an_answer_says_its_route_whole_and_streamed() -> None:
    client = client_of(Server(Ranked(RAG, SUPPORT)))
    expected = {
        "kind": "rag",
        "arm": "rag/base",
        "policy": "made:1",
        "reason": "It is 0.",
        "probabilities": {"rag/base": 0.9, "support:1": 0.8},
        "expected_quality": 0.9,
        "expected_tokens": 230.0,
        "explored": False,
        "propensity": None,
    }
    whole = post(client, "/v1/chat/completions", AUTO)
    assert (whole["model"], whole["plait"]["model"], whole["plait"]["route"]) == ("auto", "rag/base", expected)
    assert whole["choices"][0]["message"]["annotations"][0]["source"] == "ray.md"
    assert chunks_of(client, "/v1/chat/completions", AUTO)[-1]["plait"]["route"] == expected
    of_messages = post(client, "/v1/messages", AUTO | {"max_tokens": 9})
    of_responses = post(client, "/v1/responses", {"model": "auto", "input": "hi", "store": False})
    assert of_messages["plait"]["route"] == of_responses["plait"]["route"] == expected


@pytest.mark.parametrize(("arms", "types"), [((RAG,), ["file_search_call", "message"]), ((SUPPORT,), ["message"])])
def test_a_search_that_a_response_may_make_is_made_where_the_arm_retrieves(
    arms: tuple[RoutedArm, ...], types: list[str]
) -> None:
    body = {"model": "auto", "input": "hi", "store": False}
    tools = {"tools": [{"type": "file_search", "vector_store_ids": ["docs"]}]}
    response = post(client_of(Server(Ranked(*arms))), "/v1/responses", body | tools)
    assert [item["type"] for item in response["output"]] == types


def test_other_answers_say_theirs_shortly() -> None:
    said = post(client_of(Server(Ranked(RAG))), "/v1/chat/completions", CHAT)
    assert said["plait"]["route"] == {"kind": "direct", "arm": "base"}


def test_an_answer_costs_what_its_arm_costs() -> None:
    server = Server(Ranked(RAG))
    prices = {"rag/base": {"prompt": 1e6, "completion": 0}, "all": {"prompt": 0, "completion": 0}}
    server.arguments = AppArguments.model_validate({"prices": prices})
    cost = counting(metrics.ANSWER_COST, model_name="auto")
    assert post(client_of(server), "/v1/chat/completions", AUTO)["plait"]["cost"] == cost() == 7


def test_without_routing_auto_is_refused_and_with_it_listed() -> None:
    server = Server(Ranked(RAG))
    cards: Any = SimpleNamespace(models=SimpleNamespace(remote=lambda: _soon([])))
    server._llm = cards
    client = client_of(server)
    assert [card["id"] for card in client.get("/v1/models").json()["data"]] == ["auto"]
    server._auto = None
    assert client.get("/v1/models").json()["data"] == []
    status, error = error_of(client, "/v1/chat/completions", AUTO)
    assert (status, error["code"]) == (404, "model_not_found")
    assert error["message"].startswith("'auto' has no routing policy here.")


def test_a_bare_prompt_is_no_question() -> None:
    status, error = error_of(client_of(Server(Ranked(RAG))), "/v1/completions", {"model": "auto", "prompt": "hi"})
    assert (status, error["message"]) == (400, "'auto' needs a message of the user to choose by.")


def test_tasks_of_a_client_are_not_routed() -> None:
    server = Server(Ranked(RAG))
    post(client_of(server), "/v1/chat/completions", AUTO, **{TASK_HEADER: "title_generation"})
    assert server.asked == ["base"]


# ------------------------------------------------------------ who may use what


async def test_a_key_never_gets_an_adapter_that_it_may_not_use() -> None:
    server = Server(Ranked(SUPPORT, BASE, RAG), key=key(adapters=()))
    route = await route_of(server)
    assert (route.arm, server.asked) == ("base", ["base"])
    assert "support:1" not in route.probabilities


async def test_nor_one_that_a_policy_chooses_although_it_was_told() -> None:
    class Stubborn(Ranked):
        def rank(self, request: RouteRequest) -> list[RankedArm]:
            return super().rank(replace(request, usable=None))

    server = Server(Stubborn(SUPPORT, BASE), key=key(adapters=()))
    route = await route_of(server)
    assert (route.arm, server.asked) == ("base", ["base"])
    assert route.reason == "support:1 could not answer (forbidden). It is 1."
    with pytest.raises(Forbidden, match="may not use 'support:1'"):
        await route_of(Server(Stubborn(SUPPORT, BASE), key=key(adapters=()), errors={"base": Unavailable("Gone.")}))


async def test_a_key_of_other_collections_is_searched_for_in_its_own() -> None:
    server = Server(Ranked(RAG), key=key(collections=("mine",)))
    route = await route_of(server)
    assert (route.arm, route.collection, route.key) == ("rag/base", "mine", "batch")
    assert [each.retrieval.named for each in server.seen if each.retrieval] == [("mine",)]
    with pytest.raises(Forbidden, match="may not use the collection 'docs'"):
        server.answers([call(retrieval=Retrieval(collection="docs"))])


async def test_a_key_that_may_use_no_arm_is_told() -> None:
    with pytest.raises(Forbidden, match="may use none of the arms"):
        await route_of(Server(Ranked(SUPPORT), key=key(adapters=("sales",))))


async def test_nor_is_it_sent_where_no_rule_sends_the_question() -> None:
    rules = {"default": "support:1", "rules": [{"language": "de", "arm": "base"}]}
    server = Server(RulesConfig.model_validate(rules).open({}), key=key(adapters=()))
    assert (await route_of(server, call(language="de"))).arm == "base"
    with pytest.raises(Forbidden, match="chooses for this question"):
        await route_of(server, call(language="en"))


# ------------------------------------------------------------ arms that cannot answer


@pytest.mark.parametrize("error", [Overloaded("Full."), Unavailable("Gone."), InvalidInput("No adapter of this base.")])
async def test_an_arm_that_is_down_is_passed_over_and_that_is_said(error: PlaitError) -> None:
    server = Server(Ranked(SUPPORT, RAG), errors={"support:1": error})
    passed = counting(metrics.ROUTE_PASSED_OVER, arm="support:1", reason=error.code)
    routed = counting(metrics.ROUTED, arm="rag/base", policy="made:1", how="next_best")
    route = await route_of(server)
    assert route.arm == "rag/base"
    assert route.reason == f"support:1 could not answer ({error.code}). It is 1."
    assert (passed(), routed()) == (1, 1)


async def test_when_all_are_down_the_best_ones_error_is_told() -> None:
    server = Server(Ranked(SUPPORT, RAG), errors={"support:1": Overloaded("Full."), "rag/base": Unavailable("Gone.")})
    with pytest.raises(Overloaded):
        await route_of(server)


async def test_after_the_first_token_nobody_else_is_asked() -> None:
    class Breaks(Server):
        async def _generated(self, call: Call) -> AsyncGenerator[Event]:
            self.seen.append(call)
            yield Event("he", 7, 1)
            raise Unavailable("Died.")

    server = Breaks(Ranked(SUPPORT, BASE))
    with pytest.raises(Unavailable):
        await route_of(server)
    assert server.asked == ["support:1"]


async def test_an_arm_that_would_be_late_comes_last() -> None:
    server = Server(Ranked(SUPPORT, BASE))
    for _ in range(5):
        server.auto.paces.add("support:1", 9.0)
    assert (await route_of(server, call(deadline_s=60.0))).arm == "support:1"
    late = counting(metrics.ROUTE_PASSED_OVER, arm="support:1", reason="late")
    route = await route_of(server, call(deadline_s=2.0))
    assert route.arm == "base"
    assert route.reason.startswith("support:1 would be too late: it takes 9 s of the 2 s left.")
    assert late() == 1


async def test_choices_of_one_request_are_answered_by_one_arm() -> None:
    server = Server(Ranked(RAG, BASE), explore=1.0)
    answers = server.answers([call()] * 4)

    async def arm(events: AsyncGenerator[Event]) -> str:
        first, *_ = [event async for event in events]
        assert first.route is not None
        return first.route.arm

    assert len(set(await asyncio.gather(*map(arm, answers)))) == 1


# ------------------------------------------------------------ what the policy is told


class Embedder:
    """Says one vector, or does what `fails` does."""

    def __init__(self, fails: Callable[[], Any] | None = None) -> None:
        self.kinds: list[VectorKind] = []
        self.fails = fails
        self.embed_as = SimpleNamespace(remote=self._embed)

    async def _embed(self, kind: VectorKind, questions: list[str]) -> EmbeddedQuestions:
        self.kinds.append(kind)
        if self.fails is not None:
            await self.fails()
        return EmbeddedQuestions(np.ones((1, 1), np.float32), (False,))


class Needy(Ranked):
    """Does not rank without an embedding."""

    def __init__(self) -> None:
        super().__init__(SUPPORT, RAG, vectors=VectorKind("made", 1))

    def rank(self, request: RouteRequest) -> list[RankedArm]:
        assert request.embedding is not None
        return super().rank(request)


async def test_a_question_is_embedded_only_where_the_policy_needs_it() -> None:
    embedder = Embedder()
    await route_of(Server(Ranked(SUPPORT), embedder=embedder))
    assert embedder.kinds == []
    assert (await route_of(Server(Needy(), embedder=embedder))).arm == "support:1"
    assert embedder.kinds == [VectorKind("made", 1)]


async def test_without_its_embedding_the_arm_that_is_right_most_often_answers() -> None:
    async def fail() -> None:
        raise Unavailable("Died.")

    abstained = counting(metrics.ROUTE_ABSTENTIONS, policy="made:1", reason="no_embedding")
    route = await route_of(Server(Needy(), embedder=Embedder(fail)))
    assert (route.arm, abstained()) == ("rag/base", 1)
    assert "could not be embedded" in route.reason


async def test_while_no_policy_could_be_loaded_the_fallback_answers() -> None:
    abstained = counting(metrics.ROUTE_ABSTENTIONS, reason="no_policy")
    route = await route_of(Server(None, fallback="support:1"))
    assert (route.arm, route.policy, abstained()) == ("support:1", "", 1)
    with pytest.raises(Forbidden):
        await route_of(Server(None, fallback="support:1", key=key(adapters=())))


def test_rules_know_the_language_the_key_and_the_collection() -> None:
    rules = RulesConfig.model_validate(
        {
            "default": "base",
            "rules": [
                {"language": "de", "arm": "rag/support"},
                {"key": "batch", "arm": "support:1"},
                {"collection": "docs", "arm": "rag/base"},
            ],
        }
    ).open({})

    def arm(server: Server, **headers: str) -> str:
        return str(post(client_of(server), "/v1/chat/completions", AUTO, **headers)["plait"]["route"]["arm"])

    assert arm(Server(rules), **{"Content-Language": "de-CH"}) == "rag/support"
    assert arm(Server(rules, key=key())) == "support:1"
    assert arm(Server(rules), **{"Content-Language": "no language at all"}) == "rag/base"
    assert arm(Server(rules, key=key(collections=("mine",), adapters=()))) == "base"


# ------------------------------------------------------------ chance


async def test_a_share_is_drawn_and_says_how_likely_it_was() -> None:
    server = Server(Ranked(SUPPORT, RAG, BASE), explore=0.3)
    routes = [await route_of(server) for _ in range(400)]
    explored = [route for route in routes if route.is_explored]
    assert 90 < len(explored) < 150
    assert {route.arm for route in explored} == {"support:1", "rag/base", "base"}
    assert {round(route.propensity or 0, 6) for route in routes if route.arm == "support:1"} == {0.8}
    assert {round(route.propensity or 0, 6) for route in routes if route.arm == "base"} == {0.1}
    assert all(route.candidates == ("support:1", "rag/base", "base") for route in routes)
    assert explored[0].reason.startswith("It was drawn at random (routing.explore).")


async def test_the_next_best_was_not_drawn() -> None:
    server = Server(Ranked(SUPPORT, BASE), explore=0.3, errors={"support:1": Overloaded("Full.")})
    routes = [await route_of(server) for _ in range(40)]
    assert {route.propensity for route in routes if "could not answer" in route.reason} == {None}


def test_arguments_that_cannot_be_are_said() -> None:
    for routing, said in (
        ({}, "either policy, which was learned, or rules"),
        ({"policy": "a", "rules": "b.yaml"}, "either policy"),
        ({"policy": "rag/support"}, "is no name of a policy"),
        ({"rules": "r.yaml", "fallback": "auto"}, "an arm cannot be auto"),
        ({"rules": "r.yaml", "fallback": "a b"}, "'a b' is no adapter name"),
    ):
        with pytest.raises(ValueError, match=said):
            RoutingArguments.model_validate(routing)
    with pytest.raises(ValueError, match="nothing is kept"):
        AppArguments.model_validate({"routing": {"policy": "a", "explore": 0.1}})


async def test_a_routed_answer_is_reviewed_with_its_route_and_counted_for_its_arms_adapter() -> None:
    server = Server(Ranked(SUPPORT, BASE), explore=1.0)
    taken: list[LiveAnswer] = []

    async def review(answer: LiveAnswer, is_judged: bool, part: RolloutPart | None) -> None:
        taken.append(answer)

    reviewer: Any = SimpleNamespace(review=SimpleNamespace(remote=review))
    server._reviews = Reviews(reviewer, server.arguments)
    answered = counting(metrics.REQUESTS, model_name="auto", adapter="support", outcome="ok")
    transport = httpx.ASGITransport(app=client_of(server).app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for _ in range(50):  # each is drawn with one half
            await client.post("/v1/chat/completions", json=AUTO)
            if taken and taken[-1].adapter == "support":
                break
    last = taken[-1]
    assert (last.model, last.answered_by, last.tokens) == ("auto", "support:1", 9)
    assert last.route is not None
    assert (last.route.arm, last.route.propensity, answered()) == ("support:1", 0.5, 1)
