"""Isolation forest: what few random splits set apart from the rest is anomalous.

Shapes: B = batch, C = channels, H W = image, T = trees, S = nodes of a tree, M = samples,
D = features.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from numpy.typing import NDArray
from sklearn import ensemble
from torch import Tensor, nn

from models.contracts import Encoder, Progress, Scores, shown, silent
from models.errors import InvalidInputError, TrainingError
from models.fitting import (
    begin,
    check_fitted,
    check_rate,
    frozen,
    image_threshold,
    learned,
    statistics_of,
    value_of,
)
from models.functional.embeddings import embed, embedding_dim, padded, sampled


class IsolationForest(nn.Module):
    """Score by how short the paths are that lead to an image's embedding in random trees.

    ``2^(-mean path length / expected path length)``, scikit-learn's ``-score_samples``, in (0, 1):
    about 0.5 for what is like the rest, towards 1 for what is set apart at once.

    Args:
        encoder: Trained encoder; it is frozen.
        config: Hyper-parameters.

    Attributes:
        features_, cuts_: What each node asks: is this feature at most this value? Shape (T, S).
        lefts_, rights_: The node that follows if it is, and if not; a leaf follows itself.
            Shape (T, S).
        lengths_: Of the path to a leaf, with what is to be expected below it. Shape (T, S).
        scale_: Expected path length of the sample of a tree.

    References:
        Liu, Ting and Zhou, 2008, "Isolation Forest", eq. 1 and 2.
        https://doi.org/10.1109/ICDM.2008.17
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the isolation forest."""

        num_trees: int = 100
        """Trees T, >= 1."""
        samples_per_tree: int = 256
        """Embeddings that a tree is grown on, at most, >= 2; it then has fewer than twice as many
        nodes, the size S of its tensors."""
        max_samples: int = 10_000
        """Embeddings to draw those of each tree from, at most, drawn uniformly, >= 2."""
        grid: int = 1
        """The feature map is averaged over grid x grid parts, >= 1."""
        false_alarm_rate: float = 0.05
        """Share of calibration images that may be called anomalous, in (0, 1)."""
        seed: int = 0
        """Of the samples and the splits."""

        def __post_init__(self) -> None:
            check_rate(self.false_alarm_rate)
            if self.num_trees < 1 or min(self.samples_per_tree, self.max_samples) < 2:
                raise InvalidInputError(
                    "num_trees must be >= 1, samples_per_tree and max_samples >= 2, got "
                    f"{self.num_trees}, {self.samples_per_tree} and {self.max_samples}."
                )

        def build(self, encoder: Encoder) -> "IsolationForest":
            """Return an unfitted detector on top of an encoder."""
            return IsolationForest(encoder, self)

    encoder: Encoder
    threshold_: Tensor
    features_: Tensor
    cuts_: Tensor
    lefts_: Tensor
    rights_: Tensor
    lengths_: Tensor
    scale_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.encoder, self.config = frozen(encoder), config
        self.dim = embedding_dim(encoder, config.grid)
        shape = config.num_trees, 2 * config.samples_per_tree - 1
        nodes = ("features_", "cuts_", "lefts_", "rights_", "lengths_")
        learned(self, threshold_=(), **dict.fromkeys(nodes, shape), scale_=())

    @property
    def threshold(self) -> float:
        """Image score from which an image is called anomalous."""
        return value_of(self.threshold_, self)

    @property
    def pixel_threshold(self) -> float:
        """Value of the anomaly map from which a pixel is called anomalous: the same."""
        return self.threshold

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        calibration: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "IsolationForest":
        """Learn what is normal, forgetting any earlier fit; see ``models.contracts.Detector``.

        Raises:
            TrainingError: If there are no images, or what they give is not finite.
            InvalidInputError: If the images do not fit the encoder or the configuration.
        """
        fabric = begin(self, self.threshold_, fabric)
        self._learn(batches, fabric, progress)
        rate = self.config.false_alarm_rate
        threshold = image_threshold(self._score, calibration, rate, progress, fabric.device)
        self.threshold_.copy_(threshold)
        return self

    def forward(self, images: Float[Tensor, "B C H W"]) -> Scores:
        """Score a batch of images.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.threshold_, self)
        return self._score(images.to(self.threshold_.device))

    def statistics(self) -> Mapping[str, Tensor]:
        """What was learned, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        check_fitted(self.threshold_, self)
        return statistics_of(self)

    def _learn(self, batches: Iterable[Tensor], fabric: Fabric, progress: Progress) -> None:
        kept = sampled(
            (
                embed(self.encoder, images.to(fabric.device), self.config.grid)
                for images in shown(batches, progress, "Embeddings")
            ),
            self.config.max_samples,
            self.config.seed,
        )
        if len(kept) < 2:
            raise TrainingError("A forest needs 2 images at least, got 1. Add some to train/good.")
        each = min(self.config.samples_per_tree, len(kept))
        forest = ensemble.IsolationForest(
            n_estimators=self.config.num_trees, max_samples=each, random_state=self.config.seed
        ).fit(kept.numpy())
        most = self.features_.shape[1]
        for place, tree in enumerate(forest.estimators_):
            for name, values in _nodes(tree.tree_).items():
                getattr(self, name)[place] = padded(torch.from_numpy(values), most)
        self.scale_.fill_(float(expected_length(np.array([each]))[0]))

    @torch.no_grad()
    def _score(self, images: Float[Tensor, "B C H W"]) -> Scores:
        vectors = embed(self.encoder, images, self.config.grid).double()
        trees = torch.arange(self.config.num_trees, device=vectors.device)
        features, lefts, rights = (t.long() for t in (self.features_, self.lefts_, self.rights_))
        node = torch.zeros(vectors.shape[0], len(trees), dtype=torch.long, device=vectors.device)
        for _ in range(math.ceil(math.log2(self.config.samples_per_tree))):
            value = vectors.gather(1, features[trees, node])
            smaller = value <= self.cuts_[trees, node]
            node = torch.where(smaller, lefts[trees, node], rights[trees, node])
        mean = self.lengths_[trees, node].mean(dim=1)
        return Scores(torch.exp2(-mean / self.scale_).float())


def expected_length(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean length of an unsuccessful search in a binary tree of so many samples.

    Example:
        >>> expected_length(np.array([1, 2, 256])).round(3).tolist()
        [0.0, 1.0, 10.245]
    """
    many = np.maximum(counts, 3).astype(np.float64)
    found = 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many
    return np.where(counts <= 1, 0.0, np.where(counts == 2, 1.0, found))


def _nodes(tree: object) -> dict[str, NDArray[np.float64]]:
    """Arrays of a tree of scikit-learn, in which leaves follow themselves."""
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)  # type: ignore[attr-defined]
    index, leaf = np.arange(len(left)), left < 0
    depth = np.zeros(len(left))
    for node in index[~leaf]:  # parents come before their children
        depth[[left[node], right[node]]] = depth[node] + 1
    counts = np.asarray(tree.n_node_samples)  # type: ignore[attr-defined]
    found = {
        "features_": np.where(leaf, 0, tree.feature),  # type: ignore[attr-defined]
        "cuts_": np.where(leaf, 0, tree.threshold),  # type: ignore[attr-defined]
        "lefts_": np.where(leaf, index, left),
        "rights_": np.where(leaf, index, right),
        "lengths_": np.where(leaf, depth + expected_length(counts), 0),
    }
    return {name: values.astype(np.float64) for name, values in found.items()}
