"""Catalog: the detectors, encoders and pretext tasks there are, by the name of their file.

Nothing is registered anywhere: a file of ``models`` with one public class that has a nested
``Config`` is a method, and its name on the command line is the file's.
"""

import importlib
import inspect
import json
import pkgutil
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

from models import clustering, density, encoders, one_class, pretext
from models.contracts import DetectorConfig, EncoderConfig, PretextConfig
from models.encoders.pixels import Pixels
from models.encoders.pretrained import PretrainedTrunk
from models.encoders.small import SmallTrunk
from models.errors import InvalidInputError, NotFoundError

COSTS = Path(__file__).with_name("costs.json")
"""Seconds that each detector takes; written by ``python -m benchmarks.costs``."""


CANDIDATES = ("patchcore", "padim", "gaussian_features")
"""Detectors of still images that are fitted in seconds; the first of equals is taken."""


@cache
def detectors() -> dict[str, type[DetectorConfig]]:
    """Configuration of every detector, by name."""
    return {**_methods(one_class), **_methods(clustering), **_methods(density)}


@cache
def trunks() -> dict[str, type[EncoderConfig]]:
    """Configuration of every encoder, by name."""
    return _methods(encoders)


@cache
def pretexts() -> dict[str, type[PretextConfig]]:
    """Configuration of every pretext task, by name."""
    return _methods(pretext)


def detector(name: str) -> DetectorConfig:
    """The default configuration of a detector.

    Raises:
        NotFoundError: If there is none of that name; lists them.
    """
    chosen: DetectorConfig = _pick("detector", detectors(), name)()
    return chosen


def candidates() -> dict[str, DetectorConfig]:
    """What ``--detector auto`` chooses from, for still images."""
    return {name: detector(name) for name in CANDIDATES}


def pretext_task(name: str) -> PretextConfig | None:
    """The default configuration of a pretext task; None for ``none``.

    Raises:
        NotFoundError: If there is none of that name; lists them.
    """
    if name == "none":
        return None
    chosen: PretextConfig = _pick("pretext task", {**pretexts(), "none": None}, name)()
    return chosen


def encoder(name: str) -> EncoderConfig:
    """An encoder: a file of ``models/encoders``, or any network of timm, ``NAME[:LAYER,LAYER]``.

    Raises:
        InvalidInputError: If it is no network, or has no such layers; lists what there is.
    """
    stem, _, layers = name.partition(":")
    if stem in trunks() and stem != "pretrained":
        if layers:
            raise InvalidInputError(
                f"Layers can be chosen of pretrained networks alone, got {name!r}. Leave "
                f"':{layers}' out."
            )
        return trunks()[stem]()
    given: dict[str, Any] = {} if stem == "pretrained" else {"backbone": stem}
    if layers:
        given["layers"] = tuple(layers.split(","))
    return PretrainedTrunk.Config(**given)


def default_encoder(chosen: DetectorConfig) -> EncoderConfig:
    """The encoder if none is asked for: pretrained, or pixels for what learns from them."""
    try:
        chosen.build(SmallTrunk.Config().build())
    except InvalidInputError:  # it refuses any features
        return Pixels.Config()
    return PretrainedTrunk.Config()


def judges_single_images(chosen: DetectorConfig) -> bool:
    """Whether a detector scores places of one image, so that windows of frames mean nothing."""
    module = importlib.import_module(type(chosen).__module__)
    return hasattr(getattr(module, type(chosen).__qualname__.partition(".")[0]), "restrict")


def name_of(chosen: DetectorConfig) -> str:
    """Name of a detector, by its configuration."""
    return type(chosen).__module__.rpartition(".")[2]


def first_line(config: type[Any]) -> str:
    """What a method is, in one line."""
    module = importlib.import_module(config.__module__)
    return (inspect.getdoc(module) or "").splitlines()[0].rstrip(".")


def costs() -> dict[str, Any]:
    """Measured seconds by detector, and on what; empty if they were not measured."""
    found: dict[str, Any] = json.loads(COSTS.read_text()) if COSTS.is_file() else {}
    return found


def settings(config: Any) -> tuple[str, ...]:
    """Names of the fields of a configuration."""
    return tuple(each.name for each in fields(config))


def _pick(what: str, known: dict[str, Any], name: str) -> Any:
    if name not in known:
        raise NotFoundError(
            f"There is no {what} {name!r}. Choose from: {', '.join(sorted(known))}."
        )
    return known[name]


def _methods(family: Any) -> dict[str, Any]:
    """``Config`` of the public class in each public module of a package."""
    found = {}
    for module in pkgutil.iter_modules(family.__path__):
        if module.name.startswith("_"):
            continue
        content = importlib.import_module(f"{family.__name__}.{module.name}")
        for thing in vars(content).values():
            own = getattr(thing, "__module__", None) == content.__name__
            if inspect.isclass(thing) and own and hasattr(thing, "Config"):
                found[module.name] = thing.Config
    return found
