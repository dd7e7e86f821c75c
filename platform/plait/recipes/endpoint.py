"""The part of a recipe that names a model behind an endpoint."""

from pydantic import Field

from plait.section import Section


class ModelEndpoint(Section):
    """A model behind an OpenAI-compatible endpoint."""

    model: str = Field(min_length=1, description="Its name there.")
    base_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+\S*$",
        description="Of the API, as in http://host:8000/v1; unset: this machine's server.",
    )
    api_key_env: str | None = Field(None, description="The environment variable that holds the key of the endpoint.")
