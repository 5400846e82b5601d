"""Trace a prediction: from an answer of the server to the version that gave it, and on from there.

On its way nothing imports torch or Prefect, as in ``tasks.lineage.trace``.
"""

from dataclasses import dataclass

from models.errors import NotFoundError
from tasks.lineage.trace import trace
from tasks.lineage.trace_records import Trace
from tasks.serving.monitoring import prediction_log
from tasks.serving.monitoring.prediction_log import LoggedPrediction


@dataclass(frozen=True, kw_only=True)
class TracedPrediction:
    """A prediction, and what the detector behind it was made from."""

    prediction: LoggedPrediction
    trace: Trace | None
    """Of the version that answered; None if the registry has it no longer."""
    notes: tuple[str, ...] = ()
    """What does not fit, in sentences."""


def trace_prediction(request_id: str) -> TracedPrediction:
    """Everything behind one answer of the server.

    Args:
        request_id: As the answer named it; of several with the same one, the newest counts.

    Raises:
        NotFoundError: If no such prediction was kept here.
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
    return TracedPrediction(prediction=found, trace=lineage, notes=tuple(notes))
