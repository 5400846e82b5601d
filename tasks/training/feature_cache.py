"""Features of images, kept from one fit to the next: a refit runs the network on new images only.

A pretrained trunk never changes, so neither do its features of an image. They lie below
``.unseen/features``, for each data set apart, named by the trunk, the libraries and the pixels;
losing them costs time and nothing else; ``--refresh`` forgets them. What a fit did not want is
deleted after it, so that nothing stays of an image that was removed from the data set.

Each image goes through the network by itself, so that its features are the same to the last bit
whatever else was in its batch, and a refit gives what a first fit gives.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version as installed
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.contracts import Encoder
from models.encoders.pretrained import PretrainedTrunk
from tasks.packaging import config_json, tensors
from tasks.platform import files, source_digests, workspace
from tasks.registry.caching import is_refreshing

MOST_PIXELS = 1024**2
"""Features of larger images are not kept: they would fill the disk."""


@contextmanager
def cached(encoder: Encoder, data_set: str, device: torch.device) -> Iterator[None]:
    """While this lasts, a pretrained trunk takes the features of images that it knows from disk.

    Any other encoder is left as it is, and so is a trunk on another device than the CPU.

    Args:
        encoder: Its ``feature_maps`` are replaced until the end.
        data_set: Name of the data set; at the end, only features that were wanted are left of it.
        device: That the encoder runs on.
    """
    if not isinstance(encoder, PretrainedTrunk) or device.type != "cpu":
        yield
        return
    compute, folder = encoder.feature_maps, workspace.home() / "features" / data_set
    basis, wanted = _basis(encoder), set()
    if is_refreshing():
        shutil.rmtree(folder, ignore_errors=True)

    def feature_maps(images: Tensor) -> list[Tensor]:
        if images.shape[-2] * images.shape[-1] > MOST_PIXELS:
            return compute(images)
        found = []
        for image in images:
            path = folder / f"{_name(basis, image)}.safetensors"
            wanted.add(path)
            found.append(_stored(path) or _store(path, compute(image[None])))
        return [torch.cat(maps) for maps in zip(*found, strict=True)]

    with encoder.maps_from(feature_maps):
        yield
    for path in set(folder.glob("*.safetensors")) - wanted:
        path.unlink(missing_ok=True)


def _stored(path: Path) -> list[Tensor] | None:
    try:
        return [value for _, value in sorted(load_file(path).items())]
    except (OSError, SafetensorError):
        return None


def _store(path: Path, maps: list[Tensor]) -> list[Tensor]:
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = [
        each.contiguous() for each in maps
    ]  # as they are read: the order of sums depends on it
    with files.whole(path) as part:
        save_file({str(number): each for number, each in enumerate(plain)}, part)
    return plain


def _name(basis: str, image: Tensor) -> str:
    digest = hashlib.blake2b(basis.encode(), digest_size=20)
    digest.update(f"{image.dtype}{tuple(image.shape)}".encode())
    digest.update(image.contiguous().numpy().tobytes())
    return digest.hexdigest()


def _basis(encoder: PretrainedTrunk) -> str:
    """Digest of all that the features of an image depend on, besides its pixels."""
    described = {
        "encoder": config_json.to_json(encoder.config),
        "code": source_digests.version(type(encoder)),
        "libraries": [installed(name) for name in ("torch", "timm")],
    }
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    digest.update(tensors.content(encoder.state_dict()))
    return digest.hexdigest()
