"""Facts that documents state in a form of their own."""

import pytest
from made_corpora import PACKAGES, corpus_of

from plait.questions.structured import structured_facts


def stated(text: str, name: str = "router.md") -> list[tuple[str, str, str]]:
    facts, _ = structured_facts(corpus_of({name: text}))
    return [(fact.entity, fact.attribute, fact.value) for fact in facts]


def test_a_line_of_key_and_value_is_a_fact_about_the_document_whose_name_its_key_may_have() -> None:
    facts, cut = structured_facts(corpus_of({"ray.md": PACKAGES["ray.md"]}))
    assert [(fact.entity, fact.attribute, fact.value) for fact in facts] == [
        ("ray", "Installed version", "2.60.0"),
        ("ray", "Author", "Ray Team"),
        ("ray", "Licence", "Apache-2.0"),
    ]
    assert cut == 0


@pytest.mark.parametrize(
    "line",
    ["Port: 8080", "- Port: 8080", "* **Port**: `8080`", "1. **Port:** 8080", "| x |\nPort: 8080", "Port：8080"],
)
def test_a_pair_may_be_written_in_the_usual_forms(line: str) -> None:
    assert ("Router", "Port", "8080") in stated(f"# Router\n\n{line}\n")


def test_front_matter_is_read_and_its_title_is_no_fact() -> None:
    assert stated("---\ntitle: Router\nowner: Ada Lovelace\n---\n\nText.\n") == [("Router", "owner", "Ada Lovelace")]


def test_an_attribute_keeps_a_gap_where_its_entity_stands_in_its_middle() -> None:
    assert stated("# ray\n\n- Python versions that ray requires: >=3.10\n") == [
        ("ray", "Python versions that … requires", ">=3.10")
    ]


def test_rows_of_a_table_are_about_their_first_cell() -> None:
    table = "| device | port | maker |\n|---|---|---|\n| Hub | 80 | ACME |\n| Node | 81 | |\n"
    assert stated(table) == [("Hub", "port", "80"), ("Hub", "maker", "ACME"), ("Node", "port", "81")]


def test_sentences_that_define_or_state_a_value_are_facts() -> None:
    told = "The default port of the gateway is 8000. Milvus is a vector\nstore. The timeout is 30 s."
    text = f"# Server\n\n{told}\n\nIt is a test.\n"
    assert stated(text) == [
        ("the gateway", "default port", "8000"),
        ("Milvus", "", "a vector store"),
        ("Server", "timeout", "30 s"),
    ]


def test_a_section_that_several_documents_have_is_named_with_its_document() -> None:
    text = "# {0}\n\n## Network settings\n\nPort: {1}\n"
    facts, _ = structured_facts(corpus_of({"a.md": text.format("Hub", 1), "b.md": text.format("Node", 2)}))
    assert [fact.entity for fact in facts] == ["Network settings of Hub", "Network settings of Node"]


def test_a_value_has_its_span_in_the_document() -> None:
    corpus = corpus_of({"a.md": "# Hub\n\n- **Maker**: `ACME Ltd`.\n"})
    (fact,) = structured_facts(corpus)[0]
    assert corpus.documents["a.md"].text[fact.start : fact.end] == fact.value == "ACME Ltd"


@pytest.mark.parametrize(
    "text",
    [
        "# Hub\n\n```\nport: 80\n```\n",
        "# Hub\n\nNote: this is only a remark.\n",
        "# Hub\n\nPurpose: " + "word " * 13,
        "# Hub\n\nSee https://example.org for more.\n",
        "# Hub\n\nMaker: [ACME](https://acme.example)\n",
        "# Hub\n\nNothing is stated here in any form, it is told as a story.\n",
    ],
)
def test_code_remarks_prose_and_links_are_no_facts(text: str) -> None:
    assert stated(text) == []


def test_source_code_has_no_facts() -> None:
    assert stated("port: int = 80\n", "a.py") == []


def test_a_value_that_two_passages_share_is_counted() -> None:
    corpus = corpus_of({"a.md": "The timeout is 30\n\ns."}, is_cut=True)
    whole = corpus_of({"a.md": "# Hub\n\nPort: 80\n"}, is_cut=True)
    assert structured_facts(corpus) == ([], 0)  # a paragraph ends there
    short = whole.passages[1]
    assert short.text == "Port: 80\n"
    object.__setattr__(short, "end", short.end - 2)
    assert structured_facts(whole) == ([], 1)


def test_keys_of_any_language_are_read() -> None:
    assert stated("# Gerät\n\n- Gewicht: 12,5 kg\n- 型号：X-100\n") == [
        ("Gerät", "Gewicht", "12,5 kg"),
        ("Gerät", "型号", "X-100"),
    ]
