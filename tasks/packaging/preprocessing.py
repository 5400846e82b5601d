"""From frames as recorded to the input of a model: one implementation for training and serving.

Shapes: T = frames, H W = frame, N = inputs, C = window (consecutive gray frames) or channels.
"""

import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
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
    """Frames (T, H, W) or (T, 3, H, W) at another height and width: bilinear, antialiased.

    By torch where that is loaded anyhow, because it is quicker; else bit for bit the same.
    """
    if frames.shape[-2:] == tuple(size):
        return frames
    if (torch := sys.modules.get("torch")) is None:
        return without_torch(frames, size)
    pixels = torch.from_numpy(np.ascontiguousarray(frames))
    planes = pixels if pixels.ndim == 4 else pixels[:, None]
    resized = torch.nn.functional.interpolate(
        planes, size=tuple(size), mode="bilinear", antialias=True
    )
    found: NDArray[np.uint8] = resized.reshape(*frames.shape[:-2], *size).numpy()
    return found


def without_torch(frames: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """What ``resize`` makes, in whole numbers as torch makes it of 8-bit images."""
    for axis in (-1, -2):
        if frames.shape[axis] != size[axis]:
            frames = _resized(frames, size[axis], axis)
    return frames


def _resized(values: NDArray[np.uint8], pixels: int, axis: int) -> NDArray[np.uint8]:
    shape = [1] * values.ndim
    shape[axis] = pixels
    places, weights, bits = _taps(values.shape[axis], pixels)
    total: NDArray[np.int32] = np.int32(1 << (bits - 1))  # type: ignore[assignment]
    for place, weight in zip(places, weights, strict=True):
        total = values.take(place, axis=axis) * weight.reshape(shape) + total
    return (total >> bits).clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=32)
def _taps(before: int, after: int) -> tuple[NDArray[np.intp], NDArray[np.int32], int]:
    """Pixels (taps, after) that each new one is made of, their weights, and the weights' unit.

    Weights are whole numbers, of as many bits as 16-bit ones leave room for.
    """
    scale = before / after
    reach = max(scale, 1.0)
    found: list[tuple[int, NDArray[np.float64]]] = []
    for place in range(after):
        centre = scale * (place + 0.5)
        first, last = max(int(centre - reach + 0.5), 0), min(int(centre + reach + 0.5), before)
        away = np.abs(np.arange(first, last) - centre + 0.5) * (1 / reach)
        parts = (1 - away).clip(min=0)
        found.append((first, parts / sum(parts.tolist())))  # added up in order, as torch does
    num = max(len(parts) for _, parts in found)
    shares = np.zeros((num, after))
    for place, (_, parts) in enumerate(found):
        shares[: len(parts), place] = parts
    bits = 0
    while bits < 22 and int(0.5 + shares.max() * (1 << (bits + 1))) < (1 << 15):
        bits += 1
    places = np.array([first for first, _ in found]) + np.arange(num)[:, None]
    weights = np.trunc(shares * (1 << bits) + 0.5).astype(np.int32)
    return places.clip(max=before - 1), weights, bits


def windows(frames: NDArray[np.uint8], window: int) -> NDArray[np.uint8]:
    """View (T - window + 1, window, H, W) of frames (T, H, W); entry k starts with frame k."""
    if window == 1:
        return frames[:, None]
    view = np.lib.stride_tricks.sliding_window_view(frames, window, axis=0)
    return np.moveaxis(view, -1, 1)
