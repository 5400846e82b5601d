"""Make a program of a fitted detector: from the bytes of images to scores and maps, in ONNX.

The program holds everything: the scaling of 8-bit values, the trunk, Gaussians or memory, the map
and the image score. Engines run it without torch, and several times as fast on a processor. It
takes any number of images of the size that it was made with.

Shapes: N = images, C = window or channels, H W = image.
"""

import copy
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves

from models.capabilities import Observable
from models.contracts import WINDOW, Detector
from models.errors import InvalidInputError
from tasks.packaging import package, trunk_program
from tasks.packaging.preprocessing import windows
from tasks.packaging.program import (
    EXPECTED,
    FEATURES,
    FILE,
    FOLDER,
    INPUT,
    PARITY,
    RECORD,
    SCORE,
    TORCH_MARGIN,
    Program,
    difference,
    milliseconds,
    noise,
)
from tasks.packaging.tensors import as_tensor

log = logging.getLogger(__name__)

OPSET, LARGEST_BATCH = 20, 4096
CLIP = 16
"""Windows of the clip by which it is timed."""
PROBED = 8
"""Held-out images whose scores by the program are compared with those of torch."""
NAMES = (SCORE, "anomaly_map", "soft_assignment", FEATURES)


class _Traced(TorchFunctionMode):
    """Traces what depends on the images, and nothing else.

    What a detector computes from what it learned alone is computed here and now, and its result is
    part of the program: whether it is fitted, a matrix that whitens, which vectors support it.
    Batches that it cuts to save memory stay whole: their length is not known yet.
    """

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: Any = (),
        kwargs: Any = None,
    ) -> Any:
        kwargs = kwargs or {}
        if not any(map(_depends, tree_leaves((args, kwargs)))):
            with _disable_current_modes():
                return func(*args, **kwargs)
        if getattr(func, "__name__", "") == "cdist":  # whose way depends on the number of images
            one, other = args[:2]
            squared = one.square().sum(-1)[..., None] + other.square().sum(-1)[..., None, :]
            return (squared - 2 * one @ other.mT).clamp(min=0).sqrt()
        split = func in (torch.split, Tensor.split) and len(args) == 2 and not kwargs.get("dim")
        if split and not isinstance(args[0].shape[0], int):
            return (args[0],)
        return func(*args, **kwargs)


def _depends(value: Any) -> bool:
    return isinstance(value, FakeTensor | torch.SymInt | torch.SymFloat | torch.SymBool)


class _Whole(nn.Module):
    """A detector as a function of bytes, whose results are those that it has of ``NAMES``."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.kept = (detector,)  # not as a module: what it learned is constant

    def found(self, images: Tensor) -> dict[str, Tensor]:
        (detector,), features = self.kept, None
        values = images.float() / 255
        if isinstance(detector, Observable):
            scores, features = detector.observe(values)
        else:
            scores = detector(values)
        named = zip(NAMES, (*scores, features), strict=True)
        return {name: value for name, value in named if value is not None}

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        with _Traced():
            return tuple(self.found(images).values())


def add_program(folder: Path, detector: Detector, images: Tensor) -> dict[str, Any]:
    """Write a detector's program into its package, and say in its lineage what it is worth.

    A detector that cannot be exported, or whose program does not score as it does, goes without:
    the record says why, and it is served by torch.

    Args:
        folder: Package, written by ``package.save``.
        detector: The fitted detector.
        images: Held-out images in [0, 1], by which the program is compared with it. Shape
            (N, C, H, W).

    Returns:
        The record: ``usable``, and ``parity`` or ``why``.
    """
    target = folder / FOLDER
    target.mkdir()
    shown = (images[:PROBED] * 255).round().byte().cpu()
    try:
        record = write(target, detector, shown)
    except Exception as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        record = {"usable": False, "why": f"It cannot be exported: {told[0][:300]}"}
        log.debug("The detector cannot be exported.", exc_info=error)
    if not record["usable"]:
        log.warning("This version will be served by torch. %s", record["why"])
        shutil.rmtree(target)
        target.mkdir()
    (target / RECORD).write_text(json.dumps(record, indent=1))
    _enter(folder, {key: record[key] for key in ("usable", "parity", "why") if key in record})
    return record


def write(folder: Path, detector: Detector, images: Tensor) -> dict[str, Any]:
    """Write the program of a detector to a folder, with what it gives for noise.

    Args:
        folder: Where ``FILE`` and ``EXPECTED`` are written.
        detector: Fitted.
        images: uint8, of the size that it is made for; compared by. Shape (N, C, H, W).

    Returns:
        Its record.

    Raises:
        InvalidInputError: If the detector refuses the images.
        RuntimeError: If torch cannot export it; by several classes of its own.
    """
    whole, probe = _whole(detector), noise(tuple(images.shape[1:]))
    with torch.no_grad():
        expected = _numpy(whole.found(images))
        onnx.save(_exported(whole, images), folder / FILE)
        of_noise = _numpy(whole.found(torch.from_numpy(probe)))
    save_file({k: v for k, v in of_noise.items() if k != FEATURES}, folder / EXPECTED)
    record = _described(images, expected)
    (folder / RECORD).write_text(json.dumps(record))
    parity = _parity(folder, images, expected)
    record["parity"] = {**parity, "bound": PARITY, "num_images": len(images)}
    worst = max(parity.values())
    record["usable"] = bool(worst <= PARITY)
    record["slow"], record["slow_on_clips"] = _is_slow(folder, whole, probe)
    if not record["usable"]:
        record["why"] = (
            f"Its program must give what torch gives within {PARITY:g} of the largest value, and "
            f"differs by {worst:.3g}."
        )
    (folder / RECORD).write_text(json.dumps(record, indent=1))
    return record


def export_torch(detector: Detector, images: Tensor, file: Path) -> None:
    """Write the same program as torch's own format (``torch.export``), for ``torch.export.load``.

    Raises:
        RuntimeError: If torch cannot export it.
    """
    whole = _whole(detector)
    with torch.no_grad():
        torch.export.save(_traced(whole, (images,)), file)


def _whole(detector: Any) -> _Whole:
    if not isinstance(detector, nn.Module):
        raise InvalidInputError(f"{type(detector).__name__} is no torch module.")
    return _Whole(copy.deepcopy(detector).cpu().eval().requires_grad_(False))


def _traced(module: nn.Module, inputs: tuple[Tensor, ...]) -> torch.export.ExportedProgram:
    # 1 would be taken as fixed; and so would the number of images by the strides of a view
    two = tuple(each[:2] if len(each) > 1 else each.repeat(2, 1, 1, 1) for each in inputs)
    given = tuple(each.contiguous() for each in two)
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    sizes: Any = tuple({0: batch} for _ in given)
    if len(given) > 1:
        sizes = (sizes[0], sizes[1:])  # the others are one argument, *maps
    return torch.export.export(module, given, dynamic_shapes=sizes, strict=False)


def _exported(whole: _Whole, images: Tensor) -> onnx.ModelProto:
    names = [INPUT, *whole.found(images[:1])]
    (detector,) = whole.kept
    if trunk_program.splits(detector, images):
        encoder: Any = detector.encoder
        return trunk_program.joined(whole, encoder, images, names, _onnx)
    return _onnx(whole, (images,), names[:1], names[1:])


def _onnx(
    module: nn.Module, given: tuple[Tensor, ...], inputs: list[str], outputs: list[str]
) -> onnx.ModelProto:
    made = torch.onnx.export(
        _traced(module, given),
        opset_version=OPSET,
        input_names=inputs,
        output_names=outputs,
        dynamo=True,
        verbose=False,
    )
    assert made is not None
    _forget_where(made.model)
    found: onnx.ModelProto = made.model_proto
    return found


def _forget_where(model: Any) -> None:
    """Drop notes of the exporter, which name folders of this machine."""
    for graph in (model.graph, *model.functions.values()):
        values = [value for node in graph for value in node.outputs]
        for each in (model, graph, *graph, *values, *graph.inputs):
            each.metadata_props.clear()


def _described(images: Tensor, found: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    return {
        "format": 1,
        "input": {"name": INPUT, "dtype": "uint8", "shape": ["N", *images.shape[1:]]},
        "outputs": {
            name: {"dtype": str(value.dtype), "shape": ["N", *value.shape[1:]]}
            for name, value in found.items()
        },
        "usable": True,
    }


def _parity(folder: Path, images: Tensor, expected: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """Largest difference of each result from torch's, in a batch and one by one."""
    program, inputs = _opened(folder), images.numpy()
    together = program(inputs, features=True)
    single = [program(inputs[number : number + 1], features=True) for number in range(len(inputs))]
    return {
        name: max(
            difference(together[name], value),
            difference(np.concatenate([each[name] for each in single]), value),
        )
        for name, value in expected.items()
    }


def _is_slow(folder: Path, whole: _Whole, probe: NDArray[np.uint8]) -> tuple[bool, bool]:
    """Whether torch is much quicker here for images, and for a clip: loading has to know."""
    program, (detector,), cpu = _opened(folder), whole.kept, torch.device("cpu")

    def slow(images: NDArray[np.uint8]) -> bool:
        with torch.no_grad():
            by_torch = milliseconds(lambda each: detector(as_tensor(each, cpu)), images)
        return by_torch * TORCH_MARGIN < milliseconds(program, images)

    clip = np.resize(probe, (WINDOW + CLIP - 1, *probe.shape[2:]))
    return slow(probe), probe.shape[1] == WINDOW and slow(windows(clip, WINDOW))


def _opened(folder: Path) -> Program:
    return Program(folder, "onnxruntime", threads=torch.get_num_threads())


def _numpy(found: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
    return {name: value.contiguous().numpy() for name, value in found.items()}


def _enter(folder: Path, told: Mapping[str, Any]) -> None:
    """Record the program in the lineage, and all files anew in the digest."""
    lineage = json.loads((folder / "lineage.json").read_text()) | {"program": dict(told)}
    (folder / "lineage.json").write_text(json.dumps(lineage, indent=1))
    sums = package.checksums(folder)
    (folder / "digest.json").write_text(json.dumps(sums, indent=1))
