"""Exported: answer with what ``unseen export`` wrote, without MLflow and without torch."""

import json
from pathlib import Path
from typing import Any, NoReturn

from models.errors import InvalidInputError, RegistryError
from tasks.packaging import package
from tasks.packaging.detector import Packaged
from tasks.packaging.normality import load_calibration, load_reference
from tasks.packaging.program import AUTO, RECORD, choose, default_threads
from tasks.serving.deployed import Deployed, spare_the_loaded, warm

ABOUT, SUMS, TRACE = "detector.json", "SHA256SUMS", "trace.json"


def is_one(folder: str) -> bool:
    """Whether a name is that of a folder that ``unseen export`` wrote."""
    return (Path(folder) / ABOUT).is_file() and (Path(folder) / SUMS).is_file()


class Exported:
    """A detector from a folder, loaded once; it is a ``tasks.serving.deployed.Source``.

    Args:
        folder: Written by ``tasks.serving.export``, in the format ``onnx``.
        false_alarm_rate: Share of normal frames that may be called anomalous.
        engine: What scores; see ``tasks.packaging.program.choose``.

    Raises:
        InvalidInputError: If it has another format, or the engine is not here, or the calibration
            cannot vouch for the false-alarm rate.
        RegistryError: If a file is missing, was changed or was added.
    """

    def __init__(
        self, folder: Path, *, false_alarm_rate: float | None = None, engine: str = AUTO
    ) -> None:
        about = verify(folder)
        self.name: str = about["model"]
        self.false_alarm_rate = false_alarm_rate
        self.problem: str | None = None
        packaged = load(folder, about, engine)
        self.deployed: Deployed | None = warm(
            self.name, about["version"], packaged, false_alarm_rate
        )
        self._trace: dict[str, Any] = json.loads((folder / TRACE).read_text())

    def start(self) -> None:
        """It is loaded already."""
        spare_the_loaded()

    def stop(self) -> None:
        """There is nothing to end."""

    def lineage(self, deployed: Deployed) -> dict[str, Any]:  # noqa: ARG002 - there is one only
        """What ``tasks.lineage.trace`` told of the version when it was exported."""
        return self._trace


def verify(folder: Path) -> dict[str, Any]:
    """What ``detector.json`` says, after every file was compared with ``SHA256SUMS``.

    Raises:
        InvalidInputError: If nothing here can run its program.
        RegistryError: If a file is missing, was changed or was added.
    """
    lines = (folder / SUMS).read_text().splitlines()
    recorded = {name: value for value, _, name in (line.partition("  ") for line in lines)}
    actual = {name: value for name, value in package.checksums(folder).items() if name != SUMS}
    differing = sorted({name for name, _ in recorded.items() ^ actual.items()})
    if differing:
        raise RegistryError(
            f"The exported detector in {folder} must have exactly the bytes it was written with; "
            f"changed, missing or added: {', '.join(differing)}. Export it again."
        )
    about: dict[str, Any] = json.loads((folder / ABOUT).read_text())
    if not {RECORD, TRACE} <= actual.keys():
        raise InvalidInputError(
            f"{folder} must hold a detector in the format onnx that can be served, got "
            f"{about['program']}. Write it with 'unseen export {about['model']} FOLDER'."
        )
    return about


def load(folder: Path, about: dict[str, Any], engine: str) -> Packaged:
    """The detector of a folder that was verified."""
    program, choice = choose(folder, engine, default_threads(), None)
    if program is None:
        raise InvalidInputError(
            f"An exported detector must be run by onnxruntime or openvino. {choice.why}"
        )
    size = " x ".join(map(str, program.size))

    def network() -> NoReturn:
        raise InvalidInputError(
            f"This detector was exported for inputs of {size} values, and takes no others. Send "
            "images of that size, or serve the version from its registry."
        )

    return Packaged(
        network,
        preprocessing=package.preprocessing_of(about),
        threshold=about["threshold"],
        smoothing=about["smoothing"],
        pixel_threshold=about["pixel_threshold"],
        calibration=load_calibration(folder),
        lineage=json.loads((folder / "lineage.json").read_text()),
        digest=about["model_digest"],
        program=program,
        engine=choice,
        reference=load_reference(folder),
    )
