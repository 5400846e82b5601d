"""Sources: a folder that fills, a video file, a stream by HTTP or RTSP, a camera by its number.

Each runs in a thread of its own and puts pictures into a backlog. A folder is looked through again
and again, so that it may lie on another machine (NFS tells nobody of new files); a file counts when
two looks found it unchanged. A stream that is lost is opened again, later and later.
"""

import hashlib
import logging
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.errors import InvalidInputError, NotFoundError
from tasks.data import images, layout
from tasks.data.images import UnreadableError
from tasks.packaging.preprocessing import Levels
from tasks.platform import events
from tasks.watching.backlog import Backlog, Picture

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Between two looks at a folder."""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds until a lost stream is opened again, at first and at last."""
PATIENCE = 10_000
"""Milliseconds in which a stream must open, and bring its next frame."""
STREAMS = ("http", "https", "rtsp", "rtsps", "rtmp", "udp", "tcp")
LOST, BACK = "unseen.source.lost", "unseen.source.back"
"""Prefect events; their resource is the model's."""


class Source(ABC):
    """Something that shows pictures.

    Args:
        given: As it was named.
        shown: The same without secrets.

    Attributes:
        live: Its pictures cannot wait.
        reconnects: How often it was lost.
        context: Frames before one that it takes to score it.
    """

    live = False

    def __init__(self, given: str, shown: str) -> None:
        self.shown = shown
        self.prefix = f"watch-{_short(given, 8)}-"
        self.reconnects = 0
        self.channels = 1
        self.levels: Levels | None = None
        self.context = 0
        self.stopped = threading.Event()

    @property
    def rate(self) -> float | None:
        """Frames per second that it says it has."""
        return None

    def run(self, backlog: Backlog, known: Collection[str], name: str, *, once: bool) -> None:
        """Put its pictures into the backlog until it ends or is stopped.

        Args:
            backlog: Where pictures go.
            known: Request ids of pictures that were scored before.
            name: The registered model, for events.
            once: End when what is there now was shown.
        """
        try:
            for picture in self.pictures(known, name, once=once):
                if self.stopped.is_set() or not backlog.put(picture, live=self.live):
                    return
        except Exception:
            log.warning("%s is watched no more.", self.shown, exc_info=True)
        finally:
            backlog.end(self.shown)

    @abstractmethod
    def pictures(self, known: Collection[str], name: str, *, once: bool) -> Iterator[Picture]:
        """Its pictures; see ``run``."""


class Folder(Source):
    """Image files in a folder and those below it, in the order of their names."""

    def __init__(self, path: Path) -> None:
        super().__init__(str(path.resolve()), str(path))
        self.path = path

    def pictures(self, known: Collection[str], name: str, *, once: bool) -> Iterator[Picture]:  # noqa: ARG002
        """Files that are whole and were not scored before."""
        seen, before, index = set(known), dict[str, tuple[int, int]](), 0
        while not self.stopped.is_set():
            found = self._look()
            settled = [path for path, state in found.items() if once or before.get(path) == state]
            for path in sorted(settled, key=layout.natural):
                request_id = self.prefix + _short(f"{path} {found[path]}", 16)
                if request_id in seen:
                    continue
                seen.add(request_id)
                if picture := self._read(path, request_id, index):
                    index += 1
                    yield picture
            if once:
                return
            before = found
            self.stopped.wait(LOOK_SECONDS)

    def _look(self) -> dict[str, tuple[int, int]]:
        """Size and time of the image files, by path below the folder."""
        found = {}
        for folder, _, names in os.walk(self.path):
            for each in names:
                path = Path(folder) / each
                relpath = path.relative_to(self.path).as_posix()
                if path.suffix.lower() not in layout.IMAGES or layout.is_noise(relpath):
                    continue
                try:
                    status = path.stat()
                except OSError:  # gone meanwhile
                    continue
                found[relpath] = (status.st_size, status.st_mtime_ns)
        return found

    def _read(self, relpath: str, request_id: str, index: int) -> Picture | None:
        try:
            content = (self.path / relpath).read_bytes()
            pixels = images.read(content, self.channels, self.levels)
        except (UnreadableError, OSError) as error:
            log.warning("%s/%s is not scored: %s.", self.shown, relpath, error)
            return None
        return Picture(
            source=self.shown, request_id=request_id, index=index, pixels=pixels, content=content
        )


class Stream(Source):
    """Frames of a video file, a stream, or a camera, by OpenCV."""

    def __init__(self, given: str) -> None:
        self.address: str | int = int(given) if given.isdecimal() else given
        self.file = isinstance(self.address, str) and Path(self.address).is_file()
        parts = urlsplit(given)
        shown = f"{parts.scheme}://{parts.hostname}{parts.path}" if parts.hostname else given
        super().__init__(str(Path(given).resolve()) if self.file else given, shown)
        self.live = not self.file
        self._rate: float | None = None

    @property
    def rate(self) -> float | None:
        """Frames per second that it says it has; None before it was opened."""
        return self._rate

    def pictures(self, known: Collection[str], name: str, *, once: bool) -> Iterator[Picture]:
        """Frames as they come; of a file, those that were not scored before."""
        began, index, pause = int(time.time() * 1000), 0, FIRST_PAUSE
        last = (
            max((int(each[len(self.prefix) :]) for each in known), default=-1) if self.file else -1
        )
        while not self.stopped.is_set():
            for pixels in self._frames():
                if pause > FIRST_PAUSE:
                    log.info("%s is back.", self.shown)
                    events.emit(BACK, events.model(name), {"source": self.shown})
                    pause = FIRST_PAUSE
                request_id = self.prefix + (f"{index:08}" if self.file else f"{began}-{index:08}")
                if index > last - self.context:
                    yield Picture(
                        source=self.shown, request_id=request_id, index=index, pixels=pixels
                    )
                index += 1
            if self.file or once or self.stopped.is_set():
                return
            index += 1  # what was missed
            self.reconnects += 1
            log.warning("%s is lost; it is opened again in %.0f s.", self.shown, pause)
            if pause == FIRST_PAUSE:
                events.emit(LOST, events.model(name), {"source": self.shown})
            self.stopped.wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    def _frames(self) -> Iterator[NDArray[np.uint8]]:
        capture = self._opened()
        try:
            while not self.stopped.is_set():
                whole, pixels = capture.read()
                if not whole:
                    return
                colour = pixels if pixels.ndim == 2 else pixels[..., ::-1]
                yield images.to_channels(Image.fromarray(colour), self.channels)
        finally:
            capture.release()

    def _opened(self) -> Any:
        import cv2

        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        if isinstance(self.address, int):
            capture = cv2.VideoCapture(self.address)
        else:
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, PATIENCE]
            limits += [cv2.CAP_PROP_READ_TIMEOUT_MSEC, PATIENCE]
            capture = cv2.VideoCapture(self.address, cv2.CAP_FFMPEG, limits)
        rate = float(capture.get(cv2.CAP_PROP_FPS)) if capture.isOpened() else 0.0
        self._rate = rate if np.isfinite(rate) and 0 < rate < 1000 else None
        return capture


def source(given: str) -> Source:
    """A source by what people call it: a path, an address, or the number of a camera.

    Raises:
        NotFoundError: If it is a path where nothing is.
        InvalidInputError: If it is an address that cannot be a stream.
    """
    path = Path(given)
    if path.is_dir():
        return Folder(path)
    if given.isdecimal() or path.is_file():
        return Stream(given)
    scheme = given.partition("://")[0] if "://" in given else ""
    if scheme in STREAMS:
        return Stream(given)
    if scheme:
        raise InvalidInputError(
            f"A stream must be one of {', '.join(f'{each}://' for each in STREAMS)}, got {scheme}://."
        )
    raise NotFoundError(
        f"There is no folder or video file {given}. A source is a folder, a video file, an address "
        "such as rtsp://HOST/PATH, or the number of a camera."
    )


def _short(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
