"""Monitor: is what a served model is shown still like what it learned?"""

from prefect import flow

from flows.outcome import told
from tasks.platform.flow_run import first_name
from tasks.records import Monitored
from tasks.serving.monitoring.read_drift import look
from tasks.serving.monitoring.report_drift import announce, log_drift


@flow(flow_run_name=first_name, timeout_seconds=900)
@told
def monitor(name: str, url: str | None = None) -> Monitored:
    """Look at what the champion is shown, log what was found, and tell of drift.

    Drift is told as a Prefect event, ``unseen.drift.detected`` of ``unseen.model.<name>``. What
    follows from it, such as a retrain, is an automation's to decide.

    Args:
        name: The registered model.
        url: Its server; else what the server of this repository wrote down is read.

    Returns:
        The verdict and why, and where the report is.
    """
    report = look(name, url)
    run_id = log_drift(report)
    event_id = announce(report, run_id)
    return Monitored(
        name=report.model,
        version=report.version,
        verdict=report.verdict,
        why=report.why,
        frames=report.recent.frames,
        run_id=run_id,
        event_id=event_id,
    )
