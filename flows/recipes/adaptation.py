"""What decides an adaptation: mostly what the recipe of its source said."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from models.adaptation.adda import ADDA
from models.contracts import AdapterConfig
from tasks.data.limits import Expectations
from tasks.records import Source, Training
from tasks.registry.policy import PromotionPolicy

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Adaptation:
    """Everything that decides how a detector is carried over, except the data."""

    name: str
    """Name of the registered model."""
    dataset: str
    """Name of the new camera's data set."""
    source: str
    """The registered detector it starts from, ``NAME@VERSION``."""
    adapter: AdapterConfig
    """How the encoder is adapted."""
    detector: dict[str, Any]
    """What the detector is, as the recipe of the source says."""
    training: Training
    """How images become model input, the seed, and the device."""
    expectations: Expectations
    promotion: PromotionPolicy


def adaptation(
    source: Source,
    name: str,
    *,
    device: str | None = None,
    seed: int | None = None,
    steps: int | None = None,
) -> Adaptation:
    """Carry a detector over with the settings it was made with, as far as they still apply.

    Args:
        source: The detector to start from.
        name: Of the new camera's data set and of the model.
        device: Instead of the source's.
        seed: Instead of the source's.
        steps: Of the adversarial training, instead of the default.

    Raises:
        InvalidInputError: If one of them is out of range.
    """
    overrides: dict[str, Any] = {"device": device, "seed": seed}
    given = {key: value for key, value in overrides.items() if value is not None}
    training = dataclasses.replace(source.training, **given)
    adapter = ADDA.Config(seed=training.seed)
    if steps is not None:
        adversary = dataclasses.replace(adapter.adversary, steps=steps)
        adapter = dataclasses.replace(adapter, adversary=adversary)
    return Adaptation(
        name=name,
        dataset=name,
        source=f"{source.name}@{source.version}",
        adapter=adapter,
        detector=source.recipe.get("detector") or {},
        training=training,
        expectations=_part(Expectations, source.recipe.get("expectations") or {}),
        promotion=_part(PromotionPolicy, source.recipe.get("promotion") or {}),
    )


def _part(kind: type[T], described: Mapping[str, Any]) -> T:
    """A part of a recipe that ``recipe.describe`` wrote; what it did not know is the default."""
    names = {each.name for each in dataclasses.fields(kind)}  # type: ignore[arg-type]
    return kind(**{key: value for key, value in described.items() if key in names})
