import json

import numpy as np

from tasks.registry import mlflow_store
from tasks.serving.monitoring import drift
from tasks.serving.monitoring.report_drift import announce, figures, log_drift, picture
from tests.tasks.drifting import report, shown


def test_a_report_becomes_a_run_that_knows_its_model(register_detector):
    registered, _ = register_detector()
    client, made = mlflow_store.client(), report()
    run = client.get_run(log_drift.fn(made))
    version = client.get_model_version("squares", "1")
    assert run.data.metrics == figures(made)
    assert run.data.metrics["drift.frechet"] == 3.0
    assert run.data.tags["unseen.kind"] == "monitor"
    assert run.data.tags["unseen.model_version"] == "1"
    assert run.data.tags["unseen.model_run_id"] == registered.run_id
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    assert {metric.key for metric in logged.metrics or []} >= {"drift.frechet"}
    told = json.loads(version.tags["unseen.drift"])
    assert (told["verdict"], told["run_id"]) == ("drift", run.info.run_id)
    paths = {each.path for each in client.list_artifacts(run.info.run_id, "drift")}
    assert paths == {"drift/report.json", "drift/drift.png"}
    folder = client.download_artifacts(run.info.run_id, "drift/report.json")
    with open(folder) as file:  # noqa: PTH123
        assert drift.from_json(json.load(file)) == made


def test_without_a_verdict_there_is_no_run(register_detector):
    register_detector()
    assert log_drift.fn(report(verdict="not enough yet")) == ""
    assert "unseen.drift" not in mlflow_store.client().get_model_version("squares", "1").tags


def test_figures_that_are_not_known_are_left_out():
    found = figures(report(recent=shown(100, distance=None), limit=None))
    assert "drift.frechet" not in found
    assert "drift.frechet_limit" not in found
    assert found["drift.alarm_rate_promised"] == 0.05


def test_without_drift_there_is_no_event():
    for verdict in ("no drift", "not enough yet"):
        assert announce.fn(report(verdict=verdict), "") == ""


def axes_of(figure):
    return figure.get_axes()


def test_the_picture_shows_p_values_and_the_distance_over_time():
    left, right = axes_of(picture(report()))
    assert [patch.get_label() for patch in left.patches] == ["since it serves", "recent"]
    assert np.allclose(left.patches[1].get_data().values, 1 / 20)
    line, limit, _ = right.get_lines()
    assert line.get_ydata().tolist() == [0.6, 3.0]
    assert limit.get_ydata()[0] == 2.0


def test_without_a_gaussian_the_picture_says_so():
    bare = report(recent=shown(100, distance=None), timeline=(), limit=None, typical=None)
    _, right = axes_of(picture(bare))
    assert "no Gaussian" in right.texts[0].get_text()
