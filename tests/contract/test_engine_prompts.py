"""Prompts as every engine reads them: their log-probabilities are transformers' own, their tokens the client's."""

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from plait.engines.engine import Engine, GenerationDelta, GenerationRequest, Sampling
from plait.models.load import load_causal_lm
from plait.models.tokenizer import load_tokenizer

pytestmark = pytest.mark.asyncio(loop_scope="session")
LONG = "a beginning of more tokens than a block of any engine has, which is told of again and again; " * 3


async def answer(engine: Engine, prompt: Any, adapter: str | None = None, **asked: Any) -> list[GenerationDelta]:
    own = {name: asked.pop(name) for name in ("truncate_prompt_tokens", "is_echoed") if name in asked}
    request = GenerationRequest(prompt, Sampling(**{"max_tokens": 4, **asked}), adapter)
    return [delta async for delta in engine.generate(replace(request, **own))]


def text(deltas: list[GenerationDelta]) -> str:
    return "".join(delta.text for delta in deltas)


@pytest.fixture(scope="session")
def logprobs(tiny_llama: Path, loras: dict[str, Path]) -> Callable[..., Any]:
    """[tokens, vocabulary] by transformers' own forward pass (with PEFT, for an adapter)."""
    models: dict[str | None, Any] = {None: load_causal_lm(tiny_llama, "float32")}

    def of(tokens: list[int], adapter: str | None = None) -> Any:
        if adapter not in models:
            from peft import PeftModel

            models[adapter] = PeftModel.from_pretrained(load_causal_lm(tiny_llama, "float32"), loras[str(adapter)])
        with torch.no_grad():
            logits = models[adapter](torch.tensor([tokens]).to(models[adapter].device)).logits[0]
        return torch.log_softmax(logits.float(), dim=-1).cpu()

    return of


async def test_prompt_logprobs_are_transformers_own_in_mixed_batches_and_whatever_is_cached(
    engine: Engine, tiny_llama: Path, loras: dict[str, Path], logprobs: Callable[..., Any]
) -> None:
    tokenizer = load_tokenizer(tiny_llama)
    for key in ("one.a:1", "two:1"):
        await engine.load_adapter(key, loras[key])
    prompts = [(LONG, None), (LONG, "one.a:1"), ("short", "two:1"), (LONG + "more", None)]
    for _ in range(2):  # the second time all of it is cached
        *scored, _ = await asyncio.gather(
            *(answer(engine, prompt, key, prompt_logprobs=2, max_tokens=3) for prompt, key in prompts[:3]),
            answer(engine, LONG, max_tokens=20),
        )
        for (prompt, key), (first, *others) in zip(prompts[:3], scored, strict=True):
            tokens = tokenizer(prompt)["input_ids"]
            expected = logprobs(tokens, key)
            told = first.prompt_logprobs
            assert not any(delta.prompt_logprobs for delta in others)
            assert [t.token_id for t in told] == tokens
            assert (told[0].logprob, told[0].top) == (None, ())
            for place, token in enumerate(told[1:]):
                own = float(expected[place, token.token_id])
                assert token.logprob == pytest.approx(own, abs=1e-3)
                assert token.rank == pytest.approx(1 + int((expected[place] > own).sum()), abs=1)
                assert [t.logprob for t in token.top] == pytest.approx(
                    expected[place].topk(2).values.tolist(), abs=1e-3
                )
    # An answer does not change when the prompt's log-probabilities are asked for.
    bare, asked = [text(await answer(engine, LONG, **more)) for more in ({}, {"prompt_logprobs": 0})]
    assert bare == asked


async def test_a_prompt_may_only_be_read(engine: Engine, tiny_llama: Path, logprobs: Callable[..., Any]) -> None:
    (delta,) = await answer(engine, "which version?", max_tokens=0, prompt_logprobs=0)
    assert (delta.text, delta.generated_tokens, delta.finish_reason, delta.logprobs) == ("", 0, "length", ())
    tokens = load_tokenizer(tiny_llama)("which version?")["input_ids"]
    expected = logprobs(tokens)[range(len(tokens) - 1), tokens[1:]].tolist()
    assert [t.logprob for t in delta.prompt_logprobs[1:]] == pytest.approx(expected, abs=1e-3)
    (delta,) = await answer(engine, "which version?", max_tokens=0)
    assert (delta.text, delta.prompt_tokens, delta.finish_reason) == ("", len(tokens), "length")


async def test_tokens_are_a_prompt_as_they_are(engine: Engine, tiny_llama: Path) -> None:
    tokenizer = load_tokenizer(tiny_llama)
    tokens = tuple(tokenizer("which version?")["input_ids"])
    deltas = await answer(engine, tokens, is_echoed=True, prompt_logprobs=0)
    assert text(deltas) == text(await answer(engine, "which version?"))
    assert deltas[0].prompt_text == tokenizer.decode(tokens)
    assert deltas[0].prompt_tokens == len(tokens)
    without_bos = await answer(engine, tokens[1:], prompt_logprobs=0)
    assert [t.token_id for t in without_bos[0].prompt_logprobs] == list(tokens[1:])


async def test_an_echoed_text_is_itself_and_what_is_cut_is_its_end(engine: Engine, tiny_llama: Path) -> None:
    tokenizer = load_tokenizer(tiny_llama)
    first, *others = await answer(engine, "which version?", is_echoed=True, prompt_logprobs=0)
    assert (first.prompt_text, {delta.prompt_text for delta in others}) == ("which version?", {""})
    assert [t.is_text for t in first.prompt_logprobs[:2]] == [False, True]
    tokens = tokenizer("which version?")["input_ids"]
    cut = await answer(engine, "which version?", truncate_prompt_tokens=3, is_echoed=True)
    assert (cut[0].prompt_tokens, cut[0].prompt_text) == (3, tokenizer.decode(tokens[-3:]))
    assert text(cut) == text(await answer(engine, tuple(tokens[-3:])))
    fits = await answer(engine, "word " * 1000, truncate_prompt_tokens=-1)
    assert fits[-1].prompt_tokens == engine.max_context_tokens - 4


async def test_an_answer_ends_at_a_token_or_a_text_and_not_before_its_least_length(engine: Engine) -> None:
    asked: dict[str, Any] = {"max_tokens": 12, "ignore_eos": True, "logprobs": 0}
    whole = await answer(engine, "short", **asked)
    tokens = [told.token_id for delta in whole for told in delta.logprobs]
    assert len(tokens) == 12
    place = next(i for i in range(2, 12) if tokens[i] not in tokens[:i])
    stopped = await answer(engine, "short", **asked, stop_token_ids=(tokens[place],))
    assert (stopped[-1].generated_tokens, stopped[-1].finish_reason) == (place + 1, "stop")
    kept = await answer(engine, "short", **asked, stop_token_ids=(tokens[place],), include_stop_str_in_output=True)
    assert text(whole).startswith(text(kept))
    assert len(text(kept)) >= len(text(stopped))
    stop = text(whole)[3:5]
    kept = await answer(engine, "short", **asked, stop=(stop,), include_stop_str_in_output=True)
    assert text(kept) == text(whole)[: text(whole).index(stop) + 2]
    late = await answer(engine, "short", **asked, stop=tuple(set(text(whole)[:5])), min_tokens=10)
    assert late[-1].generated_tokens >= 10


async def test_forbidden_tokens_and_words_do_not_come(engine: Engine, tiny_llama: Path) -> None:
    tokenizer = load_tokenizer(tiny_llama)
    first = (await answer(engine, "short", max_tokens=1, logprobs=5))[0].logprobs[0]
    others = tuple(t.token_id for t in first.top if t.token_id != first.token_id)
    (told,) = (await answer(engine, "short", max_tokens=1, logprobs=0, allowed_token_ids=others))[0].logprobs
    assert told.token_id == others[0]
    word = tokenizer.decode([first.token_id])
    if tokenizer.encode(word, add_special_tokens=False) == [first.token_id]:
        (told,) = (await answer(engine, "short", max_tokens=1, logprobs=0, bad_words=(word,)))[0].logprobs
        assert told.token_id != first.token_id


async def test_an_answer_follows_an_expression_a_choice_or_a_grammar(engine: Engine) -> None:
    asked: dict[str, tuple[dict[str, Any], str]] = {
        "regex": ({"regex": "[ab]{3}-[0-9]x"}, "[ab]{3}-[0-9]x"),
        "choice": ({"choice": ("yes, of course", "no")}, "yes, of course|no"),
        "grammar": ({"grammar": 'root ::= "x" [0-9] ";"'}, "x[0-9];"),
        "json": ({"json_schema": json.dumps({"enum": ["a"]})}, '"a"'),
    }
    for constraint, pattern in asked.values():
        said = text(await answer(engine, "short", max_tokens=40, **constraint))
        assert re.fullmatch(pattern, said), said


async def test_special_tokens_are_text_where_they_are_asked_for(engine: Engine, tiny_llama: Path) -> None:
    tokenizer = load_tokenizer(tiny_llama)
    special = tokenizer.bos_token_id
    asked: dict[str, Any] = {"max_tokens": 2, "allowed_token_ids": (special,), "ignore_eos": True, "logprobs": 0}
    bare, shown = [await answer(engine, "short", **asked, skip_special_tokens=skip) for skip in (True, False)]
    assert (text(bare), text(shown)) == ("", tokenizer.bos_token * 2)
    assert [[t.is_text for d in deltas for t in d.logprobs] for deltas in (bare, shown)] == [[False] * 2, [True] * 2]
