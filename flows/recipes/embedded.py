"""The recipes that come with the project: one function each, returning a complete configuration."""

import dataclasses

from flows.recipes.recipe import Recipe
from models.clustering.spectral_dec import SpectralDEC
from models.density.lsa import Lsa
from models.density.pixel_cnn import PixelCnn
from models.encoders.pixels import Pixels
from models.encoders.pretrained import PretrainedTrunk
from models.encoders.slim import SlimTrunk
from models.one_class.deep_anomaly import DeepAnomaly
from models.one_class.knn import NearestNeighbours
from models.one_class.motion_gaussian import MotionGaussian
from models.one_class.ognet import OGNet
from models.one_class.patchcore import PatchCore
from models.one_class.pooled_gaussian import PooledGaussian
from models.pretext.autoregressive import Autoregressive
from models.pretext.context_encoder import ContextEncoder
from models.pretext.exemplar import Exemplar
from models.pretext.jigsaw import Jigsaw
from models.pretext.transformation import TransformationClassifier
from models.pretext.video_triplet import VideoTriplet
from tasks.data.limits import Expectations
from tasks.records import Training
from tasks.registry.policy import PromotionPolicy


def walkway() -> Recipe:
    """Speed and appearance in the generated surveillance clips; the default, minutes."""
    return Recipe(
        name="walkway",
        dataset="walkway",
        training=Training(window=6),
        pretext=ContextEncoder.Config(),
        # People here are large enough for flow alone. How the rest was chosen: docs/choices.md.
        detector=MotionGaussian.Config(movement=10.0, change=0.0, neighbourhood=5),
    )


def tablets() -> Recipe:
    """PatchCore on generated photographs of pills, on a pretrained network; a minute."""
    return Recipe(
        name="tablets",
        dataset="tablets",
        training=Training(channels=3, image_size=(320, 320), calibration="cross"),
        encoder=PretrainedTrunk.Config(),
        pretext=None,
        detector=PatchCore.Config(),
        expectations=Expectations(min_frames_per_clip=1),
        promotion=PromotionPolicy(metric="image_auroc"),
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
    """Speed alone in UCSD Ped2; bring it in with 'unseen ingest ped2 --from DIR'."""
    return dataclasses.replace(
        walkway(),
        name="ped2",
        dataset="ped2",
        training=Training(window=6, smoothing=9),
        encoder=SlimTrunk.Config(),
        pretext=None,  # the trunk says where places are, and nothing else
        detector=MotionGaussian.Config(
            flow="blocks",
            movement=10.0,
            shrinkage=0.6,
            neighbourhood=7,
            num_votes=9,
            perspective=True,
            appearance=False,
        ),
    )
