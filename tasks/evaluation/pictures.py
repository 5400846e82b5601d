"""Pictures of what a detector saw: frames, their anomaly maps, and the truth around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from tasks.evaluation.plots import (
    SKY,
    draw_clip,
    draw_kinds,
    draw_legend,
    draw_roc,
    is_video,
    new_figure,
    styled,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

SHARP = 160
"""Dots per inch of the picture of a result, twice what a web page needs."""
LONGEST_NAME = 28
"""Characters above a picture."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """One scored frame or image, with what is needed to show it."""

    clip: str
    frame: int | None
    """Its number; None for a still image."""
    label: bool
    """Whether the ground truth calls it anomalous."""
    image_score: float
    image: NDArray[np.uint8]
    """(H, W) gray or (3, H, W) colour."""
    anomaly_map: NDArray[np.floating] | None
    mask: NDArray[np.bool_] | None

    @property
    def name(self) -> str:
        """Clip and frame, or image; cut where it would not fit above a picture."""
        name = self.clip if self.frame is None else f"{self.clip}, frame {self.frame}"
        return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}\u2026"


@styled
def gallery(rows: Sequence[tuple[str, Sequence[Picture]]]) -> Figure:
    """Rows of pictures under a title each: the anomaly map laid over, the ground truth outlined."""
    rows = [(title, pictures) for title, pictures in rows if pictures]
    columns = max(len(pictures) for _, pictures in rows)
    height, width = rows[0][1][0].image.shape[-2:]
    cell = 10.0 / columns
    figure = new_figure(10.0, 0.2 + len(rows) * (cell * height / width + 0.62))
    scale = _map_scale([picture for _, pictures in rows for picture in pictures])
    for part, (title, pictures) in zip(
        figure.subfigures(len(rows), 1, squeeze=False)[:, 0], rows, strict=True
    ):
        part.suptitle(title, fontsize=11, x=0.01, ha="left")
        for ax, picture in zip(
            part.subplots(1, columns, squeeze=False).flat, pictures, strict=False
        ):
            _draw_picture(ax, picture, scale)
        for ax in part.axes[len(pictures) :]:
            ax.set_visible(False)
    return figure


@styled
def result_picture(
    title: str,
    pictures: Sequence[Picture],
    scores: pd.DataFrame,
    threshold: float,
) -> Figure:
    """One picture of a result: frames and their maps on top, timelines and the ROC below.

    Args:
        title: What was detected, with what, how well.
        pictures: Up to five frames to show.
        scores: Scores of the test split.
        threshold: Image score from which a frame is called anomalous.
    """
    pictures = pictures[:5]
    height, width = pictures[0].image.shape[-2:]
    frames_height = len(_frame_rows(pictures)) * (10.0 / len(pictures)) * height / width + 0.5
    figure = new_figure(10.0, frames_height + 3.7, dpi=SHARP)
    figure.suptitle(title)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[frames_height, 3.2])[:, 0]
    _draw_frames_over_maps(top, pictures)
    if is_video(scores):
        left, right = bottom.subfigures(1, 2, squeeze=False, width_ratios=[1.7, 1.0])[0]
        clips = list(dict.fromkeys(picture.clip for picture in pictures))[:3]
        axes = left.subplots(len(clips), 1, squeeze=False, sharey=True)[:, 0]
        for ax, clip in zip(axes, clips, strict=True):
            draw_clip(ax, scores[scores["clip"] == clip], threshold)
            ax.set_ylabel("score")
        axes[-1].set_xlabel("frame")
        draw_legend(left)
    else:
        left, right = bottom.subfigures(1, 2, squeeze=False, width_ratios=[1.7, 1.0])[0]
        draw_kinds(left.subplots(), scores, threshold)
    draw_roc(right.subplots(), scores, threshold)
    return figure


def _map_scale(pictures: Sequence[Picture]) -> tuple[float, float]:
    maps = [picture.anomaly_map for picture in pictures if picture.anomaly_map is not None]
    if not maps:
        return 0.0, 1.0
    values = np.concatenate([np.ravel(one) for one in maps])
    low, high = np.quantile(values, [0.5, 0.999])
    return float(low), float(max(high, low + 1e-12))


def _show(ax: Axes, picture: Picture) -> None:
    image = picture.image if picture.image.ndim == 2 else np.moveaxis(picture.image, 0, -1)
    ax.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def _draw_map(ax: Axes, picture: Picture, scale: tuple[float, float]) -> None:
    if picture.anomaly_map is not None:
        low, high = scale
        strength = np.clip((picture.anomaly_map - low) / (high - low), 0, 1)
        ax.imshow(strength, cmap="inferno", vmin=0, vmax=1, alpha=0.75 * strength)
    if picture.mask is not None and picture.mask.any() and not picture.mask.all():
        ax.contour(picture.mask, levels=[0.5], colors=SKY, linewidths=1.4)


def _draw_picture(ax: Axes, picture: Picture, scale: tuple[float, float]) -> None:
    _show(ax, picture)
    _draw_map(ax, picture, scale)
    ax.set_title(f"{picture.name}\nscore {picture.image_score:.3g}", fontsize=8)


def _frame_rows(pictures: Sequence[Picture]) -> tuple[str, ...]:
    """Names of the rows: without a map or a mask, the second would show the images once more."""
    marked = any(it.anomaly_map is not None or it.mask is not None for it in pictures)
    return ("image", "anomaly map") if marked else ("image",)


def _draw_frames_over_maps(figure: SubFigure, pictures: Sequence[Picture]) -> None:
    names = _frame_rows(pictures)
    axes = figure.subplots(len(names), len(pictures), squeeze=False)
    for ax, name in zip(axes[:, 0], names, strict=True):
        ax.set_ylabel(name)
    scale = _map_scale(pictures)
    for column, picture in zip(axes.T, pictures, strict=True):
        for ax in column:
            _show(ax, picture)
        column[0].set_title(picture.name, fontsize=9)
        for ax in column[1:]:
            _draw_map(ax, picture, scale)
