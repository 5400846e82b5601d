"""Mean of images that arrive in batches: the trivial answer of pretext tasks.

Shapes: B = batch, C = channels, H W = image.
"""

from jaxtyping import Float
from torch import Tensor

from models.errors import TrainingError
from models.functional.mean_frames import mean_frames


class MeanImage:
    """Mean of images of one size that arrive in batches, as mean frames or colours."""

    def __init__(self) -> None:
        self._total: Tensor | None = None
        self._count = 0
        self._varies = False

    def update(self, images: Float[Tensor, "B C H W"]) -> None:
        """Take in more images.

        Raises:
            TrainingError: If they differ in size from earlier ones.
        """
        frames = mean_frames(images).double().sum(dim=0)
        if self._total is not None and self._total.shape != frames.shape:
            raise TrainingError(
                f"All training images must have one size, got {tuple(self._total.shape[-2:])} and "
                f"{tuple(frames.shape[-2:])}. Set image_size in the recipe."
            )
        self._total = frames if self._total is None else self._total + frames
        self._count += len(images)
        flat = images.flatten(start_dim=1)
        self._varies |= bool((flat.amax(dim=1) > flat.amin(dim=1)).any())

    def value(self) -> Float[Tensor, "3 H W"]:
        """The mean.

        Raises:
            TrainingError: If there were no images, or each of them is of one gray throughout.
        """
        if self._total is None or not self._varies:
            raise TrainingError(
                f"Training needs images with something to see, got {self._count}, all constant. "
                "Check the training images."
            )
        return self.so_far()

    def so_far(self) -> Float[Tensor, "3 H W"]:
        """The mean of at least one image, whatever it shows."""
        assert self._total is not None
        return (self._total / self._count).float()
