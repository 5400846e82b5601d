"""What the command line shows: tables and summaries, from records and MLflow's tags."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table

from tasks.records import DataVersion
from tasks.registry import quick_reads
from tasks.registry.tags import (
    METRIC,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.explain import Plan
    from flows.operations.status import Status

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


def table_of(*columns: str, title: str | None = None) -> Table:
    """A table without lines, whose long words fold."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def figures(tags: dict[str, str]) -> str:
    """The headline metrics among the tags of a model version, in one line."""
    found = {name: tags.get(f"{METRIC}{name}") for name in HEADLINES}
    return "  ".join(f"{name} {float(value):.3f}" for name, value in found.items() if value)


def plan_table(plans: "Iterable[Plan]") -> RenderableType:
    """What each step would do, and what of code, data, configuration and libraries changed."""
    table = table_of("step", "", "why")
    for each in plans:
        if each.record is not None:
            table.add_row(each.step, "reused", f"unchanged since run {each.record.run_id[:12]}")
            continue
        lines = [f"{c.part}: {c.name} {c.before or '-'} -> {c.now or '-'}" for c in each.changes]
        table.add_row(each.step, "computed", "\n".join(filter(None, [each.why, *lines])))
    return table


def ingest_summary(
    version: DataVersion, changes: Any, files: Any, failed: Any, *, committed: bool
) -> RenderableType:
    """The new data version, what changed against the last one, what it holds, and warnings.

    Args:
        version: The data version.
        changes: Against the last one.
        files: Its manifest.
        failed: Expectations that it does not meet.
        committed: ``data.dvc`` was committed.
    """
    from tasks.data.ingest import uncommitted

    table = table_of("", "", title=f"data set {version.name}")
    table.add_row("version", version.digest)
    table.add_row("data.dvc", f"{version.dvc_md5} (git {version.git_commit[:12]})")
    table.add_row("files", f"{version.num_files}, {version.num_bytes / 1e6:.1f} MB")
    for what in ("added", "removed", "changed"):
        paths = getattr(changes, what)
        some = ", ".join(paths[:3]) + (" ..." if len(paths) > 3 else "")
        table.add_row(what, f"{len(paths)}  {some}" if paths else "0")
    notes = [
        f"{'warning' if each.severity == 'warning' else 'retrain will refuse it'}: {each.message}"
        for each in failed
    ]
    changed = " ".join(uncommitted())
    if changed and not committed:
        notes.append(f"Name it for others: git add {changed} && git commit -m 'New data version'")
    return Group(table, _contents(files), *notes)


def _contents(files: Any) -> Table:
    """What a data version holds, by split and kind."""
    table = table_of("split", "kind", "images", "clips", "masks", "labels", "ignored", title="")
    ignored = files["role"].isin(["other", "truth", "note"])
    tops = files["path"].str.extract("^([^/]*)/", expand=False).fillna("(root)")
    splits = files["split"].fillna(tops.where(ignored, ""))
    files = files.assign(split=splits, kind=files["kind"].fillna(""), ignored=ignored)
    for (split, kind), rows in files.groupby(["split", "kind"], sort=True):
        pictures = rows[rows["role"].isin(["image", "video"])]
        counts = [int((rows["role"] == role).sum()) for role in ("mask", "labels")]
        counts = [
            int(pictures["num_frames"].fillna(0).sum()),
            pictures["clip"].nunique(),
            *counts,
            int(rows["ignored"].sum()),
        ]
        if any(counts):
            table.add_row(str(split), str(kind), *(str(count or "-") for count in counts))
    return table


def model_table() -> RenderableType:
    """Every registered model with its champion, challenger and figures."""
    from tasks.registry import history, model_versions

    client = quick_reads.reader()
    table = table_of("model", "versions", "champion", "challenger", "figures of the champion")
    for name in sorted(each.name for each in client.search_registered_models()):
        history.notice(name, client)
        aliases = model_versions.aliases(client, name)
        found = {int(each.version): each for each in model_versions.versions(client, name)}
        champion = found.get(aliases.get(model_versions.CHAMPION, 0))
        pinned = " (pinned)" if history.pinned(history.read(name, client)) else ""
        table.add_row(
            name,
            str(len(found)),
            f"{champion.version if champion else '-'}{pinned}",
            str(aliases.get(model_versions.CHALLENGER, "-")),
            figures(champion.tags if champion else {}),
        )
    return table


def history_table(name: str) -> RenderableType:
    """All decisions about a model, oldest first."""
    from tasks.registry.history import read

    table = table_of("when", "what", "version", "serves", "who", "why", title=name)
    table.columns[0].no_wrap = True
    for entry in read(name, quick_reads.reader()):
        serves = f"{entry.champion or '-'} (was {entry.former or '-'})"
        about = str(entry.version or "-")
        who = entry.who.partition(" <")[0]
        when = entry.when[:19].replace("T", " ")
        table.add_row(when, entry.action, about, serves, who, entry.why)
    return table


def reproduction_view(found: Any) -> RenderableType:
    """The verdict of a reproduction, every difference, and what to know about them."""
    head = f"{found.model} version {found.version}, trained again: {found.verdict}"
    same = sum(each.verdict == "identical" for each in found.tensors)
    tensors = table_of("tensor", "verdict", "largest difference", "relative")
    for each in found.tensors:
        if each.verdict != "identical":
            tensors.add_row(each.name, each.verdict, _number(each.absolute), _number(each.relative))
    metrics = table_of("metric", "then", "now", "verdict", "difference")
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
    table = table_of("what", gone, "MB", "why", "stays, because of")
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


def trace_output(reference: str | None, file: Path | None, folder: Path | None) -> Any:
    """What ``unseen trace`` shows: a trace, sightings of a file, or what was restored."""
    from flows import trace, trace_file

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
    services = table_of("service", "pid", "url", "health", "since", "restarts")
    for each in status.services:
        since = each.since[:16].replace("T", " ")
        facts = (each.name, str(each.pid or "-"), each.url, each.health, since)
        services.add_row(*facts, str(each.restarts or ""))
    deployments = table_of("deployment", "schedule", "next run", "last run", title="")
    for one in status.deployments:
        runs = (one.next_run or "-", one.last_run or "never")
        deployments.add_row(one.name, one.schedule, *runs)
    champions = table_of("model", "champion", title="")
    for name, version in status.champions.items():
        champions.add_row(name, f"version {version}" if version else "none yet")
    problems = [f"{one.name}: {one.problem}." for one in status.deployments if one.problem]
    return Group(services, deployments, champions, *problems)
