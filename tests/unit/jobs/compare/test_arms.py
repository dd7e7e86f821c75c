"""Which ways to answer a recipe compares."""

from made_findings import made_recipe

from plait.jobs.compare.arms import arms_of

TUNED = {"lora": {"data": {"train": "t"}}}


def names(**fields: object) -> list[str]:
    return [arm.name for arm in arms_of(made_recipe(**fields))]


def test_every_adapter_answers_with_and_without_passages() -> None:
    assert names() == ["base", "lora", "rag/base", "rag/lora"]


def test_examples_in_the_prompt_and_endpoints_answer_without_passages() -> None:
    found = names(icl={"examples": "t"}, endpoints={"large": {"model": "m", "base_url": "http://h/v1"}})
    assert found == ["base", "icl", "lora", "rag/base", "rag/lora", "large"]


def test_adapters_are_updated_where_something_changed_and_whole_models_are_not() -> None:
    full = {"adapter": {"method": "full"}, "model": {"dtype": "float32"}, "data": {"train": "t"}}
    found = arms_of(made_recipe(tuned=TUNED | {"full": full}, changed={"documents": "d", "train": "t"}))
    assert [arm.name for arm in found if arm.is_updated] == ["lora updated", "rag/lora updated"]
    assert [arm.name for arm in found if arm.kind == "full"] == ["full", "rag/full"]


def test_those_adapters_are_updated_that_are_named() -> None:
    tuned = TUNED | {"other": {"data": {"train": "t"}}}
    changed = {"documents": "d", "train": "t", "arms": ["other"]}
    assert [name for name in names(tuned=tuned, changed=changed) if "updated" in name] == [
        "other updated",
        "rag/other updated",
    ]


def test_an_arm_of_several_seeds_answers_once_with_each() -> None:
    by_name = {arm.name: arm.runs for arm in arms_of(made_recipe(seeds=2))}
    assert by_name["lora"] == ("lora (seed 0)", "lora (seed 1)")
    assert by_name["rag/base"] == ("rag/base",)
