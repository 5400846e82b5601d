"""A picture of a pretext task: what it is given, what it answers, side by side.

Shapes: B = images, c = channels (1 gray, 3 colour, more: the last one is shown), H W = image.
"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

SMALLEST = 96
"""Pixels of the shorter side of an image; smaller ones are enlarged by a whole number."""
GAP = 6
TITLE = 22
"""Height of the line above each row, in pixels."""


def sheet(examples: Mapping[str, Float[Tensor, "B c H W"]]) -> Image.Image:
    """One titled row for each entry, one column for each image; pixels in [0, 1]."""
    rows = {title: [_enlarged(image) for image in images] for title, images in examples.items()}
    width = max(sum(image.width + GAP for image in row) for row in rows.values()) + GAP
    height = sum(max(image.height for image in row) + TITLE + GAP for row in rows.values())
    canvas = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    top = 0
    for title, row in rows.items():
        draw.text((GAP, top + 2), title, fill="#333333", font=font)
        left = GAP
        for image in row:
            canvas.paste(image, (left, top + TITLE))
            left += image.width + GAP
        top += max(image.height for image in row) + TITLE + GAP
    return canvas


def _enlarged(image: Tensor) -> Image.Image:
    pixels: NDArray[np.float32] = image.detach().float().cpu().numpy()
    planes = pixels if len(pixels) == 3 else np.repeat(pixels[-1:], 3, axis=0)
    bytes_ = (planes.clip(0, 1) * 255).round().astype(np.uint8).transpose(1, 2, 0)
    drawn = Image.fromarray(np.ascontiguousarray(bytes_))
    factor = -(-SMALLEST // min(drawn.size))
    return drawn.resize((drawn.width * factor, drawn.height * factor), Image.Resampling.NEAREST)
