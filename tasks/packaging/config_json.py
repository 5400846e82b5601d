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
    if isinstance(value, list):
        return tuple(from_json(each, load_module) for each in value)
    if not isinstance(value, dict):
        return value
    values = {key: from_json(each, load_module) for key, each in value.items() if key != "class"}
    if "class" not in value:
        return values
    module, _, name = value["class"].partition(":")
    found = attrgetter(name)(load_module(module))
    return found[values["member"]] if issubclass(found, Enum) else found(**values)


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"
