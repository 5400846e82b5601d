"""History: every decision about a registered model, and who serves by it.

MLflow keeps no history of its aliases. Each decision is one tag of the registered model, written
once and never changed, whose key sorts by time. A decision is recorded first, then put into effect
(aliases, tag of the version), then marked as in effect. A process that dies in between leaves a
last decision without that mark; whoever decides next, under the same lock, first puts it into
effect. So no decision is lost or entered twice. An alias that somebody moved with MLflow itself is
a decision too: it is entered when it is noticed, and never moved back.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from filelock import Timeout

from models.errors import ConflictError, RegistryError
from tasks.platform.locks import Lock
from tasks.records import Decision
from tasks.registry import lazy_mlflow, model_versions
from tasks.registry.tags import DECISION, HISTORY, HISTORY_IN_EFFECT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

log = logging.getLogger(__name__)

BY_MLFLOW = "set in MLflow"
"""Action of a decision that somebody made with MLflow's pages or client."""
MOVES = ("promote", "rollback", "pin", BY_MLFLOW)
"""Actions that may change who serves."""
TIME = "%Y-%m-%dT%H:%M:%S.%f"
LONGEST = 5000
"""Characters of a tag that every database of MLflow takes."""


def lock(name: str) -> Lock:
    """Held around reading, deciding and recording; see ``tasks.platform.locks`` for by whom."""
    return Lock(f"{name}.decision")


def read(name: str, client: MlflowClient) -> tuple[Decision, ...]:
    """All decisions about a registered model, oldest first.

    A move of the alias that nobody has entered yet comes last. Nothing is written.

    Raises:
        NotFoundError: If there is no such model.
        RegistryError: If the registry does not answer.
    """
    found = model_versions.model(client, name)
    entries = [decision for _, decision in _entries(name, found.tags)]
    moved = _moved(found, client)
    return (*entries, moved) if moved else tuple(entries)


def record(decision: Decision, client: MlflowClient) -> Decision:
    """Append a decision and put it into effect; the caller holds ``lock``."""
    entries = _entries(decision.name, model_versions.model(client, decision.name).tags)
    key = _next_key(entries[-1][0] if entries else None)
    text = json.dumps(asdict(decision))
    if len(text) > LONGEST:
        decision = replace(decision, why=decision.why[:1000])
        text = json.dumps(asdict(decision))
    client.set_registered_model_tag(decision.name, key, text)
    _put_into_effect(key, decision, client)
    return decision


def settle(name: str, client: MlflowClient) -> None:
    """Bring history and aliases together; under ``lock``.

    The last decision is put into effect if its process died before it could. An alias that was
    moved with MLflow is entered.
    """
    found = model_versions.model(client, name)
    entries = _entries(name, found.tags)
    if entries and found.tags.get(HISTORY_IN_EFFECT) != entries[-1][0]:
        key, decision = entries[-1]
        now = int(found.aliases.get(model_versions.CHAMPION, 0))
        if now in {decision.former or 0, decision.champion}:
            _put_into_effect(key, decision, client)
        else:  # somebody moved it meanwhile, and that holds
            client.set_registered_model_tag(name, HISTORY_IN_EFFECT, key)
        found = model_versions.model(client, name)
    moved = _moved(found, client)
    if moved:
        record(moved, client)


def notice(name: str, client: MlflowClient) -> bool:
    """Enter a move of the alias with MLflow, if there was one; whether none is left to be entered.

    Nobody waits for that: if somebody is deciding just now, or one may not write, it is left to
    others. ``read`` tells of it all the same.

    Raises:
        NotFoundError: If there is no such model.
        RegistryError: If the registry does not answer.
    """
    if not _moved(model_versions.model(client, name), client):
        return True
    held = lock(name)
    try:
        held.acquire(wait=False)
    except (Timeout, OSError, RegistryError):
        return False
    try:
        settle(name, client)
    except (lazy_mlflow.exceptions.MlflowException, OSError, RegistryError) as error:
        log.debug("A move of the alias of %s could not be entered: %s", name, error)
        return False
    finally:
        held.release()
    return True


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
    champion = model_versions.champion(client, name)
    if champion == seen:
        return champion
    raise ConflictError(
        f"{name} must be served by {_version(seen)} for this decision, and "
        f"{changed(name, champion, client)} Nothing was done. Look at 'unseen history {name}' and "
        "decide again."
    )


def changed(name: str, champion: int | None, client: MlflowClient) -> str:
    """Who serves now, since when, by whom and why: a sentence."""
    last = next(
        (
            each
            for each in reversed(read(name, client))
            if each.champion == (champion or 0) and each.action in MOVES
        ),
        None,
    )
    since = f" since the {told(last)}" if last else "."
    return f"{_version(champion)} serves{since}"


def told(decision: Decision) -> str:
    """What was decided, by whom, when and why: the end of a sentence."""
    action = "change" if decision.action == BY_MLFLOW else decision.action
    return f"{action} by {decision.who} of {decision.when[:19]}: {decision.why}"


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
        elif decision.action in MOVES:
            for number in (decision.former, decision.champion):
                if number and served[-1:] != [number]:
                    served.append(number)
    if champion and served[-1:] != [champion]:
        served.append(champion)
    return served


def served_before(
    decisions: Iterable[Decision], champion: int | None, existing: Collection[int]
) -> int | None:
    """The version that a rollback would let serve: the last before the champion that exists.

    Args:
        decisions: The oldest first.
        champion: The version that serves; None if none does.
        existing: Versions that were not deleted.
    """
    served = succession(decisions, champion)
    return next((each for each in reversed(served) if each != champion and each in existing), None)


def pinned(decisions: Sequence[Decision]) -> Decision | None:
    """The decision that stopped automatic promotion, if it is stopped."""
    last = next((each for each in reversed(decisions) if each.action in {"pin", "unpin"}), None)
    return last if last and last.action == "pin" else None


def now() -> str:
    """The present time, UTC, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _entries(name: str, tags: Mapping[str, str]) -> list[tuple[str, Decision]]:
    keys = sorted(key for key in tags if key.startswith(HISTORY))
    return [(key, _entry(name, key, tags[key])) for key in keys]


def _entry(name: str, key: str, text: str) -> Decision:
    try:
        return Decision(**json.loads(text))
    except (ValueError, TypeError):
        return Decision(
            action="unreadable",
            name=name,
            version=0,
            champion=0,
            former=None,
            why=f"The tag {key} of the registered model must hold a decision, got {text[:40]!r}.",
            who="unknown",
            when=key.removeprefix(HISTORY)[:26],
        )


def _moved(found: RegisteredModel, client: MlflowClient) -> Decision | None:
    """The move of the alias that the history does not know of; None if there was none."""
    entries = _entries(found.name, found.tags)
    last = entries[-1][1] if entries else None
    number = int(found.aliases.get(model_versions.CHAMPION, 0))
    if last and (
        found.tags.get(HISTORY_IN_EFFECT) != entries[-1][0] or last.action == "unreadable"
    ):
        return None  # under way, or not to be told
    before = last.champion if last else 0
    champion = number if number and model_versions.version(client, found.name, number) else 0
    if champion == before:
        return None
    deleted = before and not model_versions.version(client, found.name, before)
    return Decision(
        action=BY_MLFLOW,
        name=found.name,
        version=champion or before,
        champion=champion,
        former=before or None,
        why=f"Version {before} was deleted with MLflow's pages or client"
        f"{f', and the alias moved to version {champion}' if champion else ''}."
        if deleted
        else f"The alias was {f'set to version {champion}' if champion else 'taken away'} with "
        "MLflow's pages or client; the time is that at which it was noticed.",
        who="somebody (MLflow does not record who)",
        when=now(),
    )


def _next_key(last: str | None) -> str:
    """A new key that sorts after ``last`` even if the clock went back."""
    moment = datetime.now(UTC).replace(tzinfo=None)
    if last:
        before = datetime.strptime(last.removeprefix(HISTORY)[:26], TIME)
        moment = max(moment, before + timedelta(microseconds=1))
    return f"{HISTORY}{moment.strftime(TIME)}-{uuid.uuid4().hex[:8]}"


def _unless_deleted(change: Callable[..., None], *arguments: str) -> None:
    """Change a version, unless somebody has deleted it with MLflow."""
    try:
        change(*arguments)
    except lazy_mlflow.exceptions.MlflowException as error:
        if not model_versions.is_gone(error):
            raise


def _put_into_effect(key: str, decision: Decision, client: MlflowClient) -> None:
    name = decision.name
    moves = {model_versions.CHAMPION: decision.champion}
    moves[model_versions.FORMER_CHAMPION] = decision.former or 0
    if decision.action == BY_MLFLOW:
        del moves[model_versions.CHAMPION]  # it is where somebody wants it
    for alias, number in moves.items() if decision.action in MOVES else ():
        if number:
            _unless_deleted(client.set_registered_model_alias, name, alias, str(number))
    if decision.version:
        text = json.dumps(asdict(decision))
        version = str(decision.version)
        _unless_deleted(client.set_model_version_tag, name, version, DECISION, text)
        _unless_deleted(client.set_model_version_tag, name, version, "decision", decision.action)
    client.set_registered_model_tag(name, HISTORY_IN_EFFECT, key)
