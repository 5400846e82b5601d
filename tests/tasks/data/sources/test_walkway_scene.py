import numpy as np
import pytest

from tasks.data.sources.raster import UNIT, Draws, Limb
from tasks.data.sources.walkway_scene import Actor, Light, Scene

LIGHT = Light(gain=1024, shadow=110, noise=18)


@pytest.fixture(scope="module")
def scene():
    return Scene(5)


def post(column, row, *, anomalous=False, gray=30, height=30):
    foot, head = (column * UNIT, row * UNIT), (column * UNIT, (row - height) * UNIT)
    return Actor(row * UNIT, [Limb(foot, head, 4 * UNIT, 4 * UNIT, gray)], anomalous)


def test_an_empty_frame_has_an_empty_mask(scene):
    frame, mask = scene.render([], LIGHT, Draws(1))
    assert (frame.shape, frame.dtype) == ((160, 240), np.uint8)
    assert (mask.shape, mask.dtype) == ((160, 240), np.bool_)
    assert not mask.any()


def test_the_mask_is_where_the_intruder_is_and_leaves_out_its_shadow(scene):
    empty, _ = scene.render([], LIGHT, Draws(1))
    frame, mask = scene.render([post(120, 100, anomalous=True)], LIGHT, Draws(1))
    changed = np.abs(frame.astype(int) - empty) > 12
    assert mask.sum() == pytest.approx(8 * 30 + 50, rel=0.03)
    assert (changed & mask).sum() > 0.95 * mask.sum()
    assert (changed & ~mask).sum() > 40
    assert not mask[:, 126:].any()


def test_somebody_nearer_hides_the_intruder_and_somebody_farther_does_not(scene):
    intruder = post(120, 100, anomalous=True)
    alone = scene.render([intruder], LIGHT, Draws(1))[1]
    behind = scene.render([intruder, post(120, 90)], LIGHT, Draws(1))[1]
    before = scene.render([intruder, post(120, 110, height=60)], LIGHT, Draws(1))[1]
    assert np.array_equal(behind, alone)
    assert not before.any()


def test_the_lamp_post_and_the_tree_hide_the_intruder(scene):
    assert not scene.render([post(62, 100, anomalous=True)], LIGHT, Draws(1))[1][75:95, 62].any()
    assert not scene.render([post(213, 100, anomalous=True)], LIGHT, Draws(1))[1][75:95, 213].any()


def test_more_exposure_gives_a_brighter_frame(scene):
    dim, bright = (
        scene.render([], Light(gain=gain, shadow=100, noise=18), Draws(1))[0].mean()
        for gain in (960, 1088)
    )
    assert bright / dim == pytest.approx(1088 / 960, rel=0.01)


def test_two_frames_differ_by_sensor_noise_of_the_stated_deviation(scene):
    draws = Draws(2)
    first, second = (scene.render([], LIGHT, draws)[0].astype(int) for _ in range(2))
    flat = np.abs(first - 128) < 20
    assert (first - second)[flat].std() / np.sqrt(2) == pytest.approx(18 / 8, rel=0.1)


def test_people_far_outside_the_frame_cost_nothing_and_change_nothing(scene):
    empty, _ = scene.render([], LIGHT, Draws(1))
    frame, mask = scene.render([post(-300, 100, anomalous=True), post(900, 90)], LIGHT, Draws(1))
    assert np.array_equal(frame, empty)
    assert not mask.any()
