"""Trace a prediction: from an answer of the server to the version that gave it, and on from there.

On its way nothing imports torch or Prefect, as in ``tasks.lineage.trace``, unless the image that
was sent is given: then the detector looks at it again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import InvalidInputError, NotFoundError
from tasks.lineage.trace import trace
from tasks.lineage.trace_records import Trace
from tasks.serving import kept_pictures
from tasks.serving.monitoring import prediction_log
from tasks.serving.monitoring.prediction_log import LoggedPrediction

if TYPE_CHECKING:
    from tasks.serving.evidence import Evidence


@dataclass(frozen=True, kw_only=True)
class TracedPrediction:
    """A prediction, and what the detector behind it was made from."""

    prediction: LoggedPrediction
    trace: Trace | None
    """Of the version that answered; None if the registry has it no longer."""
    notes: tuple[str, ...] = ()
    """What does not fit, in sentences."""
    evidence: tuple[Evidence, ...] = ()
    """What each region of the image was compared with, if the image was given."""
    picture: str = ""
    """File that shows it; empty if there is none."""


def trace_prediction(
    request_id: str, image: Path | None = None, picture: Path = Path("evidence.png")
) -> TracedPrediction:
    """Everything behind one answer of the server.

    Args:
        request_id: As the answer named it; of several with the same one, the newest counts.
        image: The image that was sent, to be told what its regions were compared with; if None,
            the one that raised the alarm, if the server has kept it (``unseen serve --keep``).
        picture: PNG to write of that.

    Raises:
        NotFoundError: If no such prediction was kept here.
        InvalidInputError: If the image is not the one that was sent, or the detector cannot tell.
        RegistryError: If the registry does not answer.
    """
    found, *others = prediction_log.find(request_id)
    notes = []
    if others:
        notes.append(
            f"{len(others)} older predictions have the same request id, which their sender chose."
        )
    try:
        lineage = trace(f"{found.model}@{found.version}")
    except NotFoundError as error:
        notes.append(f"The version that answered is no longer registered. {error}")
        return TracedPrediction(prediction=found, trace=None, notes=tuple(notes))
    if lineage.model.digest != found.model_digest:
        notes.append(
            f"The model that answered had the digest {found.model_digest}, and the one that is "
            f"registered as {found.model} version {found.version} has {lineage.model.digest}."
        )
    evidence: tuple[Evidence, ...] = ()
    seen = image or _kept(found)
    if seen is not None:
        from tasks.serving import evidence as looked_at  # brings in torch

        try:
            evidence = looked_at.evidence(found, seen, picture)
        except InvalidInputError as error:
            if image is not None:
                raise
            notes.append(str(error))
    return TracedPrediction(
        prediction=found,
        trace=lineage,
        notes=tuple(notes),
        evidence=evidence,
        picture=str(picture) if any(each.file for each in evidence) else "",
    )


def _kept(said: LoggedPrediction) -> Path | None:
    """The picture that raised the alarm, if it was kept."""
    if not said.anomalous or len(said.files) != len(said.frames):
        return None
    path = kept_pictures.path_of(said.model, said.files[said.frames.index(said.anomalous[0])])
    return path if path.is_file() else None
