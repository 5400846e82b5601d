import dataclasses

import pytest
import torch

from models.contracts import Recalibrated
from models.encoders.alexnet import AlexNetTrunk
from models.encoders.pretrained import PretrainedTrunk
from models.encoders.slim import SlimTrunk
from models.errors import InvalidInputError, NotFittedError, TrainingError
from models.functional.movement import NUM_MOVEMENTS
from models.functional.receptive_field import votes
from models.one_class._sparse_layer import SparseLayerConfig
from models.one_class.deep_anomaly import DeepAnomaly


@pytest.fixture
def fitted(encoder, normal, held_out):
    return DeepAnomaly.Config().build(encoder).fit([normal], [held_out])


def test_the_score_decides_as_the_cascade_does(fitted, held_out):
    # The paper's rule, word for word, on each place; then the votes on each pixel.
    images = torch.cat([held_out, held_out + 0.15, held_out + 0.4])
    first, second = fitted._distances(images)
    anomalous = first >= fitted.alpha_
    uncertain = (first > fitted.beta_) & ~anomalous
    rejected = anomalous | (uncertain & (second >= fitted.phi_))
    field = fitted.receptive_field
    covering = votes(torch.ones_like(rejected), field, 12, 12).clamp(max=4)
    expected = votes(rejected, field, 12, 12) >= covering
    assert torch.equal(fitted(images).anomaly_map >= fitted.pixel_threshold, expected)
    assert (uncertain & rejected).any()
    assert (uncertain & ~rejected).any()
    assert anomalous.any()


def test_a_tenth_of_the_normal_places_reaches_the_second_gaussian(fitted, held_out):
    first, _ = fitted._distances(held_out)
    assert (first > fitted.beta_).double().mean() == pytest.approx(0.1, abs=0.005)


def test_the_thresholds_are_in_order(fitted):
    assert 0 < fitted.beta_ < fitted.alpha_
    assert fitted.phi_ > 0


def test_false_alarms_on_calibration_images_stay_within_the_rate(encoder, normal, held_out):
    for rate in (0.05, 0.25):
        config = DeepAnomaly.Config(false_alarm_rate=rate)
        detector = config.build(encoder).fit([normal], [held_out])
        alarms = (detector(held_out).image_score >= detector.threshold).double().mean()
        assert rate - 1.5 / 24 < alarms <= rate


def test_the_first_gaussian_is_that_of_all_normal_features(fitted, normal):
    vectors = fitted._features(normal).flatten(end_dim=2).double()
    statistics = fitted.statistics()
    assert vectors.shape[1] == 6 + NUM_MOVEMENTS
    torch.testing.assert_close(statistics["first_mean"], vectors.mean(dim=0))
    torch.testing.assert_close(statistics["first_covariance"], vectors.T.cov(correction=0))


def test_averaging_widens_the_receptive_field():
    for side, expected in ((1, (51, 8, 18)), (3, (67, 8, 26)), (5, (83, 8, 34))):
        detector = DeepAnomaly.Config(neighbourhood=side).build(AlexNetTrunk.Config().build())
        assert detector.receptive_field == expected


def test_constant_images_are_refused(encoder):
    detector = DeepAnomaly.Config().build(encoder)
    with pytest.raises(TrainingError):
        detector.fit([torch.full((4, 1, 12, 12), torch.nan)], [torch.zeros(4, 1, 12, 12)])


def test_no_images_are_refused(encoder, normal):
    detector = DeepAnomaly.Config().build(encoder)
    with pytest.raises(TrainingError):
        detector.fit([], [normal])
    with pytest.raises(TrainingError, match="calibration"):
        detector.fit([normal], [])


@pytest.mark.parametrize(
    "wrong",
    [
        {"false_alarm_rate": 0.0},
        {"settled": 1.0},
        {"movement": -1.0},
        {"change": -1.0},
        {"shrinkage": 1.5},
        {"num_votes": 0},
        {"neighbourhood": 2},
        {"perspective": True},
        {"perspective": True, "flow": "blocks", "movement": 0.0},
    ],
)
def test_values_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        DeepAnomaly.Config(**wrong)


def test_it_localises_and_its_gaussian_counts_every_place(fitted, normal):
    assert fitted(normal).anomaly_map.shape == (32, 12, 12)
    counts = [float(v) for name, v in fitted.statistics().items() if name.endswith("count")]
    assert max(counts) == 32 * 36


def test_progress_shows_the_passes_over_the_batches(encoder, normal, held_out):
    totals = set()

    def progress(steps, *, total, description):
        totals.add(total)
        return steps

    detector = DeepAnomaly.Config().build(encoder)
    detector.fit(normal.chunk(4), held_out.chunk(2), progress=progress)
    assert totals == {4, 2}


def test_recalibration_sets_the_thresholds_of_a_fit_and_leaves_the_statistics(
    fitted, encoder, normal, held_out
):
    wide = (held_out - 0.5) * 1.5 + 0.5
    before = {name: value.clone() for name, value in fitted.state_dict().items()}
    first = DeepAnomaly.Config().build(encoder).fit([normal], [wide])
    after = fitted.recalibrate([wide]).state_dict()
    assert {name for name in before if not torch.equal(before[name], after[name])} == {
        "alpha_",
        "beta_",
        "phi_",
    }
    assert torch.equal(after["beta_"], first.beta_)
    assert torch.equal(after["alpha_"], first.alpha_)
    assert (fitted(wide).image_score >= fitted.threshold).double().mean() <= 0.1


def test_recalibration_needs_a_fitted_detector_and_images(fitted, encoder, held_out):
    with pytest.raises(NotFittedError, match="Call fit"):
        DeepAnomaly.Config().build(encoder).recalibrate([held_out])
    with pytest.raises(TrainingError, match="calibration images, got none"):
        fitted.recalibrate([])


def test_it_can_be_carried_over_to_another_camera(fitted):
    assert isinstance(fitted, Recalibrated)


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
    config = DeepAnomaly.Config(
        flow="blocks",
        neighbourhood=1,
        perspective=True,
        layer=SparseLayerConfig(kernels=8, num_samples=500, epochs=1),
    )
    torch.manual_seed(0)
    detector = config.build(SlimTrunk.Config(width=4).build()).fit([normal], [normal])
    plain = dataclasses.replace(config, perspective=False).build(detector.encoder)
    upper, lower = slice(0, 3), slice(5, 8)

    def ratio(model):
        speeds = model._features(normal)[..., model.encoder.embedding_dim]
        return float(speeds[:, lower].max() / speeds[:, upper].max())

    assert detector.statistics()["perspective"][1] > 0
    assert ratio(detector) < 0.8 * ratio(plain)


def test_it_runs_on_stills_in_colour_with_a_pretrained_trunk():
    trunk = PretrainedTrunk.Config(layers=("blocks.1", "blocks.2")).build().load_pretrained()
    draw = torch.Generator().manual_seed(0)
    images = (0.5 + 0.02 * torch.randn(48, 3, 64, 64, generator=draw)).clamp(0, 1)
    config = DeepAnomaly.Config(movement=0.0, layer=SparseLayerConfig(kernels=8, epochs=1))
    detector = config.build(trunk).fit([images[:24]], [images[24:]])
    spoilt = images[:2].clone()
    spoilt[:, :, 24:40, 24:40] = 1 - spoilt[:, :, 24:40, 24:40] * 1.9
    scores = detector(spoilt)
    assert (scores.image_score >= detector.threshold).all()
    assert scores.anomaly_map[:, 32, 32].min() > scores.anomaly_map[:, 4, 4].max()
