"""Context encoder: learn features by filling holes in normal images.

Shapes: B = batch, C = channels, H W = image, c = 3 (mean frames or colours), P = paintings of one
image: the task's own and, if there is an adversary, one by L2 alone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn

from models.contracts import Encoder, Progress, silent
from models.errors import InvalidInputError, NotFittedError
from models.functional.holes import SHAPES, centre_holes, crops, holes
from models.functional.mean_frames import mean_frames
from models.pretext._adversary import BETAS, Adversary
from models.pretext._decoder import Decoder
from models.pretext._descent import Descent
from models.pretext._hiding import CLIP, FILL, Hidden, filled, hide, squared_error
from models.pretext._history import MeanImage

SPAN = 2
"""Range of pixels in the paper, [-1, 1], relative to ours: its weights are for such errors."""


class ContextEncoder(nn.Module):
    """Predict what is hidden in a hole from what surrounds it, by L2 alone or with an adversary.

    The encoder sees the image with the hole filled by the mean; a small decoder, of no use
    afterwards, paints it. It is convolutional (dilated convolutions carry context into the hole in
    place of the paper's channel-wise full connection), so images may be of any size.

    L2 alone paints the blurred mean of what is possible. With ``adversarial_weight``, 0.001 in the
    paper, a critic that sees the painted region demands that it look real. A twin decoder then
    learns by L2 alone from the same features, without influence on them, to compare.

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
        shape: str = "block"
        """Of the holes: ``centre`` or ``block``, one rectangle in the middle or anywhere;
        ``blocks``, several small ones; ``region``, any outline."""
        overlap: int = 0
        """Pixels around the hole that are painted too although they can be seen, >= 0; 4 to 7 in
        the paper, beside a hole of 56, which make the painting join its context. Beside a small
        hole they outweigh it: of 14 pixels, 4 made the hole's error a third larger."""
        overlap_gain: float = 10.0
        """Weight of those pixels relative to hidden ones, > 0."""
        adversarial_weight: float = 0.0
        """Share of the adversary in the loss, in [0, 1); 0 is L2 alone."""
        motion_share: float = 0.5
        """Share of crops of clips in which only the newest mean frame is hidden, in [0, 1]."""
        motion_gain: float = 10.0
        """Weight of velocity and acceleration relative to brightness, for clips, >= 0."""
        width: int = 128
        """Channels of the decoder."""
        seed: int = 0
        """Of crops, holes and the decoder's first weights."""

        def __post_init__(self) -> None:
            if self.shape not in SHAPES:
                raise InvalidInputError(
                    f"shape must be one of {', '.join(SHAPES)}, got {self.shape!r}."
                )
            counts = (self.epochs, self.crops_per_image, self.candidates, self.width, self.crop)
            if min(counts) < 1:
                raise InvalidInputError(f"Counts and sizes must be >= 1, got {self}.")
            if not 0 < self.hole < 0.7:
                raise InvalidInputError(f"hole must be in (0, 0.7), got {self.hole}.")
            if not (self.overlap >= 0 and self.overlap_gain > 0):
                raise InvalidInputError(
                    "overlap must be >= 0 and overlap_gain > 0, got "
                    f"{self.overlap} and {self.overlap_gain}."
                )
            if not 0 <= self.adversarial_weight < 1:
                raise InvalidInputError(
                    f"adversarial_weight must be in [0, 1), got {self.adversarial_weight}."
                )
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
        decoders = 2 if config.adversarial_weight else 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.decoders = nn.ModuleList(
                Decoder(encoder.embedding_dim, config.width, encoder.receptive_field)
                for _ in range(decoders)
            )

    def forward(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "P B 3 H W"]:
        """Paint images from their features, as mean frames or colours, once by each decoder.

        Gradients reach the encoder from the first painting alone.
        """
        features, size = self.encoder(images), images.shape[-2:]
        own, *twin = self.decoders
        paintings = [own(features, *size)]
        paintings += [decoder(features.detach(), *size) for decoder in twin]
        return torch.stack(paintings) + FILL

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
        config = self.config
        betas = BETAS if config.adversarial_weight else (0.9, 0.999)
        optimizer = torch.optim.Adam(self.parameters(), lr=config.learning_rate, betas=betas)
        descent, mean = Descent(self, optimizer, config.epochs, fabric), MeanImage()
        adversary = self._adversary(descent.fabric)
        draw = Generator().manual_seed(descent.seed(config.seed))
        for images in descent.over(batches, progress, "Context encoder"):
            if descent.epoch == 0:
                mean.update(descent.whole)
            hidden = self._hidden(self._cut(images, draw), draw, descent.fabric)
            paintings = descent.network(hidden.context)
            descent.step(self._loss(paintings, hidden, adversary, descent.share))
        self.mean_image_, self.history_ = mean.value(), descent.losses.means()
        self.eval()
        return self

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Float[Tensor, "_ C H W"]]) -> Mapping[str, float]:
        """Mean squared error in a centre hole, beside that of filling in the mean training image.

        Returns:
            ``hole_mse`` and ``mean_image_mse``, of pixels in [0, 1]; if there was an adversary,
            ``l2_hole_mse``, of the painting by L2 alone.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        if self.mean_image_ is None:
            raise NotFittedError("ContextEncoder is not fitted. Call fit(batches) first.")
        names = (*("hole_mse", "l2_hole_mse")[: len(self.decoders)], "mean_image_mse")
        errors, num_pixels = torch.zeros(len(names), dtype=torch.float64), 0.0
        mean_image = self.mean_image_.to(next(self.parameters()).device)
        for batch in batches:
            images = batch.to(mean_image)
            target, hole = mean_frames(images), self._centre(images)
            paintings = self(filled(images, hole, _none(images)))
            for place, answer in enumerate((*paintings, mean_image.expand_as(target))):
                errors[place] += ((answer - target).square() * hole[:, None]).sum().item()
            num_pixels += 3 * hole.sum().item()
        return dict(zip(names, (errors / num_pixels).tolist(), strict=True))

    @torch.no_grad()
    def examples(self, images: Float[Tensor, "B C H W"]) -> Mapping[str, Float[Tensor, "B c H W"]]:
        """Context with its hole, the hole filled in by each decoder, and the original."""
        images = images.to(next(self.parameters()).device)
        hole = self._centre(images)
        hidden, original = filled(images, hole, _none(images)), mean_frames(images)
        inpainted = torch.where(hole[:, None], self(hidden), original).clamp(0, 1)
        if len(inpainted) == 1:
            answers = {"inpainted": inpainted[0]}
        else:
            answers = {"L2": inpainted[1], "L2 + adversarial": inpainted[0]}
        return {"context": mean_frames(hidden), **answers, "original": original}

    def _adversary(self, fabric: Fabric) -> Adversary | None:
        if not self.config.adversarial_weight:
            return None
        config = self.config
        return Adversary(config.width // 2, config.learning_rate, fabric, config.seed)

    def _cut(self, images: Tensor, draw: Generator) -> Tensor:
        repeated = images.repeat_interleave(self.config.crops_per_image, dim=0)
        return crops(repeated, self.config.crop, self.config.candidates, draw)

    def _hidden(self, images: Tensor, draw: Generator, fabric: Fabric) -> Hidden:
        config, (num, channels, height, width) = self.config, images.shape
        share = config.motion_share if channels == CLIP else 0.0
        newest_only = torch.rand(num, generator=draw) < share
        hole = holes(config.shape, num, height, width, config.hole, draw)
        return hide(
            *fabric.to_device((images, hole, newest_only)),
            overlap=config.overlap,
            overlap_gain=config.overlap_gain,
        )

    def _loss(
        self, paintings: Tensor, hidden: Hidden, adversary: Adversary | None, share: float
    ) -> Tensor:
        """Loss of the painter; the adversary takes a step first, at a share of its rate."""
        l2 = [squared_error(painted, hidden, self.config.motion_gain) for painted in paintings]
        if adversary is None:
            return l2[0]
        adversary.learn(hidden, paintings[0], share)
        weight = self.config.adversarial_weight
        own = (1 - weight) * SPAN**2 * l2[0] + weight * adversary.doubt(hidden, paintings[0])
        return own + l2[1]

    def _centre(self, images: Tensor) -> Bool[Tensor, "B H W"]:
        height, width = images.shape[-2:]
        share = self.config.hole * min(self.config.crop / max(height, width), 1)
        return centre_holes(len(images), height, width, share).to(images.device)


def _none(images: Tensor) -> Tensor:
    return torch.zeros(len(images), dtype=torch.bool, device=images.device)
