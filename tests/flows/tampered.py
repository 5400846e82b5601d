"""A registered version whose record is changed so that it still fits together."""

import contextlib
import json
import shutil

from tasks.packaging import package
from tasks.registry import mlflow_store, model_versions
from tasks.registry.tags import MODEL_DIGEST, TAG


@contextlib.contextmanager
def tampered(reference, change, **tags):
    """Let ``change`` edit the packaged detector, and tags of the version be others, for a while.

    Its digests are made to fit, as those of somebody who covers his tracks would.
    """
    client = mlflow_store.client()
    version = model_versions.resolve(client, *reference.split("@"))
    folder = model_versions.folder(version.source)
    kept = folder.with_name("kept")
    shutil.copytree(folder, kept)
    change(folder)
    sums = package.checksums(folder)
    (folder / "digest.json").write_text(json.dumps(sums))
    tags = {f"{TAG}{key}": value for key, value in tags.items()}
    tags[MODEL_DIGEST] = package.digest(sums)
    try:
        for key, value in tags.items():
            client.set_model_version_tag(version.name, version.version, key, value)
        yield folder
    finally:
        shutil.rmtree(folder)
        kept.rename(folder)
        for key in tags:
            client.set_model_version_tag(version.name, version.version, key, version.tags[key])


def edit_json(path, edit):
    """Change a JSON file in place."""
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
