"""Figures of merit of localisation that count every anomalous region alike, small or large.

Shapes: N = images, H W = image.
"""

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage

from models.errors import InvalidInputError

NEIGHBOURS = np.ones((3, 3), dtype=bool)
"""Pixels of one region touch each other, if only at a corner."""


def aupro(
    anomaly_maps: Float[np.ndarray, "N H W"],
    masks: Bool[np.ndarray, "N H W"],
    *,
    limit: float = 0.3,
) -> float:
    """Area under the curve of per-region overlap over the false-positive rate, up to a limit.

    Per-region overlap at a threshold is the share of a region's pixels that reach it, averaged over
    all connected anomalous regions; the false-positive rate is the share of all normal pixels that
    do. The curve takes every score as a threshold. The area is divided by the limit, so that 1 is
    perfect and ``limit / 2`` is chance.

    Args:
        anomaly_maps: Higher is more anomalous.
        masks: Anomalous pixels.
        limit: Largest false-positive rate that counts, in (0, 1].

    Raises:
        InvalidInputError: If no pixel, or every pixel, is anomalous, a score is NaN, or the limit
            is out of range.

    References:
        Bergmann et al., 2021, "The MVTec Anomaly Detection Dataset", section 5.2.
        https://doi.org/10.1007/s11263-020-01400-4
    """
    if not 0 < limit <= 1:
        raise InvalidInputError(f"limit must be in (0, 1], got {limit}.")
    if np.isnan(anomaly_maps).any() or not masks.any() or masks.all():
        raise InvalidInputError(
            "AUPRO needs scores that are numbers, a normal and an anomalous pixel, got "
            f"{int(masks.sum())} anomalous ones of {masks.size} and "
            f"{int(np.isnan(anomaly_maps).sum())} NaN."
        )
    weights = _weights(masks)
    order = np.argsort(anomaly_maps, axis=None)[::-1]
    scores, normal = anomaly_maps.reshape(-1)[order], ~masks.reshape(-1)[order]
    last = np.append(scores[1:] != scores[:-1], True)  # equal scores are reached together
    overlap = np.append(0, weights.reshape(-1)[order].cumsum()[last])
    rate = np.append(0, normal.cumsum()[last] / normal.sum())
    kept = rate < limit
    rates = np.append(rate[kept], limit)
    overlaps = np.append(overlap[kept], np.interp(limit, rate, overlap))
    return float(np.trapezoid(overlaps, rates) / limit)


def _weights(masks: Bool[np.ndarray, "N H W"]) -> Float[np.ndarray, "N H W"]:
    """What each pixel adds to the mean overlap: all regions add the same."""
    sizes = np.zeros(masks.shape)
    num = 0
    for image, mask in enumerate(masks):
        labels, found = ndimage.label(mask, NEIGHBOURS)
        counts = np.bincount(labels.reshape(-1), minlength=found + 1).astype(float)
        counts[0] = np.inf  # normal pixels add nothing
        sizes[image] = 1 / counts[labels]
        num += found
    return sizes / num
