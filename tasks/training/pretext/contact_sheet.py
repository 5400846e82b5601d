"""Contact sheets: for each clip, the tracks that were mined from it, patch by patch.

Shapes: K = moments, C = channels or window, S = side of a patch.
"""

from collections.abc import Iterator, Sequence

import mlflow
import torch
from PIL import Image

from tasks.training.pretext import examples
from tasks.training.pretext.track_cache import Track

FOLDER = "pretext/tracks"
"""Where the sheets are among the artifacts of a run."""
MOST_CLIPS = 50
"""Clips that get a sheet, the first ones."""
MOST_TRACKS = 12
"""Rows of a sheet: the first tracks of the clip."""


def log(tracks: Sequence[Track]) -> None:
    """Log a picture for each clip with the active MLflow run."""
    for clip, picture in sheets(tracks):
        mlflow.log_image(picture, artifact_file=f"{FOLDER}/{clip}.png")


def sheets(tracks: Sequence[Track]) -> Iterator[tuple[str, Image.Image]]:
    """Clip and picture: one row for each track, its patches in the order of time."""
    for clip in list(dict.fromkeys(track.clip for track in tracks))[:MOST_CLIPS]:
        ours = [track for track in tracks if track.clip == clip][:MOST_TRACKS]
        rows = {
            f"{clip}, track {number}: frames {track.first} to {track.last}": track.patches
            for number, track in enumerate(ours, 1)
        }
        scaled = {title: torch.from_numpy(row).float() / 255 for title, row in rows.items()}
        yield clip, examples.sheet(scaled)
