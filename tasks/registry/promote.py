"""Promote: let the challenger serve if it is not worse than the champion on the same test data."""

import math
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion as RegisteredVersion
from prefect import task

from models.errors import InvalidInputError, RegistryError
from tasks.evaluation import comparison
from tasks.evaluation.comparison import Outcome
from tasks.records import Decision, ModelVersion, Report, Source
from tasks.registry import history, mlflow_store, model_versions


@dataclass(frozen=True, kw_only=True)
class PromotionPolicy:
    """When a challenger is good enough to serve."""

    metric: str = "frame_auc"
    """What is compared; one of ``comparison.METRICS``."""
    margin: float = 0.01
    """How much worse the challenger may be, in the metric's own unit, at least 0."""
    confidence: float = 0.95
    """Confidence that it is not worse by more than ``margin``, in (0.5, 1)."""
    num_resamples: int = 1000
    """Bootstrap samples of the test clips."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.metric not in comparison.METRICS:
            raise InvalidInputError(
                f"metric must be one of {', '.join(comparison.METRICS)}, got {self.metric!r}."
            )
        if not self.margin >= 0:
            raise InvalidInputError(f"margin must be at least 0, got {self.margin}.")
        if not 0.5 < self.confidence < 1:
            raise InvalidInputError(f"confidence must be in (0.5, 1), got {self.confidence}.")
        if self.num_resamples < 1:
            raise InvalidInputError(f"num_resamples must be at least 1, got {self.num_resamples}.")

    def figures(self) -> dict[str, float]:
        """The terms of a comparison, as they are recorded with its outcome."""
        return {
            "margin": self.margin,
            "confidence": self.confidence,
            "num_resamples": self.num_resamples,
            "seed": self.seed,
        }


@task
def promote(
    challenger: ModelVersion,
    report: Report,
    policy: PromotionPolicy,
    *,
    again: bool = False,
    rival: Source | None = None,
) -> Decision:
    """Decide, record why, and move the alias ``champion`` if the challenger may serve.

    The first version serves if its metric is finite. Any other must not be worse than the champion:
    the one-sided lower confidence bound of (challenger - champion), from a paired bootstrap over
    the test clips, must be at or above ``-margin``. What was decided under the same terms, or
    undone by a rollback to the present champion, is not decided anew: the recorded decision comes
    back.

    Args:
        challenger: The version to judge.
        report: Its evaluation.
        policy: The terms.
        again: Decide anew even so.
        rival: Version of another model in the stead of the champion as long as there is none.

    Raises:
        NotFoundError: If there is no such version.
        RegistryError: If it does not load, or is the first and its metric is not finite.
        InvalidInputError: If the report lacks the metric or is about another run.
    """
    client, name = mlflow_store.client(), challenger.name
    judged = model_versions.resolve(client, name, challenger.version)
    _check(judged, report, policy)
    with history.lock(name) as lock:
        history.settle(name, client)
        champion = model_versions.aliases(client, name).get(model_versions.CHAMPION)
        recorded = _recorded(history.read(name, client), challenger.version, champion, policy)
        if recorded and not again:
            return recorded
        model_versions.load(judged)
        decision = _decide(client, judged, report, policy, champion, rival)
        lock.check()
        return history.record(decision, client)


def _check(judged: RegisteredVersion, report: Report, policy: PromotionPolicy) -> None:
    if policy.metric not in report.metrics:
        raise InvalidInputError(
            f"The report must hold the metric {policy.metric!r} to decide by, it holds "
            f"{', '.join(sorted(report.metrics)) or 'none'}. Choose another in the policy."
        )
    if judged.run_id != report.run_id:
        raise InvalidInputError(
            f"{judged.name} version {judged.version} must be judged by its own report: its run is "
            f"{judged.run_id}, the report's {report.run_id}. Evaluate this version."
        )


def _recorded(
    decisions: tuple[Decision, ...], version: int, champion: int | None, policy: PromotionPolicy
) -> Decision | None:
    """The last decision about a version that still holds: same champion, same terms."""
    for decision in reversed(decisions):
        if decision.version != version or (decision.champion or None) != champion:
            continue
        judged_alike = policy.figures().items() <= decision.figures.items()
        return decision if decision.action != "refuse" or judged_alike else None
    return None


def _decide(
    client: MlflowClient,
    judged: RegisteredVersion,
    report: Report,
    policy: PromotionPolicy,
    champion: int | None,
    rival: Source | None,
) -> Decision:
    version = int(judged.version)
    opponent = _opponent(client, judged, champion, rival)
    if opponent is None:
        outcome = _first(judged, report, policy)
    elif champion == version:
        why = "It serves already: the alias was set by hand."
        outcome = Outcome(accepted=True, why=why, figures={})
    else:
        outcome = comparison.compare(
            judged,
            opponent,
            report,
            policy.metric,
            margin=policy.margin,
            confidence=policy.confidence,
            num_resamples=policy.num_resamples,
            seed=policy.seed,
        )
    return Decision(
        action="promote" if outcome.accepted else "refuse",
        name=judged.name,
        version=version,
        champion=version if outcome.accepted else champion or 0,
        former=champion if champion != version else None,
        why=outcome.why,
        who=history.who(),
        when=history.now(),
        figures={**outcome.figures, **policy.figures()},
    )


def _opponent(
    client: MlflowClient, judged: RegisteredVersion, champion: int | None, rival: Source | None
) -> RegisteredVersion | None:
    """What a version must not be worse than; None if there is nothing."""
    if champion:
        return model_versions.resolve(client, judged.name, champion)
    return model_versions.resolve(client, rival.name, rival.version) if rival else None


def _first(judged: RegisteredVersion, report: Report, policy: PromotionPolicy) -> Outcome:
    value = report.metrics[policy.metric]
    if not math.isfinite(value):
        raise RegistryError(
            f"The {policy.metric} of {judged.name} version {judged.version} must be finite for it "
            f"to serve as the first, got {value}. Look at the evaluation of run {report.run_id}."
        )
    why = f"Nothing served yet, and its {policy.metric} is {value:.4f}."
    return Outcome(accepted=True, why=why, figures={policy.metric: value})
