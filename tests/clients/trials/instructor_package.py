"""Instructor, in the modes that it has for OpenAI's shapes."""

import instructor
from openai import OpenAI
from pydantic import BaseModel
from trial import URL, feature, run


class City(BaseModel):
    name: str
    country: str


ASK = [{"role": "user", "content": "The name is Rome, and the country is Italy."}]


def city(mode: instructor.Mode) -> City:
    client = instructor.from_openai(OpenAI(base_url=URL, api_key="none"), mode=mode)
    made = client.create(model="base", messages=ASK, response_model=City, max_retries=1, temperature=0)
    assert isinstance(made, City)
    return made


@feature
def chat_tools() -> None:
    city(instructor.Mode.TOOLS)


@feature
def chat_structured() -> None:
    city(instructor.Mode.JSON_SCHEMA)


@feature
def chat_json() -> None:
    city(instructor.Mode.JSON)


@feature
def responses_tools() -> None:
    city(instructor.Mode.RESPONSES_TOOLS)


run()
