import hashlib
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from models.contracts import silent
from models.errors import DataError
from tasks.data import snapshots, versions
from tasks.data.sources import ped
from tests.tasks.pictures import SIZE, picture, save

FRAMES = 6
ANOMALOUS = {1: (2, 3, 4), 2: (0, 1, 5)}


def masks_of(clip):
    masks = np.zeros((FRAMES, *SIZE), bool)
    for t in ANOMALOUS[clip]:
        masks[t, 2:5, 3:9] = True
    return masks


@pytest.fixture
def published(tmp_path):
    """The layout of the archive, with the litter that it has."""
    top = tmp_path / "raw" / "UCSD_Anomaly_Dataset.v1p2" / "UCSDped2"
    for t in range(FRAMES):
        save(top / "Train" / "Train001" / f"{t + 1:03d}.tif", picture((0, t)))
        for clip in ANOMALOUS:
            save(top / "Test" / f"Test{clip:03d}" / f"{t + 1:03d}.tif", picture((clip, t)))
            mask = masks_of(clip)[t].astype(np.uint8) * 255
            save(top / "Test" / f"Test{clip:03d}_gt" / f"{t + 1:03d}.bmp", mask)
    (top / "Test" / "Test001" / ".DS_Store").write_bytes(b"x")
    (top / "Test" / "Test001" / "._001.tif").write_bytes(b"x")
    (top / "Train" / ".DS_Store").write_bytes(b"x")
    (top / "Test" / "UCSDped2.m").write_text(
        "TestVideoFile = {};\n% gt_frame = [1:9];\n"
        "TestVideoFile{end+1}.gt_frame = [3:5];\n"
        "TestVideoFile{end+1}.gt_frame = [1:2, 6];\n"
    )
    return tmp_path / "raw"


@pytest.fixture
def repackaged(tmp_path):
    top = tmp_path / "raw"
    for t in range(FRAMES):
        save(top / "train" / "01" / f"{t:03d}.jpg", picture((0, t)))
        for clip in ANOMALOUS:
            save(top / "test" / f"{clip:02d}" / f"{t:03d}.jpg", picture((clip, t)))
    np.savez(top / "test_pixel_masks.npz", **{f"test{c:02d}": masks_of(c) for c in ANOMALOUS})
    labels = {f"test{c:02d}": masks_of(c).any(axis=(1, 2)).astype(np.uint8) for c in ANOMALOUS}
    np.savez(top / "test_frame_labels.npz", **labels)
    return top


def labels_in(repository):
    snapshot = snapshots.open_version(versions.add("ped2"))
    clips = snapshot.clips("test")
    assert [clip.name for clip in clips] == ["mixed/01", "mixed/02"]
    assert len(snapshot.clips("train")) == 1
    return snapshot, [tuple(np.flatnonzero(snapshot.labels(clip)).tolist()) for clip in clips]


@pytest.mark.parametrize("form", ["published", "repackaged"])
def test_both_forms_become_clips_with_masks(repository, request, form):
    raw = request.getfixturevalue(form)
    folder = repository / "data" / "ped2"
    ped.convert("UCSDped2", raw, folder, silent)
    snapshot, labels = labels_in(repository)
    assert labels == list(ANOMALOUS.values())
    for clip in snapshot.clips("test"):
        masks = snapshot.read_masks(clip, None)
        assert (masks == masks_of(int(clip.name[-2:]))).all()
    with Image.open(
        folder / "ground_truth" / "mixed" / "01" / f"{2 + (form == 'published'):03d}.png"
    ) as mask:
        assert mask.mode == "1"


def test_images_are_copied_byte_for_byte(repackaged, tmp_path):
    ped.convert("UCSDped2", repackaged, tmp_path / "out", silent)
    for number, source in (("good/01", "train/01"), ("mixed/02", "test/02")):
        split = source.split("/")[0]
        for frame in (repackaged / source).iterdir():
            copy = tmp_path / "out" / split / number / frame.name
            assert copy.read_bytes() == frame.read_bytes()


def test_clips_without_masks_take_their_labels_from_the_script(repository, published):
    for gt in published.rglob("*_gt"):
        shutil.rmtree(gt)
    ped.convert("UCSDped2", published, repository / "data" / "ped2", silent)
    snapshot, labels = labels_in(repository)
    assert labels == list(ANOMALOUS.values())
    assert snapshot.read_masks(snapshot.clips("test")[0], None) is None


@pytest.mark.parametrize("inner", ["", "UCSD_Anomaly_Dataset.v1p2/UCSDped2"])
def test_the_folder_of_one_camera_will_do(published, tmp_path, inner):
    ped.convert("UCSDped2", published / inner, tmp_path / "out", silent)
    assert len(list((tmp_path / "out" / "train").rglob("*.tif"))) == FRAMES


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="UCSDped2/Train and UCSDped2/Test as published"):
        ped.convert("UCSDped2", tmp_path, tmp_path / "out", silent)


def test_masks_that_do_not_fit_their_frames_are_refused(repackaged, tmp_path):
    (repackaged / "test" / "02" / "003.jpg").unlink()
    with pytest.raises(DataError, match=r"Clip 02 .* got 6 masks for 5 frames"):
        ped.convert("UCSDped2", repackaged, tmp_path / "out", silent)


def test_a_script_that_does_not_fit_the_clips_is_refused(published, tmp_path):
    script = next(published.rglob("UCSDped2.m"))
    script.write_text("TestVideoFile{end+1}.gt_frame = [3:5];\n")
    with pytest.raises(DataError, match="got 1 for 2 clips"):
        ped.convert("UCSDped2", published, tmp_path / "out", silent)


def test_only_the_camera_that_is_asked_for_is_unpacked(published, tmp_path, monkeypatch):
    archive = tmp_path / "downloads" / "UCSD_Anomaly_Dataset.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        for folder in published.iterdir():
            tar.add(folder, arcname=folder.name)
            tar.add(folder / "UCSDped2", arcname=f"{folder.name}/UCSDped1")
    monkeypatch.setattr(ped, "SHA256", hashlib.sha256(archive.read_bytes()).hexdigest())
    (tmp_path / "scratch").mkdir()
    raw = ped.obtain("UCSDped2", archive.parent, tmp_path / "scratch", silent)
    assert [path.name for path in raw.glob("*/*")] == ["UCSDped2"]
    assert not list(raw.rglob(".*"))
    ped.convert("UCSDped2", raw, tmp_path / "out", silent)
    assert len(list((tmp_path / "out").rglob("*.tif"))) == 3 * FRAMES
