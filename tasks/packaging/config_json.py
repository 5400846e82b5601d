"""Configurations as JSON that names their classes, so that nothing must be pickled."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from operator import attrgetter
from types import ModuleType
from typing import Any, TypeAlias

from models.errors import RegistryError

Json: TypeAlias = Any


def to_json(value: Json) -> Json:
    """A configuration as JSON; dataclasses and enum members carry the name of their class.

    Raises:
        RegistryError: If it holds anything else than those, plain values, tuples and mappings.
    """
    if isinstance(value, Enum):
        return {"class": _name(type(value)), "member": value.name}
    if is_dataclass(value) and not isinstance(value, type):
        values = {each.name: to_json(getattr(value, each.name)) for each in fields(value)}
        return {"class": _name(type(value)), **values}
    if isinstance(value, tuple | list):
        return [to_json(each) for each in value]
    if isinstance(value, Mapping):
        return {str(key): to_json(each) for key, each in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise RegistryError(
        "A Config must be made of numbers, strings, tuples, mappings, enums and dataclasses, so "
        f"that it can be stored without pickling; got {type(value).__name__} {value!r}."
    )


def from_json(value: Json, load_module: Callable[[str], ModuleType]) -> Any:
    """The configuration that ``to_json`` described, of classes in the modules that are loaded."""

    def make(name: str, values: dict[str, Any]) -> Any:
        module, _, inner = name.partition(":")
        return instance(attrgetter(inner)(load_module(module)), values)

    return rebuilt(value, make)


def rebuilt(value: Json, make: Callable[[str, dict[str, Any]], Any]) -> Any:
    """What JSON that names classes describes.

    Args:
        value: Of tuples, mappings, and mappings with the name of a ``class``.
        make: Makes an instance, of the class of that name and its values.
    """
    if isinstance(value, list | tuple):
        return tuple(rebuilt(each, make) for each in value)
    if not isinstance(value, Mapping):
        return value
    values = {key: rebuilt(each, make) for key, each in value.items() if key != "class"}
    return make(value["class"], values) if "class" in value else values


def instance(kind: Any, values: dict[str, Any]) -> Any:
    """A dataclass of these values, or the member of an enum."""
    return kind[values["member"]] if issubclass(kind, Enum) else kind(**values)


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
