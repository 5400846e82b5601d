import pytest
import torch

from models.contracts import Recalibrated
from models.encoders.alexnet import AlexNetTrunk
from models.encoders.pretrained import PretrainedTrunk
from models.errors import InvalidInputError, NotFittedError, TrainingError
from models.functional.receptive_field import votes
from models.functional.thresholds import next_larger
from models.one_class.deep_anomaly import (
    DeepAnomaly,
    SparseLayerConfig,
    cascade_score,
    train_sparse_layer,
)


@pytest.fixture
def fitted(encoder, normal, held_out):
    return DeepAnomaly.Config().build(encoder).fit([normal], [held_out])


def test_the_score_decides_as_the_cascade_does(fitted, held_out):
    # The paper's rule, word for word, on each place; then the votes on each pixel.
    images = torch.cat([held_out, held_out + 0.15, held_out + 0.4])
    first, second = fitted._distances(fitted._features(images))
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
    first, _ = fitted._distances(fitted._features(held_out))
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
    assert vectors.shape[1] == 6
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
        {"normal_share": 1.0},
        {"shrinkage": 1.5},
        {"num_votes": 0},
        {"neighbourhood": 2},
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
    assert totals == {4, 2, 30}  # batches twice each, and steps of the sparse layer


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


def test_the_cascade_ranks_by_the_distance_that_decides():
    draw = torch.Generator().manual_seed(0)
    first, second = 4 * torch.rand(2, 5000, generator=draw)
    alpha, beta, phi = torch.tensor([3.0, 1.0, 2.0])
    score = cascade_score(first, second, alpha=alpha, beta=beta, phi=phi)
    normal, anomalous = first <= beta, first >= alpha
    uncertain = ~normal & ~anomalous
    assert torch.equal(score >= 1, anomalous | (uncertain & (second >= phi)))
    for kind, distance in ((normal, first), (uncertain, second), (anomalous, first)):
        assert (score[kind][distance[kind].argsort()].diff() >= 0).all()
    assert score[normal].max() <= 0.5 <= score[uncertain].min()
    assert score[uncertain].max() < 2 <= score[anomalous].min()


def test_scores_beside_the_threshold_fall_on_the_right_side():
    phi = torch.tensor(0.7)
    below = -next_larger(-phi)
    alpha, beta = torch.tensor(3.0), torch.tensor(1.0)
    first = torch.tensor([2.0, 2.0, 2.0])
    second = torch.stack([below, phi, torch.tensor(1e30)])
    score = cascade_score(first, second, alpha=alpha, beta=beta, phi=phi)
    assert (score >= 1).tolist() == [False, True, True]
    assert score[2] < 2


def test_two_uncertain_images_are_told_apart_by_the_second_gaussian(fitted, held_out):
    features = fitted._features(held_out + 0.15)
    first, second = fitted._distances(features)
    uncertain = (first > fitted.beta_) & (first < fitted.alpha_)
    alpha, beta, phi = (each.to(first) for each in (fitted.alpha_, fitted.beta_, fitted.phi_))
    score = cascade_score(first, second, alpha=alpha, beta=beta, phi=phi)
    order = second[uncertain].argsort()
    assert (score[uncertain][order].diff() >= 0).all()
    assert (first[uncertain][order].diff() < 0).any()


CONFIG = SparseLayerConfig(kernels=12, epochs=40, num_samples=2000)


@pytest.fixture
def samples():
    draw = torch.Generator().manual_seed(0)
    return torch.randn(2000, 3, generator=draw) @ torch.randn(3, 8, generator=draw) + 20


def rates(samples, config):
    kernels, biases = train_sparse_layer(samples, torch.ones(8), config, seed=0)
    return (samples @ kernels.T + biases).sigmoid().mean(dim=0)


def test_a_heavier_penalty_makes_units_active_as_rarely_as_wanted(samples):
    means = [
        rates(samples, SparseLayerConfig(kernels=12, epochs=40, sparsity_weight=weight)).mean()
        for weight in (0.0, 3.0, 30.0)
    ]
    assert means[0] > means[1] > means[2]
    assert means[2].item() == pytest.approx(CONFIG.sparsity, abs=0.03)


def test_the_scale_is_folded_into_the_layer(samples):
    factors = torch.tensor([1.0, 5, 0.2, 1, 1, 3, 1, 1])
    kernels, biases = train_sparse_layer(samples, torch.ones(8), CONFIG, seed=0)
    scaled, scaled_biases = train_sparse_layer(samples / factors, factors, CONFIG, seed=0)
    expected = samples @ kernels.T + biases
    torch.testing.assert_close(
        (samples / factors) @ scaled.T + scaled_biases, expected, rtol=1e-2, atol=5e-2
    )


def test_global_randomness_is_left_alone(samples):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    train_sparse_layer(samples, torch.ones(8), CONFIG, seed=0)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loss_that_is_not_finite_is_refused(samples):
    samples[0, 0] = torch.inf
    with pytest.raises(TrainingError, match="must be finite"):
        train_sparse_layer(samples, torch.ones(8), CONFIG, seed=0)


@pytest.mark.parametrize("wrong", [{"kernels": 0}, {"sparsity": 1.0}, {"learning_rate": 0.0}])
def test_values_of_the_layer_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidInputError, match=next(iter(wrong))):
        SparseLayerConfig(**wrong)


def test_weight_decay_leaves_the_biases_where_they_start(samples):
    # So heavy a decay that nothing else counts: weights go to nothing, biases stay.
    heavy = SparseLayerConfig(kernels=12, epochs=60, num_samples=2000, weight_decay=1e4)
    kernels, biases = train_sparse_layer(samples, torch.ones(8), heavy, seed=0)
    activations = (samples @ kernels.T + biases).sigmoid()
    assert activations.mean().item() == pytest.approx(heavy.sparsity, abs=0.01)


def test_it_runs_on_stills_in_colour_with_a_pretrained_trunk():
    trunk = PretrainedTrunk.Config(layers=("blocks.1", "blocks.2")).build().load_pretrained()
    draw = torch.Generator().manual_seed(0)
    images = (0.5 + 0.02 * torch.randn(48, 3, 64, 64, generator=draw)).clamp(0, 1)
    config = DeepAnomaly.Config(neighbourhood=3, layer=SparseLayerConfig(kernels=8, epochs=1))
    detector = config.build(trunk).fit([images[:24]], [images[24:]])
    spoilt = images[:2].clone()
    spoilt[:, :, 24:40, 24:40] = 1 - spoilt[:, :, 24:40, 24:40] * 1.9
    scores = detector(spoilt)
    assert (scores.image_score >= detector.threshold).all()
    assert scores.anomaly_map[:, 32, 32].min() > scores.anomaly_map[:, 4, 4].max()
