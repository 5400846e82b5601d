"""Events: tell the Prefect server what has happened, so that automations can act on it.

An event is news, not part of the work: without a server, or with one that does not answer, the work
goes on as if there were no events.
"""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx

from tasks.platform import prefect_server

log = logging.getLogger(__name__)

DATA_VERSIONED = "unseen.data.versioned"
"""A data set has a new version; its resource is ``dataset(name)``."""
DRIFT_DETECTED = "unseen.drift.detected"
"""A served detector sees other images than it was fitted to; its resource is ``model(name)``."""
SECONDS = 10.0
"""How long a server may take to note an event."""


def dataset(name: str) -> str:
    """Resource id of a data set."""
    return f"unseen.dataset.{name}"


def model(name: str) -> str:
    """Resource id of a registered model."""
    return f"unseen.model.{name}"


def emit(event: str, resource: str, payload: Mapping[str, Any]) -> bool:
    """Send an event to the Prefect server that is configured or runs here; whether it took it.

    Args:
        event: What has happened, such as ``DATA_VERSIONED``.
        resource: Resource id of what it has happened to.
        payload: Plain JSON data about it.
    """
    api = prefect_server.running()
    if api is None:
        return False
    content = {
        "id": str(uuid4()),
        "occurred": datetime.now(UTC).isoformat(),
        "event": event,
        "resource": {"prefect.resource.id": resource, "prefect.resource.name": resource},
        "related": [],
        "payload": dict(payload),
    }
    try:
        prefect_server.call(api, "POST", "/events", content=[content], seconds=SECONDS)
    except (httpx.HTTPError, ValueError) as error:
        log.warning("The event %s did not reach %s: %s.", event, api, error)
        return False
    return True
