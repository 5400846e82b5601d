"""What the context encoder hides, and how far a painting is from it.

Shapes: B = batch, C = channels, H W = image.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from models.functional.holes import widened
from models.functional.mean_frames import mean_frames, temporal_basis

CLIP = 6
"""Channels of an input that is a window of consecutive frames."""
FILL = 0.45
"""Gray that fills a hole: about the mean of natural images."""


class Hidden(NamedTuple):
    """Images with something hidden, and what is asked about it.

    Attributes:
        context: What the encoder sees. Shape (B, C, H, W).
        target: What must be painted, as mean frames or colours. Shape (B, 3, H, W).
        weight: Of each pixel's squared error, 0 where nothing is asked. Shape (B, 1, H, W).
        known: Channels of the target that were not hidden. Shape (B, 3, 1, 1).
    """

    context: Tensor
    target: Tensor
    weight: Tensor
    known: Tensor

    def region(self, pictures: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 3 H W"]:
        """What was to be painted and nothing around it; known channels are the target's."""
        answers = torch.where(self.known, self.target, pictures)
        return torch.where(self.weight > 0, answers, FILL)


def hide(
    images: Float[Tensor, "B C H W"],
    hole: Bool[Tensor, "B H W"],
    newest_only: Bool[Tensor, "B"],
    *,
    overlap: int = 0,
    overlap_gain: float = 1.0,
) -> Hidden:
    """Hide holes, or only their newest mean frame; ask for them and a band around them.

    Args:
        images: Whole images.
        hole: True where something is hidden.
        newest_only: Whether only the newest of a clip's mean frames is hidden.
        overlap: Pixels around the hole that are asked for although they can be seen.
        overlap_gain: Weight of those pixels, relative to hidden ones.
    """
    asked = widened(hole, overlap)
    weight = torch.where(hole, 1.0, overlap_gain) * asked
    first = torch.tensor([True, True, False], device=images.device)
    known = newest_only[:, None] & first
    return Hidden(
        context=filled(images, hole, newest_only),
        target=mean_frames(images),
        weight=weight[:, None],
        known=known[:, :, None, None],
    )


def filled(
    images: Float[Tensor, "B C H W"], hole: Bool[Tensor, "B H W"], newest_only: Bool[Tensor, "B"]
) -> Float[Tensor, "B C H W"]:
    """Fill the hole by the mean; or only in the newest pair of frames, by the pair before."""
    gray = images.masked_fill(hole[:, None], FILL)
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
