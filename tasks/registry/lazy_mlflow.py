"""MLflow, imported when something of it is needed: its import takes longer than most commands."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    return getattr(importlib.import_module("mlflow"), name)
