"""MVTec AD: 15 kinds of objects and textures, sound ones for training, with masks of the defects.

Bergmann, Fauser, Sattlegger, Steger, "MVTec AD - A comprehensive real-world dataset for
unsupervised anomaly detection", CVPR 2019; CC BY-NC-SA 4.0. Its layout is the canonical one.
"""

import shutil
import tarfile
from pathlib import Path

from models.contracts import Progress
from models.errors import DataError
from tasks.data.sources.download import download

CATEGORIES = (
    "bottle",
    "cable",
    "capsule",
    "carpet",
    "grid",
    "hazelnut",
    "leather",
    "metal_nut",
    "pill",
    "screw",
    "tile",
    "toothbrush",
    "transistor",
    "wood",
    "zipper",
)
URL = (
    "https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/download/"
    "420938113-1629960298/mvtec_anomaly_detection.tar.xz"
)
SHA256 = "cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d"


def obtain(category: str, downloads: Path, scratch: Path, progress: Progress) -> Path:
    """Download the archive of all categories (5.3 GB, kept for the others) and unpack one.

    Args:
        category: One of ``CATEGORIES``.
        downloads: Where archives are kept.
        scratch: An empty folder to unpack into.
        progress: Shows both.

    Returns:
        The folder that ``convert`` takes.
    """
    archive = download(URL, downloads / "mvtec_anomaly_detection.tar.xz", SHA256, progress)
    with tarfile.open(archive) as tar:
        for member in progress(tar, total=0, description=f"Unpacking {category}"):
            if member.name.removeprefix("./").split("/")[0] == category:
                tar.extract(member, scratch, filter="data")
    return scratch


def convert(category: str, raw: Path, folder: Path, progress: Progress) -> None:
    """Copy a category from the unpacked archive, or from a folder of one category.

    Raises:
        DataError: If ``raw`` is neither.
    """
    tops = [top for top in (raw / category, raw) if (top / "train" / "good").is_dir()]
    if not tops:
        raise DataError(
            f"{raw} must hold {category}/train/good as MVTec publishes it. Pass the folder that "
            "the archive unpacks into."
        )
    files = [path for path in sorted(tops[0].rglob("*")) if path.is_file()]
    for path in progress(files, total=len(files), description=f"Copying {category}"):
        target = folder / path.relative_to(tops[0])
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
