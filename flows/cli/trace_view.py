"""Traces for people: complete, and readable on a terminal of 100 columns.

Names of data are shown whole, because one looks for them in ``data.dvc`` and in the cache; other
long names are cut to 12 characters here, and whole in the JSON.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from tasks.data.judged import Judged
from tasks.lineage.trace_records import (
    Restored,
    Sightings,
    Trace,
    TracedData,
    TracedFlow,
    TracedPretext,
    TracedRun,
    TracedSource,
    TracedStatistics,
)
from tasks.records import Decision, Validation
from tasks.serving.trace_prediction import TracedPrediction

if TYPE_CHECKING:
    from tasks.serving.evidence import Evidence

SHORT = 12
"""Characters of a long name that are shown."""
MOST_FILES, MOST_FRAMES = 4, 4
"""Of a prediction that are shown: its first files, and the frames that scored highest."""


def render(trace: Trace) -> Tree:
    """A trace as a tree, from the deployed detector down to the bytes."""
    model = trace.model
    tree = Tree(_line(f"{model.name} version {model.version}", ", ".join(model.aliases)))
    _add(tree, "digest", model.digest[:SHORT], f"registered {model.created}")
    if model.champion not in (None, model.version):
        _add(tree, "champion", f"version {model.champion} serves now")
    _add_run(tree, "run", trace.run)
    recipe = _add(tree, "recipe", trace.recipe.get("name", ""), f"seed {trace.seed}")
    _add_settings(recipe, trace.recipe)
    _add(tree, "code", _commit(trace.git_commit), f"sources {trace.code_version[:SHORT]}")
    _add_data(tree, trace.data)
    if trace.validation:
        _add_validation(tree, trace.validation)
    if trace.source:
        _add_source(tree, trace.source)
    if trace.pretext:
        _add_pretext(tree, trace.pretext, trace.data)
    if trace.statistics:
        _add_statistics(tree, trace.statistics)
    _add_judged(tree, trace.judged)
    _add_metrics(tree, trace.metrics)
    _add_decisions(tree, trace.decisions)
    for each in trace.reproductions:
        _add(tree, "reproduced", each.when[:19], each.verdict, f"run {each.run_id[:SHORT]}")
    _add_flow(tree, trace.flow)
    for note in trace.notes:
        tree.add(Text(f"note: {note}", style="yellow"))
    return tree


def render_prediction(found: TracedPrediction) -> Group:
    """An answer of the server, and below it the trace of the version that gave it."""
    said = found.prediction
    tree = Tree(_line(f"prediction {said.request_id}", said.when))
    _add(tree, "by", f"{said.model} version {said.version}", f"digest {said.model_digest[:SHORT]}")
    if said.client:
        _add(tree, "for", f"the key {said.client!r}")
    files = _add(tree, "files", f"{len(said.files)}, by SHA-256")
    for digest in said.files[:MOST_FILES]:
        files.add(Text(digest))
    if len(said.files) > MOST_FILES:
        files.add(Text(f"and {len(said.files) - MOST_FILES} more"))
    alarms = f"{len(said.anomalous)} of {len(said.frames)} frames anomalous"
    told = _add(tree, "said", alarms, f"threshold {said.threshold:.6g}")
    rows = zip(said.frames, said.image_score, said.p_value, strict=True)
    worst = sorted(rows, key=lambda row: row[1], reverse=True)[:MOST_FRAMES]
    for frame, score, p_value in worst:
        told.add(Text(f"frame {frame}: score {score:.6g}, p-value {p_value:.4g}"))
    for each in found.evidence:
        _add_evidence(tree, each)
    if found.picture:
        _add(tree, "picture", found.picture)
    for note in found.notes:
        tree.add(Text(f"note: {note}", style="yellow"))
    return Group(tree, render(found.trace)) if found.trace else Group(tree)


def _add_evidence(tree: Tree, each: "Evidence") -> None:
    """What a region was compared with."""
    row = _add(tree, "region", _box(each.region), f"distance {each.distance:.4g}")
    if each.patch is not None:
        _add(row, "nearest", each.file, _box(each.patch), f"md5 {each.md5}")
    if each.layers:
        _add(row, "layers", *(f"{name} {share:.0%}" for name, share in each.layers))
        told = [f"{layer}/{number} {share:.0%}" for layer, number, share in each.channels]
        _add(row, "channels", *told)


def _box(box: tuple[int, ...]) -> str:
    return "rows {0} to {2}, columns {1} to {3}".format(*box)


def render_sightings(sightings: Sightings) -> RenderableType:
    """Who used a file, as a table."""
    head = Text(f"{sightings.path}  md5 {sightings.md5}")
    foot = [
        Text(f"note: the list of files of data version {digest} is lost.", style="yellow")
        for digest in sightings.unknown
    ]
    if not sightings.found:
        text = f"None of {sightings.searched} registered model versions used this file."
        return Group(head, Text(text), *foot)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("model", "version", "champion", "through", "role", "path in the data version"):
        table.add_column(title, overflow="fold")
    for each in sightings.found:
        champion = "now" if each.serves else "was" if each.served else ""
        through = ", ".join(each.through)
        table.add_row(each.model, str(each.version), champion, through, each.role, each.relpath)
    return Group(head, table, *foot)


def render_restored(restored: Restored) -> Text:
    """What was restored, in one sentence."""
    return Text(
        f"{restored.num_files} files ({_size(restored.num_bytes)}) of {restored.data.name} "
        f"{restored.data.digest}, on which {restored.model} version {restored.version} was "
        f"trained, are in {restored.folder}; the md5 of each was verified."
    )


def _add(tree: Tree, title: str, *parts: str) -> Tree:
    return tree.add(_line(title, *parts))


def _line(title: str, *parts: str) -> Text:
    text = Text(f"{title}  ", style="bold")
    return text.append("  ".join(part for part in parts if part), style="not bold")


def _add_run(tree: Tree, title: str, run: TracedRun) -> Tree:
    if not run.found:
        return _add(tree, title, run.run_id[:SHORT], "deleted")
    seconds = "" if run.seconds is None else f"{run.seconds:.1f} s"
    branch = _add(tree, title, run.run_id[:SHORT], run.status, run.started, seconds, run.user)
    if run.hardware:
        _add(branch, "hardware", *(f"{key} {value}" for key, value in run.hardware.items()))
    return branch


def _add_settings(tree: Tree, settings: Mapping[str, Any]) -> None:
    """Settings as one line, and those of each part below it, headed by the part's class."""
    parts = {key: value for key, value in settings.items() if isinstance(value, Mapping)}
    plain = [f"{key}={settings[key]}" for key in settings.keys() - parts.keys() - {"class", "name"}]
    if plain:
        tree.add(Text(", ".join(sorted(plain))))
    for title, part in parts.items():
        kind = str(part.get("class", "")).removesuffix(".Config").rpartition(".")[2]
        _add_settings(_add(tree, title, kind), part)


def _add_data(tree: Tree, data: TracedData) -> None:
    version = data.version
    counts = f"{version.num_files} files, {_size(version.num_bytes)}"
    branch = _add(tree, "data", version.name, counts)
    _add(branch, "digest", version.digest)
    if version.origin:
        _add(branch, "from", version.origin)
    _add(branch, "data.dvc", version.dvc_md5, f"at commit {_commit(version.git_commit)}")
    if data.available is None or data.missing is None:
        state = "unknown, because the list of files is lost"
    elif data.missing:
        state = f"{data.available} files in DVC's cache, {data.missing} missing"
    else:
        state = f"all {data.available} files in DVC's cache"
    _add(branch, "bytes", state, _remote(data))


def _remote(data: TracedData) -> str:
    """DVC's remote as it is now, and what of the missing bytes it has."""
    if data.remote is None:
        return "no remote"
    if not data.missing:
        return f"remote {data.remote}"
    has = "does not answer" if data.in_remote is None else f"has {data.in_remote} of them"
    return f"remote {data.remote} {has}"


def _add_pretext(tree: Tree, pretext: TracedPretext, data: TracedData) -> None:
    adapted = pretext.backbone == "adapted"
    branch = _add_run(tree, "adaptation run" if adapted else "pretext run", pretext.run)
    _add(branch, "backbone", pretext.backbone)
    if pretext.data == data:
        _add(branch, "data", "the same data version")
    elif pretext.data:
        _add_data(branch, pretext.data)


def _add_source(tree: Tree, source: TracedSource) -> None:
    """The model version that it was adapted from, which has a trace of its own."""
    branch = _add(tree, "adapted from", f"{source.name} version {source.version}")
    _add(branch, "digest", source.digest[:SHORT], f"unseen trace {source.name}@{source.version}")
    _add_run(branch, "run", source.run)
    if source.data:
        _add_data(branch, source.data)


def _add_validation(tree: Tree, validation: Validation) -> None:
    passed = validation.num_expectations - len(validation.failed)
    branch = _add(
        tree,
        "validation",
        validation.suite,
        f"{passed} of {validation.num_expectations} expectations met",
        f"run {validation.run_id[:SHORT]}",
    )
    for failed in validation.failed:
        branch.add(Text(f"warning: {failed}", style="yellow"))


def _add_statistics(tree: Tree, statistics: TracedStatistics) -> None:
    counts = f"{statistics.num_clips} clips"
    branch = _add(tree, "statistics", statistics.digest[:SHORT], counts)
    if not statistics.parent_run_id:
        branch.add(Text(f"of all clips. {statistics.why}".strip()))
        return
    _add(
        branch,
        "updated from",
        f"statistics {statistics.parent_digest[:SHORT]}",
        f"run {statistics.parent_run_id[:SHORT]}",
        f"{statistics.updates} updates since all clips were read",
    )
    _add(branch, "of data", statistics.parent_data_digest)
    for title, names in (("added", statistics.added), ("removed", statistics.removed)):
        _add(branch, title, str(len(names)), ", ".join(names[:8]), "..." if names[8:] else "")


def _add_judged(tree: Tree, judged: Sequence[Judged]) -> None:
    if judged:
        branch = _add(tree, "judged predictions", f"{len(judged)} in its data")
        for each in judged:
            branch.add(Text(f"{each.path}: {each.told()}"))


def _add_metrics(tree: Tree, metrics: Mapping[str, float]) -> None:
    branch = _add(tree, "metrics", "" if metrics else "none recorded")
    for name, value in sorted(metrics.items()):
        _add(branch, name, f"{value:.4g}")


def _add_decisions(tree: Tree, decisions: tuple[Decision, ...]) -> None:
    branch = _add(tree, "decisions", "" if decisions else "none: never compared with a champion")
    for each in decisions:
        served = (
            f"{each.former} -> {each.champion}" if each.former else f"{each.champion or 'none'}"
        )
        entry = _add(
            branch,
            each.action,
            f"version {each.version}",
            f"serving version {served}",
            each.when[:19],
        )
        entry.add(Text(f"{each.who}: {each.why}"))
        if each.figures:
            entry.add(Text(", ".join(f"{key} {value:.4g}" for key, value in each.figures.items())))


def _add_flow(tree: Tree, flow: TracedFlow | None) -> None:
    if flow is None:
        _add(tree, "flow run", "none: it was trained outside of a flow")
        return
    known = flow.url or "the Prefect server did not answer, or no longer knows it"
    _add(tree, "flow run", flow.flow_run_id, flow.name, flow.state)
    tree.children[-1].add(Text(known))


def _commit(commit: str) -> str:
    """The commit cut short; ``+dirty`` stays."""
    name, mark, _ = commit.partition("+")
    return f"{name[:SHORT]}{mark}{'dirty' if mark else ''}"


def _size(num_bytes: int) -> str:
    size = float(num_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
