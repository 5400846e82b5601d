"""Templates of Data Docs, each compiled once in a process.

Great Expectations makes a Jinja environment for every kind of page, and each compiles all templates
anew: a third of the time of a validation.
"""

from functools import wraps
from types import CodeType
from typing import Any

from great_expectations.render.view import view
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket


class _Compiled(BytecodeCache):
    """Compiled templates, in memory; one whose text has changed is compiled again."""

    def __init__(self) -> None:
        self.known: dict[str, tuple[str, CodeType | None]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        """Fill in what is known of a template."""
        checksum, code = self.known.get(bucket.key, ("", None))
        if checksum == bucket.checksum:
            bucket.code = code

    def dump_bytecode(self, bucket: Bucket) -> None:
        """Remember a template."""
        self.known[bucket.key] = bucket.checksum, bucket.code


def share() -> None:
    """Let all views that are made from now on share what they compile."""
    begin: Any = view.DefaultJinjaView.__init__
    if hasattr(begin, "__wrapped__"):
        return
    compiled = _Compiled()

    @wraps(begin)
    def begun(made: Any, *arguments: Any, **options: Any) -> None:
        begin(made, *arguments, **options)
        made.env.bytecode_cache = compiled

    view.DefaultJinjaView.__init__ = begun
