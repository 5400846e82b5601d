import gzip
import struct

import numpy as np
import pytest

from benchmarks._digits import read


@pytest.fixture
def folder(tmp_path):
    random = np.random.default_rng(0)
    for name in ("mnist", "usps", "svhn"):
        (tmp_path / name).mkdir()
    for part in ("train", "t10k"):
        pixels = random.integers(0, 256, (3, 28, 28), dtype=np.uint8)
        head = struct.pack(">HBB3I", 0, 8, 3, *pixels.shape)
        path = tmp_path / "mnist" / f"{part}-images-idx3-ubyte.gz"
        path.write_bytes(gzip.compress(head + pixels.tobytes()))
        path = tmp_path / "mnist" / f"{part}-labels-idx1-ubyte.gz"
        path.write_bytes(gzip.compress(struct.pack(">HBBI", 0, 8, 1, 3) + bytes([7, 0, 9])))
    gray = np.full((2, 16, 16), 255, np.uint8)
    labels = np.array([1, 2])
    np.savez(
        tmp_path / "usps" / "usps.npz",
        train_images=gray,
        train_labels=labels,
        test_images=gray // 5,
        test_labels=labels,
    )
    green = np.zeros((2, 32, 32, 3), np.uint8)
    green[..., 1] = 255
    np.savez(
        tmp_path / "svhn" / "svhn_crops_32x32.npz",
        x_train=green,
        y_train=labels[:, None],
        x_test=green,
        y_test=labels,
    )
    return tmp_path


@pytest.mark.parametrize("name", ["mnist", "usps", "svhn"])
def test_every_set_has_the_same_form(folder, name):
    digits = read(name, folder)
    for images, labels in ((digits.train, digits.train_labels), (digits.test, digits.test_labels)):
        assert images.shape == (len(labels), 1, 28, 28)
        assert images.min() >= 0
        assert images.max() <= 1


def test_bytes_are_divided_by_255_and_colours_weighed(folder):
    usps = read("usps", folder)
    np.testing.assert_allclose(usps.train.numpy(), 1)
    np.testing.assert_allclose(usps.test.numpy(), 0.2, atol=1e-6)
    np.testing.assert_allclose(read("svhn", folder).train.numpy(), 0.587, atol=1e-6)
    assert read("mnist", folder).test_labels.tolist() == [7, 0, 9]
