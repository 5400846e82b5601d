"""MNIST, Fashion-MNIST, USPS, SVHN and CIFAR-10, with one class or all of them as normal.

Files come from where torchvision gets them, with the checksums it keeps. A folder of raw files is
taken as well: the idx files (``.gz`` or not), what torchvision itself downloads, or one ``.npz``
with ``train_images``, ``train_labels``, ``test_images``, ``test_labels``, or ``x_train``,
``y_train``, ``x_test``, ``y_test``, or ``x``, ``y`` (whose last fifth becomes the test split).
"""

import gzip
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.contracts import Progress
from models.errors import DataError
from tasks.data.kinds import NORMAL
from tasks.data.sources import png
from tasks.data.sources.download import download

DIGITS = tuple("0123456789")
GARMENTS = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle-boot",
)
THINGS = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
CLASSES = {
    "mnist": DIGITS,
    "fashionmnist": GARMENTS,
    "usps": DIGITS,
    "svhn": DIGITS,
    "cifar10": THINGS,
}
"""Names of the classes of each set, by label; kinds of the test split are called like them."""
ARRAYS = (
    ("train_images", "train_labels", "test_images", "test_labels"),
    ("x_train", "y_train", "x_test", "y_test"),
)


@dataclass(frozen=True)
class Split:
    """Images and labels of one split."""

    name: str
    images: NDArray[np.uint8]
    """(N, H, W) gray, or (N, H, W, 3) colour."""
    labels: NDArray[np.int64]


def obtain(name: str, downloads: Path, scratch: Path, progress: Progress) -> Path:  # noqa: ARG001
    """Download what torchvision would, to where torchvision looks for it.

    Args:
        name: A key of ``CLASSES``.
        downloads: Where files are kept.
        scratch: Not needed here.
        progress: Shows the download.

    Returns:
        The folder that ``convert`` takes.
    """
    from torchvision import datasets

    root = downloads / name
    for urls, target, md5 in _files(name, datasets):
        _download_any(urls, root / target, md5, progress)
    return root


def _files(name: str, datasets: Any) -> Iterator[tuple[list[str], str, str]]:
    """Mirrors, path below torchvision's root and MD5 of each file."""
    if name in ("mnist", "fashionmnist"):
        kind = datasets.MNIST if name == "mnist" else datasets.FashionMNIST
        for file, md5 in kind.resources:
            yield [mirror + file for mirror in kind.mirrors], f"{kind.__name__}/raw/{file}", md5
    elif name == "cifar10":
        kind = datasets.CIFAR10
        yield [kind.url], kind.filename, kind.tgz_md5
    else:
        kind = datasets.USPS if name == "usps" else datasets.SVHN
        for split in ("train", "test"):
            url, file, md5 = kind.split_list[split]
            yield [url], file, md5


def _download_any(urls: list[str], target: Path, md5: str, progress: Progress) -> None:
    for url in urls:
        try:
            download(url, target, md5, progress)
        except DataError:
            if url == urls[-1]:
                raise
        else:
            return


def convert(name: str, normal: int | None, raw: Path, folder: Path, progress: Progress) -> None:
    """Write the canonical layout below ``folder``, one PNG file for each image.

    Args:
        name: A key of ``CLASSES``.
        normal: Label of the class that counts as normal; of the others, only the test split is
            taken. None: all classes are normal, and kinds of the test split are ``good-<class>``.
        raw: Folder of raw files.
        folder: Where to write.
        progress: Shows the images.

    Raises:
        DataError: If ``raw`` holds none of the forms.
    """
    for read in (_read_idx, _read_npz, _read_torchvision):
        if splits := read(name, raw):
            break
    else:
        raise DataError(
            f"{raw} must hold {name} as idx files, as torchvision downloads it, or as one .npz "
            "with images and labels of both splits, and holds none of them."
        )
    for split in splits:
        every = normal is None or split.name == "test"
        wanted = split.labels >= 0 if every else split.labels == normal
        places = np.flatnonzero(wanted)
        for place in progress(places, total=len(places), description=f"{name} {split.name}"):
            kind = _kind(name, int(split.labels[place]), normal, split.name)
            path = folder / split.name / kind / f"{place:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png.encode(split.images[place]))


def _kind(name: str, label: int, normal: int | None, split: str) -> str:
    if label == normal or split == "train":
        return NORMAL
    return f"{NORMAL}-{CLASSES[name][label]}" if normal is None else CLASSES[name][label]


def _read_idx(name: str, raw: Path) -> list[Split]:
    """The four idx files of MNIST and Fashion-MNIST, if they are there."""
    splits = []
    for split, stem in (("train", "train"), ("test", "t10k")):
        images = _existing(raw, f"{stem}-images-idx3-ubyte")
        labels = _existing(raw, f"{stem}-labels-idx1-ubyte")
        if not images or not labels:
            return []
        splits.append(_split(name, split, _parse_idx(images), _parse_idx(labels)))
    return splits


def _existing(raw: Path, stem: str) -> Path | None:
    folders = (raw, *sorted(raw.glob("*/raw")))
    paths = (folder / f"{stem}{suffix}" for folder in folders for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)


def _parse_idx(path: Path) -> NDArray[np.uint8]:
    """An idx file of bytes: two zeros, 8, the number of dimensions, each big-endian, the data."""
    opener: Callable[..., Any] = gzip.open if path.suffix == ".gz" else Path.open
    try:
        with opener(path, "rb") as file:
            content = file.read()
        rank = content[3]
        shape = np.frombuffer(content, ">i4", rank, offset=4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise DataError(f"{path} must be an idx file of bytes, got: {error}.") from error


def _read_npz(name: str, raw: Path) -> list[Split]:
    """The arrays of a single ``.npz`` file, if there is one with the right names."""
    files = sorted(raw.glob("*.npz"))
    if len(files) != 1:
        return []
    with np.load(files[0], allow_pickle=False) as arrays:
        for names in ARRAYS:
            if set(names) <= set(arrays.files):
                train_x, train_y, test_x, test_y = (arrays[array] for array in names)
                return [
                    _split(name, "train", train_x, train_y),
                    _split(name, "test", test_x, test_y),
                ]
        if not {"x", "y"} <= set(arrays.files):
            return []
        x, y = arrays["x"], arrays["y"]
    cut = len(x) - len(x) // 5
    return [_split(name, "train", x[:cut], y[:cut]), _split(name, "test", x[cut:], y[cut:])]


def _read_torchvision(name: str, raw: Path) -> list[Split]:
    """What torchvision downloads, read and checked by torchvision."""
    from torchvision import datasets

    parts: list[Any]
    try:
        if name == "svhn":
            parts = [datasets.SVHN(raw, split=split) for split in ("train", "test")]
            arrays = [(part.data.transpose(0, 2, 3, 1), part.labels) for part in parts]
        elif name == "usps":
            parts = [datasets.USPS(raw, train=train) for train in (True, False)]
            arrays = [(part.data, np.asarray(part.targets)) for part in parts]
        elif name == "cifar10":
            parts = _open_cifar10(raw)
            arrays = [(part.data, np.asarray(part.targets)) for part in parts]
        else:
            return []
    except (RuntimeError, OSError):
        return []
    return [
        _split(name, split, images, labels)
        for split, (images, labels) in zip(("train", "test"), arrays, strict=True)
    ]


def _open_cifar10(raw: Path) -> list[Any]:
    """Both splits; an archive is unpacked elsewhere, so that ``raw`` stays as it is."""
    from torchvision.datasets import CIFAR10

    archive = raw / CIFAR10.filename
    with TemporaryDirectory() as scratch:
        if archive.is_file():
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            raw = Path(scratch)
        return [CIFAR10(raw, train=train) for train in (True, False)]


def _split(name: str, split: str, images: NDArray[Any], labels: NDArray[Any]) -> Split:
    known = images.ndim in (3, 4) and images.dtype == np.uint8 and len(images) == len(labels)
    if not known or labels.max(initial=0) >= len(CLASSES[name]):
        raise DataError(
            f"{name} {split} must be 8-bit images with as many labels below {len(CLASSES[name])}, "
            f"got {images.dtype} {images.shape} with {len(labels)} labels. Check the files."
        )
    return Split(split, images, labels.astype(np.int64))
