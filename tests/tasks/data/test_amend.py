import pytest

from models.errors import DataError
from tasks.data import versions, working_copy
from tasks.data.amend import amend
from tests.tasks.deployed import bring_in


def held(name="squares"):
    return {entry.relpath for entry in versions.entries(versions.current(name))}


def test_files_come_and_go_as_versions_or_not_at_all(repository, tmp_path, monkeypatch):
    first = bring_in(tmp_path / "source")
    before, picture = held(), tmp_path / "new.png"
    picture.write_bytes((tmp_path / "source/test/good/01/000.png").read_bytes()[::-1])
    add, notes = {"train/good/09/000.png": picture}, {"judged.json": "[]"}
    version, changes = amend("squares", add, notes=notes)
    assert held() - before == {"train/good/09/000.png", "judged.json"}
    assert changes.added == ("judged.json", "train/good/09/000.png")
    assert version.digest != first.digest

    def fails(name):
        raise DataError("The disk is full.")

    with monkeypatch.context() as patch:
        patch.setattr(working_copy, "record", fails)
        patch.setattr("tasks.data.amend.ingest.fn", lambda _: version)
        with pytest.raises(DataError, match="full"):
            amend("squares", {"train/good/10/000.png": picture}, ["judged.json"], {"a.txt": ""})
    assert {e.relpath for e in versions.hash_folder(versions.folder() / "squares")} == held()
    version, _ = amend("squares", {}, ["train/good/09/000.png", "judged.json"])
    assert version.digest == first.digest
