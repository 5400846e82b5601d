"""Every detector on disk keeps the promises of ``models.contracts.Detector``.

Other families import the promises that they keep too; the fixtures stand in ``tests/models``.
"""

import dataclasses
import math

import pytest
import torch
from safetensors.torch import load_file, save_file

from models.contracts import Detector, DetectorConfig
from models.errors import NotFittedError
from tasks.packaging import make_program


def test_satisfies_the_protocols(detector_class, detector):
    assert isinstance(detector_class.Config(), DetectorConfig)
    assert issubclass(detector_class, torch.nn.Module)
    members = {name for name in vars(Detector) if not name.startswith("_")}
    assert members <= set(dir(detector_class))


def test_config_is_frozen_and_kept(config, detector):
    assert detector.config == config
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
    # What has a length that the images decide is empty before.
    shapes = {name: value.shape for name, value in detector.state_dict().items() if value.numel()}
    detector.fit([normal], [held_out])
    state = detector.state_dict()
    assert all(value.isfinite().all() for value in state.values())
    assert shapes == {name: state[name].shape for name in shapes}


def test_anomalies_score_above_normal_images(fitted, normal, anomalous):
    scores = fitted(anomalous).image_score
    assert scores.min() > fitted(normal).image_score.max()
    assert scores.min() >= fitted.threshold


def test_an_anomalous_spot_is_found_where_it_is(detector, normal, held_out, from_pixels):
    normal, held_out = (part.repeat(1, 1, 2, 2) for part in (normal, held_out))
    detector.fit([normal], [held_out])
    spotted = normal.clone()
    spotted[:, :, 2:8, 14:20] += 5
    anomaly_map = detector(spotted).anomaly_map
    if anomaly_map is None:  # such a detector sees the spot, not where it is
        assert detector.pixel_threshold == detector.threshold
        return
    assert anomaly_map.shape == (32, 24, 24)
    spot, elsewhere = anomaly_map[:, 2:8, 14:20], anomaly_map[:, 15:, :7]
    assert spot.mean() > elsewhere.mean()
    trained_briefly = type(detector).__name__ == "SimpleNet"
    if not from_pixels and not trained_briefly:  # whose patches are half of the image
        assert (spot >= detector.pixel_threshold).double().mean() > 0.9
        assert (elsewhere >= detector.pixel_threshold).double().mean() < 0.1


def test_the_image_is_anomalous_exactly_if_a_pixel_is(fitted, normal):
    scores = fitted(torch.cat([normal, normal + 0.3, normal + 3]))
    alarms = scores.image_score >= fitted.threshold
    assert alarms.any()
    assert not alarms.all()
    if scores.anomaly_map is not None:
        by_pixels = scores.anomaly_map >= fitted.pixel_threshold
        assert torch.equal(alarms, by_pixels.flatten(1).any(1))


def test_scores_do_not_depend_on_the_batch_size(fitted, normal):
    whole = fitted(normal)
    split = [fitted(part) for part in normal.chunk(5)]
    for place, value in enumerate(whole):
        parts = [part[place] for part in split]
        if value is None:
            assert parts == [None] * 5
        else:
            torch.testing.assert_close(value, torch.cat(parts))


def test_fit_does_not_depend_on_the_batch_size(fitted, detector, normal, held_out):
    whole = fitted(normal).image_score
    split = detector.fit(normal.chunk(3), held_out.chunk(5))(normal).image_score
    torch.testing.assert_close(whole, split, rtol=1e-3, atol=1e-4)


def test_a_second_fit_forgets_the_first(fitted, detector, normal, held_out, anomalous):
    once = fitted(normal).image_score
    detector.fit([anomalous], [anomalous.flip(-1)])
    twice = detector.fit([normal], [held_out])(normal).image_score
    torch.testing.assert_close(once, twice)


def test_the_same_seed_gives_the_same_detector(fitted, config, encoder, normal, held_out):
    torch.manual_seed(2)  # another global one
    one, other = fitted.state_dict(), config.build(encoder).fit([normal], [held_out]).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_fit_leaves_the_encoder_and_global_randomness_alone(detector, normal, held_out):
    before = {name: value.clone() for name, value in detector.encoder.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    detector.train().fit([normal], [held_out])
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(before[k], v) for k, v in detector.encoder.state_dict().items())


def test_state_dict_round_trip(fitted, normal, tmp_path):
    expected = fitted(normal)
    save_file(fitted.state_dict(), tmp_path / "weights.safetensors")
    fresh = fitted.config.build(fitted.encoder.config.build())
    fresh.load_state_dict(load_file(tmp_path / "weights.safetensors"))
    for value, other in zip(expected, fresh(normal), strict=True):
        assert (other is None) if value is None else torch.equal(other, value)
    assert fresh.threshold == fitted.threshold
    assert fresh.pixel_threshold == fitted.pixel_threshold


def test_statistics_are_plain_float64(fitted):
    statistics = fitted.statistics()
    assert statistics
    assert all(value.dtype == torch.float64 for value in statistics.values())
    assert all(value.isfinite().all() for value in statistics.values())
    parts = {name.rpartition("_")[2] for name in statistics}
    assert "covariance" not in parts or {"mean", "covariance", "count"} <= parts


def test_progress_sees_every_pass(detector, normal, held_out):
    seen = []

    def progress(steps, *, total, description):
        seen.append([description, total, 0])
        place = seen[-1]
        for step in steps:
            place[2] += 1
            yield step

    detector.fit(normal.chunk(4), held_out.chunk(2), progress=progress)
    assert seen
    assert all(description and 0 < taken <= total for description, total, taken in seen)


def test_thresholds_come_from_the_calibration_images(fitted, detector, normal, held_out, wide):
    strict = fitted(held_out).image_score - fitted.threshold
    alarms = float((strict >= 0).double().mean())
    assert alarms <= 0.1
    assert not math.isnan(alarms)
    loose = detector.fit([normal], [wide])(held_out).image_score - detector.threshold
    assert loose.max() < strict.max()


def test_it_becomes_a_program_that_scores_alike(fitted, normal, tmp_path):
    record = make_program.write(tmp_path, fitted, (normal[:5].clamp(0, 1) * 255).byte())
    assert record["usable"], record
    assert record["input"]["shape"] == ["N", *normal.shape[1:]]
    assert ("anomaly_map" in record["outputs"]) == (fitted(normal).anomaly_map is not None)
