"""A question of a request that only searches: it needs a word to look for."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from plait.index.words import has_words
from plait.validation import DOES_NOT_FIT


def _has_words(question: str) -> str:
    if not has_words(question):
        raise PydanticCustomError(DOES_NOT_FIT, "there is no letter and no digit in it to search for")
    return question


SearchQuestion = Annotated[str, Field(min_length=1), AfterValidator(_has_words)]
