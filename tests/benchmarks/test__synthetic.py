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


def pace(changed):
    """Pixels that the middle of what was put in moves from one frame to the next."""
    middles = [ndimage.center_of_mass(mask) for mask in changed.mask[changed.labels]]
    return np.linalg.norm(np.diff(middles, axis=0), axis=1).mean()


@pytest.mark.parametrize("put", [foreign, gliding])
def test_with_perspective_things_are_faster_where_things_are_larger(put):
    clip = walkers(0)

    def seen(scale):
        scales = np.full(160, scale)
        return put(clip, [walkers(1)], np.random.default_rng(3), scales)

    plain, near = put(clip, [walkers(1)], np.random.default_rng(3)), seen(1.5)
    assert np.array_equal(plain.frames, seen(1.0).frames)
    assert pace(near) == pytest.approx(1.5 * pace(plain), rel=0.05)
    larger = near.mask.sum(axis=(1, 2)).max() / plain.mask.sum(axis=(1, 2)).max()
    expected = 1.0 if put is gliding else 1.5**2  # but for the faded edge, which stays as wide
    assert larger == pytest.approx(expected, rel=0.3)
