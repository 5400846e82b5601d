"""Run a suite over a manifest with Great Expectations, and write its Data Docs.

Importing this takes seconds and a quarter of a gigabyte: it is done when needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pandas as pd
from great_expectations.checkpoint import UpdateDataDocsAction
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
)

from models.errors import DataError
from tasks.data import docs_templates
from tasks.data.limits import Expectations, Outcome
from tasks.data.offline_docs import make_offline
from tasks.data.suite import build
from tasks.packaging.preprocessing import Levels

MAX_FILES = 20
"""Files that an outcome names; it counts all of them."""
SAID = {"hint": "", "doubt": "", "problem": "", "near": "like ", "copy": "like ", "twin": "as "}
"""Before the value of a column that says what is wrong; the others say their name."""
SITE = "local_site"
ALONE = "one_run"
FORMAT: Any = {
    "result_format": "COMPLETE",
    "unexpected_index_column_names": ["path", "problem"],
}
"""Files are named by these columns of the manifest."""
SOURCE = "unseen"
"""Name of the data source in the context, which may have others."""

docs_templates.share()


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
    added: Sequence[gxe.Expectation] = (),
    alone: Path | None = None,
) -> Checked:
    """Run the suite in a context that is kept, with what came of it before, and write Data Docs.

    Args:
        manifest: One row per file.
        limits: The numbers in the expectations.
        usual: Range of the champion's training images, in mean gray level; None skips those
            expectations.
        facts: Range of images of more than 8 bits, and frame rate, of the data version.
        name: Of the suite.
        folder: Of the context ``gx``, which is made on first use.
        added: Expectations of the user's.
        alone: Folder for Data Docs of this run without those before it.

    Raises:
        DataError: If an expectation of the user's cannot be evaluated.
    """
    context = gx.get_context(mode="file", project_root_dir=folder)
    context.variables.progress_bars = {"globally": False}
    site = context.variables.data_docs_sites[SITE] | {"show_how_to_buttons": False}
    context.update_data_docs_site(SITE, site)
    suite = context.suites.add_or_update(
        gx.ExpectationSuite(name, expectations=[*build(limits, usual, *facts), *added])
    )
    definition = context.validation_definitions.add_or_update(
        gx.ValidationDefinition(name=name, data=_batch(context), suite=suite)
    )
    checkpoint = context.checkpoints.add_or_update(
        gx.Checkpoint(
            name=name,
            validation_definitions=[definition],
            actions=[UpdateDataDocsAction(name="docs", site_names=[SITE])],
            result_format=FORMAT,
        )
    )
    found = checkpoint.run(batch_parameters={"dataframe": manifest})
    docs = folder / "gx" / "uncommitted" / "data_docs" / SITE
    make_offline(docs)
    ((identifier, results),) = found.run_results.items()
    if alone:
        _write_alone(context, alone, [identifier, identifier.expectation_suite_identifier])
    return Checked(
        outcomes=tuple(_outcome(result) for result in results.results),
        suite=suite.to_json_dict(),
        docs=docs,
    )


def outcomes(
    manifest: pd.DataFrame,
    limits: Expectations,
    usual: tuple[float, float] | None,
    facts: tuple[Levels | None, float | None] = (None, None),
) -> tuple[Outcome, ...]:
    """Run the suite in memory, without Data Docs, which takes most of the time; as ``check``."""
    stores = InMemoryStoreBackendDefaults()  # which make no folder for Data Docs
    config = DataContextConfig(store_backend_defaults=stores)
    context = gx.get_context(mode="ephemeral", project_config=config)
    context.variables.progress_bars = {"globally": False}
    suite = gx.ExpectationSuite("files", expectations=build(limits, usual, *facts))
    batch = _batch(context).get_batch(batch_parameters={"dataframe": manifest})
    found = batch.validate(suite, result_format=FORMAT)
    return tuple(_outcome(result) for result in found.results)


def _batch(context: Any) -> Any:
    """The whole table that a run is given, as the context names it."""
    source = context.data_sources.add_or_update_pandas(SOURCE)
    try:
        return source.get_asset("files").get_batch_definition("all")
    except LookupError:
        asset = source.add_dataframe_asset("files")
        return asset.add_batch_definition_whole_dataframe("all")


def _write_alone(context: Any, folder: Path, identifiers: list[Any]) -> None:
    """Write Data Docs of one run, as its MLflow run keeps them, without those before it."""
    backend = {"class_name": "TupleFilesystemStoreBackend", "base_directory": str(folder)}
    site = {
        "class_name": "SiteBuilder",
        "store_backend": backend,
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        "show_how_to_buttons": False,
    }
    context.add_data_docs_site(ALONE, site)
    try:
        context.build_data_docs(site_names=[ALONE], resource_identifiers=identifiers)
    finally:
        context.delete_data_docs_site(ALONE)
    make_offline(folder)


def _outcome(result: Any) -> Outcome:
    config, found = result.expectation_config, result.result
    if problem := _problem(result.exception_info):
        raise DataError(
            f"The expectation {_name(config)} must be one that a manifest can be held to, got: "
            f"{problem}. Its columns are those of tasks/data/manifest.py; correct it."
        )
    files = [] if result.success else found.get("unexpected_index_list") or []
    observed = found.get("observed_value")
    return Outcome(
        name=_name(config),
        description=config.description or f"{config.type} {config.kwargs}",
        severity=config.severity.value,
        success=bool(result.success),
        observed=None if observed is None else str(observed),
        files=tuple(_file(each) for each in files[:MAX_FILES]),
        num_files=len(files),
    )


def _name(config: Any) -> str:
    return str((config.meta or {}).get("name") or config.type)


def _problem(raised: Mapping[str, Any]) -> str | None:
    """What kept an expectation from being evaluated; one entry for each metric that failed."""
    each = raised.values() if "raised_exception" not in raised else [raised]
    failed = (one for one in each if isinstance(one, Mapping) and one.get("raised_exception"))
    return next((str(one.get("exception_message")) for one in failed), None)


def _file(found: Mapping[str, Any]) -> str:
    """A file's path, and what is wrong with it as far as a value tells."""
    values = {key: value for key, value in found.items() if key != "path"}
    told = {k: v for k, v in values.items() if isinstance(v, str | float) and not pd.isna(v)}
    if not told:
        return str(found["path"])
    words = ", ".join(f"{SAID.get(key, f'{key} ')}{value}" for key, value in told.items())
    return f"{found['path']} ({words})"
