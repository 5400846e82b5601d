from dataclasses import dataclass

import numpy as np
import pytest
import torch

from models.encoders.small import SmallTrunk
from models.functional.drift import Reference, whitened_distance
from models.one_class.knn import NearestNeighbours
from models.one_class.pooled_gaussian import PooledGaussian
from tasks.data import snapshots
from tasks.data.ingest import ingest
from tasks.records import Training
from tasks.training import inputs, normal_windows
from tasks.training.normal_windows import cut, measure
from tests.tasks.pictures import save
from tests.tasks.serving.monitoring.test_recorder import stripes

TRAINING = Training(batch_size=8, device="cpu")


@dataclass(frozen=True)
class Extent:
    """As much of a clip as cutting looks at."""

    frames: tuple[int, ...]


def clip(num):
    return Extent(tuple(range(num)))


def test_a_clip_is_a_window_unless_it_is_long():
    found = cut([clip(40), clip(45), clip(5)], 6, 60)
    assert [window.num_frames for window in found] == [35, 40]
    parts = cut([clip(105)], 6, 40)
    assert [window.num_frames for window in parts] == [50, 50]
    first, second = (window.clips[0].frames for window in parts)
    assert (first[0], first[-1], second[0], second[-1]) == (0, 54, 50, 104)


def test_still_images_are_grouped():
    stills = [clip(1)] * 11
    assert [window.num_frames for window in cut(stills, 1, 4)] == [5, 6]
    assert [window.num_frames for window in cut(stills, 1, 20)] == [11]
    assert cut([], 1, 4) == []


@pytest.fixture(scope="module")
def snapshot(shared_repository):
    source = shared_repository.parent / "source"
    for place, image in enumerate(stripes(24, 0)):
        save(source / "train" / "good" / f"{place:03}.png", image)
        save(source / "test" / "good" / f"{place:03}.png", image // 2)
    return snapshots.open_version(ingest.fn("stripes", source))


def normal_of(snapshot, *, cross=False):
    return inputs.normal_images(snapshot, TRAINING, (), cross=cross)


@pytest.fixture(scope="module")
def fitted(snapshot):
    torch.manual_seed(0)
    model = PooledGaussian.Config(movement=0.0).build(SmallTrunk.Config(width=2).build())
    return model.fit(*inputs.normal_batches(snapshot, TRAINING))


def test_held_out_windows_are_compared_with_the_gaussian_and_others_with_each_other(
    snapshot, fitted
):
    learned, held_out = inputs.normal_clips(snapshot, TRAINING)
    found = measure(fitted, snapshot, normal_of(snapshot), TRAINING)
    known, other = cut(learned, 1, 3), cut(held_out, 1, 3)
    assert found["window_frames"].tolist() == [w.num_frames for w in (*known, *other)]

    def vectors(windows):
        clips = [clip for window in windows for clip in window.clips]
        images = np.stack([snapshot.read_clip(clip, None, 1)[0] for clip in clips])
        batch = torch.from_numpy(images[:, None]).float() / 255
        return fitted.observe(batch).features.flatten(end_dim=1).double().numpy()

    def moments(samples):
        return samples.mean(axis=0), np.cov(samples, rowvar=False, bias=True)

    reference = Reference(*(each.numpy() for each in fitted.reference()))
    last = whitened_distance(*moments(vectors(other[-1:])), *reference)
    assert found["window_distance"][-1] == pytest.approx(last)
    rest = moments(vectors(known[1:]))
    first = whitened_distance(*moments(vectors(known[:1])), *rest, reference.whitener)
    assert found["window_distance"][0] == pytest.approx(first)


def test_windows_are_few_however_many_images_there_are(snapshot, fitted, monkeypatch):
    monkeypatch.setattr(normal_windows, "MOST", 4)
    found = measure(fitted, snapshot, normal_of(snapshot), TRAINING)
    assert 3 <= len(found["window_distance"]) <= 4


def test_without_a_gaussian_there_is_nothing_to_measure(snapshot):
    model = NearestNeighbours.Config().build(SmallTrunk.Config(width=2).build())
    assert measure(model, snapshot, normal_of(snapshot), TRAINING) == {}


def test_images_that_learn_and_calibrate_are_measured_once(snapshot, fitted):
    found = measure(fitted, snapshot, normal_of(snapshot, cross=True), TRAINING)
    assert found["window_frames"].sum() == len(snapshot.clips("train"))
