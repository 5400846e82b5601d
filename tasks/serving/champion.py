"""The detector that serves: the version with the alias ``champion``, followed without restart."""

from __future__ import annotations

import gc
import logging
import threading
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tasks.packaging.program import AUTO
from tasks.registry import history, model_versions, quick_reads
from tasks.serving.deployed import Deployed, spare_the_loaded, warm

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

log = logging.getLogger(__name__)

LONGEST_PAUSE = 60.0
"""Seconds between two attempts to load a champion that does not load."""


def deploy(
    version: RegisteredVersion, false_alarm_rate: float | None = None, engine: str = AUTO
) -> Deployed:
    """Download a model version, verify its bytes, and score a window of noise with it.

    Args:
        version: The version.
        false_alarm_rate: That its calibration must be able to vouch for.
        engine: What scores; see ``tasks.packaging.program.choose``.

    Raises:
        InvalidInputError: If its calibration cannot vouch for the false-alarm rate.
        RegistryError: If its files are not those that were registered, or it does not score.
    """
    packaged = model_versions.load(version, device="auto", engine=engine)
    return warm(version.name, int(version.version), packaged, false_alarm_rate)


class Champion:
    """Keeps the present champion loaded, in a thread of its own.

    A new champion takes over only when it is loaded and warm. Until then, and whenever it or the
    registry fails, the former one goes on serving, and ``problem`` says why.

    Attributes:
        name: Registered model to follow.
        false_alarm_rate: That it must be able to vouch for; None if its own threshold decides.
        engine: What scores.
        deployed: What serves now; None before the first is loaded.
        problem: Why ``deployed`` may not be the champion; None if all is well.
    """

    def __init__(
        self,
        name: str,
        *,
        poll_seconds: float,
        false_alarm_rate: float | None = None,
        engine: str = AUTO,
    ) -> None:
        self.name = name
        self.false_alarm_rate = false_alarm_rate
        self.engine = engine
        self.poll_seconds = poll_seconds
        self.deployed: Deployed | None = None
        self.problem: str | None = "The champion is being loaded."
        self._client: MlflowClient | None = None
        self._seen: int | None = -1
        self._broken: int | None = None
        self._failures = 0
        self._try_again = 0.0
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to follow the alias."""
        threading.Thread(target=self._follow, name=f"champion-{self.name}", daemon=True).start()

    def stop(self) -> None:
        """Stop following; what is loaded stays loaded."""
        self._stopped.set()
        gc.unfreeze()  # else libraries complain at the end of what was not collected

    def lineage(self, deployed: Deployed) -> dict[str, Any]:
        """What a version was made from, as ``tasks.lineage.trace`` tells it now."""
        from tasks.lineage.trace import trace  # nobody has to wait for it before

        return asdict(trace(f"{deployed.name}@{deployed.version}"))

    def refresh(self) -> None:
        """Load the version that has the alias now, unless it serves already.

        Raises:
            UnseenError: If there is none, or it cannot be loaded; ``deployed`` is as before.
        """
        self._client = self._client or quick_reads.reader()
        seen = model_versions.champion(self._client, self.name)
        if seen != self._seen and history.notice(self.name, self._client):
            self._seen = seen
        if self.deployed and self.deployed.version == seen:
            self._broken = self.problem = None
            return
        version = model_versions.resolve(self._client, self.name, seen or model_versions.CHAMPION)
        if int(version.version) != self._broken or time.monotonic() >= self._try_again:
            self._replace(version)

    def _replace(self, version: RegisteredVersion) -> None:
        number = int(version.version)
        try:
            self.deployed = deploy(version, self.false_alarm_rate, self.engine)
        except Exception:
            self._failures = self._failures + 1 if number == self._broken else 1
            self._broken = number
            pause = min(self.poll_seconds * 2 ** min(self._failures, 10), LONGEST_PAUSE)
            self._try_again = time.monotonic() + pause
            raise
        self._broken = self.problem = None
        engine = self.deployed.packaged.engine
        log.info("%s version %d serves from now on, by %s.", self.name, number, engine.engine)
        log.info("Milliseconds for an image: %s. %s", engine.milliseconds, engine.why)

    def _follow(self) -> None:
        while True:
            before = self.deployed
            try:
                self.refresh()
            except Exception as error:  # whatever is wrong with the new one, the old one serves
                if str(error) != self.problem:
                    log.warning("The champion of %s cannot be followed.", self.name, exc_info=True)
                self.problem = str(error)
            if self.deployed is not before:
                spare_the_loaded()
            if self._stopped.wait(self.poll_seconds):
                return
