"""Standing: what holds about a version already, so that no comparison decides it.

Decisions are about versions and data: what was refused, rolled back or replaced by a person comes
back with new data or another recipe, or when a person says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tasks.records import Decision
from tasks.registry import history, model_versions
from tasks.registry.policy import PromotionPolicy
from tasks.registry.who import who

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as RegisteredVersion


def standing(
    client: MlflowClient,
    judged: RegisteredVersion,
    policy: PromotionPolicy,
    *,
    again: bool = False,
) -> Decision | None:
    """What holds about a version without any comparison; None if it is to be compared.

    A recorded decision, or the refusal to be recorded because of a pin, or because a person set
    aside the version, or one that was made of the same data by the same recipe.
    """
    decisions = history.read(judged.name, client)
    champion, number = model_versions.champion(client, judged.name), int(judged.version)
    if champion == number:
        moves = [each for each in decisions if each.action in history.MOVES]
        brought = [each for each in moves if each.champion == number]
        about = [each for each in brought if each.version == number]  # a rollback is about another
        known = about or brought
        return known[-1] if known else None
    if pin := history.pinned(decisions):
        advice = f"'unseen unpin {judged.name}' lets retrains promote again."
        return _held(decisions, pin, number, champion, f"Pinned: {history.told(pin)} {advice}")
    same = _same(client, judged, decisions)
    for each in () if again else reversed(decisions):
        if _set_aside(each) in same and each.champion not in same:
            advice = "'unseen promote' or 'unseen retrain --again' brings it back."
            why = f"Version {_set_aside(each)} was set aside by the {history.told(each)} {advice}"
            return _held(decisions, each, number, champion, why)
        if each.champion in same and each.action in history.MOVES:
            return None  # something better took over, and that may have changed
        if each.action == "refuse" and each.version == number and _on_terms(each, policy):
            return each
    return None


def _set_aside(decision: Decision) -> int | None:
    """The version that a person, and no comparison, took out of service."""
    by_person = decision.action in history.MOVES and "margin" not in decision.figures
    return decision.former if by_person and decision.former != decision.champion else None


def _on_terms(decision: Decision, policy: PromotionPolicy) -> bool:
    """Whether a refusal was the outcome of a comparison on these terms."""
    recorded, terms = decision.figures, policy.figures()
    alike = recorded.get("floor") == terms.get("floor") and terms.items() <= recorded.items()
    return alike and decision.metric in {"", policy.metric}


def _same(
    client: MlflowClient, judged: RegisteredVersion, decisions: Sequence[Decision]
) -> set[int]:
    """Numbers of the version and of those made of the same data by the same recipe."""
    wanted, number = model_versions.made_of(judged), int(judged.version)
    made = {each.version: each.made_of for each in decisions if each.made_of}
    for each in model_versions.versions(client, judged.name):
        made[int(each.version)] = model_versions.made_of(each)
    return {number, *(each for each, of in made.items() if of and of == wanted)}


def _held(
    decisions: Sequence[Decision], by: Decision, number: int, champion: int | None, why: str
) -> Decision:
    """The refusal of a version because of an earlier decision, which is recorded once."""
    since = decisions[decisions.index(by) :]
    refusals = (each for each in since if each.action == "refuse" and each.version == number)
    recorded = next(refusals, None)
    return recorded or Decision(
        action="refuse",
        name=by.name,
        version=number,
        champion=champion or 0,
        former=champion,
        why=why,
        who=who(),
        when=history.now(),
    )
