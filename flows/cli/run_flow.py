"""One run of a flow from the command line: server, quiet console, and what to show at the end."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType

from flows.run import run
from tasks.platform import files, prefect_server
from tasks.registry import mlflow_store


def run_retrain(
    recipe: str | None,
    data: Path | None,
    device: str | None,
    backbone: str | None,
    seed: int | None,
    **options: object,
) -> RenderableType:
    """Run the flow ``retrain`` against a Prefect server and return a summary to print.

    Args:
        recipe: As the flow takes it, like all that follows.
        data: Folder to ingest first.
        device: Where to train.
        backbone: Of the encoder.
        seed: Of every random choice.
        **options: The flow's other parameters.

    Raises:
        UnseenError: As the tasks raise it.
    """
    arguments = (recipe, data, device, backbone, seed)
    return _decided("retrain", *arguments, **options)


def run_explain(
    recipe: str | None,
    data: Path | None,
    device: str | None,
    backbone: str | None,
    seed: int | None,
    **options: Any,
) -> RenderableType:
    """What ``run_retrain`` would compute and what it would reuse, and why; nothing is computed.

    Args:
        recipe: As the flow ``retrain`` takes it, like all that follows.
        data: Must be None.
        device: Where to train.
        backbone: Of the encoder.
        seed: Of every random choice.
        **options: The flow's other parameters.

    Raises:
        UnseenError: As ``flows.explain`` raises it.
    """
    mlflow_store.check_answers()
    prefect_server.wait_until_healthy(prefect_server.connect())  # it knows where results are

    from flows.cli.tables import plan_table
    from flows.explain import explain

    given = {"device": device, "backbone": backbone, "seed": seed, **options}
    return plan_table(explain(recipe, data, **given))


def run_adapt(
    source: str,
    name: str,
    data: Path | None,
    device: str | None,
    seed: int | None,
    steps: int | None,
) -> RenderableType:
    """Run the flow ``adapt`` against a Prefect server and return a summary to print.

    Raises:
        UnseenError: As the tasks raise it.
    """
    return _decided("adapt", source, name, data, device, seed, steps)


def run_monitor(name: str, url: str | None) -> tuple[RenderableType, bool]:
    """Run the flow ``monitor`` against a Prefect server: a summary, and whether there is drift.

    Raises:
        UnseenError: As the tasks raise it.
    """
    found = run("monitor", name, url).result

    from flows.cli.summaries import monitor_summary
    from models.functional.drift import DRIFT

    return monitor_summary(found), found.verdict == DRIFT


def run_with_recorded_code(reference: str, arguments: Sequence[str]) -> int:
    """Run a command again in a process that imports ``models`` as a version was trained with it.

    Args:
        reference: The registered version.
        arguments: Of ``unseen``.

    Returns:
        Its exit code.

    Raises:
        UnseenError: If the version does not exist or was changed.
    """
    from tasks.lineage import training_record

    with files.scratch("sources") as folder:
        training_record.copy_sources(training_record.recorded(reference), folder)
        path = os.pathsep.join([str(folder), str(Path(__file__).parents[2])])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}
        command = [sys.executable, "-m", "flows.cli", *arguments]
        return subprocess.run(command, env=environment, check=False).returncode


def _decided(flow: str, *arguments: object, **options: object) -> RenderableType:
    """Run a flow that ends with a decision about a challenger; a summary of it."""
    ended = run(flow, *arguments, **options)

    from flows.cli.summaries import retrain_summary

    return retrain_summary(ended.result, ended.flow_run_id, ended.api_url)
