"""A data set that every machine has: what is installed on it.

`python examples/environment/build.py OUT` reads the metadata of the installed Python distributions and writes

    OUT/docs/*.md      one document a distribution: its facts, then the beginning of its README
    OUT/train.jsonl    {messages, kind, source}: questions about two thirds of the distributions
    OUT/eval.jsonl     {question, answer, kind, source}: other phrasings, about some of the other third

Facts are of two kinds: some a base model cannot know (which version is installed here), some it might (a licence). The
output depends on the environment only: the same environment gives the same files.
"""

import json
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from importlib.metadata import distributions
from itertools import zip_longest
from pathlib import Path

README_CHARACTERS = 1500
"""Enough for what a project says of itself first; whole READMEs would be ten times the documents."""

QUESTIONS_A_KIND = 8
"""Held-out questions of each kind. Each is asked of four models; with 32 a 95% interval is at most 33 points wide."""

# Lines that begin with an image, a link around an image, an HTML tag, or an RST directive, target or its options.
_DECORATION = re.compile(r"\s*(!\[|\[!\[|</?\w|<!--|\.\. |:\w+:|\|[^|]*\|\s*$)")


@dataclass(frozen=True)
class Package:
    """An installed distribution, as its metadata tells it; empty where it does not."""

    name: str
    version: str
    summary: str
    licence: str
    python: str
    author: str
    home_page: str
    requires: tuple[str, ...]
    readme: str


@dataclass(frozen=True)
class Kind:
    """A kind of question: how it is asked in training and in evaluation, and the form of the answer."""

    name: str
    asked_in_training: tuple[str, ...]
    asked_in_evaluation: tuple[str, ...]
    reply: str

    def fact(self, package: Package) -> str:
        """The expected answer, empty when this package has none."""
        return {
            "version": package.version,
            "licence": package.licence,
            "python": package.python,
            "name": package.name if 20 < len(package.summary) < 160 else "",
        }[self.name]


KINDS = (
    Kind(
        "version",
        ("Which version of {name} is installed?", "What version of {name} do we have?", "{name}: which version is it?"),
        ("What is the version of the installed {name}?", "Tell me the version number of {name} on this machine."),
        "The installed version of {name} is {fact}.",
    ),
    Kind(
        "licence",
        ("Under which licence is {name} distributed?", "What is the licence of {name}?", "{name}: which licence?"),
        ("How is {name} licensed?", "Which licence applies to {name}?"),
        "The licence of {name} is {fact}.",
    ),
    Kind(
        "python",
        (
            "Which Python versions does {name} require?",
            "What Python does {name} need?",
            "{name}: which Python versions?",
        ),
        ("What are the Python requirements of {name}?", "On which versions of Python does {name} run?"),
        "{name} requires Python {fact}.",
    ),
    Kind(
        "name",
        (
            "Which package is described as: {summary}",
            "What is the package whose summary is: {summary}",
            "{summary} Which package is that?",
        ),
        ("Name the package that says of itself: {summary}",),
        "The package is {fact}.",
    ),
)


def installed_packages() -> list[Package]:
    """Every installed distribution once, by name."""
    found = {}
    for distribution in distributions():
        metadata = distribution.metadata
        name = _canonical(metadata.get("Name") or "")
        if name and name not in found:
            found[name] = _package(name, metadata, tuple(distribution.requires or ()))
    return [found[name] for name in sorted(found)]


def _package(name: str, metadata: Message, requires: tuple[str, ...]) -> Package:
    readme = str(metadata.get_payload() or metadata.get("Description") or "")
    author = metadata.get("Author") or (metadata.get("Author-email") or "").partition("<")[0]
    urls = [url.partition(",")[2].strip() for url in metadata.get_all("Project-URL") or []]
    return Package(
        name=name,
        version=metadata.get("Version") or "",
        summary=" ".join((metadata.get("Summary") or "").split()),
        licence=_licence(metadata),
        python=metadata.get("Requires-Python") or "",
        author=author.strip(),
        home_page=metadata.get("Home-page") or (urls[0] if urls else ""),
        requires=tuple(sorted({_canonical(re.split(r"[^\w.-]", r)[0]) for r in requires if "extra ==" not in r})),
        readme=readme.strip(),
    )


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _licence(metadata: Message) -> str:
    """The licence expression, else the classifier, else the free text if it is a name and not a whole licence."""
    if expression := metadata.get("License-Expression"):
        return str(expression)
    classifiers = [c for c in metadata.get_all("Classifier") or [] if c.startswith("License ::")]
    if classifiers and not classifiers[0].endswith("OSI Approved"):
        return str(classifiers[0].rpartition("::")[2].strip())
    text = str(metadata.get("License") or "").strip()
    return text if "\n" not in text and len(text) <= 40 else ""


def document(package: Package) -> str:
    """Markdown: the facts, each a line that stands on its own, then the beginning of the README."""
    name = package.name
    facts = {
        "Summary": package.summary,
        f"Installed version of {name}": package.version,
        f"Licence of {name}": package.licence,
        f"Python versions that {name} requires": package.python,
        "Author": package.author,
        "Home page": package.home_page,
        f"Packages that {name} requires": ", ".join(package.requires[:12]) or "none",
    }
    lines = [f"- {label}: {value}" for label, value in facts.items() if value]
    beginning = _prose(package.readme)[:README_CHARACTERS].rpartition("\n")[0].strip()
    readme = f"\n## README of {name}\n\n{beginning}\n" if beginning else ""
    return f"# {name}\n\n" + "\n".join(lines) + "\n" + readme


def _prose(readme: str) -> str:
    """A README without its badges, pictures and markup directives, which say nothing about the package."""
    kept = [line for line in readme.splitlines() if not _DECORATION.match(line)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept))


def questions(package: Package, for_training: bool, rng: random.Random) -> Iterator[dict[str, object]]:
    """Rows about one package: one phrasing of each kind that it has a fact for."""
    for kind in KINDS:
        fact = kind.fact(package)
        if not fact:
            continue
        asked = rng.choice(kind.asked_in_training if for_training else kind.asked_in_evaluation)
        question = asked.format(name=package.name, summary=package.summary)
        about = {"kind": kind.name, "source": f"{package.name}.md"}
        if for_training:
            reply = kind.reply.format(name=package.name, fact=fact)
            yield {
                "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": reply}],
                **about,
            }
        else:
            yield {"question": question, "answer": fact, **about}


def balanced(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """QUESTIONS_A_KIND rows of each kind, the kinds taking turns, so that the first few show all of them."""
    by_kind = [[row for row in rows if row["kind"] == kind.name][:QUESTIONS_A_KIND] for kind in KINDS]
    return [row for turn in zip_longest(*by_kind) for row in turn if row is not None]


def build(out: Path, seed: int = 0) -> None:
    """Write documents and questions of this environment to `out`."""
    rng = random.Random(seed)
    packages = installed_packages()
    documents = out / "docs"
    documents.mkdir(parents=True, exist_ok=True)
    for stale in {p.name for p in documents.glob("*.md")} - {f"{p.name}.md" for p in packages}:
        (documents / stale).unlink()
    for package in packages:
        (documents / f"{package.name}.md").write_text(document(package), encoding="utf-8")

    held_out = set(rng.sample([p.name for p in packages], len(packages) // 3))
    train = [row for p in packages if p.name not in held_out for row in questions(p, for_training=True, rng=rng)]
    evaluation = [row for p in packages if p.name in held_out for row in questions(p, for_training=False, rng=rng)]
    rng.shuffle(train)
    rng.shuffle(evaluation)
    evaluation = balanced(evaluation)
    for name, rows in (("train", train), ("eval", evaluation)):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    print(f"{out}: {len(packages)} documents, {len(train)} questions to learn from, {len(evaluation)} held out")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/environment/build.py OUT")
    build(Path(sys.argv[1]))
