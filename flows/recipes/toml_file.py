"""A recipe as a TOML file: what ``unseen recipe show`` writes and ``--recipe mine.toml`` reads."""

import dataclasses
import tomllib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import tomlkit

from flows.recipes.fields import check_field, convert, docs
from flows.recipes.recipe import Recipe, describe
from models.errors import InvalidInputError, NotFoundError
from tasks.platform import former_names

ABSENT = "none"
"""TOML has no word for None."""


def write(recipe: Recipe) -> str:
    """A recipe as TOML, every field with what it means."""
    text = tomlkit.document()
    text.add(tomlkit.comment("A recipe of unseen: unseen retrain --recipe THIS_FILE"))
    _fill(text, recipe)
    return tomlkit.dumps(text)


def read(path: Path) -> Recipe:
    """The recipe of a TOML file.

    Raises:
        NotFoundError: If there is no such file, or it names a class that does not exist.
        InvalidInputError: If it is no TOML, lacks a field, or a value does not fit its field.
    """
    try:
        described = tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise NotFoundError(f"The recipe file {path} must exist, and does not.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(
            f"The recipe file {path} must be TOML, and is not: {error}."
        ) from error
    try:
        recipe: Recipe = _dataclass(Recipe, described, "")
    except (InvalidInputError, NotFoundError) as error:
        raise InvalidInputError(f"{path}: {error}") from error
    return recipe


def _fill(table: Any, config: Any) -> None:
    """Plain values first, tables after them, as TOML wants it."""
    meant, plain = docs(type(config)), describe(config)
    inner = [each for each in dataclasses.fields(config) if _is_config(getattr(config, each.name))]
    if not isinstance(config, Recipe):
        table.add("class", plain["class"])
    for each in dataclasses.fields(config):
        if each in inner:
            continue
        value = plain[each.name]
        item = tomlkit.item(ABSENT if value is None else value)
        if each.name in meant:
            item.comment(meant[each.name])
        table.add(each.name, item)
    for each in inner:
        part = tomlkit.table()
        _fill(part, getattr(config, each.name))
        table.add(each.name, part)


def _is_config(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _dataclass(kind: type[Any], described: Mapping[str, Any], path: str) -> Any:
    values = {}
    for name, value in described.items():
        if name == "class":
            continue
        shown = f"{path}.{name}" if path else name
        check_field(kind, name, shown)
        values[name] = _value(kind, name, None if value == ABSENT else value, shown)
    try:
        return kind(**values)
    except TypeError as error:
        missing = str(error).partition("argument")[2].lstrip("s: ") or str(error)
        raise InvalidInputError(f"{path or 'The recipe'} lacks {missing}.") from error


def _value(kind: type[Any], name: str, value: Any, shown: str) -> Any:
    if not isinstance(value, Mapping):
        return convert(kind, name, value, shown) if value is not None else None
    default = next(each.type for each in dataclasses.fields(kind) if each.name == name)
    inner = _class(value["class"], shown) if "class" in value else default
    if isinstance(inner, type) and issubclass(inner, Enum):
        return inner[value["member"]]
    if not dataclasses.is_dataclass(inner):
        raise InvalidInputError(f"{shown} must say its class, such as class = 'models...Config'.")
    return _dataclass(inner, value, shown)  # type: ignore[arg-type]


def _class(name: str, shown: str) -> Any:
    try:
        return former_names.find(name)
    except NotFoundError as error:
        raise NotFoundError(
            f"{shown} names the class {name}, which does not exist here."
        ) from error
