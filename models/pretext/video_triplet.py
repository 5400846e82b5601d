"""Video triplets: learn features that recognise what moved through a clip (experimental).

Shapes: B = pairs, C = channels, H W = image, 2 = first and last patch, S T = rows and columns of a
patch, D = embedding, c = 3 (mean frames or colours).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.contracts import WINDOW, Encoder, Progress, shown, silent
from models.encoders.small import pooled
from models.errors import InvalidInputError, NotFittedError, TrainingError
from models.functional.holes import crops
from models.functional.mean_frames import mean_frames
from models.functional.mean_image import MeanImage
from models.functional.triplets import (
    at_random,
    cosine_distances,
    hardest,
    num_in_order,
    ranking_losses,
)
from models.training import Trainer, cosine, num_steps

CANDIDATES = 4
"""Places drawn for the patch of an untracked clip, of which the one with most movement is taken."""
TRACKED = 5
"""Dimensions of a batch of tracked pairs; plain images have one less."""
MOST = 2000
"""Untracked images that ``evaluate`` compares with each other; more are left out."""
ALONE = (
    "Triplets need batches of at least 2 different images or tracks, got 1 in each batch. Add "
    "images, or raise batch_size."
)
SHRINKAGE = 0.03
"""Weight of the identity in the covariance within tracks, against its mean variance."""


class VideoTriplet(nn.Module):
    """Place the last patch of a track nearer to its first than any patch of another track.

    A siamese network: one encoder and one linear head, of no use afterwards, embed both patches,
    and distances are cosines. Larger heads, such as the paper's two layers, learn few tracks by
    heart. Negatives are the other tracks of the batch: drawn at random in the first epochs, because
    mining from the start collapses; then those with the largest losses.

    Without epochs the encoder stays as it came, and the head alone is fitted, in closed form: it
    makes what changes within a track equally large in each direction, and keeps those directions in
    which tracks differ most beside it. A pretrained encoder and few tracks want no more than that.

    Tracked pairs come as batches (B, 2, C, H, W), in which all tracks show different things; the
    tasks mine them from clips. Plain images (B, C, H, W) make pairs of their own: the same place
    twice, a little shifted, and in clips of six frames once early and once late.

    Args:
        encoder: What to train.
        config: Hyper-parameters.

    Attributes:
        encoder: The encoder, trained after ``fit``.
        history_: Mean loss of each epoch, empty before ``fit``; without epochs that with the head
            that was fitted. It rises where negatives become hard.

    References:
        Wang and Gupta, 2015, "Unsupervised Learning of Visual Representations using Videos".
        https://arxiv.org/abs/1505.00687. The head in closed form: Hatch, Kajarekar and Stolcke,
        2006, "Within-Class Covariance Normalization for SVM-based Speaker Recognition".
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the video triplets."""

        epochs: int = 24
        """Passes over the tracks, >= 0; 0 fits the head alone."""
        learning_rate: float = 1e-3
        """Of AdamW, > 0; falls to 0 along a half cosine."""
        weight_decay: float = 5e-4
        """Of AdamW, >= 0."""
        margin: float = 0.5
        """By how much a negative must be further away than the positive, in (0, 2]; cosine
        distances are in [0, 2]."""
        negatives: int = 4
        """Negatives of each patch in a step, >= 1."""
        random_share: float = 0.5
        """Share of the epochs, the first ones, in which negatives are random, in [0, 1]."""
        patch: int = 48
        """Side of a patch in pixels of the frames as the recipe reads them; the whole image if that
        is smaller. AlexNet's trunk needs 40."""
        length: int = 30
        """Frames of a track at most, >= 2."""
        jitter: float = 0.2
        """Part of a patch's side by which its crops are shifted at most, in (0, 0.5)."""
        light: float = 0.35
        """Most change of contrast and brightness of a patch, relative, in [0, 1)."""
        width: int = 128
        """Embedding of a patch, >= 1."""
        seed: int = 0
        """Of crops, light and negatives, and the head's first weights."""

        def __post_init__(self) -> None:
            counts = (self.epochs + 1, self.negatives, self.patch, self.width)
            if min(counts) < 1 or self.length < 2:
                raise InvalidInputError(
                    "negatives, patch and width must be >= 1, epochs >= 0 and length >= 2, got "
                    f"{self}."
                )
            if not 0 < self.margin <= 2:
                raise InvalidInputError(f"margin must be in (0, 2], got {self.margin}.")
            if not 0 <= self.random_share <= 1:
                raise InvalidInputError(f"random_share must be in [0, 1], got {self.random_share}.")
            if not (0 < self.jitter < 0.5 and 0 <= self.light < 1):
                raise InvalidInputError(
                    "jitter must be in (0, 0.5) and light in [0, 1), got "
                    f"{self.jitter} and {self.light}."
                )
            if not (self.learning_rate > 0 and self.weight_decay >= 0):
                raise InvalidInputError(
                    "learning_rate must be > 0 and weight_decay >= 0, got "
                    f"{self.learning_rate} and {self.weight_decay}."
                )

        def build(self, encoder: Encoder) -> "VideoTriplet":
            """Return an unsolved task that will train ``encoder``."""
            return VideoTriplet(encoder, self)

    encoder: Encoder

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.history_: list[float] = []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.head = nn.Linear(encoder.embedding_dim, config.width)

    def forward(self, patches: Float[Tensor, "B C S T"]) -> Float[Tensor, "B D"]:
        """Embeddings of length 1."""
        projected: Tensor = self.head(pooled(self.encoder(patches)))
        return functional.normalize(projected.float(), dim=1)

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"] | Float[Tensor, "_ 2 C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "VideoTriplet":
        """Train encoder and head on normal images or tracked pairs.

        Args:
            batches: Images, or first and last patches of tracks; iterated once per epoch, or
                twice for the head alone. A batch of one has no negatives and is passed over.
            fabric: Device and precision; the CPU in float32 if None.
            progress: Shows the batches of all epochs.

        Raises:
            TrainingError: If the images are constant, there are too few, or the loss diverges.
        """
        config = self.config
        if not config.epochs:
            return self._fit_head(batches, fabric or Fabric(accelerator="cpu", devices=1), progress)
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        total = num_steps(batches, config.epochs)
        trainer, seen = (
            Trainer(self.train(), optimizer, fabric, cosine(optimizer, total)),
            MeanImage(),
        )
        maker, draw = self._maker(), Generator().manual_seed(trainer.seed(config.seed))
        for batch in trainer.epochs(batches, config.epochs, progress, "Video triplets"):
            pairs = maker.drawn(batch)
            if trainer.epoch == 0:
                seen.update(pairs.flatten(0, 1))
            if len(pairs) > 1:
                pairs = trainer.fabric.to_device(pairs)
                trainer.step(self._loss(trainer.network, pairs, trainer.epoch, draw))
        seen.value()  # refuses images in which there was nothing to see
        if len(trainer.history()) < config.epochs:
            raise TrainingError(ALONE)
        self.history_ = trainer.history()
        self.eval()
        return self

    @torch.no_grad()
    def _fit_head(
        self, batches: Iterable[Tensor], fabric: Fabric, progress: Progress
    ) -> "VideoTriplet":
        """Whiten what changes within a pair; keep the directions in which pairs differ most."""
        self.to(fabric.device).eval()
        dim, seen = self.encoder.embedding_dim, MeanImage()
        within = torch.zeros(dim, dim, dtype=torch.float64, device=fabric.device)
        gram = torch.zeros(dim + 1, dim + 1, dtype=torch.float64, device=fabric.device)
        for batch in shown(batches, progress, "Video triplets"):
            pairs = self._held_out(batch)
            seen.update(pairs.flatten(0, 1))
            features = pooled(self.encoder(pairs.flatten(0, 1))).double()
            apart = features.unflatten(0, (-1, 2)).diff(dim=1)[:, 0]
            within += apart.mT @ apart / 2
            wide = functional.pad(features, (0, 1), value=1.0)
            gram += wide.mT @ wide
        seen.value()
        within, gram = (
            cast("Tensor", fabric.all_reduce(each, reduce_op="sum")) for each in (within, gram)
        )
        within, gram = within / gram[-1, -1], gram / gram[-1, -1]
        mean, usual = gram[-1, :-1], (within.trace() / dim).clamp(min=1e-12)
        within = within + SHRINKAGE * usual * torch.eye(dim).to(within)
        whitened = torch.linalg.inv(torch.linalg.cholesky(within))
        spread = whitened @ (gram[:-1, :-1] - mean.outer(mean)) @ whitened.mT
        variances, directions = torch.linalg.eigh(spread)
        kept = min(self.config.width, dim)
        head = (directions.mT @ whitened).flip(0)[:kept] / variances.sum().sqrt()
        self.head.weight.zero_()[:kept] = head.to(self.head.weight)
        self.head.bias.zero_()[:kept] = -(head @ mean).to(self.head.bias)
        draw = Generator().manual_seed(self.config.seed)
        losses = [
            self._loss(self, pairs, -1, draw)
            for batch in batches
            if len(pairs := self._held_out(batch)) > 1
        ]
        if not losses:
            raise TrainingError(ALONE)
        self.history_ = [float(torch.stack(losses).mean())]
        return self

    @torch.no_grad()
    def evaluate(
        self, batches: Iterable[Float[Tensor, "_ C H W"] | Float[Tensor, "_ 2 C H W"]]
    ) -> Mapping[str, float]:
        """How many triplets are in order, of all that held-out images or tracks make.

        Tracks are compared within a batch, where they are known to differ; plain images with all
        others.

        Returns:
            ``triplet_accuracy``, the share of triplets whose positive is nearer to the anchor than
            their negative; ``pixel_triplet_accuracy``, the same by correlation of raw pixels; and
            ``num_triplets``.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If there is no triplet.
        """
        if not self.history_:
            raise NotFittedError("VideoTriplet is not fitted. Call fit(batches) first.")
        right, count = torch.zeros(2), 0
        for embedded, pixels in self._groups(batches):
            right += torch.tensor([num_in_order(*each.unbind(1)) for each in (embedded, pixels)])
            count += len(embedded) * (len(embedded) - 1)
        if not count:
            raise InvalidInputError(
                "Triplets need at least 2 different held-out images or tracks, got fewer. Hold out "
                "more."
            )
        accuracy, by_pixels = (right.double() / count).tolist()
        return {
            "triplet_accuracy": accuracy,
            "pixel_triplet_accuracy": by_pixels,
            "num_triplets": float(count),
        }

    @torch.no_grad()
    def examples(
        self, images: Float[Tensor, "B C H W"] | Float[Tensor, "B 2 C H W"]
    ) -> Mapping[str, Float[Tensor, "B c S T"]]:
        """First and last patch of each pair, and which other last patch is nearest to the first."""
        pairs = self._held_out(images)
        first, last = pairs.unbind(dim=1)
        pictures = {"first": mean_frames(first), "last": mean_frames(last)}
        if len(pairs) > 1:
            distances = cosine_distances(self(first), self(last))
            nearest = distances.fill_diagonal_(torch.inf).argmin(dim=1)
            pictures["nearest other"] = mean_frames(last[nearest])
        return {title: picture.clamp(0, 1) for title, picture in pictures.items()}

    def _loss(self, siamese: nn.Module, pairs: Tensor, epoch: int, draw: Generator) -> Tensor:
        first, last = siamese(pairs.flatten(0, 1)).unflatten(0, (-1, 2)).unbind(dim=1)
        margin, num = self.config.margin, self.config.negatives
        losses = torch.cat(
            [ranking_losses(*each, margin) for each in ((first, last), (last, first))]
        )
        if epoch < round(self.config.random_share * self.config.epochs):
            return at_random(losses, num, draw).mean()
        return hardest(losses, num).mean()

    def _maker(self) -> "Pairs":
        config = self.config
        return Pairs(config.patch, jitter=config.jitter, light=config.light, seed=config.seed)

    def _held_out(self, batch: Tensor, first: int = 0) -> Tensor:
        return self._maker().held_out(batch.to(next(self.parameters()).device), first)

    def _groups(self, batches: Iterable[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """Embeddings and pixels of pairs that may be compared, each of shape (B, 2, D)."""
        waiting: list[tuple[Tensor, Tensor]] = []
        num = 0
        for batch in batches:
            pairs = self._held_out(batch, num)
            num += len(batch)
            flat = mean_frames(pairs.flatten(0, 1)).flatten(start_dim=1)
            pixels = functional.normalize(flat - flat.mean(dim=1, keepdim=True), dim=1)
            both = (self(pairs.flatten(0, 1)), pixels)
            group = tuple(each.unflatten(0, (-1, 2)) for each in both)
            if batch.ndim == TRACKED:
                yield group[0], group[1]
            elif sum(len(each) for each, _ in waiting) < MOST:
                waiting.append((group[0], group[1]))
        if waiting:
            embedded, pixels = (torch.cat(each)[:MOST] for each in zip(*waiting, strict=True))
            yield embedded, pixels


class Pairs:
    """Makes pairs of batches, at random to train on and without chance to judge by.

    Args:
        patch: Side of the square that a plain image gives, in pixels.
        jitter: Part of a patch's side by which its crops are shifted at most.
        light: Most change of contrast and brightness of a patch, relative.
        seed: Of everything that is drawn.
    """

    def __init__(self, patch: int, *, jitter: float, light: float, seed: int) -> None:
        self._patch, self._jitter, self._light = patch, jitter, light
        self._draw = Generator().manual_seed(seed)

    def drawn(
        self, batch: Float[Tensor, "B C H W"] | Float[Tensor, "B 2 C H W"]
    ) -> Float[Tensor, "B 2 C S T"]:
        """Shift and light each patch by itself; mirror both of a pair, or none."""
        pairs = batch if batch.ndim == TRACKED else self._at_one_place(batch)
        patches = crops(pairs.flatten(0, 1), self._side(pairs), 1, self._draw)
        draws = torch.rand(2, len(patches), 1, 1, 1, generator=self._draw).to(patches)
        contrast, brightness = self._light * (2 * draws - 1)
        lit = ((patches - 0.5) * (1 + contrast) + 0.5 + brightness / 2).clamp(0, 1)
        pairs = lit.unflatten(0, (-1, 2))
        mirrored = torch.rand(len(pairs), 1, 1, 1, 1, generator=self._draw).to(pairs) < 0.5
        return torch.where(mirrored, pairs.flip(-1), pairs)

    def held_out(
        self, batch: Float[Tensor, "B C H W"] | Float[Tensor, "B 2 C H W"], first: int
    ) -> Float[Tensor, "B 2 C S T"]:
        """The middle of tracked patches; opposite corners of a patch of plain images.

        That patch has a place of its own in each image, where most moves of some: the same place in
        all images of a camera that stands still would show the same background in all of them.

        Args:
            batch: Images, or first and last patches of tracks.
            first: Number of the first of them, on which places depend, not on the batches.
        """
        if batch.ndim == TRACKED:
            return _square(batch, self._side(batch), 0.5)
        patches = torch.cat(
            [
                crops(image[None], self._patch, CANDIDATES, Generator().manual_seed(number))
                for number, image in enumerate(batch, start=first)
            ]
        )
        early, late = _early_and_late(patches)
        side = self._side(patches)
        return torch.stack([_square(early, side, 0.0), _square(late, side, 1.0)], dim=1)

    def _at_one_place(self, images: Tensor) -> Tensor:
        patches = crops(images, self._patch, CANDIDATES, self._draw)
        return torch.stack(_early_and_late(patches), dim=1)

    def _side(self, patches: Tensor) -> int:
        shorter = min(patches.shape[-2:])
        return max(shorter - round(self._jitter * shorter), 1)


def _early_and_late(patches: Tensor) -> tuple[Tensor, Tensor]:
    """The first and last three frames of a window, each frame twice; a still image twice."""
    if patches.shape[1] != WINDOW:
        return patches, patches
    half = WINDOW // 2
    return patches[:, :half].repeat_interleave(2, 1), patches[:, half:].repeat_interleave(2, 1)


def _square(images: Tensor, side: int, place: float) -> Tensor:
    """A square of at most ``side``, ``place`` of the way from the upper left to the lower right."""
    rows, columns = min(side, images.shape[-2]), min(side, images.shape[-1])
    top = int(place * (images.shape[-2] - rows))
    left = int(place * (images.shape[-1] - columns))
    return images[..., top : top + rows, left : left + columns]
