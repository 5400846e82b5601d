"""The nouns of a trace: what a deployed detector was made from, and where a file was used."""

from dataclasses import dataclass, field
from typing import Any

from tasks.data.judged import Judged
from tasks.records import DataVersion, Decision, Validation


@dataclass(frozen=True, kw_only=True)
class TracedModel:
    """The model version at which a trace starts."""

    name: str
    version: int
    aliases: tuple[str, ...]
    champion: int | None
    """The version that has the alias ``champion`` now."""
    digest: str
    """SHA-256 over all files of the packaged detector."""
    created: str
    source: str
    """Where MLflow keeps its files."""


@dataclass(frozen=True, kw_only=True)
class TracedRun:
    """An MLflow run that the model came from."""

    run_id: str
    found: bool
    """False if the run was deleted."""
    status: str = ""
    started: str = ""
    seconds: float | None = None
    user: str = ""
    hardware: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TracedData:
    """A data version, and whether its bytes can still be had on this machine."""

    version: DataVersion
    available: int | None = None
    """Files whose bytes are in DVC's cache; None if the list of files is lost."""
    missing: int | None = None
    remote: str | None = None
    """URL of DVC's default remote now; ``version`` has that of the time of training."""
    in_remote: int | None = None
    """How many of the missing files that remote has; None if it was not asked or did not answer."""


@dataclass(frozen=True, kw_only=True)
class TracedPretext:
    """The pretext run that trained the encoder."""

    run: TracedRun
    backbone: str
    """``pretext``: trained on the data; ``imagenet``: made from published weights; ``adapted``:
    adapted to the data; ``untrained``."""
    data: TracedData | None
    """None if it saw no data of ours."""


@dataclass(frozen=True, kw_only=True)
class TracedSource:
    """The model version that the detector was adapted from."""

    name: str
    version: int
    digest: str
    """SHA-256 over all files of its packaged detector."""
    run: TracedRun
    data: TracedData | None
    """What it was trained on; None if that is not known any more."""


@dataclass(frozen=True, kw_only=True)
class TracedStatistics:
    """The moments that a detector was made from, and what was added to and taken from another's."""

    digest: str
    """SHA-256 of count, mean and scatter."""
    num_clips: int
    parent_run_id: str
    """Run whose moments were updated; empty if all clips were read."""
    parent_digest: str
    parent_data_digest: str
    added: tuple[str, ...]
    """Clips that were not in the parent, or not as they are now."""
    removed: tuple[str, ...]
    updates: int
    """Refits from a parent since all clips were read."""
    why: str
    """Why there was no parent."""


@dataclass(frozen=True, kw_only=True)
class TracedFlow:
    """The Prefect flow run that trained the model."""

    flow_run_id: str
    url: str | None = None
    """Where to look at it, if the Prefect server answers and knows it."""
    name: str = ""
    state: str = ""


@dataclass(frozen=True, kw_only=True)
class TracedReproduction:
    """The version was trained again and compared; see ``tasks.lineage.reproduction``."""

    run_id: str
    """MLflow run that keeps the report."""
    when: str
    verdict: str


@dataclass(frozen=True, kw_only=True)
class Trace:
    """Everything a deployed detector was made from."""

    reference: str
    model: TracedModel
    run: TracedRun
    recipe: dict[str, Any]
    seed: int | None
    git_commit: str
    code_version: str
    data: TracedData
    validation: Validation | None
    pretext: TracedPretext | None
    source: TracedSource | None
    """None unless it was adapted from another model version."""
    statistics: TracedStatistics | None = None
    """None if the detector's statistics do not add up."""
    judged: tuple[Judged, ...] = ()
    """Predictions that people judged and whose pictures are in its data."""
    reproductions: tuple[TracedReproduction, ...] = ()
    """The newest first."""
    metrics: dict[str, float]
    decisions: tuple[Decision, ...]
    """What was decided about this version, and about the one that serves now, oldest first."""
    flow: TracedFlow | None
    notes: tuple[str, ...]
    """What could not be found, and what took its place."""


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """A registered model version whose training or evaluation used a file."""

    model: str
    version: int
    aliases: tuple[str, ...]
    serves: bool
    """Whether it is the champion now."""
    served: bool
    """Whether it is or was the champion."""
    relpath: str
    """What the file is called in the data version."""
    role: str
    """``train``, ``test`` or ``ground_truth``."""
    through: tuple[str, ...]
    """``detector``: the file is in its data version; ``pretext``: in that of its encoder;
    ``source``: in that of the model version that it was adapted from."""
    data_digest: str


@dataclass(frozen=True, kw_only=True)
class Sightings:
    """Everything that is known about who used a file."""

    path: str
    md5: str
    found: tuple[Sighting, ...]
    searched: int
    """Model versions that were looked at."""
    unknown: tuple[str, ...]
    """Data versions whose list of files is lost, so that they could not be searched."""


@dataclass(frozen=True, kw_only=True)
class Restored:
    """The bytes that a model version was trained on, written to a folder and verified."""

    model: str
    version: int
    folder: str
    data: DataVersion
    num_files: int
    num_bytes: int
