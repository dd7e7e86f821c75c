"""Asks the models: from a request for text to the answer that grows, and the events that it grows by.

In: a body of chat or of completions, whichever route made it. Out: an `Asked`. Every route that generates goes through
here; how its answer looks is the route's own.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from plait.errors import InvalidField
from plait.serve.api.accounting import recorded
from plait.serve.api.answer import Answer
from plait.serve.api.citations import CitationLinks
from plait.serve.api.client_tasks import is_client_task
from plait.serve.api.completion_requests import CompletionRequest
from plait.serve.api.generation_requests import ChatCompletionRequest, GenerationBody
from plait.serve.api.merged_events import Indexed, merged, until_deadline
from plait.serve.api.request_context import RequestContext
from plait.serve.api.services import Services
from plait.serve.api.tool_calls import ToolCallReader
from plait.serve.messages.arguments import PriceOf
from plait.serve.messages.calls import Call


@dataclass(frozen=True)
class Asked:
    """A request under way.

    Attributes:
        answer: what grows by the events.
        events: of every choice as they come, recorded; closing them cancels all. The first raises what keeps the
            request from an answer, which is still an HTTP status; after it, only an event can tell.
    """

    answer: Answer
    events: AsyncGenerator[Indexed]

    async def answered(self) -> Answer:
        """Wait for the end; returns the answer.

        Raises:
            DeadlineExceeded: when nothing was generated until the deadline.
        """
        async for index, event in self.events:
            self.answer.add(index, event)
        return self.answer


def ask_chat(
    body: ChatCompletionRequest,
    services: Services,
    context: RequestContext,
    changed: Callable[[Call], Call] = lambda call: call,
) -> Asked:
    """Ask for the answer to a conversation; the calls of tools are found in it where there may be any.

    `changed`: what a route has its calls be, beyond what the body says.

    Raises:
        InvalidField: when it asks for more choices than the server holds.
    """
    calls = [changed(call) for call in _calls_of(body, services, context)]
    answer = _chat_answer(body, calls, services, context)
    events = _events_of(body, calls, services, context)
    is_of_the_user = not is_client_task(calls[0], context.client_task)
    return Asked(answer, _reviewed(events, answer, services) if is_of_the_user else events)


def ask_completions(body: CompletionRequest, services: Services, context: RequestContext) -> Asked:
    """Ask for what continues a text, or each of several.

    Raises:
        InvalidField: when it asks for more choices than the server holds.
    """
    calls = _calls_of(body, services, context)
    answer = Answer(
        calls,
        is_chat=False,
        n=body.n,
        logprobs_shown=body.logprobs,
        prompt_logprobs_shown=body.prompt_logprobs,
        names_ids=body.return_tokens_as_token_ids,
        price_of=_prices(services, context),
    )
    return Asked(answer, _events_of(body, calls, services, context))


def _calls_of(
    body: ChatCompletionRequest | CompletionRequest, services: Services, context: RequestContext
) -> list[Call]:
    """The calls that a request means, one a prompt."""
    server = services.arguments
    deadline_s = context.timeout_s or server.default_timeout_s
    calls = body.calls(server.default_max_tokens)
    choices = len(calls) * body.n
    if choices > server.llm.max_requests:  # it would never be answered
        raise InvalidField(
            f"The request asks for {choices} choices, and this server holds {server.llm.max_requests} at once.",
            "Ask for fewer: lower n, or send fewer prompts.",
            "n" if body.n > 1 else "prompt",
        )
    return [
        replace(
            call,
            is_streamed=body.stream,
            request_id=context.id,
            traceparent=context.step.traceparent,
            deadline_s=deadline_s,
            language=context.language,
            session=context.session or body.safety_identifier or body.user or "",
        )
        for call in calls
    ]


def _chat_answer(
    body: ChatCompletionRequest, calls: Sequence[Call], services: Services, context: RequestContext
) -> Answer:
    readers = None
    if body.may_call_tools:
        names = [tool.name for tool in calls[0].tools]
        readers = [
            ToolCallReader(names, body.must_call_a_tool, is_parallel=body.parallel_tool_calls) for _ in range(body.n)
        ]
    options = body.retrieval
    tenant = options.tenant if options is not None and "tenant" in options.model_fields_set else None
    citations = services.arguments.citations
    style = (options.citations if options is not None else None) or citations.style
    return Answer(
        calls,
        is_chat=True,
        n=body.n,
        readers=readers,
        links=CitationLinks((citations.public_url or context.base_url).rstrip("/"), tenant),
        is_marked=style == "inline" and calls[0].is_prose,
        logprobs_shown=calls[0].sampling.logprobs,
        prompt_logprobs_shown=body.prompt_logprobs,
        names_ids=body.return_tokens_as_token_ids,
        is_for_open_webui=context.is_from_open_webui,
        price_of=_prices(services, context),
    )


def _events_of(
    body: GenerationBody, calls: Sequence[Call], services: Services, context: RequestContext
) -> AsyncGenerator[Indexed]:
    choices = [events for call in calls for events in services.answers([_of_choice(call, i) for i in range(body.n)])]
    ending = until_deadline(merged(choices), calls[0].deadline_s)
    return recorded(calls, ending, context.step.span, body.n, _prices(services, context))


def _prices(services: Services, context: RequestContext) -> PriceOf:
    return partial(services.arguments.price_of, is_of_batch=context.is_of_batch)


async def _reviewed(events: AsyncGenerator[Indexed], answer: Answer, services: Services) -> AsyncGenerator[Indexed]:
    """Pass the events of an answer on; one that came to its end is offered to be judged and kept."""
    async with aclosing(events):
        async for indexed in events:
            yield indexed
    services.review(answer)


def _of_choice(call: Call, i: int) -> Call:
    """The call of the choice i: with one seed for all, all would say the same. After the highest comes the lowest."""
    seed = call.sampling.seed
    if seed is None or i == 0:
        return call
    return replace(call, sampling=replace(call.sampling, seed=(seed + i + 2**63) % 2**64 - 2**63))
