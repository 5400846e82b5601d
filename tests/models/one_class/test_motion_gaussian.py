import dataclasses

import pytest
import torch

from models.contracts import Recalibrated
from models.encoders.slim import SlimTrunk
from models.errors import InvalidInputError, NotFittedError, TrainingError
from models.one_class.motion_gaussian import MotionGaussian
from models.one_class.pooled_gaussian import PooledGaussian


@pytest.fixture
def fitted(encoder, normal, held_out):
    return MotionGaussian.Config().build(encoder).fit([normal], [held_out])


def test_without_perspective_it_is_the_pooled_gaussian(fitted, encoder, normal, held_out):
    pooled = PooledGaussian.Config().build(encoder).fit([normal], [held_out])
    found, expected = fitted(held_out + 0.1), pooled(held_out + 0.1)
    torch.testing.assert_close(found.image_score, expected.image_score)
    torch.testing.assert_close(found.anomaly_map, expected.anomaly_map)


def test_recalibration_sets_the_threshold_alone(fitted, encoder, normal, held_out):
    wide = (held_out - 0.5) * 1.5 + 0.5
    before = {name: value.clone() for name, value in fitted.state_dict().items()}
    expected = MotionGaussian.Config().build(encoder).fit([normal], [wide])
    after = fitted.recalibrate([wide]).state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {"limit_"}
    assert torch.equal(after["limit_"], expected.limit_)
    assert isinstance(fitted, Recalibrated)


def test_recalibration_needs_a_fitted_detector_and_images(fitted, encoder, held_out):
    with pytest.raises(NotFittedError, match="Call fit"):
        MotionGaussian.Config().build(encoder).recalibrate([held_out])
    with pytest.raises(TrainingError, match="calibration images, got none"):
        fitted.recalibrate([])


@pytest.mark.parametrize("wrong", [{}, {"flow": "blocks", "movement": 0.0}])
def test_perspective_is_one_of_the_speeds_of_blocks(wrong):
    with pytest.raises(InvalidInputError, match="perspective is one of speeds"):
        MotionGaussian.Config(perspective=True, **wrong)


def squares(left):
    """Clips of two squares, the lower of which crosses twice as fast as the upper one."""
    frames = torch.full((1, 6, 64, 160), 0.5)
    for top, speed in ((4, 1.0), (36, 2.0)):
        for number in range(6):
            start = round(left + 2 * speed * number)
            frames[0, number, top : top + 24, start : start + 24] = torch.rand(
                24, 24, generator=torch.Generator().manual_seed(top)
            )
    return frames


def test_perspective_divides_speeds_by_what_is_usual_so_high_in_the_image():
    normal = torch.cat([squares(left) for left in range(10, 70, 5)])
    config = MotionGaussian.Config(flow="blocks", neighbourhood=1, perspective=True)
    torch.manual_seed(0)
    detector = config.build(SlimTrunk.Config(width=4).build()).fit([normal], [normal])
    plain = dataclasses.replace(config, perspective=False).build(detector.encoder)
    upper, lower = slice(0, 3), slice(5, 8)

    def ratio(model):
        speeds = model._features(normal)[..., model.encoder.embedding_dim]
        return float(speeds[:, lower].max() / speeds[:, upper].max())

    assert detector.statistics()["perspective"][1] > 0
    assert ratio(detector) < 0.8 * ratio(plain)


def test_movement_alone_is_that_part_of_the_gaussian_and_asks_the_trunk_for_nothing(monkeypatch):
    normal = torch.cat([squares(left) for left in range(10, 70, 5)])
    config = MotionGaussian.Config(flow="blocks", neighbourhood=3, perspective=True)
    trunk = SlimTrunk.Config(width=4).build()
    both = config.build(trunk).fit([normal], [normal])
    monkeypatch.setattr(SlimTrunk, "forward", lambda *_: pytest.fail("the trunk was asked"))
    alone = dataclasses.replace(config, appearance=False).build(trunk).fit([normal], [normal])
    dim = trunk.embedding_dim
    torch.testing.assert_close(alone.gaussian.whitener_, both.gaussian.whitener_[dim:, dim:])
    torch.testing.assert_close(alone.gaussian.mean_, both.gaussian.mean_[dim:])
    assert alone(normal).anomaly_map.shape == (len(normal), 64, 160)
    assert alone._features(normal).shape[1:3] == (8, 20)  # the trunk's own places


def test_movement_alone_needs_movement():
    with pytest.raises(InvalidInputError, match="appearance=False needs movement > 0"):
        MotionGaussian.Config(appearance=False, movement=0.0)
    config = MotionGaussian.Config(flow="blocks", appearance=False)
    with pytest.raises(TrainingError, match="nothing moves in the normal images"):
        config.build(SlimTrunk.Config(width=4).build()).fit([torch.rand(3, 1, 64, 64)], [])


@pytest.mark.parametrize("flow", ["blocks", "gradients"])
def test_movement_alone_judges_by_either_flow(flow):
    normal = torch.cat([squares(left) for left in range(10, 70, 5)])
    config = MotionGaussian.Config(flow=flow, appearance=False)
    detector = config.build(SlimTrunk.Config(width=4).build()).fit([normal], [normal])
    faster = torch.cat([squares(10)[:, [0, 2, 4, 5, 5, 5]], squares(20)[:, [0, 3, 5, 5, 5, 5]]])
    assert detector(faster).image_score.isfinite().all()
