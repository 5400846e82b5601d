from tasks.serving.monitoring.announce_drift import announce
from tests.tasks.drifting import report


def test_without_drift_there_is_no_event():
    for verdict in ("no drift", "not enough yet"):
        assert announce.fn(report(verdict=verdict), "") == ""
