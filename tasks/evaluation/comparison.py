"""Compare: a challenger with the champion, on the same frames of the same test data.

Nothing is decided here and no lock is held: ``tasks.registry.promote`` does that afterwards.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion as RegisteredVersion
from prefect import task

from models.errors import InvalidInputError
from tasks.evaluation import old_and_new
from tasks.evaluation.paired_scores import MEASURES, Measured, alarms, both_scores
from tasks.platform.step_names import named
from tasks.records import Comparison, ModelVersion, Report, Source
from tasks.registry import history, mlflow_store, model_versions
from tasks.registry.policy import METRICS, PromotionPolicy
from tasks.registry.standing import standing
from tasks.registry.tags import EVALUATION_DATA_DIGEST, METRIC


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a comparison found."""

    accepted: bool
    """The challenger may serve."""
    why: str
    figures: dict[str, float]


@task(task_run_name=named("compare {challenger}"))
def compare(
    challenger: ModelVersion,
    report: Report,
    policy: PromotionPolicy,
    *,
    again: bool = False,
    rival: Source | None = None,
) -> Comparison:
    """Compare a challenger with the version that serves, by a paired bootstrap over the test clips.

    It may serve if the one-sided lower confidence bound of (challenger - champion) is at or above
    ``-margin``. If no version serves, it is compared with the last one that did and still exists,
    else with ``rival``; the first of all must be better than chance, or than the policy's
    ``floor``. A metric that cannot be had is no reason to serve. The scores are those that each run
    logged. If the champion was evaluated on other data, it scores the challenger's test data now.

    Args:
        challenger: The version to compare.
        report: Its evaluation.
        policy: What is compared, and the terms.
        again: Compare even what was refused, or set aside by a person.
        rival: Version of another model in the stead of a champion, if none ever served.

    Raises:
        NotFoundError: If there is no such version.
        InvalidInputError: If the report is about another run.
        RegistryError: If the challenger's scores are lost, or the champion cannot score its data.
    """
    client, name = mlflow_store.client(), challenger.name
    judged = model_versions.resolve(client, name, challenger.version)
    if judged.run_id != report.run_id:
        raise InvalidInputError(
            f"{name} version {judged.version} must be judged by its own report: its run is "
            f"{judged.run_id}, the report's {report.run_id}. Evaluate this version."
        )
    champion = model_versions.champion(client, name)
    held = standing(client, judged, policy, again=again)
    if held:
        outcome = Outcome(accepted=False, why=held.why, figures={})
    else:
        opponent = _opponent(client, judged, champion, rival)
        outcome = measure(judged, opponent, report, policy)
        if opponent is None:
            served = any(each.champion for each in history.read(name, client))
            why = "No version that served exists any more." if served else "Nothing served yet."
            outcome = replace(outcome, why=f"{why} {outcome.why}")
    return Comparison(
        name=name,
        version=challenger.version,
        run_id=report.run_id,
        champion=champion,
        accepted=outcome.accepted,
        why=outcome.why,
        metric=policy.metric,
        terms={} if held else policy.figures(),
        figures=outcome.figures,
    )


def _opponent(
    client: MlflowClient, judged: RegisteredVersion, champion: int | None, rival: Source | None
) -> RegisteredVersion | None:
    """What a version must not be worse than; None if nothing that exists ever served."""
    if champion:
        return model_versions.resolve(client, judged.name, champion)
    existing = {int(each.version): each for each in model_versions.versions(client, judged.name)}
    existing.pop(int(judged.version), None)
    last = history.served_before(history.read(judged.name, client), None, existing)
    if last:
        return existing[last]
    return model_versions.resolve(client, rival.name, rival.version) if rival else None


def measure(
    judged: RegisteredVersion,
    opponent: RegisteredVersion | None,
    report: Report,
    policy: PromotionPolicy,
) -> Outcome:
    """What the figures of two versions say; without an opponent, of one version against chance.

    Raises:
        RegistryError: As ``compare``.
    """
    known = report.metrics
    missing = [name for name in policy.parts if not math.isfinite(known.get(name, math.nan))]
    if missing:
        why = (
            f"It has no {' and no '.join(missing)} to be judged by; its evaluation holds "
            f"{', '.join(sorted(known)) or 'nothing'}. Choose another metric in the recipe's "
            "promotion, or promote it yourself with 'unseen promote'."
        )
        return Outcome(accepted=False, why=why, figures={})
    found = [_measure_one(name, judged, opponent, report, policy) for name in policy.parts]
    figures = {
        (key if len(found) == 1 else f"{name}.{key}"): value
        for name, each in zip(policy.parts, found, strict=True)
        for key, value in each.figures.items()
    }
    return Outcome(
        accepted=all(each.accepted for each in found),
        why=" ".join(each.why for each in found),
        figures=figures,
    )


def _measure_one(
    metric: str,
    judged: RegisteredVersion,
    opponent: RegisteredVersion | None,
    report: Report,
    policy: PromotionPolicy,
) -> Outcome:
    """What one metric says."""
    both = both_scores(METRICS[metric].scores, judged, opponent, report)
    if both is None:
        return _by_figures(metric, opponent, report, policy)
    if not np.isfinite(both.challenger).all():
        return Outcome(accepted=False, why="Not all of its scores are finite.", figures={})
    scored = both
    if metric == "false_alarm_rate":
        both = alarms(both, judged, opponent)
    terms = {
        "confidence": policy.confidence,
        "num_resamples": policy.num_resamples,
        "seed": policy.seed,
    }
    measured = MEASURES[metric](both, terms)
    counts = {"num_clips": both["clip"].nunique(), "num_frames": len(both)}
    if opponent is None:
        return _against_chance(metric, measured, policy, counts)
    found = _against(metric, measured, policy, counts, _named(judged, opponent))
    sentence, figures = old_and_new.apart(scored, judged, opponent)
    return replace(found, why=f"{found.why} {sentence}".strip(), figures=found.figures | figures)


def _against(
    metric: str, measured: Measured, policy: PromotionPolicy, counts: Mapping[str, float], whom: str
) -> Outcome:
    """The outcome of a comparison with a version."""
    (new, old), found = measured
    rises = METRICS[metric].higher_is_better
    sign, most = (1, "least") if rises else (-1, "most")
    accepted = found.lower_bound >= -policy.margin
    shown = {"challenger": _shown(metric, new), "champion": _shown(metric, old)}
    why = (
        f"{metric} {shown['challenger']:.4f} against {shown['champion']:.4f} of {whom}: with "
        f"{policy.confidence:.0%} confidence the difference is at {most} "
        f"{sign * found.lower_bound:+.4f}, and {-sign * policy.margin:+.4f} is "
        f"{'allowed' if accepted else 'the limit'}."
    )
    figures = {
        **shown,
        "difference": found.mean,
        "lower_bound": found.lower_bound,
        "share_worse": found.share_worse,
        **counts,
    }
    return Outcome(accepted=accepted, why=why, figures=figures)


def _against_chance(
    metric: str, measured: Measured, policy: PromotionPolicy, counts: Mapping[str, float]
) -> Outcome:
    """The outcome for a version before which none served."""
    (new, chance), found = measured
    value, bound = _shown(metric, new), _shown(metric, chance + found.lower_bound)
    floor = _shown(metric, chance) if policy.floor is None else policy.floor
    rises = METRICS[metric].higher_is_better
    accepted = policy.floor == -1 or (bound > floor if rises else bound < floor)
    what = f"chance, {METRICS[metric].chance}" if policy.floor is None else "the policy's floor"
    why = (
        f"{metric} {value:.4f}: with {policy.confidence:.0%} confidence at "
        f"{'least' if rises else 'most'} {bound:.4f}, which is {'' if accepted else 'not '}better "
        f"than {floor:.4f} ({what})."
    )
    if not accepted:
        why += " A first champion must be; 'unseen promote' lets it serve all the same."
    figures = {metric: value, "bound": bound, "chance": _shown(metric, chance), **counts}
    return Outcome(accepted=accepted, why=why, figures=figures)


def _by_figures(
    metric: str, opponent: RegisteredVersion | None, report: Report, policy: PromotionPolicy
) -> Outcome:
    """The outcome if the runs hold a figure and no scores: without confidence."""
    new, floor = report.metrics[metric], 0.5 if policy.floor is None else policy.floor
    if opponent is None:
        accepted = new > floor
        told = f"{'' if accepted else 'not '}better than {floor:.4f} ({METRICS[metric].chance})"
        why = f"{metric} {new:.4f} is {told}; no bound, as no scores are kept."
        return Outcome(accepted=accepted, why=why, figures={metric: new})
    known = opponent.tags.get(f"{METRIC}{metric}")
    same = opponent.tags.get(EVALUATION_DATA_DIGEST) == report.data_digest
    if known is None or not same:
        why = (
            f"Version {opponent.version} has no {metric} on this data to be compared with. Promote "
            "one of them yourself with 'unseen promote'."
        )
        return Outcome(accepted=False, why=why, figures={metric: new})
    old = float(known)
    accepted = new - old >= -policy.margin
    why = (
        f"{metric} {new:.4f} against {old:.4f} of version {opponent.version}, and "
        f"{-policy.margin:+.4f} is {'allowed' if accepted else 'the limit'}; no bound, as no "
        "scores are kept."
    )
    figures = {"challenger": new, "champion": old, "difference": new - old}
    return Outcome(accepted=accepted, why=why, figures=figures)


def _named(judged: RegisteredVersion, opponent: RegisteredVersion) -> str:
    other = "" if opponent.name == judged.name else f"{opponent.name} "
    return f"{other}version {opponent.version}"


def _shown(metric: str, figure: float) -> float:
    """A figure of which more is better, as the metric has it."""
    return figure if METRICS[metric].higher_is_better else 1 - figure
