import bz2
import gzip
import hashlib
import pickle
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from models.contracts import silent
from models.errors import DataError
from tasks.data.sources import torchvision_sets
from tasks.data.sources.torchvision_sets import convert

LABELS = {"train": np.array([0, 1, 0, 3, 3]), "test": np.array([3, 0, 1, 9])}


def images(split, *shape):
    size = (len(LABELS[split]), *shape)
    return np.random.default_rng(len(split)).integers(0, 256, size, dtype=np.uint8)


def idx(array):
    return (
        struct.pack(">HBB", 0, 8, array.ndim)
        + struct.pack(f">{array.ndim}i", *array.shape)
        + array.astype(np.uint8).tobytes()
    )


def write_idx(raw, *, zipped=True):
    raw.mkdir(parents=True, exist_ok=True)
    for split, stem in (("train", "train"), ("test", "t10k")):
        for name, array in (
            (f"{stem}-images-idx3-ubyte", images(split, 28, 28)),
            (f"{stem}-labels-idx1-ubyte", LABELS[split]),
        ):
            content = idx(array)
            path = raw / (f"{name}.gz" if zipped else name)
            path.write_bytes(gzip.compress(content) if zipped else content)


def differing(folder, normal, kinds, *shape):
    """Images that are missing, too many, or not the same pixel for pixel."""
    found = {
        path.relative_to(folder).as_posix(): np.asarray(Image.open(path))
        for path in folder.rglob("*.png")
    }
    expected = {}
    for split, labels in LABELS.items():
        for place, label in enumerate(labels):
            if split == "test" or label == normal:
                kind = "good" if label == normal else kinds[label]
                expected[f"{split}/{kind}/{place:05d}.png"] = images(split, *shape)[place]
    both = found.keys() & expected.keys()
    unequal = {name for name in both if not np.array_equal(found[name], expected[name])}
    return unequal | (found.keys() ^ expected.keys())


@pytest.mark.parametrize("normal", [0, 3])
@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("inner", ["", "MNIST/raw"])
def test_idx_files_are_read_zipped_or_not(tmp_path, normal, zipped, inner):
    write_idx(tmp_path / "raw" / inner, zipped=zipped)
    convert("mnist", normal, tmp_path / "raw", tmp_path / "out", silent)
    assert not differing(tmp_path / "out", normal, "0123456789", 28, 28)


def test_classes_are_called_by_their_names(tmp_path):
    write_idx(tmp_path)
    convert("fashionmnist", 3, tmp_path, tmp_path / "out", silent)
    kinds = {path.name for path in (tmp_path / "out" / "test").iterdir()}
    assert kinds == {"good", "t-shirt", "trouser", "ankle-boot"}


@pytest.mark.parametrize("names", torchvision_sets.ARRAYS)
@pytest.mark.parametrize(("name", "shape"), [("usps", (16, 16)), ("svhn", (32, 32, 3))])
def test_a_npz_file_is_read(tmp_path, names, name, shape):
    arrays = (images("train", *shape), LABELS["train"], images("test", *shape), LABELS["test"])
    np.savez(tmp_path / "a.npz", **dict(zip(names, arrays, strict=True)))
    convert(name, 0, tmp_path, tmp_path / "out", silent)
    assert not differing(tmp_path / "out", 0, "0123456789", *shape)


def test_the_last_fifth_of_a_single_array_is_for_testing(tmp_path):
    pixels = images("train", 32, 32, 3)
    np.savez(tmp_path / "a.npz", x=pixels, y=LABELS["train"])
    convert("cifar10", 3, tmp_path, tmp_path / "out", silent)
    found = sorted(p.relative_to(tmp_path / "out").as_posix() for p in tmp_path.rglob("*.png"))
    assert found == ["test/good/00000.png", "train/good/00003.png"]


def test_usps_as_torchvision_downloads_it_is_read(tmp_path):
    for split, file in (("train", "usps.bz2"), ("test", "usps.t.bz2")):
        lines = [
            f"{label + 1} "
            + " ".join(f"{i + 1}:{v}" for i, v in enumerate(pixels.ravel() / 127.5 - 1))
            for label, pixels in zip(LABELS[split], images(split, 16, 16), strict=True)
        ]
        (tmp_path / file).write_bytes(bz2.compress("\n".join(lines).encode()))
    convert("usps", 0, tmp_path, tmp_path / "out", silent)
    assert len(list((tmp_path / "out" / "train" / "good").iterdir())) == 2
    read = np.asarray(Image.open(tmp_path / "out" / "test" / "9" / "00003.png")).astype(int)
    assert np.abs(read - images("test", 16, 16)[3]).max() <= 1


def test_svhn_as_torchvision_downloads_it_is_read(tmp_path, monkeypatch):
    from torchvision.datasets import SVHN

    split_list = {}
    for split in ("train", "test"):
        file = tmp_path / f"{split}_32x32.mat"
        labels = np.where(LABELS[split] == 0, 10, LABELS[split])[:, None]
        savemat(file, {"X": images(split, 32, 32, 3).transpose(1, 2, 3, 0), "y": labels})
        split_list[split] = ["", file.name, md5(file)]
    monkeypatch.setattr(SVHN, "split_list", split_list)
    convert("svhn", 0, tmp_path, tmp_path / "out", silent)
    assert not differing(tmp_path / "out", 0, "0123456789", 32, 32, 3)


def md5(path):
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("packed", [True, False])
def test_cifar10_as_torchvision_downloads_it_is_read(tmp_path, monkeypatch, packed):
    from torchvision.datasets import CIFAR10

    raw = tmp_path / "raw"
    batches = raw / CIFAR10.base_folder
    batches.mkdir(parents=True)
    for file, split in (("data_batch_1", "train"), ("test_batch", "test")):
        data = images(split, 32, 32, 3).transpose(0, 3, 1, 2).reshape(-1, 3072)
        content = {"data": data, "labels": LABELS[split].tolist()}
        (batches / file).write_bytes(pickle.dumps(content))
    (batches / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", md5(batches / "data_batch_1")]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5(batches / "test_batch")]])
    meta = CIFAR10.meta | {"md5": md5(batches / "batches.meta")}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    if packed:
        with tarfile.open(raw / CIFAR10.filename, "w:gz") as tar:
            tar.add(batches, arcname=CIFAR10.base_folder)
        batches.rename(tmp_path / "moved away")
    convert("cifar10", 0, raw, tmp_path / "out", silent)
    assert not differing(tmp_path / "out", 0, torchvision_sets.THINGS, 32, 32, 3)
    assert len(list(raw.iterdir())) == 1


def test_files_with_another_checksum_than_torchvisions_are_never_unpickled(tmp_path):
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    (batches / "data_batch_1").write_bytes(b"cposix\nsystem\n")
    with pytest.raises(DataError, match="must hold cifar10 as idx files"):
        convert("cifar10", 0, tmp_path, tmp_path / "out", silent)


@pytest.mark.parametrize("name", ["mnist", "usps", "svhn", "cifar10"])
def test_a_folder_that_holds_none_of_the_forms_is_refused(tmp_path, name):
    with pytest.raises(DataError, match=rf"must hold {name} as idx files"):
        convert(name, 0, tmp_path, tmp_path / "out", silent)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0\0\x08\x03", gzip.compress(b"\0\0\x08\x03", mtime=0)[:-9]],
    ids=["empty", "header only", "cut short"],
)
def test_a_damaged_idx_file_is_named(tmp_path, content):
    write_idx(tmp_path)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz must be an idx file"):
        convert("mnist", 0, tmp_path, tmp_path / "out", silent)


def test_labels_that_do_not_fit_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", x=images("train", 16, 16), y=np.array([0, 1, 2]))
    with pytest.raises(DataError, match=r"as many labels below 10"):
        convert("usps", 0, tmp_path, tmp_path / "out", silent)


def test_downloads_go_where_they_are_read_from(tmp_path):
    from torchvision import datasets

    for name in torchvision_sets.CLASSES:
        files = list(torchvision_sets._files(name, datasets))
        assert files
        for urls, path, checksum in files:
            assert all(url.startswith("http") for url in urls)
            assert len(checksum) == 32
            assert not path.startswith("/")
    paths = [path for _, path, _ in torchvision_sets._files("fashionmnist", datasets)]
    assert "FashionMNIST/raw/train-images-idx3-ubyte.gz" in paths


def test_all_classes_can_be_normal_and_only_testing_tells_them_apart(tmp_path):
    write_idx(tmp_path / "raw")
    convert("mnist", None, tmp_path / "raw", tmp_path / "out", silent)
    found = {
        path.parent.relative_to(tmp_path / "out").as_posix() for path in tmp_path.rglob("*.png")
    }
    assert found == {"train/good", *(f"test/good-{label}" for label in (0, 1, 3, 9))}
    assert len(list((tmp_path / "out" / "train" / "good").iterdir())) == len(LABELS["train"])
