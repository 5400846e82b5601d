"""What every command prints with: tables and sentences for people, JSON for machines."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict, is_dataclass
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

console = Console(markup=False, emoji=False)

AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]


def show(
    view: Callable[[], RenderableType], record: Callable[[], Any], *, as_json: bool = False
) -> None:
    """Print what people look at, or the record behind it as JSON; addresses are not broken.

    Args:
        view: Makes the table.
        record: Makes what it is about: dataclasses, mappings and sequences of plain values.
        as_json: Print the record.
    """
    if as_json:
        sys.stdout.write(json.dumps(record(), indent=2, default=_plain) + "\n")
    else:
        console.print(view(), crop=False)


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else str(value)
