"""Questions that a model writes about documents, to measure retrieval where nobody has asked any yet.

They are asked in words of the text more often than people's questions are, which favours search by words.
"""

from collections.abc import Callable, Iterable, Iterator

from plait.retrieval.fitting import KnownQuestion

QUESTION_TOKENS = 48
_TASK = (
    "Write one short question that somebody asks who needs the following text, in other words than the text's own. "
    "Reply with the question alone."
)


def write_questions(texts: Iterable[tuple[str, str]], ask: Callable[[str], str]) -> Iterator[KnownQuestion]:
    """A question about each text (the name of its document, and it) for which the model writes one.

    `ask`: what a model replies to a prompt.
    """
    for source, text in texts:
        lines = [line.strip() for line in ask(f"{_TASK}\n\n{text}").splitlines()]
        question = next((line for line in lines if line.endswith("?")), None)
        if question is not None:
            yield KnownQuestion(question, source)
