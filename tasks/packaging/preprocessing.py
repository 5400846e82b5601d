"""From frames as recorded to the input of a model: one implementation for training and serving.

Shapes: T = frames, H W = frame, N = inputs, C = window (consecutive gray frames) or channels.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import InvalidInputError

Levels: TypeAlias = tuple[float, float]
"""Values of black and white in images of more than 8 bits."""
RATE_TOLERANCE = 1.05
"""How many times as fast or slow as in training a video may be without being another rate."""
LUMA = np.array([19595, 38470, 7471], dtype=np.uint32)
"""Rec. 601 weights of red, green and blue in 1/65536, as Pillow's ``convert("L")`` rounds them."""


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """What is done to frames before a model sees them."""

    window: int = 1
    """Consecutive gray frames of one input; 1 for still images."""
    channels: int = 1
    """Channels of one frame: 1 (gray) or 3 (colour)."""
    image_size: tuple[int, int] | None = None
    """Height and width in pixels that frames are resized to; None keeps their own."""
    levels: Levels | None = None
    """What images of more than 8 bits were scaled by in training, and are in serving: black and
    white of the data version. None keeps the upper byte of 16 bits, as older models were trained.
    """
    frame_rate: float | None = None
    """Frames per second of the videos it was trained on; None for numbered frames and stills."""

    def __call__(self, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Inputs (T - window + 1, C, H, W) of frames (T, H, W) or (T, 3, H, W).

        Input k describes frame ``k + window - 1``.

        Raises:
            InvalidInputError: If the frames have another shape or type, or are too few.
        """
        check_frames(frames)
        if len(frames) < self.window:
            raise InvalidInputError(
                f"This detector describes a frame by {self.window} consecutive ones: pass at "
                f"least {self.window} frames, got {len(frames)}."
            )
        if self.channels == 1:
            frames = gray(frames) if frames.ndim == 4 else frames
        elif frames.ndim == 3:
            frames = np.repeat(frames[:, None], 3, axis=1)
        if self.image_size:
            frames = resize(frames, self.image_size)
        return frames if frames.ndim == 4 else windows(frames, self.window)


def check_frames(frames: NDArray[np.uint8]) -> None:
    """Raise unless frames are uint8 of shape (T, H, W) or (T, 3, H, W), and not empty.

    Raises:
        InvalidInputError: Otherwise.
    """
    colour = frames.ndim == 4 and frames.shape[1] == 3
    if frames.dtype != np.uint8 or not (frames.ndim == 3 or colour) or not frames.size:
        raise InvalidInputError(
            "Frames must be uint8 of shape (frames, height, width), or (frames, 3, height, width) "
            f"for colour, and not empty; got {frames.dtype} {frames.shape}."
        )


def quantized(values: NDArray[np.generic], levels: Levels | None) -> NDArray[np.uint8]:
    """Values of any shape in 8 bits: black becomes 0, white 255, and what lies outside is cut.

    Args:
        values: Of more than 8 bits, whole numbers or floating point.
        levels: Black and white; None keeps the upper byte of 16 bits.

    Raises:
        ValueError: If they are floating point and their range is not known.
    """
    if levels is None:
        if not np.issubdtype(values.dtype, np.integer):
            raise ValueError("it is floating point, and no range of its values is known")
        return (values.astype(np.int64).clip(0, 65535) >> 8).astype(np.uint8)
    low, high = levels
    unit = (values.astype(np.float64) - low) / (high - low)
    return np.asarray(np.rint(unit.clip(0, 1) * 255), dtype=np.uint8)


def gray(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Luma (T, H, W) of RGB frames (T, 3, H, W), bit for bit as Pillow makes it."""
    weighted = np.tensordot(LUMA, frames.astype(np.uint32), axes=([0], [1]))
    return ((weighted + 0x8000) >> 16).astype(np.uint8)


def resize(frames: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Frames (T, H, W) or (T, 3, H, W) at another height and width: bilinear, antialiased."""
    if frames.shape[-2:] == tuple(size):
        return frames
    pixels = torch.from_numpy(np.ascontiguousarray(frames))
    planes = pixels if pixels.ndim == 4 else pixels[:, None]
    resized = torch.nn.functional.interpolate(
        planes, size=tuple(size), mode="bilinear", antialias=True
    )
    return resized.reshape(*frames.shape[:-2], *size).numpy()


def as_tensor(inputs: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Inputs (N, C, H, W) as float32 in [0, 1]; of overlapping windows each frame once.

    Windows as ``windows`` makes them share their frames, and so does the tensor: it is a view, and
    takes a sixth of the memory and of the time of a copy for windows of six frames.
    """
    num, window = inputs.shape[:2]
    if window == 1 or inputs.strides[0] != inputs.strides[1]:
        return torch.tensor(inputs, device=device).float().div_(255)
    frames = np.lib.stride_tricks.as_strided(
        inputs, (num + window - 1, *inputs.shape[2:]), inputs.strides[1:], writeable=False
    )
    values = torch.tensor(frames, device=device).float().div_(255)
    return values.unfold(0, window, 1).movedim(-1, 1)


def windows(frames: NDArray[np.uint8], window: int) -> NDArray[np.uint8]:
    """View (T - window + 1, window, H, W) of frames (T, H, W); entry k starts with frame k."""
    view = np.lib.stride_tricks.sliding_window_view(frames, window, axis=0)
    return np.moveaxis(view, -1, 1)
