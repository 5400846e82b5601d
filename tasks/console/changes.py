"""Changes: promote, roll back, pin and unpin, with a key that has the right, and a reason.

The key comes in a header, which no page of somebody else's can make a browser send. What the
operator saw is sent along; if it is not so any more the answer is 409 and says what happened.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from tasks.records import Decision
from tasks.registry import decisions, history, mlflow_store
from tasks.serving.api_keys import PROMOTE, require

router = APIRouter(prefix="/api")

LONGEST_REASON = 1000
"""Characters of a reason."""

Name = Annotated[str, Path(description="Name of the registered model.", max_length=250)]


class Change(BaseModel):
    """What an operator decides."""

    model_config = ConfigDict(extra="forbid")

    expected: int = Field(ge=0, description="Version that serves now, as far as is known; 0: none.")
    why: str = Field(min_length=3, max_length=LONGEST_REASON, description="Reason, kept for good.")


class Promotion(Change):
    """Which version should serve."""

    version: int = Field(ge=1)


@router.post("/detectors/{name}/promote")
def promote(request: Request, name: Name, wanted: Promotion) -> Decision:
    """Let a version serve, whatever the comparison said; 409 if somebody was quicker."""
    who = _operator(request, name, wanted)
    seen = wanted.expected or None
    return decisions.appoint(name, wanted.version, wanted.why, instead_of=seen, who=who)


@router.post("/detectors/{name}/rollback")
def roll_back(request: Request, name: Name, wanted: Change) -> Decision:
    """Let the version serve again that served before; 409 if somebody was quicker."""
    who = _operator(request, name, wanted)
    return decisions.rollback(name, wanted.why, instead_of=wanted.expected or None, who=who)


@router.post("/detectors/{name}/pin")
def pin(request: Request, name: Name, wanted: Change) -> Decision:
    """Stop automatic promotion; 409 if another version serves by now."""
    who = _operator(request, name, wanted)
    return decisions.pin(name, None, wanted.why, who=who)


@router.post("/detectors/{name}/unpin")
def unpin(request: Request, name: Name, wanted: Change) -> Decision:
    """Let retrains promote again; 409 if another version serves by now, or nothing is pinned."""
    who = _operator(request, name, wanted)
    return decisions.unpin(name, wanted.why, who=who)


def _operator(request: Request, name: str, wanted: Change) -> str:
    """Who decides, if the key allows it and what was seen is still so."""
    who = require(request, PROMOTE)
    history.check_unchanged(name, wanted.expected or None, mlflow_store.client())
    return f"{who} (console)"
