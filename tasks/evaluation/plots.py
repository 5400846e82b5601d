"""Figures that say how good a detector is, drawn without a display.

Colours are those of Okabe and Ito, which the colour-blind tell apart: scores are blue, ground
truth is orange, thresholds are dashed. Figures are made without ``pyplot``, whose state is global.

Scores come as the table of ``evaluate.score_version``: one row per frame or image with the
columns ``clip``, ``kind``, ``frame``, ``label`` (1 is anomalous) and ``image_score``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
from numpy.typing import NDArray

from tasks.data.kinds import is_normal

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
SKY, PINK, INK = "#56B4E9", "#CC79A7", "#333333"
P = ParamSpec("P")

STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "legend.frameon": False,
    "figure.titlesize": 13,
    "text.parse_math": False,  # names of files hold dollar signs
}
DPI = 110
MAX_CLIPS = 24
"""Clips that one timeline shows; the remaining ones are named in its title."""


def styled(draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Apply ``STYLE`` while a figure is drawn, and to nothing else."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        import matplotlib as mpl

        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


@styled
def roc(scores: pd.DataFrame, threshold: float) -> Figure:
    """Receiver operating characteristic, of all frames and of each kind of anomaly."""
    figure = new_figure(6.4, 5.2)
    draw_roc(figure.subplots(), scores, threshold)
    figure.suptitle(f"ROC of {len(scores):,} test {_unit(scores)}s")
    return figure


@styled
def timeline(scores: pd.DataFrame, threshold: float) -> Figure:
    """Image score of every test clip over its frames, with the ground truth shaded."""
    clips = [clip for clip, _ in scores.groupby("clip", sort=True)]
    shown = clips[:MAX_CLIPS]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(10.0, 1.1 + 1.55 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True)
    for ax, clip in zip(axes.flat, shown, strict=False):
        draw_clip(ax, scores[scores["clip"] == clip], threshold)
    for ax in axes.flat[len(shown) :]:
        ax.set_visible(False)
    for ax in axes[:, 0]:
        ax.set_ylabel("image score")
    for column in range(columns):
        lowest = max(row for row in range(rows) if row * columns + column < len(shown))
        axes[lowest, column].set_xlabel("frame")
    more = f" ({len(shown)} of {len(clips)} clips)" if len(clips) > len(shown) else ""
    figure.suptitle(f"Image score of each test clip{more}")
    draw_legend(figure)
    return figure


@styled
def scores_by_kind(scores: pd.DataFrame, threshold: float) -> Figure:
    """Image scores of still images, one row per kind, with the threshold."""
    figure = new_figure(8.0, 1.4 + 0.5 * scores["kind"].nunique())
    draw_kinds(figure.subplots(), scores, threshold)
    figure.suptitle(f"Scores of {len(scores):,} test images by kind")
    return figure


def new_figure(width: float, height: float, *, dpi: int = DPI) -> Figure:
    """An empty figure of that size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def is_video(scores: pd.DataFrame) -> bool:
    """Whether the scores are of frames of clips."""
    return bool(scores["clip"].duplicated().any())


def _unit(scores: pd.DataFrame) -> str:
    return "frame" if is_video(scores) else "image"


def draw_roc(ax: Axes, scores: pd.DataFrame, threshold: float) -> None:
    """The ROC of all frames, that of each kind if they are few, and where the threshold is."""
    labels = scores["label"].to_numpy().astype(bool)
    values = scores["image_score"].to_numpy()
    if labels.all() or not labels.any():
        ax.text(0.5, 0.5, "Undefined: the test split\nholds only one class.", ha="center")
        return
    kinds = sorted(scores.loc[labels, "kind"].unique())
    if 1 < len(kinds) <= 6:
        palette = (ORANGE, GREEN, PINK, SKY, "#E69F00", "#888888")
        for kind, colour in zip(kinds, palette, strict=False):
            chosen = ~labels | (scores["kind"] == kind).to_numpy()
            _draw_curve(ax, labels[chosen], values[chosen], kind, color=colour, lw=1.2)
    _draw_curve(ax, labels, values, "all", color=BLUE, lw=2.4)
    called = values >= threshold
    ax.plot(called[~labels].mean(), called[labels].mean(), "o", c=INK, ms=6, label="at threshold")
    ax.plot([0, 1], [1, 0], c="#AAAAAA", lw=0.8, ls=":")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
    unit = _unit(scores)
    ax.set_xlabel(f"false alarms (share of normal {unit}s)")
    ax.set_ylabel(f"detected (share of anomalous {unit}s)")
    ax.legend(loc="lower right", title="AUC", alignment="left", fontsize=9)


def _draw_curve(
    ax: Axes,
    labels: NDArray[np.bool_],
    values: NDArray[np.floating],
    name: str,
    *,
    color: str,
    lw: float,
) -> None:
    from sklearn.metrics import auc, roc_curve

    false_rate, true_rate, _ = roc_curve(labels, values)
    label = f"{auc(false_rate, true_rate):.3f} {name}"
    ax.plot(false_rate, true_rate, color=color, lw=lw, label=label)


def draw_kinds(ax: Axes, scores: pd.DataFrame, threshold: float) -> None:
    """Scores of still images as dots, one row per kind; what is anomalous is orange."""
    kinds = sorted(scores["kind"].unique(), key=lambda kind: (not is_normal(kind), kind))
    spread = np.random.default_rng(0)
    for label, colour in ((0, BLUE), (1, ORANGE)):
        chosen = scores[scores["label"] == label]
        rows = chosen["kind"].map(kinds.index).to_numpy(dtype=float)
        height = rows + spread.uniform(-0.28, 0.28, len(chosen))
        ax.plot(chosen["image_score"], height, "o", ms=4, mew=0, alpha=0.55, c=colour)
    ax.axvline(threshold, color=INK, ls="--", lw=1.2)
    ax.annotate(
        f"threshold {threshold:.3g}", (threshold, -0.75), xytext=(4, 0), textcoords="offset points"
    )
    ax.set_yticks(range(len(kinds)), kinds)
    ax.set_ylim(len(kinds) - 0.4, -1.1)
    ax.set_xlabel("image score (higher is more anomalous)")


def draw_clip(ax: Axes, clip: pd.DataFrame, threshold: float) -> None:
    """Scores of one clip over its frames, with the ground truth shaded."""
    frames = clip["frame"].to_numpy()
    values = clip["image_score"].to_numpy()
    edges = np.diff(np.concatenate(([0], clip["label"].to_numpy().astype(int), [0])))
    for start, end in zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True):
        ax.axvspan(frames[start] - 0.5, frames[end - 1] + 0.5, color=ORANGE, alpha=0.22, lw=0)
    ax.plot(frames, values, color=BLUE, lw=1.3)
    ax.axhline(threshold, color=INK, ls="--", lw=1)
    ax.set_title(str(clip["clip"].iloc[0]), loc="left", fontsize=9)
    ax.set_xlim(frames[0], max(frames[-1], frames[0] + 1))


def draw_legend(figure: Figure | SubFigure) -> None:
    """What line, dashes and shade of ``draw_clip`` mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color=BLUE, lw=1.5, label="image score"),
        Line2D([], [], color=INK, lw=1, ls="--", label="threshold"),
        Patch(color=ORANGE, alpha=0.22, lw=0, label="anomalous (ground truth)"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
