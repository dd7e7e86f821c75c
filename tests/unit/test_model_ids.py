"""The names by which models are asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plait.errors import InvalidInput
from plait.model_ids import AdapterRef, ModelId

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True).filter(
    lambda name: name not in ("base", "auto", "rag")
)
refs = st.builds(AdapterRef, names) | st.builds(AdapterRef, names, st.integers(1, 999))
aliased = st.builds(lambda name, alias: AdapterRef(name, alias=alias), names, names)


@given(st.builds(ModelId, st.none() | refs | aliased, st.booleans()))
def test_a_model_id_survives_being_written_and_read(model_id: ModelId) -> None:
    assert ModelId.parse(str(model_id)) == model_id


def test_the_forms_of_the_documentation_mean_what_it_says() -> None:
    assert ModelId.parse("base") == ModelId()
    assert ModelId.parse("rag/base") == ModelId(with_retrieval=True)
    assert ModelId.parse("rag/support:3") == ModelId(AdapterRef("support", 3), with_retrieval=True)
    assert ModelId.parse("support@champion") == ModelId(AdapterRef("support", alias="champion"))
    assert ModelId.parse("auto").is_auto


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "a:b",
        "a:1@c",
        "../x",
        "rag/",
        "rag/rag",
        "rag/auto",
        "x/y",
        "-x",
        "a:" + "9" * 5000,
        "a" * 257,
        "a:١",
    ],
)
def test_anything_else_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(InvalidInput):
        ModelId.parse(text)
