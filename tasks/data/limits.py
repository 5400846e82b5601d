"""The limits that a data version is held to, and what came of each."""

from dataclasses import dataclass

from models.contracts import WINDOW
from models.errors import InvalidInputError

NAMED_FILES = 3
"""Files that an error message names for each failed expectation."""


@dataclass(frozen=True, kw_only=True)
class Expectations:
    """What must hold of a data version. Each limit is that of one expectation of the suite."""

    min_train_images: int = 10
    """Images, or frames of clips, that ``train`` must hold; at least 1."""
    min_test_images: int = 2
    """Images, or frames of clips, that ``test`` must hold; 0 where nothing is measured, so that
    ``test`` may be missing. At least 0."""
    min_frames_per_clip: int = WINDOW
    """Frames of the shortest clip; shorter than the model's window is useless. Still images are no
    clips. At least 1; with 1, for models of single images, gaps in clips are a warning only."""
    frame_step: int = 1
    """Difference between the numbers of consecutive frames; at least 1."""
    tolerated_share: float = 0.01
    """Share of images, in [0, 1), that may be constant or out of the champion's intensity range;
    up to it they are a warning, beyond it a failure."""
    intensity_tolerance: float = 0.1
    """How far the mean gray level of a training image may lie outside the range of the champion's
    training images, where 1 is from black to white; at least 0."""
    anomalies: bool = True
    """``test`` should hold anomalous images, else there is a warning; False where nothing but
    clusters is judged."""

    def __post_init__(self) -> None:
        for name in ("min_train_images", "min_frames_per_clip", "frame_step"):
            if getattr(self, name) < 1:
                raise InvalidInputError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.min_test_images < 0:
            raise InvalidInputError(
                f"min_test_images must be at least 0, got {self.min_test_images}."
            )
        if not 0 <= self.tolerated_share < 1:
            raise InvalidInputError(
                f"tolerated_share must be in [0, 1), got {self.tolerated_share}."
            )
        if not self.intensity_tolerance >= 0:
            raise InvalidInputError(
                f"intensity_tolerance must be at least 0, got {self.intensity_tolerance}."
            )


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one expectation."""

    name: str
    description: str
    """What must hold."""
    severity: str
    """``critical`` stops the flow, ``warning`` is reported."""
    success: bool
    observed: str | None
    """The number or the set that was found, where the expectation is about the whole table."""
    files: tuple[str, ...]
    """The first files that fail it, with what is wrong."""
    num_files: int
    """How many fail it."""

    @property
    def message(self) -> str:
        """One line: what must hold, and what fails it."""
        if not self.files:
            return f"{self.description}: got {self.observed or 'none'}"
        more = self.num_files - NAMED_FILES
        rest = f" and {more} more" if more > 0 else ""
        return f"{self.description}: {', '.join(self.files[:NAMED_FILES])}{rest}"
