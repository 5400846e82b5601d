import numpy as np
import pytest
from PIL import Image

from models.errors import NotFoundError
from tasks.data import versions
from tasks.data.describe import describe
from tests.tasks.pictures import SIZE, picture, save, write_clips, write_stills


def test_still_images_are_told_from_clips(tmp_path):
    stills = describe(write_stills(tmp_path / "stills"))
    assert (stills.clips, stills.num_train, stills.num_train_clips) == (False, 5, 0)
    assert (stills.num_test_normal, stills.num_test_anomalous, stills.num_masks) == (1, 1, 1)
    assert stills.kinds == ("good", "scratch")
    assert (stills.size, stills.mixed_sizes, stills.bits) == (SIZE, False, 8)
    clips = describe(write_clips(tmp_path / "clips"))
    assert (clips.clips, clips.num_train, clips.num_train_clips) == (True, 18, 2)
    assert clips.num_train_frames == 18


def test_a_version_is_described_as_its_folder(repository):
    folder = write_stills(versions.folder() / "squares")
    save(folder / "roi.png", np.ones(SIZE, bool))
    expected = describe(folder)
    assert expected.roi
    assert describe(versions.add("squares")) == expected


def test_gray_images_saved_in_colour_have_none(tmp_path):
    folder = write_stills(tmp_path / "set")
    gray = picture(3, (40, 40))
    (folder / "train/good/a.jpg").parent.mkdir(exist_ok=True)
    Image.fromarray(np.dstack([gray] * 3)).save(folder / "train/good/a.jpg", quality=70)
    assert not describe(folder).colour
    gray[5:9, 5:9] = 200
    Image.fromarray(np.dstack([gray, gray, gray // 2])).save(folder / "train/good/b.png")
    found = describe(folder)
    assert found.colour
    assert found.mixed_sizes


def test_a_set_without_anomalies_is_told(tmp_path):
    for index in range(3):
        save(tmp_path / f"set/train/good/{index}.png", picture(index).astype(np.uint16) * 16)
    found = describe(tmp_path / "set")
    assert not found.anomalies
    assert (found.num_test_normal, found.kinds, found.bits) == (0, (), 16)


def test_files_of_several_pages_are_clips(tmp_path):
    pages = [Image.fromarray(picture(index)) for index in range(4)]
    (tmp_path / "set/train/good").mkdir(parents=True)
    pages[0].save(tmp_path / "set/train/good/a.tif", save_all=True, append_images=pages[1:])
    found = describe(tmp_path / "set")
    assert (found.clips, found.num_train_clips, found.num_train_frames) == (True, 1, 4)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(NotFoundError, match="Check the path"):
        describe(tmp_path / "nowhere")
