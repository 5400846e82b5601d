"""Logs: one JSON object a line, for machines; plain text on a terminal, for people."""

import asyncio
import json
import logging
import sys
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any, TextIO

from uvicorn.config import LOGGING_CONFIG

LONGEST = 500
"""Characters of a value that came from outside."""


class JsonFormatter(logging.Formatter):
    """Each record as one line: what is passed as ``extra={"facts": {...}}`` becomes its keys."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        described: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **cut(getattr(record, "facts", {})),
        }
        if record.exc_info:
            described["exception"] = self.formatException(record.exc_info)
        return json.dumps(described)


class PlainFormatter(logging.Formatter):
    """The same for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of one record."""
        facts = cut(getattr(record, "facts", {}))
        told = " ".join(f"{key}={json.dumps(value)}" for key, value in facts.items())
        return f"{super().format(record)} {told}".rstrip()


class TurnHandler(logging.StreamHandler[TextIO]):
    """Writes what is logged in one turn of an event loop at once, and everything else as it comes.

    Whoever writes gives the interpreter away, and has to wait for it: in a server that scores on
    another thread this takes longer than all else that a line costs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record now, or with the others of this turn."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            super().emit(record)
            return
        try:
            self._lines.append(self.format(record) + self.terminator)
        except Exception:  # as in the handler of the library: a line must fail nobody
            self.handleError(record)
            return
        if len(self._lines) == 1:
            loop.call_soon(self._write, record)

    def _write(self, record: logging.LogRecord) -> None:
        try:
            self.flush()
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Write what waits; also at the end of the process."""
        with self.lock or nullcontext():
            lines, self._lines = "".join(self._lines), []
            if lines:
                self.stream.write(lines)
        super().flush()


def cut(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts without those that are not known, and none that is endless."""
    return {
        key: value[:LONGEST] if isinstance(value, str) else value
        for key, value in facts.items()
        if value is not None
    }


def log_config() -> dict[str, Any]:
    """Uvicorn's logging, which our log joins; requests are logged by us alone.

    Records do not find out which thread and process they come from: no line says it.
    """
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    formatter: dict[str, Any] = {"()": f"{__name__}.JsonFormatter"}
    if sys.stderr.isatty():
        layout = "%(asctime)s %(levelname)s %(message)s"
        formatter = {"()": f"{__name__}.PlainFormatter", "format": layout}
    ours = {"handlers": ["default"], "level": "INFO", "propagate": False}
    return {
        **LOGGING_CONFIG,
        "formatters": {"default": formatter},
        "handlers": {"default": {"()": f"{__name__}.TurnHandler", "formatter": "default"}},
        "loggers": {
            "uvicorn": ours,
            "uvicorn.access": {"handlers": [], "propagate": False},
            "tasks": ours,
        },
    }
