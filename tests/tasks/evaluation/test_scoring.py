import numpy as np
import pytest
import torch

from models.contracts import Scores, silent
from models.errors import DataError
from tasks.data import snapshots, versions
from tasks.evaluation import scoring
from tasks.packaging.calibration import Calibration
from tasks.packaging.detector import Packaged
from tasks.packaging.network import Network
from tasks.packaging.preprocessing import Preprocessing
from tests.tasks.pictures import SIZE, picture, save, write_clips, write_stills


class Brightness(torch.nn.Module):
    """Scores an image by its brightest pixel, and localises unless told otherwise."""

    def __init__(self, *, localises):
        super().__init__()
        self.localises = localises

    def forward(self, images):
        values = images.amax(dim=1)
        return Scores(values.amax(dim=(1, 2)), values if self.localises else None)


def packaged(window=6, *, localises=True, smoothing=1):
    return Packaged(
        lambda: Network(Brightness(localises=localises), torch.device("cpu")),
        preprocessing=Preprocessing(window=window),
        threshold=0.5,
        pixel_threshold=0.5,
        calibration=Calibration(image_score=np.linspace(0, 1, 9), clip=np.arange(9)),
        lineage={},
        digest="0",
        smoothing=smoothing,
    )


def scored(version, detector, split="test"):
    snapshot = snapshots.open_version(version)
    return list(scoring.scored(snapshot, snapshot.clips(split), detector, silent))


@pytest.mark.parametrize("smoothing", [1, 4])
def test_a_clip_in_parts_is_scored_as_the_whole(repository, monkeypatch, smoothing):
    write_clips(versions.folder() / "squares", frames=20, marked=(12, 13))
    version = versions.add("squares")
    whole = scored(version, packaged(smoothing=smoothing))
    monkeypatch.setattr(scoring, "MEMORY", 8 * 4 * SIZE[0] * SIZE[1])
    parts = scored(version, packaged(smoothing=smoothing))
    assert (len(whole), len(parts)) == (2, 10)
    for name in ("numbers", "frames", "labels", "masks"):
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(
            joined, np.concatenate([getattr(clip, name) for clip in whole])
        )
    np.testing.assert_allclose(
        np.concatenate([part.prediction.image_score for part in parts]),
        np.concatenate([clip.prediction.image_score for clip in whole]),
    )


def test_frames_before_the_first_full_window_are_in_no_array(repository):
    write_clips(versions.folder() / "squares", frames=9, marked=(0, 1, 7))
    [cart, good] = scored(versions.add("squares"), packaged())
    assert cart.clips == ("cart/01",) * 4
    assert list(cart.numbers) == [5, 6, 7, 8]
    assert list(cart.labels) == [False, False, True, False]
    assert list(cart.masks.any(axis=(1, 2))) == list(cart.labels)
    np.testing.assert_array_equal(cart.frames[0], picture((0, 2, 5)))
    assert cart.prediction.anomaly_map.shape == (4, *SIZE)
    assert not good.masks.any()


def test_still_images_of_several_sizes_are_scored_in_order(repository):
    folder = write_stills(versions.folder() / "squares")
    for index, size in enumerate([(12, 16), (12, 16), (20, 8), (12, 16)]):
        save(folder / f"test/good/{index:03d}.png", picture(index, size))
    found = scored(versions.add("squares"), packaged(window=1))
    names = [name for part in found for name in part.clips]
    assert names == [f"good/{index:03d}" for index in range(4)] + ["scratch/000"]
    assert [len(part.clips) for part in found] == [2, 1, 1, 1]
    assert [part.labels.tolist() for part in found][-1] == [True]


def test_a_detector_that_does_not_localise_has_no_maps(repository):
    write_stills(versions.folder() / "squares")
    found = scored(versions.add("squares"), packaged(window=1, localises=False))
    assert all(part.prediction.anomaly_map is None for part in found)


def test_anomalous_clips_without_masks_have_none(repository):
    folder = write_clips(versions.folder() / "squares")
    for path in (folder / "ground_truth").rglob("*.png"):
        path.unlink()
    [cart, good] = scored(versions.add("squares"), packaged())
    assert cart.masks is None
    assert cart.labels.all()
    assert not good.labels.any()


def test_only_short_clips_are_a_clear_error(repository):
    write_clips(versions.folder() / "squares", frames=5)
    with pytest.raises(DataError, match="at least 6 frames"):
        scored(versions.add("squares"), packaged())
