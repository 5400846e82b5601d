"""A served detector that is shown normal frames, and frames that are not as they were."""

import threading
from dataclasses import asdict

import cv2
import numpy as np
import pytest
import torch
from fastapi.testclient import TestClient

from models.functional.gaussian import Moments
from tasks.registry import mlflow_store, model_versions
from tasks.serving.monitoring import drift, recorder, served_statistics
from tasks.serving.monitoring.recorder import Watch
from tasks.serving.serve import build_app
from tests.tasks.serving.test_serve import encode, parts, wait_for

SIZE = (24, 32)


def stripes(num, seed):
    """Images like those that ``two_cameras`` writes for the first camera."""
    random = np.random.default_rng(seed)
    phases = random.uniform(0, 6, (num, 1, 1))
    rows = 110 + 50 * np.sin(np.arange(SIZE[0])[:, None] / 3 + phases)
    return np.clip(rows + random.normal(0, 8, (num, *SIZE)), 0, 255).astype(np.uint8)


def blurred(images):
    return np.stack([cv2.GaussianBlur(image, (0, 0), 3) for image in images])


def noisier(images):
    noise = np.random.default_rng(5).normal(0, 40, images.shape)
    return np.clip(images + noise, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def deployed(two_cameras):
    """The detector of the first camera, as champion."""
    from tasks.serving.champion import deploy

    client = mlflow_store.client()
    client.set_registered_model_alias("first", model_versions.CHAMPION, "1")
    return deploy(model_versions.resolve(client, "first", model_versions.CHAMPION))


@pytest.fixture
def folder(two_cameras):
    """Where statistics are kept; emptied afterwards."""
    path = served_statistics.path_of("first", 1)
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def watching(deployed, folder):
    made = Watch("first", None)
    made.start()
    yield made
    made.stop()


def show(watching, deployed, images):
    note = watching.note(deployed)
    found = deployed.packaged.predict(images, observe=note.observe)
    note.leave(found)
    return found


def test_a_fit_measures_how_far_normal_windows_are(deployed):
    calibration = deployed.packaged.calibration
    assert calibration.window_frames.tolist() == [1] * 12
    assert (calibration.window_distance > 0).all()
    norm = drift.norm_of(deployed.packaged, None)
    assert norm.limit > calibration.window_distance.max() > norm.typical


def test_what_was_shown_is_counted_exactly(watching, deployed, monkeypatch):
    monkeypatch.setattr(recorder, "PLACES", 10**6)  # none is left out
    first, second = stripes(20, 1), stripes(12, 2)
    found = [show(watching, deployed, images) for images in (first, second)]
    report = watching.report(deployed)
    scores = np.concatenate([each.image_score for each in found])
    p_values = np.concatenate([each.p_value for each in found])
    assert report.overall.frames == report.recent.frames == 32
    assert report.overall.clips == 32  # each still image is an observation of its own
    assert report.overall.alarms == sum(each.anomalous.sum() for each in found)
    edges = [-np.inf, *report.score_edges, np.inf]
    assert report.overall.scores == tuple(np.histogram(scores, edges)[0])
    for place, count in enumerate(report.overall.p_values):
        assert count == ((p_values > place / 20) & (p_values <= (place + 1) / 20)).sum()
    known, detector = watching._known[deployed.packaged.digest], deployed.packaged.detector
    every = torch.from_numpy(np.concatenate([first, second])[:, None]).float() / 255
    vectors = detector.observe(every).features.flatten(end_dim=1)
    expected = Moments(vectors.shape[1])
    expected.update(vectors)
    found = known.served.total.moments
    np.testing.assert_allclose(found.mean, expected.mean.numpy(), rtol=1e-6)
    np.testing.assert_allclose(found.scatter, expected.scatter.numpy(), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda images: images, "no drift"),
        (lambda images: (images * 0.2).astype(np.uint8), "drift"),
        (blurred, "drift"),
        (noisier, "drift"),
    ],
    ids=["normal", "darkened", "blurred", "noisier"],
)
def test_drift_is_told_from_normal_frames(watching, deployed, change, verdict):
    for seed in range(3):
        show(watching, deployed, change(stripes(40, 10 + seed)))
    report = watching.report(deployed)
    assert (report.verdict, report.recent.frames) == (verdict, 120), report.why
    assert (report.recent.distance > report.limit) == (verdict == "drift")


def test_with_few_frames_nothing_is_said(watching, deployed):
    assert watching.report(deployed).verdict == "not enough yet"
    show(watching, deployed, noisier(stripes(8, 0)))
    report = watching.report(deployed)
    assert (report.verdict, report.why) == ("not enough yet", "8 of 32 frames were seen.")


def test_a_restart_goes_on_where_it_was(deployed, folder):
    for restart in range(2):
        made = Watch("first", None)
        made.start()
        show(made, deployed, stripes(40, restart))
        before = made.report(deployed)
        made.stop()
    assert before.overall.frames == 80
    again = Watch("first", None)
    again.start()
    assert again.report(deployed) == before
    again.stop()
    assert folder.exists()
    assert [path.suffix for path in folder.parent.iterdir()] == [".npz"]


def test_what_was_counted_reaches_the_disk_while_it_serves(deployed, folder):
    made = Watch("first", None, save_seconds=0.01)
    made.start()
    show(made, deployed, stripes(4, 0))
    found = wait_for(lambda: served_statistics.load(folder))
    assert found.total.frames == 4
    made.stop()


def test_another_rate_or_model_begins_anew(deployed, folder):
    made = Watch("first", None)
    made.start()
    show(made, deployed, stripes(4, 0))
    made.stop()
    other = Watch("first", 0.5)
    other.start()
    assert other.report(deployed).overall.frames == 0
    other.stop()


def test_a_second_server_leaves_the_file_to_the_first(watching, deployed, folder):
    show(watching, deployed, stripes(4, 0))
    second = Watch("first", None)
    second.start()
    show(second, deployed, stripes(9, 0))
    assert second.report(deployed).overall.frames == 9
    second.stop()
    assert not folder.exists()
    assert watching.report(deployed).overall.frames == 4


def test_no_request_is_lost_or_counted_twice_by_many_threads(watching, deployed):
    images = stripes(3, 4)
    expected = deployed.packaged.predict(images)

    def ask():
        for _ in range(5):
            found = show(watching, deployed, images)
            assert np.array_equal(found.image_score, expected.image_score)

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = watching.report(deployed)
    assert report.overall.frames + 3 * report.lost == 90
    assert report.overall.alarms == 0 or report.overall.alarms % expected.anomalous.sum() == 0


def test_a_full_queue_costs_statistics_and_no_prediction(deployed, folder, monkeypatch):
    monkeypatch.setattr(recorder, "MOST_NOTES", 2)
    stalled = Watch("first", None)  # nobody counts
    for _ in range(5):
        show(stalled, deployed, stripes(2, 0))
    assert stalled.lost == 3


def test_what_cannot_be_counted_is_told_once_and_costs_no_prediction(watching, deployed, caplog):
    expected = deployed.packaged.predict(stripes(2, 0))
    broken = watching.note(deployed)
    broken.observe(np.array(0.0))
    broken.leave(None)
    broken.leave(expected)
    nan = watching.note(deployed)
    nan.observe(np.full((2, 3, 4), np.nan))
    nan.leave(expected)
    wait_for(lambda: not watching._notes.unfinished_tasks or None)
    assert len([each for each in caplog.records if "cannot be counted" in each.message]) == 1
    before = watching.report(deployed).overall.frames
    show(watching, deployed, stripes(2, 0))
    assert watching.report(deployed).overall.frames == before + 2


def test_a_server_answers_with_the_drift_of_what_it_served(deployed, folder):
    with TestClient(build_app("first", poll_seconds=0.05)) as session:
        wait_for(lambda: session.get("/health").status_code == 200 or None)
        for seed in range(2):
            images = parts(*(encode(each) for each in noisier(stripes(20, seed))))
            assert session.post("/predict", files=images).status_code == 200
        assert session.post("/predict", files=parts(b"no image")).status_code == 415
        found = session.get("/drift").json()
    assert (found["verdict"], found["recent"]["frames"]) == ("drift", 40)
    assert found["recent"]["alarm_rate_low"] > found["promised_alarm_rate"]
    report = drift.from_json(found)
    assert asdict(report)["overall"]["p_values"] == tuple(found["overall"]["p_values"])
    assert served_statistics.load(folder).total.frames == 40  # written down when the server stopped
    with TestClient(build_app("first", poll_seconds=0.05)) as session:
        wait_for(lambda: session.get("/health").status_code == 200 or None)
        assert session.post("/predict", files=images).status_code == 200
    assert served_statistics.load(folder).total.frames == 60
