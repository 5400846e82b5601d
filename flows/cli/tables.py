"""What the command line shows: tables and summaries, from records and MLflow's tags."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table

from tasks.records import DataVersion, Decision, Monitored
from tasks.registry import mlflow_store
from tasks.registry.tags import (
    DATA_DIGEST,
    DATA_NAME,
    DATA_NUM_FILES,
    FLOW_RUN_ID,
    KIND,
    METRIC,
    PRETEXT_RUN_ID,
    RUN_ID,
    VALIDATION_RUN_ID,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.operations.status import Status
    from tasks.registry.caching import Plan

HEADLINES = (
    "frame_auc",
    "frame_eer",
    "pixel_eer",
    "image_auroc",
    "image_eer",
    "pixel_auroc",
    "cluster_acc",
    "cluster_nmi",
    "cluster_ari",
)
"""Metrics in the order to show them; the others stand in MLflow."""


MOST_REASONS = 6
"""Reasons to keep things that are told for each kind."""


def _table(*columns: str, title: str | None = None) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def figures(tags: dict[str, str]) -> str:
    """The headline metrics among the tags of a model version, in one line."""
    found = {name: tags.get(f"{METRIC}{name}") for name in HEADLINES}
    return "  ".join(f"{name} {float(value):.3f}" for name, value in found.items() if value)


def retrain_summary(decision: Decision, flow_run_id: str, api_url: str) -> RenderableType:
    """What was computed and what reused, the score, the decision and why, where to look next."""
    client = mlflow_store.client()
    version = client.get_model_version(decision.name, str(decision.version))
    tags = version.tags
    steps = _table("step", "", "what", title="")
    for key in (VALIDATION_RUN_ID, PRETEXT_RUN_ID, RUN_ID):
        run_id = tags.get(key, "")
        if run_id:
            steps.add_row(*_step(run_id, flow_run_id), f"run {run_id[:12]}")
    data = f"{tags.get(DATA_NAME)} {tags.get(DATA_DIGEST)}"
    steps.add_row("data", "", f"{data} ({tags.get(DATA_NUM_FILES)} files)")
    steps.add_row("score", "", figures(tags))
    outcome = "champion" if decision.champion == decision.version else "not promoted"
    steps.add_row("version", "", f"{decision.name} {decision.version}: {outcome}. {decision.why}")
    return Group(steps, "", _where_to_look(decision, flow_run_id, api_url))


def plan_table(plans: "Iterable[Plan]") -> RenderableType:
    """What each step would do, and what of code, data, configuration and libraries changed."""
    table = _table("step", "", "why")
    for each in plans:
        if each.record is not None:
            table.add_row(each.step, "reused", f"unchanged since run {each.record.run_id[:12]}")
            continue
        lines = [f"{c.part}: {c.name} {c.before or '-'} -> {c.now or '-'}" for c in each.changes]
        table.add_row(each.step, "computed", "\n".join(filter(None, [each.why, *lines])))
    return table


def _step(run_id: str, flow_run_id: str) -> tuple[str, str]:
    """Kind of a run, and whether this flow run computed it."""
    run = mlflow_store.client().get_run(run_id)
    kind = run.data.tags.get(KIND, "")
    ours = run.data.tags.get(FLOW_RUN_ID) == flow_run_id
    seconds = ((run.info.end_time or run.info.start_time) - run.info.start_time) / 1000
    return kind, f"computed in {seconds:.0f} s" if ours else "reused, unchanged"


def _where_to_look(decision: Decision, flow_run_id: str, api_url: str) -> RenderableType:
    store = mlflow_store.client().tracking_uri
    ui = store if store.startswith("http") else f"mlflow ui --backend-store-uri {store}"
    table = _table("look next", "")
    table.add_row("plots, maps", ui)
    table.add_row("the flow run", f"{api_url.removesuffix('/api')}/runs/flow-run/{flow_run_id}")
    table.add_row("its lineage", f"unseen trace {decision.name}@champion")
    table.add_row("predictions", f"unseen serve {decision.name}")
    return table


def monitor_summary(found: Monitored) -> RenderableType:
    """The verdict on what a served version is shown, and where the report is."""
    table = _table("", "", title=f"{found.name} version {found.version}: {found.verdict}")
    table.add_row("why", found.why)
    table.add_row("recent frames", str(found.frames))
    if found.run_id:
        table.add_row("report, plot", f"MLflow run {found.run_id}")
    if found.event_id:
        table.add_row("event", f"unseen.drift.detected of unseen.model.{found.name}")
    return table


def recipe_table() -> RenderableType:
    """Every recipe with its data set and what it is."""
    from flows import recipes

    table = _table("recipe", "data set", "what")
    for name, description in recipes.names().items():
        table.add_row(name, recipes.load(name).dataset, description)
    return table


def detector_table() -> RenderableType:
    """Every detector, what it is, and how long it takes."""
    from flows.recipes import catalog

    costs = catalog.costs()
    table = _table("detector", "what", "encoder", "fit", "score")
    for name, config in catalog.detectors().items():
        known = costs.get("detectors", {}).get(name, {})
        seconds = [f"{known[key]:.0f} s" if key in known else "-" for key in ("fit_s", "score_s")]
        encoder = type(catalog.default_encoder(config())).__module__.rpartition(".")[2]
        table.add_row(name, catalog.first_line(config), encoder, *seconds)
    return Group(table, f"Seconds: {costs.get('what', 'not measured yet')}.")


def dataset_table() -> RenderableType:
    """Data sets that are here, and those that can be had by name."""
    from tasks.data.ingest import available

    table = _table("data set", "here", "what")
    for name, (here, description) in available().items():
        table.add_row(name, "yes" if here else "", description)
    return table


def ingest_summary(version: DataVersion, changes: Any, *, committed: bool) -> RenderableType:
    """The new data version, and what changed against the last one."""
    from tasks.data.ingest import uncommitted

    table = _table("", "", title=f"data set {version.name}")
    table.add_row("version", version.digest)
    table.add_row("data.dvc", f"{version.dvc_md5} (git {version.git_commit[:12]})")
    table.add_row("files", f"{version.num_files}, {version.num_bytes / 1e6:.1f} MB")
    for what in ("added", "removed", "changed"):
        paths = getattr(changes, what)
        some = ", ".join(paths[:3]) + (" ..." if len(paths) > 3 else "")
        table.add_row(what, f"{len(paths)}  {some}" if paths else "0")
    files = " ".join(uncommitted())
    if committed or not files:
        return table
    return Group(table, f"Name it for others: git add {files} && git commit -m 'New data version'")


def model_table() -> RenderableType:
    """Every registered model with its champion, challenger and figures."""
    client = mlflow_store.reader()
    table = _table("model", "versions", "champion", "challenger", "figures of the champion")
    for model in client.search_registered_models():
        aliases = client.get_registered_model(model.name).aliases
        champion = aliases.get("champion")
        tags = client.get_model_version(model.name, champion).tags if champion else {}
        count = len(client.search_model_versions(f"name='{model.name}'"))
        shown = (str(aliases.get(alias, "-")) for alias in ("champion", "challenger"))
        table.add_row(model.name, str(count), *shown, figures(tags))
    return table


def history_table(name: str) -> RenderableType:
    """All decisions about a model, oldest first."""
    from tasks.registry.history import read

    table = _table("when", "what", "version", "serves", "who", "why", title=name)
    for entry in read(name, mlflow_store.reader()):
        serves = f"{entry.champion or '-'} (was {entry.former or '-'})"
        table.add_row(
            entry.when[:19], entry.action, str(entry.version), serves, entry.who, entry.why
        )
    return table


def reproduction_view(found: Any) -> RenderableType:
    """The verdict of a reproduction, every difference, and what to know about them."""
    head = f"{found.model} version {found.version}, trained again: {found.verdict}"
    same = sum(each.verdict == "identical" for each in found.tensors)
    tensors = _table("tensor", "verdict", "largest difference", "relative")
    for each in found.tensors:
        if each.verdict != "identical":
            tensors.add_row(each.name, each.verdict, _number(each.absolute), _number(each.relative))
    metrics = _table("metric", "then", "now", "verdict", "difference")
    for each in found.metrics:
        figures = (_number(each.then), _number(each.now))
        metrics.add_row(each.name, *figures, each.verdict, _number(each.absolute))
    limits = found.tolerance
    counts = f"{same} of {len(found.tensors)} tensors are equal bit for bit."
    if tensors.row_count or found.verdict != "identical":
        counts += (
            f" Tolerance: {limits.tensor:g} of a tensor, relative; {limits.metric:g} of a metric."
        )
    notes = [f"note: {note}" for note in found.notes]
    parts: list[RenderableType] = [
        head,
        "",
        counts,
        *([tensors] if tensors.row_count else []),
        "",
        metrics,
        *notes,
    ]
    return Group(*parts, f"kept as run {found.run_id}")


def prune_table(found: Any) -> RenderableType:
    """What a pruning took away or would take away, and what it keeps because of whom."""
    gone = "deleted" if found.deleted else "would go"
    table = _table("what", gone, "MB", "why", "stays, because of")
    for kind in found.kinds:
        kept = kind.kept.most_common(MOST_REASONS)
        more = len(kind.kept) - len(kept)
        stays = ", ".join(f"{who} ({count})" for who, count in kept)
        stays += f" and {more} more" if more > 0 else ""
        megabytes = f"{kind.num_bytes / 1e6:.1f}"
        table.add_row(kind.title, str(len(kind.stale)), megabytes, kind.why, stays)
    notes = [f"note: {note}" for note in found.notes]
    older = f"Older than {found.keep_days} days, and not referred to."
    last = older if found.deleted else f"{older} Nothing was deleted; add --delete to do so."
    return Group(table, *notes, last)


def backup_summary(found: Any) -> RenderableType:
    """What a backup holds."""
    models = ", ".join(f"{name} ({count} versions)" for name, count in found.models.items())
    return (
        f"Backup of {found.when} in {found.folder}: {found.num_bytes / 1e6:.1f} MB; registered "
        f"models: {models or 'none'}; {found.num_objects} objects of DVC."
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def trace_output(
    reference: str | None, file: Path | None, folder: Path | None, prediction: str | None = None
) -> Any:
    """What ``unseen trace`` shows: a trace, sightings of a file, or what was restored."""
    from tasks.lineage.trace import trace
    from tasks.lineage.trace_file import trace_file
    from tasks.serving.trace_prediction import trace_prediction

    if prediction is not None:
        return trace_prediction(prediction)
    if file is not None:
        return trace_file(file)
    assert reference is not None
    if folder is None:
        return trace(reference)
    from tasks.lineage.restore_data import (
        restore,  # brings in torch, for which a trace must not wait
    )
    from tasks.platform.progress import bar

    return restore(reference, folder, progress=bar)


def rendered(record: Any) -> RenderableType:
    """A trace, of a prediction too, sightings or restored bytes, for people."""
    from flows.cli import trace_view
    from tasks.lineage import trace_records
    from tasks.serving.trace_prediction import TracedPrediction

    if isinstance(record, TracedPrediction):
        return trace_view.render_prediction(record)
    if isinstance(record, trace_records.Trace):
        return trace_view.render(record)
    if isinstance(record, trace_records.Sightings):
        return trace_view.render_sightings(record)
    return trace_view.render_restored(record)


def status_tables(status: "Status") -> RenderableType:
    """Services, deployments and champions."""
    if not status.wanted and not status.services:
        return "Nothing runs here, and nothing should. 'unseen up' starts everything."
    services = _table("service", "pid", "url", "health", "since")
    for each in status.services:
        services.add_row(each.name, str(each.pid or "-"), each.url, each.health, each.since)
    deployments = _table("deployment", "schedule", "next run", "last run", title="")
    for one in status.deployments:
        deployments.add_row(one.name, one.schedule, one.next_run or "-", one.last_run or "never")
    champions = _table("model", "champion", title="")
    for name, version in status.champions.items():
        champions.add_row(name, f"version {version}" if version else "none yet")
    return Group(services, deployments, champions)
