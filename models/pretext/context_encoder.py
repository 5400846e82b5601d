"""Context encoder: learn features by filling holes in normal images (experimental).

Shapes: B = batch, C = channels, H W = image, D = features, h w = feature map or patches of
the critic, eight pixels apart, c = 3 (mean frames or colours), P = answers for one image: the
task's own and, if there is an adversary, one by L2 alone.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.contracts import Encoder, Progress, silent
from models.errors import InvalidInputError, NotFittedError
from models.functional.holes import SHAPES, centre_holes, crop_places, cut_at, holes, widened
from models.functional.mean_frames import mean_frames, temporal_basis
from models.functional.mean_image import MeanImage
from models.functional.receptive_field import ReceptiveField, centre
from models.training import Trainer, cosine, num_steps

CLIP = 6
"""Channels of an input that is a window of consecutive frames."""
BETAS = (0.5, 0.999)
"""Of Adam for generator and critic, as the paper has them."""
FIRST = 1e-3
"""Deviation of the decoder's last weights at first, so that it begins at the mean image."""
SLOWER = 0.1
"""Learning rate of the critic relative to the generator's, as the paper has it."""
SPAN = 2
"""Range of pixels in the paper, [-1, 1], relative to ours: its weights are for such errors."""


class ContextEncoder(nn.Module):
    """Predict what is hidden in a hole from what surrounds it, by L2 alone or with an adversary.

    The encoder sees the image with the hole filled by the data's mean gray level; a small decoder,
    of no use afterwards, paints how the hole differs from the mean training image, which is all
    that there is to learn where the camera stands still. It is convolutional (dilated convolutions
    carry context into the hole in place of the paper's channel-wise full connection), so images
    may be of any size.

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
        fill_: Gray level that fills holes, the mean of the first training batch; NaN before
            ``fit``.
        mean_image_: Mean of the training images as mean frames: what paintings add to, and the
            trivial answer that ``evaluate`` compares with. Shape (3, H, W); None before ``fit``.

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
        self.fill_ = math.nan
        decoders = 2 if config.adversarial_weight else 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.decoders = nn.ModuleList(
                Decoder(encoder.embedding_dim, config.width, encoder.receptive_field)
                for _ in range(decoders)
            )

    def forward(
        self, images: Float[Tensor, "B C H W"], usual: Float[Tensor, "B 3 H W"]
    ) -> Float[Tensor, "P B 3 H W"]:
        """Paint images from their features, as mean frames or colours, once by each decoder.

        Gradients reach the encoder from the first painting alone.

        Args:
            images: With something hidden.
            usual: The mean image at their places, which paintings add to.
        """
        features, size = self.encoder(images), images.shape[-2:]
        own, *twin = self.decoders
        paintings = [own(features, *size)]
        paintings += [decoder(features.detach(), *size) for decoder in twin]
        return torch.stack(paintings) + usual

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
        total = num_steps(batches, config.epochs)
        trainer, mean = (
            Trainer(self.train(), optimizer, fabric, cosine(optimizer, total)),
            MeanImage(),
        )
        adversary = self._adversary(trainer.fabric, total)
        draw = Generator().manual_seed(trainer.seed(config.seed))
        self.fill_, usual = math.nan, torch.empty(0)
        for images in trainer.epochs(batches, config.epochs, progress, "Context encoder"):
            if math.isnan(self.fill_):
                self.fill_ = float(trainer.whole.mean())
            if trainer.epoch == 0:
                mean.update(trainer.whole)
                usual = mean.so_far()
            cut, beside = self._cut(images, usual, draw)
            hidden = self._hidden(cut, draw, trainer.fabric)
            paintings = trainer.network(hidden.context, trainer.fabric.to_device(beside))
            trainer.step(self._loss(paintings, hidden, adversary))
        self.mean_image_, self.history_ = mean.value(), trainer.history()
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
            usual = mean_image.expand_as(target)
            paintings = self(filled(images, hole, _none(images), self.fill_), usual)
            for place, answer in enumerate((*paintings, usual)):
                errors[place] += ((answer - target).square() * hole[:, None]).sum().item()
            num_pixels += 3 * hole.sum().item()
        return dict(zip(names, (errors / num_pixels).tolist(), strict=True))

    @torch.no_grad()
    def examples(self, images: Float[Tensor, "B C H W"]) -> Mapping[str, Float[Tensor, "B c H W"]]:
        """Context with its hole, the hole filled in by each decoder, and the original."""
        images = images.to(next(self.parameters()).device)
        hole = self._centre(images)
        hidden, original = filled(images, hole, _none(images), self.fill_), mean_frames(images)
        assert self.mean_image_ is not None
        usual = self.mean_image_.to(original).expand_as(original)
        inpainted = torch.where(hole[:, None], self(hidden, usual), original).clamp(0, 1)
        if len(inpainted) == 1:
            answers = {"inpainted": inpainted[0]}
        else:
            answers = {"L2": inpainted[1], "L2 + adversarial": inpainted[0]}
        return {"context": mean_frames(hidden), **answers, "original": original}

    def _adversary(self, fabric: Fabric, total: int) -> "Adversary | None":
        config = self.config
        if not config.adversarial_weight:
            return None
        rate = SLOWER * config.learning_rate
        return Adversary(config.width // 2, rate, fabric, config.seed, num_steps=total)

    def _cut(self, images: Tensor, usual: Tensor, draw: Generator) -> tuple[Tensor, Tensor]:
        """Crops of images, and of the mean image at the same places."""
        config = self.config
        repeated = images.repeat_interleave(config.crops_per_image, dim=0)
        places = crop_places(repeated, config.crop, config.candidates, draw)
        usual = usual.to(images).expand(len(repeated), -1, -1, -1)
        return cut_at(repeated, places, config.crop), cut_at(usual, places, config.crop)

    def _hidden(self, images: Tensor, draw: Generator, fabric: Fabric) -> "Hidden":
        config, (num, channels, height, width) = self.config, images.shape
        share = config.motion_share if channels == CLIP else 0.0
        newest_only = torch.rand(num, generator=draw) < share
        hole = holes(config.shape, num, height, width, config.hole, draw)
        images, hole, newest_only = fabric.to_device((images, hole, newest_only))
        return hide(
            images,
            hole,
            newest_only,
            self.fill_,
            overlap=config.overlap,
            overlap_gain=config.overlap_gain,
        )

    def _loss(self, paintings: Tensor, hidden: "Hidden", adversary: "Adversary | None") -> Tensor:
        """Loss of encoder and decoders; the adversary takes a step first."""
        l2 = [squared_error(answer, hidden, self.config.motion_gain) for answer in paintings]
        if adversary is None:
            return l2[0]
        adversary.step(hidden, paintings[0])
        weight = self.config.adversarial_weight
        own = (1 - weight) * SPAN**2 * l2[0] + weight * adversary.loss(hidden, paintings[0])
        return own + l2[1]

    def _centre(self, images: Tensor) -> Bool[Tensor, "B H W"]:
        height, width = images.shape[-2:]
        share = self.config.hole * min(self.config.crop / max(height, width), 1)
        return centre_holes(len(images), height, width, share).to(images.device)


class Decoder(nn.Module):
    """Carry context into the hole by dilated convolutions, then up to pixels by a pixel shuffle.

    Args:
        embedding_dim: Features D.
        width: Channels in between.
        field: Receptive field of the features, which says where each one lies in the image.
    """

    def __init__(self, embedding_dim: int, width: int, field: ReceptiveField) -> None:
        super().__init__()
        self.field = field
        before = (
            nn.Conv2d(embedding_dim, width, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, kernel_size=3, padding=2, dilation=2),
            nn.ReLU(),
        )
        last = nn.Conv2d(width, 3 * field.stride**2, kernel_size=3, padding=1)
        nn.init.normal_(last.weight, std=FIRST)
        assert last.bias is not None
        nn.init.zeros_(last.bias)
        self.context = nn.Sequential(*before, last, nn.PixelShuffle(field.stride))

    def forward(
        self, feature_map: Float[Tensor, "B D h w"], height: int, width: int
    ) -> Float[Tensor, "B 3 H W"]:
        """Return images of the given size; cell 0's square lies around its field's centre."""
        painted = self.context(feature_map)
        first = round(centre(self.field) - (self.field.stride - 1) / 2)
        right = width - first - painted.shape[3]
        bottom = height - first - painted.shape[2]
        shifted: Tensor = functional.pad(painted, (first, right, first, bottom))
        return shifted


class Hidden(NamedTuple):
    """Images with something hidden, and what is asked about it.

    Attributes:
        context: What the encoder sees. Shape (B, C, H, W).
        target: What must be painted, as mean frames or colours. Shape (B, 3, H, W).
        weight: Of each pixel's squared error, 0 where nothing is asked. Shape (B, 1, H, W).
        known: Channels of the target that were not hidden. Shape (B, 3, 1, 1).
        fill: Gray level of what is hidden.
    """

    context: Tensor
    target: Tensor
    weight: Tensor
    known: Tensor
    fill: float

    def region(self, pictures: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """What was to be painted and nothing around it; known channels are the target's."""
        answers = torch.where(self.known, self.target, pictures)
        return torch.where(self.weight > 0, answers, self.fill)


def hide(
    images: Float[Tensor, "B C H W"],
    hole: Bool[Tensor, "B H W"],
    newest_only: Bool[Tensor, "B"],
    fill: float,
    *,
    overlap: int = 0,
    overlap_gain: float = 1.0,
) -> Hidden:
    """Hide holes, or only their newest mean frame; ask for them and a band around them.

    Args:
        images: Whole images.
        hole: True where something is hidden.
        newest_only: Whether only the newest of a clip's mean frames is hidden.
        fill: Gray level that fills holes.
        overlap: Pixels around the hole that are asked for although they can be seen.
        overlap_gain: Weight of those pixels, relative to hidden ones.
    """
    asked = widened(hole, overlap)
    weight = torch.where(hole, 1.0, overlap_gain) * asked
    first = torch.tensor([True, True, False], device=images.device)
    known = newest_only[:, None] & first
    return Hidden(
        context=filled(images, hole, newest_only, fill),
        target=mean_frames(images),
        weight=weight[:, None],
        known=known[:, :, None, None],
        fill=fill,
    )


def filled(
    images: Float[Tensor, "B C H W"],
    hole: Bool[Tensor, "B H W"],
    newest_only: Bool[Tensor, "B"],
    fill: float,
) -> Float[Tensor, "B C H W"]:
    """Fill the hole by one gray level; or only in the newest pair of frames, by the pair before."""
    gray = images.masked_fill(hole[:, None], fill)
    if images.shape[1] != CLIP:
        return gray
    before = images[:, 2:4].mean(dim=1, keepdim=True).expand(-1, 2, -1, -1)
    newest = torch.where(hole[:, None], before, images[:, 4:])
    frozen = torch.cat([images[:, :4], newest], dim=1)
    return torch.where(newest_only[:, None, None, None], frozen, gray)


def squared_error(
    painted: Float[Tensor, "B 3 H W"], hidden: Hidden, motion_gain: float
) -> Float[Tensor, ""]:
    """Weighted mean squared error over the pixels asked for.

    Args:
        painted: The answers.
        hidden: The questions.
        motion_gain: Weight of velocity and acceleration relative to brightness, for clips.
    """
    asked = hidden.weight > 0
    error = ((painted.float() - hidden.target) * asked).masked_fill(hidden.known, 0)
    if hidden.context.shape[1] == CLIP:
        gain = torch.tensor([1, motion_gain, motion_gain])
        error = temporal_basis(error) * gain.to(error)[:, None, None]
    loss: Tensor = (error.square() * hidden.weight).sum() / (3 * asked.sum())
    return loss


class Critic(nn.Module):
    """Judge patch by patch whether a region is true: a logit, > 0 for true.

    The batch normalisation of the paper is replaced by each image's own statistics, so that one
    image is enough and true and painted ones do not mix.

    Args:
        width: Channels of the first layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        for before in (width, 2 * width):
            layers += [
                nn.Conv2d(before, 2 * before, 4, stride=2, padding=1, bias=False),
                nn.GroupNorm(1, 2 * before),
                nn.LeakyReLU(0.2),
            ]
        self.layers = nn.Sequential(*layers, nn.Conv2d(4 * width, 1, 3, padding=1))
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.normal_(layer.weight, std=0.02)

    def forward(self, regions: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 h w"]:
        """Return one logit for each patch."""
        logits: Tensor = self.layers(regions)
        return logits


class Adversary:
    """A critic and how it is trained; it sees the region asked for, never the context.

    Args:
        width: Channels of the critic's first layer.
        learning_rate: Of the critic; falls to 0 along a half cosine.
        fabric: Device and precision.
        seed: Of the critic's first weights.
        num_steps: Steps to come; 0 if their number is not known.
    """

    def __init__(
        self, width: int, learning_rate: float, fabric: Fabric, seed: int, *, num_steps: int = 0
    ) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            critic = Critic(width)
        optimizer = torch.optim.Adam(critic.parameters(), lr=learning_rate, betas=BETAS)
        self._trainer = Trainer(critic, optimizer, fabric, cosine(optimizer, num_steps))

    def step(self, hidden: Hidden, painted: Float[Tensor, "B 3 H W"]) -> None:
        """Take one step of the critic."""
        true, false = (
            self._cross_entropy(hidden, pictures, label)
            for pictures, label in ((hidden.target, 1.0), (painted.detach(), 0.0))
        )
        self._trainer.step(true + false)

    def loss(self, hidden: Hidden, painted: Float[Tensor, "B 3 H W"]) -> Float[Tensor, ""]:
        """The adversarial loss of what painted: cross-entropy of the critic's logits with true."""
        return self._cross_entropy(hidden, painted, 1.0)

    def _cross_entropy(self, hidden: Hidden, pictures: Tensor, label: float) -> Tensor:
        logits = self._trainer.network(hidden.region(pictures)).float()
        covered = functional.adaptive_avg_pool2d((hidden.weight > 0).float(), logits.shape[-2:])
        loss = functional.binary_cross_entropy_with_logits(
            logits, torch.full_like(logits, label), weight=covered, reduction="sum"
        )
        return loss / covered.sum()


def _none(images: Tensor) -> Tensor:
    return torch.zeros(len(images), dtype=torch.bool, device=images.device)
