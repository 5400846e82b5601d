"""Look: has what a served model is shown drifted, by its server or by what that wrote down?"""

import httpx
from prefect import task

from models.errors import InvalidInputError
from tasks.platform import settings
from tasks.platform.outages import RETRIED, WRITE_SECONDS
from tasks.registry import mlflow_store, model_versions
from tasks.serving.monitoring import drift, served_statistics
from tasks.serving.monitoring.drift import DriftReport
from tasks.serving.monitoring.served_statistics import Identity, Served

SECONDS = 30.0
"""How long a server may take to answer."""
KEY = "UNSEEN_KEY"
"""Environment variable with the key to a server that needs one."""


@task(task_run_name="look at {name}", timeout_seconds=WRITE_SECONDS, **RETRIED)
def look(name: str, url: str | None = None) -> DriftReport:
    """Compare what the champion of a registered model is shown with what it learned.

    Args:
        name: The registered model.
        url: Server that is asked, with the key in ``UNSEEN_KEY`` if it needs one; else the
            statistics are read that the last server of this repository wrote, at most half a
            minute ago while it runs.

    Raises:
        NotFoundError: If there is no such model, or it has no champion.
        InvalidInputError: If no server of this model answers at ``url``.
        RegistryError: If the champion does not load.
    """
    return _ask(name, url) if url else _read(name)


def _ask(name: str, url: str) -> DriftReport:
    try:
        token = settings.read().unseen_key
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        reply = httpx.get(f"{url.rstrip('/')}/drift", headers=headers, timeout=SECONDS)
        found = drift.from_json(reply.raise_for_status().json())
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, TypeError, KeyError) as error:
        raise InvalidInputError(
            f"A server of 'unseen serve {name}' must answer at {url}, got: {error}. Check --url, "
            "or leave it out to read what the server of this repository wrote down."
        ) from error
    if found.model != name:
        raise InvalidInputError(
            f"The server at {url} must serve {name}, and serves {found.model}. Check --url."
        )
    return found


def _read(name: str) -> DriftReport:
    version = model_versions.resolve(mlflow_store.client(), name, model_versions.CHAMPION)
    packaged, number = model_versions.load(version), int(version.version)
    found = served_statistics.load(served_statistics.path_of(name, number))
    if found is None or found.identity.digest != packaged.digest:
        none = Identity(name=name, version=number, digest=packaged.digest, rate=None)
        found = Served(none, drift.score_edges(packaged))
    return drift.compare(found, drift.norm_of(packaged, found.identity.rate))
