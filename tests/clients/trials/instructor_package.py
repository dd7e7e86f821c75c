"""Instructor, in the modes that it has for OpenAI's shapes."""

import instructor
from openai import OpenAI
from pydantic import BaseModel
from trial import URL, feature, run


class City(BaseModel):
    name: str
    country: str


ASK = [{"role": "user", "content": "Which city is the capital of Italy? Name the country, too."}]


def city(mode: instructor.Mode) -> City:
    client = instructor.from_openai(OpenAI(base_url=URL, api_key="none"), mode=mode)
    made = client.create(model="base", messages=ASK, response_model=City, max_retries=1)
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
