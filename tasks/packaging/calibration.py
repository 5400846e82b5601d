"""What normal looked like: scores of held-out clips, and the guarantees that follow from them.

Shapes: N = calibration frames, B = scores to judge, W = windows of normal frames.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.errors import InvalidInputError
from models.functional.conformal import (
    Tails,
    clip_p_value,
    quantile_threshold,
    rates_on_left_out_clips,
    smallest_p_value,
    tails,
    threshold_at,
)
from models.functional.running_mean import running_mean


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Scores of held-out normal frames, clip by clip and in order.

    All p-values are valid if the clip that is judged and the calibration clips are exchangeable:
    drawn alike. Still images are clips of one frame.
    """

    image_score: NDArray[np.float64]
    """Shape (N,)."""
    clip: NDArray[np.int64]
    """Number of the clip that each is from. Shape (N,)."""
    region_score: NDArray[np.float64] | None = None
    """Largest value of each frame's anomaly map, shape (N,); None without maps."""
    window_distance: NDArray[np.float64] | None = None
    """How far windows of normal frames are from what the detector learned; see
    ``tasks.training.normal_windows``. Shape (W,); None if it has no Gaussian."""
    window_frames: NDArray[np.float64] | None = None
    """Frames that each of them spans. Shape (W,)."""

    def windows(self) -> dict[str, NDArray[np.float64]]:
        """What is known of windows of normal frames, by name; empty if nothing is."""
        if self.window_distance is None or self.window_frames is None:
            return {}
        return {"window_distance": self.window_distance, "window_frames": self.window_frames}

    @cached_property
    def num_clips(self) -> int:
        """Clips that vouch for p-values."""
        return len(np.unique(self.clip))

    @property
    def smallest_p_value(self) -> float:
        """No p-value is below this."""
        return smallest_p_value(self.num_clips)

    def p_values(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """P-value of frames (B,), each taken at random from a clip."""
        return self._image_tails.p_values(scores)

    def region_p_values(self, peaks: NDArray[np.float64]) -> NDArray[np.float64]:
        """P-value of regions (B,) from the largest map value in each.

        Each is compared with the largest region of normal frames, so that the guarantee is for
        the whole frame, however many regions it has.

        Raises:
            InvalidInputError: If the detector does not localise.
        """
        return self._region_tails.p_values(peaks)

    def clip_p_value(self, scores: NDArray[np.float64]) -> float:
        """P-value of a clip from the scores (B,) of its frames, in order."""
        return clip_p_value(scores, self.image_score, self.clip)

    def threshold(self, rate: float) -> float:
        """Image score from which a p-value is at most ``rate``.

        Raises:
            InvalidInputError: If the rate is out of range, or the clips are too few for it.
        """
        return threshold_at(rate, self.image_score, self.clip)

    def averaged(self, num: int, threshold: float) -> tuple["Calibration", float]:
        """Scores averaged over the last ``num`` frames of each clip, and a threshold for them.

        The threshold is not below the one given, and no larger share of the averaged scores reaches
        it than reached that one: averages spread less within a clip, but as much from clip to
        clip, of which a few calibration clips know little.

        Args:
            num: Frames, >= 1.
            threshold: Image score from which a frame is called anomalous so far.
        """
        if num == 1:
            return self, threshold
        share = float((self.image_score >= threshold).mean())
        parts = [self.image_score[self.clip == clip] for clip in np.unique(self.clip)]
        means = np.concatenate([running_mean(part, num) for part in parts])
        return replace(self, image_score=means), max(
            threshold, float(quantile_threshold(means, share))
        )

    def rates_on_left_out_clips(self, threshold: float) -> NDArray[np.float64]:
        """False-alarm rate of each clip at a threshold set, like this one, by the other clips."""
        share = float((self.image_score >= threshold).mean())
        return rates_on_left_out_clips(self.image_score, self.clip, share)

    @cached_property
    def _image_tails(self) -> Tails:
        return self._tails(self.image_score)

    @cached_property
    def _region_tails(self) -> Tails:
        if self.region_score is None:
            raise InvalidInputError("This detector makes no anomaly map, so it knows no regions.")
        return self._tails(self.region_score)

    def _tails(self, known: NDArray[np.float64]) -> Tails:
        return tails(known, self.clip)
