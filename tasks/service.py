"""Service: what stands behind the server's addresses, for the champion that is deployed now."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import anyio
from fastapi import Request, UploadFile

from tasks import answers, uploads
from tasks.admission import Admission
from tasks.answers import Scored
from tasks.batching import Batcher, Job
from tasks.champion import Champion, Deployed
from tasks.forms import files_of, flag
from tasks.guard import BusyError
from tasks.packaged import Raw
from tasks.trace import trace
from tasks.traced import Trace
from tasks.uploads import Limits, UnsupportedError
from tasks.watch import Watch

FEW_FRAMES = 32
"""Frames whose judgement is too quick to be worth another thread."""
LINEAGE_SECONDS = 5.0
"""How long ``GET /lineage`` waits for the registry before it answers what it knew last."""


class Service:
    """Scores requests, a few at a time, with whatever detector is deployed."""

    def __init__(
        self, name: str, limits: Limits, poll_seconds: float, false_alarm_rate: float | None = None
    ) -> None:
        self.limits = limits
        self.champion = Champion(name, poll_seconds=poll_seconds, false_alarm_rate=false_alarm_rate)
        self.watch = Watch(name, false_alarm_rate)
        self.admission = Admission(limits)
        self.batcher = Batcher(limits.queued_bytes, lambda *_: None)
        self._workers = ThreadPoolExecutor(limits.concurrent, "worker")
        self._lineage: Trace | None = None

    def deployed(self) -> Deployed:
        """The detector that answers now.

        Raises:
            BusyError: If none is loaded yet.
        """
        if self.champion.deployed is None:
            raise BusyError(f"No detector is loaded yet. {self.champion.problem}")
        return self.champion.deployed

    async def predict(self, request: Request, client: str, *, anomaly_map: bool) -> Scored:
        """Read the files of a request and score them.

        Args:
            request: Multipart, with the files in the field ``files``.
            client: Who asks.
            anomaly_map: Also answer with a score for every pixel.

        Raises:
            BusyError: If there is no room for it now, or it would take too long.
            InvalidInputError: If it cannot be scored.
        """
        with self.admission.place(client, self.batcher.retry_after()):
            deployed = self.deployed()
            if not request.headers.get("content-type", "").startswith("multipart/form-data"):
                raise UnsupportedError(
                    "A request must be multipart/form-data with a field 'files', got "
                    f"{request.headers.get('content-type', 'no content type')!r}. With curl: "
                    "-F files=@frame.png"
                )
            async with request.form(max_files=self.limits.num_files, max_fields=8) as form:
                files = files_of(form)
                wanted = anomaly_map or flag(form.get("anomaly_map", ""))
                try:
                    async with asyncio.timeout(self.limits.answer_seconds):
                        return await self._answer(request, deployed, files, wanted=wanted)
                except TimeoutError as error:
                    raise BusyError(
                        f"An answer must not take longer than {self.limits.answer_seconds:g} s, "
                        "and would. Send fewer frames, or the request again later.",
                        retry_after=self.batcher.retry_after(),
                    ) from error

    async def _answer(
        self, request: Request, deployed: Deployed, files: list[UploadFile], *, wanted: bool
    ) -> Scored:
        note, packaged = self.watch.note(deployed), deployed.packaged

        def decode() -> Job:
            contents = [file.file.read() for file in files]
            channels = packaged.preprocessing.channels
            frames = uploads.read_frames(contents, channels=channels, limits=self.limits)
            return Job(
                packaged=packaged,
                inputs=packaged.preprocessing(frames),
                map_size=frames.shape[-2:] if wanted else None,
                observe=note.observe if note.observes else None,
            )

        def judge(raw: Raw) -> Scored:
            found = packaged.judge(raw, false_alarm_rate=self.champion.false_alarm_rate)
            note.leave(found)
            return answers.scored(deployed, found, request.state.request_id)

        loop = asyncio.get_running_loop()  # a timeout frees the request, and no worker that is busy
        job = await loop.run_in_executor(self._workers, decode)
        self.batcher.submit(job)
        raw = await asyncio.wrap_future(job.answer)
        if len(raw.image_score) <= FEW_FRAMES and not wanted:
            return judge(raw)
        return await loop.run_in_executor(self._workers, judge, raw)

    def health(self) -> dict[str, Any]:
        """Which version serves, and whether anything is wrong."""
        deployed = self.deployed()
        return {
            "status": "ok" if self.champion.problem is None else "degraded",
            "model": deployed.name,
            "version": deployed.version,
            "run_id": deployed.packaged.lineage["run_id"],
            "data_digest": deployed.packaged.lineage["data"]["digest"],
            "model_digest": deployed.packaged.digest,
            "since": deployed.since,
            "problem": self.champion.problem,
        }

    async def drift(self) -> dict[str, Any]:
        """What the served version was shown, beside what is normal for it."""
        deployed = self.deployed()
        return asdict(await anyio.to_thread.run_sync(self.watch.report, deployed))

    async def lineage(self) -> dict[str, Any]:
        """What the served version was made from; while the registry is away, as known last."""
        deployed = self.deployed()
        reference = f"{deployed.name}@{deployed.version}"
        try:
            async with asyncio.timeout(LINEAGE_SECONDS):
                found = await anyio.to_thread.run_sync(trace, reference, abandon_on_cancel=True)
        except Exception as error:
            if self._lineage is None or self._lineage.model.version != deployed.version:
                raise BusyError("The registry does not answer now. Ask again later.") from error
            return asdict(self._lineage)
        self._lineage = found
        return asdict(found)
