"""Serving: where the process of a registered model answers, and what it says of itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tasks.platform import background
from tasks.platform.certificates import trusted

PROCESS = "serve-"
"""What the name of a serving process begins with; the model's follows."""
SECONDS = 3.0
"""How long a serving process may take to say how it is."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """How the serving process of a model is."""

    state: str
    """``ok``, ``degraded``, ``waiting`` (it has no champion yet), ``silent`` or ``none``."""
    url: str = ""
    """Empty if no process is known."""
    version: int | None = None
    """What it serves; not the champion while that is being loaded, or cannot be."""
    since: str | None = None
    """When that version was ready; UTC, ISO 8601."""
    problem: str | None = None


class Serving:
    """The serving processes that the console may ask.

    Args:
        given: Address by name of the registered model; for the others, the process that ``unseen
            up`` has started in this repository.
    """

    def __init__(self, given: Mapping[str, str] | None = None) -> None:
        self.given = {name: url.rstrip("/") for name, url in (given or {}).items()}

    def url(self, name: str) -> str | None:
        """Where the process of a model answers; None if none is known."""
        if name in self.given:
            return self.given[name]
        process = background.find(PROCESS + name)
        return process.url if process else None

    def health(self, name: str) -> Health:
        """What the process of a model says of itself."""
        url = self.url(name)
        if url is None:
            return Health(state="none")
        try:
            answer = httpx.get(f"{url}/health", timeout=SECONDS, verify=trusted()).json()
        except (httpx.HTTPError, ValueError) as error:
            return Health(state="silent", url=url, problem=f"It does not answer: {error}.")
        if "version" not in answer:
            return Health(state="waiting", url=url, problem=str(answer.get("error", "")))
        return Health(
            state="ok" if answer.get("status") == "ok" else "degraded",
            url=url,
            version=int(answer["version"]),
            since=answer.get("since"),
            problem=answer.get("problem"),
        )

    def drift(self, name: str, headers: Mapping[str, str]) -> dict[str, Any] | None:
        """The drift report of the process of a model; None if it gives none now."""
        url = self.url(name)
        if url is None:
            return None
        try:
            reply = httpx.get(
                f"{url}/drift", timeout=3 * SECONDS, headers=dict(headers), verify=trusted()
            )
            return dict(reply.raise_for_status().json())
        except (httpx.HTTPError, httpx.InvalidURL, ValueError):
            return None


def answers(url: str) -> bool:
    """Whether a server answers at all."""
    try:
        return httpx.get(url, timeout=SECONDS, verify=trusted()).is_success
    except httpx.HTTPError:
        return False
