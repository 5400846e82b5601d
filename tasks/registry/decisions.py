"""Decisions: who serves, by comparison (``judge``), by a person (``appoint``, ``pin``), and back.

Every decision is made under the lock of its model, on the champion that was seen when it was asked
for, and is checked to still have the lock before anything is written. No evaluation and no loading
of a challenger happens under the lock, so that an emergency rollback never waits for one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion as RegisteredVersion

from models.errors import ConflictError, InvalidInputError, NotFoundError
from tasks.notices import dispatcher
from tasks.platform.locks import Lock
from tasks.records import Comparison, Decision, ModelVersion
from tasks.registry import card, history, mlflow_store, model_versions
from tasks.registry.policy import PromotionPolicy
from tasks.registry.standing import standing
from tasks.registry.who import who as whoever


@dataclass(frozen=True)
class Chair:
    """Where one decides about a model: nobody else does meanwhile."""

    client: MlflowClient
    name: str
    champion: int | None
    """The version that serves."""
    lock: Lock

    def record(
        self,
        action: str,
        version: int,
        champion: int | None,
        why: str,
        who: str | None = None,
        **compared: Any,
    ) -> Decision:
        """Enter a decision and put it into effect, if the lock is still held."""
        self.lock.check()
        about = model_versions.version(self.client, self.name, version) if version else None
        decision = Decision(
            action=action,
            name=self.name,
            version=version,
            champion=champion or 0,
            former=self.champion,
            why=why.strip() or "No reason was given.",
            who=who or whoever(),
            when=history.now(),
            made_of=model_versions.made_of(about) if about else "",
            **compared,
        )
        recorded = history.record(decision, self.client)
        if champion != self.champion:
            told = f"{self.name}: version {champion} serves, by {action}: {decision.why}"
            dispatcher.tell("promotion", self.name, told)
        return recorded


@contextmanager
def deciding(
    name: str, instead_of: int | None = None, *, any_champion: bool = False
) -> Iterator[Chair]:
    """Decide about a model, alone, on what was seen when the decision was asked for.

    Args:
        name: The registered model.
        instead_of: The champion on which the decision is based; the one at the moment of the call
            if None.
        any_champion: The decision is right whoever serves.

    Raises:
        ConflictError: If another version serves by now.
        NotFoundError: If there is no such model.
    """
    client = mlflow_store.client()
    seen = instead_of or model_versions.champion(client, name)
    with history.lock(name) as lock:
        history.settle(name, client)
        if any_champion:
            champion = model_versions.champion(client, name)
        else:
            champion = history.check_unchanged(name, seen, client)
        yield Chair(client, name, champion, lock)
    card.refresh(client, name)  # nobody waits for it


def judge(
    challenger: ModelVersion,
    comparison: Comparison,
    policy: PromotionPolicy,
    *,
    again: bool = False,
) -> Decision:
    """Let the challenger serve if its comparison says so and still holds.

    What was decided already is not decided anew, and the recorded decision comes back: the version
    serves; it was refused under the same terms; or a person has set it aside. If another version
    serves than it was compared with, it is refused, and the next retrain compares it anew.

    Args:
        challenger: The version to judge.
        comparison: With the champion; see ``tasks.evaluation.comparison``.
        policy: The terms.
        again: Decide anew what was refused or set aside. A pin holds even so.

    Raises:
        NotFoundError: If there is no such version.
        RegistryError: If it is to serve and does not load.
        InvalidInputError: If the comparison is about another version, or on other terms.
    """
    client, name = mlflow_store.client(), challenger.name
    judged = model_versions.resolve(client, name, challenger.version)
    _check(judged, comparison, policy)
    if comparison.accepted:
        model_versions.load(judged)
    with deciding(name, any_champion=True) as chair:
        found = standing(client, judged, policy, again=again)
        if found and found in history.read(name, client):
            return found
        if found or comparison.champion != chair.champion:
            why = found.why if found else _overtaken(client, comparison, chair.champion)
            comparison = replace(comparison, accepted=False, why=why, terms={}, figures={})
        return chair.record(
            "promote" if comparison.accepted else "refuse",
            challenger.version,
            challenger.version if comparison.accepted else chair.champion,
            why=comparison.why,
            figures={**comparison.figures, **comparison.terms},
            metric=comparison.metric if comparison.terms else "",
        )


def _check(judged: RegisteredVersion, comparison: Comparison, policy: PromotionPolicy) -> None:
    compared = (comparison.name, comparison.version, comparison.run_id)
    if compared != (judged.name, int(judged.version), judged.run_id):
        raise InvalidInputError(
            f"{judged.name} version {judged.version} of run {judged.run_id} must be judged by its "
            f"own comparison, got that of {comparison.name} version {comparison.version} of run "
            f"{comparison.run_id}. Compare this version."
        )
    if comparison.metric != policy.metric or comparison.terms not in ({}, policy.figures()):
        raise InvalidInputError(
            f"A version must be judged on the terms of its comparison, {comparison.metric} with "
            f"{comparison.terms}, got {policy}. Compare it with this policy."
        )


def _overtaken(client: MlflowClient, comparison: Comparison, champion: int | None) -> str:
    with_whom = f"version {comparison.champion}" if comparison.champion else "none, as none served"
    since = history.changed(comparison.name, champion, client)
    return f"It was compared with {with_whom}, and {since} The next retrain compares it anew."


def appoint(
    name: str,
    wanted: str | int,
    why: str,
    *,
    instead_of: int | None = None,
    who: str | None = None,
) -> Decision:
    """Let a version serve because a person says so, whatever its figures.

    It is loaded and its bytes are verified first. Of two who decide at once, one does and the other
    is told.

    Args:
        name: The registered model.
        wanted: Number or alias of the version.
        why: The reason, for the history.
        instead_of: As in ``deciding``.
        who: On whose behalf; git's user if None.

    Raises:
        ConflictError: If another version serves by now, or the wanted one does already.
        NotFoundError: If there is no such model or version.
        RegistryError: If the version is lost or does not load.
    """
    chosen = model_versions.resolve(mlflow_store.client(), name, wanted)
    number = int(chosen.version)
    with deciding(name, instead_of) as chair:
        if chair.champion == number:
            raise ConflictError(
                f"Another version than the champion must be named, and version {number} of {name} "
                f"serves already. 'unseen history {name}' shows since when."
            )
        model_versions.load(chosen)
        return chair.record("promote", number, number, why, who)


def rollback(
    name: str, why: str, *, instead_of: int | None = None, who: str | None = None
) -> Decision:
    """Let the version serve again that served before the champion.

    Rolling back again goes further back, past versions that were deleted. The version that takes
    over is loaded and its bytes are verified first, so that a rollback never ends in a model that
    does not run. Of two who roll back at once, one does and the other is told.

    Args:
        name: The registered model.
        why: The reason, for the history.
        instead_of: The version to take back; the champion at the moment of the call if None. With
            it, a rollback that was asked for twice is made once.
        who: On whose behalf; git's user if None.

    Raises:
        ConflictError: If another version serves by now.
        NotFoundError: If there is no such model, or nothing that exists served before.
        RegistryError: If the version that served before is lost or does not load.
    """
    with deciding(name, instead_of) as chair:
        decisions = history.read(name, chair.client)
        found = {int(each.version): each for each in model_versions.versions(chair.client, name)}
        target = history.served_before(decisions, chair.champion, found)
        if target is None and chair.champion is None:
            raise NotFoundError(
                f"{name} has no champion, and no version that exists ever served, so there is "
                f"nothing to roll back. Promote a version with 'unseen promote {name}'."
            )
        if target is None:
            raise NotFoundError(
                f"No version of {name} that exists served before the champion, version "
                f"{chair.champion}, so there is nothing to roll back to. Train and promote another "
                "version."
            )
        model_versions.load(found[target])
        undone = chair.champion or decisions[-1].version
        return chair.record("rollback", undone, target, why, who)


def pin(name: str, wanted: str | int | None, why: str, *, who: str | None = None) -> Decision:
    """Stop automatic promotion, so that only people decide who serves.

    Args:
        name: The registered model.
        wanted: The version to serve from now on; the champion if None.
        why: The reason, for the history.
        who: On whose behalf; git's user if None.

    Raises:
        ConflictError: If another version serves by now.
        NotFoundError: If there is no such model or version, or none serves and none is named.
        RegistryError: If the version is lost or does not load.
    """
    client = mlflow_store.client()
    chosen = model_versions.resolve(client, name, wanted or model_versions.CHAMPION)
    number = int(chosen.version)
    with deciding(name) as chair:
        if chair.champion != number:
            model_versions.load(chosen)
        return chair.record("pin", number, number, why, who)


def unpin(name: str, why: str, *, who: str | None = None) -> Decision:
    """Let retrains promote again.

    Raises:
        ConflictError: If automatic promotion is not stopped.
        NotFoundError: If there is no such model.
    """
    with deciding(name, any_champion=True) as chair:
        if not history.pinned(history.read(name, chair.client)):
            raise ConflictError(f"{name} must be pinned to be unpinned, and is not.")
        number = chair.champion or 0
        return chair.record("unpin", number, number, why, who)
