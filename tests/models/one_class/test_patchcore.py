import pytest
import torch

from models.capabilities import Box, TracesPatches
from models.errors import InvalidInputError, TrainingError
from models.functional.coreset import greedy_coreset
from models.one_class import _still, patchcore
from models.one_class._still import StillDetector
from models.one_class.patchcore import PatchCore
from tasks.packaging import make_program
from tests.models.conftest import noise
from tests.models.tiny import Tiny


def built(**settings):
    torch.manual_seed(0)
    return PatchCore.Config(**settings).build(Tiny())


@pytest.fixture
def few_are_enough(monkeypatch):
    """What is usual at a place is told from ten images on."""
    monkeypatch.setattr(_still, "FEWEST", 10)


def rows_of(detector):
    """Patches and where they are from, without the numbers of groups."""
    return sorted(torch.cat([detector.origin_[:, :3].float(), detector.memory_], 1).tolist())


def test_distances_are_to_the_nearest_of_all_patches():
    images, others = noise(30, 0), noise(24, 1)
    detector = built(coreset=1.0, num_neighbours=1, smoothing=0.0).fit([images], [others])
    every = detector._embed(images).flatten(0, 2)
    assert len(detector.memory_) == len(every)
    expected = torch.cdist(detector._embed(others), every[None]).amin(dim=-1)
    found = detector._distances(detector._embed(others))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-3)


@pytest.fixture
def few_features_are_many(monkeypatch):
    """Also few features are searched by along their principal axes."""
    monkeypatch.setattr(patchcore, "MANY", 2)
    monkeypatch.setattr(patchcore, "VARIANCE", 0.97)


def test_the_nearest_patch_is_searched_along_the_axes_that_hold_most_of_the_variance():
    torch.manual_seed(0)
    memory = torch.randn(500, 80) * torch.linspace(1, 0, 80) ** 4
    axes = patchcore.principal_axes(memory)
    torch.testing.assert_close(axes.mT @ axes, torch.eye(axes.shape[1]), rtol=0, atol=1e-5)
    kept = ((memory - memory.mean(dim=0)) @ axes).square().sum()
    share = kept / (memory - memory.mean(dim=0)).square().sum()
    assert patchcore.VARIANCE <= share < patchcore.VARIANCE + 0.03
    assert patchcore.principal_axes(memory[:, :60]).shape == (60, 0)


def test_along_the_axes_patches_are_found_that_are_hardly_farther(few_features_are_many):
    images, others = noise(30, 0), noise(24, 1)
    found = built(coreset=0.5, num_neighbours=1, smoothing=0.0).fit([images], [others])
    assert 0 < found.axes_.shape[1] < found.axes_.shape[0]
    apart = torch.cdist(found._embed(others).flatten(0, 2), found.memory_).amin(dim=1)
    distances = found._distances(found._embed(others)).flatten()
    assert (distances >= apart - 1e-3).all()
    assert distances.mean() < 1.05 * apart.mean()
    own, numbers = found._nearest(found.memory_, found.memory_)
    assert own.max() == 0  # a patch of the memory is nearest to itself
    assert torch.equal(found.memory_[numbers], found.memory_)


def test_axes_are_those_of_the_memory_after_each_change(few_features_are_many):
    whole = built(coreset=1.0).fit([noise(30, 0)])
    part = built(coreset=1.0).fit([noise(30, 0)[:20]]).add([noise(30, 0)[20:]])
    for detector in (whole, part, part.forget([3, 25])):
        torch.testing.assert_close(detector.axes_, patchcore.principal_axes(detector.memory_))


def test_the_weight_is_that_of_equation_7():
    images = noise(30, 0)
    plain, weighed = (built(coreset=0.2, num_neighbours=num).fit([images]) for num in (1, 4))
    features = plain._embed(noise(1, 3))
    distances = plain._distances(features)[0]
    worst = features[0].flatten(0, 1)[distances.argmax()]
    nearest = plain.memory_[(plain.memory_ - worst).norm(dim=1).argmin()]
    support = (plain.memory_ - nearest).norm(dim=1).argsort()[:4]
    apart = (plain.memory_[support] - worst).norm(dim=1).exp()
    torch.testing.assert_close(
        weighed._distances(features)[0], distances * (1 - apart[0] / apart.sum())
    )


def test_an_image_is_judged_by_what_is_usual_at_each_place(few_are_enough):
    images = noise(40, 0)
    images[:, :, :, 6:] = 0.5 + 4 * (images[:, :, :, 6:] - 0.5)  # restless in all of them
    detector = built(coreset=0.3).fit([images])
    quiet, restless = images[:8].clone(), images[:8].clone()
    quiet[:, :, 3:7, 2:4] += 4
    restless[:, :, 3:7, 8:10] += 4
    scores, others = detector(quiet), detector(restless)
    assert scores.image_score.mean() > others.image_score.mean() + 1
    assert (scores.image_score >= detector.threshold).double().mean() > 0.9
    peaks = scores.anomaly_map.amax(dim=(1, 2))
    assert not torch.equal(peaks, scores.image_score)


def test_each_image_that_sets_the_threshold_is_judged_without_itself(few_are_enough):
    images = noise(30, 0)
    detector = built(coreset=0.3, smoothing=0.0, false_alarm_rate=0.2).fit([images], [images[:12]])
    distances = detector._distances(detector._embed(images[:12]))
    others = torch.stack([distances[torch.arange(12) != k].mean(dim=0) for k in range(12)])
    apart = (distances - others) / detector.places_[1]
    expected = StillDetector._scores(detector, apart, images.shape[-2:]).image_score
    found = detector.held_out_.image_score.float()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_with_few_images_the_peak_of_a_map_is_the_score():
    detector = built().fit([noise(_still.FEWEST - 1, 0)])
    scores = detector(noise(3, 1))
    assert torch.equal(scores.image_score, scores.anomaly_map.amax(dim=(1, 2)))
    assert detector.threshold == detector.pixel_threshold
    assert built().fit([noise(_still.FEWEST, 0)]).places_.shape == (2, 6, 6)


def test_without_places_the_peak_of_a_map_is_the_score(few_are_enough):
    detector = built(by_place=False).fit([noise(30, 0)], [noise(20, 1)])
    scores = detector(noise(3, 2))
    assert torch.equal(scores.image_score, scores.anomaly_map.amax(dim=(1, 2)))
    assert detector.threshold == detector.pixel_threshold
    assert "places" not in detector.statistics()


def test_a_detector_of_before_scores_as_it_did(few_are_enough):
    detector, images = built().fit([noise(30, 0)]), noise(3, 1)
    state = detector.state_dict()
    for name in ("places_", "pixel_threshold_", "axes_"):
        del state[name]
    former = built()
    former.load_state_dict(state)
    scores = former(images)
    assert torch.equal(scores.anomaly_map, detector(images).anomaly_map)
    assert torch.equal(scores.image_score, scores.anomaly_map.amax(dim=(1, 2)))
    assert former.pixel_threshold == former.threshold


def test_calibration_images_of_two_sizes_are_refused():
    with pytest.raises(InvalidInputError, match=r"one size, got \(16, 16\) after \(12, 12\)"):
        # an iterator: the shapes of a list are checked by these tests' annotations already
        built().fit([noise(30, 0)], iter([noise(20, 1), torch.rand(4, 1, 16, 16)]))


def test_an_image_of_another_size_is_judged_by_places_between(few_are_enough):
    detector = built(coreset=0.3).fit([noise(30, 0)])
    assert detector.places_.shape == (2, 6, 6)
    assert detector(torch.rand(2, 1, 20, 16)).image_score.isfinite().all()


def test_a_region_names_the_training_image_and_place_it_is_nearest_to():
    images = noise(30, 0)
    detector = built(coreset=1.0).fit([images])
    assert isinstance(detector, TracesPatches)
    (found,) = detector.nearest_patches(images[17], [Box(4, 4, 8, 8)])
    assert (found.image, found.box) == (17, found.place)
    assert found.distance == pytest.approx(0, abs=1e-5)
    moved = torch.cat([images[3, :, :, 2:], images[3, :, :, :2]], dim=2)
    (found,) = detector.nearest_patches(moved, [Box(4, 4, 6, 6)])
    assert found.image == 3
    assert (found.box.left, found.box.top) == (found.place.left + 2, found.place.top)


def test_patches_know_their_image_with_a_region_of_interest_too():
    images = noise(30, 0)
    roi = torch.zeros(12, 12, dtype=torch.bool)
    roi[2:9, 4:] = True
    detector = built(coreset=0.3).restrict(roi).fit([images])
    features = detector._embed(images)
    image, row, column, _ = detector.origin_.unbind(dim=1)
    assert torch.equal(features[image, row, column], detector.memory_)
    assert column.min() == 2
    assert (row.min(), row.max()) == (1, 4)


def test_added_images_are_what_a_fit_on_the_same_groups_remembers():
    images, more = noise(25, 0), noise(25, 1)
    added = built(coreset=0.1).fit([images]).add([more])
    alone = built(coreset=0.1).fit([more])
    torch.testing.assert_close(added.memory_[-len(alone.memory_) :], alone.memory_)
    assert added.origin_[-1, 0] >= 25
    assert added.origin_[:, 3].max() == 9
    before = added.threshold
    added.add([noise(5, 2)], [(noise(24, 3) - 0.5) * 3 + 0.5])
    assert added.threshold > before


def test_forgetting_a_group_is_exact():
    images = noise(30, 0)
    forgot = built(coreset=0.1).fit([images]).forget(range(4, 30, 5))
    features = forgot._embed(images).flatten(1, 2)
    coresets = [features[first::5].flatten(0, 1) for first in range(4)]
    expected = torch.cat([each[greedy_coreset(each, 22)] for each in coresets])
    assert torch.equal(forgot.memory_, expected)


def test_no_patch_of_a_forgotten_image_is_left_and_no_other_is_touched():
    detector = built(coreset=0.3).fit([noise(30, 0)])
    before = rows_of(detector)
    detector.forget([3, 11])
    assert rows_of(detector) == [row for row in before if row[0] not in (3, 11)]
    assert len(rows_of(detector)) < len(before)


def test_images_that_were_not_seen_cannot_be_forgotten():
    detector = built().fit([noise(30, 0)])
    for images in ([30], [-1], range(30)):
        with pytest.raises(InvalidInputError, match="among the 30 that were seen"):
            detector.forget(images)


def test_the_memory_is_a_share_of_each_group():
    detector = built(coreset=0.1).fit([noise(30, 0)])
    sizes = torch.bincount(detector.origin_[:, 3])
    assert sizes.tolist() == [22] * 5  # 6 images of 36 places: 21.6, rounded up


def test_a_single_group_cannot_judge_itself():
    with pytest.raises(TrainingError, match="needs 19 normal images"):
        built().fit([noise(1, 0)])


@pytest.mark.parametrize("settings", [{"coreset": 0.0}, {"num_neighbours": 0}])
def test_settings_out_of_range_are_refused(settings):
    with pytest.raises(InvalidInputError, match="coreset must be in"):
        PatchCore.Config(**settings)


def test_the_program_knows_what_was_learned_as_exactly_as_torch_does(tmp_path):
    images, others = ((noise(30, seed).clamp(0, 1) * 255).byte() for seed in (0, 1))
    detector = built(coreset=1.0).fit([images / 255], [others / 255])
    record = make_program.write(tmp_path, detector, torch.cat([images[:3], others[:2]]))
    assert record["usable"], record
    assert record["parity"]["anomaly_map"] < 1e-5
