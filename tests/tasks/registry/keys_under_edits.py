"""Steps of the recipe ``mine`` whose key changes with each of many edits; prints JSON.

Runs in a copy of the sources: it edits them, one at a time.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path

os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path.cwd()}/mlflow.db"
sys.path.insert(0, str(Path.cwd()))

from flows import recipes
from flows.recipes.fields import assign
from tasks.data.validate import validate
from tasks.evaluation.evaluate import evaluate
from tasks.evaluation.sample import sample
from tasks.records import DataVersion, TrainedModel, Validation
from tasks.registry import key_parts
from tasks.training.fit import fit
from tasks.training.pretrain import pretrain

VERSION = DataVersion(
    name="mine", digest="d", dvc_md5="", git_commit="", remote=None, num_files=1, num_bytes=1
)
ENCODER = TrainedModel(run_id="1" * 32, model_uri="", data_digest="d")
DETECTOR = TrainedModel(run_id="2" * 32, model_uri="", data_digest="d")
RECIPE = recipes.load("mine.py:mine")


def keys(recipe=RECIPE, version=VERSION):
    """The parts of each step's key."""
    validation = Validation(run_id="", data_digest=version.digest, suite="", num_expectations=0)
    training, described = recipe.training, recipes.describe(recipe)
    calls = [
        (validate, version, recipe.expectations, recipe.name),
        (pretrain, version, recipe.encoder, recipe.pretext, training, recipe.name),
        (fit, version, validation, ENCODER, recipe.detector, training, described, recipe.name),
        (evaluate, version, DETECTOR),
        (sample, version, DETECTOR),
    ]
    makers = [(step.cache_key_fn, args) for step, *args in calls]
    return {key.name: key.parts(key.bound(*args)) for key, args in makers}


def main(wanted):
    """What each edit changes."""
    before, found = keys(), {}

    def note(what, now):
        found[what] = [step for step in before if now[step] != before[step]]

    for name in wanted["edits"]:
        path = Path(name)
        text, times = path.read_text(), path.stat()
        path.write_text(text + "\nassert True\n")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1_000_000_000))
        note(name, keys())
        path.write_text(text)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    for setting in wanted["settings"]:
        note(setting, keys(assign(RECIPE, setting)))
    installed = key_parts.installed
    for library in wanted["libraries"]:
        key_parts.installed = lambda name, other=library: installed(name) + "+" * (name == other)
        key_parts.libraries.cache_clear()
        note(library, keys())
    key_parts.installed = installed
    key_parts.libraries.cache_clear()
    note("other data", keys(version=dataclasses.replace(VERSION, digest="e")))
    os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{Path.cwd()}/other.db"
    note("other store", keys())
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
