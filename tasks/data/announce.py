"""Announce: tell Prefect that a data set has a new version, so that automations can act on it."""

from tasks.data.versions import Changes
from tasks.platform import events
from tasks.records import DataVersion

MOST_PATHS = 20
"""Paths of each kind of change that an event names."""


def announce(version: DataVersion, changes: Changes) -> bool:
    """Tell that a data set has a new version, and what changed in it."""
    kinds = {"added": changes.added, "removed": changes.removed, "changed": changes.changed}
    payload = {
        "dataset": version.name,
        "digest": version.digest,
        "dvc_md5": version.dvc_md5,
        "num_files": version.num_files,
        **{f"num_{kind}": len(paths) for kind, paths in kinds.items()},
        **{kind: list(paths[:MOST_PATHS]) for kind, paths in kinds.items()},
    }
    return events.emit(events.DATA_VERSIONED, events.dataset(version.name), payload)
