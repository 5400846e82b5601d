"""Deep SVDD: a network that maps normal images close to one point.

Shapes: B = batch, C = channels, H W = image, S = side of the images, N = images, D = embedding.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam
from torch.optim.lr_scheduler import MultiStepLR

from models.contracts import Encoder, Progress, Scores, shown
from models.encoders.pixels import Pixels
from models.errors import InvalidInputError, TrainingError
from models.functional.shuffled import Shuffled
from models.one_class._detector import OneClassDetector, check_rate
from models.one_class._svdd_networks import Autoencoder, SVDDEncoder

NEAREST = 0.1
"""Least distance of each of the centre's coordinates from 0, which networks reach trivially."""


class DeepSVDD(OneClassDetector):
    """Score by the squared distance of an image's embedding to the centre of the normal ones.

    The centre c is the mean embedding of the network before it is trained as a one-class model;
    training then shrinks the mean squared distance to c (``soft_boundary=False``), or the radius of
    a ball around c that all but a share ``nu`` of the images shall lie in, whose squared radius is
    then subtracted from the scores. Each image is first brought to mean 0 and mean absolute value
    1, and all to the range of the normal ones, as the authors do.

    Args:
        encoder: ``Pixels``: the network learns from the images themselves.
        config: Hyper-parameters.

    Attributes:
        network: From images to embeddings.
        centre_: Shape (D,).
        radius_: Of the ball; 0 without a soft boundary.
        low_, high_: Range of normal images after their contrast was normalised.
        losses_: Mean loss of the first and of the last epoch. Shape (2,).

    References:
        Ruff et al., 2018, "Deep One-Class Classification", eq. 3 and 4.
        http://proceedings.mlr.press/v80/ruff18a.html
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of Deep SVDD; its epochs are fewer and faster than the paper's."""

        side: int = 28
        """Side S in pixels that images are resized to, a multiple of 4."""
        embedding_dim: int = 32
        """Width D of the embedding, >= 1; the authors' 32."""
        soft_boundary: bool = False
        """Learn a ball that a share ``nu`` of the images may leave."""
        nu: float = 0.1
        """That share, in (0, 1]."""
        pretrain_epochs: int = 20
        """Epochs as an autoencoder before that, >= 0; the authors' 150."""
        epochs: int = 20
        """Epochs as a one-class model, >= 1; the authors' 150."""
        learning_rate: float = 1e-3
        """Of Adam, > 0; a tenth of it in the last third of the epochs. The authors' 1e-4."""
        batch_size: int = 200
        """Images for one step, >= 2."""
        false_alarm_rate: float = 0.05
        """Share of calibration images that may be called anomalous, in (0, 1)."""
        seed: int = 0
        """Of first weights and order."""

        def __post_init__(self) -> None:
            check_rate(self.false_alarm_rate)
            if self.side < 4 or self.side % 4:
                raise InvalidInputError(f"side must be a multiple of 4, got {self.side}.")
            if min(self.embedding_dim, self.epochs, self.pretrain_epochs + 1) < 1:
                raise InvalidInputError(
                    "embedding_dim and epochs must be >= 1, pretrain_epochs >= 0, got "
                    f"{self.embedding_dim}, {self.epochs} and {self.pretrain_epochs}."
                )
            if not 0 < self.nu <= 1 or self.learning_rate <= 0 or self.batch_size < 2:
                raise InvalidInputError(
                    "nu must be in (0, 1], learning_rate > 0 and batch_size >= 2, got "
                    f"{self.nu}, {self.learning_rate} and {self.batch_size}."
                )

        def build(self, encoder: Encoder) -> "DeepSVDD":
            """Return an unfitted detector.

            Raises:
                InvalidInputError: If the encoder is not ``Pixels``.
            """
            return DeepSVDD(encoder, self)

    network: nn.Module
    centre_: Tensor
    radius_: Tensor
    low_: Tensor
    high_: Tensor
    losses_: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        if not isinstance(encoder, Pixels):
            raise InvalidInputError(
                "Deep SVDD learns from images themselves: its encoder must be Pixels, got "
                f"{type(encoder).__name__}. Set encoder=Pixels.Config() in the recipe."
            )
        super().__init__(encoder, config.false_alarm_rate)
        self.config = config
        self.network = self._networks().encoder.eval().requires_grad_(False)
        self.learn_buffers(
            centre_=(config.embedding_dim,), radius_=(), low_=(), high_=(), losses_=(2,)
        )

    def _networks(self) -> Autoencoder:
        size = self.encoder.embedding_dim, self.config.side, self.config.embedding_dim
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            return Autoencoder(SVDDEncoder(*size), *size)

    def _learn(self, batches: Iterable[Tensor], fabric: Fabric, progress: Progress) -> None:
        encoded = (self._normalised(images) for images in shown(batches, progress, "Images"))
        images = Shuffled(encoded, seed=self.config.seed).images
        if len(images) < 2 or not images.max() > images.min():
            raise TrainingError(
                f"Deep SVDD needs images that show something, got {len(images)}. Check train/good."
            )
        self.low_.fill_(images.min())
        self.high_.fill_(images.max())
        normal = Shuffled([self._ranged(images)], seed=self.config.seed)
        whole = self._networks().to(fabric.device)
        if self.config.pretrain_epochs:
            self._pretrain(whole, normal, fabric, progress)
        self._shrink(whole.encoder, normal, fabric, progress)
        self.network.load_state_dict(whole.encoder.state_dict())

    def _pretrain(
        self, whole: Autoencoder, images: Shuffled, fabric: Fabric, progress: Progress
    ) -> None:
        def loss(module: nn.Module, batch: Tensor) -> Tensor:
            return functional.mse_loss(module(batch).float(), batch)

        self._train(whole, loss, images, self.config.pretrain_epochs, 5e-4, fabric, progress)

    def _shrink(
        self, network: SVDDEncoder, images: Shuffled, fabric: Fabric, progress: Progress
    ) -> None:
        centre = self._embedded(network.eval(), images, fabric).mean(dim=0)
        away = torch.where(centre < 0, -NEAREST, NEAREST)
        centre = torch.where(centre.abs() < NEAREST, away, centre)
        self.centre_.copy_(centre)
        self.radius_.zero_()

        def loss(module: nn.Module, batch: Tensor) -> Tensor:
            apart: Tensor = (module(batch).float() - centre).square().sum(dim=1)
            if not self.config.soft_boundary:
                return apart.mean()
            self.radius_.copy_(apart.detach().quantile(1 - self.config.nu).sqrt())
            squared: Tensor = self.radius_.float().square()
            return squared + (apart - squared).clamp(min=0).mean() / self.config.nu

        epochs = self.config.epochs
        losses = self._train(network, loss, images, epochs, 5e-7, fabric, progress)
        self.losses_.copy_(torch.tensor([losses[0], losses[-1]]))
        if self.config.soft_boundary:
            apart = (self._embedded(network.eval(), images, fabric) - centre).square().sum(dim=1)
            self.radius_.copy_(apart.quantile(1 - self.config.nu).sqrt())

    def _train(
        self,
        module: nn.Module,
        loss_of: Callable[[nn.Module, Tensor], Tensor],
        images: Shuffled,
        epochs: int,
        weight_decay: float,
        fabric: Fabric,
        progress: Progress,
    ) -> list[float]:
        """Train a module; return the mean loss of each epoch."""
        rate = self.config.learning_rate
        optimizer = Adam(module.parameters(), lr=rate, weight_decay=weight_decay)
        schedule = MultiStepLR(optimizer, [epochs - epochs // 3])
        solver, optimizer = fabric.setup(module.train(), optimizer)
        losses = []
        for _ in progress(range(epochs), total=epochs, description=type(module).__name__):
            seen = []
            for _, batch in images.epoch(self.config.batch_size):
                if len(batch) < 2:
                    continue  # batch norm needs two images where a map has one place
                loss = loss_of(solver, fabric.to_device(batch))
                optimizer.zero_grad()
                fabric.backward(loss)
                optimizer.step()
                seen.append(loss.detach())
            schedule.step()
            losses.append(float(torch.stack(seen).mean()))
        if not torch.tensor(losses).isfinite().all():
            raise TrainingError(f"The loss must be finite, got {losses[-1]}. Lower learning_rate.")
        return losses

    @torch.no_grad()
    def _embedded(
        self, network: SVDDEncoder, images: Shuffled, fabric: Fabric
    ) -> Float[Tensor, "N D"]:
        parts = [network(batch.to(fabric.device)) for _, batch in images.in_order(1024)]
        return torch.cat(parts).float()

    def _normalised(self, images: Tensor) -> Float[Tensor, "B C S S"]:
        """Images of the network's size, each with mean 0 and mean absolute value 1."""
        size = (self.config.side, self.config.side)
        pixels = self.encoder(images)
        if pixels.shape[-2:] != size:
            pixels = functional.interpolate(pixels, size=size, mode="bilinear", antialias=True)
        centred: Tensor = pixels - pixels.mean(dim=(1, 2, 3), keepdim=True)
        return centred / centred.abs().mean(dim=(1, 2, 3), keepdim=True).clamp(min=1e-6)

    def _ranged(self, images: Tensor) -> Tensor:
        low, high = self.low_.to(images), self.high_.to(images)
        return (images - low) / (high - low)

    def _score(self, images: Float[Tensor, "B C H W"]) -> Scores:
        embeddings = self.network(self._ranged(self._normalised(images))).float()
        apart = (embeddings - self.centre_.float()).square().sum(dim=1)
        return Scores(apart - self.radius_.float().square())
