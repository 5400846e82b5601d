"""Promote: let the challenger serve if it is not worse than the champion on the same test data."""

from prefect import task

from tasks.platform.outages import RETRIED, WRITE_SECONDS
from tasks.platform.step_names import named
from tasks.records import Comparison, Decision, ModelVersion
from tasks.registry.decisions import judge
from tasks.registry.policy import PromotionPolicy

__all__ = ["PromotionPolicy", "promote"]


@task(task_run_name=named("promote {challenger}"), timeout_seconds=WRITE_SECONDS, **RETRIED)
def promote(
    challenger: ModelVersion,
    comparison: Comparison,
    policy: PromotionPolicy,
    *,
    again: bool = False,
) -> Decision:
    """Decide, record why, and move the alias ``champion`` if the challenger may serve.

    See ``judge`` of ``tasks.registry.decisions``, which takes and raises the same.
    """
    return judge(challenger, comparison, policy, again=again)
