"""Promote: let the challenger serve if it is not worse than the champion on the same test data."""

from prefect import task

from tasks.records import Comparison, Decision, ModelVersion
from tasks.registry.decisions import judge
from tasks.registry.policy import PromotionPolicy

__all__ = ["PromotionPolicy", "promote"]


@task
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
