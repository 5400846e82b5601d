from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.errors import InvalidInputError, NotFoundError
from tasks.packaging.preprocessing import Preprocessing
from tasks.serving import film as module
from tasks.serving.film import film
from tests.tasks.pictures import save


def frames_of(path):
    with Image.open(path) as picture:
        for number in range(picture.n_frames):
            picture.seek(number)
            yield np.asarray(picture.convert("RGB"))


@pytest.fixture
def clip(settled):
    return next(path for path in sorted(settled.source.glob("test/*/*")) if path.is_dir())


def test_every_scored_frame_is_shown(settled, clip, tmp_path):
    target = tmp_path / "clip.gif"
    num = film("squares", clip, target)
    shown = list(frames_of(target))
    assert num == len(shown) > 1
    assert all(each.shape[1] >= module.WIDTH for each in shown)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.gif"]


def test_scores_are_drawn_as_far_as_the_film_has_come(settled, clip, tmp_path):
    target = tmp_path / "clip.gif"
    film("squares", clip, target)
    late = (slice(-module.STRIP, None), slice(3 * module.WIDTH // 4, None))
    first, second, *_, last = (each[late].astype(int) for each in frames_of(target))
    assert abs(second - first).max() < 60 < abs(last - first).max()


def test_what_is_no_clip_is_named(settled, tmp_path):
    with pytest.raises(NotFoundError, match="must be a video, images or a folder"):
        film("squares", tmp_path, tmp_path / "clip.gif")


def test_another_kind_of_file_is_refused_at_once(tmp_path):
    with pytest.raises(InvalidInputError, match=r"must be a \.gif file"):
        film("squares", tmp_path, tmp_path / "clip.mp4")


def test_frames_and_their_masks_are_taken_in_natural_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (10, 9, 11):
        frame = np.full((4, 6), number * 20, np.uint8)
        save(tmp_path / f"test/cut/cam/f{number}.bmp", frame)
    mask = np.eye(4, 6, dtype=bool)
    save(tmp_path / "ground_truth/cut/cam/f10.png", mask)
    clip = Path("test/cut/cam")
    frames = module.read([clip], Preprocessing())
    assert frames[:, 0, 0].tolist() == [180, 200, 220]
    truth = module._ground_truth(clip, 3, (4, 6))
    assert [each.any() for each in truth] == [False, True, False]
    assert np.array_equal(truth[1], mask)
    assert module._ground_truth(Path("cam"), 3, (4, 6)) is None
