"""Corpora of a few texts, each cut into passages at its blank lines or kept whole."""

from collections.abc import Mapping

from plait.documents.chunk import Chunk
from plait.documents.parse import parse
from plait.questions.corpus import Corpus


def corpus_of(texts: Mapping[str, str], is_cut: bool = False) -> Corpus:
    """A corpus of documents by name, all editable. `is_cut`: a passage is a paragraph, else a document."""
    documents = {name: parse(text.encode(), name) for name, text in texts.items()}
    passages = []
    for name, document in documents.items():
        start = 0
        for position, part in enumerate(document.text.split("\n\n") if is_cut else [document.text]):
            end = start + len(part)
            chunk_id = f"{name}#{position}"
            passages.append(Chunk(chunk_id, name, document.title, "", part, position, start, end, 1, "hash", 0))
            start = end + 2
    return Corpus(documents, passages, frozenset(texts))


PACKAGES = {
    f"{name}.md": f"# {name}\n\n- Installed version of {name}: {version}\n- Author: {author}\n{licence}"
    for name, version, author, licence in (
        ("ray", "2.60.0", "Ray Team", "- Licence of ray: Apache-2.0\n"),
        ("rich", "15.1.0", "Will McGugan", "- Licence of rich: MIT\n"),
        ("textual", "8.2.0", "Will McGugan", "- Licence of textual: MIT\n"),
        ("numpy", "2.4.1", "Travis Oliphant", ""),
        ("typer", "0.29.3", "Sebastian Ramirez", "- Licence of typer: BSD-3-Clause\n"),
        ("peft", "0.21.2", "Hugging Face", "- Licence of peft: Apache-2.0\n"),
    )
}
"""Documents like those of the demo; numpy has no licence, and two have the same author."""
