"""Policy: when a challenger is good enough to serve, written down before anything is trained."""

from dataclasses import dataclass

from models.errors import InvalidInputError


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What one metric is compared by."""

    chance: str
    """What a model that knows nothing gets, in words; its value comes with the test images."""
    higher_is_better: bool = True
    scores: str = "evaluation/scores.csv"
    """Artifact of an evaluated run: ``clip``, ``kind``, ``frame``, ``label``, ``image_score``; of a
    clusterer also ``cluster``."""
    needs_labels: bool = True
    """Whether the test split must hold anomalies or classes that people marked."""


METRICS = {
    "frame_auc": Metric(chance="0.5: scores that are all equal"),
    "image_auroc": Metric(chance="0.5: scores that are all equal"),
    "cluster_acc": Metric(chance="the share of the largest class: one cluster for all images"),
    "put_in_auroc": Metric(
        chance="0.5: scores that are all equal",
        scores="evaluation/put_in_scores.csv",
        needs_labels=False,
    ),
    "false_alarm_rate": Metric(
        chance="0.5: a coin for every normal image", higher_is_better=False, needs_labels=False
    ),
}
"""Metrics that can be compared: the area under the ROC curve of a clip's frames, of images, and of
anomalies that were put into normal images; the accuracy of clusters; and the share of normal images
that raise an alarm."""
LABEL_FREE = "label_free"
"""Stands for both metrics that need no labels: neither may be worse."""
PARTS = {**{name: (name,) for name in METRICS}, LABEL_FREE: ("put_in_auroc", "false_alarm_rate")}
"""What a policy may compare, and the metrics that this means."""


@dataclass(frozen=True, kw_only=True)
class PromotionPolicy:
    """When a challenger is good enough to serve."""

    metric: str = "frame_auc"
    """What is compared: one of ``METRICS``, or ``label_free`` where nobody marked test images."""
    margin: float = 0.01
    """How much worse the challenger may be, in the metric's own unit, at least 0."""
    floor: float | None = None
    """What the lower confidence bound of the metric of a first champion must be above; chance if
    None, and anything will do at -1. Of a rate that should be low: what its upper bound must be
    below."""
    confidence: float = 0.95
    """Confidence of the bounds, in (0.5, 1)."""
    num_resamples: int = 1000
    """Bootstrap samples of the test clips."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.metric not in PARTS:
            raise InvalidInputError(
                f"metric must be one of {', '.join(PARTS)}, got {self.metric!r}."
            )
        if not self.margin >= 0:
            raise InvalidInputError(f"margin must be at least 0, got {self.margin}.")
        if self.floor is not None and not -1 <= self.floor < 1:
            raise InvalidInputError(f"floor must be in [-1, 1), got {self.floor}.")
        if self.floor is not None and self.metric == LABEL_FREE:
            raise InvalidInputError(
                f"floor must be None for {LABEL_FREE}, whose metrics each have their own chance, "
                f"got {self.floor}."
            )
        if not 0.5 < self.confidence < 1:
            raise InvalidInputError(f"confidence must be in (0.5, 1), got {self.confidence}.")
        if self.num_resamples < 1:
            raise InvalidInputError(f"num_resamples must be at least 1, got {self.num_resamples}.")

    @property
    def parts(self) -> tuple[str, ...]:
        """The metrics that are compared, none of which may be worse."""
        return PARTS[self.metric]

    def figures(self) -> dict[str, float]:
        """The terms of a comparison, as they are recorded with its outcome."""
        terms: dict[str, float] = {
            "margin": self.margin,
            "confidence": self.confidence,
            "num_resamples": self.num_resamples,
            "seed": self.seed,
        }
        return terms if self.floor is None else {**terms, "floor": self.floor}
