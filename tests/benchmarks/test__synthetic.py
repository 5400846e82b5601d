import numpy as np
import pytest
from scipy import ndimage

from benchmarks._synthetic import KINDS, foreign, gliding


def walkers(seed):
    """A bright square crosses a dark street, from frame to frame one pixel further."""
    clip = np.full((60, 160, 200), 40, dtype=np.uint8)
    for number, frame in enumerate(clip):
        frame[60:90, 40 + number : 58 + number] = 200
    noise = np.random.default_rng(seed).integers(0, 4, clip.shape, dtype=np.uint8)
    return clip + noise


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_put_in_is_where_the_mask_says(kind):
    clip = walkers(0)
    found = KINDS[kind](clip, [walkers(1)], np.random.default_rng(0))
    assert found.labels.any()
    assert found.mask[found.labels].any(axis=(1, 2)).all()
    around = ndimage.binary_dilation(
        found.mask.any(axis=0), iterations=70 if kind == "hurried" else 8
    )
    assert (found.frames != clip).any()
    assert not (found.frames != clip)[:, ~around].any()
    assert (found.frames != clip)[found.mask].mean() > 0.5


@pytest.mark.parametrize("put", [foreign, gliding])
def test_with_perspective_things_are_faster_where_things_are_larger(put):
    clip = walkers(0)

    def seen(scale):
        scales = np.full(160, scale)
        return put(clip, [walkers(1)], np.random.default_rng(3), scales)

    plain, near = put(clip, [walkers(1)], np.random.default_rng(3)), seen(1.5)
    assert np.array_equal(plain.frames, seen(1.0).frames)
    assert near.labels.sum() < plain.labels.sum()
    larger = near.mask.sum(axis=(1, 2)).max() / plain.mask.sum(axis=(1, 2)).max()
    assert larger == pytest.approx(1.0 if put is gliding else 2.25, rel=0.15)
