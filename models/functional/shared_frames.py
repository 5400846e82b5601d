"""Frames that overlapping windows share: what is done to each frame is done once.

Shapes: B = windows, C = frames of a window, T = B + C - 1 frames of a clip, H W = frame.
"""

from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor


def shared_frames(windows: Float[Tensor, "B C H W"]) -> Float[Tensor, "T H W"] | None:
    """The frames of a clip whose windows, one frame apart, are a view of it; else None."""
    num, size = windows.shape[:2]
    if windows.stride(0) != windows.stride(1) or num == 1:
        return None
    return windows.as_strided((num + size - 1, *windows.shape[2:]), windows.stride()[1:])


def windows_of(frames: Float[Tensor, "T H W"], size: int) -> Float[Tensor, "B C H W"]:
    """All windows of ``size`` neighbouring frames, one frame apart: a view."""
    found: Tensor = frames.unfold(0, size, 1).movedim(-1, 1)
    return found


def of_each_frame(
    work: Callable[[Float[Tensor, "b c H W"]], Tensor], windows: Float[Tensor, "B C H W"]
) -> Float[Tensor, "B C h w"]:
    """What ``work`` makes of the frames of windows, each for itself.

    Args:
        work: From maps (b, c, H, W) to maps (b, c, h, w).
        windows: If they are a view of a clip, so is the result.
    """
    frames = shared_frames(windows)
    if frames is None:
        return work(windows)
    return windows_of(work(frames[None])[0], windows.shape[1])
