import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.errors import InvalidInputError
from tasks.registry import mlflow_store
from tasks.serving import kept_pictures
from tasks.serving.kept_pictures import Keep
from tasks.serving.monitoring import prediction_log
from tasks.watching import sources
from tasks.watching.sources import Folder, Stream
from tasks.watching.watch import Watcher
from tests.tasks.watching.streaming import mjpeg, pictures


@pytest.fixture
def served(register_detector, monkeypatch):
    """A champion of still images."""
    registered, _ = register_detector(loadable=True)
    client = mlflow_store.client()
    client.set_registered_model_alias("squares", "champion", str(registered.version))
    monkeypatch.setattr(sources, "FIRST_PAUSE", 0.05)


def fill(folder, count, first=0, size=(64, 96)):
    folder.mkdir(exist_ok=True)
    for number, pixels in enumerate(pictures(count, size, seed=first), start=first):
        assert cv2.imwrite(str(folder / f"{number:03}.png"), pixels)


def rows(name="squares"):
    path = prediction_log.path_of(name)
    if not path.exists():
        return []
    with closing(sqlite3.connect(path)) as database, suppress(sqlite3.OperationalError):
        return [row[0] for row in database.execute("SELECT request_id FROM prediction")]
    return []  # it is just being made


def until(holds, seconds=120):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_folder_is_scored_once_kept_and_counted(served, tmp_path, caplog):
    folder = tmp_path / "incoming"
    fill(folder, 5)
    fill(folder, 2, first=5, size=(32, 48))
    watcher = Watcher("squares", [Folder(folder)], keep=Keep(policy="all"))
    watcher.run(once=True)
    assert watcher.scored == {str(folder): 7}
    assert len(kept_pictures.kept("squares")) == 7
    logged = list(prediction_log.newest("squares", 10))
    assert {each.client for each in logged} == {str(folder)}
    assert not any(each.is_clip for each in logged)
    assert "frames of 48 x 32 from now on, and had 96 x 64" in caplog.text.replace(
        "64 x 96", "96 x 64"
    )
    told = watcher.metrics.text().decode()
    assert f'unseen_watched_pictures_total{{source="{folder}"}} 7.0' in told
    again = Watcher("squares", [Folder(folder)])
    again.run(once=True)
    assert again.scored == {str(folder): 0}
    with pytest.raises(InvalidInputError, match="named once"):
        Watcher("squares", [Folder(folder), Folder(folder)])


def test_a_stream_is_scored_through_its_losses_until_the_watcher_is_told_to_end(served):
    with mjpeg(pictures(4), each=10) as address:
        watcher = Watcher("squares", [Stream(address)])
        running = threading.Thread(target=watcher.run)
        running.start()
        until(lambda: len(rows()) >= 25)
        watcher.stop()
        running.join(60)
        assert not running.is_alive()
    assert len(set(rows())) == len(rows())
    assert watcher.sources[0].reconnects >= 1


def test_clips_of_a_video_overlap_so_that_every_window_is_scored(settled, tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (24, 16))
    for pixels in pictures(20, (16, 24)):
        writer.write(np.repeat(pixels[..., None], 3, axis=2))
    writer.release()
    watcher = Watcher("squares", [Stream(str(path))])
    watcher.run()
    assert watcher.scored == {str(path): 15}  # windows of 6 of 20 frames
    logged = list(prediction_log.newest("squares", 10))
    assert all(each.is_clip for each in logged)
    again = Watcher("squares", [Stream(str(path))])
    again.run()
    assert again.scored == {str(path): 0}


def test_a_process_that_is_killed_goes_on_without_scoring_a_file_twice(served, repository):
    folder = repository / "incoming"
    fill(folder, 10)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-m", "flows.cli", "watch", "squares", str(folder)]
    killed = subprocess.Popen(command, env=environment)
    until(lambda: len(rows()) >= 5)
    fill(folder, 10, first=10)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    fill(folder, 10, first=20)
    subprocess.run([*command, "--once"], env=environment, check=True, timeout=200)
    assert len(set(rows())) == len(rows()) == 30
