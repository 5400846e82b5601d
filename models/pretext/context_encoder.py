"""Context encoder: learn features by filling holes in normal images.

Shapes: B = batch, C = channels, H W = image, c = 3 (mean frames or colours).
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn

from models.contracts import Encoder, Progress, silent
from models.errors import InvalidInputError, NotFittedError
from models.functional.holes import centre_holes, crops, random_holes
from models.functional.mean_frames import mean_frames, temporal_basis
from models.pretext._decoder import Decoder
from models.pretext._history import Losses, MeanImage

CLIP = 6
"""Channels of an input that is a window of consecutive frames."""
FILL = 0.45
"""Gray that fills a hole: about the mean of natural images."""


class ContextEncoder(nn.Module):
    """Predict what is hidden in a hole from what surrounds it, by L2 on the hole only.

    The encoder sees the image with the hole filled by the mean; a small decoder, of no use
    afterwards, paints it. It is convolutional (dilated convolutions carry context into the hole in
    place of the paper's channel-wise full connection), so images may be of any size.

    Clips get three extensions beyond the paper, so that features see movement; ``Config`` switches
    each of them off: crops are drawn where something moves (``candidates``), in a share of them
    only the newest mean frame is hidden, which must be extrapolated (``motion_share``), and errors
    in movement weigh more than errors in brightness (``motion_gain``).

    Args:
        encoder: What to train.
        config: Hyper-parameters.

    Attributes:
        encoder: The encoder, trained after ``fit``.
        history_: Mean loss of each epoch, empty before ``fit``.
        mean_image_: Mean of the training images as mean frames: the trivial answer that
            ``evaluate`` compares with. Shape (3, H, W); None before ``fit``.

    References:
        Pathak et al., 2016, "Context Encoders: Feature Learning by Inpainting".
        https://arxiv.org/abs/1604.07379
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the context encoder."""

        epochs: int = 8
        """Passes over the images, >= 1."""
        learning_rate: float = 1e-3
        """Of Adam, > 0; falls to 0 along a half cosine."""
        crop: int = 96
        """Side of the squares cut from an image, in pixels; the whole image if that is smaller."""
        crops_per_image: int = 2
        """Squares cut from each image in each epoch, >= 1."""
        candidates: int = 4
        """Places drawn for a square, of which the one with most movement is taken; 1 draws freely.
        Without effect on still images."""
        hole: float = 0.4
        """Sides of the hole relative to those of the crop, in (0, 0.7)."""
        random_place: bool = True
        """Hide a block at a random place; else the centre."""
        motion_share: float = 0.5
        """Share of crops of clips in which only the newest mean frame is hidden, in [0, 1]."""
        motion_gain: float = 10.0
        """Weight of velocity and acceleration relative to brightness, for clips, >= 0."""
        width: int = 128
        """Channels of the decoder."""
        seed: int = 0
        """Of crops, holes and the decoder's first weights."""

        def __post_init__(self) -> None:
            counts = (self.epochs, self.crops_per_image, self.candidates, self.width, self.crop)
            if min(counts) < 1:
                raise InvalidInputError(f"Counts and sizes must be >= 1, got {self}.")
            if not 0 < self.hole < 0.7:
                raise InvalidInputError(f"hole must be in (0, 0.7), got {self.hole}.")
            if not 0 <= self.motion_share <= 1:
                raise InvalidInputError(f"motion_share must be in [0, 1], got {self.motion_share}.")
            if not (self.learning_rate > 0 and self.motion_gain >= 0):
                raise InvalidInputError(
                    "learning_rate must be > 0 and motion_gain >= 0, got "
                    f"{self.learning_rate} and {self.motion_gain}."
                )

        def build(self, encoder: Encoder) -> "ContextEncoder":
            """Return an unsolved task that will train ``encoder``."""
            return ContextEncoder(encoder, self)

    encoder: Encoder

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.history_: list[float] = []
        self.mean_image_: Tensor | None = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.decoder = Decoder(encoder.embedding_dim, config.width, encoder.receptive_field)

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B 3 H W"]:
        """Paint images from their features, as mean frames or colours."""
        painted: Tensor = self.decoder(self.encoder(images), *images.shape[-2:])
        return painted + FILL

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "ContextEncoder":
        """Train encoder and decoder on normal images.

        Args:
            batches: Normal images; iterated once per epoch.
            fabric: Device and precision; the CPU in float32 if None.
            progress: Shows the batches of all epochs.

        Raises:
            TrainingError: If the images are constant, there are none, or the loss diverges.
        """
        fabric = fabric or Fabric(accelerator="cpu", devices=1)
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.learning_rate)
        painter, optimizer = fabric.setup(self.train(), optimizer)
        draw = Generator().manual_seed(self.config.seed)
        total = self.config.epochs * (len(batches) if isinstance(batches, Sized) else 0)
        mean, losses = MeanImage(), Losses(self.config.epochs)
        steps = progress(self._epochs(batches), total=total, description="Context encoder")
        for step, (epoch, images) in enumerate(steps):
            if epoch == 0:
                mean.update(images)
            for group in optimizer.param_groups:
                group["lr"] = self.config.learning_rate * _cosine(step, total)
            loss = self._loss(painter, self._cut(images, draw), draw, fabric)
            losses.add(epoch, loss)
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
        self.mean_image_, self.history_ = mean.value(), losses.means()
        self.eval()
        return self

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Float[Tensor, "_ C H W"]]) -> Mapping[str, float]:
        """Mean squared error in a centre hole, beside that of filling in the mean training image.

        Returns:
            ``hole_mse`` and ``mean_image_mse``, of pixels in [0, 1].

        Raises:
            NotFittedError: If called before ``fit``.
        """
        if self.mean_image_ is None:
            raise NotFittedError("ContextEncoder is not fitted. Call fit(batches) first.")
        errors = torch.zeros(3, dtype=torch.float64)
        mean_image = self.mean_image_.to(next(self.parameters()).device)
        for batch in batches:
            images = batch.to(mean_image)
            target, hole = mean_frames(images), self._centre(images)
            painted = self(_hide(images, hole, newest_only=_none(images)))
            for place, answer in enumerate((painted, mean_image.expand_as(target))):
                errors[place] += ((answer - target).square() * hole[:, None]).sum().item()
            errors[2] += 3 * hole.sum().item()
        mse = (errors / errors[2]).tolist()
        return {"hole_mse": mse[0], "mean_image_mse": mse[1]}

    @torch.no_grad()
    def examples(self, images: Float[Tensor, "B C H W"]) -> Mapping[str, Float[Tensor, "B c H W"]]:
        """Context with its hole, the hole filled in, and the original."""
        images = images.to(next(self.parameters()).device)
        hole = self._centre(images)
        hidden = _hide(images, hole, newest_only=_none(images))
        painted = torch.where(hole[:, None], self(hidden), mean_frames(images)).clamp(0, 1)
        return {
            "context": mean_frames(hidden),
            "inpainted": painted,
            "original": mean_frames(images),
        }

    def _epochs(self, batches: Iterable[Tensor]) -> Iterator[tuple[int, Tensor]]:
        for epoch in range(self.config.epochs):
            for images in batches:
                yield epoch, images

    def _cut(self, images: Tensor, draw: Generator) -> Tensor:
        repeated = images.repeat_interleave(self.config.crops_per_image, dim=0)
        return crops(repeated, self.config.crop, self.config.candidates, draw)

    def _loss(self, painter: nn.Module, images: Tensor, draw: Generator, fabric: Fabric) -> Tensor:
        num, _, height, width = images.shape
        share = self.config.motion_share if images.shape[1] == CLIP else 0.0
        newest_only = torch.rand(num, generator=draw) < share
        hole = (
            random_holes(num, height, width, self.config.hole, draw)
            if self.config.random_place
            else centre_holes(num, height, width, self.config.hole)
        )
        images, hole, newest_only = fabric.to_device((images, hole, newest_only))
        error = painter(_hide(images, hole, newest_only)).float() - mean_frames(images)
        error = error * hole[:, None]
        seen = newest_only[:, None] & torch.tensor([True, True, False], device=error.device)
        error = error.masked_fill(seen[:, :, None, None], 0)
        if images.shape[1] == CLIP:
            gain = torch.tensor([1, self.config.motion_gain, self.config.motion_gain])
            error = temporal_basis(error) * gain.to(error)[:, None, None]
        loss: Tensor = error.square().sum() / (3 * hole.sum())
        return loss

    def _centre(self, images: Tensor) -> Bool[Tensor, "B H W"]:
        height, width = images.shape[-2:]
        share = self.config.hole * min(self.config.crop / max(height, width), 1)
        return centre_holes(len(images), height, width, share).to(images.device)


def _hide(images: Tensor, hole: Tensor, newest_only: Tensor) -> Tensor:
    """Fill the hole by the mean; or only in the newest pair of frames, by the pair before."""
    filled = images.masked_fill(hole[:, None], FILL)
    if images.shape[1] != CLIP:
        return filled
    before = images[:, 2:4].mean(dim=1, keepdim=True).expand(-1, 2, -1, -1)
    newest = torch.where(hole[:, None], before, images[:, 4:])
    frozen = torch.cat([images[:, :4], newest], dim=1)
    return torch.where(newest_only[:, None, None, None], frozen, filled)


def _none(images: Tensor) -> Tensor:
    return torch.zeros(len(images), dtype=torch.bool, device=images.device)


def _cosine(step: int, total: int) -> float:
    return (1 + math.cos(math.pi * min(step / total, 1))) / 2 if total else 1.0
