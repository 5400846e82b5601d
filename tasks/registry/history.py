"""History: every promotion, refusal and rollback of a registered model, and who serves by it.

MLflow keeps no history of its aliases. Each decision is one tag of the registered model, written
once and never changed, whose key sorts by time. A decision is recorded first, then put into effect
(aliases, tag of the version), then marked as in effect. A process that dies in between leaves a
last decision without that mark; whoever decides next, under the same lock, first puts it into
effect. So no decision is lost or entered twice, and an alias that somebody moved by hand
afterwards is left alone.
"""

import getpass
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

from mlflow import MlflowClient

from models.errors import ConflictError
from tasks.platform import git, workspace
from tasks.platform.locks import Lock
from tasks.records import Decision
from tasks.registry import model_versions
from tasks.registry.mlflow_store import TAG

ENTRY = f"{TAG}history."
"""Prefix of the tags that hold the decisions; a time and a random number follow."""
IN_EFFECT = f"{TAG}history_in_effect"
"""Tag of the registered model: key of the last decision whose aliases were set."""
DECISION = f"{TAG}decision"
"""Tag of a model version: the last decision about it."""
TIME = "%Y-%m-%dT%H:%M:%S.%f"
LONGEST = 5000
"""Characters of a tag that every database of MLflow takes."""


def lock(name: str) -> Lock:
    """Held around reading, deciding and recording; see ``tasks.platform.locks`` for by whom."""
    return Lock(f"{name}.decision")


def read(name: str, client: MlflowClient) -> tuple[Decision, ...]:
    """All decisions about a registered model, oldest first.

    Raises:
        NotFoundError: If there is no such model.
    """
    return tuple(decision for _, decision in _entries(model_versions.model(client, name).tags))


def record(decision: Decision, client: MlflowClient) -> Decision:
    """Append a decision and put it into effect; the caller holds ``lock``."""
    entries = _entries(model_versions.model(client, decision.name).tags)
    key = _next_key(entries[-1][0] if entries else None)
    text = json.dumps(asdict(decision))
    if len(text) > LONGEST:
        decision = Decision(**{**asdict(decision), "why": decision.why[:1000]})
        text = json.dumps(asdict(decision))
    client.set_registered_model_tag(decision.name, key, text)
    _put_into_effect(key, decision, client)
    return decision


def settle(name: str, client: MlflowClient) -> None:
    """Put the last decision into effect if its process died before it could; under ``lock``."""
    tags = model_versions.model(client, name).tags
    entries = _entries(tags)
    if entries and tags.get(IN_EFFECT) != entries[-1][0]:
        _put_into_effect(*entries[-1], client)


def check_unchanged(name: str, seen: int | None, client: MlflowClient) -> int | None:
    """The champion, if it is the one that was seen when the decision was asked for; under ``lock``.

    Two who decide at once would otherwise both be right: a second rollback would go further back.

    Args:
        name: The registered model.
        seen: The champion on which the decision is based; None if there was none.
        client: Of the registry.

    Raises:
        ConflictError: If another version serves by now; says since when, and by whom.
    """
    champion = model_versions.aliases(client, name).get(model_versions.CHAMPION)
    if champion == seen:
        return champion
    last = next((each for each in reversed(read(name, client)) if each.champion == champion), None)
    since = (
        f" since the {last.action} by {last.who} of {last.when[:19]}: {last.why}" if last else ""
    )
    raise ConflictError(
        f"{name} must be served by {_version(seen)} for this decision, and {_version(champion)} "
        f"serves{since or '.'} Nothing was done. Look at 'unseen history {name}' and decide again."
    )


def _version(number: int | None) -> str:
    return f"version {number}" if number else "no version"


def succession(decisions: Iterable[Decision], champion: int | None) -> list[int]:
    """Versions to roll back to, one after the other, and the champion last.

    A promotion adds a version, a rollback takes away what it undid; a version that was made
    champion by hand counts as promoted.
    """
    served: list[int] = []
    for decision in decisions:
        if decision.action == "rollback":
            while served and served[-1] != decision.champion:
                served.pop()
        for number in (decision.former, decision.champion):
            if decision.action == "promote" and number and served[-1:] != [number]:
                served.append(number)
    if champion and served[-1:] != [champion]:
        served.append(champion)
    return served


def who() -> str:
    """The person on whose behalf this runs: git's user, else the system's."""
    name, email = (git.setting(workspace.root(), f"user.{part}") for part in ("name", "email"))
    if name:
        return f"{name} <{email}>" if email else name
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user need not have a name
        return "unknown"


def now() -> str:
    """The present time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _entries(tags: Mapping[str, str]) -> list[tuple[str, Decision]]:
    keys = sorted(key for key in tags if key.startswith(ENTRY))
    return [(key, Decision(**json.loads(tags[key]))) for key in keys]


def _next_key(last: str | None) -> str:
    """A new key that sorts after ``last`` even if the clock went back."""
    moment = datetime.now(UTC).replace(tzinfo=None)
    if last:
        before = datetime.strptime(last.removeprefix(ENTRY)[:26], TIME)
        moment = max(moment, before + timedelta(microseconds=1))
    return f"{ENTRY}{moment.strftime(TIME)}-{uuid.uuid4().hex[:8]}"


def _put_into_effect(key: str, decision: Decision, client: MlflowClient) -> None:
    name = decision.name
    if decision.action != "refuse":
        client.set_registered_model_alias(name, model_versions.CHAMPION, str(decision.champion))
        if decision.former:
            client.set_registered_model_alias(
                name, model_versions.FORMER_CHAMPION, str(decision.former)
            )
    text = json.dumps(asdict(decision))
    client.set_model_version_tag(name, str(decision.version), DECISION, text)
    client.set_registered_model_tag(name, IN_EFFECT, key)
