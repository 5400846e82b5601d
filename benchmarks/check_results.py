"""Hold the files of ``benchmarks/results`` to what only a program writes.

    python -m benchmarks.check_results

A file whose form or digest does not fit is refused: nobody types figures. One whose benchmark, or
anything that it imports of the project, has changed since is named as stale; it is no failure.
Files of before results carried their sources say ``unknown``, and are stale for good.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks._result import FOLDER, content_digest
from benchmarks._sources import ROOT, digest

FORM: Mapping[str, type] = {
    "benchmark": str,
    "module": str,
    "arguments": list,
    "metrics": dict,
    "seeds": list,
    "seconds": (int, float),  # type: ignore[dict-item]
    "durations": dict,
    "commit": str,
    "sources": str,
    "hardware": dict,
    "versions": dict,
    "notes": dict,
    "date": str,
    "digest": str,
}
"""Names in a result, and what they hold."""


def fault(path: Path) -> str:
    """Why a file is no result that a program wrote; empty if it is one."""
    try:
        result = json.loads(path.read_text())
    except ValueError as error:
        return f"must be JSON, and is not: {error}"
    if fault_of_form := _fault_of_form(result):
        return fault_of_form
    if result["benchmark"] != path.stem:
        return f"must be named {result['benchmark']}.json"
    if content_digest(result) != result["digest"]:
        return "was changed after its benchmark wrote it: run the benchmark again"
    return ""


def _fault_of_form(result: Mapping[str, Any]) -> str:
    if missing := FORM.keys() - result.keys():
        return f"must have {', '.join(sorted(missing))}"
    if unknown := result.keys() - FORM.keys():
        return f"must not have {', '.join(sorted(unknown))}"
    wrong = [name for name, kind in FORM.items() if not isinstance(result[name], kind)]
    if wrong or not all(isinstance(value, int | float) for value in result["metrics"].values()):
        return f"holds the wrong kind of thing in {', '.join(wrong) or 'metrics'}"
    return ""


def is_stale(result: Mapping[str, Any], root: Path = ROOT) -> bool:
    """Whether the sources that gave a result are not those that there are now."""
    return bool(result["sources"] != digest(result["module"], root))


def main() -> None:
    """Check every file; exit with 1 if one is refused."""
    refused = {path: reason for path in sorted(FOLDER.glob("*.json")) if (reason := fault(path))}
    for path, reason in refused.items():
        print(f"{path.relative_to(ROOT)} {reason}.")
    for path in sorted(FOLDER.glob("*.json")):
        if path not in refused and is_stale(json.loads(path.read_text())):
            print(f"{path.relative_to(ROOT)} is stale: its sources changed since it was written.")
    sys.exit(bool(refused))


if __name__ == "__main__":
    main()
