"""The nouns that travel between tasks: small, frozen, made of ids and figures, never of tensors."""

from dataclasses import dataclass, field
from typing import Any

from models.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class DataVersion:
    """The exact bytes of one data set, as DVC names them."""

    name: str
    """Name of the data set: its folder below ``data/``."""
    digest: str
    """Digest of the data set's own subtree: md5 of its sorted (path, md5) list, and ``.dir``."""
    dvc_md5: str
    """``md5`` of the whole ``data`` folder, as ``data.dvc`` had it when the set was ingested."""
    git_commit: str
    """Commit of the repository at that moment; ends in ``+dirty`` if ``data.dvc`` differed."""
    remote: str | None
    """URL of DVC's default remote, or None."""
    num_files: int
    num_bytes: int
    origin: str = ""
    """Where DVC imported it from, as ``dvc import URL PATH at COMMIT``; empty if it did not."""


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Outcome of the expectations on one data version."""

    run_id: str
    """MLflow run with the full result (``validation/result.json``) and the Data Docs."""
    data_digest: str
    suite: str
    """Name of the expectation suite."""
    num_expectations: int
    failed: tuple[str, ...] = ()
    """Expectations of severity ``warning`` that failed; a critical one raises instead."""
    statistics: dict[str, float] = field(default_factory=dict)
    """Counts and intensity range of the training images (``train_mean_min`` and so on)."""


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A model logged by one MLflow run: an encoder of a pretext task, or a detector."""

    run_id: str
    model_uri: str
    """``runs:/...`` folder of an encoder, ``models:/m-...`` of a detector."""
    data_digest: str


@dataclass(frozen=True, kw_only=True)
class Selection:
    """A detector that was chosen among candidates, by defects put into normal images."""

    run_id: str
    """MLflow run with the whole table."""
    name: str
    """Of the chosen candidate."""
    runner_up: str
    margin: float
    """AUROC of the chosen less that of the runner-up, both on put-in defects."""
    margin_lower_bound: float
    """One-sided 95% bound of that; below 0, the runner-up may be as good."""
    put_in_auroc: dict[str, float]
    """Of each candidate."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A registered detector from which that of another camera is made."""

    name: str
    version: int
    run_id: str
    """Run that fitted it."""
    model_uri: str
    digest: str
    """SHA-256 over all files of the packaged detector."""
    data: DataVersion
    """What it was trained on."""
    training: "Training"
    """How its images were read, and the device. Frames have the size that it was trained on."""
    recipe: dict[str, Any]
    """The whole experiment."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """How good a detector is on the test split of one data version."""

    run_id: str
    """Run of the detector, which holds ``evaluation/scores.csv`` and the plots."""
    data_digest: str
    metrics: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Samples:
    """Pictures that a density model drew."""

    run_id: str
    """Run of the model, which holds ``samples/samples.png``."""
    num: int
    """How many; 0 if the model draws none."""
    metrics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A version of a registered model."""

    name: str
    version: int
    alias: str
    """``challenger``, ``champion``, or empty."""
    run_id: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What a challenger is worth beside the version that served at that moment."""

    name: str
    version: int
    """The challenger."""
    run_id: str
    """Its run, whose evaluation this is about."""
    champion: int | None
    """The version that served; None if none did."""
    accepted: bool
    """It may serve."""
    why: str
    metric: str
    """What was compared."""
    terms: dict[str, float]
    """Margin, confidence and so on, as the policy has them; empty if nothing was compared, because
    it was decided already."""
    figures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One entry of the append-only history of a registered model."""

    action: str
    """``promote``, ``refuse``, ``rollback``, ``pin``, ``unpin``, or ``set in MLflow``;
    ``unreadable`` if the entry is damaged."""
    name: str
    version: int
    """The version that was judged; 0 if it was about none."""
    champion: int
    """The version that serves afterwards; 0 if none does."""
    former: int | None
    """The version that served before."""
    why: str
    who: str
    when: str
    """UTC, ISO 8601."""
    figures: dict[str, float] = field(default_factory=dict)
    """Of a comparison: what it found, and its terms."""
    metric: str = ""
    """What was compared; empty if nothing was."""
    made_of: str = ""
    """Digest of the data and recipe of the version that was judged."""


@dataclass(frozen=True, kw_only=True)
class Monitored:
    """What one look at a served version found."""

    name: str
    version: int
    verdict: str
    """``drift``, ``no drift`` or ``not enough yet``."""
    why: str
    frames: int
    """Recent frames that this is about."""
    run_id: str = ""
    """MLflow run with the report and its picture; empty if there was too little to report."""
    event_id: str = ""
    """Prefect event that told of drift; empty if there was none."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """How images are read and where a model is trained; the same for pretext and detector."""

    window: int = 1
    """Consecutive gray frames of one input: 6 for clips, 1 for still images."""
    channels: int = 1
    """Channels of one frame: 1 (gray) or 3 (colour, still images only)."""
    image_size: tuple[int, int] | None = None
    """Height and width in pixels that every frame is resized to; None keeps its own."""
    smoothing: int = 1
    """Frames of a clip over whose scores the score of a frame is averaged: it and those before it.
    Steadier, and as late; 1 leaves it as it is. Anomaly maps are not averaged."""
    batch_size: int = 32
    calibration_share: float = 0.2
    """Share of the normal training clips held out for thresholds and p-values, in (0, 1)."""
    calibration: str = "held-out"
    """``held-out``: thresholds and p-values come from ``calibration_share`` of the normal images;
    ``cross``: where the detector can and no encoder was trained on them, every normal image trains
    and calibrates, scored once by a detector that has not seen it (cross-conformal)."""
    seed: int = 0
    backbone: str = "pretext"
    """``pretext``: train the encoder on this data; ``imagenet``: torchvision's AlexNet weights."""
    device: str = "auto"
    """``auto`` (a GPU if there is one), ``cpu`` or ``cuda``."""
    devices: int = 1
    """Processes that solve the pretext task together, each on a GPU or some of the cores, >= 1."""

    def __post_init__(self) -> None:
        _require(self.window >= 1, f"window must be at least 1, got {self.window}.")
        _require(self.channels in {1, 3}, f"channels must be 1 or 3, got {self.channels}.")
        _require(
            self.window == 1 or self.channels == 1,
            f"A window of {self.window} frames is made of gray frames: channels must be 1, "
            f"got {self.channels}.",
        )
        _require(
            self.smoothing >= 1 and (self.smoothing == 1 or self.window > 1),
            "smoothing must be at least 1, and 1 for still images (window 1), got "
            f"{self.smoothing} with window {self.window}.",
        )
        size = self.image_size
        _require(
            size is None or (len(size) == 2 and min(size) >= 1),
            f"image_size must be a height and a width of at least 1 pixel, or None, got {size}.",
        )
        _require(self.devices >= 1, f"devices must be at least 1, got {self.devices}.")
        _require(self.batch_size >= 1, f"batch_size must be at least 1, got {self.batch_size}.")
        _require(
            0 < self.calibration_share < 1,
            f"calibration_share must be in (0, 1), got {self.calibration_share}.",
        )
        _require(
            self.calibration in {"held-out", "cross"},
            f"calibration must be 'held-out' or 'cross', got {self.calibration!r}.",
        )
        _require(
            self.backbone in {"pretext", "imagenet"},
            f"backbone must be 'pretext' or 'imagenet', got {self.backbone!r}.",
        )
        _require(
            self.device in {"auto", "cpu", "cuda"},
            f"device must be 'auto', 'cpu' or 'cuda', got {self.device!r}.",
        )


def _require(holds: bool, message: str) -> None:  # noqa: FBT001
    if not holds:
        raise InvalidInputError(message)
