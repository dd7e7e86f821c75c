"""/v1/feedback: what a person says of an answer. It is kept with the answer; `plait data export-feedback` reads it."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from plait.evaluation.live.answer import Rating
from plait.serve.api.openapi import errors
from plait.serve.api.request_body import RequestBody
from plait.serve.api.services import Services, services

routes = APIRouter(tags=["feedback"])
_VALUES = {"up": 1.0, "down": 0.0}
MAX_CORRECTION, MAX_COMMENT = 32_768, 4_096


class FeedbackRequest(RequestBody):
    """A rating of an answer of chat, in whichever API's shape it was asked for; a later one takes its place."""

    request_id: str = Field(
        pattern=r"^[A-Za-z0-9._-]{1,128}$", description="The header X-Request-Id of the answer's response."
    )
    rating: Literal["up", "down"] | Annotated[float, Field(ge=0, le=1)] = Field(
        description="up, down, or a number from 0 (bad) to 1 (good)."
    )
    correction: str | None = Field(
        None, min_length=1, max_length=MAX_CORRECTION, description="What the answer should have been."
    )
    comment: str | None = Field(None, max_length=MAX_COMMENT)


class Feedback(BaseModel):
    """What was kept."""

    object: Literal["feedback"] = "feedback"
    request_id: str
    rating: float
    correction: str | None
    comment: str | None


@routes.post("/v1/feedback", responses=errors(404, 429, 503))
async def feedback(body: FeedbackRequest, services: Annotated[Services, Depends(services)]) -> Feedback:
    """Rate an answer, perhaps with a correction; the server must keep answers (`answers.keep`), and only the key that
    asked, or an administrator's, may rate one."""
    value = _VALUES[body.rating] if isinstance(body.rating, str) else body.rating
    await services.rate(body.request_id, Rating(value, body.correction or "", body.comment or ""))
    return Feedback(request_id=body.request_id, rating=value, correction=body.correction, comment=body.comment)
