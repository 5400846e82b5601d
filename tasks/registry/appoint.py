"""Appoint: let a version serve because an operator says so, whatever its figures."""

from models.errors import ConflictError
from tasks.records import Decision
from tasks.registry import history, mlflow_store, model_versions


def appoint(
    name: str,
    wanted: str | int,
    why: str,
    *,
    instead_of: int | None = None,
    who: str | None = None,
) -> Decision:
    """Make a version the champion, and record who did it and why.

    It is loaded and its bytes are verified first. Of two who decide at once, one does and the other
    is told.

    Args:
        name: The registered model.
        wanted: Number or alias of the version.
        why: The reason, for the history.
        instead_of: The champion on which the decision is based; the one at the moment of the call
            if None.
        who: On whose behalf; git's user if None.

    Raises:
        ConflictError: If another version serves by now, or the wanted one does already.
        NotFoundError: If there is no such model or version.
        RegistryError: If the version is lost or does not load.
    """
    client = mlflow_store.client()
    seen = instead_of or model_versions.aliases(client, name).get(model_versions.CHAMPION)
    chosen = model_versions.resolve(client, name, wanted)
    number = int(chosen.version)
    with history.lock(name):
        history.settle(name, client)
        champion = history.check_unchanged(name, seen, client)
        if champion == number:
            raise ConflictError(
                f"Another version than the champion must be named, and version {number} of {name} "
                f"serves already. 'unseen history {name}' shows since when."
            )
        model_versions.load(chosen)
        decision = Decision(
            action="promote",
            name=name,
            version=number,
            champion=number,
            former=champion,
            why=why.strip() or "No reason was given.",
            who=who or history.who(),
            when=history.now(),
        )
        return history.record(decision, client)
