"""Export: a registered detector as a folder that needs nothing of this project to score images.

detector.onnx | detector.xml, detector.bin | detector.pt2   from bytes to scores and maps
detector.json      input, outputs, thresholds, preprocessing, p-values, agreement with torch
example.py         how to run it, with NumPy and one engine
lineage.json, files.json, trace.json    what it was made from, and every file of its data
calibration.safetensors, reference.safetensors    what is normal, for ``unseen serve FOLDER``
program.json, expected.safetensors      what the program must give here; beside detector.onnx
SHA256SUMS         of all of them, for ``sha256sum -c``
"""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.errors import InvalidInputError
from tasks.lineage.trace import trace
from tasks.packaging import make_program, package
from tasks.packaging.calibration import Calibration
from tasks.packaging.detector import Packaged
from tasks.packaging.normality import CALIBRATION, save_reference
from tasks.packaging.program import EXPECTED, FILE, FOLDER, RECORD, noise
from tasks.registry import mlflow_store, model_versions
from tasks.serving.exported import ABOUT, SUMS, TRACE

FORMATS = ("onnx", "openvino", "torch")
PROGRAMS = {"onnx": "detector.onnx", "openvino": "detector.xml", "torch": "detector.pt2"}
KEPT = ("lineage.json", "files.json", CALIBRATION)
OPENED = {
    "onnx": """import onnxruntime

session = onnxruntime.InferenceSession(here / "detector.onnx")
results = session.run(list(about["outputs"]), {"images": images})
""",
    "openvino": """import openvino

settings = {"INFERENCE_PRECISION_HINT": "f32"}
program = openvino.Core().compile_model(here / "detector.xml", "CPU", settings)
results = list(program([images]).values())
""",
    "torch": """import torch

program = torch.export.load(here / "detector.pt2").module()
results = [each.numpy() for each in program(torch.from_numpy(images))]
""",
}
EXAMPLE = '''"""Score images: python example.py [images.npy]; uint8, (number, {shape})."""

import json
import sys
from pathlib import Path

import numpy as np
{imported}

here = Path(__file__).parent
about = json.loads((here / "detector.json").read_text())
size = about["input"]["shape"][1:]
images = np.load(sys.argv[1]) if len(sys.argv) > 1 else np.zeros((1, *size), np.uint8)
{run}
table = about["p_values"]
for score in dict(zip(about["outputs"], results))["image_score"]:
    p = table["p_value"][np.searchsorted(table["image_score"], score)]
    print(f"score {{score:.6g}}  p {{p:.3g}}  anomalous {{bool(score >= about['threshold'])}}")
'''


def export(reference: str, target: Path, kind: str = "onnx") -> dict[str, Any]:
    """Write a registered detector to a new folder; it is there whole or not at all.

    Args:
        reference: NAME, NAME@alias or NAME@version; the champion if neither is given.
        target: Folder to be made.
        kind: One of ``FORMATS``.

    Returns:
        What ``detector.json`` says.

    Raises:
        NotFoundError: If there is no such version.
        InvalidInputError: If the folder has files already, the format is unknown, or the detector
            cannot be exported; says why.
        RegistryError: If the package does not load.
    """
    if kind not in FORMATS:
        raise InvalidInputError(f"format must be one of {', '.join(FORMATS)}, got {kind!r}.")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InvalidInputError(f"{target} must be a new folder or an empty one. Choose another.")
    version = model_versions.find(mlflow_store.client(), reference)
    source = model_versions.folder(version.source)
    packaged = package.load(source)
    part = target.with_name(f"{target.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        record = _write_program(part, source, packaged, kind)
        about = {
            "model": version.name,
            "version": int(version.version),
            **_described(packaged, record, kind),
        }
        (part / ABOUT).write_text(json.dumps(about, indent=1))
        told = asdict(trace(f"{version.name}@{version.version}"))
        (part / TRACE).write_text(json.dumps(told, indent=1))
        (part / "example.py").write_text(_example(record, kind))
        for name in KEPT:
            shutil.copyfile(source / name, part / name)
        if packaged.reference is not None:
            save_reference(part, packaged.reference)
        sums = package.checksums(part)
        lines = [f"{value}  {name}\n" for name, value in sums.items()]
        (part / SUMS).write_text("".join(lines))
        if target.is_dir():
            target.rmdir()
        part.rename(target)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return about


def _write_program(part: Path, source: Path, packaged: Packaged, kind: str) -> dict[str, Any]:
    """Write the program in a format; the record of the ONNX program that it was made of."""
    record = _record(part, source, packaged)
    if not record["usable"]:
        raise InvalidInputError(
            f"This version cannot be exported. {record['why']} Serve it with 'unseen serve'."
        )
    made = part / PROGRAMS["onnx"]
    if kind == "openvino":
        import openvino

        model = openvino.convert_model(made)
        openvino.save_model(model, part / PROGRAMS[kind], compress_to_fp16=False)
    if kind == "torch":
        images = torch.from_numpy(noise(tuple(record["input"]["shape"][1:])))
        make_program.export_torch(packaged.detector, images, part / PROGRAMS[kind])
    if kind == "onnx":
        (part / RECORD).write_text(json.dumps(record, indent=1))
    else:
        made.unlink()
        (part / EXPECTED).unlink()
    return record


def _record(part: Path, source: Path, packaged: Packaged) -> dict[str, Any]:
    """Copy the package's program; make one of an older package, compared on noise."""
    kept = source / FOLDER / RECORD
    if kept.is_file():
        record: dict[str, Any] = json.loads(kept.read_text())
        if record["usable"]:
            for name in (FILE, EXPECTED):
                shutil.copyfile(source / FOLDER / name, part / name)
        return record
    preprocessing = packaged.preprocessing
    if preprocessing.image_size is None:
        raise InvalidInputError(
            "This version was registered before programs were, and its recipe names no image_size "
            "that one could be made for. Train it again to export it."
        )
    size = (preprocessing.window * preprocessing.channels, *preprocessing.image_size)
    made = part / "made"
    made.mkdir()
    try:
        record = make_program.write(made, packaged.detector, torch.from_numpy(noise(size)))
    except Exception as error:
        raise InvalidInputError(f"This version cannot be exported: {error}") from error
    for name in (FILE, EXPECTED):
        shutil.move(made / name, part / name)
    shutil.rmtree(made)
    return {**record, "compared_on": "noise, as the version was registered before programs were"}


def _described(packaged: Packaged, record: dict[str, Any], kind: str) -> dict[str, Any]:
    return {
        "program": PROGRAMS[kind],
        "model_digest": packaged.digest,
        "data_digest": packaged.lineage["data"]["digest"],
        **{key: value for key, value in record.items() if key not in ("usable", "slow")},
        "preprocessing": asdict(packaged.preprocessing),
        "threshold": packaged.threshold,
        "pixel_threshold": packaged.pixel_threshold,
        "smoothing": packaged.smoothing,
        "p_values": _p_values(packaged.calibration),
    }


def _p_values(calibration: Calibration) -> dict[str, list[float]]:
    """P-values as a table: that of a score is the one at its place among ``image_score``."""
    scores = np.unique(calibration.image_score)
    above = np.append(scores, np.nextafter(scores[-1], np.inf))
    return {"image_score": scores.tolist(), "p_value": calibration.p_values(above).tolist()}


def _example(record: dict[str, Any], kind: str) -> str:
    imported, _, run = OPENED[kind].partition("\n\n")
    shape = ", ".join(map(str, record["input"]["shape"][1:]))
    return EXAMPLE.format(shape=shape, imported=imported, run=run)
