import shlex
from pathlib import Path

import pytest
import yaml

from plait.errors import InvalidInput
from plait.jobs.ingest.command import understand
from plait.recipes import IngestRecipe, load_recipe
from plait.section import Section

MANUAL = Path(__file__).parents[4] / "docs" / "ingest.md"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    Path("a, b: c.md").write_text("text", encoding="utf-8")
    Path("mine.yaml").write_text(yaml.safe_dump({"sources": ["docs"], "collection": "mine"}), encoding="utf-8")


def understood(*arguments: str) -> IngestRecipe:
    recipe, overrides = understand(list(arguments))
    return load_recipe(IngestRecipe, recipe, overrides)


def test_folders_and_files_are_sources() -> None:
    assert understood("docs", "a, b: c.md", "collection=demo").sources == ["docs", "a, b: c.md"]


def test_patterns_and_buckets_are_sources() -> None:
    assert understood("docs/**/*.md", "s3://bucket/a").sources == ["docs/**/*.md", "s3://bucket/a"]
    assert understood("sources=[docs/*.md]", "collection=x").sources == ["docs/*.md"]


def test_a_recipe_file_gives_the_fields_and_overrides_change_them() -> None:
    recipe = understood("mine.yaml", "chunk.max_tokens=128")
    assert (recipe.collection, recipe.sources, recipe.chunk.max_tokens) == ("mine", ["docs"], 128)


def test_sources_given_with_a_recipe_replace_its_own() -> None:
    assert understood("mine.yaml", "a, b: c.md").sources == ["a, b: c.md"]


def test_a_ready_recipe_goes_by_its_name() -> None:
    assert understood("ingest").collection == "default"


def test_what_is_neither_is_named() -> None:
    with pytest.raises(InvalidInput, match="no file, folder or recipe 'dosc'"):
        understood("dosc")
    with pytest.raises(InvalidInput, match="Two recipes"):
        understood("mine.yaml", "ingest")


@pytest.mark.parametrize("name", ["a=b.md", "x.y=z.md", "no=thing"])
def test_a_file_whose_name_looks_like_a_field_is_a_document(name: str) -> None:
    Path(name).write_text("text", encoding="utf-8")
    assert understood(name).sources == [name]


def test_a_field_is_a_field_also_where_a_file_has_its_name() -> None:
    Path("collection=mine").write_text("text", encoding="utf-8")
    assert understood("docs", "collection=mine").collection == "mine"
    assert understood("./collection=mine").sources == ["./collection=mine"]


def test_an_unknown_field_is_no_missing_file() -> None:
    with pytest.raises(InvalidInput, match="'colection' is not known"):
        understood("docs", "colection=mine")


@pytest.mark.parametrize("text", ["server:\n  port: 80\n", "- a\n- b\n", "just words", ""])
def test_a_document_that_only_ends_as_a_recipe_is_told_how_to_be_read(text: str) -> None:
    Path("conf.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput, match=r"'conf\.yaml' is no recipe of ingest.*write 'sources=\[conf\.yaml\]'"):
        understood("conf.yaml")
    assert understood("sources=[conf.yaml]").sources == ["conf.yaml"]


@pytest.mark.parametrize("name", ["conf.yaml", "a, b.yaml", "it's [1].yaml", "007: é.yaml"])
def test_the_way_to_read_such_a_document_works_beside_other_sources(name: str) -> None:
    Path(name).write_text("server: 80", encoding="utf-8")
    with pytest.raises(InvalidInput) as refused:
        understood("docs", name)
    _, is_told, override = refused.value.remedy.removesuffix(".").partition("or write ")
    assert is_told
    assert understood("docs", *shlex.split(override)).sources == ["docs", name]
    assert understood("mine.yaml", *shlex.split(override), "docs").sources == ["docs", name]


def test_sources_that_are_no_list_are_named_beside_other_sources() -> None:
    with pytest.raises(InvalidInput, match="field 'sources' must be a list"):
        understood("docs", "sources=conf")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        pytest.param(b"sources: [", "expected the node content", id="cut"),
        pytest.param(b"sources: " + b"[" * 600 + b"]" * 600, "nested too deeply", id="deep"),
        pytest.param(b"sources: [\xff\xe9]", "", id="bytes of no encoding"),
        pytest.param(b"sources: [docs]\nsync: 2024-13-45", "month must be in", id="a date that is none"),
        pytest.param(b"sync: !!bool maybe", "impossible value", id="a tag that does not fit"),
    ],
)
def test_a_recipe_that_is_no_yaml_is_told_so(content: bytes, why: str) -> None:
    Path("bad.yaml").write_bytes(content)
    with pytest.raises(InvalidInput, match=rf"'bad\.yaml' is not valid YAML: .*{why}"):
        understood("bad.yaml")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_recipe_may_begin_with_a_byte_order_mark(encoding: str) -> None:
    Path("marked.yaml").write_text("sources: [docs]\ncollection: é", encoding=encoding)
    with pytest.raises(InvalidInput, match="field 'collection' must match pattern"):
        understood("marked.yaml")


def defaults(section: type[Section], prefix: str = "") -> dict[str, object]:
    """Every field of a recipe with its default, dotted."""
    found: dict[str, object] = {}
    for name, field in section.model_fields.items():
        if isinstance(field.default, Section):
            found |= defaults(type(field.default), f"{prefix}{name}.")
        else:
            found[prefix + name] = None if field.is_required() else field.default
    return found


def test_the_manual_lists_every_field_with_its_default() -> None:
    rows = [line.split("|")[1:3] for line in MANUAL.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    listed = {name.strip(" `"): yaml.safe_load(default.strip(" `")) for name, default in rows}
    assert listed == defaults(IngestRecipe)
