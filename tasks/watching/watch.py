"""Watch: score what sources show with the champion, and keep account of it as ``serve`` does.

What was scored, the prediction log knows: a process that was killed goes on where its log ends, so
that of a folder or a video no picture is scored twice.

Shapes: T = frames, H W = frame.
"""

import hashlib
import logging
import signal
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import groupby

import cv2
import numpy as np
from numpy.typing import NDArray
from prometheus_client.core import Metric

from models.errors import DataError, InvalidInputError, NotFoundError
from tasks.data import snapshots
from tasks.packaging.detector import Prediction
from tasks.packaging.program import AUTO
from tasks.records import DataVersion
from tasks.serving import prometheus, uploads
from tasks.serving.account import Account, logged
from tasks.serving.champion import Champion
from tasks.serving.deployed import Deployed
from tasks.serving.kept_pictures import Keep
from tasks.serving.monitoring import prediction_log, recorder
from tasks.serving.prometheus import Metrics
from tasks.serving.uploads import Limits
from tasks.watching.backlog import Backlog, Picture
from tasks.watching.sources import Source

log = logging.getLogger(__name__)

TOGETHER = 8
"""Still images that are scored at once."""
CLIPS = 2
"""Windows of frames that a clip spans which is logged as one."""


class Watcher:
    """Scores the pictures of several sources, one after the other.

    Args:
        name: Registered model whose champion scores.
        sources: What is watched.
        keep: Pictures to keep; see ``tasks.serving.kept_pictures``.
        poll_seconds: Time between two looks at the alias.
        false_alarm_rate: Share of normal frames that may be called anomalous.
        engine: What scores; see ``tasks.packaging.program.choose``.

    Attributes:
        scored: Pictures that were scored, by source.
    """

    def __init__(
        self,
        name: str,
        sources: Sequence[Source],
        *,
        keep: Keep | None = None,
        poll_seconds: float = 2.0,
        false_alarm_rate: float | None = None,
        engine: str = AUTO,
    ) -> None:
        if len({source.shown for source in sources}) < len(sources):
            raise InvalidInputError("Each source must be named once, and one is named twice.")
        self.sources = sources
        self.champion = Champion(
            name, poll_seconds=poll_seconds, false_alarm_rate=false_alarm_rate, engine=engine
        )
        self.watch = recorder.Watch(name, false_alarm_rate)
        self.account = Account(name, keep=keep)
        self.backlog = Backlog(source.shown for source in sources)
        self.scored = dict.fromkeys(self.backlog.dropped, 0)
        self.metrics = Metrics()
        for tell in (self.account.tell, self._tell):
            self.metrics.add(tell)
        self._frames: dict[str, list[Picture]] = defaultdict(list)
        self._sizes: dict[str, tuple[int, ...]] = {}

    def run(self, *, once: bool = False) -> None:
        """Watch until the sources end, or the process is told to.

        Args:
            once: Until what is there now was scored.

        Raises:
            NotFoundError: If the model has no champion.
        """
        self.champion.refresh()
        assert self.champion.deployed is not None
        how = self.champion.deployed.packaged.preprocessing
        threads = []
        for part in (self.champion, self.watch, self.account):
            part.start()
        for each in self.sources:
            each.channels, each.levels, each.context = how.channels, how.levels, how.window - 1
            known = prediction_log.ids(self.champion.name, each.prefix)
            args = (self.backlog, known, self.champion.name)
            threads.append(threading.Thread(target=each.run, args=args, kwargs={"once": once}))
            threads[-1].daemon = True
            threads[-1].start()
        try:
            while pictures := self.backlog.take(TOGETHER):
                self._score(pictures)
            for source in self.sources:
                self._clip(source.shown)
        finally:
            for each in self.sources:
                each.stopped.set()
            self.backlog.close()
            for part in (self.champion, self.account, self.watch):
                part.stop()

    def stop(self) -> None:
        """End after what is being scored now."""
        self.backlog.close()

    def _score(self, pictures: Sequence[Picture]) -> None:
        deployed = self.champion.deployed
        assert deployed is not None
        for _, group in groupby(pictures, key=lambda picture: picture.pixels.shape):
            same = list(group)
            self._look_at_size(deployed, same[0])
            try:
                if deployed.packaged.preprocessing.window == 1:
                    self._stills(deployed, same)
                else:
                    for picture in same:
                        self._frame(deployed, picture)
            except (InvalidInputError, RuntimeError) as error:
                log.warning("%s cannot be scored: %s", same[0].source, error)

    def _stills(self, deployed: Deployed, pictures: Sequence[Picture]) -> None:
        found = self._predict(deployed, pictures)
        for place, picture in enumerate(pictures):
            digests, contents = self._files([picture])
            told = logged(deployed, found, picture.request_id, digests, picture.source)
            self.account.enter(prediction_log.only(told, place), contents)
            self.scored[picture.source] += 1

    def _frame(self, deployed: Deployed, picture: Picture) -> None:
        """Gather a clip, and score it when it is long enough or its frames do not go on."""
        window, frames = deployed.packaged.preprocessing.window, self._frames[picture.source]
        last = frames[-1] if frames else None
        if last and (last.index + 1 != picture.index or last.pixels.shape != picture.pixels.shape):
            self._clip(picture.source)
            frames.clear()
        frames.append(picture)
        if len(frames) >= CLIPS * window:
            self._clip(picture.source)

    def _clip(self, source: str) -> None:
        """Score the frames that were gathered, and keep those that the next window begins with."""
        deployed, frames = self.champion.deployed, self._frames[source]
        assert deployed is not None
        window = deployed.packaged.preprocessing.window
        if len(frames) < window or not frames:
            return
        found = self._predict(deployed, frames)
        digests, contents = self._files(frames)
        told = logged(deployed, found, frames[-1].request_id, digests, source)
        self.account.enter(told, contents)
        self.scored[source] += len(found.image_score)
        del frames[: len(frames) - window + 1]

    def _predict(self, deployed: Deployed, pictures: Sequence[Picture]) -> Prediction:
        note = self.watch.note(deployed)
        found = deployed.packaged.predict(
            np.stack([picture.pixels for picture in pictures]),
            false_alarm_rate=self.champion.false_alarm_rate,
            observe=note.observe if note.observes else None,
        )
        note.leave(found)
        return found

    def _files(self, pictures: Sequence[Picture]) -> tuple[tuple[str, ...], list[bytes]]:
        """SHA-256 and bytes of pictures; the frame of a stream becomes a PNG if it may be kept."""
        contents = []
        for each in pictures:
            if each.content is not None:
                contents.append(each.content)
            elif self.account.pictures:
                contents.append(_png(each.pixels))
            else:
                contents.append(each.pixels.tobytes())
        return tuple(hashlib.sha256(each).hexdigest() for each in contents), contents

    def _look_at_size(self, deployed: Deployed, picture: Picture) -> None:
        """Say once what is otherwise than in training, or than before."""
        size, before = picture.pixels.shape[-2:], self._sizes.get(picture.source)
        if size == before:
            return
        self._sizes[picture.source] = size
        shown = f"{size[1]} x {size[0]}"
        if before:
            text = "%s has frames of %s from now on, and had %s x %s."
            log.warning(text, picture.source, shown, before[1], before[0])
        trained = _trained_size(deployed)
        if trained and trained != size:
            text = "%s has frames of %s; the detector was trained on %s x %s."
            log.warning(text, picture.source, shown, trained[1], trained[0])
        rate = next(each.rate for each in self.sources if each.shown == picture.source)
        how = deployed.packaged.preprocessing
        for warning in uploads.rate_warnings(rate, how, Limits()):
            log.warning("%s: %s", picture.source, warning)

    def _tell(self) -> Iterator[Metric]:
        reconnects = {source.shown: source.reconnects for source in self.sources}
        for name, meaning, counts in (
            ("watched_pictures", "Pictures of a source that were scored.", self.scored),
            ("dropped_pictures", "Pictures that came too fast.", self.backlog.dropped),
            ("source_reconnects", "How often a source was lost.", reconnects),
        ):
            yield prometheus.counters(name, meaning, "source", counts)


def _trained_size(deployed: Deployed) -> tuple[int, ...] | None:
    with suppress(DataError, NotFoundError, IndexError):
        version = DataVersion(**deployed.packaged.lineage["data"])
        snapshot = snapshots.open_version(version)
        return snapshot.frame_size(snapshot.clips("train")[0])
    return None


def _png(pixels: NDArray[np.uint8]) -> bytes:
    shown = pixels if pixels.ndim == 2 else pixels[::-1].transpose(1, 2, 0).copy()
    _, png = cv2.imencode(".png", shown, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return png.tobytes()


def until_told(watcher: Watcher) -> None:
    """Let the signals that end a process end a watcher in order."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: watcher.stop())
