"""``ped1`` and ``ped2``: the UCSD anomaly detection data set, two cameras over walkways.

Only pedestrians in the training clips; cyclists, skaters and carts in the test clips (Mahadevan,
Li, Bhalodia, Vasconcelos, "Anomaly detection in crowded scenes", CVPR 2010; for research). Read as
published (``Train/Train001/001.tif``, masks in ``Test/Test001_gt``, anomalous frames in
``Test/UCSDped2.m``) or repackaged (``train/01/000.jpg`` with ``test_pixel_masks.npz`` and
``test_frame_labels.npz``). Images are copied as they are; masks become 1-bit PNG.
"""

import re
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.contracts import Progress
from models.errors import DataError
from tasks.data import decoding, layout
from tasks.data.sources import png
from tasks.data.sources.download import download

URL = "http://www.svcl.ucsd.edu/projects/anomaly/UCSD_Anomaly_Dataset.tar.gz"
SHA256 = "2329af326951f5097fdd114c50e853957d3e569493a49d22fc082a9fd791915b"
KIND = "mixed"
"""Kind of every test clip: most begin or end with normal frames, as the ground truth says."""


def obtain(camera: str, downloads: Path, scratch: Path, progress: Progress) -> Path:
    """Download the archive (706 MB, kept for the other camera) and unpack one camera.

    Args:
        camera: ``UCSDped1`` or ``UCSDped2``.
        downloads: Where archives are kept.
        scratch: An empty folder to unpack into.
        progress: Shows both.

    Returns:
        The folder that ``convert`` takes.
    """
    archive = download(URL, downloads / "UCSD_Anomaly_Dataset.tar.gz", SHA256, progress)
    with tarfile.open(archive) as tar:
        for member in progress(tar, total=0, description=f"Unpacking {camera}"):
            if f"/{camera}/" in member.name and "/." not in member.name:
                tar.extract(member, scratch, filter="data")
    return scratch


def convert(camera: str, raw: Path, folder: Path, progress: Progress) -> None:
    """Write the canonical layout below ``folder`` from either form of the raw data.

    Raises:
        DataError: If ``raw`` is neither, or its parts do not fit each other.
    """
    if (raw / "test_pixel_masks.npz").is_file():
        _convert_repackaged(raw, folder, progress)
        return
    for top in (raw, raw / camera, *raw.glob(f"*/{camera}")):
        if (top / "Train").is_dir() and (top / "Test").is_dir():
            _convert_published(top, folder, progress)
            return
    raise DataError(
        f"{raw} must hold {camera}/Train and {camera}/Test as published, or train/, test/ and "
        "test_pixel_masks.npz. Pass the folder that the archive unpacks into."
    )


def _convert_repackaged(raw: Path, folder: Path, progress: Progress) -> None:
    _copy_clips(raw / "train", folder / "train" / "good", progress)
    _copy_clips(raw / "test", folder / "test" / KIND, progress)
    with np.load(raw / "test_pixel_masks.npz", allow_pickle=False) as masks:
        for clip in progress(masks.files, total=len(masks.files), description="Masks"):
            number = f"{_number(clip):02d}"
            _write_masks(masks[clip], folder / "test" / KIND / number, folder)


def _convert_published(top: Path, folder: Path, progress: Progress) -> None:
    _copy_clips(top / "Train", folder / "train" / "good", progress)
    _copy_clips(top / "Test", folder / "test" / KIND, progress)
    clips = sorted((folder / "test" / KIND).iterdir())
    labels = _published_labels(top / "Test")
    if labels and len(labels) != len(clips):
        raise DataError(
            f"{top / 'Test'} must have one line of anomalous frames for each clip, got "
            f"{len(labels)} for {len(clips)} clips. Unpack the archive again."
        )
    for place, clip in enumerate(progress(clips, total=len(clips), description="Masks")):
        marked = top / "Test" / f"Test{int(clip.name):03d}_gt"
        if marked.is_dir():
            _write_masks(_published_masks(marked), clip, folder)
        elif labels:
            _write_labels(labels[place], clip, folder)


def _copy_clips(source: Path, target: Path, progress: Progress) -> None:
    """Copy every clip folder, named by its number alone, and its images as they are."""
    clips = [clip for clip in sorted(source.iterdir()) if re.fullmatch(r"[A-Za-z]*\d+", clip.name)]
    frames = [frame for clip in clips for frame in sorted(clip.iterdir()) if _is_image(frame)]
    for frame in progress(frames, total=len(frames), description=f"Copying {source.name}"):
        copy = target / f"{_number(frame.parent.name):02d}" / frame.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(frame, copy)


def _published_masks(folder: Path) -> NDArray[np.bool_]:
    files = [path for path in sorted(folder.iterdir()) if _is_image(path)]
    return np.stack([decoding.read_mask(path, str(path)) for path in files])


def _published_labels(folder: Path) -> list[list[range]]:
    """The anomalous frames of each clip, in the order of ``UCSDped*.m``; counted from 1 there."""
    scripts = sorted(folder.glob("UCSDped*.m"))
    text = scripts[0].read_text(errors="replace") if scripts else ""
    code = re.sub(r"%.*", "", text)
    return [list(_ranges(found)) for found in re.findall(r"gt_frame\s*=\s*\[([^\]]*)\]", code)]


def _ranges(text: str) -> Iterator[range]:
    for first, last in re.findall(r"(\d+)(?:\s*:\s*(\d+))?", text):
        yield range(int(first) - 1, int(last or first))


def _write_masks(masks: NDArray[np.bool_], clip: Path, folder: Path) -> None:
    frames = sorted(clip.iterdir()) if clip.is_dir() else []
    if len(frames) != len(masks):
        raise DataError(
            f"Clip {clip.name} must have a mask for each frame, got {len(masks)} masks for "
            f"{len(frames)} frames. Unpack the archive again."
        )
    target = folder / "ground_truth" / KIND / clip.name
    target.mkdir(parents=True)
    for frame, mask in zip(frames, masks, strict=True):
        (target / f"{frame.stem}.png").write_bytes(png.encode(mask.astype(bool)))


def _write_labels(anomalous: list[range], clip: Path, folder: Path) -> None:
    total = len(list(clip.iterdir()))
    values = ("1" if any(t in frames for frames in anomalous) else "0" for t in range(total))
    target = folder / "ground_truth" / KIND / f"{clip.name}.txt"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(values) + "\n")


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in layout.IMAGES and not path.name.startswith(".")


def _number(name: str) -> int:
    return int(re.findall(r"\d+", name)[-1])
