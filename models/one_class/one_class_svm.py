"""One-class support vector machine: the smallest region of embeddings that holds most normal ones.

Shapes: B = batch, C = channels, H W = image, M = support vectors, D = features.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from sklearn import svm
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


class OneClassSVM(nn.Module):
    """Score by the decision function of a one-class SVM with a Gaussian kernel, its sign turned.

    ``rho - sum_i a_i exp(-gamma |x - x_i|^2)``, scikit-learn's ``-decision_function``: negative
    inside the region that was learned, rising to ``rho`` far away from all support vectors.

    Args:
        encoder: Trained encoder; it is frozen.
        config: Hyper-parameters.

    Attributes:
        support_vectors_: The x_i, followed by zeros. Shape (M, D).
        dual_coefficients_: The a_i, followed by zeros, which leave padding without effect.
            Shape (M,).
        rho_: The offset.
        gamma_: Of the kernel.

    References:
        Schölkopf et al., 2001, "Estimating the Support of a High-Dimensional Distribution",
        eq. 3.10. https://doi.org/10.1162/089976601750264965
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the one-class SVM."""

        nu: float = 0.1
        """Largest share of training images outside, and smallest share of support vectors; in
        (0, 1]."""
        gamma: float | None = None
        """Inverse squared width of the kernel, > 0; None takes 1 over D times the variance of all
        features."""
        max_samples: int = 5000
        """Embeddings to train on at most, drawn uniformly, >= 1. Time rises with the square."""
        grid: int = 1
        """The feature map is averaged over grid x grid parts, >= 1."""
        false_alarm_rate: float = 0.05
        """Share of calibration images that may be called anomalous, in (0, 1)."""
        seed: int = 0
        """Of the sample."""

        def __post_init__(self) -> None:
            check_rate(self.false_alarm_rate)
            if not 0 < self.nu <= 1 or self.max_samples < 1:
                raise InvalidInputError(
                    f"nu must be in (0, 1] and max_samples >= 1, got {self.nu} and "
                    f"{self.max_samples}."
                )
            if self.gamma is not None and self.gamma <= 0:
                raise InvalidInputError(f"gamma must be > 0 or None, got {self.gamma}.")

        def build(self, encoder: Encoder) -> "OneClassSVM":
            """Return an unfitted detector on top of an encoder."""
            return OneClassSVM(encoder, self)

    encoder: Encoder
    threshold_: Tensor
    support_vectors_: Tensor
    dual_coefficients_: Tensor
    rho_: Tensor
    gamma_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.encoder, self.config = frozen(encoder), config
        dim, most = embedding_dim(encoder, config.grid), config.max_samples
        learned(
            self,
            threshold_=(),
            support_vectors_=(most, dim),
            dual_coefficients_=(most,),
            rho_=(),
            gamma_=(),
        )

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
    ) -> "OneClassSVM":
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
        ).double()
        variance = float(kept.var(correction=0))
        if self.config.gamma is None and not variance > 0:
            raise TrainingError(
                f"The kernel's width needs embeddings that vary, got {len(kept)}, all alike. Set "
                "gamma, or check the training images."
            )
        gamma = self.config.gamma or 1 / (kept.shape[1] * variance)
        solved = svm.OneClassSVM(nu=self.config.nu, gamma=gamma).fit(kept.numpy())
        most = self.config.max_samples
        self.support_vectors_.copy_(padded(torch.from_numpy(solved.support_vectors_), most))
        self.dual_coefficients_.copy_(padded(torch.from_numpy(solved.dual_coef_[0]), most))
        self.rho_.fill_(float(solved.offset_[0]))
        self.gamma_.fill_(gamma)

    @torch.no_grad()
    def _score(self, images: Float[Tensor, "B C H W"]) -> Scores:
        vectors = embed(self.encoder, images, self.config.grid).double()
        used = self.dual_coefficients_ != 0
        kernel = torch.cdist(vectors, self.support_vectors_[used]).square().mul(-self.gamma_).exp()
        return Scores((self.rho_ - kernel @ self.dual_coefficients_[used]).float())
