import cv2
import numpy as np
import pytest
from PIL import Image

from tasks.data import videos
from tasks.data.images import UnreadableError
from tests.tasks.data.test_decoding import write_video
from tests.tasks.pictures import picture

FRAMES = [picture(t, (16, 32)) for t in range(5)]


def test_a_container_is_known_by_its_first_bytes(tmp_path):
    path = write_video(tmp_path / "a.avi", FRAMES)
    assert videos.is_video(path.read_bytes()[:16])
    assert not videos.is_video(b"\x89PNG\r\n\x1a\n" + bytes(8))


def test_a_video_tells_its_frames_and_its_rate(tmp_path):
    path = write_video(tmp_path / "a.avi", FRAMES)
    assert videos.count_frames(path) == len(FRAMES)
    assert videos.frame_rate(path) > 0
    assert videos.header(path).size == (16, 32)
    first = videos.read_first(path, 1)
    assert np.array_equal(first, next(videos.read(path, 1, range(1))))


def test_pages_of_an_image_are_frames(tmp_path):
    pages = [Image.fromarray(frame) for frame in FRAMES]
    path = tmp_path / "a.gif"
    pages[0].save(path, save_all=True, append_images=pages[1:], duration=40)
    assert videos.count_frames(path) == len(FRAMES)
    assert videos.frame_rate(path) == pytest.approx(25)
    assert len(list(videos.read(path, 1, range(1, 4)))) == 3


def test_a_codec_that_cannot_be_decoded_is_named(tmp_path):
    first, *rest = [Image.fromarray(picture(t, (64, 64))) for t in range(3)]
    path = tmp_path / "a.avif"
    first.save(path, save_all=True, append_images=rest, duration=50)
    assert (videos.count_frames(path), videos.frame_rate(path)) == (3, 20)
    path.write_bytes(path.read_bytes().replace(b"avis", b"iso6").replace(b"avif", b"iso6", 1))
    for read in (videos.count_frames, lambda path: videos.read_first(path, 1)):
        with pytest.raises(UnreadableError, match="AV1 cannot be decoded here"):
            read(path)


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_video_without_its_index_is_truncated(tmp_path, kept):
    path = tmp_path / "a.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 10, (32, 16))
    for frame in FRAMES:
        writer.write(np.dstack([frame] * 3))
    writer.release()
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(UnreadableError, match="truncated: its box 'moov'"):
        videos.count_frames(path)
    path.write_bytes(b"no video")
    with pytest.raises(UnreadableError, match="OpenCV cannot open it"):
        videos.count_frames(path)


@pytest.mark.parametrize(("found", "stated", "truncated"), [(3, 5, True), (5, 5, False)])
def test_a_header_that_promises_more_is_a_truncated_video(tmp_path, found, stated, truncated):
    path = write_video(tmp_path / "a.avi", FRAMES)
    if not truncated:
        videos.check_count(path, found, stated)
        return
    with pytest.raises(UnreadableError, match="ends after 3 of the 5 frames"):
        videos.check_count(path, found, stated)
