"""Rules that people write: the first that fits decides, and a bad file is said in a sentence."""

from pathlib import Path

import pytest

from plait.errors import RecipeError
from plait.routing.policies.rules import read_rules
from plait.routing.policy import RouteRequest

RULES = """
default: rag/support
rules:
  - {prefix: "/json", arm: "support:3"}
  - {language: de, collection: handbook, arm: rag/base}
  - {key: batch, arm: base}
"""


def ranked(tmp_path: Path, request: RouteRequest) -> list[str]:
    file = tmp_path / "rules.yaml"
    file.write_text(RULES)
    return [each.arm.model for each in read_rules(file).open({}).rank(request)]


@pytest.mark.parametrize(
    ("request_", "models"),
    [
        (RouteRequest("How long?"), ["rag/support"]),
        (RouteRequest("  /json How long?"), ["support:3", "rag/support"]),
        (RouteRequest("How /json long?"), ["rag/support"]),
        (RouteRequest("Wie lange?", language="de-CH", collection="handbook"), ["rag/base", "rag/support"]),
        (RouteRequest("Wie lange?", language="den", collection="handbook"), ["rag/support"]),
        (RouteRequest("Wie lange?", language="de"), ["rag/support"]),
        (RouteRequest("/json", key="batch"), ["support:3", "base", "rag/support"]),
        (RouteRequest("/json", key="batch", usable=frozenset({"base"})), ["base"]),
        (RouteRequest("How long?", usable=frozenset()), []),
    ],
)
def test_the_first_rule_whose_conditions_all_fit_decides(
    tmp_path: Path, request_: RouteRequest, models: list[str]
) -> None:
    assert ranked(tmp_path, request_) == models


def test_the_reason_names_the_rule_and_what_fits(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    policy = read_rules(tmp_path / "rules.yaml").open({})
    assert policy.rank(RouteRequest("?", key="batch"))[0].reason == "rules.2 fits: key 'batch'."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("rules: []", "'default' is required"),
        ("default: base", "'rules' is required"),
        ("default: auto\nrules: []", "an arm cannot be auto"),
        ("default: 'rag/../etc'\nrules: []", "'default' is not valid"),
        ("default: base\nrules: [{arm: base}]", "a rule needs prefix, language, collection or key"),
        ("default: base\nrules: [{arm: base, prefix: ''}]", "rules.0.prefix"),
        ("default: base\nrules: [{arm: base, prefx: a}]", "'rules.0.prefx' is not known"),
        ("default: base\nrules: [{arm: base, language: German}]", "rules.0.language"),
        (
            "default: base\nrules: [{arm: base, key: a}, {arm: rag/base, key: a}]",
            "rules.1 has the conditions of rules.0",
        ),
        ("default: base\nrules: {arm: base}", "The field 'rules' must be a list"),
        ("default: base\nrules: []\nkind: learned", "'kind'"),
        ("[base]", "must be a mapping"),
        ("", "must be a mapping"),
        ("default: !!python/object/apply:os.system ['true']\nrules: []", "is not valid YAML"),
        ("[" * 1200, "is not valid YAML"),
        ("default: base\nrules: [" + "{arm: base, key: a}," * 60_000 + "]", "more than 1,048,576 bytes"),
    ],
)
def test_a_bad_file_is_said_in_a_sentence(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(RecipeError) as raised:
        read_rules(file)
    assert told in str(raised.value)
    assert str(file) in str(raised.value)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        read_rules(tmp_path / "none.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_rules(tmp_path)
