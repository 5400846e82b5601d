"""What frozen features are worth: to a linear classifier, to neighbours, to a Gaussian detector.

Shapes: N = images, D = features, h w = feature map.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional

from benchmarks._sets import Batches, ImageSet
from models.functional.gaussian import Moments, cholesky, mahalanobis, whitening
from models.metrics.detection import auc

SHRINKAGE = 0.1
NUM_NEIGHBOURS = 10
MAX_ITERATIONS = 1000

Encode = Callable[[Tensor], Tensor]
"""From images in [0, 1] to features: of whole images (N, D), or of places (N, D, h, w)."""


def embed(encode: Encode, images: Tensor) -> NDArray[np.float32]:
    """Features of whole images. Shape (N, D)."""
    with torch.no_grad():
        parts = [encode(batch).float().cpu() for batch in Batches(images)]
    return torch.cat(parts).numpy()


def classify(encode: Encode, images: ImageSet) -> dict[str, float]:
    """Accuracy on the test images of two classifiers of frozen features, in [0, 1].

    Returns:
        ``probe``, of multinomial logistic regression (C = 1), and ``knn``, of the vote of 10
        neighbours by cosine; both see standardised features, and neither has a choice to make.
    """
    train, test = embed(encode, images.train), embed(encode, images.test)
    classifiers = {
        "probe": LogisticRegression(max_iter=MAX_ITERATIONS),
        "knn": KNeighborsClassifier(NUM_NEIGHBOURS, metric="cosine"),
    }
    accuracy = {}
    for name, classifier in classifiers.items():
        model = make_pipeline(StandardScaler(), classifier)
        model.fit(train, images.train_labels)
        accuracy[name] = float(model.score(test, images.test_labels))
    return accuracy


def detect(encode: Encode, images: ImageSet) -> dict[str, float]:
    """AUC of one and the same detector on the features of places.

    One Gaussian of all places of all normal training images, covariance shrunk by 0.1; an image's
    score is the largest Mahalanobis distance after averaging over 3 x 3 places.

    Returns:
        ``detector_auc``, in [0, 1].
    """
    with torch.no_grad():
        moments: Moments | None = None
        for batch in Batches(images.train):
            features = encode(batch).float().cpu()
            moments = moments or Moments(features.shape[1])
            moments.update(features.movedim(1, -1).flatten(0, 2))
        assert moments is not None
        whitener = whitening(cholesky(moments.covariance(SHRINKAGE))).float()
        mean = moments.mean.float()
        scores = [
            _score(encode(batch).float().cpu(), mean, whitener) for batch in Batches(images.test)
        ]
    return {"detector_auc": auc(images.test_labels.astype(bool), torch.cat(scores).numpy())}


def _score(feature_map: Tensor, mean: Tensor, whitener: Tensor) -> Tensor:
    distances = mahalanobis(feature_map.movedim(1, -1), mean, whitener)
    return functional.avg_pool2d(distances[:, None], 3, stride=1).amax(dim=(1, 2, 3))
