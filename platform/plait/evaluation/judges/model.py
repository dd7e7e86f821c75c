"""A judge that is a model: any `Generate`, asked for JSON, at temperature 0.

Statements come first and verdicts second, all of a sample in one request each, as far as they fit into the model's
context. What the model says and cannot be read is a verdict that cannot be said, with the reason. What it is asked
stands in `prompts`, what it said before in `cache`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from plait.evaluation.judges import prompts
from plait.evaluation.judges.asking import Said, ask_json
from plait.evaluation.judges.judge import Claims, Preference, Verdict, Verdicts
from plait.evaluation.judges.prompts import Inquiry
from plait.evaluation.judges.replies import as_statement, is_refusal, without_citations
from plait.evaluation.score import JudgeUse
from plait.evaluation.sentences import sentences
from plait.models.generate import Generate

_CLAIMS_AT_ONCE = 16
"""Claims of one request: a reply of some 300 tokens, after which small models lose count."""


@dataclass(frozen=True)
class _Piece:
    """A passage or a part of one; `passage`: its index among those given."""

    passage: int
    text: str


class ModelJudge:
    """A model as a judge, of replies and of pairs of replies.

    Args:
        model: replies to the questions of `prompts`.
        name: of the model, for reports.
    """

    def __init__(self, model: Generate, name: str) -> None:
        self._model, self.name = model, name

    async def claims(self, question: str, reply: str) -> Claims:
        """See `Judge`. A bare name or number is one statement, and the model is not asked which.

        A reply of which the model finds no statement must decline, or the model is not believed.
        """
        statement = as_statement(question, reply)
        if statement is not None:
            return Claims((statement,), JudgeUse())
        if not reply.strip() or (len(sentences(reply)) == 1 and is_refusal(reply)):
            return Claims((), JudgeUse())
        found = await self._claims(question, without_citations(reply))
        if found.problem or found.texts:
            return found
        declines = await self.declines(question, reply)
        use = found.use + declines.use
        if declines.verdicts[0].holds:
            return Claims((), use)
        return Claims((), use, "The judge found no statement in a reply that does not decline.")

    async def _claims(self, question: str, reply: str) -> Claims:
        said = await self._ask(prompts.claims(question, reply))
        halves = _halves([_Piece(0, reply)]) if said.is_refused else None
        if halves is not None:
            parts = [await self._claims(question, half[0].text) for half in halves]
            problem = next((part.problem for part in parts if part.problem), "")
            texts = () if problem else tuple(text for part in parts for text in part.texts)
            return Claims(texts, parts[0].use + parts[1].use, problem)
        texts = said.item("claims")
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            return Claims((), said.use, said.problem or "The judge's reply has no list of claims.")
        stated = dict.fromkeys(text.strip() for text in texts)  # small models repeat themselves
        if len(stated) >= prompts.most_claims(reply):
            return Claims((), said.use, "The judge listed as many claims as it may, and some may be missing.")
        return Claims(tuple(text for text in stated if text), said.use)

    async def support(self, claims: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """See `Judge`. Passages that do not fit are asked about in parts: then what follows only from both does not."""
        pieces = [_Piece(number, text) for number, text in enumerate(passages) if text.strip()]
        if not pieces:
            return Verdicts(tuple(Verdict(False, "There are no passages.") for _ in claims), JudgeUse())
        batches = [claims[start : start + _CLAIMS_AT_ONCE] for start in range(0, len(claims), _CLAIMS_AT_ONCE)]
        found = await asyncio.gather(*(self._support(batch, pieces) for batch in batches))
        return _joined(found)

    async def _support(self, claims: Sequence[str], pieces: Sequence[_Piece]) -> Verdicts:
        said = await self._ask(prompts.support(claims, [piece.text for piece in pieces]))
        halves = _halves(pieces) if said.is_refused else None
        if halves is not None:
            first, second = [await self._support(claims, half) for half in halves]
            pairs = zip(first.verdicts, second.verdicts, strict=True)
            return Verdicts(tuple(_either(*pair) for pair in pairs), first.use + second.use)
        if said.is_refused and len(claims) > 1:
            middle = len(claims) // 2
            return _joined([await self._support(part, pieces) for part in (claims[:middle], claims[middle:])])
        keys = [str(number) for number in range(1, len(claims) + 1)]
        return Verdicts(tuple(_support_verdict(said, key, pieces) for key in keys), said.use)

    async def useful(self, question: str, answers: Sequence[str], passages: Sequence[str]) -> Verdicts:
        """See `Judge`."""
        pieces = [_Piece(number, text) for number, text in enumerate(passages) if text.strip()]
        found, use = await self._useful(question, answers, pieces) if pieces else ([], JudgeUse())
        of_passage: dict[int, Verdict] = {}
        for piece, verdict in found:
            of_passage[piece] = _either(of_passage[piece], verdict) if piece in of_passage else verdict
        nothing = Verdict(False, "The passage is empty.")
        return Verdicts(tuple(of_passage.get(number, nothing) for number in range(len(passages))), use)

    async def _useful(
        self, question: str, answers: Sequence[str], pieces: Sequence[_Piece]
    ) -> tuple[list[tuple[int, Verdict]], JudgeUse]:
        said = await self._ask(prompts.useful(question, answers, [piece.text for piece in pieces]))
        halves = _halves(pieces) if said.is_refused else None
        if halves is not None:
            first, second = [await self._useful(question, answers, half) for half in halves]
            return first[0] + second[0], first[1] + second[1]
        words = {prompts.USEFUL: True, prompts.NOT_USEFUL: False}
        numbered = enumerate(pieces, start=1)
        return [(piece.passage, _verdict(said, str(number), words)) for number, piece in numbered], said.use

    async def answers_the_question(self, question: str, reply: str) -> Verdicts:
        """See `Judge`."""
        return await self._is(question, reply, prompts.ANSWERS)

    async def declines(self, question: str, reply: str) -> Verdicts:
        """See `Judge`."""
        return await self._is(question, reply, prompts.DECLINES)

    async def _is(self, question: str, reply: str, kind: str) -> Verdicts:
        """Whether a reply is of a kind. The model is asked which it is, so that a cache asks it once for all kinds."""
        if not reply.strip():
            return Verdicts((Verdict(False, "The reply is empty."),), JudgeUse())
        said = await self._ask(prompts.reply_kind(question, reply))
        kinds = {each: each == kind for each in (prompts.ANSWERS, prompts.DECLINES, prompts.OFF_TOPIC)}
        return Verdicts((_verdict(said, "verdict", kinds),), said.use)

    async def prefer(self, question: str, first: str, second: str) -> Preference:
        """See `PairwiseJudge`."""
        asked = (prompts.prefer(question, first, second), prompts.prefer(question, second, first))
        one, other = await asyncio.gather(*(self._ask(inquiry) for inquiry in asked))
        orders = (
            _verdict(one, "verdict", {"1": True, "2": False, prompts.NEITHER: None}),
            _verdict(other, "verdict", {"1": False, "2": True, prompts.NEITHER: None}),
        )
        return Preference(_agreement(*orders), orders, one.use + other.use)

    async def _ask(self, inquiry: Inquiry) -> Said:
        """Raises what `Generate` does, but for what may not fit."""
        return await ask_json(self._model, inquiry, "judge")


def _verdict(said: Said, key: str, words: Mapping[str, bool | None]) -> Verdict:
    word = said.item(key)
    if not isinstance(word, str) or word not in words:
        return Verdict(None, _why_not(said, key))
    holds = words[word]
    return Verdict(holds, "The judge finds neither better." if holds is None else "")


def _why_not(said: Said, key: str) -> str:
    return said.problem or f"The judge's reply has no verdict that can be read for '{key}'."


def _support_verdict(said: Said, key: str, pieces: Sequence[_Piece]) -> Verdict:
    found = said.item(key)
    word = found.get("verdict") if isinstance(found, dict) else None
    number = found.get("passage") if isinstance(found, dict) else None
    if word not in (prompts.SUPPORTED, prompts.CONTRADICTED, prompts.NOT_STATED):
        return Verdict(None, _why_not(said, key))
    places = {place: piece.passage for place, piece in enumerate(pieces, start=1)}
    passage = places.get(number) if type(number) is int else None  # true is 1, too
    if word == prompts.SUPPORTED:
        return Verdict(True, "", passage)
    if word == prompts.CONTRADICTED:
        return Verdict(False, "The passages say otherwise.", passage, is_contradicted=True)
    return Verdict(False, "The passages do not say it.")


def _either(one: Verdict, other: Verdict) -> Verdict:
    """Of two parts of the passages: what holds in one holds; else nothing can be said if it cannot of one of them."""
    order = (
        lambda verdict: verdict.holds is True,
        lambda verdict: verdict.holds is None,
        lambda verdict: verdict.is_contradicted,
    )
    return next((verdict for is_first in order for verdict in (one, other) if is_first(verdict)), one)


def _joined(found: Sequence[Verdicts]) -> Verdicts:
    use = sum((part.use for part in found), JudgeUse())
    return Verdicts(tuple(verdict for part in found for verdict in part.verdicts), use)


def _agreement(one: Verdict, other: Verdict) -> Verdict:
    unread = next((verdict for verdict in (one, other) if verdict.holds is None), None)
    if unread is not None:
        return unread
    if one.holds != other.holds:
        return Verdict(None, "The judge prefers whichever reply is shown in the same place.")
    return one


def _halves(pieces: Sequence[_Piece]) -> tuple[Sequence[_Piece], Sequence[_Piece]] | None:
    """Two parts of what does not fit, a single passage between two sentences; None where it cannot be cut.

    They are asked about one after the other: where not the length is at fault, the first of the smallest parts tells.
    """
    if len(pieces) > 1:
        middle = len(pieces) // 2
        return pieces[:middle], pieces[middle:]
    piece = pieces[0]
    parts = sentences(piece.text)
    if len(parts) < 2:
        return None
    cut = parts[len(parts) // 2].start
    return [_Piece(piece.passage, piece.text[:cut])], [_Piece(piece.passage, piece.text[cut:])]
