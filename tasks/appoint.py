"""Appoint: let a version serve because a person says so, whatever a comparison would say."""

from models.errors import InvalidInputError
from tasks import history, registry, tracking
from tasks.records import Decision

LONGEST_REASON = 1000
"""Characters of a reason."""


def appoint(
    name: str, version: int, why: str, *, who: str | None = None, expected: int | None = None
) -> Decision:
    """Make a version the champion, and record who wanted it and why.

    It is loaded and its bytes are verified first, so that nothing serves that does not run. A
    rollback undoes it like any promotion.

    Args:
        name: The registered model.
        version: The version that is to serve.
        why: The reason, for the history.
        who: On whose behalf; git's user if None.
        expected: The version that is believed to serve now, 0 for none; None does not care.

    Raises:
        InvalidInputError: If there is no reason.
        NotFoundError: If there is no such model or version.
        ConflictError: If another version than ``expected`` serves, or this one does already.
        RegistryError: If the version is lost or does not load.
    """
    if not 0 < len(why.strip()) <= LONGEST_REASON:
        raise InvalidInputError(
            f"A promotion by hand needs a reason of at most {LONGEST_REASON} characters, got "
            f"{len(why.strip())}. Say why this version should serve."
        )
    client = tracking.client()
    judged = registry.resolve(client, name, version)
    with history.lock(name):
        history.settle(name, client)
        champion = registry.aliases(client, name).get(registry.CHAMPION)
        history.expect(name, champion, expected, client)
        if champion == version:
            raise history.ConflictError(
                f"{name} version {version} serves already. There is nothing to promote."
            )
        registry.load(judged)
        decision = Decision(
            action="promote",
            name=name,
            version=version,
            champion=version,
            former=champion,
            why=why.strip(),
            who=who or history.who(),
            when=history.now(),
        )
        return history.record(decision, client)
