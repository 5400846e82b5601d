"""Recipes: one function per experiment, each returning a complete, typed configuration.

Your own need not stand here: ``unseen retrain --recipe path/to/file.py:name`` takes any function
without arguments that returns a ``Recipe``.
"""

import dataclasses
import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import ModuleType
from typing import Any

from models.clustering.spectral_dec import SpectralDEC
from models.contracts import Additive, DetectorConfig, EncoderConfig, PretextConfig
from models.density.lsa import Lsa
from models.density.pixel_cnn import PixelCnn
from models.encoders.alexnet import AlexNetTrunk
from models.encoders.pixels import Pixels
from models.encoders.slim import SlimTrunk
from models.errors import InvalidInputError, NotFoundError
from models.one_class.deep_anomaly import DeepAnomaly
from models.one_class.knn import NearestNeighbours
from models.one_class.motion_gaussian import MotionGaussian
from models.one_class.ognet import OGNet
from models.one_class.pooled_gaussian import PooledGaussian
from models.pretext.autoregressive import Autoregressive
from models.pretext.context_encoder import ContextEncoder
from models.pretext.exemplar import Exemplar
from models.pretext.jigsaw import Jigsaw
from models.pretext.transformation import TransformationClassifier
from models.pretext.video_triplet import VideoTriplet
from tasks.promote import PromotionPolicy
from tasks.records import Training
from tasks.validate import Expectations


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


def walkway() -> Recipe:
    """Speed and appearance in the generated surveillance clips; the default, minutes."""
    return Recipe(
        name="walkway",
        dataset="walkway",
        training=Training(window=6),
        pretext=ContextEncoder.Config(),
        detector=MotionGaussian.Config(change=0.0),  # people here are large enough for flow alone
    )


def walkway_triplets() -> Recipe:
    """The walkway detector on features that recognise what was tracked through a clip."""
    return dataclasses.replace(walkway(), pretext=VideoTriplet.Config())


def walkway_jigsaw() -> Recipe:
    """The walkway detector on features that put shuffled tiles in order."""
    return dataclasses.replace(walkway(), pretext=Jigsaw.Config())


def walkway_exemplars() -> Recipe:
    """The walkway detector on features that tell patches apart, however they are changed."""
    return dataclasses.replace(walkway(), pretext=Exemplar.Config())


def walkway_transformations() -> Recipe:
    """The walkway detector on features that tell by what an image was changed."""
    return dataclasses.replace(walkway(), pretext=TransformationClassifier.Config())


def walkway_autoregressive() -> Recipe:
    """The walkway detector on features that predict blocks of pixels from those before them."""
    return dataclasses.replace(walkway(), pretext=Autoregressive.Config())


def walkway_pooled() -> Recipe:
    """One Gaussian on the generated clips, that adds and forgets files exactly."""
    return dataclasses.replace(
        walkway(), name="walkway_pooled", detector=PooledGaussian.Config(change=0.0)
    )


def digits() -> Recipe:
    """Deep-Anomaly on scikit-learn's handwritten digits, one digit as normal; seconds."""
    return Recipe(
        name="digits",
        dataset="digits",
        training=Training(image_size=(64, 64)),
        pretext=ContextEncoder.Config(),
        detector=DeepAnomaly.Config(neighbourhood=3),
        promotion=PromotionPolicy(metric="image_auroc"),
    )


def digits_pixel_cnn() -> Recipe:
    """PixelCNN on the handwritten digits, which it also draws; shows how likelihood fails."""
    return Recipe(
        name="digits_pixel_cnn",
        dataset="digits",
        training=Training(),
        encoder=Pixels.Config(),
        pretext=None,
        detector=PixelCnn.Config(width=16, vertical_width=16, depth=2, epochs=30),
        promotion=PromotionPolicy(metric="image_auroc"),
    )


def digits_lsa() -> Recipe:
    """Latent-space autoregression on the handwritten digits, which it also draws."""
    return Recipe(
        name="digits_lsa",
        dataset="digits",
        training=Training(),
        encoder=Pixels.Config(),
        pretext=None,
        detector=Lsa.Config(
            image_size=(8, 8), width=16, code_dim=16, estimator_width=8, epochs=60, batch_size=16
        ),
        promotion=PromotionPolicy(metric="image_auroc"),
    )


def digit_clusters() -> Recipe:
    """Deep clustering of scikit-learn's handwritten digits, without labels; minutes."""
    return Recipe(
        name="digit_clusters",
        dataset="digits-all",
        training=Training(),
        encoder=Pixels.Config(),
        pretext=None,
        detector=SpectralDEC.Config(
            side=16,
            epochs=100,
            max_iterations=1500,
            start="k-means",  # so few images link badly through their views
            warm_up=0,
            peak_rate=0.0,
        ),
        expectations=Expectations(anomalies=False),
        promotion=PromotionPolicy(metric="cluster_acc"),
    )


def digits_alocc() -> Recipe:
    """OGNet on the handwritten digits, one digit as normal; a minute or two."""
    return dataclasses.replace(
        digits(),
        name="digits_alocc",
        training=Training(image_size=(16, 16)),
        encoder=Pixels.Config(),
        pretext=None,
        detector=OGNet.Config(patch=16, stride=8, depth=2),
    )


def digits_knn() -> Recipe:
    """Nearest neighbours on the pixels of the handwritten digits, a baseline; seconds."""
    return dataclasses.replace(
        digits(),
        name="digits_knn",
        training=Training(image_size=(8, 8)),
        encoder=Pixels.Config(),
        pretext=None,
        detector=NearestNeighbours.Config(grid=8),
    )


def ped2() -> Recipe:
    """Speed and appearance in UCSD Ped2 (bring it in with ``--data`` or ``unseen ingest ped2``)."""
    return dataclasses.replace(
        walkway(),
        name="ped2",
        dataset="ped2",
        training=Training(window=6, smoothing=9),
        encoder=SlimTrunk.Config(),
        pretext=ContextEncoder.Config(epochs=2, width=32),
        detector=MotionGaussian.Config(
            flow="blocks",
            movement=10.0,
            shrinkage=0.6,
            neighbourhood=7,
            num_votes=9,
            perspective=True,
        ),
    )


def names() -> dict[str, str]:
    """Name of every recipe of this file and the first line of its description."""
    return {name: (inspect.getdoc(make) or "").splitlines()[0] for name, make in _found().items()}


def load(reference: str, **overrides: Any) -> Recipe:
    """Return the recipe that a function of this file, or of a user's own file, makes.

    Args:
        reference: ``name``, or ``path/to/file.py:name``.
        overrides: Fields of ``Training`` to replace; those that are None stay.

    Raises:
        NotFoundError: If there is no such recipe or file.
        InvalidInputError: If an override is out of range.
    """
    path, _, name = reference.rpartition(":")
    known = _found(_module(Path(path))) if path else _found()
    if name not in known:
        raise NotFoundError(
            f"There is no recipe {name!r}{f' in {path}' if path else ''}. "
            f"Choose from: {', '.join(sorted(known)) or '(none)'}."
        )
    recipe = known[name]()
    if not isinstance(recipe, Recipe):
        raise NotFoundError(
            f"The recipe {reference} must return a flows.recipes.Recipe, got "
            f"{type(recipe).__name__}. Return Recipe(...) from it."
        )
    given = {key: value for key, value in overrides.items() if value is not None}
    return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, **given))


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


def _found(module: ModuleType | None = None) -> dict[str, Callable[[], Recipe]]:
    module = module or sys.modules[__name__]
    return {
        name: function
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
        and not name.startswith("_")
        and not inspect.signature(function).parameters
        and inspect.signature(function).return_annotation in (Recipe, "Recipe")
    }


def _module(path: Path) -> ModuleType:
    if not path.is_file():
        raise NotFoundError(f"The recipe file {path} must exist, and does not. Check the path.")
    spec = importlib.util.spec_from_file_location(f"recipe_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
