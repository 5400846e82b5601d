"""Data sets that are known by name: where they come from, and how they become a folder of ours."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models.contracts import Progress
from models.errors import NotFoundError

EMBEDDED = ("digits", "digits-all", "tablets", "walkway")
"""Sets that are generated, the same bytes on every machine; the quick ones first."""
TORCHVISION = ("cifar10", "fashionmnist", "mnist", "svhn", "usps")

ABOUT = {
    "digits": "scikit-learn's handwritten digits, one of them normal; embedded",
    "digits-all": "the same with all ten digits as normal, for clustering; embedded",
    "tablets": "generated photographs of pills, with chips, cracks, hairs and stains; embedded",
    "walkway": "a generated camera over a walkway, with cyclists, runners and carts; embedded",
    "ped1": "UCSD Ped1, a real walkway seen from its end; 706 MB, for research",
    "ped2": "UCSD Ped2, a real walkway seen from the side; 706 MB, for research",
    "cifar10": "CIFAR-10, photographs of 10 classes; 163 MB",
    "fashionmnist": "Fashion-MNIST, garments of 10 classes; 30 MB",
    "mnist": "MNIST, handwritten digits; 11 MB",
    "svhn": "Street View House Numbers; 235 MB, not for commercial use",
    "usps": "USPS, scanned postal digits; 8 MB",
    "mvtec": "MVTec AD, one of its categories; 5.3 GB, CC BY-NC-SA",
}


@dataclass(frozen=True, kw_only=True)
class Source:
    """A public data set that is downloaded, or taken from a folder of raw files."""

    name: str
    """Its folder below ``data/``."""
    obtain: Callable[[Path, Path, Progress], Path]
    """(downloads, scratch, progress) to the folder of raw files."""
    convert: Callable[[Path, Path, Progress], None]
    """(raw files, folder, progress): writes the canonical layout."""


def generate(name: str, folder: Path, progress: Progress) -> None:
    """Write an embedded set below ``folder``."""
    if name == "walkway":
        from tasks.data.sources import walkway

        walkway.write(folder, progress)
    elif name == "tablets":
        from tasks.data.sources import tablets

        tablets.write(folder, progress)
    elif name == "digits-all":
        from tasks.data.sources import digits

        digits.write_all(folder)
    else:
        from tasks.data.sources import digits

        digits.write(folder)


def find(name: str) -> Source | None:
    """The public data set of that name, None if there is none.

    Names: ``ped1``, ``ped2``, ``mvtec-<category>`` (or ``mvtec/<category>``), and ``mnist``,
    ``fashionmnist``, ``usps``, ``svhn``, ``cifar10``, where ``mnist-3`` (or ``mnist:3``) picks the
    class that counts as normal, class 0 without, and ``mnist-all`` takes all of them as normal.
    """
    name = re.sub(r"[/:]", "-", name.lower())
    if name in ("ped1", "ped2"):
        return _ped(name)
    if name.startswith("mvtec-"):
        return _mvtec(name)
    parts = re.fullmatch(r"(\w+?)(?:-(\d|all))?", name)
    if parts and parts[1] in TORCHVISION:
        return _torchvision(name, parts[1], None if parts[2] == "all" else int(parts[2] or 0))
    return None


def get(name: str) -> Source:
    """The public data set of that name.

    Raises:
        NotFoundError: If there is none.
    """
    if found := find(name):
        return found
    raise NotFoundError(
        f"There is no data set '{name}'. Known by name: {', '.join(names())}; mnist-3 makes 3 the "
        "normal class, mnist-all every one. "
        f"Bring your own in with 'unseen ingest DIR --as {name}'."
    )


def names() -> tuple[str, ...]:
    """Names of all public and embedded sets."""
    from tasks.data.sources import mvtec

    categories = (f"mvtec-{category}" for category in mvtec.CATEGORIES)
    return (*EMBEDDED, "ped1", "ped2", *TORCHVISION, *categories)


def about(name: str) -> str:
    """One line on a data set; on one that is not known by name, that it is the user's own."""
    known = name in EMBEDDED or find(name)
    return ABOUT.get(name, ABOUT.get(name.partition("-")[0], "")) if known else "yours"


def _ped(name: str) -> Source:
    from tasks.data.sources import ped

    camera = f"UCSD{name}"
    return Source(
        name=name, obtain=partial(ped.obtain, camera), convert=partial(ped.convert, camera)
    )


def _mvtec(name: str) -> Source | None:
    from tasks.data.sources import mvtec

    category = name.removeprefix("mvtec-").replace("-", "_")
    if category not in mvtec.CATEGORIES:
        return None
    return Source(
        name=f"mvtec-{category}",
        obtain=partial(mvtec.obtain, category),
        convert=partial(mvtec.convert, category),
    )


def _torchvision(name: str, stem: str, normal: int | None) -> Source:
    from tasks.data.sources import torchvision_sets

    return Source(
        name=name,
        obtain=partial(torchvision_sets.obtain, stem),
        convert=partial(torchvision_sets.convert, stem, normal),
    )
