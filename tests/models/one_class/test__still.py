import pytest
import torch

from models.capabilities import CrossConformal, Restricted
from models.errors import InvalidInputError, NotFittedError, TrainingError
from models.one_class import _still
from models.one_class._still import Groups, layer_names
from models.one_class.gaussian_features import GaussianFeatures
from models.one_class.padim import PaDiM
from models.one_class.patchcore import PatchCore
from tests.models.conftest import noise
from tests.models.tiny import Tiny

STILLS = [PaDiM, PatchCore, GaussianFeatures]
each_detector = pytest.mark.parametrize("kind", STILLS, ids=lambda c: c.__name__)


def built(kind, **settings):
    torch.manual_seed(0)
    return kind.Config(**settings).build(Tiny())


def groups_of(batches, num=5):
    return Groups(batches, lambda images: images.permute(0, 2, 3, 1), num)


@each_detector
def test_held_out_scores_are_those_of_a_fit_without_the_group(kind):
    images = noise(30, 0)
    settings = {"coreset": 1.0} if kind is PatchCore else {}  # else groups of 5 and of 6 differ
    detector = built(kind, **settings).fit(images.split(7))
    assert isinstance(detector, CrossConformal)
    first = torch.arange(30) % 5 == 0
    expected = built(kind, **settings).fit([images[~first]], [noise(24, 1)])(images[first])
    torch.testing.assert_close(
        detector.held_out_.image_score[first].float(), expected.image_score, rtol=1e-4, atol=1e-4
    )
    assert len(detector.held_out_.peak) == 30


@each_detector
def test_the_threshold_is_the_conformal_one_of_held_out_scores(kind):
    detector = built(kind, false_alarm_rate=0.1).fit([noise(40, 0)])
    held_out = detector.held_out_.image_score
    # 41 places, of which at most a tenth, 4, lie at or above the threshold, the new image's own
    # included: so 3 calibration scores do.
    assert int((held_out >= detector.threshold).sum()) == 3


@each_detector
def test_a_promise_that_too_few_images_cannot_keep_is_refused(kind):
    detector = built(kind)
    with pytest.raises(TrainingError, match=r"0.05 needs 19 normal images.*got 12.*0.0769"):
        detector.fit([noise(12, 0)])
    with pytest.raises(NotFittedError):
        detector(noise(2, 0))
    with pytest.raises(TrainingError, match=r"needs (19 normal|at least 2) images.*got 1"):
        detector.fit([noise(1, 0)])
    with pytest.raises(TrainingError, match="Training needs images, got none"):
        detector.fit([])
    built(kind, false_alarm_rate=0.2).fit([noise(12, 0)])


@each_detector
def test_images_that_are_not_numbers_are_refused(kind):
    images = noise(24, 0)
    images[3, 0, 2, 2] = torch.nan
    with pytest.raises(TrainingError, match="must be finite"):
        built(kind).fit([images])


@each_detector
def test_nothing_outside_the_region_of_interest_matters(kind):
    images, others = noise(30, 0), noise(30, 0)
    roi = torch.zeros(12, 12, dtype=torch.bool)
    roi[:, :4] = True
    others[:, :, :, 9:] = 7.0
    detectors = [built(kind).restrict(roi) for _ in range(2)]
    assert isinstance(detectors[0], Restricted)
    for detector, seen in zip(detectors, (images, others), strict=True):
        detector.fit([seen])
    assert detectors[0].threshold == pytest.approx(detectors[1].threshold, rel=1e-5)
    spoilt = images[:2].clone()
    spoilt[:, :, 2:10, 9:] += 5
    before, after = detectors[0](images[:2]), detectors[0](spoilt)
    torch.testing.assert_close(before.image_score, after.image_score)
    if after.anomaly_map is not None:
        assert not after.anomaly_map[:, :, 4:].any()


@each_detector
def test_the_region_of_interest_is_kept_with_the_weights(kind):
    roi = torch.zeros(12, 12, dtype=torch.bool)
    roi[:6] = True
    detector = built(kind).restrict(roi).fit([noise(30, 0)])
    fresh = built(kind)
    fresh.load_state_dict(detector.state_dict())
    assert torch.equal(fresh(noise(2, 3)).image_score, detector(noise(2, 3)).image_score)
    with pytest.raises(InvalidInputError, match="size of the images, 16 x 16, got 12 x 12"):
        fresh(torch.rand(1, 1, 16, 16))
    with pytest.raises(NotFittedError):
        fresh.restrict(None)(noise(2, 3))


def test_an_empty_region_of_interest_is_refused():
    with pytest.raises(InvalidInputError, match="at least one pixel, got an empty mask of 4 x 6"):
        built(PaDiM).restrict(torch.zeros(4, 6, dtype=torch.bool))


@pytest.mark.parametrize("kind", [PaDiM, PatchCore])
def test_the_edge_of_the_region_of_interest_is_judged_like_its_middle(kind):
    roi = torch.zeros(12, 12, dtype=torch.bool)
    roi[:, :6] = True
    detector = built(kind).restrict(roi).fit([noise(30, 0)])
    found = detector._scores(torch.full((1, 6, 6), 3.0), torch.Size((12, 12))).anomaly_map
    torch.testing.assert_close(found[0, :, :6], torch.full((12, 6), 3.0))
    assert not found[0, :, 6:].any()


@pytest.mark.parametrize("kind", [PaDiM, PatchCore])
def test_an_image_scores_the_peak_of_its_map(kind):
    scores = built(kind).fit([noise(30, 0)])(noise(5, 2))
    assert torch.equal(scores.image_score, scores.anomaly_map.amax(dim=(1, 2)))


@each_detector
def test_another_camera_sets_its_own_threshold(kind):
    detector = built(kind).fit([noise(30, 0)])
    narrow = detector.threshold
    detector.recalibrate([(noise(24, 1) - 0.5) * 3 + 0.5])
    assert detector.threshold > narrow


def test_images_are_dealt_to_groups_in_turn_whatever_the_batches():
    images = noise(23, 0)
    for batches in (images.split(4), images.split(23), images.split(1)):
        groups = groups_of(batches)
        found = list(groups)
        assert [len(group) for group in found] == [5, 5, 5, 4, 4]
        for number, group in enumerate(found):
            assert torch.equal(group, images[number::5].permute(0, 2, 3, 1))
            assert groups.numbers[number].tolist() == list(range(number, 23, 5))
        assert all(map(torch.equal, found, groups))
        assert (groups.num_images, groups.size) == (23, (12, 12))


def test_features_that_are_too_many_to_keep_are_computed_again(monkeypatch):
    images, seen = noise(23, 0), []

    def batches():
        seen.append(1)
        yield from images.split(4)

    class Batches:
        def __iter__(self):
            return batches()

    monkeypatch.setattr(_still, "KEPT_BYTES", images[:9].numel() * 4)
    groups = groups_of(Batches())
    once, twice = list(groups), list(groups)
    assert len(seen) == 2
    assert [len(group) for group in once] == [len(group) for group in twice]
    assert len(once) > 5
    assert torch.equal(torch.cat(once), torch.cat(twice))
    assert torch.equal(torch.cat(once), images.permute(0, 2, 3, 1))
    assert torch.cat(groups.numbers).tolist() == list(range(23))


def test_images_of_two_sizes_are_refused():
    with pytest.raises(InvalidInputError, match=r"one size, got \(8, 8\) after \(12, 12\)"):
        list(groups_of([noise(2, 0), torch.rand(2, 1, 8, 8)]))


def test_an_encoder_without_named_layers_is_one_layer():
    assert layer_names(Tiny()) == (("Tiny", 6),)


@pytest.mark.parametrize("settings", [{"neighbourhood": 2}, {"smoothing": -1.0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidInputError, match="must be odd and smoothing >= 0"):
        PaDiM.Config(**settings)
