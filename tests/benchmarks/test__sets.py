import gzip

import numpy as np
import torch
from torchvision.io import write_png

from benchmarks._sets import FRAME_SIZE, Batches, ImageSet, available, read_cifar, read_idx
from models.contracts import WINDOW


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


def pictures(folder, num):
    folder.mkdir(parents=True)
    for place in range(num):
        write_png(
            torch.full((1, 12, 18), place, dtype=torch.uint8), str(folder / f"{place:03}.png")
        )


def test_idx_files_are_read_packed_or_not(tmp_path):
    draw = np.random.default_rng(0)
    images = draw.integers(256, size=(5, 4, 3), dtype=np.uint8)
    labels = np.arange(5, dtype=np.uint8)
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
        (tmp_path / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(labels)))
    found = read_idx(tmp_path, 4)
    assert torch.equal(found.train, torch.from_numpy(images[:4, None].copy()))
    assert found.train_labels.tolist() == [0, 1, 2, 3]
    assert found.test_labels.tolist() == [0, 1, 2, 3]


def test_the_last_third_of_cifar_is_for_testing(tmp_path):
    images = np.arange(9, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    np.savez(tmp_path / "some.npz", x=images, y=np.arange(9)[:, None])
    found = read_cifar(tmp_path / "some.npz", 4)
    assert found.train[:, 0, 0, 0].tolist() == found.train_labels.tolist() == [0, 1, 2, 3]
    assert found.test[:, 0, 0, 0].tolist() == found.test_labels.tolist() == [6, 7, 8]


def test_what_a_folder_lacks_is_left_out(tmp_path):
    assert available(tmp_path, 10) == {}
    pictures(tmp_path / "magnetic_tile" / "train" / "good", 3)
    pictures(tmp_path / "magnetic_tile" / "test" / "good", 1)
    pictures(tmp_path / "magnetic_tile" / "test" / "crack", 2)
    (found,) = available(tmp_path, 10).values()
    tiles = found()
    assert tiles.train.shape[:2] == (3, 1)
    assert tiles.test_labels.tolist() == [1, 1, 0]


def test_windows_describe_every_fifth_frame(tmp_path):
    pictures(tmp_path / "ped2" / "train" / "01", 12)
    pictures(tmp_path / "ped2" / "test" / "01", 7)
    np.savez(tmp_path / "ped2" / "test_frame_labels.npz", test01=np.arange(7) == WINDOW - 1)
    clips = available(tmp_path, 10)["ped2"]()
    assert clips.train.shape == (2, WINDOW, *FRAME_SIZE)
    assert clips.train[1, :, 0, 0].tolist() == [5, 6, 7, 8, 9, 10]
    assert clips.test_labels.tolist() == [1]


def test_batches_bring_every_image_once_in_the_order_of_their_seed():
    images = torch.arange(10, dtype=torch.uint8).reshape(10, 1, 1, 1)
    first, again = Batches(images, 4, seed=3), Batches(images, 4, seed=3)
    assert len(first) == 3
    epochs = [torch.cat(list(first)).flatten() * 255 for _ in range(2)]
    assert epochs[0].sort().values.round().tolist() == list(range(10))
    assert not torch.equal(*epochs)
    assert torch.equal(torch.cat(list(again)).flatten() * 255, epochs[0])
    assert first.num_seen == 20


def test_the_last_tenth_is_held_out():
    images = torch.arange(20, dtype=torch.uint8).reshape(20, 1, 1, 1)
    whole = ImageSet(train=images, test=images, train_labels=None, test_labels=np.zeros(20, int))
    training, held_out = whole.split()
    assert held_out.flatten().tolist() == [18, 19]
    assert len(training) == 18
