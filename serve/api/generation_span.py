"""A request that generates text in the words of OpenTelemetry's conventions for generative AI.

In: the request's span, its calls, its events. Out: attributes. What was asked and answered is among them only where
`Content` is given, which nobody makes unless PLAIT_LOG_CONTENT is set.
"""

import json
from collections import defaultdict
from collections.abc import Sequence

from opentelemetry.trace import Span

from plait.serve.messages.calls import Call, Event


class Content:
    """What was asked and answered, as the conventions write messages down. Retrieved passages are not part of it."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._asked = [_message(message.role, message.content) for call in calls for message in call.messages or ()] + [
            _message("user", str(call.prompt)) for call in calls if call.messages is None
        ]
        self._answers: dict[int, str] = defaultdict(str)

    def add(self, index: int, event: Event) -> None:
        self._answers[index] += event.text

    def texts(self) -> dict[str, str]:
        """JSON by attribute name."""
        answered = [_message("assistant", self._answers[index]) for index in sorted(self._answers)]
        return {"gen_ai.input.messages": json.dumps(self._asked), "gen_ai.output.messages": json.dumps(answered)}


def describe_request(span: Span, call: Call) -> None:
    """Name the span, and say what is asked for."""
    operation = "text_completion" if call.messages is None else "chat"
    span.update_name(f"{operation} {call.model}")
    adapter = call.model.adapter
    span.set_attributes(
        {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": "plait",
            "gen_ai.request.model": str(call.model),
            "gen_ai.request.max_tokens": call.sampling.max_tokens,
            "gen_ai.request.temperature": call.sampling.temperature,
            "gen_ai.request.stream": call.is_streamed,
            "plait.adapter": adapter.name if adapter else "",
        }
    )


def describe_answer(span: Span, ends: Sequence[Event], tenant: str | None, content: Content | None) -> None:
    """Say what came; `ends`: the last event of every choice so far."""
    if tenant is not None:
        span.set_attribute("plait.tenant", tenant)
    if content is not None:
        span.set_attributes(content.texts())
    if ends:
        span.set_attributes(
            {
                "gen_ai.response.model": ends[0].answered_by,
                "gen_ai.response.finish_reasons": [event.finish_reason for event in ends if event.finish_reason],
                "gen_ai.usage.input_tokens": ends[0].prompt_tokens,
                "gen_ai.usage.output_tokens": sum(event.generated_tokens for event in ends),
            }
        )


def _message(role: str, text: str) -> dict[str, object]:
    return {"role": role, "parts": [{"type": "text", "content": text}]}
