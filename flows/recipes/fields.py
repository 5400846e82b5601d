"""Fields of configurations: set by name and checked against their types, and what they mean."""

import ast
import dataclasses
import inspect
import textwrap
import tomllib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from models.errors import InvalidInputError

T = TypeVar("T")


def assign(config: T, assignment: str) -> T:
    """A configuration with one field replaced, such as ``detector.shrinkage=0.2``.

    Args:
        config: A dataclass, whose fields may be dataclasses.
        assignment: ``FIELD.FIELD=VALUE``; the value as in TOML, or a plain word.

    Raises:
        InvalidInputError: If there is no such field, or the value is not of its type; lists the
            fields.

    Example:
        >>> from tasks.records import Training
        >>> assign(Training(), "batch_size=8").batch_size
        8
    """
    path, equals, text = assignment.partition("=")
    if not equals:
        raise InvalidInputError(
            f"A setting must be FIELD=VALUE, such as detector.shrinkage=0.2, got {assignment!r}."
        )
    changed: T = _assign(config, path.strip().split("."), _literal(text.strip()), path.strip())
    return changed


def _assign(config: Any, path: list[str], value: Any, shown: str) -> Any:
    name, rest = path[0], path[1:]
    check_field(type(config), name, shown)
    if rest:
        inner = getattr(config, name)
        if not dataclasses.is_dataclass(inner):
            raise InvalidInputError(f"{shown} goes too deep: {name} has no fields of its own.")
        return dataclasses.replace(config, **{name: _assign(inner, rest, value, shown)})
    return dataclasses.replace(config, **{name: convert(type(config), name, value, shown)})


def check_field(kind: type[Any], name: str, shown: str) -> None:
    """Raise unless a class has a field; the message lists those it has, and what they mean.

    Raises:
        InvalidInputError: If it has not.
    """
    known = {each.name for each in dataclasses.fields(kind)}
    if name not in known:
        meant = docs(kind)
        lines = "".join(f"\n  {each}  {meant.get(each, '')}".rstrip() for each in sorted(known))
        raise InvalidInputError(
            f"There is no field {shown!r}: {kind.__qualname__.removesuffix('.Config')} has{lines}"
        )


def convert(kind: type[Any], name: str, value: Any, shown: str) -> Any:
    """A plain value as the type of a field wants it.

    Raises:
        InvalidInputError: If it is not of that type.
    """
    hint = get_type_hints(kind)[name]
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        said = error.errors()[0]["msg"]
    except Exception:
        said = "it is a part of its own: choose it by --detector, --encoder or --pretext"
    wanted = getattr(hint, "__name__", None) or str(hint)
    raise InvalidInputError(f"{shown} must be {wanted}, got {value!r}: {said}.")


def _literal(text: str) -> Any:
    """``0.2``, ``true``, ``[256, 256]``, ``none`` or a word."""
    if text.lower() == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def docs(kind: type[Any]) -> Mapping[str, str]:
    """First sentence of the description of each field of a configuration."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except OSError:
        return {}
    body = tree.body[0].body  # type: ignore[attr-defined]
    found = {}
    for field, text in pairwise(body):
        described = isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and described:
            sentence = " ".join(str(text.value.value).split())
            found[field.target.id] = sentence.partition(". ")[0].rstrip(".")
    return found
