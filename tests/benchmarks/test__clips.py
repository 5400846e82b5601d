import numpy as np
import pytest
import torch
from torchvision.io import write_png

from benchmarks._clips import read, read_test, windows


@pytest.fixture
def folder(tmp_path):
    for split, name, level in (("train", "01", 10), ("test", "01", 20), ("test", "02", 30)):
        (tmp_path / split / name).mkdir(parents=True)
        for number in range(8):
            image = torch.full((1, 4, 6), level + number, dtype=torch.uint8)
            write_png(image, str(tmp_path / split / name / f"{number:03}.png"))
    names = ("test01", "test02")
    np.savez(tmp_path / "test_frame_labels.npz", **{n: np.arange(8) > 4 for n in names})
    np.savez(tmp_path / "test_pixel_masks.npz", **{n: np.zeros((8, 4, 6), bool) for n in names})
    return tmp_path


def test_clips_are_read_in_order_with_what_is_known_of_them(folder):
    (clip,) = read(folder / "train")
    assert clip.shape == (8, 4, 6)
    assert clip[:, 0, 0].tolist() == list(range(10, 18))
    one, other = read_test(folder)
    assert one.frames[0, 0, 0] == 20
    assert other.frames[0, 0, 0] == 30
    assert one.labels.dtype == bool
    assert one.labels.sum() == 3


def test_the_first_window_ends_with_the_sixth_frame(folder):
    (clip,) = read(folder / "train")
    (batch,) = windows(clip, 2)
    assert batch.shape == (2, 6, 4, 6)
    assert (batch[:, -1, 0, 0] * 255).round().tolist() == [15, 17]
