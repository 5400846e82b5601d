"""The part of a program that every detector on the same trunk shares: made once, then kept.

Exporting takes seconds, and most of them go into the trunk, which a refit does not change. So a
detector on a pretrained trunk is exported from its feature maps on, and the trunk's program is put
before it. Trunks lie in ``.unseen/programs``; losing them costs time and nothing else.
"""

import hashlib
import logging
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx
import onnx.compose
import torch
from google.protobuf.message import DecodeError
from torch import Tensor, nn

from models.encoders.pretrained import LARGE, PretrainedTrunk
from tasks.packaging import tensors
from tasks.platform import files, source_digests, workspace

log = logging.getLogger(__name__)

MOST_KEPT = 4
"""Programs of trunks, the latest used first."""
HEAD = "head/"
"""Begins the names within the part behind the trunk."""
LIBRARIES = ("torch", "onnx", "onnxscript", "timm")

Export = Callable[[nn.Module, tuple[Tensor, ...], list[str], list[str]], onnx.ModelProto]
"""Exports a module, given example inputs, and names of inputs and outputs."""


class Trunk(nn.Module):
    """Feature maps of 8-bit images."""

    def __init__(self, encoder: PretrainedTrunk) -> None:
        super().__init__()
        self.kept = (encoder,)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """One map for each layer."""
        return tuple(self.kept[0].feature_maps(images.float() / 255))


class Head(nn.Module):
    """What a detector makes of feature maps.

    Args:
        whole: The detector as a function of 8-bit images.
        encoder: Its trunk.
    """

    def __init__(self, whole: nn.Module, encoder: PretrainedTrunk) -> None:
        super().__init__()
        self.kept = (whole, encoder)

    def forward(self, images: Tensor, *maps: Tensor) -> tuple[Tensor, ...]:
        """Results, as ``whole`` has them."""
        whole, encoder = self.kept
        with encoder.maps_from(lambda _: list(maps)):
            found: tuple[Tensor, ...] = whole(images)
        return found


def splits(detector: Any, images: Tensor) -> bool:
    """Whether a detector's program can be made of a trunk's and the rest."""
    encoder = getattr(detector, "encoder", None)
    return isinstance(encoder, PretrainedTrunk) and images.shape[-2:].numel() <= LARGE


def joined(
    whole: nn.Module, encoder: PretrainedTrunk, images: Tensor, names: list[str], export: Export
) -> onnx.ModelProto:
    """The program of a detector: its trunk's, known or new, and behind it the rest.

    Args:
        whole: The detector as a function of 8-bit images.
        encoder: Its trunk.
        images: Of the size that it is made for. Shape (N, C, H, W).
        names: Of the input, then of the results.
        export: Exports a module.
    """
    with torch.no_grad():
        maps = Trunk(encoder)(images)
    layers = [f"layer{number}" for number in range(len(maps))]
    head = export(Head(whole, encoder), (images, *maps), [names[0], *layers], names[1:])
    head = onnx.compose.add_prefix(head, HEAD, rename_inputs=False, rename_outputs=False)
    made = _trunk(encoder, images, names[0], layers, export)
    for field in ("node", "initializer", "value_info"):
        getattr(made.graph, field).extend(getattr(head.graph, field))
    del made.graph.output[:]
    made.graph.output.extend(head.graph.output)
    made.functions.extend(head.functions)
    onnx.checker.check_model(made)
    return made


def _trunk(
    encoder: PretrainedTrunk, images: Tensor, name: str, layers: list[str], export: Export
) -> onnx.ModelProto:
    folder = workspace.home() / "programs"
    path = folder / f"{_basis(encoder, images)}.onnx"
    if (known := _known(path)) is not None:
        return known
    made = export(Trunk(encoder), (images,), [name], layers)
    folder.mkdir(parents=True, exist_ok=True)
    with files.whole(path) as partial:
        partial.write_bytes(made.SerializeToString())
    kept = sorted(folder.glob("*.onnx"), key=lambda each: each.stat().st_mtime)
    for old in kept[:-MOST_KEPT]:
        old.unlink(missing_ok=True)
    return made


def _known(path: Path) -> onnx.ModelProto | None:
    if not path.is_file():
        return None
    try:
        found = onnx.load(path)
    except (OSError, DecodeError) as error:
        log.info("The program %s is made anew, as it cannot be read: %s", path, error)
        return None
    path.touch()  # the latest used stay
    return found


def _basis(encoder: PretrainedTrunk, images: Tensor) -> str:
    versions = [version(each) for each in LIBRARIES]
    code = source_digests.version(type(encoder), Trunk)
    told = f"{encoder.config} {tuple(images.shape[1:])} {versions} {code}"
    digest = hashlib.sha256(told.encode())
    digest.update(tensors.content(encoder.state_dict()))
    return digest.hexdigest()[:32]
