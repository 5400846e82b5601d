"""Thumbnails: a data version at a glance, a few pictures of each split and kind on one sheet."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tasks.data.snapshots import Clip, Snapshot

EACH, MOST_KINDS = 8, 10
"""Pictures in a row, and rows."""
SIDE, GAP, TITLE = 96, 6, 22
"""Pixels of a picture's longer side, between pictures, and of the line above a row."""


def sheet(snapshot: Snapshot) -> Image.Image:
    """One row for each split and kind, evenly picked; of a clip its middle frame.

    Raises:
        DataError: If a file is lost or cannot be decoded.
    """
    rows: dict[str, list[Clip]] = {}
    for clip in (*snapshot.clips("train"), *snapshot.clips("test")):
        rows.setdefault(f"{clip.split}/{clip.kind}", []).append(clip)
    shown = dict(list(rows.items())[:MOST_KINDS])
    canvas = Image.new(
        "RGB", (EACH * (SIDE + GAP) + GAP, len(shown) * (SIDE + TITLE + GAP) + GAP), "white"
    )
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    for row, (title, clips) in enumerate(shown.items()):
        top = row * (SIDE + TITLE + GAP)
        unit = "clips" if snapshot.expects_clips else "images"
        draw.text((GAP, top + 2), f"{title}: {len(clips)} {unit}", fill="#333333", font=font)
        for column, clip in enumerate(_picked(clips)):
            canvas.paste(_small(snapshot, clip), (GAP + column * (SIDE + GAP), top + TITLE))
    return canvas


def _picked(clips: Sequence[Clip]) -> list[Clip]:
    places = np.linspace(0, len(clips) - 1, min(EACH, len(clips))).round().astype(int)
    return [clips[place] for place in places]


def _small(snapshot: Snapshot, clip: Clip) -> Image.Image:
    middle = len(clip.frames) // 2
    one = replace(clip, frames=clip.frames[middle : middle + 1])
    picture = Image.fromarray(np.moveaxis(snapshot.read_clip(one, None, 3)[0], 0, -1).copy())
    picture.thumbnail((SIDE, SIDE))
    return picture
