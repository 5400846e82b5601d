"""Pictures of drift, in the style of ``tasks.evaluation.plots``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tasks.evaluation.plots import BLUE, INK, ORANGE, SKY, new_figure, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from tasks.serving.monitoring.drift import DriftReport


@styled
def drift(report: DriftReport) -> Figure:
    """The p-values of the frames that were served, and their distance from normal over time."""
    figure = new_figure(10.0, 3.8)
    left, right = figure.subplots(1, 2)
    draw_p_values(left, report)
    draw_distances(right, report)
    figure.suptitle(f"{report.model} version {report.version}: {report.verdict}")
    return figure


def draw_p_values(ax: Axes, report: DriftReport) -> None:
    """Share of frames by p-value; of normal frames every bin has the same share."""
    for shown, colour, name in (
        (report.overall, SKY, "since it serves"),
        (report.recent, BLUE, "recent"),
    ):
        counts = np.array(shown.p_values, dtype=float)
        edges = np.linspace(0, 1, len(counts) + 1)
        ax.stairs(counts / max(counts.sum(), 1), edges, color=colour, lw=1.8, label=name)
    ax.axhline(1 / len(report.recent.p_values), color=INK, ls="--", lw=1, label="expected")
    ax.set(xlim=(0, 1), xlabel="p-value", ylabel="share of frames")
    ax.legend(loc="upper right", fontsize=9)


def draw_distances(ax: Axes, report: DriftReport) -> None:
    """Distance of the recent frames at each point in time, beside what normal frames reach."""
    known = [point for point in report.timeline if point.distance is not None]
    when = [point.when for point in known]
    distances = [point.distance for point in known]
    if report.recent.distance is not None:
        when.append(report.updated)
        distances.append(report.recent.distance)
    if not when:
        ax.text(0.5, 0.5, "This detector has no Gaussian.", ha="center", transform=ax.transAxes)
        return
    moments = np.array([moment.partition("+")[0] for moment in when], dtype="datetime64[s]")
    ax.plot(moments, distances, "o-", color=BLUE, ms=3, lw=1.3)  # type: ignore[arg-type]
    if report.limit is not None:
        ax.axhline(report.limit, color=ORANGE, ls="--", lw=1.2, label="limit of normal frames")
    if report.typical is not None:
        ax.axhline(report.typical, color=INK, ls=":", lw=1, label="normal clips, median")
    ax.set_yscale("log")
    ax.set_ylabel("Fréchet distance of recent frames")
    ax.tick_params(axis="x", rotation=30)
    ax.legend(loc="best", fontsize=9)
