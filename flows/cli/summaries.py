"""What a run of a flow ends with on the screen: what was done, what came of it, where to look."""

from rich.console import Group, RenderableType
from rich.text import Text

from flows.cli.tables import figures, table_of
from tasks.records import Decision, Monitored
from tasks.registry import mlflow_store
from tasks.registry.tags import (
    DATA_DIGEST,
    DATA_NAME,
    DATA_NUM_FILES,
    FLOW_RUN_ID,
    KIND,
    PRETEXT_RUN_ID,
    RUN_ID,
    VALIDATION_RUN_ID,
)
from tasks.registry.version_facts import get_run


def retrain_summary(decision: Decision, flow_run_id: str, api_url: str) -> RenderableType:
    """What was computed and what reused, the score, the decision and why, where to look next."""
    client = mlflow_store.client()
    version = client.get_model_version(decision.name, str(decision.version))
    tags = version.tags
    steps = table_of("step", "", "what", title="")
    for key in (VALIDATION_RUN_ID, PRETEXT_RUN_ID, RUN_ID):
        run_id = tags.get(key, "")
        if run_id:
            steps.add_row(*_step(run_id, flow_run_id), f"run {run_id[:12]}")
    data = f"{tags.get(DATA_NAME)} {tags.get(DATA_DIGEST, '')[:12]}"
    steps.add_row("data", "", f"{data} ({tags.get(DATA_NUM_FILES)} files)")
    steps.add_row("score", "", figures(tags))
    outcome = "champion" if decision.champion == decision.version else "not promoted"
    steps.add_row("version", "", f"{decision.name} {decision.version}: {outcome}. {decision.why}")
    return Group(steps, "", _where_to_look(decision, flow_run_id, api_url))


def _step(run_id: str, flow_run_id: str) -> tuple[str, str]:
    """Kind of a run, and whether this flow run computed it."""
    run = get_run(mlflow_store.client(), run_id)
    if run is None:
        return "step", "its run was deleted"
    kind = run.data.tags.get(KIND, "")
    ours = run.data.tags.get(FLOW_RUN_ID) == flow_run_id
    seconds = ((run.info.end_time or run.info.start_time) - run.info.start_time) / 1000
    return kind, f"computed in {seconds:.0f} s" if ours else "reused, unchanged"


def _where_to_look(decision: Decision, flow_run_id: str, api_url: str) -> RenderableType:
    """One line each, never broken; the last one is a command and nothing else, to be copied."""
    store = mlflow_store.client().tracking_uri
    ui = store if store.startswith("http") else f"mlflow ui --backend-store-uri {store}"
    name, number = decision.name, decision.version
    lines = [
        ("plots, maps", ui),
        ("the flow run", f"{api_url.removesuffix('/api')}/runs/flow-run/{flow_run_id}"),
        ("its card", f"unseen card {name}@{number}"),
        ("its lineage", f"unseen trace {name}@{number}"),
    ]
    if decision.champion == number:
        do, how = "Next, serve it:", f"unseen serve {name}"
    else:
        lines.append(("serve anyway", f"unseen promote {name} {number} --why REASON"))
        do, how = "Next, see who serves and why:", f"unseen history {name}"
    shown = (f"{what:14}{where}" for what, where in lines)
    whole = [Text(each, no_wrap=True, overflow="ignore") for each in ("look", *shown, "", do, how)]
    return Group(*whole)


def monitor_summary(found: Monitored) -> RenderableType:
    """The verdict on what a served version is shown, and where the report is."""
    table = table_of("", "", title=f"{found.name} version {found.version}: {found.verdict}")
    table.add_row("why", found.why)
    table.add_row("recent frames", str(found.frames))
    if found.run_id:
        table.add_row("report, plot", f"MLflow run {found.run_id}")
    if found.event_id:
        table.add_row("event", f"unseen.drift.detected of unseen.model.{found.name}")
    return table
