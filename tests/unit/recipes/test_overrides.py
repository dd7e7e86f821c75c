"""`field=value`: text stays as it is written, everything else is YAML."""

from typing import Any

import pytest

from plait.errors import RecipeError
from plait.recipes import IngestRecipe, TrainRecipe, apply_override
from plait.retrieval.request import Retrieval
from plait.serve.messages.arguments import AppArguments


def value_of(override: str, kind: type[Any] = IngestRecipe) -> Any:
    values: dict[str, Any] = {}
    apply_override(values, override, kind)
    while isinstance(values, dict) and len(values) == 1:
        (values,) = values.values()
    return values


@pytest.mark.parametrize("text", ["007", "on", "null", "~", "1e3", "0x10", "2024-01-01", "1:30", "1_000", "{a", "- b"])
def test_text_is_no_number_date_or_truth(text: str) -> None:
    assert value_of(f"tenant={text}") == text
    assert value_of(f"tenant={text}", Retrieval) == text
    assert value_of(f"retrieval.tenant={text}", AppArguments) == text


def test_text_may_have_a_colon_a_hash_and_blanks_at_its_end() -> None:
    assert value_of("embedding.query_prompt=query: ") == "query: "
    assert value_of("table.title=number # of") == "number # of"
    assert value_of('filter=metadata["lang"] == "en"', Retrieval) == 'metadata["lang"] == "en"'


def test_quotes_around_text_are_left_out() -> None:
    assert value_of('tenant="007"') == "007"
    assert value_of("embedding.query_prompt='query: '") == "query: "


@pytest.mark.parametrize("text", ["null", "~", ""])
def test_text_that_may_be_missing_can_be_unset(text: str) -> None:
    assert value_of(f"table.id={text}") is None
    assert value_of(f"retrieval={text}", AppArguments) is None


@pytest.mark.parametrize("text", ["#", "#x", "&x", " ", "NULL"])
def test_text_that_yaml_reads_as_nothing_is_no_missing_text(text: str) -> None:
    assert value_of(f"table.id={text}") == text
    assert value_of(f"data.eval={text}", TrainRecipe) == text


def test_lists_of_text_hold_text() -> None:
    assert value_of("sources=[007, on, a b, 2024-01-01]") == ["007", "on", "a b", "2024-01-01"]
    assert value_of("adapter.target_modules=[q_proj, 1]", TrainRecipe) == ["q_proj", "1"]


def test_what_is_no_text_is_yaml() -> None:
    assert value_of("limits.max_pages=0x10") == 16
    assert value_of("sync=off") is False
    assert value_of("train.epochs=1.5", TrainRecipe) == 1.5
    assert value_of("retrieval={top_k: 2}", AppArguments) == 2


def test_a_field_that_takes_a_number_or_a_word_takes_both() -> None:
    assert value_of("dense_weight=0.5", Retrieval) == 0.5
    assert value_of("dense_weight=ranks", Retrieval) == "ranks"


def test_a_field_with_a_choice_of_numbers_takes_a_number() -> None:
    assert value_of("strategy.zero_stage=3", TrainRecipe) == 3
    assert value_of("llm.max_lora_rank=64", AppArguments) == 64
    assert value_of("strategy.zero_stage=true", TrainRecipe) == "true"


def test_what_is_no_yaml_is_refused_where_there_is_no_text() -> None:
    with pytest.raises(RecipeError, match="not valid YAML"):
        value_of("limits.max_pages={a")


@pytest.mark.parametrize("text", ["2024-13-45", "[" * 600, "!!bool maybe"])
def test_yaml_that_python_cannot_make_a_value_of_is_no_bug(text: str) -> None:
    with pytest.raises(RecipeError, match="not valid YAML"):
        value_of(f"limits.max_pages={text}")
    assert value_of(f"tenant={text}") == text
