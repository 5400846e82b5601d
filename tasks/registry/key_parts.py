"""The parts of a step's key: its data, configuration, code and libraries, each by name."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from typing import Any

from tasks.platform import former_names, source_digests
from tasks.records import DataVersion, Source, TrainedModel, Validation

Parts = dict[str, dict[str, str]]
"""``data``, ``configuration``, ``code`` and ``library``, each by name."""
LIBRARIES = {
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "timm": ("timm",),
    "numpy": ("numpy",),
    "OpenCV": ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless"),
    "scikit-learn": ("scikit-learn",),
}
"""Libraries that change numbers, and the distributions that bring them."""


def parts(
    function: Callable[..., Any],
    arguments: Mapping[str, Any],
    more: Mapping[str, Any],
    names: Iterable[str],
) -> Parts:
    """All that may decide the result of a function.

    Args:
        function: With the code that computes.
        arguments: Of it, by name. A record of data or of a run counts by what it names, and so
            that ingesting another set, or validating the same again, makes nothing stale.
        more: Configuration beside the arguments.
        names: Of classes beside those of the arguments.
    """
    data: dict[str, str] = {}
    settings = flat(more) if more else {}
    for name, value in arguments.items():
        known = _data(value)
        if known is None:
            settings |= flat(value, name)
        else:
            data[name] = known
    kinds = {kind for value in arguments.values() for kind in _kinds(value)}
    return {
        "data": data,
        "configuration": settings,
        "code": source_digests.digests(function, *kinds, *names),
        "library": libraries(),
    }


def classes(recipe: Mapping[str, Any], *parts: str) -> list[str]:
    """Names of the classes of some parts of a recipe that was described."""
    named = (recipe.get(part) or {} for part in parts)
    return [former_names.present(str(each["class"])) for each in named if "class" in each]


@functools.cache
def libraries() -> dict[str, str]:
    """Versions of the libraries that change numbers; those that are not installed are absent."""
    found = {}
    for library, distributions in LIBRARIES.items():
        for distribution in distributions:
            with suppress(PackageNotFoundError):
                found[library] = installed(distribution)
    return found


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Plain values in a configuration by their dotted names, with the classes of its parts."""
    if is_dataclass(value) and not isinstance(value, type):
        own = {each.name: getattr(value, each.name) for each in fields(value)}
        value = {"class": f"{type(value).__module__}.{type(value).__qualname__}", **own}
    if isinstance(value, list | tuple) and any(is_dataclass(each) for each in value):
        value = dict(enumerate(value))
    if not isinstance(value, Mapping):
        return {prefix: repr(value) if isinstance(value, str) else str(value)}
    found: dict[str, str] = {}
    for key, inner in value.items():
        found |= flat(inner, f"{prefix}.{key}" if prefix else str(key))
    return found


def _data(value: Any) -> str | None:
    """What names the bytes that a record stands for; None for anything else."""
    if isinstance(value, DataVersion):
        return f"{value.name} {value.digest}"
    if isinstance(value, Validation):
        return value.data_digest
    if isinstance(value, TrainedModel):
        return value.run_id
    return value.digest if isinstance(value, Source) else None


def _kinds(value: Any) -> Iterator[type]:
    """Classes of the configurations in a value."""
    if is_dataclass(value) and not isinstance(value, type):
        yield type(value)
        value = [getattr(value, each.name) for each in fields(value)]
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _kinds(each)
