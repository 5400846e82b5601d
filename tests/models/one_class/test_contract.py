"""Every detector on disk keeps the promises of ``models.contracts.Detector``."""

import dataclasses
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.contracts import Detector, DetectorConfig
from models.errors import NotFittedError
from tests.models.tiny import Tiny


@pytest.fixture
def detector(detector_class, encoder):
    return detector_class.Config().build(encoder)


def test_satisfies_the_protocols(detector_class, detector):
    assert isinstance(detector_class.Config(), DetectorConfig)
    assert issubclass(detector_class, torch.nn.Module)
    members = {name for name in vars(Detector) if not name.startswith("_")}
    assert members <= set(dir(detector_class))


def test_config_is_frozen_and_kept(detector_class, detector):
    assert detector.config == detector_class.Config()
    for field in dataclasses.fields(detector.config):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(detector.config, field.name, None)


def test_nothing_works_before_fit(detector, normal):
    for use in (
        lambda: detector(normal),
        lambda: detector.threshold,
        lambda: detector.pixel_threshold,
        detector.statistics,
    ):
        with pytest.raises(NotFittedError, match="Call fit"):
            use()


def test_learned_state_is_nan_before_fit_and_finite_after(detector, normal, held_out):
    learned = [name for name, _ in detector.named_buffers() if name.endswith("_")]
    assert learned
    assert all(detector.state_dict()[name].isnan().all() for name in learned)
    shapes = {name: detector.state_dict()[name].shape for name in learned}
    detector.fit([normal], [held_out])
    assert all(detector.state_dict()[name].isfinite().all() for name in learned)
    assert shapes == {name: detector.state_dict()[name].shape for name in learned}


def test_anomalies_score_above_normal_images(detector, normal, held_out):
    scores = detector.fit([normal], [held_out])(normal + 5).image_score
    assert scores.min() > detector(normal).image_score.max()
    assert scores.min() >= detector.threshold


def test_an_anomalous_spot_is_found_where_it_is(detector, normal, held_out):
    normal, held_out = (part.repeat(1, 1, 2, 2) for part in (normal, held_out))
    detector.fit([normal], [held_out])
    spotted = normal.clone()
    spotted[:, :, 2:8, 14:20] += 5
    anomaly_map = detector(spotted).anomaly_map
    assert anomaly_map.shape == (32, 24, 24)
    flagged = anomaly_map >= detector.pixel_threshold
    assert flagged[:, 2:8, 14:20].double().mean() > 0.9
    assert flagged[:, 15:, :7].double().mean() < 0.1


def test_the_image_is_anomalous_exactly_if_a_pixel_is(detector, normal, held_out):
    scores = detector.fit([normal], [held_out])(torch.cat([normal, normal + 0.3]))
    by_pixels = (scores.anomaly_map >= detector.pixel_threshold).flatten(1).any(1)
    assert torch.equal(scores.image_score >= detector.threshold, by_pixels)
    assert by_pixels.any()
    assert not by_pixels.all()


def test_scores_do_not_depend_on_the_batch_size(detector, normal, held_out):
    whole = detector.fit([normal], [held_out])(normal)
    split = [detector(part) for part in normal.chunk(5)]
    for place, value in enumerate(whole):
        if value is not None:
            torch.testing.assert_close(value, torch.cat([part[place] for part in split]))


def test_fit_does_not_depend_on_the_batch_size(detector, normal, held_out):
    whole = detector.fit([normal], [held_out])(normal).image_score
    split = detector.fit(normal.chunk(3), held_out.chunk(5))(normal).image_score
    torch.testing.assert_close(whole, split, rtol=1e-3, atol=1e-4)


def test_a_second_fit_forgets_the_first(detector, normal, held_out):
    once = detector.fit([normal], [held_out])(normal).image_score
    detector.fit([normal + 3], [held_out + 3])
    twice = detector.fit([normal], [held_out])(normal).image_score
    torch.testing.assert_close(once, twice)


def test_the_same_seed_gives_the_same_detector(detector_class, encoder, normal, held_out):
    fitted = []
    for global_seed in (1, 2):
        torch.manual_seed(global_seed)
        fitted.append(detector_class.Config().build(encoder).fit([normal], [held_out]))
    one, other = (detector.state_dict() for detector in fitted)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_fit_leaves_the_encoder_and_global_randomness_alone(detector, normal, held_out):
    before = {name: value.clone() for name, value in detector.encoder.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    detector.train().fit([normal], [held_out])
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(before[k], v) for k, v in detector.encoder.state_dict().items())


def test_state_dict_round_trip(detector, normal, held_out, tmp_path):
    expected = detector.fit([normal], [held_out])(normal)
    save_file(detector.state_dict(), tmp_path / "weights.safetensors")
    fresh = detector.config.build(Tiny())
    fresh.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    assert torch.equal(fresh(normal).image_score, expected.image_score)
    assert torch.equal(fresh(normal).anomaly_map, expected.anomaly_map)
    assert fresh.threshold == detector.threshold


def test_statistics_are_plain_float64(detector, normal, held_out):
    statistics = detector.fit([normal], [held_out]).statistics()
    assert {"mean", "covariance", "count"} <= {name.rpartition("_")[2] for name in statistics}
    assert all(value.dtype == torch.float64 for value in statistics.values())
    assert max(float(v) for k, v in statistics.items() if k.endswith("count")) == 32 * 36


def test_progress_sees_every_pass(detector, normal, held_out):
    seen = []

    def progress(steps, *, total, description):
        seen.append((description, total))
        return steps

    detector.fit(normal.chunk(4), held_out.chunk(2), progress=progress)
    assert {total for _, total in seen} == {4, 2}
    assert all(description for description, _ in seen)


def test_thresholds_come_from_the_calibration_images(detector, normal, held_out):
    strict = detector.fit([normal], [held_out])(held_out).image_score
    alarms = float((strict >= detector.threshold).double().mean())
    assert alarms <= 0.1
    assert not math.isnan(alarms)
    wide = (held_out - 0.5) * 3 + 0.5
    loose = detector.fit([normal], [wide])(held_out).image_score
    assert loose.max() < strict.max()
