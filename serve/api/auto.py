"""`auto`: the policy says which arm should answer, and the arm is asked as if the caller had named it.

In: a call for `auto`. Out: the events of the arm's answer; the first says the route. Where an arm cannot answer, the
next best is asked, as long as nothing was sent. Access is the business of whoever asks an arm here: it is checked after
the policy chose, as for any other request.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace

from ray.serve.handle import DeploymentHandle

from plait.errors import DeadlineExceeded, Forbidden, InvalidInput
from plait.evaluation.live.route import Route
from plait.model_ids import ModelId
from plait.models.vectors import VectorKind, Vectors
from plait.observability import metrics, tracing
from plait.retrieval.question import MAX_CHARACTERS, EmbeddedQuestions, Question
from plait.routing.policy import RankedArm, RoutedArm, RouteRequest
from plait.serve.api.errors import as_plait_error
from plait.serve.messages.calls import Call, Event
from plait.serve.messages.routing_arguments import RoutingArguments
from plait.serve.routing.arm_paces import ArmPaces
from plait.serve.routing.drift_window import DriftWindow
from plait.serve.routing.followed import FollowedPolicy, LoadedPolicy, PolicySource
from plait.serve.routing.plan import Plan, plan

_EMBED_PATIENCE_S = 2.0
"""An embedder that takes longer is as good as none: the question is answered without the policy."""


class AutoRouter:
    """What one replica of the API routes `auto` by.

    Args:
        policy: the policy that is followed; None: as `how` says.
    """

    def __init__(
        self, how: RoutingArguments, embedder: DeploymentHandle | None, policy: FollowedPolicy | None = None
    ) -> None:
        self.how = how
        self._embedder = embedder
        self.policy = policy or FollowedPolicy(PolicySource(how).load)
        self.paces, self.drift, self.chance = ArmPaces(), DriftWindow(), random.Random()

    async def embed(self, kind: VectorKind, question: str) -> Vectors | None:
        """The question's embedding, float32 [dimension]; None when it cannot be had now."""
        if self._embedder is None:
            return None
        started = time.perf_counter()
        try:
            async with asyncio.timeout(_EMBED_PATIENCE_S):
                found: EmbeddedQuestions = await self._embedder.embed_as.remote(kind, [question])
        except Exception as error:
            as_plait_error(error)  # into the log, where it is none to expect
            return None
        metrics.ROUTE_SECONDS.labels("embed").observe(time.perf_counter() - started)
        vector: Vectors = found.vectors[0]
        return vector


@dataclass(frozen=True)
class Asking:
    """Who asks for `auto`, and how arms are asked for them.

    Attributes:
        may_use: whether the caller may use an arm.
        ask: the events of an arm's answer; refuses what the caller may not use.
        collection: that would be searched; empty: none.
        key: the name of the API key; empty: there is none.
    """

    may_use: Callable[[ModelId], bool]
    ask: Callable[[Call], AsyncGenerator[Event]]
    collection: str = ""
    key: str = ""


class AutoRoute:
    """One request for `auto`. All its choices are put to the same arm first."""

    def __init__(self, router: AutoRouter, asking: Asking) -> None:
        self._router, self._asking = router, asking
        self._planning = asyncio.Lock()
        self._plan: Plan | None = None

    async def answer(self, call: Call) -> AsyncGenerator[Event]:
        """The events of an answer; the first has the route.

        Raises:
            InvalidInput: without a question.
            Forbidden: when the caller may use no arm.
            PlaitError: what the best arm raised, when none that was asked could answer.
        """
        started = time.perf_counter()
        async with self._planning:
            if self._plan is None:
                with tracing.span("choose", call.traceparent, {"plait.request_id": call.request_id}) as step:
                    self._plan = await self._planned(call)
                    step.span.set_attribute("plait.policy", self._plan.route.policy)
                    step.span.set_attribute("plait.arm", self._plan.order[0].arm.model)
        chosen = self._plan
        notes: list[str] = []
        first_error: Exception | None = None
        for place, ranked in enumerate(chosen.order):
            has_begun, asked_at = False, time.perf_counter()
            try:
                async with aclosing(self._asking.ask(_for_arm(call, ranked.arm, asked_at - started))) as events:
                    async for event in events:
                        if not has_begun:
                            has_begun = True
                            event = replace(event, route=self._counted(chosen.route_of(place, notes), place))
                        yield event
                self._router.paces.add(ranked.arm.model, time.perf_counter() - asked_at)
                return
            except Exception as error:
                known = as_plait_error(error)
                if has_begun or isinstance(known, DeadlineExceeded):
                    raise
                first_error = first_error or error
                _pass_over(ranked.arm.model, known.code)
                notes.append(f"{ranked.arm.model} could not answer ({known.code}).")
        assert first_error is not None  # a plan has an arm
        raise first_error

    async def _planned(self, call: Call) -> Plan:
        questions = [message.content for message in call.messages or () if message.role == "user"]
        if not questions:
            raise InvalidInput("'auto' needs a message of the user to choose by.")
        loaded = await self._router.policy.current()
        about = Route(
            arm="",
            policy=loaded.name if loaded else "",
            reason="",
            collection=self._asking.collection,
            language=call.language,
            key=self._asking.key,
        )
        if loaded is None:
            return Plan((self._fallback(),), about)
        usable = [arm for arm in loaded.policy.arms if self._asking.may_use(ModelId.parse(arm.model))]
        if not usable:
            raise Forbidden("This key may use none of the arms that 'auto' chooses from.", "Ask for base.")
        asked = Question.of(questions[-1])
        text = asked.text if asked else questions[-1][:MAX_CHARACTERS]
        arrived = time.perf_counter()
        kind = loaded.policy.vectors
        embedding = None if kind is None else await self._router.embed(kind, text)
        began = time.perf_counter()
        request = RouteRequest(
            text, embedding, about.collection, about.language, about.key, frozenset(arm.model for arm in usable)
        )
        ranked = self._ranked(loaded, request, usable)
        if not ranked:  # rules may fit for arms of others alone
            raise Forbidden("This key may use none of the arms that 'auto' chooses for this question.", "Ask for base.")
        self._router.drift.add(loaded, text, embedding)
        left_s = None if call.deadline_s is None else call.deadline_s - (began - arrived)
        found = plan(ranked, about, self._router.paces.usual_s, left_s, self._router.how.explore, self._router.chance)
        metrics.ROUTE_SECONDS.labels("choose").observe(time.perf_counter() - began)
        for arm in found.late:
            _pass_over(arm, "late")
        return found

    def _fallback(self) -> RankedArm:
        model = self._router.how.fallback
        metrics.ROUTE_ABSTENTIONS.labels("", "no_policy").inc()
        return RankedArm(RoutedArm(model=model, name=model), None, "No policy could be loaded yet.")

    def _ranked(self, loaded: LoadedPolicy, request: RouteRequest, usable: list[RoutedArm]) -> list[RankedArm]:
        """What the policy says; where it cannot, the arms by how often they were right."""
        policy = metrics.policy_label(loaded.name)
        if loaded.policy.vectors is not None and request.embedding is None:
            metrics.ROUTE_ABSTENTIONS.labels(policy, "no_embedding").inc()
            return _by_accuracy(usable, "The question could not be embedded; this arm is right most often.")
        return loaded.policy.rank(request)

    def _counted(self, route: Route, place: int) -> Route:
        how = "explored" if route.is_explored else "chosen" if place == 0 else "next_best"
        metrics.ROUTED.labels(metrics.model_label(route.arm), metrics.policy_label(route.policy), how).inc()
        return route


def _for_arm(call: Call, arm: RoutedArm, spent_s: float) -> Call:
    """The call as if the arm had been asked for, so much later."""
    model = ModelId.parse(arm.model)
    left_s = None if call.deadline_s is None else max(0.0, call.deadline_s - spent_s)
    return replace(call, model=model, retrieval=call.retrieval if model.with_retrieval else None, deadline_s=left_s)


def _by_accuracy(arms: list[RoutedArm], reason: str) -> list[RankedArm]:
    """Arms by how often they were right, of equal ones the cheapest first."""
    ordered = sorted(arms, key=lambda arm: (-(arm.accuracy or 0.0), arm.tokens or 0.0))
    return [RankedArm(arm, arm.accuracy, reason) for arm in ordered]


def _pass_over(arm: str, reason: str) -> None:
    metrics.ROUTE_PASSED_OVER.labels(metrics.model_label(arm), reason).inc()
