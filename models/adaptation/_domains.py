"""The images of two domains, checked before anything is trained on them.

Shapes: B = batch, C = channels, H W = image.
"""

from collections.abc import Iterable, Iterator

from jaxtyping import Float
from torch import Tensor

from models.errors import InvalidInputError

FEWEST = 8
"""Images that each domain must have."""
DARKEST = 1.5 / 255
"""If no pixel of any image is brighter, the images were divided by 255 twice."""


class Domain:
    """Looks at the images of one domain as they pass by.

    Args:
        name: ``source`` or ``target``, for messages.

    Attributes:
        num_images: Images so far.
        shape: Channels, height and width; empty before the first image.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.num_images = 0
        self.shape: tuple[int, ...] = ()
        self._brightest = 0.0

    def watch(self, batches: Iterable[Tensor]) -> Iterator[Tensor]:
        """Hand on the batches unchanged.

        Raises:
            InvalidInputError: If an image is not in [0, 1], or differs in size from the first.
        """
        for images in batches:
            self.shape = self.shape or tuple(images.shape[1:])
            if tuple(images.shape[1:]) != self.shape:
                raise InvalidInputError(
                    f"Images of the {self.name} must have one size (C, H, W), got {self.shape} and "
                    f"{tuple(images.shape[1:])}. Set image_size."
                )
            if len(images):
                self._check_range(images)
            self.num_images += len(images)
            yield images

    def check(self) -> None:
        """Say whether what passed by will do.

        Raises:
            InvalidInputError: If the images are too few, or black.
        """
        if self.num_images < FEWEST:
            raise InvalidInputError(
                f"Adaptation needs at least {FEWEST} images of each domain, got {self.num_images} "
                f"of the {self.name}. Add some."
            )
        if self._brightest < DARKEST:
            raise InvalidInputError(
                "Images of both domains must be scaled alike, to [0, 1], and the brightest pixel "
                f"of the {self.name} is {self._brightest:.2g}. Divide bytes by 255 once, not twice."
            )

    def _check_range(self, images: Float[Tensor, "B C H W"]) -> None:
        low, high = float(images.min()), float(images.max())
        if not (low >= 0 and high <= 1):
            raise InvalidInputError(
                f"Images of both domains must be in [0, 1], got {low:.4g} to {high:.4g} in the "
                f"{self.name}: an encoder would learn to undo the scale and nothing else. Divide "
                "bytes by 255, in both domains."
            )
        self._brightest = max(self._brightest, high)


def check_alike(source: Domain, target: Domain) -> None:
    """Hold two domains that have passed by to what adaptation needs.

    Raises:
        InvalidInputError: If one of them will not do, or they differ in size.
    """
    for domain in (source, target):
        domain.check()
    if source.shape != target.shape:
        raise InvalidInputError(
            f"Images of both domains must have one size (C, H, W), got {source.shape} in the "
            f"source and {target.shape} in the target. Resize both alike: set image_size."
        )
