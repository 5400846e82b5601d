"""Graph: a trace as boxes and arrows, from the data and the code to what serves."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tasks.lineage.trace_records import (
    Trace,
    TracedData,
    TracedPretext,
    TracedRun,
    TracedSource,
    TracedStatistics,
)
from tasks.records import Validation


@dataclass(frozen=True, kw_only=True)
class Box:
    """One thing that a detector was made from, or the detector."""

    id: str
    kind: str
    """``data``, ``code``, ``validation``, ``pretext``, ``source``, ``statistics``, ``fit``,
    ``flow``, ``model`` or ``serving``."""
    layer: int
    """From left to right: 0 for what was there first."""
    title: str
    name: str = ""
    """The digest, commit or run id by which it is known, whole; empty if it has none."""
    facts: tuple[str, ...] = ()
    """Short lines for people."""
    state: str = "ok"
    """``ok``, ``warning`` or ``lost``."""
    url: str = ""
    """Where to look at it; only of servers that answer."""


@dataclass(frozen=True, kw_only=True)
class Arrow:
    """``source`` went into ``target``."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Graph:
    """What a model version was made from."""

    model: str
    version: int
    champion: int | None
    boxes: list[Box] = field(default_factory=list)
    arrows: list[Arrow] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    """What could not be found, and what took its place."""


def draw(trace: Trace) -> Graph:
    """The boxes and arrows of a trace; every arrow joins two boxes."""
    boxes = list(_boxes(trace))
    arrows = [
        *_into("validation", "data", boxes),
        *_into("pretext", "pretext-data" if _has(boxes, "pretext-data") else "data", boxes),
        *_into("source", "source-data", boxes),
    ]
    for part in ("validation", "pretext", "code", "source", "statistics"):
        arrows += _into("fit", part, boxes)
    if not trace.validation:
        arrows += _into("fit", "data", boxes)
    arrows += [*_into("model", "fit", boxes), *_into("model", "flow", boxes)]
    arrows += _into("serving", "model", boxes)
    return Graph(
        model=trace.model.name,
        version=trace.model.version,
        champion=trace.model.champion,
        boxes=boxes,
        arrows=arrows,
        notes=trace.notes,
    )


def _boxes(trace: Trace) -> Iterator[Box]:
    yield _data("data", "Data version", trace.data, 0)
    if trace.pretext and trace.pretext.data and trace.pretext.data.version != trace.data.version:
        yield _data("pretext-data", "Data of the encoder", trace.pretext.data, 0)
    if trace.source and trace.source.data:
        yield _data("source-data", "Data of the source", trace.source.data, 0)
    if trace.validation:
        yield _validation(trace.validation)
    if trace.pretext:
        yield _pretext(trace.pretext)
    yield _code(trace)
    if trace.source:
        yield _source(trace.source)
    if trace.statistics:
        yield _statistics(trace.statistics)
    yield from _made(trace)


def _made(trace: Trace) -> Iterator[Box]:
    """The run, and what came of it."""
    named = str(trace.recipe.get("name", ""))
    settings = [f"recipe {named}"] if named else []
    settings += [f"seed {trace.seed}"] if trace.seed is not None else []
    yield _run("fit", "fit", "Fit run", trace.run, 2, settings)
    if trace.flow:
        facts = tuple(part for part in (trace.flow.name, trace.flow.state) if part)
        yield Box(
            id="flow",
            kind="flow",
            layer=2,
            title="Flow run",
            name=trace.flow.flow_run_id,
            facts=facts,
            url=trace.flow.url or "",
        )
    model = trace.model
    yield Box(
        id="model",
        kind="model",
        layer=3,
        title=f"{model.name} version {model.version}",
        name=model.digest,
        facts=(f"registered {model.created}", *model.aliases),
    )
    if model.champion == model.version:
        promoted = [each for each in trace.decisions if each.champion == model.version]
        last = promoted[-1] if promoted else None
        facts = (
            (f"since {last.when[:19]}", last.who.partition(" <")[0])
            if last
            else ("the alias was set by hand",)
        )
        yield Box(id="serving", kind="serving", layer=4, title="Champion", facts=facts)


def _data(id_: str, title: str, data: TracedData, layer: int) -> Box:
    version, state = data.version, "ok"
    facts = [version.name, f"{version.num_files} files, {megabytes(version.num_bytes)}"]
    if data.missing is None:
        state = "warning"
        facts.append("list of files lost")
    elif data.missing:
        state = "warning"
        facts.append(f"{data.missing} files missing in the cache")
    return Box(
        id=id_,
        kind="data",
        layer=layer,
        title=title,
        name=version.digest,
        facts=tuple(facts),
        state=state,
    )


def _code(trace: Trace) -> Box:
    return Box(
        id="code",
        kind="code",
        layer=1,
        title="Code commit",
        name=trace.git_commit,
        facts=(f"sources {trace.code_version}",) if trace.code_version else (),
        state="warning" if trace.git_commit.endswith("+dirty") else "ok",
    )


def _statistics(statistics: TracedStatistics) -> Box:
    parent = statistics.parent_digest[:12]
    made = f"updated from {parent}" if parent else "of all clips"
    return Box(
        id="statistics",
        kind="statistics",
        layer=1,
        title="Statistics",
        name=statistics.digest,
        facts=(f"{statistics.num_clips} clips", made),
    )


def _validation(validation: Validation) -> Box:
    total, failed = validation.num_expectations, len(validation.failed)
    return Box(
        id="validation",
        kind="validation",
        layer=1,
        title="Validation",
        name=validation.run_id,
        facts=(f"{total - failed} of {total} expectations met", *validation.failed[:3]),
        state="warning" if failed else "ok",
    )


def _pretext(pretext: TracedPretext) -> Box:
    title = "Adaptation run" if pretext.backbone == "adapted" else "Pretext run"
    return _run("pretext", "pretext", title, pretext.run, 1, [f"encoder {pretext.backbone}"])


def _source(source: TracedSource) -> Box:
    return Box(
        id="source",
        kind="source",
        layer=1,
        title="Adapted from",
        name=source.digest,
        facts=(f"{source.name} version {source.version}",),
    )


def _run(id_: str, kind: str, title: str, run: TracedRun, layer: int, facts: list[str]) -> Box:
    told = [*facts]
    if run.seconds is not None:
        told.append(f"{run.seconds:.0f} s")
    if not run.found:
        told.append("the run was deleted")
    return Box(
        id=id_,
        kind=kind,
        layer=layer,
        title=title,
        name=run.run_id,
        facts=tuple(told),
        state="ok" if run.found else "lost",
    )


def _into(target: str, source: str, boxes: list[Box]) -> list[Arrow]:
    both = _has(boxes, source) and _has(boxes, target)
    return [Arrow(source=source, target=target)] if both else []


def _has(boxes: list[Box], id_: str) -> bool:
    return any(box.id == id_ for box in boxes)


def megabytes(num_bytes: int) -> str:
    """Bytes in MB, as people read them."""
    return f"{num_bytes / 1e6:.1f} MB"
