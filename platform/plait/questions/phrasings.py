"""How a fact is asked about without a model: by templates, one kind for the eval set and others for training data.

In: facts, and templates by attribute. Out: asked facts. The built-in templates are English.
"""

import random
from collections.abc import Mapping, Sequence

import regex

from plait.questions.fact import GAP, AskedFact, Fact
from plait.recipes import QuestionTemplates

ANY = "*"
ENGLISH = QuestionTemplates(
    evaluate=["What {verb} {subject}?", "Say what {subject} {verb}."],
    train=[
        "Tell me {subject}.",
        "I am looking for {subject}.",
        "Please look up {subject}.",
        "Could you give me {subject}?",
        "I need to know {subject}.",
        "What do the documents say about {subject}?",
    ],
)
WHAT_IT_IS = QuestionTemplates(
    evaluate=["What {verb} {entity}?"],
    train=[
        "Tell me what {entity} {verb}.",
        "Explain {entity} in a few words.",
        "I have never heard of {entity}. Can you say what that {verb}?",
        "How would you describe {entity}?",
    ],
)
"""Of facts without an attribute, which say what something is. `X is Y.` is the form of any sentence, and so of none."""
_OPEN = "\ufdd0"
"""Stands for a value or an entity while a template is filled: a code that Unicode keeps out of texts."""


class Phrasings:
    """Templates by attribute.

    Args:
        templates: by attribute, in any case, `*` for any other; none: the built-in ones for all.
    """

    def __init__(self, templates: Mapping[str, QuestionTemplates]) -> None:
        self._by_attribute = {attribute.lower(): each for attribute, each in templates.items()}

    def of(self, attribute: str) -> QuestionTemplates | None:
        """The templates that ask about an attribute; None where nobody asks about it."""
        if not self._by_attribute:
            return ENGLISH if attribute else WHAT_IT_IS
        return self._by_attribute.get(attribute.lower(), self._by_attribute.get(ANY))

    def question(self, attribute: str, entity: str, random_: random.Random) -> str | None:
        """A question of the eval set about an attribute of an entity."""
        templates = self.of(attribute)
        return _filled(random_.choice(templates.evaluate), attribute, entity) if templates else None

    def phrase(self, facts: Sequence[Fact], count: int, seed: int) -> list[AskedFact]:
        """Facts with their questions, `count` for training at most; those that nobody asks about are left out."""
        asked = []
        for fact in facts:
            templates, random_ = self.of(fact.attribute), random.Random(f"{seed} {fact.fact_id}")
            if templates is None:
                continue
            drawn = random_.sample(templates.train, min(count, len(templates.train)))
            question, *training = (
                _filled(template, fact.attribute, fact.entity)
                for template in (random_.choice(templates.evaluate), *drawn)
            )
            reply = _filled(templates.reply, fact.attribute, fact.entity, _OPEN)
            form = None if templates is WHAT_IT_IS else _form(templates.reply, fact.attribute)
            asked.append(AskedFact(fact, question, tuple(training), tuple(reply.split(_OPEN)), form))
        return asked


def subject_of(attribute: str, entity: str) -> str:
    """What a question is about, as a phrase.

    >>> subject_of("Installed version", "ray"), subject_of("versions that … requires", "ray")
    ('the installed version of ray', 'the versions that ray requires')
    """
    if not attribute:
        return entity
    is_word = attribute[:1].isupper() and not attribute[1:2].isupper()
    lowered = attribute[:1].lower() + attribute[1:] if is_word else attribute
    with_article = lowered if lowered.startswith("the ") else f"the {lowered}"
    return with_article.replace(GAP, entity) if GAP in attribute else f"{with_article} of {entity}"


def verb_of(attribute: str) -> str:
    """`is` or `are`, by the last word of what an attribute is about."""
    words = attribute.lower().split()
    end = next((place for place, word in enumerate(words) if word in ("that", "of", "for", "which", GAP)), len(words))
    noun = words[end - 1] if end else ""
    return "are" if noun.endswith("s") and not noun.endswith(("ss", "us", "is")) else "is"


def _form(reply: str, attribute: str) -> str:
    """What all replies of a template about an attribute match."""
    filled = _filled(reply, attribute, _OPEN, _OPEN)
    return ".+".join(regex.escape(part, literal_spaces=True) for part in filled.split(_OPEN))


def _filled(template: str, attribute: str, entity: str, value: str = "") -> str:
    """A template as a sentence, which begins with a capital unless it begins with a name."""
    subject, verb = subject_of(attribute, entity), verb_of(attribute)
    sentence = template.format(attribute=attribute, entity=entity, subject=subject, value=value, verb=verb)
    return f"The {sentence[4:]}" if sentence.startswith("the ") else sentence
