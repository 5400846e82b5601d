"""Choose a complete recipe for data that nobody wrote one for, from what the data are."""

import dataclasses
from typing import TYPE_CHECKING

from flows.recipes import catalog, embedded
from flows.recipes.recipe import Recipe
from models.encoders.pretrained import PretrainedTrunk
from models.one_class.padim import PaDiM
from models.one_class.patchcore import PatchCore
from tasks.data.limits import Expectations
from tasks.records import Training
from tasks.registry.policy import PromotionPolicy

if TYPE_CHECKING:
    from models.contracts import DetectorConfig
    from tasks.data.describe import SetDescription

DETECTOR = "patchcore"
"""For still images, if none is asked for."""
SIDE = 320
"""Pixels of a square as large as an image is made; how it was chosen: ``docs/choices.md``."""
STEP = 32
"""Sides are multiples of it, so that every layer of a network divides them."""
STRIDE = 8
"""Pixels from one place of the pretrained network to the next."""
MEMORY = 5000
"""Patches that PatchCore remembers of clips, about: frames that follow each other are alike."""
FEWEST = 6
"""Normal images without which nothing can be learned and calibrated."""


def recipe_for(found: "SetDescription", name: str) -> Recipe:
    """The recipe of a data set: for still images a pretrained network, for clips their movement.

    Args:
        found: What the data set consists of.
        name: Of the data set and of the model.
    """
    if found.clips:
        recipe = dataclasses.replace(embedded.walkway(), name=name, dataset=name)
        if found.anomalies:
            return recipe
        return dataclasses.replace(
            recipe,
            expectations=Expectations(anomalies=False, min_test_images=0),
            promotion=PromotionPolicy(metric="label_free"),
        )
    return Recipe(
        name=name,
        dataset=name,
        training=Training(
            channels=3 if found.colour else 1,
            image_size=image_size(found.size),
            calibration="cross",
        ),
        encoder=PretrainedTrunk.Config(),
        pretext=None,
        detector=catalog.detector(DETECTOR),
        expectations=Expectations(
            min_train_images=FEWEST,
            min_test_images=2 if found.anomalies else 0,
            min_frames_per_clip=1,  # folders within a kind only sort its images
            anomalies=found.anomalies,
        ),
        promotion=PromotionPolicy(metric="image_auroc" if found.anomalies else "label_free"),
    )


def single_frames(
    recipe: Recipe, detector: "DetectorConfig", found: "SetDescription | None"
) -> Recipe:
    """A recipe for clips, changed to judge each frame by itself as still images are judged.

    Thresholds stay those of held-out clips: frames that follow each other are no new images.

    Args:
        recipe: For clips.
        detector: Of still images.
        found: What the data set consists of; None before it is read.
    """
    size = image_size(found.size if found else None)
    if isinstance(detector, PatchCore.Config):
        num_frames = found.num_train_frames if found else 0
        places = max(num_frames, 1) * (size[0] // STRIDE) * (size[1] // STRIDE)
        share = float(f"{min(detector.coreset, MEMORY / places):.1g}")
        detector = dataclasses.replace(detector, coreset=share)
    if isinstance(detector, PatchCore.Config | PaDiM.Config):
        detector = dataclasses.replace(detector, by_place=False)
    training = dataclasses.replace(
        recipe.training,
        window=1,
        smoothing=1,
        channels=3 if found and found.colour else 1,
        image_size=size,
    )
    return dataclasses.replace(
        recipe,
        training=training,
        encoder=PretrainedTrunk.Config(),
        pretext=None,
        detector=detector,
    )


def image_size(size: tuple[int, int] | None) -> tuple[int, int]:
    """Height and width with the aspect of the images and about as many pixels as 320 x 320.

    Example:
        >>> image_size((512, 512)), image_size((400, 800))
        ((320, 320), (224, 448))
    """
    height, width = size or (SIDE, SIDE)
    scale = SIDE / (height * width) ** 0.5
    tall, wide = (max(round(side * scale / STEP), 2) * STEP for side in (height, width))
    return tall, wide
