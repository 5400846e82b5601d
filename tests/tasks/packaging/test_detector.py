import numpy as np
import pytest
import torch

from models.contracts import Scores
from models.errors import InvalidInputError
from tasks.packaging.calibration import Calibration
from tasks.packaging.detector import Packaged
from tasks.packaging.network import Network
from tasks.packaging.preprocessing import Preprocessing


class Brightest(torch.nn.Module):
    """Scores an image by its brightest pixel in the last channel."""

    def forward(self, images):
        anomaly_map = images[:, -1]
        return Scores(anomaly_map.amax(dim=(1, 2)), anomaly_map)


def packaged(detector=None, *, smoothing=1, **preprocessing):
    return Packaged(
        lambda: Network(detector or Brightest(), torch.device("cpu")),
        preprocessing=Preprocessing(**preprocessing),
        threshold=0.5,
        pixel_threshold=0.5,
        calibration=Calibration(image_score=np.array([0.4, 0.1, 0.2, 0.3]), clip=np.arange(4)),
        lineage={},
        digest="0" * 64,
        smoothing=smoothing,
    )


def test_the_first_scored_frame_of_a_clip_is_the_one_that_ends_a_window():
    frames = np.zeros((8, 4, 4), dtype=np.uint8)
    frames[6] = 255
    found = packaged(window=6).predict(frames)
    assert found.frame_index.tolist() == [5, 6, 7]
    assert found.image_score.tolist() == [0, 1, 0]
    assert found.anomalous.tolist() == [False, True, False]


def test_scores_are_averaged_over_frames_and_maps_are_not():
    frames = np.zeros((9, 4, 4), dtype=np.uint8)
    frames[6] = 255
    found = packaged(window=6, smoothing=2).predict(frames, anomaly_map=True)
    assert found.image_score.tolist() == [0, 0.5, 0.5, 0]
    assert found.anomalous.tolist() == [False, True, True, False]
    assert found.anomaly_map.max(axis=(1, 2)).tolist() == [0, 1, 0, 0]


def test_a_score_at_the_threshold_is_anomalous():
    model = packaged()
    model.threshold = 1.0
    assert model.predict(np.full((1, 4, 4), 255, dtype=np.uint8)).anomalous.tolist() == [True]


def test_scores_do_not_depend_on_the_batch_size():
    frames = np.random.default_rng(0).integers(0, 256, (7, 4, 4), dtype=np.uint8)
    one, many = (packaged().predict(frames, batch_size=size) for size in (1, 32))
    assert np.array_equal(one.image_score, many.image_score)


def test_the_map_has_the_size_of_the_frames_as_they_came():
    frames = np.zeros((2, 40, 60), dtype=np.uint8)
    frames[:, :, 30:] = 255
    found = packaged(image_size=(8, 12)).predict(frames, anomaly_map=True)
    assert found.anomaly_map.shape == (2, 40, 60)
    assert found.anomaly_map[:, :, :20].max() == 0
    assert found.anomaly_map[:, :, 40:].min() == pytest.approx(1)


def test_there_is_no_map_unless_one_is_asked_for():
    assert packaged().predict(np.zeros((1, 4, 4), dtype=np.uint8)).anomaly_map is None


def test_a_map_of_a_detector_without_maps_is_refused():
    class Blind(Brightest):
        def forward(self, images):
            return Scores(super().forward(images).image_score)

    with pytest.raises(InvalidInputError, match="makes no anomaly map"):
        packaged(Blind()).predict(np.zeros((1, 4, 4), dtype=np.uint8), anomaly_map=True)


def test_what_the_detector_refuses_is_the_callers_mistake():
    foreign = type("InvalidInputError", (ValueError,), {})

    class Picky(Brightest):
        def forward(self, images):  # noqa: ARG002
            raise foreign("Images must be larger.")

    with pytest.raises(InvalidInputError, match="must be larger"):
        packaged(Picky()).predict(np.zeros((1, 4, 4), dtype=np.uint8))


def test_p_values_count_the_calibration_scores_that_are_as_high():
    frames = np.array([0, 77, 255], dtype=np.uint8)[:, None, None] * np.ones((1, 4, 4), np.uint8)
    assert packaged().predict(frames).p_value.tolist() == [1, 0.4, 0.2]


class ByBrightness(torch.nn.Module):
    """Two clusters, of bright and of dark images."""

    def forward(self, images):
        bright = images.mean(dim=(1, 2, 3))
        return Scores(bright, soft_assignment=torch.stack([bright, 1 - bright], dim=1))


def test_each_image_has_its_soft_assignment_if_the_detector_knows_clusters():
    frames = np.stack([np.full((4, 4), level, dtype=np.uint8) for level in (0, 255, 51)])
    found = packaged(ByBrightness()).predict(frames, batch_size=2)
    np.testing.assert_allclose(found.soft_assignment, [[0, 1], [1, 0], [0.2, 0.8]], atol=1e-6)
    assert packaged().predict(frames).soft_assignment is None


def test_a_false_alarm_rate_sets_the_threshold():
    frames = np.array([0, 50, 77, 255], np.uint8)[:, None, None] * np.ones((4, 3, 3), np.uint8)
    found = packaged().predict(frames, false_alarm_rate=0.4)
    assert 0.3 < found.threshold < 0.301
    assert found.p_value.tolist() == [1, 0.8, 0.4, 0.2]
    assert found.anomalous.tolist() == [False, False, True, True]
    assert (found.anomalous == (found.p_value <= 0.4)).all()
    assert packaged().predict(frames).anomalous.tolist() == [False, False, False, True]
    with pytest.raises(InvalidInputError, match="needs 99 calibration clips, and there are 4"):
        packaged().predict(frames, false_alarm_rate=0.01)


def test_stills_are_judged_together_as_independent_and_frames_of_a_clip_as_dependent():
    frames = np.full((6, 3, 3), 255, np.uint8)
    stills, clip = packaged().predict(frames), packaged(window=2).predict(frames)
    assert stills.q_value.tolist() == pytest.approx([0.2] * 6)
    assert stills.clip_p_value is None
    factor = sum(1 / k for k in range(1, 6))
    assert clip.q_value.tolist() == pytest.approx([0.2 * factor] * 5)
    assert clip.clip_p_value == pytest.approx(1.0)  # five blocks of one frame, 0.2 each
