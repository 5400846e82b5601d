import json
import shutil

import pytest

from models.errors import RegistryError
from tasks.lineage import training_record
from tasks.packaging import package
from tests.tasks.deployed import damaged, package_of, tagged


def with_lineage(**changes):
    """The package of ``squares`` with another lineage, and the tag that fits it."""
    folder = package_of()
    text = json.dumps({**json.loads((folder / "lineage.json").read_text()), **changes}).encode()
    with damaged(folder / "lineage.json", text):
        sums = package.checksums(folder)
    return (
        damaged(folder / "lineage.json", text),
        damaged(folder / "digest.json", json.dumps(sums).encode()),
        tagged(model_digest=package.digest(sums)),
    )


def complete():
    part = {"class": "x.Y"}
    return {"recipe": {"training": part, "detector": part, "encoder": part}}


def test_everything_that_was_recorded_comes_back(settled):
    lineage, digest, tag = with_lineage(**complete())
    with lineage, digest, tag:
        found = training_record.recorded("squares")
    assert found.reference == "squares@1"
    assert found.data.version == settled.clips == found.pretext.version
    assert len(found.data.files) == 32
    assert found.metrics == {"frame_auc": 0.875, "frame_eer": 0.125}
    assert found.environment["hardware.threads"]
    assert found.validation.failed == ("enough images",)
    assert training_record.changed_models(found.folder) == ()


def test_without_an_environment_in_the_lineage_the_run_tells_it(settled):
    lineage, digest, tag = with_lineage(**complete(), environment=None)
    with lineage, digest, tag:
        assert training_record.recorded("squares").environment["version.torch"]


def test_a_record_without_the_whole_recipe_says_what_is_missing(settled):
    with pytest.raises(RegistryError, match="and lacks training, encoder"):
        training_record.recorded("squares")


def test_a_package_that_is_not_the_registered_one_is_refused(settled):
    with (
        tagged(model_digest="0" * 64),
        pytest.raises(RegistryError, match="must have the digest that was registered, 0000"),
    ):
        training_record.recorded("squares")


def test_sources_are_copied_without_the_reader(settled, tmp_path):
    lineage, digest, tag = with_lineage(**complete())
    with lineage, digest, tag:
        found = training_record.recorded("squares")
        training_record.copy_sources(found, tmp_path)
    assert (tmp_path / "models" / "errors.py").exists()
    assert (tmp_path / "tiny_detector.py").exists()
    assert not (tmp_path / "tasks").exists()


def test_files_of_models_that_differ_are_named(settled, tmp_path):
    folder = shutil.copytree(package_of() / "sources", tmp_path / "sources").parent
    (folder / "sources" / "models" / "errors.py").write_text("")
    (folder / "sources" / "models" / "new.py").write_text("")
    assert training_record.changed_models(folder) == ("models/errors.py", "models/new.py")
