"""What commands do around a run of a flow: show what came of it, or what would."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flows.cli.output import show
from flows.run import run, without_collecting
from tasks.platform import files, prefect_server
from tasks.registry import mlflow_store


def decided(flow: str, *arguments: object, as_json: bool = False, **options: object) -> None:
    """Run a flow that ends with a decision about a challenger, and show it.

    Args:
        flow: ``retrain`` or ``adapt``.
        *arguments: As the flow takes them.
        as_json: Show the decision as JSON.
        **options: As the flow takes them.

    Raises:
        UnseenError: As the tasks raise it.
    """
    ended = run(flow, *arguments, **options)

    from flows.cli.summaries import retrain_summary

    show(
        lambda: retrain_summary(ended.result, ended.flow_run_id, ended.api_url),
        lambda: ended.result,
        as_json=as_json,
    )


def explained(
    _: str,
    recipe: str | None,
    data: Path | None,
    device: str | None,
    backbone: str | None,
    seed: int | None,
    *,
    as_json: bool = False,
    **options: Any,
) -> None:
    """Show what ``retrain`` would compute and what it would reuse, and why; nothing is computed.

    Args:
        recipe: As the flow ``retrain`` takes it, like all that follows.
        data: Must be None.
        device: Where to train.
        backbone: Of the encoder.
        seed: Of every random choice.
        as_json: Show the plan as JSON.
        **options: The flow's other parameters.

    Raises:
        UnseenError: As ``flows.explain`` raises it.
    """
    mlflow_store.check_answers()
    prefect_server.wait_until_healthy(prefect_server.connect())  # it knows where results are

    with without_collecting():
        from flows.cli.tables import plan_table
        from flows.explain import explain

    given = {"device": device, "backbone": backbone, "seed": seed, **options}
    plans = explain(recipe, data, **given)
    show(lambda: plan_table(plans), lambda: plans, as_json=as_json)


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
