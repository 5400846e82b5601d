"""SimpleNet: a small network that tells normal features from the same with noise on them.

Shapes: n = images of a group, C = channels, H W = image, h w = places, N = samples, D = features.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.contracts import Encoder, silent
from models.errors import InvalidInputError, TrainingError
from models.one_class._still import Groups, StillDetector, check_still
from models.training import Trainer, on

MARGIN = 0.5
"""Logit from which on a sample adds nothing to the loss."""
BATCH = 2048
LEARNING_RATE = 1e-3


class SimpleNet(StillDetector):
    """Score each place by a network that was trained to find noise on the features of normal ones.

    Features are brought to mean 0 and standard deviation 1, go through a linear adaptor, and are
    judged by a discriminator of one hidden layer; it sees adapted normal features and the same
    with Gaussian noise. The trunk is not trained, so that minutes of a CPU are enough. Scores are
    the softplus of the negative logit, >= 0.

    Without calibration images, a network is trained for each group of images that is left out.

    Args:
        encoder: Trained trunk; it is frozen.
        config: Hyper-parameters.

    Attributes:
        mean_, deviation_: Of each feature. Shape (D,).
        head: Adaptor and discriminator.

    References:
        Liu, Zhou, Xu and Wang, 2023, "SimpleNet: A Simple Network for Image Anomaly Detection and
        Localization", section 3. https://arxiv.org/abs/2303.15140
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of SimpleNet."""

        noise: float = 0.5
        """Standard deviation of the noise, of features whose own is 1, > 0."""
        width: int = 256
        """Units of the hidden layer, >= 1."""
        num_steps: int = 400
        """Steps of training, >= 1."""
        num_samples: int = 100_000
        """Places of normal images to train on at most, drawn uniformly."""
        neighbourhood: int = 3
        """Side of the square of places over which features are averaged, odd."""
        smoothing: float = 0.5
        """Standard deviation of the Gaussian that smooths maps, in places; 0 smooths nothing."""
        false_alarm_rate: float = 0.05
        """Probability that a normal image is called anomalous, in (0, 1)."""
        seed: int = 0
        """Of first weights, samples and noise."""

        def __post_init__(self) -> None:
            check_still(self)
            if min(self.width, self.num_steps, self.num_samples) < 1 or self.noise <= 0:
                raise InvalidInputError(
                    "width, num_steps and num_samples must be >= 1 and noise > 0, got "
                    f"{self.width}, {self.num_steps}, {self.num_samples} and {self.noise}."
                )

        def build(self, encoder: Encoder) -> "SimpleNet":
            """Return an unfitted detector on top of an encoder."""
            return SimpleNet(encoder, self)

    mean_: Tensor
    deviation_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__(encoder, config)
        dim = encoder.embedding_dim
        for name in ("mean_", "deviation_"):
            self.register_buffer(name, torch.full((dim,), torch.nan))
        self.head = _head(dim, config.width, config.seed)
        self._samples: list[Tensor] = []

    def statistics(self) -> Mapping[str, Tensor]:
        """Mean and standard deviation of the features, and the weights of the head, float64.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        self._check_fitted()
        learned = {"mean": self.mean_, "deviation": self.deviation_, **self.head.state_dict()}
        return {name: value.double() for name, value in learned.items()}

    def _learn(self, groups: Groups) -> None:
        draw = Generator().manual_seed(self.config.seed)
        self._samples = []
        for features in groups:
            looked = features[:, self.looked_at(*features.shape[1:3])].flatten(0, 1)
            share = self.config.num_samples // groups.num_groups
            kept = torch.randperm(len(looked), generator=draw)[: max(share, 1)]
            self._samples.append(looked[kept.to(looked.device)])
        samples = torch.cat(self._samples)
        self.mean_.copy_(samples.mean(dim=0))
        self.deviation_.copy_(samples.std(dim=0, correction=0))
        if not self.deviation_.any():
            raise TrainingError(
                f"SimpleNet needs places that differ, got {len(samples)}, all alike. Check the "
                "training images."
            )
        self.head.load_state_dict(self._trained(samples).state_dict())

    def _trained(self, samples: Float[Tensor, "N D"]) -> nn.Module:
        """A head that tells these samples from the same with noise."""
        head = _head(samples.shape[1], self.config.width, self.config.seed).to(samples.device)
        draw = Generator().manual_seed(self.config.seed)
        optimizer = torch.optim.AdamW(head.parameters(), lr=LEARNING_RATE, weight_decay=1e-5)
        trainer = Trainer(head.train(), optimizer, on(samples.device))
        num = self.config.num_steps
        with torch.enable_grad():
            for _ in trainer.steps(((0, step) for step in range(num)), num, silent, "SimpleNet"):
                chosen = torch.randint(len(samples), (BATCH,), generator=draw)
                noise = torch.randn(BATCH, samples.shape[1], generator=draw) * self.config.noise
                adapted = head[0](self._scaled(samples[chosen.to(samples.device)]))
                both = torch.cat([adapted, adapted + noise.to(adapted)])
                normal, noisy = head[1](both)[:, 0].chunk(2)
                trainer.step((MARGIN - normal).relu().mean() + (MARGIN + noisy).relu().mean())
        return head.eval()

    def _scaled(self, features: Float[Tensor, "*N D"]) -> Float[Tensor, "*N D"]:
        spread = torch.where(self.deviation_ > 0, self.deviation_, 1)
        return (features - self.mean_) / spread

    def _distances(self, features: Float[Tensor, "n h w D"]) -> Float[Tensor, "n h w"]:
        return self._judged(features, self.head)

    def _distances_without(
        self, group: int, features: Float[Tensor, "n h w D"]
    ) -> Float[Tensor, "n h w"]:
        others = [part for number, part in enumerate(self._samples) if number != group]
        if not others:
            raise TrainingError(
                "SimpleNet judges each training image by other ones, got a single group. Add "
                "normal images, or give calibration images."
            )
        return self._judged(features, self._trained(torch.cat(others)))

    def _judged(
        self, features: Float[Tensor, "n h w D"], head: nn.Module
    ) -> Float[Tensor, "n h w"]:
        logits: Tensor = head(self._scaled(features).flatten(0, 2))
        return functional.softplus(-logits[:, 0]).view(features.shape[:3])


def _head(dim: int, width: int, seed: int) -> nn.Sequential:
    """Adaptor and discriminator with first weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        discriminator = nn.Sequential(
            nn.Linear(dim, width), nn.BatchNorm1d(width), nn.LeakyReLU(0.2), nn.Linear(width, 1)
        )
        return nn.Sequential(nn.Linear(dim, dim), discriminator).eval()
