"""A detector small enough to fit in a test, defined outside ``models`` as a user's own would be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.contracts import Encoder, Scores, silent


class Norm(Enum):
    L1 = 1
    L2 = 2


@dataclass(frozen=True, kw_only=True)
class Limits:
    quantile: float = 0.99
    sides: tuple[int, int] = (4, 4)


class Pool(Encoder):
    """Mean of each channel over squares, times a weight that stands for what is learned."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        channels: int = 6

        def build(self) -> "Pool":
            return Pool(self)

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.embedding_dim = config.channels
        self.weight = nn.Parameter(torch.ones(config.channels))

    def forward(self, images: Tensor) -> Tensor:
        return functional.avg_pool2d(images, 4) * self.weight[:, None, None]


class Tiny(nn.Module):
    """Distance to the mean normal feature vector."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        limits: Limits = Limits()
        norm: Norm = Norm.L2

        def build(self, encoder: Encoder) -> "Tiny":
            return Tiny(encoder, self)

    FACTOR = 1.0

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.encoder = encoder
        self.config = config
        self.register_buffer(
            "mean_", torch.full((encoder.embedding_dim,), torch.nan, dtype=torch.float64)
        )
        self.register_buffer("threshold_", torch.tensor(torch.nan))

    @property
    def threshold(self) -> float:
        return float(self.threshold_)

    @property
    def pixel_threshold(self) -> float:
        return float(self.threshold_)

    @torch.no_grad()
    def fit(
        self,
        batches: Iterable[Tensor],
        calibration: Iterable[Tensor],
        *,
        fabric: object = None,  # noqa: ARG002
        progress: object = silent,  # noqa: ARG002
    ) -> "Tiny":
        total, count = torch.zeros_like(self.mean_), 0
        for batch in batches:
            features = self.encoder(batch).double()
            total += features.sum(dim=(0, 2, 3))
            count += features[:, 0].numel()
        self.mean_.copy_(total / count)
        scores = torch.cat([self(batch).image_score for batch in calibration])
        self.threshold_.copy_(scores.quantile(self.config.limits.quantile))
        return self

    @torch.no_grad()
    def forward(self, images: Tensor) -> Scores:
        gap = self.encoder(images) - self.mean_.float()[:, None, None]
        order = 2 if self.config.norm is Norm.L2 else 1
        distance = self.FACTOR * gap.norm(p=order, dim=1)
        anomaly_map = functional.interpolate(distance[:, None], size=images.shape[-2:])[:, 0]
        return Scores(anomaly_map.amax(dim=(1, 2)), anomaly_map)

    def statistics(self) -> Mapping[str, Tensor]:
        return {"mean": self.mean_}
