"""Run a suite over a manifest with Great Expectations, and write its Data Docs.

Importing this takes seconds and a quarter of a gigabyte: it is done when needed.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.checkpoint import UpdateDataDocsAction

from tasks.data.limits import Expectations, Outcome
from tasks.data.suite import build
from tasks.packaging.preprocessing import Levels

MAX_FILES = 20
"""Files that an outcome names; it counts all of them."""
SITE = "local_site"


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A suite that was run."""

    outcomes: tuple[Outcome, ...]
    suite: dict[str, Any]
    """The suite as Great Expectations stores it."""
    docs: Path
    """Folder of the Data Docs; ``index.html`` is where to begin."""


def check(
    manifest: pd.DataFrame,
    limits: Expectations,
    usual: tuple[float, float] | None,
    facts: tuple[Levels | None, float | None] = (None, None),
    *,
    name: str,
    folder: Path,
) -> Checked:
    """Run the suite and write its Data Docs.

    Args:
        manifest: One row per file.
        limits: The numbers in the expectations.
        usual: Range of the champion's training images, in mean gray level; None skips those
            expectations.
        facts: Range of images of more than 8 bits, and frame rate, of the data version.
        name: Of the suite.
        folder: For the context of Great Expectations; what is there is replaced.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    context = gx.get_context(mode="file", project_root_dir=folder)
    context.variables.progress_bars = {"globally": False}
    docs = folder / "gx" / "uncommitted" / "data_docs" / SITE
    site = context.variables.data_docs_sites[SITE] | {"show_how_to_buttons": False}
    context.update_data_docs_site(SITE, site)
    suite = context.suites.add(gx.ExpectationSuite(name, expectations=build(limits, usual, *facts)))
    asset = context.data_sources.add_pandas("manifest").add_dataframe_asset("files")
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(
            name=name, data=asset.add_batch_definition_whole_dataframe("all"), suite=suite
        )
    )
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(
            name=name,
            validation_definitions=[definition],
            actions=[UpdateDataDocsAction(name="docs")],
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": ["path", "problem"],
            },
        )
    )
    found = checkpoint.run(batch_parameters={"dataframe": manifest})
    for film in docs.glob("static/images/*.gif"):  # 3 MB of how-to films, whose button is off
        film.unlink()
    (results,) = found.run_results.values()
    return Checked(
        outcomes=tuple(_outcome(result) for result in results.results),
        suite=suite.to_json_dict(),
        docs=docs,
    )


def _outcome(result: Any) -> Outcome:
    config, found = result.expectation_config, result.result
    raised = result.exception_info
    assert not raised.get("raised_exception"), raised
    files = [] if result.success else found.get("unexpected_index_list") or []
    observed = found.get("observed_value")
    return Outcome(
        name=config.meta["name"],
        description=config.description,
        severity=config.severity.value,
        success=bool(result.success),
        observed=None if observed is None else str(observed),
        files=tuple(_file(each) for each in files[:MAX_FILES]),
        num_files=len(files),
    )


def _file(found: Mapping[str, Any]) -> str:
    """A file's path, and what is wrong with it as far as a value tells."""
    values = {key: value for key, value in found.items() if key != "path"}
    told = {k: v for k, v in values.items() if isinstance(v, str | float) and not pd.isna(v)}
    if not told:
        return str(found["path"])
    return f"{found['path']} ({', '.join(f'{key} {value}' for key, value in told.items())})"
