"""Rollback: let the version serve again that served before the champion."""

from models.errors import NotFoundError
from tasks.records import Decision
from tasks.registry import history, mlflow_store, model_versions


def rollback(
    name: str, why: str, *, instead_of: int | None = None, who: str | None = None
) -> Decision:
    """Undo the last promotion of a registered model, and record who did it and why.

    Rolling back again goes further back. The version that takes over is loaded and its bytes are
    verified first, so that a rollback never ends in a model that does not run. Of two who roll back
    at once, one does and the other is told.

    Args:
        name: The registered model.
        why: The reason, for the history.
        instead_of: The version to take back; the champion at the moment of the call if None. With
            it, a rollback that was asked for twice is made once.
        who: On whose behalf; git's user if None.

    Raises:
        ConflictError: If another version serves by now.
        NotFoundError: If there is no such model, nothing serves, or nothing served before.
        RegistryError: If the version that served before is lost or does not load.
    """
    client = mlflow_store.client()
    seen = instead_of or model_versions.aliases(client, name).get(model_versions.CHAMPION)
    with history.lock(name) as lock:
        history.settle(name, client)
        champion = history.check_unchanged(name, seen, client)
        if champion is None:
            raise NotFoundError(
                f"{name} has no champion, so there is nothing to roll back. Promote a version with "
                f"'unseen promote {name}'."
            )
        served = history.succession(history.read(name, client), champion)
        if len(served) < 2:
            raise NotFoundError(
                f"No version of {name} served before the champion, version {champion}, so there is "
                "nothing to roll back to. Train and promote another version."
            )
        model_versions.load(model_versions.resolve(client, name, served[-2]))
        decision = Decision(
            action="rollback",
            name=name,
            version=champion,
            champion=served[-2],
            former=champion,
            why=why.strip() or "No reason was given.",
            who=who or history.who(),
            when=history.now(),
        )
        lock.check()
        return history.record(decision, client)
