"""What a clusterer found on a test split: figures against its classes, and what the clusters hold.

Classes are the ``<class>`` of kinds ``good-<class>``; images of other kinds are left out.

Shapes: N = images, K = clusters, H W = image.
"""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from models.metrics import clustering
from tasks.data.kinds import class_of
from tasks.evaluation.plots import new_figure, styled
from tasks.evaluation.scoring import Scored

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

SHOWN = 10
"""Members of a cluster that are shown."""


class Member(NamedTuple):
    """An image of a cluster."""

    probability: float
    """Of the cluster, in [0, 1]."""
    image: NDArray[np.uint8]
    """(H, W) gray or (3, H, W) colour."""


class Members:
    """The most probable images of each cluster, kept while the scores stream by.

    Attributes:
        rows: Of each cluster, the most probable first.
    """

    def __init__(self) -> None:
        self.rows: list[list[Member]] = []

    def update(self, part: Scored) -> None:
        """Take in the next part of the test split."""
        assignment = part.prediction.soft_assignment
        if assignment is None:
            return
        self.rows = self.rows or [[] for _ in range(assignment.shape[1])]
        own = assignment.argmax(axis=1)
        for cluster, row in enumerate(self.rows):
            best = np.argsort(-assignment[:, cluster], kind="stable")
            chosen = [place for place in best if own[place] == cluster][:SHOWN]
            found = [Member(assignment[at, cluster], part.frames[at].copy()) for at in chosen]
            row[:] = _most_probable([*row, *found])

    def merge(self, other: Members) -> None:
        """Take in what was kept of later parts of the test split."""
        pairs = zip_longest(self.rows, other.rows, fillvalue=())
        self.rows = [_most_probable([*row, *found]) for row, found in pairs]


def _most_probable(members: list[Member]) -> list[Member]:
    return sorted(members, key=lambda member: -member.probability)[:SHOWN]


def measure(scores: pd.DataFrame) -> tuple[dict[str, float], list[str]]:
    """Figures of a table of scores with a column ``cluster``, and why there are none.

    Returns:
        ``cluster_acc``, ``cluster_nmi`` and ``cluster_ari``, each 1 at best; nothing for a
        detector without clusters.
    """
    if "cluster" not in scores:
        return {}, []
    named = _named(scores)
    if named.empty:
        return {}, ["No cluster_acc, nmi and ari: test/ has no kind that is called good-<class>."]
    classes, found = _pair(named, "cluster")
    return {
        "cluster_acc": clustering.accuracy(classes, found, _num(found)),
        "cluster_nmi": clustering.normalized_mutual_information(classes, found),
        "cluster_ari": clustering.adjusted_rand_index(classes, found),
    }, []


def correct(named: pd.DataFrame, column: str) -> Bool[np.ndarray, "N"]:
    """Which images with a class lie in the cluster that the best map gives to it."""
    classes, found = _pair(named, column)
    return clustering.correct(classes, found, _num(found))


def draw(folder: Path, scores: pd.DataFrame, members: Members) -> None:
    """Write ``clusters.png``, and ``confusion.png`` if the test split has classes."""
    if "cluster" not in scores:
        return
    named = _named(scores)
    found = (
        clustering.confusion(*_pair(named, "cluster"), len(members.rows)) if len(named) else None
    )
    if found is not None:
        confusion_matrix(found).savefig(folder / "confusion.png")
    counts = np.bincount(scores["cluster"].to_numpy(dtype=np.int64), minlength=len(members.rows))
    titles = [f"{cluster}: {count:,} images" for cluster, count in enumerate(counts)]
    if found is not None:
        for name, cluster in zip(found.classes, found.clusters, strict=False):
            titles[cluster] += f", {name}" if cluster >= 0 else ""
    gallery(titles, members).savefig(folder / "clusters.png")


@styled
def gallery(titles: list[str], members: Members) -> Figure:
    """The most probable images of each cluster, one row per cluster."""
    figure = new_figure(10.0, 0.5 + 0.95 * len(members.rows))
    figure.suptitle("Most probable images of each cluster")
    axes = figure.subplots(len(members.rows), SHOWN, squeeze=False)
    for line, title, row in zip(axes, titles, members.rows, strict=True):
        line[0].set_ylabel(title, rotation=0, ha="right", va="center")
        for ax in line:
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(False)
        for ax, member in zip(line, row, strict=False):
            image = member.image
            image = image if image.ndim == 2 else np.moveaxis(image, 0, -1)
            ax.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    return figure


@styled
def confusion_matrix(found: clustering.Confusion) -> Figure:
    """Images of each class in each cluster, mapped clusters on the diagonal."""
    rows, columns = found.counts.shape
    figure = new_figure(max(1.6 + 0.55 * columns, 4.0), 1.4 + 0.5 * rows)
    ax = figure.subplots()
    shares = found.counts / found.counts.sum(axis=1, keepdims=True)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(found.counts):
        colour = "white" if shares[row, column] > 0.5 else "black"
        ax.text(column, row, str(count), ha="center", va="center", color=colour, fontsize=8)
    ax.set_yticks(range(rows), [str(name) for name in found.classes])
    ax.set_xticks(range(columns), ["none" if each < 0 else str(each) for each in found.clusters])
    ax.set(xlabel="cluster", ylabel="class")
    ax.grid(visible=False)
    figure.suptitle(f"Accuracy under the best map {found.accuracy:.3f}")
    return figure


def _named(scores: pd.DataFrame) -> pd.DataFrame:
    return scores[scores["kind"].map(class_of).notna()]


def _pair(named: pd.DataFrame, column: str) -> tuple[NDArray[np.str_], NDArray[np.int64]]:
    classes = named["kind"].map(class_of).to_numpy(dtype=str)
    return classes, named[column].to_numpy(dtype=np.int64)


def _num(found: NDArray[np.int64]) -> int:
    return int(found.max()) + 1
