"""Choose a detector without labels: by defects that are put into normal images.

Shapes: N = images, C = channels, H W = image.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor

from models.contracts import DetectorConfig, Encoder, Progress, silent
from models.errors import InvalidInputError, TrainingError
from models.functional.put_in_defects import KINDS, put_in_defects
from models.metrics.bootstrap import Difference
from models.metrics.detection import auc, auc_difference

HELD_OUT = 5
"""Every fifth image is held out, to be judged as it is and with defects."""
FEWEST = 10
"""Normal images that are needed."""
MOST = 150
"""Normal images that a caller with more should thin out to: more change little and take long."""
DEFECTS = 100
"""Defects that are put in at least: with few images, several times into each."""
AT_ONCE = 16
"""Images that are scored at once."""


class Judged(NamedTuple):
    """How well a candidate tells held-out normal images from the same with defects.

    Attributes:
        auroc: Over all defects.
        by_kind: Over those of each kind.
    """

    auroc: float
    by_kind: dict[str, float]


class Choice(NamedTuple):
    """What was chosen, and how sure that is.

    Attributes:
        name: Of the chosen candidate: the highest AUROC; the first of equals.
        table: Of all candidates, best first.
        runner_up: Name of the second; the chosen one's if it was alone.
        margin: AUROC of the chosen less the second's, and the lower bound of that difference when
            the images are drawn anew (bootstrap). Below 0, the second might be as good.
    """

    name: str
    table: dict[str, Judged]
    runner_up: str
    margin: Difference


def choose(
    candidates: Mapping[str, DetectorConfig],
    encoder: Encoder,
    images: Float[Tensor, "N C H W"],
    *,
    seed: int = 0,
    fabric: Fabric | None = None,
    progress: Progress = silent,
) -> Choice:
    """Fit each candidate on four fifths of normal images, judge it by put-in defects in the rest.

    The rule is fixed before any label is seen, and uses none. It finds what tells *such* defects
    from normal variation; how far that is from the true order is measured by the benchmark
    ``stills``.

    Args:
        candidates: Hyper-parameters of each, by name.
        encoder: Trained encoder of all.
        images: Normal, in [0, 1].
        seed: Of the defects.
        fabric: Device; the CPU if None.
        progress: Shows the candidates.

    Raises:
        TrainingError: If there are too few images.
        InvalidInputError: If there are no candidates.
    """
    if not candidates:
        raise InvalidInputError("There must be at least one candidate, got none.")
    if len(images) < FEWEST:
        raise TrainingError(
            f"Choosing a detector needs at least {FEWEST} normal images, got {len(images)}. Add "
            "some, or name a detector."
        )
    held_out = torch.arange(len(images)) % HELD_OUT == 0
    normal = images[held_out]
    rounds = range(-(-DEFECTS // len(normal)))
    put_in = [put_in_defects(normal, seed * len(rounds) + number) for number in rounds]
    kinds = np.array([kind for each in put_in for kind in each.kinds])
    judged = torch.cat([normal, *(each.images for each in put_in)])
    scores = {}
    for name, config in progress(
        candidates.items(), total=len(candidates), description="Candidates"
    ):
        detector = _indifferent(config).build(encoder)
        detector.fit(images[~held_out].split(AT_ONCE), normal.split(AT_ONCE), fabric=fabric)
        parts = [detector(part).image_score.double().cpu() for part in judged.split(AT_ONCE)]
        scores[name] = torch.cat(parts).numpy()
    anomalous = np.arange(len(judged)) >= len(normal)
    table = {name: _judged(found, anomalous, kinds) for name, found in scores.items()}
    names = sorted(table, key=lambda name: -table[name].auroc)
    first, second = names[0], names[min(1, len(names) - 1)]
    clips = np.arange(len(judged)) % len(normal)
    margin = auc_difference(anomalous, scores[second], scores[first], clips, seed=seed)
    return Choice(first, {name: table[name] for name in names}, second, margin)


def _indifferent(config: DetectorConfig) -> DetectorConfig:
    """The same with a threshold that few images can set: it is not used."""
    settings: Any = config
    if any(field.name == "false_alarm_rate" for field in dataclasses.fields(settings)):
        changed: DetectorConfig = dataclasses.replace(settings, false_alarm_rate=0.5)
        return changed
    return config


def _judged(scores: Float[np.ndarray, "N"], anomalous: np.ndarray, kinds: np.ndarray) -> Judged:
    normal, defects = scores[~anomalous], scores[anomalous]
    by_kind = {}
    for kind in KINDS:
        some = defects[kinds == kind]
        if len(some):
            truth = np.arange(len(normal) + len(some)) >= len(normal)
            by_kind[kind] = auc(truth, np.concatenate([normal, some]))
    return Judged(auc(anomalous, scores), by_kind)
