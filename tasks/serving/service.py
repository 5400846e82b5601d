"""Service: what stands behind the server's addresses, for the champion that is deployed now."""

import asyncio
import hashlib
import math
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from io import BytesIO
from typing import IO, Any

import anyio
from fastapi import Request
from prometheus_client.core import Metric

from tasks.packaging.raw import Raw
from tasks.serving import prometheus, responses, uploads
from tasks.serving.account import Account, logged
from tasks.serving.admission import Admission, BusyError
from tasks.serving.batching import Batcher, Job
from tasks.serving.deployed import Deployed, Source
from tasks.serving.forms import SINGLE, files_of, flag
from tasks.serving.kept_pictures import Keep
from tasks.serving.monitoring.drift import DriftReport
from tasks.serving.monitoring.recorder import Note, Watch
from tasks.serving.prometheus import Metrics
from tasks.serving.responses import Scored
from tasks.serving.uploads import Limits, UnsupportedError

FEW_FRAMES = 32
"""Frames whose judgement is too quick to be worth another thread."""
LINEAGE_SECONDS = 5.0
"""How long ``GET /lineage`` waits for the registry before it answers what it knew last."""
DRIFT_SECONDS = 10.0
"""Age of the drift report that ``GET /metrics`` still tells."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request for a prediction."""

    request: Request
    client: str
    """Name of the key that was used; empty without one."""
    anomaly_map: bool
    """A score for every pixel is wanted."""
    deployed: Deployed
    """The version that answers, whatever is promoted meanwhile."""
    note: Note
    """For the watch."""

    @property
    def request_id(self) -> str:
        """Under which it is answered and logged."""
        return str(self.request.state.request_id)


@dataclass(frozen=True)
class Sent:
    """The files of a request."""

    digests: tuple[str, ...]
    """SHA-256 of each."""
    contents: Sequence[bytes] = ()
    """Their bytes, if pictures are kept."""


class Service:
    """Scores requests with whatever detector is deployed, and keeps account of them.

    Args:
        source: Where the detector comes from that answers.
        limits: What a request may cost.
        log_predictions: Keep what was answered; see ``tasks.serving.monitoring.prediction_log``.
        keep: Keep pictures as well; see ``tasks.serving.kept_pictures``.
    """

    def __init__(
        self,
        source: Source,
        limits: Limits,
        *,
        log_predictions: bool = True,
        keep: Keep | None = None,
    ) -> None:
        self.limits = limits
        self.source = source
        name, false_alarm_rate = source.name, source.false_alarm_rate
        self.watch = Watch(name, false_alarm_rate)
        self.metrics = Metrics()
        self.metrics.add(self._tell)
        self.admission = Admission(limits)
        limited = limits.wait_seconds < math.inf
        self.batcher = Batcher(limits.queued_bytes, self.metrics.batch, limited=limited)
        self.account = Account(name, log_predictions=log_predictions, keep=keep)
        self.metrics.add(self.account.tell)
        self._workers = ThreadPoolExecutor(limits.concurrent, "worker")
        self._starts = 0
        self._lineage: tuple[Deployed, dict[str, Any]] | None = None
        self._drift: tuple[Deployed, float, DriftReport] | None = None

    def start(self) -> None:
        """Begin to follow the champion and to answer, unless that was begun already."""
        self._starts += 1
        if self._starts > 1:
            return
        for part in (self.source, self.watch, self.batcher, self.account):
            part.start()

    def stop(self) -> None:
        """Stop, once for each start, and write down what is to be kept."""
        self._starts -= 1
        if self._starts:
            return
        for part in (self.source, self.batcher, self.account, self.watch):
            part.stop()
        self._workers.shutdown(wait=False, cancel_futures=True)

    def deployed(self) -> Deployed:
        """The detector that answers now.

        Raises:
            BusyError: If none is loaded yet.
        """
        if self.source.deployed is None:
            raise BusyError(f"No detector is loaded yet. {self.source.problem}")
        return self.source.deployed

    async def predict(self, request: Request, client: str, *, anomaly_map: bool) -> Scored:
        """Read the files of a request and score them.

        Args:
            request: Multipart, with the files in the field ``files``, or a single file.
            client: Name of the key that was used; empty without one.
            anomaly_map: Also answer with a score for every pixel.

        Raises:
            BusyError: If there is no room for it now, or it would take too long.
            InvalidInputError: If it cannot be scored.
        """
        address = request.client.host if request.client else ""
        with self.admission.place(client or address, self.batcher.retry_after()):
            deployed = self.deployed()
            asked = Asked(
                request=request,
                client=client,
                anomaly_map=anomaly_map,
                deployed=deployed,
                note=self.watch.note(deployed),
            )
            kind = request.headers.get("content-type", "no content type")
            if not kind.startswith("multipart/form-data"):
                content = await request.body()
                if not kind.lower().startswith(SINGLE) and not uploads.is_file(content[:16]):
                    raise UnsupportedError(
                        "A request must be multipart/form-data with a field 'files', or a single "
                        f"image or video; got {kind!r}. With curl: -F files=@frame.png"
                    )
                return await self._in_time(asked, [BytesIO(content)])
            async with request.form(max_files=self.limits.num_files, max_fields=8) as form:
                wanted = flag(form.get("anomaly_map", "")) or anomaly_map
                files = [upload.file for upload in files_of(form)]
                return await self._in_time(replace(asked, anomaly_map=wanted), files)

    async def _in_time(self, asked: Asked, files: Sequence[IO[bytes]]) -> Scored:
        try:
            async with asyncio.timeout(self.limits.answer_seconds):
                return await self._answer(asked, files)
        except TimeoutError as error:
            raise BusyError(
                f"An answer must not take longer than {self.limits.answer_seconds:g} s, and would. "
                "Send fewer frames, or the request again later.",
                retry_after=self.batcher.retry_after(),
            ) from error

    async def _answer(self, asked: Asked, files: Sequence[IO[bytes]]) -> Scored:
        """Decode with the workers, score in a batch, judge; a timeout frees no busy worker.

        What takes less time than to hand it to another thread is done here.
        """
        loop, batcher = asyncio.get_running_loop(), self.batcher
        waiting = self.admission.arrived(batcher.seconds_ahead, batcher.retry_after())
        try:
            if len(files) == 1 and uploads.is_quick(files[0]):
                job, sent = self._decode(asked, files)
            else:
                job, sent = await loop.run_in_executor(self._workers, self._decode, asked, files)
            job.waiting = waiting
            batcher.submit(job)
            raw = await asyncio.wrap_future(job.answer)
        finally:
            waiting.begun = True
        if len(raw.image_score) <= FEW_FRAMES and not asked.anomaly_map:
            return self._judge(asked, raw, sent)
        return await loop.run_in_executor(self._workers, self._judge, asked, raw, sent)

    def _decode(self, asked: Asked, files: Sequence[IO[bytes]]) -> tuple[Job, Sent]:
        contents = [file.read() for file in files]
        packaged, note = asked.deployed.packaged, asked.note
        received = uploads.read_frames(contents, how=packaged.preprocessing, limits=self.limits)
        frames = received.frames
        asked.request.state.warnings = received.warnings
        job = Job(
            packaged=packaged,
            inputs=packaged.preprocessing(frames),
            map_size=frames.shape[-2:] if asked.anomaly_map else None,
            observe=note.observe if note.observes else None,
        )
        digests = tuple(hashlib.sha256(content).hexdigest() for content in contents)
        return job, Sent(digests, contents if self.account.pictures else ())

    def _judge(self, asked: Asked, raw: Raw, sent: Sent) -> Scored:
        packaged = asked.deployed.packaged
        found = packaged.judge(raw, false_alarm_rate=self.source.false_alarm_rate)
        asked.note.leave(found)
        asked.request.state.facts = {
            "key": asked.client or None,
            "model": asked.deployed.name,
            "version": asked.deployed.version,
            "model_digest": packaged.digest,
            "data_digest": packaged.lineage["data"]["digest"],
            "frames": len(found.image_score),
            "alarms": int(found.anomalous.sum()),
        }
        told = logged(asked.deployed, found, asked.request_id, sent.digests, asked.client)
        self.account.enter(told, sent.contents)
        return responses.scored(
            asked.deployed, found, asked.request_id, asked.request.state.warnings
        )

    def health(self) -> dict[str, Any]:
        """Which version serves, and whether anything is wrong."""
        deployed = self.deployed()
        return {
            "status": "ok" if self.source.problem is None else "degraded",
            "model": deployed.name,
            "version": deployed.version,
            "run_id": deployed.packaged.lineage["run_id"],
            "data_digest": deployed.packaged.lineage["data"]["digest"],
            "model_digest": deployed.packaged.digest,
            "since": deployed.since,
            "engine": deployed.packaged.engine.engine,
            "problem": self.source.problem,
        }

    async def drift(self) -> dict[str, Any]:
        """What the served version was shown, beside what is normal for it."""
        deployed = self.deployed()
        return asdict(await anyio.to_thread.run_sync(self.watch.report, deployed))

    async def lineage(self) -> dict[str, Any]:
        """What the served version was made from; while the registry is away, as known last."""
        deployed = self.deployed()
        try:
            async with asyncio.timeout(LINEAGE_SECONDS):
                found = await anyio.to_thread.run_sync(
                    self.source.lineage, deployed, abandon_on_cancel=True
                )
        except Exception as error:
            if self._lineage is None or self._lineage[0].version != deployed.version:
                raise BusyError("The registry does not answer now. Ask again later.") from error
            return self._lineage[1]
        self._lineage = deployed, found
        return found

    def _tell(self) -> Iterator[Metric]:
        """What is read off when somebody looks at the metrics."""
        requests, inputs = self.batcher.waiting()
        yield prometheus.gauge("requests_under_way", "Requests.", self.admission.under_way)
        yield prometheus.gauge("queued_requests", "Requests that wait to be scored.", requests)
        yield prometheus.gauge("queued_inputs", "Inputs that wait to be scored.", inputs)
        deployed = self.source.deployed
        if deployed is None:
            yield prometheus.gauge("healthy", "1 if the champion serves.", 0)
            return
        yield from prometheus.of_version(self.health())
        yield from prometheus.of_drift(self._recent_drift(deployed))

    def _recent_drift(self, deployed: Deployed) -> DriftReport:
        now = time.monotonic()
        if self._drift and self._drift[0] is deployed and now - self._drift[1] < DRIFT_SECONDS:
            return self._drift[2]
        found = self.watch.report(deployed)
        self._drift = (deployed, now, found)
        return found
