"""Jigsaw puzzles: learn features by finding out in which order an image's tiles are shown.

Shapes: B = batch, C = channels, H W = image, N = 9 tiles, T = side of a tile, P = puzzles made of
one image's tiles, K = permutations, S = side of a picture.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.contracts import Encoder, Progress, silent
from models.errors import InvalidInputError, NotFittedError
from models.functional.mean_frames import mean_frames
from models.functional.mean_image import MeanImage
from models.functional.permutations import (
    hamming_distances,
    inverse,
    mean_distance,
    minimum_distance,
    permutation_set,
)
from models.functional.tiles import GRID, alike, cut_tiles, enlarged, laid_out
from models.training import Trainer, cosine, num_steps

NUM_TILES = GRID**2
MOST_CELLS = 4
"""Rows and columns of a tile's feature map, to which larger ones are averaged."""
GAP = 0.5
"""Gray between the tiles of a picture."""


class Jigsaw(nn.Module):
    """Name the permutation, of a fixed set, in which nine tiles of an image are shown.

    The context-free network: one encoder sees each tile alone, and only a small head, of no use
    afterwards, sees the nine embeddings side by side. Shortcuts are closed: tiles have random gaps,
    equal means and deviations, colours a pixel off, and some images are gray.

    Every image's tiles are embedded once and shown in several orders, which makes many puzzles at
    the price of one.

    Args:
        encoder: What to train.
        config: Hyper-parameters.

    Attributes:
        encoder: The encoder, trained after ``fit``.
        history_: Mean loss of each epoch, empty before ``fit``.
        permutations: The set. Shape (K, 9).

    Raises:
        InvalidInputError: If the encoder needs larger tiles.

    References:
        Noroozi and Favaro, 2016, "Unsupervised Learning of Visual Representations by Solving Jigsaw
        Puzzles". https://arxiv.org/abs/1603.09246
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of the jigsaw puzzles."""

        epochs: int = 8
        """Passes over the images, >= 1."""
        learning_rate: float = 1e-3
        """Of Adam, > 0; falls to 0 along a half cosine."""
        num_permutations: int = 100
        """Permutations to tell apart, >= 2; more make features better and the task harder."""
        num_puzzles: int = 4
        """Orders in which the same tiles are shown in one step, >= 1."""
        crop: int = 144
        """Side of the square that becomes the puzzle, in pixels, a multiple of 3. It is cut at a
        random place; a smaller image makes a smaller puzzle, whose tiles are enlarged."""
        tile: int = 40
        """Side of a tile, in pixels, at most a third of ``crop``; what is left is the mean gap. At
        least what the encoder can see: 31 for AlexNet's trunk, 8 for the small one."""
        colour_shift: int = 1
        """Most pixels by which each colour of a tile lies off, >= 0."""
        gray_share: float = 0.3
        """Share of colour images that are shown in gray, in [0, 1]."""
        width: int = 128
        """Embedding of a tile, >= 1; the head's hidden layer has four times as many units."""
        seed: int = 0
        """Of the permutations, the tiles' places and orders, and the head's first weights."""

        def __post_init__(self) -> None:
            if min(self.epochs, self.num_puzzles, self.width, self.tile) < 1:
                raise InvalidInputError(f"Counts and sizes must be >= 1, got {self}.")
            if self.num_permutations < 2:
                raise InvalidInputError(
                    f"num_permutations must be >= 2, got {self.num_permutations}."
                )
            if self.crop % GRID or self.tile > self.crop // GRID:
                raise InvalidInputError(
                    f"crop must be a multiple of {GRID} and tile at most crop / {GRID}, got "
                    f"{self.crop} and {self.tile}."
                )
            if not (self.colour_shift >= 0 and 0 <= self.gray_share <= 1):
                raise InvalidInputError(
                    "colour_shift must be >= 0 and gray_share in [0, 1], got "
                    f"{self.colour_shift} and {self.gray_share}."
                )
            if self.learning_rate <= 0:
                raise InvalidInputError(f"learning_rate must be > 0, got {self.learning_rate}.")

        def build(self, encoder: Encoder) -> "Jigsaw":
            """Return an unsolved task that will train ``encoder``."""
            return Jigsaw(encoder, self)

    encoder: Encoder
    permutations: Tensor

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.history_: list[float] = []
        chosen = permutation_set(config.num_permutations, NUM_TILES, config.seed)
        self.register_buffer("permutations", chosen)
        cells = min(MOST_CELLS, _cells(encoder, config.tile))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.embed = nn.Sequential(
                nn.AdaptiveAvgPool2d(cells),
                nn.Flatten(),
                nn.Linear(encoder.embedding_dim * cells**2, config.width),
                nn.ReLU(),
            )
            self.head = nn.Sequential(
                nn.Linear(NUM_TILES * config.width, 4 * config.width),
                nn.ReLU(),
                nn.Linear(4 * config.width, config.num_permutations),
            )

    def forward(
        self, tiles: Float[Tensor, "B N C T T"], orders: Int[Tensor, "B P N"]
    ) -> Float[Tensor, "B P K"]:
        """Logits of the permutations for tiles shown in each of some orders."""
        embedded = self.embed(self.encoder(tiles.flatten(0, 1))).unflatten(0, tiles.shape[:2])
        image = torch.arange(len(tiles), device=tiles.device)[:, None, None]
        logits: Tensor = self.head(embedded[image, orders].flatten(start_dim=2))
        return logits

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "Jigsaw":
        """Train encoder and head on normal images.

        Args:
            batches: Normal images; iterated once per epoch.
            fabric: Device and precision; the CPU in float32 if None.
            progress: Shows the batches of all epochs.

        Raises:
            InvalidInputError: If the images are too small to have nine tiles.
            TrainingError: If the images are constant, there are none, or the loss diverges.
        """
        config = self.config
        optimizer = torch.optim.Adam(self.parameters(), lr=config.learning_rate)
        total = num_steps(batches, config.epochs)
        trainer, seen = (
            Trainer(self.train(), optimizer, fabric, cosine(optimizer, total)),
            MeanImage(),
        )
        puzzles = Puzzles(
            config.crop,
            config.tile,
            colour_shift=config.colour_shift,
            gray_share=config.gray_share,
            seed=trainer.seed(config.seed),
        )
        for images in trainer.epochs(batches, config.epochs, progress, "Jigsaw puzzles"):
            if trainer.epoch == 0:
                seen.update(trainer.whole)
            trainer.step(self._loss(trainer.network, trainer.fabric.to_device(images), puzzles))
        seen.value()  # refuses images in which there was nothing to see
        self.history_ = trainer.history()
        self.eval()
        return self

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Float[Tensor, "_ C H W"]]) -> Mapping[str, float]:
        """How many puzzles are solved, one of each image, beside guessing.

        Returns:
            ``permutation_accuracy``, the share of puzzles whose permutation is named, and
            ``tiles_right``, the share of tiles that the named permutation puts right; ``chance_``
            of both; ``minimum_distance`` and ``mean_distance`` of the set, in tiles.

        Raises:
            NotFittedError: If called before ``fit``.
            InvalidInputError: If there are no images.
        """
        puzzles = self._held_out()
        same = 1 - hamming_distances(self.permutations) / NUM_TILES
        right, count = torch.zeros(2, dtype=torch.float64), 0
        for images in batches:
            _, labels, answers = self._solve(images, puzzles)
            right[0] += (labels == answers).sum().item()
            right[1] += same[labels, answers].sum().item()
            count += len(images)
        if not count:
            raise InvalidInputError("Held-out images are needed to evaluate, got 0.")
        accuracy, tiles_right = (right / count).tolist()
        return {
            "permutation_accuracy": accuracy,
            "chance_permutation_accuracy": 1 / len(self.permutations),
            "tiles_right": tiles_right,
            "chance_tiles_right": same.mean().item(),
            "minimum_distance": float(minimum_distance(self.permutations)),
            "mean_distance": mean_distance(self.permutations),
        }

    @torch.no_grad()
    def examples(self, images: Float[Tensor, "B C H W"]) -> Mapping[str, Float[Tensor, "B c S S"]]:
        """One puzzle of each image as it was shown, as it was solved, and as it should be."""
        tiles, labels, answers = self._solve(images, self._held_out())
        image = torch.arange(len(tiles), device=tiles.device)[:, None]
        shuffled = tiles[image, self.permutations[labels]]
        solved = shuffled[image, inverse(self.permutations[answers])]
        return {
            title: mean_frames(laid_out(each, self.config.crop // GRID, GAP)).clamp(0, 1)
            for title, each in (("shuffled", shuffled), ("solved", solved), ("truth", tiles))
        }

    def _held_out(self) -> "Puzzles":
        if not self.history_:
            raise NotFittedError("Jigsaw is not fitted. Call fit(batches) first.")
        return Puzzles(self.config.crop, self.config.tile, seed=self.config.seed + 2)

    def _loss(self, solver: nn.Module, images: Tensor, puzzles: "Puzzles") -> Tensor:
        tiles = alike(puzzles.tiles(images), images)
        labels = puzzles.labels(len(images), self.config.num_puzzles, len(self.permutations))
        labels = labels.to(images.device)
        logits = solver(tiles, self.permutations[labels]).float()
        return functional.cross_entropy(logits.flatten(0, 1), labels.flatten())

    def _solve(self, images: Tensor, puzzles: "Puzzles") -> tuple[Tensor, Tensor, Tensor]:
        """The tiles in their true order, the permutation shown, and the one that is named."""
        images = images.to(self.permutations.device)
        tiles = puzzles.tiles(images)
        labels = puzzles.labels(len(images), 1, len(self.permutations)).to(images.device)
        logits = self(alike(tiles, images), self.permutations[labels])
        return tiles, labels[:, 0], logits[:, 0].argmax(dim=1)


class Puzzles:
    """Cut tiles at random places and draw orders for them.

    The gap between two tiles is random too, so that neighbours cannot be found by continued lines.
    What is drawn depends on the order of the images, not on how they are cut into batches.

    Args:
        crop: Side of the square that is cut into nine cells, in pixels. In a smaller image square,
            cells and tiles shrink alike, and the tiles are enlarged afterwards.
        tile: Side of a tile, which lies anywhere within its cell.
        colour_shift: Pixels by which each colour of a tile may lie off, so that chromatic
            aberration does not tell its place.
        gray_share: Share of colour images whose tiles are gray.
        seed: Of all that is drawn.
    """

    def __init__(
        self, crop: int, tile: int, *, colour_shift: int = 0, gray_share: float = 0.0, seed: int = 0
    ) -> None:
        self._cell, self._tile = crop // GRID, tile
        self._shift, self._gray = colour_shift, gray_share
        self._places = Generator().manual_seed(seed)
        self._orders = Generator().manual_seed(seed + 1)

    def tiles(self, images: Float[Tensor, "B C H W"]) -> Float[Tensor, "B N C T T"]:
        """Nine tiles of a random square of each image.

        Raises:
            InvalidInputError: If images are too small to have nine tiles.
        """
        if min(images.shape[-2:]) < NUM_TILES:
            raise InvalidInputError(
                f"A jigsaw puzzle needs images of at least {NUM_TILES} x {NUM_TILES} pixels, got "
                f"{images.shape[-2]} x {images.shape[-1]}. Set image_size in the recipe."
            )
        cell = min(self._cell, min(images.shape[-2:]) // GRID)
        side = max(self._tile * cell // self._cell, 1)
        slack = torch.tensor(images.shape[-2:]) - GRID * cell + 1
        uniform = torch.rand(len(images), 1 + NUM_TILES, 2, generator=self._places)
        squares = (uniform[:, :1] * slack).long()
        jitter = (uniform[:, 1:] * (cell - side + 1)).long()
        grid = torch.cartesian_prod(torch.arange(GRID), torch.arange(GRID)) * cell
        corners = (squares + grid + jitter)[:, :, None].expand(-1, -1, images.shape[1], -1)
        if images.shape[1] == 3:
            images, corners = self._discoloured(images, corners, side)
        tiles = cut_tiles(images, corners[..., 0], corners[..., 1], side)
        return enlarged(tiles, self._tile)

    def labels(self, num: int, num_puzzles: int, num_classes: int) -> Int[Tensor, "B P"]:
        """Numbers of the permutations to apply to the tiles of ``num`` images."""
        return torch.randint(num_classes, (num, num_puzzles), generator=self._orders)

    def _discoloured(self, images: Tensor, corners: Tensor, side: int) -> tuple[Tensor, Tensor]:
        if self._gray:
            gray = torch.rand(len(images), generator=self._places) < self._gray
            mean = images.mean(dim=1, keepdim=True).expand_as(images)
            images = torch.where(gray.to(images.device)[:, None, None, None], mean, images)
        if self._shift:
            size = (2 * self._shift + 1,)
            shift = torch.randint(*size, corners.shape, generator=self._places) - self._shift
            most = torch.tensor(images.shape[-2:]) - side
            corners = (corners + shift).clamp(min=0).minimum(most)
        return images, corners


def _cells(encoder: Encoder, tile: int) -> int:
    """Rows of the feature map of a tile."""
    training, device = encoder.training, next(encoder.parameters()).device
    try:
        with torch.no_grad():
            feature_map: Tensor = encoder.eval()(torch.zeros(1, 3, tile, tile, device=device))
    except InvalidInputError as error:
        raise InvalidInputError(
            f"tile and crop of the jigsaw must be larger for this encoder, got {tile}: {error}"
        ) from error
    finally:
        encoder.train(training)
    return feature_map.shape[-1]
