"""Exemplar CNN: tell patches of normal images apart, however they are changed.

Shapes: B = batch, C = channels, H W = image, S = side of a view, K = classes, E = embedding width.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.contracts import Encoder, Progress, silent
from models.errors import InvalidInputError, NotFittedError, TrainingError
from models.functional.composition import NUM_UNIFORM, Changes, composed_views
from models.functional.mean_frames import mean_frames
from models.functional.seed_patches import SeedPatches, best_patches
from models.heads import Classifier
from models.training import Trainer, cosine

CONTEXT = 1.5
"""Side of a seed patch with its surroundings, which views may shift to, in sides of the patch."""
NUM_EVALUATED = 200
"""Seed patches among which ``evaluate`` recognises."""
NUM_PROTOTYPE, NUM_TESTED = 8, 4
"""Views of each of these that make its prototype, and other views that are recognised."""


class Exemplar(nn.Module):
    """Each seed patch is a class of its own, and its changed views are the members of the class.

    Views are shifted, magnified, turned, and changed in contrast, tone and colour, all at once.
    Features that tell the classes apart see what is left unchanged by that: which thing it is.

    Seed patches are drawn where there is contrast or movement, half overlapping at most by a
    regular grid; a single photograph is enough. Other than in the paper, contrast is one factor
    instead of one for each principal component of colour.

    Args:
        encoder: What to train.
        config: Hyper-parameters.

    Attributes:
        encoder: The encoder, trained after ``fit``.
        history_: Mean loss of each epoch, empty before ``fit``.

    References:
        Dosovitskiy et al., 2014, "Discriminative Unsupervised Feature Learning with Convolutional
        Neural Networks". https://arxiv.org/abs/1406.6909
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of Exemplar CNN."""

        epochs: int = 8
        """Passes over the classes, >= 1."""
        learning_rate: float = 2e-3
        """Of Adam, > 0; falls to 0 along a half cosine."""
        num_classes: int = 1000
        """Seed patches, >= 2; fewer if the images have fewer places with something to see."""
        views_per_class: int = 16
        """Views of each class in each epoch at least, >= 1; other ones in every epoch."""
        patch: int = 48
        """Side of a view, in pixels; the image's shorter side if that is smaller."""
        changes: Changes = field(default_factory=Changes)
        """How far a view may lie from its patch."""
        width: int = 256
        """Units of the hidden layer of the head."""
        batch_size: int = 128
        """Views in one step, >= 2."""
        seed: int = 0
        """Of seed patches, views and the head's first weights."""

        def __post_init__(self) -> None:
            if min(self.epochs, self.views_per_class, self.patch, self.width) < 1:
                raise InvalidInputError(f"Counts and sizes must be >= 1, got {self}.")
            if min(self.num_classes, self.batch_size) < 2:
                raise InvalidInputError(
                    "num_classes and batch_size must be >= 2, got "
                    f"{self.num_classes} and {self.batch_size}."
                )
            if not self.learning_rate > 0:
                raise InvalidInputError(f"learning_rate must be > 0, got {self.learning_rate}.")

        def build(self, encoder: Encoder) -> "Exemplar":
            """Return an unsolved task that will train ``encoder``."""
            return Exemplar(encoder, self)

    encoder: Encoder

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.history_: list[float] = []
        self.head = Classifier(encoder.embedding_dim, config.width, 2, config.seed)

    def forward(self, views: Float[Tensor, "B C S S"]) -> Float[Tensor, "B K"]:
        """Return one logit for each class."""
        logits: Tensor = self.head(self.encoder(views))
        return logits

    def embed(self, views: Float[Tensor, "B C S S"]) -> Float[Tensor, "B E"]:
        """Return what the classes are distinguished by, of length 1."""
        embeddings: Tensor = self.head.hidden(self.encoder(views))
        return functional.normalize(embeddings, dim=1)

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "Exemplar":
        """Draw seed patches, and train encoder and head to tell them apart.

        Args:
            batches: Normal images; iterated once. An epoch takes as many steps as there are
                batches at least.
            fabric: Device and precision; the CPU in float32 if None.
            progress: Shows the steps of all epochs.

        Raises:
            TrainingError: If there are fewer than two seed patches, as in constant images, or the
                loss diverges.
        """
        seeds, num_batches = self._seeds(batches, self.config.num_classes)
        if len(seeds) < 2:
            raise TrainingError(
                "Training needs at least two patches with something to see, got one. Give more "
                "images, or lower patch."
            )
        self.head = Classifier(
            self.encoder.embedding_dim, self.config.width, len(seeds), self.config.seed
        )
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.learning_rate)
        draw = Generator().manual_seed(self.config.seed)
        views = len(seeds) * self.config.views_per_class
        per_epoch = max(math.ceil(views / self.config.batch_size), num_batches)
        total = per_epoch * self.config.epochs
        trainer = Trainer(self.train(), optimizer, fabric, cosine(optimizer, total))
        seeds = trainer.fabric.to_device(seeds)
        steps = self._steps(len(seeds), per_epoch, draw)
        for chosen in trainer.steps(steps, total, progress, "Exemplars"):
            classes = trainer.fabric.to_device(trainer.part(chosen))
            logits = trainer.network(self._views(seeds[classes], draw))
            trainer.step(functional.cross_entropy(logits.float(), classes))
        self.history_ = trainer.history()
        self.eval()
        return self

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Float[Tensor, "_ C H W"]]) -> Mapping[str, float]:
        """Share of views of unseen patches that lie nearest to their own patch's prototype.

        A prototype is the mean embedding of other views of a patch. Patches are drawn as for
        training, at most ``NUM_EVALUATED``.

        Returns:
            ``accuracy``, ``pixel_accuracy`` of the same with pixels as embedding, and ``chance``.

        Raises:
            NotFittedError: If called before ``fit``.
            TrainingError: If the images are constant or there are none.
        """
        if not self.history_:
            raise NotFittedError("Exemplar is not fitted. Call fit(batches) first.")
        seeds, _ = self._seeds(batches, NUM_EVALUATED)
        views = self._rounds(seeds, NUM_PROTOTYPE + NUM_TESTED)
        return {
            "accuracy": _accuracy(_nearest([self.embed(seen) for seen in views])),
            "pixel_accuracy": _accuracy(_nearest([_standardised(seen) for seen in views])),
            "chance": 1 / len(seeds),
        }

    @torch.no_grad()
    def examples(self, images: Float[Tensor, "B C H W"]) -> Mapping[str, Float[Tensor, "B _ S S"]]:
        """One seed patch of each image, three of its views, and the patch each is taken for.

        Taken for means: of the patches in the picture, the one whose prototype is nearest.
        """
        patch, context, step = self._sides(images)
        seeds = best_patches(images, context, step)
        views = self._rounds(seeds, NUM_PROTOTYPE + 3)
        taken_for = _nearest([self.embed(seen) for seen in views])[-1].to(seeds.device)
        edge = (context - patch) // 2
        shown = mean_frames(seeds[..., edge : edge + patch, edge : edge + patch])
        pictures = [mean_frames(seen).clamp(0, 1) for seen in views[-3:]]
        return {
            "seed patch": shown,
            **{f"view {place}": picture for place, picture in enumerate(pictures, start=1)},
            "view 3 is taken for": shown[taken_for],
        }

    def _sides(self, images: Tensor) -> tuple[int, int, int]:
        """Side of a view, side of a patch with its surroundings, and pixels between two places."""
        shorter = min(images.shape[-2:])
        patch = min(self.config.patch, shorter)
        return patch, min(int(CONTEXT * patch), shorter), max(patch // 2, 1)

    def _seeds(self, batches: Iterable[Tensor], most: int) -> tuple[Tensor, int]:
        """Seed patches with their surroundings, and the number of batches that were read."""
        found: SeedPatches | None = None
        num_images = num_batches = 0
        for images in batches:
            _, context, step = self._sides(images)
            found = found or SeedPatches(most, context, step, self.config.seed)
            if found.side != context:
                raise TrainingError(
                    f"All images must have one size, got patches of {found.side} and {context} "
                    "pixels. Set image_size in the recipe, or lower patch."
                )
            found.update(images)
            num_images, num_batches = num_images + len(images), num_batches + 1
        if found is None or not len(found.patches()):
            raise TrainingError(
                f"Seed patches need images with something to see, got {num_images}, all constant. "
                "Check the images."
            )
        return found.patches(), num_batches

    def _steps(
        self, num_classes: int, per_epoch: int, draw: Generator
    ) -> Iterator[tuple[int, Tensor]]:
        """The classes of every step of every epoch; all of them come before one comes again."""
        size = self.config.batch_size
        for epoch in range(self.config.epochs):
            rounds = math.ceil(per_epoch * size / num_classes)
            order = torch.cat([torch.randperm(num_classes, generator=draw) for _ in range(rounds)])
            for step in range(per_epoch):
                yield epoch, order[step * size : (step + 1) * size]

    def _views(self, seeds: Tensor, draw: Generator) -> Tensor:
        uniform = torch.rand(len(seeds), NUM_UNIFORM, generator=draw).to(seeds)
        side = min(self.config.patch, seeds.shape[-1])
        return composed_views(seeds, uniform, self.config.changes, side)

    def _rounds(self, seeds: Tensor, num: int) -> list[Tensor]:
        """``num`` views of each patch, the same ones in every call."""
        seeds = seeds.to(next(self.parameters()).device)
        draw = Generator().manual_seed(self.config.seed)
        return [self._views(seeds, draw) for _ in range(num)]


def _standardised(views: Tensor) -> Tensor:
    flat = views.flatten(start_dim=1)
    return functional.normalize(flat - flat.mean(dim=1, keepdim=True), dim=1)


def _nearest(rounds: list[Tensor]) -> Tensor:
    """Which patch's prototype lies nearest to each later view by cosine, of each round."""
    prototypes = functional.normalize(torch.stack(rounds[:NUM_PROTOTYPE]).mean(dim=0), dim=1)
    return (torch.stack(rounds[NUM_PROTOTYPE:]) @ prototypes.T).argmax(dim=2)


def _accuracy(nearest: Tensor) -> float:
    own = torch.arange(nearest.shape[1], device=nearest.device)
    return (nearest == own).float().mean().item()
