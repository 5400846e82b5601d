"""Restore: materialise exactly the bytes that a deployed detector was trained on."""

from pathlib import Path

from models.contracts import Progress, silent
from models.errors import DataError
from tasks.data import versions, write_version
from tasks.data.versions import Entry
from tasks.lineage import trace
from tasks.lineage.trace_records import Restored
from tasks.records import DataVersion
from tasks.registry import mlflow_store, model_versions, version_facts


def restore(reference: str, folder: Path, *, progress: Progress = silent) -> Restored:
    """Write the data version of a model version to a folder, and verify the md5 of every file.

    Args:
        reference: As ``trace`` takes it.
        folder: A folder that does not exist yet, or is empty.
        progress: Shows the files.

    Raises:
        NotFoundError: If there is no such model, version or alias.
        DataError: If a file is lost or corrupt; the folder is then as it was.
    """
    client = mlflow_store.client()
    version = model_versions.find(client, reference)
    known = version_facts.gather(client, version)
    data = trace.data_version(known.lineage.get("data", {}))
    files = _files(known.files, data)
    if versions.digest(files) != data.digest:
        raise DataError(
            f"The list of files that {version.name} version {version.version} carries must have "
            f"the digest {data.digest}, got {versions.digest(files)}: it was changed. Restore the "
            "artifact store."
        )
    write_version.write(files, folder, progress)
    return Restored(
        model=version.name,
        version=int(version.version),
        folder=str(folder.absolute()),
        data=data,
        num_files=len(files),
        num_bytes=sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
    )


def _files(carried: list[dict[str, str]] | None, data: DataVersion) -> tuple[Entry, ...]:
    if carried is None:
        return versions.entries(data)
    return tuple(Entry(file["relpath"], file["md5"]) for file in carried)
