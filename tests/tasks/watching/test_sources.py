import threading
from itertools import islice, pairwise

import cv2
import numpy as np
import pytest

from models.errors import InvalidInputError, NotFoundError
from tasks.watching import sources
from tasks.watching.sources import Folder, Stream, source
from tests.tasks.watching.streaming import mjpeg, pictures


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(sources, "LOOK_SECONDS", 0.02)


def test_a_source_is_what_its_name_says(tmp_path):
    (tmp_path / "clip.avi").write_bytes(b"RIFF")
    assert isinstance(source(str(tmp_path)), Folder)
    assert not source("clip.avi").live
    assert source("0").live
    camera = source("rtsp://ada:secret@camera.local/1")
    assert (camera.live, camera.shown) == (True, "rtsp://camera.local/1")
    with pytest.raises(NotFoundError, match="no folder or video file nowhere"):
        source("nowhere")
    with pytest.raises(InvalidInputError, match="got ftp://"):
        source("ftp://camera")


def test_a_folder_shows_whole_files_once_in_order_and_passes_over_damaged_ones(tmp_path, caplog):
    folder = tmp_path / "incoming"
    folder.mkdir()
    for number, pixels in enumerate(pictures(3)):
        assert cv2.imwrite(str(folder / f"{number}.png"), pixels)
    (folder / "3.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    (folder / "notes.txt").write_text("no picture")
    shown = Folder(folder)
    first = list(shown.pictures((), "squares", once=True))
    assert [each.index for each in first] == [0, 1, 2]
    assert (first[2].pixels == pictures(3)[2]).all()
    assert first[0].content == (folder / "0.png").read_bytes()
    assert "3.png is not scored" in caplog.text
    known = {each.request_id for each in first}
    assert list(Folder(folder).pictures(known, "squares", once=True)) == []
    running = Folder(folder)
    showing = running.pictures(known, "squares", once=False)
    grow = threading.Timer(0.2, lambda: cv2.imwrite(str(folder / "4.png"), pictures(1)[0]))
    grow.start()
    assert next(showing).request_id not in known
    running.stopped.set()


def test_a_video_goes_on_where_the_log_ends(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
    for pixels in pictures(6):
        writer.write(np.repeat(pixels[..., None], 3, axis=2))
    writer.release()
    video = Stream(str(path))
    frames = list(video.pictures((), "squares", once=False))
    assert ([each.index for each in frames], video.rate) == (list(range(6)), 10.0)
    known = {frames[3].request_id}
    assert [each.index for each in Stream(str(path)).pictures(known, "x", once=False)] == [4, 5]
    video.context = 2
    assert [each.index for each in video.pictures(known, "x", once=False)] == [2, 3, 4, 5]


def test_a_stream_that_is_lost_is_opened_again(caplog):
    with mjpeg(pictures(4), each=5) as address:
        stream = Stream(address)
        frames = list(islice(stream.pictures((), "squares", once=False), 12))
        stream.stopped.set()
    assert stream.reconnects >= 2
    assert len({each.request_id for each in frames}) == 12
    assert frames[0].pixels.shape == (64, 96)
    assert [b.index - a.index for a, b in pairwise(frames)].count(2) >= 2
    assert "is lost" in caplog.text
