"""Inbox: kept pictures to be judged on the page, with a key that has the right ``label``."""

from dataclasses import asdict
from typing import Annotated, Any, Literal

import anyio
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, ConfigDict, Field

from models.errors import NotFoundError
from tasks.console.reads import Name
from tasks.console.tries import Tries
from tasks.feedback import inbox
from tasks.feedback.inbox import Item
from tasks.feedback.judgements import Judgement
from tasks.serving.api_keys import LABEL, require
from tasks.serving.pages import FOREIGN_POLICY

router = APIRouter(prefix="/api/detectors/{name}")

Picture = Annotated[str, Path(description="SHA-256 of a file.", pattern="^[0-9a-f]{64}$")]
Prediction = Annotated[str, Query(description="As an item of the inbox has it.", max_length=200)]


class Said(BaseModel):
    """What an operator says that a picture shows."""

    model_config = ConfigDict(extra="forbid")

    prediction: str = Field(max_length=200)
    verdict: Literal["normal", "defect", "skip"]
    kind: str = Field(default="", max_length=64, description="Of a defect: a folder of test/.")


@router.get("/inbox")
def waiting(request: Request, name: Name) -> list[Item]:
    """Alarms, and what was closest to one, that nobody has judged; the newest first."""
    require(request)
    return list(inbox.inbox(name))


@router.get("/pictures/{digest}")
def picture(request: Request, name: Name, digest: Picture) -> FileResponse:
    """The bytes of a kept picture."""
    require(request)
    path = inbox.picture_path(name, digest)
    if path is None:
        raise NotFoundError(f"The picture {digest[:12]} of {name} is not kept any more.")
    headers = {"Content-Security-Policy": FOREIGN_POLICY, "Cache-Control": "private, max-age=600"}
    return FileResponse(path, media_type="application/octet-stream", headers=headers)


@router.get("/look")
async def look(request: Request, name: Name, prediction: Prediction) -> dict[str, Any]:
    """A picture as the version that scored it sees it: map, regions, nearest normal picture."""
    await anyio.to_thread.run_sync(require, request)
    tries: Tries = request.app.state.tries
    return await tries.look(name, prediction, request.state.request_id)


@router.post("/judgements")
def judge(request: Request, name: Name, said: Said) -> Judgement:
    """Say what a picture shows."""
    who = require(request, LABEL)
    return inbox.judge(name, said.prediction, said.verdict, said.kind, who=f"{who} (console)")


@router.post("/judgements/undo")
def undo(request: Request, name: Name) -> Judgement:
    """Take the last judgement of this key back."""
    who = require(request, LABEL)
    return inbox.undo(name, who=f"{who} (console)")


@router.post("/absorb")
def absorb(request: Request, name: Name) -> dict[str, Any]:
    """Bring judged pictures into the data; 409 while the model is retrained."""
    require(request, LABEL)
    from tasks.feedback.absorb import absorb as bring_in

    return asdict(bring_in(name))
