"""A recipe: everything that decides a training run, except the data."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from models.contracts import Additive, DetectorConfig, EncoderConfig, PretextConfig
from models.encoders.alexnet import AlexNetTrunk
from models.errors import InvalidInputError
from tasks.data.limits import Expectations
from tasks.records import Selection, Training
from tasks.registry.policy import PromotionPolicy


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides a training run, except the data."""

    name: str
    """Name of the registered model."""
    dataset: str
    """Name of the data set: its folder below ``data/``."""
    training: Training
    """How images become model input, the seed, and the device."""
    encoder: EncoderConfig = field(default_factory=AlexNetTrunk.Config)
    """The trunk, before it is trained."""
    pretext: PretextConfig | None
    """The self-supervised task that trains the trunk; None leaves it as it was made."""
    detector: DetectorConfig
    """The model on top of the trunk, which tells normal from anomalous."""
    expectations: Expectations = field(default_factory=Expectations)
    """What the data must satisfy before anything is trained."""
    promotion: PromotionPolicy = field(default_factory=PromotionPolicy)
    """When a challenger replaces the champion."""
    selection: Selection | None = None
    """How the detector was chosen, if ``--detector auto`` chose it."""


def describe(recipe: object) -> dict[str, Any]:
    """The recipe as plain JSON data, with the classes it names: what the lineage keeps."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return {"class": f"{type(value).__module__}.{type(value).__qualname__}", **fields}
        if isinstance(value, Enum):
            return {
                "class": f"{type(value).__module__}.{type(value).__qualname__}",
                "member": value.name,
            }
        if isinstance(value, Mapping):
            return {str(key): plain(inner) for key, inner in value.items()}
        return [plain(each) for each in value] if isinstance(value, list | tuple) else value

    described: dict[str, Any] = plain(recipe)
    return described


def check_divisible(recipe: Recipe, shards: int) -> None:
    """Refuse shards for a detector whose training cannot be divided, before anything is trained.

    Raises:
        InvalidInputError: If it learns more than moments, which alone add up exactly.
    """
    detector = recipe.detector.build(recipe.encoder.build()) if shards > 1 else None
    if detector is not None and not isinstance(detector, Additive):
        raise InvalidInputError(
            f"Only detectors that learn nothing but moments can be fitted in shards, and "
            f"{type(detector).__name__} of the recipe {recipe.name!r} learns more. Leave --shards "
            "out, or choose a recipe with PooledGaussian; --devices divides the pretext task."
        )
