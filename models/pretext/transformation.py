"""Transformation classification: tell by which family of changes an image was changed.

Shapes: B = batch, C = channels, H W = image, S = side of a view.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Generator, Tensor, nn
from torch.nn import functional

from models.contracts import Encoder, Progress, silent
from models.errors import InvalidInputError, NotFittedError
from models.functional.families import FAMILIES, NUM_UNIFORM, Strengths, one_family_views
from models.functional.holes import crops
from models.functional.mean_frames import mean_frames
from models.functional.mean_image import MeanImage
from models.heads import Classifier
from models.training import Trainer, cosine, num_steps


class TransformationClassifier(nn.Module):
    """Predict which of {translation, scale, contrast, colour} was applied to an image.

    The answer must be read from what the image shows, so ``one_family_views`` closes the shortcuts:
    one interpolation for all families, no padded borders, no clipping, no strength near zero.

    Gray images and clips have no colour: their "colour" is a bent tone curve with some white or
    black mixed in. Where objects have no usual place, translation is what is left when nothing else
    was changed.

    This rewards features that detect a change; ``Exemplar`` rewards those that it leaves alone.

    Args:
        encoder: What to train.
        config: Hyper-parameters.

    Attributes:
        encoder: The encoder, trained after ``fit``.
        history_: Mean loss of each epoch, empty before ``fit``.
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Hyper-parameters of transformation classification."""

        epochs: int = 8
        """Passes over the images, >= 1; each shows every image once in every family."""
        learning_rate: float = 1e-3
        """Of Adam, > 0; falls to 0 along a half cosine."""
        crop: int = 96
        """Side of the squares cut from an image, in pixels, of which a view shows the inner 70%;
        the image's shorter side if that is smaller."""
        candidates: int = 4
        """Places drawn for a square, of which the one with most movement is taken; 1 draws freely.
        Without effect on still images."""
        strengths: Strengths = field(default_factory=Strengths)
        """How much each family changes."""
        width: int = 256
        """Units of the hidden layer of the head."""
        seed: int = 0
        """Of crops, strengths and the head's first weights."""

        def __post_init__(self) -> None:
            if min(self.epochs, self.candidates, self.width, self.crop) < 1:
                raise InvalidInputError(f"Counts and sizes must be >= 1, got {self}.")
            if not self.learning_rate > 0:
                raise InvalidInputError(f"learning_rate must be > 0, got {self.learning_rate}.")

        def build(self, encoder: Encoder) -> "TransformationClassifier":
            """Return an unsolved task that will train ``encoder``."""
            return TransformationClassifier(encoder, self)

    encoder: Encoder

    def __init__(self, encoder: Encoder, config: Config) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder
        self.history_: list[float] = []
        self.head = Classifier(encoder.embedding_dim, config.width, len(FAMILIES), config.seed)

    def forward(self, views: Float[Tensor, "B C S S"]) -> Float[Tensor, "B 4"]:
        """Return one logit for each family."""
        logits: Tensor = self.head(self.encoder(views))
        return logits

    def fit(
        self,
        batches: Iterable[Float[Tensor, "_ C H W"]],
        *,
        fabric: Fabric | None = None,
        progress: Progress = silent,
    ) -> "TransformationClassifier":
        """Train encoder and head on changed normal images.

        Args:
            batches: Normal images; iterated once per epoch.
            fabric: Device and precision; the CPU in float32 if None.
            progress: Shows the batches of all epochs.

        Raises:
            InvalidInputError: If the images are too small.
            TrainingError: If the images are constant, there are none, or the loss diverges.
        """
        optimizer = torch.optim.Adam(self.parameters(), lr=self.config.learning_rate)
        total = num_steps(batches, self.config.epochs)
        trainer, seen = (
            Trainer(self.train(), optimizer, fabric, cosine(optimizer, total)),
            MeanImage(),
        )
        draw = Generator().manual_seed(trainer.seed(self.config.seed))
        for images in trainer.epochs(batches, self.config.epochs, progress, "Transformations"):
            if trainer.epoch == 0:
                seen.update(trainer.whole)
            repeated = images.repeat_interleave(len(FAMILIES), dim=0)
            cut = crops(repeated, self._crop(images), self.config.candidates, draw)
            views, families = self._one_of_each(trainer.fabric.to_device(cut), draw)
            trainer.step(functional.cross_entropy(trainer.network(views).float(), families))
        seen.value()  # refuses images in which there was nothing to see
        self.history_ = trainer.history()
        self.eval()
        return self

    @torch.no_grad()
    def evaluate(self, batches: Iterable[Float[Tensor, "_ C H W"]]) -> Mapping[str, float]:
        """Share of views whose family is named, the middle of each image once in each family.

        Returns:
            ``accuracy``, ``chance`` (1/4), and ``accuracy_<family>``.

        Raises:
            NotFittedError: If called before ``fit``.
        """
        if not self.history_:
            raise NotFittedError("TransformationClassifier is not fitted. Call fit(batches) first.")
        right, num = torch.zeros(len(FAMILIES)), 0
        draw = Generator().manual_seed(self.config.seed)
        for images in batches:
            views, families = self._one_of_each(self._middle(images), draw)
            correct = self(views).argmax(dim=1) == families
            right += correct.view(-1, len(FAMILIES)).sum(dim=0).cpu()
            num += len(images)
        shares = dict(zip(FAMILIES, (right / num).tolist(), strict=True))
        return {
            "accuracy": sum(shares.values()) / len(FAMILIES),
            "chance": 1 / len(FAMILIES),
            **{f"accuracy_{name}": share for name, share in shares.items()},
        }

    @torch.no_grad()
    def examples(self, images: Float[Tensor, "B C H W"]) -> Mapping[str, Float[Tensor, "B _ S S"]]:
        """The middle of each image, its view of each family, and the answers as a table.

        A row of the table is a family that was applied, a column one that is answered, both in the
        order of ``FAMILIES``; white is a probability of 1: a solved task has a white diagonal.
        """
        middle, num = self._middle(images), len(FAMILIES)
        views, _ = self._one_of_each(middle, Generator().manual_seed(self.config.seed))
        table = self(views).softmax(dim=1).view(-1, 1, num, num)
        side = views.shape[-1]
        shown = mean_frames(views).view(-1, num, 3, side, side).clamp(0, 1)
        return {
            "original": _middle(mean_frames(middle)[::num], side),
            **{name: shown[:, place] for place, name in enumerate(FAMILIES)},
            "answers": functional.interpolate(table, size=(side, side), mode="nearest"),
        }

    def _crop(self, images: Tensor) -> int:
        return min(self.config.crop, images.shape[-2], images.shape[-1])

    def _middle(self, images: Tensor) -> Tensor:
        """The middle of each image, once for each family."""
        middle = _middle(images, self._crop(images)).to(next(self.parameters()).device)
        return middle.repeat_interleave(len(FAMILIES), dim=0)

    def _one_of_each(self, cut: Tensor, draw: Generator) -> tuple[Tensor, Tensor]:
        """Views of one family after the other, and these families."""
        families = torch.arange(len(cut), device=cut.device) % len(FAMILIES)
        uniform = torch.rand(len(cut), NUM_UNIFORM, generator=draw).to(cut)
        return one_family_views(cut, families, uniform, self.config.strengths), families


def _middle(images: Tensor, side: int) -> Tensor:
    top, left = ((length - side) // 2 for length in images.shape[-2:])
    return images[:, :, top : top + side, left : left + side]
